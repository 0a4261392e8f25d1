"""Topics, queues and subscriptions of one environment in one region, kept as they should be while the controller runs.

What was seen and done is remembered, so that a pass with nothing to do asks AWS nothing; every hour all of it is listed
again, in pages. Everything may be repeated, by anybody, and a pass may end anywhere: what it left is seen in the next.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from adapters.agent_protocol.addresses import agent_queue_name
from adapters.aws.errors import is_throttled
from adapters.aws.gone import gone
from adapters.aws.host_queues import HostQueues, Listener, Step, Subscribed
from adapters.aws.laying import Did, Layer
from adapters.aws.sessions import Sessions
from adapters.aws.throttle import LISTS_A_SECOND, Paced, Throttle
from desired_state.model import FleetName
from reconciler.ports import Clock, Lease, Unreadable

LISTED_EVERY = timedelta(hours=1)
AT_ONCE = 16  # instances
REMOVED_AT_MOST = 1000  # instances' queues an hour: should we ever be wrong, we are not wrong about all


@dataclass(slots=True, kw_only=True)
class Tended:
    """What a pass did, and what it left: `troubles` are sentences; `is_cut`: it ran out of time and is to go on."""

    did: Counter[str] = field(default_factory=Counter)  # "queue made", "subscription removed"
    notes: set[str] = field(default_factory=set)
    troubles: set[str] = field(default_factory=set)
    is_cut: bool = False

    def add(self, steps: Iterable[Step]) -> None:
        """They were taken."""
        for step in steps:
            if step.did is not Did.KEPT:
                self.did[f"{step.kind} {step.did}"] += 1
            if step.note:
                self.notes.add(step.note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What there should be. `alive`: every instance that any known fleet shows here; they are asked nothing about.

    `is_whole`: the region was read for all of the environment's fleets. Else nothing is removed.
    """

    fleets: Sequence[FleetName]
    listeners: Mapping[str, Listener]
    alive: frozenset[str]
    is_whole: bool


