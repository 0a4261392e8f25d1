"""Figures of the whole ledger for whoever watches it: counts and ages, one small query a table, nothing decoded."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, case, distinct, func, literal, or_, select, union_all

from adapters.ledger.database import Database
from adapters.ledger.dialects import Now
from adapters.ledger.tables import IS_OWN, IS_REFUSED, IS_TO_BE_TOLD, feeds, fleets, intents, queue, statuses
from reconciler.outlets import repository_of
from reconciler.record import State

MICROSECONDS = 1_000_000
STUCK_AFTER = 3600 * MICROSECONDS  # without another word
_IS_PENDING = and_(IS_OWN, ~statuses.c.repository.contains("+"), statuses.c.state == State.PENDING.value)
_IS_UNDELIVERED = and_(IS_TO_BE_TOLD, statuses.c.sequence > statuses.c.delivered_sequence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pile:
    """How many there are, and for how many seconds the oldest of them has waited; 0 where there is none."""

    count: int = 0
    oldest: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedFigures:
    """How old the last good read is in seconds (None: there never was one), and whether the last try failed."""

    age: float | None
    trouble: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFigures:
    """One moment of the ledger."""

    due: Mapping[str, Pile]  # by family: names that are due and that nobody holds
    held: Mapping[str, int]  # by family: names that somebody works on
    fleets: Mapping[tuple[str, str], int]  # by environment and state, declared ones
    intents: Mapping[str, int]  # by phase, those that have not ended
    undelivered: Mapping[tuple[str, str], Pile]  # by repository (or channel) and medium: words not confirmed
    refused: Mapping[tuple[str, str], int]  # by repository and medium: words that were refused for good
    pending: Mapping[str, Pile]  # by repository: words that wait for a final one, since they were said
    stuck: Mapping[str, int]  # by repository: commits with such a word that is an hour old
    feeds: Mapping[str, FeedFigures]  # those that are being read


class Figures:
    """Counting."""

    _database: Database

    def figures(self) -> LedgerFigures:
        """All of them, as of one moment."""
        with self._database.reading() as connection:
            now = connection.scalar(select(Now())) or 0
            due, held = _names(connection, now)
            words = _words(connection, now)
            return LedgerFigures(
                due=due,
                held=held,
                fleets=_fleets(connection),
                intents=_intents(connection),
                undelivered=_by_medium((row for row in words if row.what == "undelivered"), now),
                refused={
                    place: pile.count
                    for place, pile in _by_medium((row for row in words if row.what == "refused"), now).items()
                },
                pending={row.repository: _piled(row, now) for row in words if row.what == "pending"},
                stuck={row.repository: row.stuck for row in words if row.what == "pending"},
                feeds=_feeds(connection, now),
            )


def _names(connection: Connection, now: int) -> tuple[dict[str, Pile], dict[str, int]]:
    free = and_(queue.c.due <= now, or_(queue.c.lease_until.is_(None), queue.c.lease_until <= now))
    is_held = queue.c.lease_until > now
    counted = select(queue.c.family, *_pile(free, queue.c.due), func.sum(case((is_held, 1), else_=0)).label("held"))
    rows = connection.execute(counted.group_by(queue.c.family)).all()
    return {row.family: _piled(row, now) for row in rows}, {row.family: int(row.held) for row in rows}


def _words(connection: Connection, now: int) -> Sequence[Row[Any]]:
    """One statement; each part of it by an index of its own."""
    repository, medium, since = statuses.c.repository, statuses.c.medium, func.min(statuses.c.said_at).label("since")
    size, none = func.count().label("size"), literal(0).label("stuck")
    told = (
        select(literal(what).label("what"), repository, medium, size, since, none)
        .where(which)
        .group_by(repository, medium)
        for what, which in (("undelivered", _IS_UNDELIVERED), ("refused", IS_REFUSED))
    )
    old = case((statuses.c.said_at <= now - STUCK_AFTER, statuses.c.commit))
    columns = (literal("pending"), repository, literal(""), size, since, func.count(distinct(old)))
    pending = select(*columns).where(_IS_PENDING).group_by(repository)
    return connection.execute(union_all(*told, pending)).all()


def _by_medium(rows: Iterable[Any], now: int) -> dict[tuple[str, str], Pile]:
    """The outlets of one repository as one: which of them it is matters to nobody who is woken."""
    found: dict[tuple[str, str], Pile] = {}
    for row in rows:
        place, pile = (repository_of(row.repository), row.medium), _piled(row, now)
        known = found.get(place, Pile())
        found[place] = Pile(count=known.count + pile.count, oldest=max(known.oldest, pile.oldest))
    return found


def _pile(which: Any, since: Any) -> tuple[Any, Any]:
    counted = func.sum(case((which, 1), else_=0)).label("size")
    return counted, func.min(case((which, since))).label("since")


def _piled(row: Any, now: int) -> Pile:
    return Pile(count=int(row.size), oldest=_age(row.since, now) or 0.0)


def _age(since: int | None, now: int) -> float | None:
    return None if since is None else max(0.0, (now - since) / MICROSECONDS)


def _fleets(connection: Connection) -> dict[tuple[str, str], int]:
    place = (fleets.c.environment, fleets.c.state)
    rows = connection.execute(select(*place, func.count().label("size")).where(fleets.c.present).group_by(*place))
    return {(row.environment, row.state): row.size for row in rows}


def _intents(connection: Connection) -> dict[str, int]:
    counted = select(intents.c.phase, func.count().label("size")).where(intents.c.ended_at.is_(None))
    return {row.phase: row.size for row in connection.execute(counted.group_by(intents.c.phase))}


def _feeds(connection: Connection, now: int) -> dict[str, FeedFigures]:
    """A feed that no fleet needs any more has no name in the queue: its age means nothing."""
    rows = connection.execute(select(feeds.c.name, feeds.c.read_at, feeds.c.trouble)).all()
    wanted = _wanted(connection, {row.name.partition("/")[0] for row in rows})
    return {
        row.name: FeedFigures(age=_age(row.read_at, now), trouble=row.trouble is not None)
        for row in rows
        if row.name.replace("/", ":", 1) in wanted
    }


def _wanted(connection: Connection, families: Iterable[str]) -> set[str]:
    return set(connection.scalars(select(queue.c.key).where(queue.c.family.in_(sorted(families)))))
