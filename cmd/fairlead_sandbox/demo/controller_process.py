"""A real controller as a child process, with its log in a file: started, watched and ended by process id."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from fairlead_sandbox.surroundings import inherited

GENTLY = 10.0  # seconds: passes under way are let finish
TAIL = 20  # lines


class ControllerProcess:
    """`fairlead controller --config <config>`. Use it as a context manager: the process ends with it."""

    def __init__(self, config: Path, environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self._command = [program(), "controller", "--config", str(config)]
        self._environment = {**inherited(), **environment, "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as file:
            self._process = self._start(file)
        return self

    def _start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """In a session of its own: a Ctrl-C is for the demo, which then ends the controller in order."""
        return subprocess.Popen(
            self._command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end, and end it where it does not. May be called twice."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(GENTLY)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """Its process id. Raises RuntimeError before it was started."""
        if self._process is None:
            raise RuntimeError("this controller was not started")
        return self._process.pid

    @property
    def ended(self) -> str:
        """How it ended, as words; empty while it runs."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return ""
        return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def tail(self, lines: int = TAIL) -> list[str]:
        """The last lines of its log."""
        if not self.log.is_file():
            return []
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]


def program() -> str:
    """Where the program `fairlead` is: beside this Python, else on the path. Raises FileNotFoundError."""
    beside = Path(sys.executable).with_name("fairlead")
    found = str(beside) if beside.is_file() else shutil.which("fairlead")
    if found is None:
        raise FileNotFoundError("the program `fairlead` is not installed beside this Python; run `make install`")
    return found
