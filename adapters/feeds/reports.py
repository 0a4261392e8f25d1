"""The feed of what agents report: one queue an environment and region, drained into the ledger.

The feed `reports/<account>/<region>/<environment>` holds for each trigger fleet the newest report of every host. A
report counts only where SQS says that the instance which it speaks of sent it. Messages are deleted when the ledger has
them: a crash between the two brings them again, and twice is once. What nobody can read stays, until SQS moves it to
the queue for that (`agent_protocol.addresses.dead_reports_queue_name`); without one it goes after as many reads.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple, Protocol, Self

from adapters.agent_protocol.addresses import reports_queue_name
from adapters.agent_protocol.fields import Malformed
from adapters.agent_protocol.plain_text import one_line
from adapters.agent_protocol.reports import Report, read_report
from adapters.aws.host_queues import READ_AT_MOST
from adapters.aws.inventory import inventory_feed
from adapters.aws.queues import BATCH, Look, Message, SqsQueue
from adapters.aws.sessions import Sessions
from adapters.feeds.pacing import Pacing
from adapters.ledger.reports import HostReport
from adapters.trigger.feeds import reports_feed
from adapters.trigger.settings import settings_of
from desired_state.model import Fleet, FleetName, Sha
from reconciler.loop import Log
from reconciler.ports import Clock, Lease, Ledger, Unreadable
from reconciler.record import Record

DEPLOY_TYPE = "trigger"
SHORTEST_WAIT, LONGEST_WAIT = timedelta(seconds=1), timedelta(minutes=1)  # after failures: who does not read is deaf
GATHER = timedelta(milliseconds=200)  # after messages, for more to come: a look costs the same for one and for many
KEPT_SILENT = timedelta(days=1)  # the last word of a host that EC2 does not show any more
TIDIED_EVERY = 3600.0  # seconds
TOLD_AT_MOST = 10_000  # what was said in the log once, remembered
VOLATILE = frozenset({"number", "at"})  # differ in every report, and mean nothing new

Silence = Mapping[FleetName, timedelta]  # how long a host of each fleet may say nothing


class ReportsLedger(Ledger, Protocol):
    """A ledger that keeps reports by host; see `adapters.ledger.reports`."""

    def record_reports(
        self,
        lease: Lease,
        feed: str,
        said: Iterable[HostReport],
        fleets: Collection[FleetName],
        read_at: datetime | None,
        patience: Mapping[FleetName, timedelta] | None = None,
    ) -> tuple[FleetName, ...]: ...
    def heads(self) -> Mapping[str, Sha]: ...
    def silent_hosts(self, feed: str, since: datetime) -> Sequence[tuple[FleetName, str]]: ...
    def forget_hosts(self, lease: Lease, feed: str, gone: Iterable[tuple[FleetName, str]]) -> None: ...


class Place(NamedTuple):
    """Where a queue is."""

    account: str
    region: str
    environment: str

    @property
    def feed(self) -> str:
        """The name of its feed."""
        return reports_feed(*self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Who reports into which queue, as of these heads. Queues are looked at without a pause: what they cost counts."""

    heads: Mapping[str, Sha]
    queues: Mapping[str, Sequence[Fleet]]  # by `<account>/<region>/<environment>`
    silence: Mapping[str, Silence]
    passing: bool  # some are there only for work that is still to end

    @classmethod
    def of(
        cls,
        heads: Mapping[str, Sha],
        managed: Mapping[FleetName, Fleet],
        working: Iterable[Fleet],
        silent_after: Callable[[Fleet], timedelta],
    ) -> Self:
        """Those that are managed, and those that are not any more while work of theirs is still to end."""
        left = {fleet.name: fleet for fleet in working if fleet.name not in managed}
        queues: dict[str, list[Fleet]] = defaultdict(list)
        for fleet in (*managed.values(), *left.values()):
            for name in names_of(fleet):
                queues[name].append(fleet)
        silence = {name: {fleet.name: silent_after(fleet) for fleet in fleets} for name, fleets in queues.items()}
        return cls(heads=heads, queues=queues, silence=silence, passing=bool(left))


