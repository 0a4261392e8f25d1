"""Bringing a release onto the host: stage, drain, activate, restart, check, register; and the way back.

Each stage is written down before it is begun, and may be begun again. Until `activating` nothing that runs is touched.
From there on a failure leads back to the last good release on the disk, by the same stages; also the failure of a later
assignment, as long as none has ended well. Only a healthy host that target groups cannot be told of stays as it is.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from adapters.agent_protocol.orders import Assignment, Release
from adapters.agent_protocol.reports import Blame, Work, WorkState
from fairlead_agent.balancer import Balancer
from fairlead_agent.health import HealthCheck
from fairlead_agent.installation import Installation
from fairlead_agent.journal import Journal, Memory
from fairlead_agent.log import Log
from fairlead_agent.running import Process, below, boot_id, ran, trace
from fairlead_agent.service import Service
from fairlead_agent.stages import (
    ACTIVATING,
    CHECKING,
    DRAINING,
    REGISTERING,
    RESTARTING,
    ROLLING_BACK,
    STAGING,
    TOUCHED,
    UNWRITTEN,
)
from fairlead_agent.trouble import Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What touches the host, for one fleet."""

    installation: Installation
    service: Service
    health: HealthCheck
    balancer: Balancer
    folder: Path  # `<root>/current`: where commands run


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuge:
    """What the newest order says of where a host may go back to, and how that is reached."""

    rejected: Collection[str] = ()  # target digests that failed in this fleet
    base: str = ""  # the id of the fleet's last good release
    hands: Callable[[str], Hands] | None = None  # by root; None: there is one root only

    def at(self, root: str, otherwise: Hands) -> Hands:
        """The hands at a root, where it is known."""
        return self.hands(root) if self.hands is not None and root else otherwise


