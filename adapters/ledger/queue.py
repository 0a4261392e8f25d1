"""The work queue: names, never events. One table, any number of threads and processes (DESIGN 6).

A name is one row. Claiming leaves its due time where it is and sets owner and lease; finishing matches owner, lease and
mark. So a name cannot be lost: who dies leaves a row that is due as soon as its lease has run out.
"""

import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from threading import local
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, Connection, bindparam, case, delete, func, or_, select, update
from sqlalchemy.sql.dml import Update
from sqlalchemy.sql.elements import ColumnElement

from adapters.ledger.database import Database, will_ring
from adapters.ledger.dialects import Now, insert_into, micros
from adapters.ledger.lease import HeldLease, held, is_held
from adapters.ledger.tables import queue
from reconciler.ports import Due

POLL = 0.5  # seconds between looks for what other processes made due
SECOND = 1_000_000


def make_due(
    connection: Connection, keys: Iterable[str], due: datetime | None = None, *, after: timedelta = timedelta(0)
) -> None:
    """Add names within a transaction, due at `due` (None: `after` from now). Raises ValueError without a family."""
    rows = [_row(key, due) for key in sorted(set(keys))]  # one order: two writers never wait for each other
    if not rows:
        return
    insert = insert_into(connection, queue)
    values: dict[str, Any] = {name: bindparam(name) for name in ("key", "family")} | {"mark": 1, "attempts": 0}
    values["due"] = Now() + micros_of(after) if due is None else bindparam("due", type_=BigInteger)
    statement = insert.values(values).on_conflict_do_update(
        index_elements=[queue.c.key],
        set_={"mark": queue.c.mark + 1, "due": _earlier(queue.c.due, insert.excluded.due)},
    )
    connection.execute(statement, rows)
    will_ring(connection)


def micros_of(span: timedelta) -> int:
    """A length of time as the tables write it."""
    return span // timedelta(microseconds=1)


def _row(key: str, due: datetime | None) -> dict[str, Any]:
    family, colon, name = key.partition(":")
    if not (family and colon and name):
        raise ValueError(f"{key!r} is no name of the queue: write family:name")
    return {"key": key, "family": family} | ({} if due is None else {"due": micros(due)})


def _earlier(one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
    return case((one <= other, one), else_=other)


class WorkQueue:
    """Implements `reconciler.ports.Queue`."""

    _database: Database
    _looks: local

    def add(self, keys: Iterable[str], *, due: datetime | None = None) -> None:
        """Make names due at `due` (None: now); a name already there keeps its earliest due time and is marked."""
        keys = list(keys)
        if keys:
            with self._database.writing() as connection:
                make_due(connection, keys, due)

    def claim(self, family: str, limit: int, lease: timedelta) -> list[Due]:
        """Take up to `limit` due, unleased names of the family; earliest due first."""
        if limit <= 0 or not self._anything_due(family):
            return []
        began, owner = self._database.clock.monotonic(), f"{os.getpid()}-{uuid4().hex}"
        free = (
            select(queue.c.key)
            .where(*_claimable(family))
            .order_by(queue.c.due, queue.c.key)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte("free")
        )
        taking = (
            update(queue)
            .where(queue.c.key.in_(select(free.c.key)))
            .values(owner=owner, lease_until=Now() + micros_of(lease))
            .returning(queue.c.key, queue.c.mark, queue.c.attempts, queue.c.due)
        )
        with self._database.writing() as connection:
            rows = connection.execute(taking).all()
        rows = sorted(rows, key=lambda row: (row.due, row.key))
        return [self._given(row, owner, began, lease) for row in rows]

    def _given(self, row: Any, owner: str, began: float, span: timedelta) -> Due:
        lease = HeldLease(row.key, owner, self._database.clock)
        lease.extend(began, span)
        return Due(key=row.key, mark=row.mark, attempts=row.attempts, lease=lease)

    def finish(self, due: Due, *, again_at: datetime | None = None) -> bool:
        """Done: the name goes, or is due at `again_at`; marked meanwhile, it is due now. False: the lease was lost."""
        mine = is_held(held(due.lease))
        unmarked = queue.c.mark == due.mark
        later = Now() if again_at is None else micros(again_at)
        kept = update(queue).where(mine).values(due=case((unmarked, later), else_=Now()), attempts=0, **_FREE)
        with self._database.writing() as connection:
            if again_at is None and connection.execute(delete(queue).where(mine, unmarked)).rowcount:
                return True
            return _give_back(connection, kept)

    def fail(self, due: Due, *, again_at: datetime) -> bool:
        """Not done: due at `again_at` (marked meanwhile: now), one more attempt counted. False: the lease was lost."""
        again = case((queue.c.mark == due.mark, micros(again_at)), else_=Now())
        kept = update(queue).where(is_held(held(due.lease)))
        with self._database.writing() as connection:
            return _give_back(connection, kept.values(due=again, attempts=queue.c.attempts + 1, **_FREE))

    def renew(self, due: Due, lease: timedelta) -> bool:
        """Heartbeat: the lease runs from now. False when it was lost."""
        mine, began = held(due.lease), self._database.clock.monotonic()
        longer = update(queue).where(is_held(mine)).values(lease_until=Now() + micros_of(lease))
        with self._database.writing() as connection:
            kept = connection.execute(longer).rowcount > 0
        if kept:
            mine.extend(began, lease)
        return kept

    # ── looking and sleeping ──
    #
    # Each thread remembers its last look. What was due then and is still there is somebody else's, or more than the
    # thread can take: no reason to wake it again and again.

    def wait(self, timeout: float) -> None:
        """Return when a name may have become due since this thread's last look, at the latest after `timeout` s."""
        heard = getattr(self._looks, "heard", -1)
        now, following = self._next_due(getattr(self._looks, "at", 0))
        seconds = max(0.0, (following - now) / SECOND) if following is not None else timeout
        self._database.bell.sleep(heard, min(timeout, seconds, POLL))
        self._looks.heard = self._database.bell.count
        self._looks.at = now if following is None or seconds > min(timeout, POLL) else max(now, following)

    def _next_due(self, after: int) -> tuple[int, int | None]:
        """The database's time, and when something becomes due after `after`."""
        soonest = [
            select(func.min(column)).where(column > after).scalar_subquery()
            for column in (queue.c.due, queue.c.lease_until)
        ]
        with self._database.reading() as connection:
            now, due, expiry = connection.execute(select(Now(), *soonest)).one()
        return now, min((time for time in (due, expiry) if time is not None), default=None)

    def _anything_due(self, family: str) -> bool:
        """A look that takes no lock: most claims end here."""
        self._looks.heard = self._database.bell.count
        found = select(queue.c.key).where(*_claimable(family)).limit(1).exists()
        with self._database.reading() as connection:
            self._looks.at, anything = connection.execute(select(Now(), found)).one()
        return bool(anything)


_FREE: dict[str, Any] = {"owner": None, "lease_until": None}


def _give_back(connection: Connection, kept: Update) -> bool:
    """Run it. False when it met no row; rings when the name is due again before the next poll."""
    row = connection.execute(kept.returning(queue.c.due - Now())).first()
    if row is not None and row[0] < POLL * SECOND:
        will_ring(connection)
    return row is not None


def _claimable(family: str) -> tuple[ColumnElement[bool], ...]:
    unleased = or_(queue.c.lease_until.is_(None), queue.c.lease_until <= Now())
    return (queue.c.family == family, queue.c.due <= Now(), unleased)
