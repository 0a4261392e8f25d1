"""Rows to records: what a pass begins with. A fleet's row is decoded once for each version of it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Connection, Row, bindparam, func, or_, select

from adapters.ledger.codec import FLEET, MEMORY, OUTCOME, PROBLEMS, SETTING, plain
from adapters.ledger.database import Database
from adapters.ledger.dialects import moment
from adapters.ledger.statuses import status_of
from adapters.ledger.tables import IS_OWN, feeds, fleets, intents, reports, repositories, requests, snapshots, statuses
from desired_state.model import FleetName, Sha
from reconciler.memory import Memory
from reconciler.observed import Snapshot
from reconciler.record import Ask, CommitStatus, Record, Request, State
from reconciler.work import Outcome, Release

T = TypeVar("T")
REPORTING = "trigger"  # the deploy type whose hosts report
CHUNK = 500  # names in one IN (...)

# Built once: putting a statement together takes SQLAlchemy longer than SQLite takes to answer it.
_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
_ROWS = select(fleets).where(fleets.c.name.in_(_NAMES)).order_by(fleets.c.name)
_WORK = (
    select(intents.c.fleet, intents.c.outcome)
    .where(intents.c.fleet.in_(_NAMES), intents.c.ended_at.is_(None))
    .order_by(intents.c.created_at, intents.c.key)
)
_PARTS = (
    select(snapshots, feeds.c.read_at.label("feed_read_at"))
    .select_from(snapshots.outerjoin(feeds, feeds.c.name == snapshots.c.feed))
    .where(snapshots.c.fleet.in_(_NAMES))
)
_HOSTS = (
    select(*(reports.c[name] for name in ("fleet", "feed", "host", "body", "number", "at", "sent")))
    .where(reports.c.fleet.in_(_NAMES))
    .order_by(reports.c.fleet, reports.c.feed, reports.c.host)
)
_ASKS = select(requests).where(requests.c.fleet.in_(_NAMES), requests.c.done_at.is_(None)).order_by(requests.c.id)
_SAID = (
    select(statuses)
    .where(
        statuses.c.repository.in_(bindparam("repositories", expanding=True)),
        statuses.c.context.in_(bindparam("contexts", expanding=True)),
        or_(statuses.c.state == State.PENDING.value, statuses.c.commit.in_(bindparam("commits", expanding=True))),
        IS_OWN,
    )
    .order_by(statuses.c.id)
)
_TROUBLE = select(feeds.c.name, feeds.c.trouble).where(feeds.c.trouble.is_not(None)).order_by(feeds.c.name)
_STAMPS = select(fleets.c.name, fleets.c.created_at, fleets.c.version, fleets.c.changed_at)
_STAMPS_OF_REPOSITORY = _STAMPS.where(fleets.c.repository == bindparam("repository"))
_HEADS = select(repositories.c.name, repositories.c.head)
_SETS = (
    select(fleets.c.setting_commit, func.count())
    .where(
        fleets.c.repository == bindparam("repository"),
        fleets.c.present,
        fleets.c.setting_commit.in_(bindparam("commits", expanding=True)),
    )
    .group_by(fleets.c.setting_commit)
)
_IN_FLIGHT = select(intents.c.outcome).where(intents.c.ended_at.is_(None)).order_by(intents.c.created_at, intents.c.key)

# When the row was made, its version, and when that was written. A failover to a server that lacks the newest
# transactions counts versions again, but never at the same microsecond.
Stamp = tuple[int, int, int]


class Records:
    """Reading, of one fleet or of all."""

    _database: Database
    _decoded: dict[FleetName, tuple[Stamp, Record]]

    def load(self, fleet: FleetName) -> Record | None:
        """Everything about one fleet; None for a name that no repository ever declared."""
        return next(iter(self.load_many([fleet])), None)

    def load_many(self, names: Collection[FleetName]) -> Sequence[Record]:
        """The same for many at once, each as of one moment: what a sweep reads. Ordered by name."""
        found: list[Record] = []
        for chunk in chunks(sorted(set(names))):
            with self._database.reading() as connection:
                rows = self._bare(connection, chunk)
                found += Details(connection, rows).complete()
        return sorted(found, key=lambda record: record.name)  # never by the database's own language

    def some(self, names: Collection[FleetName]) -> Sequence[Record]:
        """Some fleets without work, snapshots, requests and statuses, ordered by name."""
        with self._database.reading() as connection:
            return [record for chunk in chunks(sorted(set(names))) for record in self._bare(connection, chunk)]

    def fleets(self, repository: str | None = None) -> Sequence[Record]:
        """All fleets without work, snapshots, requests and statuses, ordered by name."""
        stamps = _STAMPS if repository is None else _STAMPS_OF_REPOSITORY
        with self._database.reading() as connection:
            # By name, as plain tuples: a database may order words by its own language, and its rows compare slowly.
            rows = sorted(map(tuple, connection.execute(stamps, {"repository": repository})))
            changed = [row[0] for row in rows if self._decoded.get(row[0], (None,))[0] != row[1:]]
            fresh = {record.name: record for chunk in chunks(changed) for record in self._bare(connection, chunk)}
        return [fresh.get(row[0]) or self._decoded[row[0]][1] for row in rows]

    def heads(self) -> Mapping[str, Sha]:
        """The last read head of each repository. What is declared changes with them only: a cheap question."""
        with self._database.reading() as connection:
            return {row.name: row.head for row in connection.execute(_HEADS)}

    def set_by(self, repository: str, commits: Collection[Sha]) -> Mapping[Sha, int]:
        """How many declared fleets each of these commits sets; commits that set none are left out."""
        found: dict[Sha, int] = {}
        with self._database.reading() as connection:
            for chunk in chunks(sorted(set(commits))):
                counts = connection.execute(_SETS, {"repository": repository, "commits": chunk})
                found.update((commit, count) for commit, count in counts)
        return found

    def work_in_flight(self) -> Sequence[Outcome]:
        """Every intent that has not ended, oldest first."""
        with self._database.reading() as connection:
            return [OUTCOME.decode(text) for text in connection.scalars(_IN_FLIGHT)]

    def troubles(self) -> Mapping[str, str]:
        """Every feed that cannot be read now, by name, and why."""
        with self._database.reading() as connection:
            return {row.name: row.trouble for row in connection.execute(_TROUBLE)}

    def _bare(self, connection: Connection, names: Sequence[FleetName]) -> list[Record]:
        return [self._decode(row) for row in connection.execute(_ROWS, {"names": names})]

    def _decode(self, row: Row[Any]) -> Record:
        stamp = (row.created_at, row.version, row.changed_at)
        known = self._decoded.get(row.name)
        if known is None or known[0] != stamp:
            known = self._decoded[row.name] = (stamp, _record(row))
        return known[1]


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """The values in lists short enough for one statement."""
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _record(row: Row[Any]) -> Record:
    desired = FLEET.decode(row.desired) if row.desired else None
    memory = MEMORY.decode(row.memory) if row.memory else Memory()
    return Record(
        name=row.name,
        repository=row.repository,
        desired=desired,
        setting=SETTING.decode(row.setting) if row.setting else None,
        revision=row.revision,
        generation=row.generation,
        present=row.present,
        problems=PROBLEMS.decode(row.problems),
        memory=_share(memory, Release(fleet=desired, setting_commit="")) if desired else memory,
        version=row.version,
    )


def _share(memory: Memory, desired: Release) -> Memory:
    """Let equal specs be one object: a fleet at rest remembers the spec that it desires."""
    if memory.last_good is not None and memory.last_good.fleet == desired.fleet:
        memory = replace(memory, last_good=replace(memory.last_good, fleet=desired.fleet))
    return memory


class Details:
    """What other tables know of some fleets, read in one query a table."""

    def __init__(self, connection: Connection, bare: Sequence[Record]) -> None:
        self._connection, self._bare = connection, bare
        self._names = [record.name for record in bare]

    def complete(self) -> list[Record]:
        """The records with everything that belongs to them."""
        if not self._bare:
            return []
        work, parts, asks, said, trouble = self._work(), self._parts(), self._asks(), self._said(), self._trouble()
        return [
            replace(
                record,
                work=tuple(work[record.name]),
                snapshots=parts[record.name],
                requests=tuple(asks[record.name]),
                statuses=tuple(_own(record, said[record.name])),
                trouble={feed: trouble[feed] for feed in _feeds(record, parts[record.name]) if feed in trouble},
            )
            for record in self._bare
        ]

    def _work(self) -> Mapping[FleetName, list[Outcome]]:
        found: dict[FleetName, list[Outcome]] = defaultdict(list)
        for name, text in self._connection.execute(_WORK, {"names": self._names}):
            found[name].append(OUTCOME.decode(text))
        return found

    def _parts(self) -> Mapping[FleetName, dict[str, Snapshot]]:
        """Parts that did not change were read when their feed last was."""
        found: dict[FleetName, dict[str, Snapshot]] = defaultdict(dict)
        for row in self._connection.execute(_PARTS, {"names": self._names}):
            read_at = moment(max(row.read_at, row.feed_read_at or 0))
            found[row.fleet][row.feed] = Snapshot(feed=row.feed, body=plain(row.body), read_at=read_at)
        self._lay_hosts(found)
        return found

    def _lay_hosts(self, found: Mapping[FleetName, Mapping[str, Snapshot]]) -> None:
        """What hosts report, into the parts that they belong to."""
        for row in self._connection.execute(_HOSTS, {"names": self._names}):
            part = found.get(row.fleet, {}).get(row.feed)
            if part is not None:
                moved = {"number": row.number, "at": _told(row.at), "sent": _told(row.sent)}
                part.body["hosts"][row.host] = {**plain(row.body), **moved}

    def _asks(self) -> Mapping[FleetName, list[Request]]:
        found: dict[FleetName, list[Request]] = defaultdict(list)
        for row in self._connection.execute(_ASKS, {"names": self._names}):
            found[row.fleet].append(Request(id=row.id, ask=Ask(row.ask), by=row.by, at=moment(row.at)))
        return found

    def _said(self) -> Mapping[FleetName, list[CommitStatus]]:
        found: dict[FleetName, list[CommitStatus]] = defaultdict(list)
        contexts = {f"fairlead/{name}": name for name in self._names}
        wanted = {
            "repositories": list({record.repository for record in self._bare}),
            "contexts": list(contexts),
            "commits": list({commit for record in self._bare for commit in _commits(record)}),
        }
        for row in self._connection.execute(_SAID, wanted):
            found[contexts[row.context]].append(status_of(row))
        return found

    def _trouble(self) -> Mapping[str, str]:
        return {row.name: row.trouble for row in self._connection.execute(_TROUBLE)}


def _told(time: int) -> str:
    """RFC 3339, as reports write it."""
    return moment(time).isoformat().replace("+00:00", "Z")


def _commits(record: Record) -> tuple[str, ...]:
    return (record.setting.commit, *record.setting.reverts) if record.setting else ()


def _own(record: Record, said: Iterable[CommitStatus]) -> Iterator[CommitStatus]:
    """What is open, and what stands on the setting commit and on those that it reverts."""
    commits = _commits(record)
    for status in said:
        if status.repository == record.repository and (status.state is State.PENDING or status.commit in commits):
            yield status


def _feeds(record: Record, parts: Iterable[str]) -> set[str]:
    """The feeds whose trouble is this fleet's: those that it has a part of, and those that it waits for."""
    fleet = record.desired
    if fleet is None:
        return set(parts)
    place = fleet.environment
    waited = {f"inventory/{place.account}/{region}" for region in place.regions}
    if fleet.deploy_type == REPORTING:
        waited |= {f"reports/{place.account}/{region}/{place.name}" for region in place.regions}
    return {*parts, *waited}
