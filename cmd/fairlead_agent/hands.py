"""What touches the host for one fleet, and what of it both ways share: the way there, and the way back.

Nothing here decides. What a failure of it leads to is told in `lifecycle`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from adapters.agent_protocol.orders import Release
from adapters.agent_protocol.reports import Blame
from fairlead_agent.balancer import Balancer
from fairlead_agent.health import HealthCheck
from fairlead_agent.hooks import Hooks
from fairlead_agent.installation import Installation
from fairlead_agent.journal import Memory
from fairlead_agent.running import Process, below, boot_id, ran, trace
from fairlead_agent.service import Service
from fairlead_agent.steps import Steps
from fairlead_agent.trouble import Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """What touches the host, for one fleet."""

    installation: Installation
    service: Service
    health: HealthCheck
    balancer: Balancer
    hooks: Hooks
    folder: Path  # `<root>/current`: where commands run


class Touch:
    """Stops, starts, asks, leaves and enters, and keeps the journal in step with it."""

    def __init__(self, fleet: str, steps: Steps) -> None:
        self._fleet = fleet
        self._steps = steps
        self.stays_out = False  # of its target groups: the host is about to go

    @property
    def _memory(self) -> Memory:
        return self._steps.memory

    def runs(self, release: Release, hands: Hands) -> bool:
        """It was restarted with this release, in this boot: what runs is that process, or one that came after it."""
        known, run = self._memory.ran, release.lifecycle.run
        if known is None or (known.release, known.boot) != (release.id, boot_id()):
            return False
        process = hands.service.process(run)
        is_older = process is not None and process.began < known.began
        return not is_older and hands.service.is_running(run) and hands.installation.current() == release.id

    def restart(self, release: Release, hands: Hands, stop: Event) -> None:
        """Who runs from here on is written with the next step."""
        lifecycle = release.lifecycle
        hands.service.restart(lifecycle.run, hands.folder, stop, lifecycle.health.within)
        self._steps.imagine(replace(self._memory, ran=ran(release.id, hands.service.process(lifecycle.run))))

    def check(self, release: Release, hands: Hands, stop: Event) -> None:
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
        self._steps.imagine(replace(self._memory, ran=ran(release.id, process)))  # systemd may have started it again

    def _other(self, process: Process, release: Release, hands: Hands) -> str:
        """What the process visibly runs that is not of this release: another one, or the root before this one."""
        place, before = hands.folder.parent, self._memory.last_good_root
        other, is_bare = trace(process, place, release.id)
        if other or not is_bare or before in {"", release.lifecycle.root}:
            return other
        return below(process, Path(str(place).removesuffix(release.lifecycle.root) + before))

    def doubt(self, release: Release, hands: Hands) -> str:
        """Said with a deploy that went well, where nothing shows that the unit starts what was deployed."""
        process = hands.service.process(release.lifecycle.run)
        is_below = all(artifact.format != "deb" for artifact in release.artifacts)
        if process is None or not is_below or not trace(process, hands.folder.parent, release.id)[1]:
            return ""
        unit = release.lifecycle.run.unit
        return f"nothing shows that {unit} runs this release: no path of its process is below {hands.folder}"

    def leave(self, release: Release, hands: Hands, stop: Event) -> None:
        """Out of the target groups, which are written down first: whatever happens, the host finds its way in again."""
        drain = release.lifecycle.drain
        if drain is None:
            return
        groups = {**self._memory.left, **hands.balancer.attached(drain)}
        self._steps.write(replace(self._memory, left=groups))
        hands.balancer.leave(groups)
        if not hands.balancer.wait_drained(groups, drain.within, stop):
            self._steps.log("drained-late", fleet=self._fleet, within=drain.within)

    def enter(self, release: Release, hands: Hands, stop: Event) -> None:
        """Into the groups that it left and those that the settings name. They must find it healthy."""
        groups = self._groups(release, hands)
        if not groups:
            return
        self._steps.write_or_imagine(replace(self._memory, left=groups))
        within = release.lifecycle.health.within + hands.balancer.patience(groups)
        hands.balancer.enter(groups)
        if not hands.balancer.wait_healthy(groups, within, stop):
            raise Trouble(Blame.UNHEALTHY, f"its target groups did not find it healthy within {within:g} s")
        self._steps.write_or_imagine(replace(self._memory, left={}))

    def _groups(self, release: Release, hands: Hands) -> Mapping[str, tuple[int, ...]]:
        return {} if self.stays_out else {**hands.balancer.named(release.lifecycle.drain), **self._memory.left}