class Reports:
    """Reads reports by name, `<account>/<region>/<environment>`."""

    def __init__(self, ledger: ReportsLedger, sessions: Sessions, clock: Clock, wait: timedelta, log: Log) -> None:
        self._ledger = ledger
        self._sessions = sessions
        self._clock = clock
        self._wait = wait
        self._log = log
        self._pacing = Pacing(clock, max(wait, SHORTEST_WAIT), longest=LONGEST_WAIT)
        self._queues: dict[tuple[Place, str | None], SqsQueue] = {}
        self._told: set[tuple[str, str]] = set()
        self.dropped: Counter[str] = Counter()  # messages that did not count, by why
        self._tidied: dict[Place, float] = {}
        self._census: Census | None = None
        self._counting = Lock()
        self._silences: dict[FleetName, tuple[Fleet, timedelta]] = {}

    def names(self) -> frozenset[str]:
        """Every `<account>/<region>/<environment>` in which a trigger fleet lives."""
        return frozenset(self._counted().queues)

    def run(self, name: str, lease: Lease) -> datetime | None:
        """Drain one queue into the ledger; gives the time of the next look, None where no fleet is.

        Raises `LeaseLost`.
        """
        place = Place(*name.split("/"))
        census = self._counted()
        if name not in census.queues:
            self._ledger.record_reports(lease, place.feed, (), (), None)
            return None
        try:
            found = self._drain(place, census.queues[name], census.silence[name], lease)
        except Unreadable as trouble:
            self._ledger.record_trouble(lease, place.feed, str(trouble))
            return self._pacing.failed(name)
        self._tidy(place, lease)
        self._pacing.succeeded(name)
        return self._clock.now() + (GATHER if found else timedelta(0))  # who found nothing has waited long enough

    def _drain(self, place: Place, fleets: Sequence[Fleet], silence: Silence, lease: Lease) -> bool:
        """False where nothing was in it."""
        queue = self._queue(place, min((fleet.environment.role for fleet in fleets), key=str))
        look = queue.look(self._wait, self._clock)
        read = [(message, self._read(message)) for message in look.messages]
        said = list(self._believed(read, silence))
        self._ledger.record_reports(lease, place.feed, said, silence, _known_until(look, read), silence)
        queue.delete([message for message, report in read if report is not None or message.received > READ_AT_MOST])
        return bool(look.messages)

    def _read(self, message: Message) -> Report | None:
        """None where nobody can: it stays, and SQS puts it aside when it was received too often."""
        try:
            return read_report(message.body)
        except Malformed as trouble:
            self._drop("report malformed", message, why=str(trouble))
            return None

    def _queue(self, place: Place, role: str | None) -> SqsQueue:
        if (place, role) not in self._queues:
            client = self._sessions.client("sqs", place.region, role=role, account=place.account)
            name = reports_queue_name(place.environment)
            missing = (
                f"there is no queue {name} in {place.region} of account {place.account}; "
                f"make it with `fairlead trigger setup`"
            )
            self._queues[place, role] = SqsQueue(client, name, missing)
        return self._queues[place, role]

    def _believed(self, read: Iterable[tuple[Message, Report | None]], silence: Silence) -> Iterator[HostReport]:
        for message, report in read:
            if report is None:
                continue
            if message.session != report.host:
                self._drop("report of another host", message, host=report.host, fleet=report.fleet)
            elif report.fleet not in silence:
                self._drop("report of an unknown fleet", message, fleet=report.fleet)
            else:
                yield _kept(report, message, silence[report.fleet])

    def _drop(self, said: str, message: Message, **context: str) -> None:
        """Told once for each sender: one that goes on does not fill the log."""
        self.dropped[said.replace(" ", "_")] += 1
        if (said, message.sender) in self._told:
            return
        if len(self._told) >= TOLD_AT_MOST:
            self._told.clear()
        self._told.add((said, message.sender))
        shown = {name: one_line(value)[:100] for name, value in context.items()}
        self._log.warning(said, sender=message.sender, **shown)

    def _tidy(self, place: Place, lease: Lease) -> None:
        """Now and then, forget hosts that are silent for a day and that EC2 does not show any more."""
        now = self._clock.monotonic()
        if now < self._tidied.get(place, now):
            return
        self._tidied[place] = now + TIDIED_EVERY
        silent = self._ledger.silent_hosts(place.feed, self._clock.now() - KEPT_SILENT)
        records = {record.name: record for record in self._ledger.load_many({fleet for fleet, _ in silent})}
        gone = [(fleet, host) for fleet, host in silent if _is_gone(records.get(fleet), place, host)]
        if gone:
            self._ledger.forget_hosts(lease, place.feed, gone)

    def _counted(self) -> Census:
        """Counted again when a head has moved, and while there are some that are to leave.

        By one thread for all: a head moves with every bump, and counting looks at every fleet.
        """
        heads = self._ledger.heads()  # before the fleets: what changes meanwhile is seen the next time
        with self._counting:
            known = self._census
            if known is None or known.passing or known.heads != heads:
                managed = {
                    record.name: record.desired
                    for record in self._ledger.fleets()
                    if record.present and record.desired is not None and record.desired.deploy_type == DEPLOY_TYPE
                }
                working = (outcome.intent.fleet for outcome in self._ledger.work_in_flight())
                known = self._census = Census.of(heads, managed, working, self._silent_after)
            return known

    def _silent_after(self, fleet: Fleet) -> timedelta:
        """Most fleets are the objects that they were: their settings are read once."""
        known = self._silences.get(fleet.name)
        if known is None or known[0] is not fleet:
            known = self._silences[fleet.name] = (fleet, settings_of(fleet).silent_after)
        return known[1]


def _known_until(look: Look, read: Sequence[tuple[Message, Report | None]]) -> datetime | None:
    """Until when all was read. What nobody can read counts once: when it comes again it says nothing of the others.

    Where nothing else came, and less than SQS gives at once, nothing else was there when the look began.
    """
    counting = [message.sent for message, report in read if report is not None or message.received <= 1]
    if len(counting) == len(read):
        return look.until
    if counting:
        return min(look.began, *counting)
    return look.began if len(read) < BATCH else None


def names_of(fleet: Fleet) -> Iterator[str]:
    """The queues that a fleet's hosts report into; none for a fleet without agents."""
    if fleet.deploy_type == DEPLOY_TYPE:
        place = fleet.environment
        yield from (f"{place.account}/{region}/{place.name}" for region in place.regions)


def _kept(report: Report, message: Message, silent_after: timedelta) -> HostReport:
    """Read and written again: what is kept is the report as it is known, not what else somebody wrote into it."""
    document: dict[str, Any] = json.loads(report.text())
    return HostReport(
        fleet=report.fleet,
        host=report.host,
        number=report.number,
        at=report.at,
        sent=message.sent,
        body={name: value for name, value in document.items() if name not in VOLATILE},
        silent_after=silent_after,
    )


def _is_gone(record: Record | None, place: Place, host: str) -> bool:
    """The region was read, and the fleet has no such host there."""
    inventory = record.snapshots.get(inventory_feed(place.account, place.region)) if record is not None else None
    return inventory is not None and host not in inventory.body.get("hosts", {})