class Upkeep:
    """One environment in one region. For one thread at a time; each process that tends it has its own memory."""

    def __init__(
        self,
        sessions: Sessions,
        clock: Clock,
        place: tuple[str, str, str],
        role: str | None,
        pause: Callable[[float], object],
    ) -> None:
        self._sessions, self._clock, self._role = sessions, clock, role
        self._account, self._region, self._environment = place
        self._where = f"account {self._account} in {self._region}"
        self._throttles = {service: Throttle(clock, pause=pause) for service in ("sns", "sqs")}
        self._lists = {service: Throttle(clock, LISTS_A_SECOND, pause) for service in ("sns", "sqs")}
        self._subscribed: Subscribed = {}
        self._looked: dict[FleetName, float] = {}
        self._addresses: dict[str, str] = {}  # of queues that are there, by instance; empty: known by its name only
        self._listed_at: float | None = None
        self._removed = 0  # instances since the last listing
        self._spared: set[str] = set()  # EC2 was asked of these since the last listing, and they are not gone

    def tend(self, wanted: Wanted, lease: Lease, within: timedelta) -> Tended:
        """Bring the world there, as far as that goes in time. Raises `Unreadable` and `LeaseLost`."""
        done = Tended()
        pass_ = _Pass(self._clock, lease, self._clock.monotonic() + within.total_seconds())
        queues, layer = self._hands(pass_)
        try:
            if self._look(wanted.fleets, queues, layer, pass_, done):
                self._connect(wanted, queues, pass_, done)
                if wanted.is_whole and not done.is_cut:
                    self._clean(wanted, queues, layer, pass_, done)
        except Unreadable as trouble:
            if not (done.did and _is_throttled(trouble)):
                raise
            done.is_cut = True
        return done

    def _hands(self, pass_: "_Pass") -> tuple[HostQueues, Layer]:
        sns, sqs = (
            Paced(
                self._client(name), self._throttles[name], pass_.check, lists=self._lists[name], is_over=pass_.is_over
            )
            for name in ("sns", "sqs")
        )
        layer = Layer(sns, sqs, dry_run=False)
        return HostQueues(layer, self._account, self._region, self._subscribed), layer

    def _client(self, service: str) -> Any:
        return self._sessions.client(service, self._region, role=self._role, account=self._account, once=True)

    def _look(
        self, fleets: Sequence[FleetName], queues: HostQueues, layer: Layer, pass_: "_Pass", done: Tended
    ) -> bool:
        """Know what is there, and make topics and the queues of reports; False where time ran out."""
        for left in set(self._subscribed) - set(fleets):
            self._subscribed.pop(left)
            self._looked.pop(left, None)
        for fleet in fleets:
            if self._is_old(self._looked.get(fleet)):
                if pass_.is_over():
                    done.is_cut = True
                    return False
                done.add([queues.topic(fleet)])
                self._looked[fleet] = self._clock.monotonic()
        if self._is_old(self._listed_at):
            done.add(queues.reports(self._environment))
            prefix = agent_queue_name("")
            self._addresses = {name.removeprefix(prefix): url for name, url in layer.queues(prefix)}
            self._spared, self._removed = set(), 0
            self._listed_at = self._clock.monotonic()
        return True

    def _is_old(self, looked_at: float | None) -> bool:
        return looked_at is None or self._clock.monotonic() - looked_at >= LISTED_EVERY.total_seconds()

    def _connect(self, wanted: Wanted, queues: HostQueues, pass_: "_Pass", done: Tended) -> None:
        lacking = [one for host, one in sorted(wanted.listeners.items()) if not self._is_laid(one, queues)]

        def lay(listener: Listener) -> list[Step] | Unreadable | None:
            if pass_.is_over():
                return None
            try:
                steps = queues.lay(listener, is_new=listener.host not in self._addresses)
            except Unreadable as trouble:
                return trouble
            self._addresses.setdefault(listener.host, "")
            return steps

        refused = list[Unreadable]()
        for result in _together(lay, lacking):
            if result is None:
                done.is_cut = True
            elif isinstance(result, Unreadable):
                refused.append(result)
            else:
                done.add(result)
        slow = [each for each in refused if _is_throttled(each)] if done.did else []  # it goes on, only not faster
        done.is_cut = done.is_cut or bool(slow)
        done.troubles |= {str(each) for each in refused if each not in slow}

    def _is_laid(self, listener: Listener, queues: HostQueues) -> bool:
        address = queues.address(listener.host)
        return listener.host in self._addresses and all(address in self._subscribed[one] for one in listener.mine)

    def _clean(self, wanted: Wanted, queues: HostQueues, layer: Layer, pass_: "_Pass", done: Tended) -> None:
        """Remove what belongs to instances that EC2, asked for them by id, calls ended or does not know."""
        prefix = queues.address("")
        heard = {end.removeprefix(prefix) for known in self._subscribed.values() for end in known if prefix in end}
        left = (set(self._addresses) | heard) - wanted.alive - self._spared
        known = gone(self._client("ec2"), left, self._where) if left else None
        self._spared |= left
        if known is None:
            return
        gone_hosts = sorted(known.ended | known.unknown)
        for place, host in enumerate(gone_hosts):
            if self._removed >= REMOVED_AT_MOST:
                done.notes.add(f"{REMOVED_AT_MOST} instances' queues were removed in {self._where}; more go in an hour")
                return
            if pass_.is_over():
                self._spared -= set(gone_hosts[place:])
                done.is_cut = True
                return
            url = self._addresses.get(host) or layer.address(agent_queue_name(host))
            if url is None or queues.is_removable(host, url, known, [self._environment], self._clock):
                done.add(queues.remove(host, url))
                self._removed += 1
                self._addresses.pop(host, None)


class _Pass:
    """How far one pass may go: its lease, and a time that is well before the end of it."""

    def __init__(self, clock: Clock, lease: Lease, until: float) -> None:
        self._clock, self._lease, self._until = clock, lease, until

    def check(self) -> None:
        """Raises `LeaseLost`."""
        self._lease.check()

    def is_over(self) -> bool:
        """Nothing new is begun."""
        return self._clock.monotonic() >= self._until


def _together(
    lay: Callable[[Listener], list[Step] | Unreadable | None], wanted: Sequence[Listener]
) -> Iterator[list[Step] | Unreadable | None]:
    if wanted:
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            yield from pool.map(lay, wanted)


def _is_throttled(trouble: Unreadable) -> bool:
    return isinstance(trouble.__cause__, Exception) and is_throttled(trouble.__cause__)
