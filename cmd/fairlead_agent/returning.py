"""The way back: to the last good release on the disk, and into the target groups again.

It runs no hook, and downloads nothing that it can do without: what was good here once is not kept out by what is new.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from threading import Event

from adapters.agent_protocol.orders import Release
from fairlead_agent.hands import Hands, Touch
from fairlead_agent.journal import Memory
from fairlead_agent.stages import REGISTERING, ROLLING_BACK
from fairlead_agent.steps import Steps
from fairlead_agent.trouble import Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuge:
    """What the newest order says of where a host may go back to, and how that is reached."""

    rejected: Collection[str] = ()  # target digests that failed in this fleet
    base: str = ""  # the id of the fleet's last good release
    hands: Callable[[str], Hands] | None = None  # by root; None: there is one root only

    def at(self, root: str, otherwise: Hands) -> Hands:
        """The hands at a root, where it is known."""
        return self.hands(root) if self.hands is not None and root else otherwise


class WayBack:
    """Where a failed assignment leads to. Raises `Interrupted`, never `Trouble`."""

    def __init__(self, fleet: str, steps: Steps, touch: Touch) -> None:
        self._fleet = fleet
        self._steps = steps
        self._touch = touch

    @property
    def _memory(self) -> Memory:
        return self._steps.memory

    def go_back(
        self,
        failure: Trouble,
        failed: Release,
        hands: Hands,
        stop: Event,
        refuge: Refuge,
    ) -> None:
        """To the last good release on the disk; what failed is reported with it."""
        self._steps.fails(failure)
        good = self._last_good(failed, hands, refuge)
        if good is None:
            self._end_without(failure, failed, hands)
            return
        hands = refuge.at(good.lifecycle.root, hands)
        try:
            with self._steps.at(ROLLING_BACK, good, failure):
                self._leave_again(failed, hands, stop)
                self._stage_again(good, hands, stop)
                hands.installation.activate(good.id)
                self._touch.restart(good, hands, stop)
                self._touch.check(good, hands, stop)
        except Trouble as second:
            said = f"{failure.message}; going back to {good.version} failed as well: {second.message}"
            self._steps.end_failed(Trouble(failure.blame, said, failure.log or second.log))
            return
        self.return_traffic(hands)
        self._steps.log("rolled-back", fleet=self._fleet, version=good.version)
        self._steps.end_failed(failure, rolled_back_to=good.version)

    def _end_without(self, failure: Trouble, failed: Release, hands: Hands) -> None:
        """No release is left: what came with the host may run beneath, as the package of this agent does."""
        beneath = hands.service.beneath(failed.lifecycle.run, hands.folder)
        if not beneath:
            failure = Trouble(failure.blame, f"{failure.message}; there is nothing to go back to", failure.log)
        self._steps.end_failed(failure, rolled_back_to=beneath)

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
            self._steps.log("unreadable-release", fleet=self._fleet, release=name, why=trouble.message)
            return None

    def _stage_again(self, good: Release, hands: Hands, stop: Event) -> None:
        """As it was, where all that this takes is at hand. A changed release is better than a host that runs none."""
        try:
            hands.installation.stage(good, stop)
        except Trouble as trouble:
            self._steps.log("not-mended", fleet=self._fleet, release=good.id, why=trouble.message)

    def _leave_again(self, failed: Release, hands: Hands, stop: Event) -> None:
        """A host that was on its way in goes out once more before its service is stopped, where AWS lets it."""
        if self._memory.failed_at != REGISTERING:
            return
        try:
            self._touch.leave(failed, hands, stop)
        except Trouble as trouble:
            self._steps.log("not-drained", fleet=self._fleet, why=trouble.message)

    def return_traffic(self, hands: Hands) -> None:
        """Into the target groups that it left; a later look tries again where that fails."""
        groups = self._memory.left
        if self._touch.stays_out or not groups:
            return
        try:
            hands.balancer.enter(groups)  # who finds it healthy from here on is theirs to say: nothing waits for it
            self._steps.write_or_imagine(replace(self._memory, left={}))
        except Trouble as trouble:
            self._steps.log("not-registered", fleet=self._fleet, why=trouble.message)
