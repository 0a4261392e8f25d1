"""How long rows are kept. Every table is named here; what is not deleted says why not.

| table | kept |
|---|---|
| queue | a name goes when it is finished |
| overlap | one row: kept |
| repositories | one row a repository: kept |
| fleets | 30 days after the file is gone and nothing is in flight |
| intents | 90 days after the end; open ones are kept |
| snapshots | 7 days after their feed was last read |
| reports | as long as their part; of a host that is gone, a day after its last word (by the reports feed) |
| feeds | 30 days after the last try |
| statuses | 90 days after the last word, unless open, undelivered, on a head, or on a fleet's setting commit |
| heads | 90 days, and as long as there is a word on the commit |
| budgets | 30 days after the last write or rest |
| forge_writes | a day |
| events, chains | lines for 400 days, oldest first; a chain's ends are kept |
| requests | 30 days after the ask |
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Delete, Select, Table, and_, delete, exists, or_, select, update

from adapters.ledger.budget import IN_TIME
from adapters.ledger.database import Database
from adapters.ledger.dialects import micros
from adapters.ledger.tables import (
    budgets,
    chains,
    events,
    feeds,
    fleets,
    forge_writes,
    heads,
    intents,
    reports,
    repositories,
    requests,
    snapshots,
    statuses,
)
from reconciler.record import Medium, State

BATCH = 500  # rows in one transaction: nobody waits long for a prune
DAYS = {"fleets": 30, "intents": 90, "snapshots": 7, "feeds": 30, "statuses": 90, "events": 400, "requests": 30}
DAYS |= {"budgets": 30, "forge_writes": 1, "heads": 90}


class Retention:
    """Applying it."""

    _database: Database

    def prune(self, now: datetime) -> int:
        """Delete what is past its time, in small transactions; gives how many rows went. Safe to run twice."""
        before = {name: micros(now - timedelta(days=days)) for name, days in DAYS.items()}
        steps: tuple[Callable[[Connection], int], ...] = (
            *(_deleting(table, condition) for table, condition in _conditions(before)),
            lambda connection: _prune_events(connection, before["events"]),
        )
        return sum(self._repeat(step) for step in steps)

    def _repeat(self, step: Callable[[Connection], int]) -> int:
        total = 0
        while True:
            with self._database.writing() as connection:
                count = step(connection)
            total += count
            if count < BATCH:
                return total


def _conditions(before: dict[str, int]) -> list[tuple[Table, Any]]:
    open_work = exists().where(intents.c.fleet == fleets.c.name, intents.c.ended_at.is_(None))
    gone = and_(fleets.c.present.is_(False), fleets.c.changed_at < before["fleets"], ~open_work)
    part = exists().where(snapshots.c.fleet == reports.c.fleet, snapshots.c.feed == reports.c.feed)
    spoken = exists().where(statuses.c.repository == heads.c.repository, statuses.c.commit == heads.c.commit)
    read = exists().where(feeds.c.name == snapshots.c.feed, feeds.c.read_at >= before["snapshots"])
    return [
        (fleets, gone),
        (intents, intents.c.ended_at < before["intents"]),
        (snapshots, and_(snapshots.c.read_at < before["snapshots"], ~read)),
        (reports, ~part),
        (feeds, feeds.c.tried_at < before["feeds"]),
        (statuses, _old_words(before["statuses"])),
        (heads, and_(heads.c.recorded_at < before["heads"], ~spoken)),
        (requests, requests.c.at < before["requests"]),
        (budgets, budgets.c.used_at < before["budgets"]),
        (forge_writes, or_(forge_writes.c.at < before["forge_writes"], forge_writes.c.at > IN_TIME)),
    ]


def _old_words(before: int) -> Any:
    """Words that still stand are kept: without them the same would be said again."""
    meant = (statuses.c.commit, statuses.c.said_for)  # what is repeated on another commit stands as long as it does
    standing = [exists().where(fleets.c.setting_commit == commit) for commit in meant]
    standing += [exists().where(repositories.c.head == commit) for commit in meant]
    is_open = and_(statuses.c.medium == Medium.STATUS.value, statuses.c.state == State.PENDING.value)
    told = or_(statuses.c.delivered_sequence >= statuses.c.sequence, statuses.c.refused.is_not(None))
    return and_(statuses.c.said_at < before, ~is_open, told, *(~each for each in standing))


def _deleting(table: Table, condition: Any) -> Callable[[Connection], int]:
    keys = list(table.primary_key.columns)
    chosen: Select[Any] = select(*keys).where(condition).limit(BATCH)
    return lambda connection: _delete(connection, table, chosen)


def _delete(connection: Connection, table: Table, chosen: Select[Any]) -> int:
    rows = connection.execute(chosen.with_for_update(skip_locked=True)).all()  # what is in use now goes next time
    keys = list(table.primary_key.columns)
    for row in rows:
        statement: Delete = delete(table).where(*(key == value for key, value in zip(keys, row, strict=True)))
        connection.execute(statement)
    return len(rows)


def _prune_events(connection: Connection, before: int) -> int:
    """The oldest lines of each chain; its beginning moves to the last line that went."""
    old = select(events).where(events.c.at < before).order_by(events.c.fleet, events.c.sequence).limit(BATCH)
    rows = connection.execute(old).all()
    pruned = 0
    begun = select(chains.c.fleet, chains.c.first_sequence).where(chains.c.fleet.in_({row.fleet for row in rows}))
    begun = begun.order_by(chains.c.fleet).with_for_update()  # two that prune at once take turns
    ends: dict[str, int] = {row.fleet: row.first_sequence for row in connection.execute(begun)}
    for row in rows:
        if row.sequence != ends[row.fleet] + 1:
            continue  # a younger line stands before it: it waits for that one
        ends[row.fleet] = row.sequence
        connection.execute(delete(events).where(events.c.id == row.id))
        moved = {"first_sequence": row.sequence, "first_hash": row.hash}
        connection.execute(update(chains).where(chains.c.fleet == row.fleet).values(**moved))
        pruned += 1
    return pruned
