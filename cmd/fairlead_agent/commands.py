"""Child processes: a session of their own, a time limit, an end that ends the whole group, a bounded last word.

A command that leaves a service behind should give it an output of its own: what still holds the command's output is
listened to for as long as the agent lives, and meets a broken pipe after that.
"""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO, Protocol

from adapters.agent_protocol.reports import LOG_TAIL, Blame
from fairlead_agent.trouble import Interrupted, Trouble

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LOOK = 0.05  # seconds between two looks at a child
_KEPT = 4 * LOG_TAIL  # bytes of output: a character has at most four
_PRIVATE = ("AWS_", "FAIRLEAD_")  # variables of the agent's that a child has no use for


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a command ended, and its last 2,048 characters.

    `code` is its exit code, negative where a signal ended it, None when its time was over.
    """

    code: int | None
    output_tail: str

    @property
    def well(self) -> bool:
        """It ended by itself with 0."""
        return self.code == 0

    @property
    def how(self) -> str:
        """For a sentence: `ended with 1`, `was ended by signal 9`, `did not end in time`."""
        if self.code is None:
            return "did not end in time"
        return f"was ended by signal {-self.code}" if self.code < 0 else f"ended with {self.code}"


class Runner(Protocol):
    """`run`, or what adds to it: a rehearsal puts its own folder first on PATH."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        within: float,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stop: Event | None = None,
    ) -> Finished:
        """As `run`."""
        ...


def run(
    argv: Sequence[str],
    *,
    within: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stop: Event | None = None,
) -> Finished:
    """Run a command without a shell, for at most `within` seconds; then its whole process group is ended.

    `environment` is laid over the agent's own, of which `AWS_*` and `FAIRLEAD_*` are not passed on. Processes that the
    command leaves behind when it ends by itself go on and hold nothing up. Raises `Trouble` (REFUSED) where the program
    cannot be started, and `Interrupted` when `stop` was set: the group has been ended by then.
    """
    child = _start(argv, cwd, environment)
    output = _Output(child)
    try:
        code = _watch(child, output, time.monotonic() + within, stop)
    finally:
        if child.returncode is None:
            _end(child)
        output.finish()
    return Finished(code=code, output_tail=output.tail)


def _start(argv: Sequence[str], cwd: Path | None, more: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    if not argv:
        raise Trouble(Blame.REFUSED, "there is no command to run")
    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**own, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
    except (OSError, ValueError) as error:
        what = getattr(error, "filename", None) or argv[0]
        said = getattr(error, "strerror", None) or error
        raise Trouble(Blame.REFUSED, f"cannot run {argv[0]}: {what}: {said}") from None


def _watch(child: subprocess.Popen[bytes], output: "_Output", deadline: float, stop: Event | None) -> int | None:
    """The exit code, None when time was over. Raises `Interrupted`."""
    while child.poll() is None:
        if stop is not None and stop.is_set():
            raise Interrupted
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        output.read(min(LOOK, left))
    return child.returncode


class _Output:
    """The end of what a child says, through a pipe that others may hold open as well."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        self._kept = b""
        self._is_open = True

    def read(self, wait: float) -> bool:
        """Take one piece, if there is one within `wait` seconds."""
        out = self._child.stdout
        if out is None or not self._is_open:
            return self._pause(wait)
        if not select.select([out], [], [], wait)[0]:
            return False
        found = os.read(out.fileno(), 65536)
        self._kept, self._is_open = (self._kept + found)[-_KEPT:], bool(found)
        return self._is_open

    def finish(self) -> None:
        """What still lies in the pipe. Where somebody holds its other end, read on beside, and forget."""
        for _ in range(32):  # a pipe holds 64 KiB, or 1 MiB where that was asked for; a chatty heir must not hold us
            if not self.read(0):
                break
        out = self._child.stdout
        if out is not None and self._is_open:
            threading.Thread(target=_listen, args=(out,), name="output", daemon=True).start()
        elif out is not None:
            out.close()

    @property
    def tail(self) -> str:
        return self._kept.decode("utf-8", errors="replace").strip()[-LOG_TAIL:]

    def _pause(self, seconds: float) -> bool:
        """The child has closed its output and may go on."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(seconds)
        return False


def _listen(out: IO[bytes]) -> None:
    with out:
        while os.read(out.fileno(), 65536):
            pass


def _end(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the group; SIGKILL to what is left of it after `GRACE` seconds."""
    deadline = time.monotonic() + GRACE
    _signal(child.pid, signal.SIGTERM)
    while _signal(child.pid, 0) and time.monotonic() < deadline:
        child.poll()  # one that has ended stays in its group until it is asked
        time.sleep(LOOK / 5)
    _signal(child.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # it hangs in the kernel: nobody can end it, nobody should wait for it
        child.wait(GRACE)


def _signal(group: int, number: int) -> bool:
    """Whether there is still somebody in the group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
