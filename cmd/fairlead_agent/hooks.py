"""Commands that a release brings along: hooks around its change, and the step before it.

Each runs through `/bin/sh -c` in the release's folder, with what it may want to know in its environment, and a mark:
whatever still bears the mark when the command was ended, or when an agent that was killed comes back, is ended too.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from adapters.agent_protocol.orders import Release
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import GRACE, LOOK, Runner
from fairlead_agent.trouble import Trouble

_MARK = "FAIRLEAD_RUN"
_PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One command of a release. `key` is what it is run for: the same is never run twice at once."""

    what: str  # for people: pre hook
    key: str
    command: str
    within: float  # seconds
    release: Release
    folder: Path


class Hooks:
    """Runs errands for one fleet on this host."""

    def __init__(self, run: Runner, fleet: str, host: str) -> None:
        self._run = run
        self._fleet = fleet
        self._host = host

    def run(self, errand: Errand, stop: Event) -> None:
        """Raises `Trouble`: UNHEALTHY where it does not end with 0 in its time, REFUSED where there is no shell to run
        it; and `Interrupted`. By then nothing of it runs any more, nor of an earlier run that an agent left behind.
        """
        self.end(errand.what, errand.key)
        try:
            ended = self._run(
                ["/bin/sh", "-c", errand.command],
                within=errand.within,
                cwd=errand.folder,
                environment=self._environment(errand),
                stop=stop,
            )
        finally:
            self.end(errand.what, errand.key)
        if not ended.well:
            limit = f" ({errand.within:g} s)" if ended.code is None else ""
            raise Trouble(Blame.UNHEALTHY, f"its {errand.what} {ended.how}{limit}", ended.output_tail)

    def end(self, what: str, key: str) -> None:
        """End what still runs of it: SIGTERM, and SIGKILL after a while."""
        mark = f"{_MARK}={self._mark(what, key)}".encode()
        deadline, number = time.monotonic() + GRACE, signal.SIGTERM
        while found := list(_bearers(mark)):
            for process in found:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(process, number)
            if time.monotonic() >= deadline + GRACE:
                return  # it hangs in the kernel: nobody can end it, nobody should wait for it
            if time.monotonic() >= deadline:
                number = signal.SIGKILL
            time.sleep(LOOK)

    def _mark(self, what: str, key: str) -> str:
        return f"{self._host} {self._fleet} {key} {what}"

    def _environment(self, errand: Errand) -> dict[str, str]:
        release = errand.release
        return {
            "FAIRLEAD_FLEET": self._fleet,
            "FAIRLEAD_VERSION": release.version,
            "FAIRLEAD_COMMIT": release.commit,
            "FAIRLEAD_HOST": self._host,
            _MARK: self._mark(errand.what, errand.key),
        }


def _bearers(mark: bytes) -> Iterator[int]:
    """Processes that were begun with the mark and have not ended. A hook may have begun this agent itself."""
    for path in _PROCESSES.glob("[0-9]*/environ"):
        process = int(path.parent.name)
        with suppress(OSError):  # it has ended, or is another user's
            if process != os.getpid() and mark in path.read_bytes().split(b"\0"):
                yield process
