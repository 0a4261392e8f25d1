"""The work queue: names, never events. One table, any number of threads and processes (DESIGN 6).

A name is one row. Claiming leaves its due time where it is and sets owner and lease; finishing matches owner, lease and
mark. So a name cannot be lost: who dies leaves a row that is due as soon as its lease has run out.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from threading import local
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, Connection, bindparam, case, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from adapters.ledger.database import Database, will_ring
from adapters.ledger.dialects import Now, insert_into, micros
from adapters.ledger.finishing import FREE, RARE_POLL, SECOND, Finished, finish, finish_many, give_back
from adapters.ledger.lease import HeldLease, held, is_held
from adapters.ledger.tables import queue
from adapters.ledger.together import Together
from reconciler.ports import Due

POLL = 0.5  # seconds between looks of those who do not hear what others make due


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
    will_ring(connection, {row["family"] for row in rows})


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
    """Implements `reconciler.ports.Queue`.

    Claims, finishes, failures and heartbeats may be lost when a server crashes (`Database.writing`): the disk need not
    be waited for, because the row then stands as it stood before. A lost finish runs the name once more. A lost claim
    leaves an owner who does not know that he is none: whatever he writes passes the fence and is refused, and a pass
    writes its intents, with all that went before, to the disk before it acts. Adding is never lost.
    """

    _database: Database
    _looks: local
    _finishing: Together[Finished, bool]

    def _begin(self) -> None:
        self._looks = local()
        self._finishing = Together(self._finish_all)

    def add(self, keys: Iterable[str], *, due: datetime | None = None) -> None:
        """Make names due at `due` (None: now); a name already there keeps its earliest due time and is marked.

        After `LedgerAway` add again: twice is once.
        """
        keys = list(keys)
        if keys:
            with self._database.writing() as connection:
                make_due(connection, keys, due)

    def claim(self, family: str, limit: int, lease: timedelta) -> list[Due]:
        """Take up to `limit` due, unleased names of the family; earliest due first.

        What was claimed when `LedgerAway` is raised is nobody's until the lease has run out: claim again.
        """
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
        with self._database.writing(may_be_lost=True) as connection:
            rows = connection.execute(taking).all()
        rows = sorted(rows, key=lambda row: (row.due, row.key))
        return [self._given(row, owner, began, lease) for row in rows]

    def _given(self, row: Any, owner: str, began: float, span: timedelta) -> Due:
        lease = HeldLease(row.key, owner, self._database.clock)
        lease.extend(began, span)
        return Due(key=row.key, mark=row.mark, attempts=row.attempts, lease=lease)

    def finish(self, due: Due, *, again_at: datetime | None = None) -> bool:
        """Done: the name goes, or is due at `again_at`; marked meanwhile, it is due now. False: the lease was lost.

        After `LedgerAway` leave it: the name is done, or it runs once more when the lease has run out.
        """
        if self._finishing.ask((due, again_at)):
            return True
        with self._database.writing(may_be_lost=True) as connection:
            return finish(connection, due, again_at)

    def _finish_all(self, items: Sequence[Finished]) -> Sequence[bool]:
        if len(items) == 1:
            return [False]
        with self._database.writing(may_be_lost=True) as connection:
            return finish_many(connection, items)

    def fail(self, due: Due, *, again_at: datetime) -> bool:
        """Not done: due at `again_at` (marked meanwhile: now), one more attempt counted. False: the lease was lost."""
        again = case((queue.c.mark == due.mark, micros(again_at)), else_=Now())
        kept = update(queue).where(is_held(held(due.lease)))
        with self._database.writing(may_be_lost=True) as connection:
            return give_back(connection, kept.values(due=again, attempts=queue.c.attempts + 1, **FREE), due.key)

    def renew(self, due: Due, lease: timedelta) -> bool:
        """Heartbeat: the lease runs from now. False when it was lost.

        After `LedgerAway` our own reckoning stays as it was, never later than the database's.
        """
        mine, began = held(due.lease), self._database.clock.monotonic()
        longer = update(queue).where(is_held(mine)).values(lease_until=Now() + micros_of(lease))
        with self._database.writing(may_be_lost=True) as connection:
            kept = connection.execute(longer).rowcount > 0
        if kept:
            mine.extend(began, lease)
        return kept

    # ── looking and sleeping ──
    #
    # Each thread remembers its last look. What was due then and is still there is somebody else's, or more than the
    # thread can take: no reason to wake it again and again.

    def wait(self, timeout: float) -> None:
        """Return when a name may have become due since this thread's last look, at the latest after `timeout` s.

        A thread that claimed is woken by names of that family only.
        """
        family, poll = self._family(), RARE_POLL if self._database.hears_others() else POLL
        heard = getattr(self._looks, "heard", -1)
        now, following = self._next_due(family, getattr(self._looks, "at", 0))
        seconds = max(0.0, (following - now) / SECOND) if following is not None else timeout
        self._database.bell.sleep(family, heard, min(timeout, seconds, poll))
        self._looks.heard = self._database.bell.count(family)
        self._looks.at = now if following is None or seconds > min(timeout, poll) else max(now, following)

    def wake(self) -> None:
        """End every `wait` of this process."""
        self._database.bell.ring_all()

    def _family(self) -> str | None:
        return getattr(self._looks, "family", None)

    def _next_due(self, family: str | None, after: int) -> tuple[int, int | None]:
        """The database's time, and when something of the family becomes due after `after`."""
        ours = () if family is None else (queue.c.family == family,)
        soonest = [
            select(func.min(column)).where(column > after, *ours).scalar_subquery()
            for column in (queue.c.due, queue.c.lease_until)
        ]
        with self._database.reading() as connection:
            now, due, expiry = connection.execute(select(Now(), *soonest)).one()
        return now, min((time for time in (due, expiry) if time is not None), default=None)

    def _anything_due(self, family: str) -> bool:
        """A look that takes no lock: most claims end here."""
        self._looks.family, self._looks.heard = family, self._database.bell.count(family)
        found = select(queue.c.key).where(*_claimable(family)).limit(1).exists()
        with self._database.reading() as connection:
            self._looks.at, anything = connection.execute(select(Now(), found)).one()
        return bool(anything)


def _claimable(family: str) -> tuple[ColumnElement[bool], ...]:
    unleased = or_(queue.c.lease_until.is_(None), queue.c.lease_until <= Now())
    return (queue.c.family == family, queue.c.due <= Now(), unleased)
