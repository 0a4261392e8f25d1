"""A host: an EC2 instance in moto, and a folder on this machine that plays its disk, with a real agent and services.

<folder>/srv/...           what orders name as /srv/...: the agent puts every path of an order below the folder
<folder>/bin/systemctl     starts and stops what <folder>/units says, for real
<folder>/agent.yaml        the agent's settings; <folder>/agent.log what it wrote, over all its lives
<folder>/state/            the agent's memory
<folder>/run/, logs/       pid files and the output of services
"""

import fcntl
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fairlead_sandbox import processes
from fairlead_sandbox.builds import program_in
from fairlead_sandbox.example import TriggerFleet

AGENT = (sys.executable, "-m", "fairlead_agent", "run", "--config")
_SYSTEMCTL = Path(__file__).parent / "played" / "systemctl.py"
_PATIENCE = 10.0  # seconds that an agent may take to end by itself
_STOP_SECONDS = 5  # TimeoutStopSec of every unit


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What agent.yaml holds beside the host's own. `poll` and `heartbeat` are durations such as `2s`."""

    bucket: str
    keys: Mapping[str, str]  # base64 public keys by key id
    poll: str = "2s"
    heartbeat: str = "1s"


class Host:
    """One instance. `fleets` are those that it belongs to; where a method takes a fleet, left out it is the first."""

    def __init__(
        self, folder: Path, instance: str, region: str, fleets: tuple[TriggerFleet, ...], environment: Mapping[str, str]
    ) -> None:
        self.id = instance
        self.region = region
        self.folder = folder
        self.fleets = {fleet.name: fleet for fleet in fleets}
        self.environment = environment  # of its agent
        self._reserved = {fleet.port: _reserve() for fleet in fleets}
        self._agent: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"Host({self.id}, {', '.join(self.fleets)})"

    # -- making it ---------------------------------------------------------------------------------------------

    def prepare(self, settings: AgentSettings) -> None:
        """Make its folder: units, systemctl, agent.yaml. Nothing is started."""
        for name in ("bin", "units", "run", "logs", "state"):
            (self.folder / name).mkdir(parents=True)
        systemctl = self.folder / "bin" / "systemctl"
        systemctl.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I -S "{_SYSTEMCTL}" "{self.folder}" "$@"\n', encoding="utf-8"
        )
        systemctl.chmod(0o755)
        for fleet in self.fleets.values():
            (self.folder / "units" / fleet.unit).write_text(self._unit(fleet), encoding="utf-8")
        self.write_settings(settings)

    def _unit(self, fleet: TriggerFleet) -> str:
        current = self.root(fleet.name) / "current"
        programs = (program_in(artifact, fleet.service) for artifact in fleet.artifacts)
        program = next(path for path in programs if path is not None)
        config = f' --config "{current / fleet.config}"' if fleet.config else ""
        command = f'"{sys.executable}" -I -S "{current / program}" --port {self.port(fleet.name)}{config}'
        return f"[Service]\nExecStart={command}\nTimeoutStopSec={_STOP_SECONDS}\n"

    def write_settings(self, settings: AgentSettings, **more: Any) -> None:
        """Write agent.yaml; `more` are further keys of it. A running agent reads it when it is started again."""
        said = {
            "bucket": settings.bucket,
            "keys": dict(settings.keys),
            "fleets": {name: {} for name in self.fleets},
            "state": str(self.folder / "state"),
            "poll": settings.poll,
            "heartbeat": settings.heartbeat,
            "rehearsal": {
                "prefix": str(self.folder),
                "ports": {fleet.port: self.port(fleet.name) for fleet in self.fleets.values()},
                "path": str(self.folder / "bin"),
            },
            **more,
        }
        self.config.write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")

    # -- its agent ---------------------------------------------------------------------------------------------

    @property
    def config(self) -> Path:
        """The agent's settings."""
        return self.folder / "agent.yaml"

    @property
    def agent_pid(self) -> int | None:
        """The agent's process id while it runs."""
        return self._agent.pid if self._agent is not None and self._agent.poll() is None else None

    @property
    def agent_running(self) -> bool:
        """Its agent is a living process."""
        return self.agent_pid is not None

    def start_agent(self, *options: str, **environment: str) -> int:
        """Start the agent, with options added to `fairlead-agent run`; gives its process id. Raises RuntimeError."""
        if self.agent_running:
            raise RuntimeError(f"the agent of {self.id} runs already; stop or kill it first")
        with (self.folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                [*AGENT, str(self.config), *options],
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        processes.remember(self.folder / "run" / "agent.pid", self._agent.pid)
        return self._agent.pid

    def stop_agent(self) -> int:
        """SIGTERM; gives its exit code. Raises `subprocess.TimeoutExpired` where it does not end within 10 s."""
        return self._end_agent(signal.SIGTERM)

    def kill_agent(self) -> int:
        """SIGKILL by its process id; gives its exit code, -9. What it had started goes on."""
        return self._end_agent(signal.SIGKILL)

    def _end_agent(self, number: signal.Signals) -> int:
        if self._agent is None:
            raise RuntimeError(f"the agent of {self.id} was never started")
        if self._agent.poll() is None:
            self._agent.send_signal(number)
        return self._agent.wait(_PATIENCE)

    def wait_agent(self, timeout: float = _PATIENCE) -> int:
        """Wait until the agent ended by itself; gives its exit code. Raises `subprocess.TimeoutExpired`."""
        if self._agent is None:
            raise RuntimeError(f"the agent of {self.id} was never started")
        return self._agent.wait(timeout)

    def log(self) -> str:
        """Everything that its agents wrote."""
        path = self.folder / "agent.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    # -- its services ------------------------------------------------------------------------------------------

    def root(self, fleet: str = "") -> Path:
        """Where the fleet's `root` lies on this machine."""
        return self.folder / self._fleet(fleet).root.lstrip("/")

    def port(self, fleet: str = "") -> int:
        """The port on this machine that stands for the one of the fleet's health check."""
        return int(self._reserved[self._fleet(fleet).port].getsockname()[1])

    def current(self, fleet: str = "") -> str | None:
        """The id of the release that `current` names, None where there is none."""
        link = self.root(fleet) / "current"
        return link.readlink().name if link.is_symlink() else None

    def releases(self, fleet: str = "") -> tuple[str, ...]:
        """The folders below `releases`, sorted; half-built ones too."""
        folder = self.root(fleet) / "releases"
        return tuple(sorted(each.name for each in folder.iterdir())) if folder.is_dir() else ()

    def file(self, path: str, fleet: str = "") -> Path:
        """A file of the current release."""
        return self.root(fleet) / "current" / path

    def service(self, fleet: str = "") -> dict[str, Any] | None:
        """What the running service answers on /health: its JSON with `status`, None where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port(fleet)}/health", timeout=2.0) as answer:
                return {**json.load(answer), "status": answer.status}
        except urllib.error.HTTPError as error:
            with error:
                return {**json.load(error), "status": error.code}
        except OSError:
            return None

    def version(self, fleet: str = "") -> str | None:
        """The version that the running service says, None where nothing answers."""
        answer = self.service(fleet)
        return str(answer["version"]) if answer is not None else None

    def healthy(self, fleet: str = "") -> bool:
        """The running service answers 200."""
        answer = self.service(fleet)
        return answer is not None and answer["status"] == 200

    def service_pid(self, fleet: str = "") -> int | None:
        """The process id of the service while it runs."""
        return processes.running(self._pid_file(fleet))

    def service_running(self, fleet: str = "") -> bool:
        """Its service is a living process."""
        return self.service_pid(fleet) is not None

    def service_log(self, fleet: str = "") -> str:
        """What the service wrote, over all its lives."""
        path = self.folder / "logs" / f"{self._fleet(fleet).unit}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def systemctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Somebody logs in and runs systemctl by hand."""
        command = [str(self.folder / "bin" / "systemctl"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def make_sick(self, fleet: str = "") -> None:
        """Its service answers 503 from now on, whatever its version."""
        (self.folder / "run" / f"sick-{self._fleet(fleet).service}").touch()

    def make_well(self, fleet: str = "") -> None:
        """Undo `make_sick`."""
        (self.folder / "run" / f"sick-{self._fleet(fleet).service}").unlink(missing_ok=True)

    def switch_by_hand(self, fleet: str = "") -> str:
        """Somebody logs in, lets `current` name another release that is kept, and restarts the service; gives its id.

        Raises `LookupError` where no other is kept.
        """
        others = [release for release in self.releases(fleet) if release != self.current(fleet)]
        if not others:
            raise LookupError(f"{self.id} keeps no other release; deploy another version first")
        link = self.root(fleet) / "current"
        link.with_name("by-hand").symlink_to(f"releases/{others[-1]}")
        link.with_name("by-hand").replace(link)
        self.systemctl("restart", self._fleet(fleet).unit)
        return others[-1]

    def kill_service(self, fleet: str = "") -> None:
        """SIGKILL the service's process."""
        processes.end(self._pid_file(fleet))

    def _pid_file(self, fleet: str) -> Path:
        return self.folder / "run" / f"{self._fleet(fleet).unit}.pid"

    def _fleet(self, name: str) -> TriggerFleet:
        return self.fleets[name] if name else next(iter(self.fleets.values()))

    # -- its end -----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """End every process of it, by process id, also what is just being started."""
        if not (run := self.folder / "run").is_dir():
            return
        (run / "ended").touch()  # systemctl starts nothing any more
        if self.agent_running:
            self.kill_agent()
        self._end_services()
        with (run / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._end_services()
        for reserved in self._reserved.values():
            reserved.close()

    def _end_services(self) -> None:
        for path in (self.folder / "run").glob("*.pid"):
            processes.end(path)


def _reserve() -> socket.socket:
    """A port that nobody else gets. Who has SO_REUSEADDR may listen on it, as this one has it once it is bound."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return held