class Deploy:
    """One fleet's assignments on this host, one at a time. `moved` is called after each step, to report it."""

    def __init__(self, fleet: str, journal: Journal, log: Log, moved: Callable[[], None]) -> None:
        self._fleet = fleet
        self._journal = journal
        self._log = log
        self._moved = moved

    # What a decision asks for. All raise `Interrupted` when `stop` was set, never `Trouble`: how it ended is in memory.

    def settle(self, assignment: Assignment, hands: Hands, stop: Event) -> None:
        """The host is there already: write it down, and see it in its target groups."""
        release = assignment.release
        work = _work(assignment, WorkState.WORKING, REGISTERING)
        begun = replace(self._memory, work=work, release=release, failed_at="", root=release.lifecycle.root)
        self._write_or_imagine(begun)
        try:
            self._enter(release, hands, stop)
        except Trouble as trouble:
            self._end_failed(trouble)
            return
        self._end_well(release, "it was there already")

    def begin(self, assignment: Assignment, hands: Hands, stop: Event, refuge: Refuge) -> None:
        """Begin a new assignment. Nothing is touched where it cannot be written down."""
        release, work = assignment.release, _work(assignment, WorkState.WORKING, STAGING)
        begun = replace(self._memory, work=work, release=release, failed_at="")
        try:
            self._journal.write(begun)
        except Trouble as trouble:
            self._journal.imagine(begun)
            self._give_up(trouble, release, hands, stop, refuge)
            return
        self.resume(release, hands, stop, refuge)

    def resume(self, release: Release, hands: Hands, stop: Event, refuge: Refuge) -> None:
        """Go on with what was begun, at the stage that was written down."""
        if self._stage == ROLLING_BACK:
            self._go_back(self._failure_so_far(), release, hands, stop, refuge)
            return
        try:
            self._converge(release, hands, stop)
        except Trouble as trouble:
            if self._stage == REGISTERING and trouble.blame is not Blame.UNHEALTHY:
                # It was found healthy, and AWS is away or refuses: no reason to stop what runs. A later look enters.
                self._end_failed(trouble, is_whole=True)
            else:
                self._give_up(trouble, release, hands, stop, refuge)
            return
        self._end_well(release, self._doubt(release, hands))

    def withdraw(self, hands: Hands, stop: Event, refuge: Refuge) -> None:
        """Nobody asks for it any more: back to the last good release, where the host was touched."""
        is_going_back = self._stage == ROLLING_BACK
        trouble = self._failure_so_far() if is_going_back else Trouble.of_the_road("the order no longer asks for it")
        if self._memory.release is None:
            self._end_failed(trouble)
            return
        self._give_up(trouble, self._memory.release, hands, stop, refuge)

    def _give_up(self, failure: Trouble, failed: Release, hands: Hands, stop: Event, refuge: Refuge) -> None:
        if self._memory.touched:
            self._go_back(failure, failed, hands, stop, refuge)
            return
        self._return_traffic(hands)
        self._end_failed(failure)

    # The way there

    def _converge(self, release: Release, hands: Hands, stop: Event) -> None:
        if self._stage not in {CHECKING, REGISTERING} or not self._runs(release, hands):
            self._install(release, hands, stop)
        with self._at(CHECKING, release):
            self._check(release, hands, stop)
        if release.lifecycle.drain is not None or self._memory.left:
            with self._at(REGISTERING, release):
                self._enter(release, hands, stop)

    def _runs(self, release: Release, hands: Hands) -> bool:
        """It was restarted with this release, in this boot: what runs is that process, or one that came after it."""
        known, run = self._memory.ran, release.lifecycle.run
        if known is None or (known.release, known.boot) != (release.id, boot_id()):
            return False
        process = hands.service.process(run)
        is_older = process is not None and process.began < known.began
        return not is_older and hands.service.is_running(run) and hands.installation.current() == release.id

    def _install(self, release: Release, hands: Hands, stop: Event) -> None:
        if self._stage not in TOUCHED or release.id not in hands.installation.held():
            with self._at(STAGING, release):
                hands.installation.stage(release, stop)
            if release.lifecycle.drain is not None:
                with self._at(DRAINING, release):
                    self._leave(release, hands, stop)
        with self._at(ACTIVATING, release):
            hands.installation.activate(release.id)
        with self._at(RESTARTING, release):
            self._restart(release, hands, stop)

    def _restart(self, release: Release, hands: Hands, stop: Event) -> None:
        """Who runs from here on is written with the next step."""
        lifecycle = release.lifecycle
        hands.service.restart(lifecycle.run, hands.folder, stop, lifecycle.health.within)
        self._journal.imagine(replace(self._memory, ran=ran(release.id, hands.service.process(lifecycle.run))))

    def _check(self, release: Release, hands: Hands, stop: Event) -> None:
        lifecycle = release.lifecycle
        hands.health.wait(lifecycle.health, hands.folder, stop, lambda: hands.service.failure(lifecycle.run))
        if not hands.service.is_running(lifecycle.run):
            raise Trouble(Blame.UNHEALTHY, "its health check was answered, but its own process is not there")
        process = hands.service.process(lifecycle.run)
        if process is None:
            return
        other = self._other(process, release, hands)
        if other:
            said = f"{lifecycle.run.unit} runs {other}, which is of another release; let it start {hands.folder}"
            raise Trouble(Blame.UNHEALTHY, said)
        self._journal.imagine(replace(self._memory, ran=ran(release.id, process)))  # systemd may have started it again

    def _other(self, process: Process, release: Release, hands: Hands) -> str:
        """What the process visibly runs that is not of this release: another one, or the root before this one."""
        place, before = hands.folder.parent, self._memory.last_good_root
        other, is_bare = trace(process, place, release.id)
        if other or not is_bare or before in {"", release.lifecycle.root}:
            return other
        return below(process, Path(str(place).removesuffix(release.lifecycle.root) + before))

    def _doubt(self, release: Release, hands: Hands) -> str:
        """Said with a deploy that went well, where nothing shows that the unit starts what was deployed."""
        process = hands.service.process(release.lifecycle.run)
        is_below = all(artifact.format != "deb" for artifact in release.artifacts)
        if process is None or not is_below or not trace(process, hands.folder.parent, release.id)[1]:
            return ""
        unit = release.lifecycle.run.unit
        return f"nothing shows that {unit} runs this release: no path of its process is below {hands.folder}"

    def _leave(self, release: Release, hands: Hands, stop: Event) -> None:
        """Out of the target groups, which are written down first: whatever happens, the host finds its way in again."""
        drain = release.lifecycle.drain
        if drain is None:
            return
        groups = {**self._memory.left, **hands.balancer.attached(drain)}
        self._write(left=groups)
        hands.balancer.leave(groups)
        if not hands.balancer.wait_drained(groups, drain.within, stop):
            self._log("drained-late", fleet=self._fleet, within=drain.within)

    def _enter(self, release: Release, hands: Hands, stop: Event) -> None:
        """Into the groups that it left and those that the settings name. They must find it healthy."""
        groups = self._groups(release, hands)
        if not groups:
            return
        self._write_or_imagine(replace(self._memory, left=groups))
        within = release.lifecycle.health.within + hands.balancer.patience(groups)
        hands.balancer.enter(groups)
        if not hands.balancer.wait_healthy(groups, within, stop):
            raise Trouble(Blame.UNHEALTHY, f"its target groups did not find it healthy within {within:g} s")
        self._write_or_imagine(replace(self._memory, left={}))

    def _groups(self, release: Release, hands: Hands) -> Mapping[str, tuple[int, ...]]:
        return {**hands.balancer.named(release.lifecycle.drain), **self._memory.left}

    # The way back

    def _go_back(
        self,
        failure: Trouble,
        failed: Release,
        hands: Hands,
        stop: Event,
        refuge: Refuge,
    ) -> None:
        """To the last good release on the disk; what failed is reported with it."""
        self._fails(failure)
        good = self._last_good(failed, hands, refuge)
        if good is None:
            self._end_failed(Trouble(failure.blame, f"{failure.message}; there is nothing to go back to", failure.log))
            return
        hands = refuge.at(good.lifecycle.root, hands)
        try:
            with self._at(ROLLING_BACK, good, failure):
                self._leave_again(failed, hands, stop)
                self._stage_again(good, hands, stop)
                hands.installation.activate(good.id)
                self._restart(good, hands, stop)
                self._check(good, hands, stop)
        except Trouble as second:
            said = f"{failure.message}; going back to {good.version} failed as well: {second.message}"
            self._end_failed(Trouble(failure.blame, said, failure.log or second.log))
            return
        self._return_traffic(hands)
        self._log("rolled-back", fleet=self._fleet, version=good.version)
        self._end_failed(failure, rolled_back_to=good.version)

    def _last_good(self, failed: Release, hands: Hands, refuge: Refuge) -> Release | None:
        """The last release that was good here, else the fleet's; on the disk, and not one that failed in this fleet."""
        memory, here = self._memory, failed.lifecycle.root
        there = memory.last_good_root or here
        for root, name in ((there, memory.last_good), (here, refuge.base), (there, refuge.base)):
            if name and (root, name) != (here, failed.id):
                found = self._held(name, refuge.at(root, hands))
                if found is not None and found.digest not in refuge.rejected:
                    return found
        return None

    def _held(self, name: str, hands: Hands) -> Release | None:
        if name not in hands.installation.held():
            return None
        try:
            return hands.installation.release(name)
        except Trouble as trouble:
            self._log("unreadable-release", fleet=self._fleet, release=name, why=trouble.message)
            return None

    def _stage_again(self, good: Release, hands: Hands, stop: Event) -> None:
        """As it was, where all that this takes is at hand. A changed release is better than a host that runs none."""
        try:
            hands.installation.stage(good, stop)
        except Trouble as trouble:
            self._log("not-mended", fleet=self._fleet, release=good.id, why=trouble.message)

    def _leave_again(self, failed: Release, hands: Hands, stop: Event) -> None:
        """A host that was on its way in goes out once more before its service is stopped, where AWS lets it."""
        if self._memory.failed_at != REGISTERING:
            return
        try:
            self._leave(failed, hands, stop)
        except Trouble as trouble:
            self._log("not-drained", fleet=self._fleet, why=trouble.message)

    def _return_traffic(self, hands: Hands) -> None:
        """Into the target groups that it left; a later look tries again where that fails."""
        groups = self._memory.left
        if not groups:
            return
        try:
            hands.balancer.enter(groups)  # who finds it healthy from here on is theirs to say: nothing waits for it
            self._write_or_imagine(replace(self._memory, left={}))
        except Trouble as trouble:
            self._log("not-registered", fleet=self._fleet, why=trouble.message)

    def reenter(self, hands: Hands) -> None:
        """A host that is still out of target groups that it left goes in again."""
        if not self._memory.unfinished:
            self._return_traffic(hands)

    # Writing down

    @property
    def _memory(self) -> Memory:
        return self._journal.memory

    @property
    def _stage(self) -> str:
        return self._memory.work.stage if self._memory.work is not None else ""

    def _failure_so_far(self) -> Trouble:
        """What was written down when the way back was begun."""
        work = self._memory.work
        return Trouble(work.blame, work.message, work.log) if work is not None else Trouble(Blame.UNHEALTHY, "")

    @contextmanager
    def _at(self, stage: str, release: Release, failure: Trouble | None = None) -> Iterator[None]:
        """A stage: written down, said, and done."""
        memory = self._memory_at(stage, release, failure)
        if stage in UNWRITTEN:
            self._write_or_imagine(memory)
        else:
            self._journal.write(memory)
        self._log(stage, fleet=self._fleet, version=release.version, release=release.id)
        self._moved()
        yield

    def _memory_at(self, stage: str, release: Release, failure: Trouble | None) -> Memory:
        work = self._memory.work
        if work is not None:
            work = replace(work, stage=stage)
        if work is not None and failure is not None:
            work = replace(work, message=failure.message, blame=failure.blame, log=failure.log)
        if stage not in TOUCHED:
            return replace(self._memory, work=work)
        return replace(self._memory, work=work, touched=stage, root=release.lifecycle.root)

    def _fails(self, failure: Trouble) -> None:
        self._log("failed", fleet=self._fleet, stage=self._stage, blame=failure.blame, why=failure.message)
        if self._stage != ROLLING_BACK:
            self._journal.imagine(replace(self._memory, failed_at=self._stage))  # written with the next step

    def _write(self, **changes: object) -> None:
        self._journal.write(replace(self._memory, **changes))  # type: ignore[arg-type]

    def _write_or_imagine(self, memory: Memory) -> None:
        try:
            self._journal.write(memory)
        except Trouble as trouble:
            self._log("not-written", fleet=self._fleet, why=trouble.message)
            self._journal.imagine(memory)

    def _end_well(self, release: Release, message: str) -> None:
        work = self._memory.work
        if work is None:
            return
        ended = replace(work, state=WorkState.DONE, stage="", message=message, blame=Blame.NONE, log="")
        good = replace(self._memory, work=ended, failed_at="", touched="")
        good = replace(good, last_good=release.id, last_good_version=release.version)
        self._write_or_imagine(replace(good, last_good_root=release.lifecycle.root))
        self._log("done", fleet=self._fleet, version=release.version, release=release.id)

    def _end_failed(self, failure: Trouble, rolled_back_to: str = "", *, is_whole: bool = False) -> None:
        """Ended. Where that cannot be written, it is tried again after a restart of the agent.

        `is_whole`: what runs is what is installed, though the host did not go back.
        """
        work = self._memory.work
        if work is None:
            return
        ended = replace(
            work,
            state=WorkState.FAILED,
            stage=self._memory.failed_at or work.stage,
            message=failure.message,
            blame=failure.blame,
            rolled_back_to=rolled_back_to,
            log=failure.log,
        )
        touched = "" if rolled_back_to or is_whole else self._memory.touched
        self._write_or_imagine(replace(self._memory, work=ended, failed_at="", touched=touched))
        self._log("ended-failed", fleet=self._fleet, stage=ended.stage, blame=failure.blame, why=failure.message)


def _work(assignment: Assignment, state: WorkState, stage: str) -> Work:
    return Work(
        key=assignment.key, version=assignment.release.version, attempt=assignment.attempt, state=state, stage=stage
    )
