"""Writing down: each stage before it is begun, and how an assignment ended. What cannot be written is said."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from adapters.agent_protocol.orders import Release
from adapters.agent_protocol.reports import Blame, WorkState
from fairlead_agent.journal import Journal, Memory
from fairlead_agent.log import Log
from fairlead_agent.stages import ROLLING_BACK, TOUCHED, UNWRITTEN
from fairlead_agent.trouble import Trouble


class Steps:
    """One fleet's journal, as the stages of its assignments need it. `moved` is called after each, to report it."""

    def __init__(self, fleet: str, journal: Journal, log: Log, moved: Callable[[], None]) -> None:
        self._fleet = fleet
        self._journal = journal
        self.log = log
        self.moved = moved

    @property
    def memory(self) -> Memory:
        return self._journal.memory

    @property
    def stage(self) -> str:
        return self.memory.work.stage if self.memory.work is not None else ""

    def failure_so_far(self) -> Trouble:
        """What was written down when the way back was begun."""
        work = self.memory.work
        return Trouble(work.blame, work.message, work.log) if work is not None else Trouble(Blame.UNHEALTHY, "")

    @contextmanager
    def at(self, stage: str, release: Release, failure: Trouble | None = None) -> Iterator[None]:
        """A stage: written down, said, and done."""
        memory = self._memory_at(stage, release, failure)
        if stage in UNWRITTEN:
            self.write_or_imagine(memory)
        else:
            self._journal.write(memory)
        self.log(stage, fleet=self._fleet, version=release.version, release=release.id)
        self.moved()
        yield

    def _memory_at(self, stage: str, release: Release, failure: Trouble | None) -> Memory:
        work = self.memory.work
        if work is not None:
            work = replace(work, stage=stage)
        if work is not None and failure is not None:
            work = replace(work, message=failure.message, blame=failure.blame, log=failure.log)
        if stage not in TOUCHED:
            return replace(self.memory, work=work)
        return replace(self.memory, work=work, touched=stage, root=release.lifecycle.root)

    def fails(self, failure: Trouble) -> None:
        self.log("failed", fleet=self._fleet, stage=self.stage, blame=failure.blame, why=failure.message)
        if self.stage != ROLLING_BACK:
            self._journal.imagine(replace(self.memory, failed_at=self.stage))  # written with the next step

    def write(self, memory: Memory) -> None:
        """Raises `Trouble` where it cannot be written down."""
        self._journal.write(memory)

    def imagine(self, memory: Memory) -> None:
        """Go on with this; it is written with the next step."""
        self._journal.imagine(memory)

    def write_or_imagine(self, memory: Memory) -> None:
        try:
            self._journal.write(memory)
        except Trouble as trouble:
            self.log("not-written", fleet=self._fleet, why=trouble.message)
            self._journal.imagine(memory)

    def end_well(self, release: Release, message: str) -> None:
        work = self.memory.work
        if work is None:
            return
        ended = replace(work, state=WorkState.DONE, stage="", message=message, blame=Blame.NONE, log="")
        good = replace(self.memory, work=ended, failed_at="", touched="")
        good = replace(good, last_good=release.id, last_good_version=release.version)
        self.write_or_imagine(replace(good, last_good_root=release.lifecycle.root))
        self.log("done", fleet=self._fleet, version=release.version, release=release.id)

    def end_failed(self, failure: Trouble, rolled_back_to: str = "", *, is_whole: bool = False) -> None:
        """Ended. Where that cannot be written, it is tried again after a restart of the agent.

        `is_whole`: what runs is what is installed, though the host did not go back.
        """
        work = self.memory.work
        if work is None:
            return
        ended = replace(
            work,
            state=WorkState.FAILED,
            stage=self.memory.failed_at or work.stage,
            message=failure.message,
            blame=failure.blame,
            rolled_back_to=rolled_back_to,
            log=failure.log,
        )
        touched = "" if rolled_back_to or is_whole else self.memory.touched
        self.write_or_imagine(replace(self.memory, work=ended, failed_at="", touched=touched))
        self.log("ended-failed", fleet=self._fleet, stage=ended.stage, blame=failure.blame, why=failure.message)
