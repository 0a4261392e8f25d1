"""What a fleet runs on this host, as it is really found: files and packages, the process, its health, its groups."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Event

from adapters.agent_protocol.orders import Drain, Order, Release
from fairlead_agent.clock import Clock, jittered
from fairlead_agent.deciding import Observation
from fairlead_agent.hands import Hands
from fairlead_agent.journal import Memory
from fairlead_agent.log import Log
from fairlead_agent.running import Process, is_of_another, ran, trace
from fairlead_agent.trouble import Trouble

GROUPS_EVERY = 600.0  # seconds between two looks into the target groups that settings name
ALL_GROUPS_EVERY = 86_400.0  # the same into all of the region: each costs a request, and a deploy looks by itself
AGAIN = 1.0  # seconds after which a failed health check is asked once more


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was found. `release` is the active one; None: nothing of ours is active."""

    release: Release | None = None
    components: Mapping[str, str] = field(default_factory=dict)
    running: bool = False
    ailment: str = "nothing is installed"  # empty: it is healthy
    groups: tuple[str, ...] = ()
    process: Process | None = None  # None: nobody can tell
    stale: bool = False  # that process is of another release
    root: str | None = None  # where this was looked for

    @property
    def facts(self) -> Observation:
        """What is decided by."""
        return Observation(
            release=self.release.id if self.release else None,
            whole=self.release is not None and dict(self.components) == dict(self.release.components),
            running=self.running,
            healthy=not self.ailment,
            stale=self.stale,
            root=self.root,
        )

    def claiming_nothing(self, ailment: str) -> "Seen":
        """The same, where nobody can say which version runs."""
        return replace(self, components={}, ailment=self.ailment or ailment)


def witnessed(memory: Memory, seen: Seen) -> Memory:
    """The memory of who runs the active release, and that the host is sound again where its way back failed."""
    if seen.release is None or seen.process is None:
        return memory
    is_known = memory.ran is not None and memory.ran.is_by(seen.process)
    has_failed = memory.release is not None and memory.release.id == seen.release.id
    if is_known and memory.touched and not has_failed and seen.facts.is_at(seen.release.id):
        return replace(memory, touched="")  # that way failed before it began: what runs was never stopped, or came late
    if not is_known and not memory.touched:
        return replace(memory, ran=ran(seen.release.id, seen.process))
    return memory


class Observer:
    """Looks at one fleet on this host. Touches nothing."""

    def __init__(self, fleet: str, clock: Clock, log: Log) -> None:
        self._fleet = fleet
        self._clock = clock
        self._log = log
        self._groups: tuple[str, ...] = ()
        self._groups_due = 0.0

    def look(self, hands: Hands, order: Order | None, memory: Memory, stop: Event) -> Seen:
        """Everything. Raises nothing but `Interrupted`."""
        release = self._active(hands, order, memory)
        if release is None:
            return Seen()
        running, process = hands.service.is_running(release.lifecycle.run), hands.service.process(release.lifecycle.run)
        return Seen(
            release=release,
            components=hands.installation.observe(),
            running=running,
            ailment=self._ailment(release, hands, running, stop),
            groups=self._attached(release.lifecycle.drain, hands),
            process=process,
            stale=process is not None and self._is_stale(process, release, hands, memory),
        )

    def _is_stale(self, process: Process, release: Release, hands: Hands, memory: Memory) -> bool:
        since_boot, now = self._clock.monotonic(), self._clock.now()
        if is_of_another(process, release.id, memory.ran, hands.folder, since_boot, now):
            return True
        return bool(trace(process, hands.folder.parent, release.id)[0])

    def forget_groups(self) -> None:
        """Look for them at the next look: something was done to them."""
        self._groups_due = 0.0

    def _active(self, hands: Hands, order: Order | None, memory: Memory) -> Release | None:
        """The active release, by the newest word on how it is run: its settings may change and its files may not."""
        name = hands.installation.current()
        if name is None:
            return None
        said = [order.target, order.base] if order is not None else []
        for known in (*said, memory.release):
            if known is not None and known.id == name:
                return known
        try:
            return hands.installation.release(name)
        except Trouble as trouble:
            self._log("unreadable-release", fleet=self._fleet, release=name, why=trouble.message)
            return None

    def _ailment(self, release: Release, hands: Hands, running: bool, stop: Event) -> str:
        if not running:
            return f"{release.lifecycle.run.unit} is not running"
        said = hands.health.ailment(release.lifecycle.health, hands.folder, stop)
        if said and not stop.wait(AGAIN):
            said = hands.health.ailment(release.lifecycle.health, hands.folder, stop)
        return said

    def _attached(self, drain: Drain | None, hands: Hands) -> tuple[str, ...]:
        if drain is None:
            return ()
        if self._clock.monotonic() >= self._groups_due:
            pause = ALL_GROUPS_EVERY if drain.groups is None else GROUPS_EVERY
            try:
                self._groups = tuple(sorted(hands.balancer.attached(drain)))
            except Trouble as trouble:
                self._log("groups-unknown", fleet=self._fleet, why=trouble.message)
                pause = GROUPS_EVERY
            self._groups_due = self._clock.monotonic() + jittered(pause)
        return self._groups
