"""Topics, queues and subscriptions of the environments that leave them to us (`trigger: {queues: controller}`).

Not a feed, but driven as one: by name, `<account>/<region>/<environment>`, under a lease, due when the instances of its
fleets changed and every hour. Agents look by themselves: while a queue is missing a deploy is later, never lost.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from adapters.aws.host_queues import Listener
from adapters.aws.inventory import inventory_feed
from adapters.aws.sessions import Sessions
from adapters.aws.upkeep import LISTED_EVERY, Tended, Upkeep, Wanted
from adapters.feeds.pacing import Pacing
from adapters.feeds.reports import DEPLOY_TYPE, Place, names_of
from desired_state.model import Environment, Fleet, FleetName
from reconciler.loop import Log
from reconciler.ports import Clock, Lease, Ledger, Unreadable
from reconciler.record import Record

WATCHED_EVERY = timedelta(minutes=1)  # by who only observes
AGAIN = timedelta(seconds=10)  # after trouble; later and later, up to five minutes


class Plumbing:
    """Keeps it by name. `within`: the time of one pass, well below its lease."""

    def __init__(
        self,
        ledger: Ledger,
        sessions: Sessions,
        clock: Clock,
        log: Log,
        *,
        within: timedelta,
        acts: bool = True,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._ledger = ledger
        self._sessions = sessions
        self._clock = clock
        self._log = log
        self._within = within
        self._acts = acts
        self._pause = pause
        self._pacing = Pacing(clock, AGAIN)
        self._kept: dict[tuple[str, str | None], Upkeep] = {}
        self._well: set[str] = set()  # names without trouble, as far as this process knows
        self._told: set[str] = set()
        self.did: Counter[str] = Counter()  # "queue_made", "subscription_removed": by this process, so far

    def names(self, fleets: Iterable[Fleet]) -> Iterator[str]:
        """The names that these fleets belong to."""
        yield from (name for fleet in fleets if is_kept(fleet.environment) for name in names_of(fleet))

    def run(self, name: str, lease: Lease) -> datetime | None:
        """One pass; gives the time of the next, None where there is nothing to keep. Raises `LeaseLost`."""
        place = Place(*name.split("/"))
        fleets = self._fleets(place)
        mine = [one for one in fleets.values() if one.environment.name == place.environment]
        if not self._acts:  # the name is shared: it goes back to who acts
            return self._clock.now() + WATCHED_EVERY
        if not any(is_kept(one.environment) for one in mine):
            self._ledger.record_snapshots(lease, feed(name), {}, self._clock.now())
            return None
        role = min((one.environment.role for one in mine), key=str)
        try:
            done = self._upkeep(name, place, role).tend(self._wanted(place, fleets), lease, self._within)
        except Unreadable as trouble:
            return self._failed(name, lease, [str(trouble)])
        self._tell(name, done)
        if done.troubles:
            return self._failed(name, lease, sorted(done.troubles))
        if name not in self._well:
            self._ledger.record_snapshots(lease, feed(name), {}, self._clock.now())
            self._well.add(name)
        self._pacing.succeeded(name)
        return self._clock.now() if done.is_cut else self._clock.now() + LISTED_EVERY

    def _failed(self, name: str, lease: Lease, troubles: list[str]) -> datetime:
        more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
        self._well.discard(name)
        self._ledger.record_trouble(lease, feed(name), f"{troubles[0]}{more}")
        return self._pacing.failed(name)

    def _tell(self, name: str, done: Tended) -> None:
        did = {what.replace(" ", "_"): number for what, number in sorted(done.did.items())}
        self.did.update(did)
        if did or done.is_cut:
            self._log.info("plumbing", name=name, to_be_continued=done.is_cut, **did)
        for note in sorted(done.notes - self._told):
            self._log.warning("left as it is", name=name, why=note)
        self._told |= done.notes

    def _upkeep(self, name: str, place: Place, role: str | None) -> Upkeep:
        if (name, role) not in self._kept:
            self._kept[name, role] = Upkeep(self._sessions, self._clock, place, role, self._pause)
        return self._kept[name, role]

    def _fleets(self, place: Place) -> dict[FleetName, Fleet]:
        """All trigger fleets of the account and region, by name: an instance may be of several environments."""
        return {
            record.name: record.desired
            for record in self._ledger.fleets()
            if record.present and record.desired is not None and _is_there(record.desired, place)
        }

    def _wanted(self, place: Place, fleets: Mapping[FleetName, Fleet]) -> Wanted:
        records = {record.name: record for record in self._ledger.load_many(set(fleets))}
        shown = {name: _hosts(records.get(name), place) for name in fleets}
        mine = sorted(name for name in fleets if name.partition("/")[0] == place.environment)
        members = {name: hosts or frozenset() for name, hosts in shown.items()}
        return Wanted(
            fleets=mine,
            listeners=_listeners(members, place.environment),
            alive=frozenset().union(*members.values()),
            is_whole=all(shown[name] is not None for name in mine),
        )


def feed(name: str) -> str:
    """Under which its trouble is recorded."""
    return f"plumbing/{name}"


def is_kept(environment: Environment) -> bool:
    """The controller is to keep its topics and queues."""
    return environment.trigger.get("queues") == "controller"


def _is_there(fleet: Fleet, place: Place) -> bool:
    where = fleet.environment
    return fleet.deploy_type == DEPLOY_TYPE and where.account == place.account and place.region in where.regions


def _hosts(record: Record | None, place: Place) -> frozenset[str] | None:
    """The fleet's instances there; None where the region was not read for it yet."""
    part = record.snapshots.get(inventory_feed(place.account, place.region)) if record is not None else None
    return frozenset(part.body.get("hosts", ())) if part is not None else None


def _listeners(members: Mapping[FleetName, frozenset[str]], environment: str) -> dict[str, Listener]:
    """The instances with a fleet of this environment, and all fleets of each."""
    found: dict[str, tuple[list[FleetName], list[FleetName]]] = {}
    for name in sorted(members):
        is_other = name.partition("/")[0] != environment
        for host in members[name]:
            found.setdefault(host, ([], []))[is_other].append(name)
    return {host: Listener(host=host, mine=mine, others=others) for host, (mine, others) in found.items() if mine}
