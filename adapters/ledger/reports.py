"""What hosts report: the newest of each host, a row each, and which fleets that is news to.

Anything may come twice, late and in any order: of two reports of a host, the one that was sent later counts, and of two
sent in one millisecond the higher number.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, Row, bindparam, delete, select, tuple_, update

from adapters.ledger.codec import canonical
from adapters.ledger.database import Database
from adapters.ledger.dialects import Upsert, micros
from adapters.ledger.feeds import note_read
from adapters.ledger.lease import pass_fence
from adapters.ledger.queue import make_due
from adapters.ledger.records import chunks
from adapters.ledger.tables import feeds, reports, snapshots
from desired_state.model import FleetName
from reconciler.ports import Lease

EMPTY = canonical({"hosts": {}})  # the part's own body: hosts are laid into it when it is loaded
Known = Mapping[tuple[FleetName, str], Row[Any]]

_OF_FEED = reports.c.feed == bindparam("feed")
_FEED = select(feeds).where(feeds.c.name == bindparam("name"))
_PARTS = select(snapshots.c.fleet).where(snapshots.c.feed == bindparam("feed"))
_NEW_PARTS = Upsert(snapshots)
_HOSTS: BindParameter[Any] = bindparam("hosts", expanding=True)
_KNOWN = select(*(reports.c[name] for name in ("fleet", "host", "digest", "number", "sent", "silent_at"))).where(
    _OF_FEED, reports.c.host.in_(_HOSTS)
)
_NEWS = Upsert(reports, "digest", "body", "number", "at", "sent", "silent_at")
_SAME = (  # the same word said again: the text stays where it is
    update(reports)
    .where(*(reports.c[name] == bindparam(f"its_{name}") for name in ("fleet", "feed", "host")))
    .values({name: bindparam(f"its_{name}") for name in ("number", "at", "sent", "silent_at")})
)
_FELL_SILENT = (
    select(reports.c.fleet)
    .where(_OF_FEED, reports.c.silent_at > bindparam("since"), reports.c.silent_at <= bindparam("until"))
    .distinct()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """One report as it is kept. `body` is JSON, without what moves with every report."""

    fleet: FleetName
    host: str
    number: int
    at: datetime  # by the host's clock
    sent: datetime  # by the queue's
    body: Mapping[str, Any]
    silent_after: timedelta  # how long the host may say nothing

    @property
    def key(self) -> tuple[FleetName, str]:
        """Whose word it is."""
        return self.fleet, self.host

    @property
    def age(self) -> tuple[int, int]:
        """The higher, the newer."""
        return micros(self.sent), self.number


class Reports:
    """Writing what hosts report."""

    _database: Database

    def record_reports(
        self,
        lease: Lease,
        feed: str,
        said: Iterable[HostReport],
        fleets: Collection[FleetName],
        read_at: datetime | None,
        patience: Mapping[FleetName, timedelta] | None = None,
    ) -> tuple[FleetName, ...]:
        """Store the newest report of each host. Hosts that said nothing keep their last word.

        `fleets` are those that the feed is read for: one that is new gets a part, one that is not named loses its own.
        `read_at`: everything sent before that is known now; it never goes back; None: nothing was read.
        Gives the fleets to which it is news, in order, and makes them due: those with a host that says something else,
        fell silent or speaks again. Clears the feed's trouble: then all fleets are due. `patience`: how long each fleet
        may not be heard before nothing is concluded of it any more; at the end of a longer gap it is due, for it may be
        held.
        Raises `LeaseLost`; then nothing was written. After `LedgerAway` keep the messages: twice is once.
        """
        newest = _newest(report for report in said if report.fleet in fleets)
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            before = connection.execute(_FEED, {"name": feed}).first()
            since = before.read_at or 0 if before is not None else 0
            until = since if read_at is None else max(since, micros(read_at))
            changed = _anchor(connection, feed, fleets, until)
            changed |= _store(connection, feed, newest, since)
            changed |= _fell_silent(connection, feed, since, until)
            recovered = before is not None and before.trouble is not None
            now = self._database.clock.now()
            waiting = set(fleets) if recovered else _heard_again(patience or {}, since, until, micros(now))
            make_due(connection, [f"fleet:{name}" for name in changed | waiting])
            note_read(connection, feed, until, now)
        return tuple(sorted(changed))

    def silent_hosts(self, feed: str, since: datetime) -> Sequence[tuple[FleetName, str]]:
        """Fleet and host of every report of the feed whose host is silent since before that."""
        silent = select(reports.c.fleet, reports.c.host).where(
            reports.c.feed == feed, reports.c.silent_at < micros(since)
        )
        with self._database.reading() as connection:
            return [(row.fleet, row.host) for row in connection.execute(silent.order_by("fleet", "host"))]

    def forget_hosts(self, lease: Lease, feed: str, gone: Iterable[tuple[FleetName, str]]) -> None:
        """Their last word goes. Makes nothing due: who is gone is seen in the inventory. Raises `LeaseLost`."""
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            for chunk in chunks(gone):
                named = tuple_(reports.c.fleet, reports.c.host).in_(chunk)
                connection.execute(delete(reports).where(reports.c.feed == feed, named))


def _heard_again(patience: Mapping[FleetName, timedelta], since: int, until: int, now: int) -> set[FleetName]:
    """Fleets whose feed was not read for so long that a pass may wait for it, and is now."""
    before, left = timedelta(microseconds=now - since), timedelta(microseconds=now - until)
    return {name for name, span in patience.items() if since and left <= span < before}


def _newest(said: Iterable[HostReport]) -> dict[tuple[FleetName, str], HostReport]:
    found: dict[tuple[FleetName, str], HostReport] = {}
    for report in said:
        if report.key not in found or found[report.key].age < report.age:
            found[report.key] = report
    return found


def _anchor(connection: Connection, feed: str, fleets: Collection[FleetName], read_at: int) -> set[FleetName]:
    """One part a fleet; gives the fleets whose part came or went."""
    known: set[FleetName] = set(connection.scalars(_PARTS, {"feed": feed}))
    digest = hashlib.sha256(EMPTY.encode()).hexdigest()
    rows = [
        {"fleet": name, "feed": feed, "digest": digest, "body": EMPTY, "read_at": read_at}
        for name in sorted(set(fleets) - known)
    ]
    if rows:
        _NEW_PARTS.run(connection, rows)
    gone = sorted(known - set(fleets))
    for chunk in chunks(gone):
        for table in (reports, snapshots):
            connection.execute(delete(table).where(table.c.feed == feed, table.c.fleet.in_(chunk)))
    return known ^ set(fleets)


def _store(
    connection: Connection, feed: str, newest: Mapping[tuple[FleetName, str], HostReport], since: int
) -> set[FleetName]:
    """Write what is newer; gives the fleets with a host that says something else, or was silent before `since`."""
    known = _known(connection, feed, {host for _, host in newest})
    fresh, again, news = [], [], set()
    for key, report in sorted(newest.items()):
        old = known.get(key)
        if old is not None and (old.sent, old.number) >= report.age:
            continue
        row = _row(feed, report)
        if old is None or old.digest != row["digest"]:
            fresh.append(row)
            news.add(report.fleet)
        else:
            again.append({f"its_{name}": value for name, value in row.items()})
            news |= {report.fleet} if old.silent_at <= since else set()
    if fresh:
        _NEWS.run(connection, fresh)
    if again:
        connection.execute(_SAME, again)
    return news


def _known(connection: Connection, feed: str, hosts: Iterable[str]) -> Known:
    found: dict[tuple[FleetName, str], Row[Any]] = {}
    for chunk in chunks(sorted(hosts)):
        rows = connection.execute(_KNOWN, {"feed": feed, "hosts": chunk})
        found.update({(row.fleet, row.host): row for row in rows})
    return found


def _row(feed: str, report: HostReport) -> dict[str, Any]:
    body = canonical(report.body, "a report")
    return {
        "fleet": report.fleet,
        "feed": feed,
        "host": report.host,
        "digest": hashlib.sha256(body.encode()).hexdigest(),
        "body": body,
        "number": report.number,
        "at": micros(report.at),
        "sent": micros(report.sent),
        "silent_at": micros(report.sent + report.silent_after),
    }


def _fell_silent(connection: Connection, feed: str, since: int, until: int) -> set[FleetName]:
    """Fleets with a host whose silence began between two reads."""
    return set(connection.scalars(_FELL_SILENT, {"feed": feed, "since": since, "until": until}))
