"""Agents as a package installs them: a launcher, started again and again as by systemd, and zipapps to upgrade to."""

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from threading import Event, Thread

from deploy.agent.archive import zipped
from deploy.agent.parts import Parts, installed_parts, our_parts
from fairlead_agent.itself import PROGRAM

HOME = Path(__file__).parents[3] / "deploy" / "agent"
SELF = "/opt/fairlead-agent/self"
GRACE = 2.0  # seconds, in place of half a minute


class Packages:
    """Zipapps by version, each made once: real agents, and what somebody may upload in place of one."""

    def __init__(self) -> None:
        self._needed: Parts = installed_parts()
        self._made: dict[str, bytes] = {}

    def agent(self, version: str) -> bytes:
        """The real agent, which says this version."""
        if version not in self._made:
            self._made[version] = self._zipped(version, {})
        return self._made[version]

    def blind(self, version: str) -> bytes:
        """An agent that reports as any does, and can read no order."""
        more = (
            b"\n\ndef _blind(_orders):\n    raise Trouble.of_the_road('cannot read any')\n\n\nOrders._read = _blind\n"
        )
        return self._zipped(version, {"fairlead_agent/orders.py": more})

    def _zipped(self, version: str, more: Mapping[str, bytes]) -> bytes:
        parts = {**self._needed, **our_parts(version)}
        parts |= {name: parts[name] + added for name, added in more.items()}
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return zipped(parts, version, [python], [os.uname().machine], 0)

    @staticmethod
    def program(text: str) -> bytes:
        """A zipapp of one program."""
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            archive.writestr("__main__.py", text)
        return written.getvalue()


class Unit:
    """What systemd does with `Restart=always`, for one agent. `ends` stops it; `kill` is a crash of what runs now."""

    def __init__(self, folder: Path, packaged: bytes, config: Path, environment: Mapping[str, str], log: Path) -> None:
        self.root = folder / SELF.lstrip("/")  # where an order's root lies in a rehearsal
        self._program = folder / "opt/fairlead-agent"
        self._program.mkdir(parents=True, exist_ok=True)
        launcher = (HOME / "launcher.py").read_text()
        for said, instead in (
            ("GRACE = 120.0, 30.0", f"GRACE = 120.0, {GRACE}"),
            ("LEAST = 3, 60.0", "LEAST = 3, 0.0"),
        ):
            assert said in launcher
            launcher = launcher.replace(said, instead)
        (self._program / "launcher.py").write_text(launcher)
        (self._program / PROGRAM).write_bytes(packaged)
        self._command = [sys.executable, "-I", str(self._program / "launcher.py"), "run", "--config", str(config)]
        self._environment = {**environment, "FAIRLEAD_AGENT_SELF": str(self.root)}
        self._log, self._ended = log, Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._thread = Thread(target=self._run)

    def begin(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            self.starts += 1
            self._process.wait()
            self._ended.wait(0.1)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL to what runs now."""
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        self._ended.set()
        while self._thread.is_alive():
            self.kill()
            self._thread.join(0.2)
