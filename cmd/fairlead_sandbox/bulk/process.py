"""A bulk world in a process of its own, so that who measures a controller does not share its interpreter with AWS."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from fairlead_sandbox.bulk.fleets import BulkFleets
from fairlead_sandbox.bulk.played_hosts import HostPace
from fairlead_sandbox.bulk.world import BulkSettings
from fairlead_sandbox.gate import GateSettings

ENDING = 20.0  # seconds


class BulkProcess:
    """A `BulkWorld` elsewhere: a context manager with the same words. `ask` does any deed of `deeds.Deeds`."""

    def __init__(self, folder: Path, settings: BulkSettings) -> None:
        self.folder = folder.resolve()
        self.settings = settings
        self.names: list[str] = []
        self.environment: dict[str, str] = {}
        self.config = self.folder / "fairlead.toml"
        self.state = self.folder / "state"
        self.endpoint_url = ""
        self.gate_url = ""
        self.head = ""
        self._process: subprocess.Popen[str]
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = (self.folder / "world.log").open("w")
        command = [sys.executable, "-m", "fairlead_sandbox.bulk", str(self.folder)]
        with log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it died: its log says why
            self._process.stdin.write(written(self.settings) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise RuntimeError(f"the world did not start: {(self.folder / 'world.log').read_text()[-2000:]}")
        said = json.loads(line)
        self.environment, self.names = said["environment"], said["names"]
        self.endpoint_url, self.gate_url, self.head = said["endpoint"], said["gate"], said["head"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self) -> None:
        """It ends when nobody holds its standard input any more."""
        self._http.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, deed: str, **said: Any) -> Any:
        """Do a deed; gives its result. Raises `RuntimeError` with the world's words."""
        answer = self._http.post(f"{self.endpoint_url}/sandbox/{deed}", json=said, timeout=120)
        found = answer.json()
        if answer.status_code != requests.codes.ok:
            raise RuntimeError(found["error"])
        return found

    def bump(self, names: Iterable[str], version: str) -> str:
        """One commit that sets the version of these fleets; gives it."""
        self.head = str(self.ask("bump", names=list(names), version=version))
        return self.head

    def versions(self, name: str) -> dict[str, str]:
        """What runs now of a fleet: by region, or by host."""
        found: dict[str, str] = self.ask("versions", name=name)
        return found

    def starts(self) -> list[tuple[str, str, str]]:
        """Every deploy that was begun: fleet, version and where."""
        return [(fleet, version, where) for fleet, version, where in self.ask("starts")]


def written(settings: BulkSettings) -> str:
    """The settings as one line. Whoever serves the repository is named by where it is defined."""
    said = {name: getattr(settings, name) for name in settings.__slots__}
    gate = {**asdict(settings.gate), "log_file": str(settings.gate.log_file) if settings.gate.log_file else None}
    serve = f"{settings.serve.__module__}:{settings.serve.__qualname__}"
    told = {"fleets": asdict(settings.fleets), "gate": gate, "pace": asdict(settings.pace), "serve": serve}
    return json.dumps({**said, "controller": dict(settings.controller), **told})


def read(line: str) -> BulkSettings:
    """The settings that `written` wrote."""
    said: dict[str, Any] = json.loads(line)
    fleets: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in said["fleets"].items()
    }
    log_file = said["gate"]["log_file"]
    rest: Mapping[str, Any] = {
        **said,
        "fleets": BulkFleets(**fleets),
        "gate": GateSettings(**{**said["gate"], "log_file": Path(log_file) if log_file else None}),
        "pace": HostPace(**said["pace"]),
        "repository": tuple(said["repository"]),
        "serve": _named(said["serve"]),
    }
    return BulkSettings(**rest)


def _named(text: str) -> Callable[[Path], Any]:
    module, _, name = text.partition(":")
    found: Callable[[Path], Any] = getattr(import_module(module), name)
    return found
