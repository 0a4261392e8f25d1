"""Bringing a release onto the host: stage, drain, activate, restart, check, register; with its hooks in between.

Each stage is written down before it is begun, and may be begun again. Until `activating` nothing that runs is touched.
From there on a failure leads back to the last good release on the disk, by the same stages; also the failure of a later
assignment, as long as none has ended well. Only a healthy host that target groups cannot be told of stays as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from threading import Event

from adapters.agent_protocol.orders import Assignment, Hook, Release
from adapters.agent_protocol.reports import Blame, Work, WorkState
from fairlead_agent.hands import Hands, Touch
from fairlead_agent.hooks import Errand
from fairlead_agent.journal import Journal, Memory
from fairlead_agent.log import Log
from fairlead_agent.returning import Refuge, WayBack
from fairlead_agent.stages import (
    ACTIVATING,
    CHECKING,
    DRAINING,
    HOOKS,
    POST_HOOK,
    PRE_HOOK,
    REGISTERING,
    RESTARTING,
    ROLLING_BACK,
    STAGING,
    TOUCHED,
)
from fairlead_agent.steps import Steps
from fairlead_agent.trouble import Trouble


class Deploy:
    """One fleet's assignments on this host, one at a time. `moved` is called after each step, to report it."""

    def __init__(self, fleet: str, journal: Journal, log: Log, moved: Callable[[], None]) -> None:
        self._steps = Steps(fleet, journal, log, moved)
        self._touch = Touch(fleet, self._steps)
        self._back = WayBack(fleet, self._steps, self._touch)

    @property
    def _memory(self) -> Memory:
        return self._steps.memory

    @property
    def stays_out(self) -> bool:
        """It enters no target group: the host is about to go."""
        return self._touch.stays_out

    @stays_out.setter
    def stays_out(self, stays_out: bool) -> None:
        self._touch.stays_out = stays_out

    # What a decision asks for. All raise `Interrupted` when `stop` was set, never `Trouble`: how it ended is in memory.

    def settle(self, assignment: Assignment, hands: Hands, stop: Event) -> None:
        """The host is there already: write it down, and see it in its target groups."""
        release = assignment.release
        work = _work(assignment, WorkState.WORKING, REGISTERING)
        begun = replace(self._memory, work=work, release=release, failed_at="", root=release.lifecycle.root)
        self._steps.write_or_imagine(begun)
        try:
            self._touch.enter(release, hands, stop)
        except Trouble as trouble:
            self._steps.end_failed(trouble)
            return
        self._steps.end_well(release, "it was there already")

    def begin(self, assignment: Assignment, hands: Hands, stop: Event, refuge: Refuge) -> None:
        """Begin a new assignment. Nothing is touched where it cannot be written down."""
        release, work = assignment.release, _work(assignment, WorkState.WORKING, STAGING)
        begun = replace(self._memory, work=work, release=release, failed_at="")
        try:
            self._steps.write(begun)
        except Trouble as trouble:
            self._steps.imagine(begun)
            self._give_up(trouble, release, hands, stop, refuge)
            return
        self.resume(release, hands, stop, refuge)

    def resume(self, release: Release, hands: Hands, stop: Event, refuge: Refuge) -> None:
        """Go on with what was begun, at the stage that was written down."""
        if self._steps.stage == ROLLING_BACK:
            self._back.go_back(self._steps.failure_so_far(), release, hands, stop, refuge)
            return
        try:
            self._converge(release, hands, stop)
        except Trouble as trouble:
            if self._steps.stage == REGISTERING and trouble.blame is not Blame.UNHEALTHY:
                # It was found healthy, and AWS is away or refuses: no reason to stop what runs. A later look enters.
                self._steps.end_failed(trouble, is_whole=True)
            else:
                self._give_up(trouble, release, hands, stop, refuge)
            return
        self._steps.end_well(release, self._touch.doubt(release, hands))

    def withdraw(self, hands: Hands, stop: Event, refuge: Refuge) -> None:
        """Nobody asks for it any more: back to the last good release, where the host was touched."""
        is_going_back = self._steps.stage == ROLLING_BACK
        trouble = Trouble.of_the_road("the order no longer asks for it")
        if is_going_back:
            trouble = self._steps.failure_so_far()
        if self._memory.release is None:
            self._steps.end_failed(trouble)
            return
        self._give_up(trouble, self._memory.release, hands, stop, refuge)

    def _give_up(
        self,
        failure: Trouble,
        failed: Release,
        hands: Hands,
        stop: Event,
        refuge: Refuge,
    ) -> None:
        if self._memory.touched:
            self._back.go_back(failure, failed, hands, stop, refuge)
            return
        self._back.return_traffic(hands)
        self._steps.end_failed(failure)

    # The way there

    def _converge(self, release: Release, hands: Hands, stop: Event) -> None:
        begun_at = self._steps.stage
        if begun_at not in {CHECKING, POST_HOOK, REGISTERING} or not self._touch.runs(release, hands):
            self._install(release, hands, stop)
            begun_at = ""
        with self._steps.at(CHECKING, release):
            self._touch.check(release, hands, stop)
        if begun_at != REGISTERING:  # else it ended well before the agent did
            self._hook(POST_HOOK, release.lifecycle.post, release, hands, stop)
        if release.lifecycle.drain is not None or self._memory.left:
            with self._steps.at(REGISTERING, release):
                self._touch.enter(release, hands, stop)

    def _install(self, release: Release, hands: Hands, stop: Event) -> None:
        if self._steps.stage not in TOUCHED or release.id not in hands.installation.held():
            with self._steps.at(STAGING, release):
                hands.installation.stage(release, stop)
            self._hook(PRE_HOOK, release.lifecycle.pre, release, hands, stop)
            if release.lifecycle.drain is not None:
                with self._steps.at(DRAINING, release):
                    self._touch.leave(release, hands, stop)
        with self._steps.at(ACTIVATING, release):
            hands.installation.activate(release.id)
        with self._steps.at(RESTARTING, release):
            self._touch.restart(release, hands, stop)

    def _hook(self, stage: str, hook: Hook | None, release: Release, hands: Hands, stop: Event) -> None:
        """The release's own command. One that an agent's end cut off is run again: it must be safe to repeat."""
        work = self._memory.work
        if hook is None or work is None:
            return
        errand = Errand(
            what=_called(stage),
            key=work.key,
            command=hook.command,
            within=hook.within,
            release=release,
            folder=hands.installation.folder(release.id),
        )
        with self._steps.at(stage, release):
            hands.hooks.run(errand, stop)

    def mend(self, hands: Hands) -> None:
        """End what an agent before this one left of a hook: what comes next may be another release."""
        work = self._memory.work
        if work is not None and work.state is WorkState.WORKING and work.stage in HOOKS:
            hands.hooks.end(_called(work.stage), work.key)

    def reenter(self, hands: Hands) -> None:
        """A host that is still out of target groups that it left goes in again."""
        if not self._memory.unfinished:
            self._back.return_traffic(hands)


def _called(stage: str) -> str:
    """A hook by its stage, for people."""
    return stage.replace("-", " ")


def _work(assignment: Assignment, state: WorkState, stage: str) -> Work:
    return Work(
        key=assignment.key, version=assignment.release.version, attempt=assignment.attempt, state=state, stage=stage
    )
