"""Child processes: a session of their own, a time limit, an end that ends the whole group, a bounded last word.

Most commands end with all that they began. One that is to leave something behind, or must not be cut off half-way by
the end of the agent, is `lasting`: nothing of it is ended when it is done, and its output outlives the agent.
"""

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

from adapters.agent_protocol.reports import LOG_TAIL, Blame
from fairlead_agent.outputs import new_output
from fairlead_agent.trouble import Interrupted, Trouble

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
LOOK = 0.05  # seconds between two looks at a child
_KEPT = 4 * LOG_TAIL  # bytes of output: a character has at most four
_NO_PROGRAM = frozenset(
    {errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR}
)  # others pass: no memory, no process
_PRIVATE = ("AWS_", "FAIRLEAD_", "MALLOC_ARENA_MAX")  # variables of the agent's that a child has no use for


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
        lasting: bool = False,
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
    lasting: bool = False,
) -> Finished:
    """Run a command without a shell, for at most `within` seconds; then its whole process group is ended.

    `environment` is laid over the agent's own, of which `AWS_*` and `FAIRLEAD_*` are not passed on. What a `lasting`
    command leaves behind when it ends by itself goes on and holds nothing up. Raises `Trouble` where the program cannot
    be started (REFUSED, or TRANSIENT where the host has no room for it), and `Interrupted` when `stop` was set: the
    group has been ended by then.
    """
    output = _room(argv, lasting)
    try:
        child = _start(argv, output.writer, cwd, environment)
        try:
            output.begun()
            code = _watch(child, output, time.monotonic() + within, stop)
        finally:
            if child.returncode is None:
                _end(child)
            elif not lasting:
                _signal(child.pid, signal.SIGKILL)  # what it left behind; nobody asked for that
        return Finished(code=code, output_tail=output.tail())
    finally:
        output.close()


def _room(argv: Sequence[str], lasting: bool) -> "_Piped | _Lasting":
    try:
        return _Lasting() if lasting else _Piped()
    except OSError as error:
        raise _cannot_run(argv, error) from None


def _start(
    argv: Sequence[str], output: int, cwd: Path | None, more: Mapping[str, str] | None
) -> subprocess.Popen[bytes]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    if not argv:
        raise Trouble(Blame.REFUSED, "there is no command to run")
    try:
        return subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**own, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _cannot_run(argv, error) from None


def _cannot_run(argv: Sequence[str], error: OSError | ValueError) -> Trouble:
    what = getattr(error, "filename", None) or (argv[0] if argv else "a command")
    said = getattr(error, "strerror", None) or error
    is_refused = isinstance(error, ValueError) or error.errno in _NO_PROGRAM
    return Trouble(
        Blame.REFUSED if is_refused else Blame.TRANSIENT, f"cannot run {argv[0] if argv else ''}: {what}: {said}"
    )


def _watch(
    child: subprocess.Popen[bytes], output: "_Piped | _Lasting", deadline: float, stop: Event | None
) -> int | None:
    """The exit code, None when time was over. Raises `Interrupted`."""
    while child.poll() is None:
        if stop is not None and stop.is_set():
            raise Interrupted
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        output.attend(child, min(LOOK, left))
    return child.returncode


class _Lasting:
    """Memory that the command's heirs may write to for as long as they live."""

    def __init__(self) -> None:
        self._output = new_output()
        self.writer = self._output.writer or 0

    def begun(self) -> None:
        """The child has it as well."""

    def attend(self, child: subprocess.Popen[bytes], wait: float) -> None:
        """Wait for the child; its output stays bounded meanwhile."""
        with suppress(subprocess.TimeoutExpired):
            child.wait(wait)
        self._output.trim(_KEPT)

    def tail(self) -> str:
        return _text(self._output.tail(_KEPT))

    def close(self) -> None:
        self._output.leave()


class _Piped:
    """A pipe: the end of what is said, which takes no room anywhere."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()
        self._kept = b""
        self._is_open = True

    def begun(self) -> None:
        """The child has its end, so that it closes with the child."""
        os.close(self.writer)
        self.writer = -1

    def attend(self, child: subprocess.Popen[bytes], wait: float) -> None:
        """Take one piece, if there is one within `wait` seconds."""
        if self._is_open:
            self._read(wait)
            return
        with suppress(subprocess.TimeoutExpired):  # the child has closed its output and may go on
            child.wait(wait)

    def _read(self, wait: float) -> bool:
        if not self._is_open or not select.select([self._reader], [], [], wait)[0]:
            return False
        found = os.read(self._reader, 65536)
        self._kept, self._is_open = (self._kept + found)[-_KEPT:], bool(found)
        return self._is_open

    def tail(self) -> str:
        for _ in range(32):  # a pipe holds 64 KiB, or 1 MiB where that was asked for; a chatty heir must not hold us
            if not self._read(0):
                break
        return _text(self._kept)

    def close(self) -> None:
        for descriptor in (self._reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)


def _text(said: bytes) -> str:
    return said.decode("utf-8", errors="replace").strip()[-LOG_TAIL:]


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
