"""The work queue: names, never events. One table, any number of threads and processes (DESIGN 6).

A name is one row. Claiming leaves its due time where it is and sets owner and lease; finishing matches owner, lease and
mark. So a name cannot be lost: who dies leaves a row that is due as soon as its lease has run out. A name that is
marked while it runs remembers the earliest time that somebody wished for; it is due again at that, or sooner.

Times that callers name are of the host's clock, and a host's clock may be wrong: only how far ahead they are counts.
"""

import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from threading import local
from typing import Any
from uuid import uuid4

from sqlalchemy import BigInteger, Connection, Integer, Select, and_, bindparam, func, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from adapters.ledger import marks
from adapters.ledger.database import Database
from adapters.ledger.dialects import Now
from adapters.ledger.finishing import RARE_POLL, SECOND, Finished, fail, finish, finish_many, micros_of
from adapters.ledger.lease import IS_HELD, HeldLease, held, holder
from adapters.ledger.tables import queue
from adapters.ledger.together import Together
from reconciler.ports import Clock, Due

POLL = 0.5  # seconds between looks of those who do not hear what others make due


def _soonest(*which: ColumnElement[bool]) -> Select[int, int | None, int | None]:
    """The database's time, and the first due time and the first end of a lease after `after`."""
    due, expiry = (
        select(func.min(column)).where(column > bindparam("after"), *which).scalar_subquery()
        for column in (queue.c.due, queue.c.lease_until)
    )
    return select(Now(), due, expiry)


# Built once: putting a statement together takes SQLAlchemy longer than an engine takes to run it.
_LONGER = Now() + bindparam("span", type_=BigInteger)
_OF_FAMILY = queue.c.family == bindparam("of_family")
_CLAIMABLE = and_(_OF_FAMILY, queue.c.due <= Now(), or_(queue.c.lease_until.is_(None), queue.c.lease_until <= Now()))
_FREE = (
    select(queue.c.key)
    .where(_CLAIMABLE)
    .order_by(queue.c.due, queue.c.key)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
    .cte("free")
)
_TAKEN = (
    update(queue)
    .where(queue.c.key.in_(select(_FREE.c.key)))
    .values(owner=bindparam("owner"), lease_until=_LONGER, wished=None)
    .returning(queue.c.key, queue.c.mark, queue.c.attempts, queue.c.due)
)
_RENEWED = update(queue).where(IS_HELD).values(lease_until=_LONGER)
_ANYTHING = select(Now(), select(queue.c.key).where(_CLAIMABLE).limit(1).exists())
_NEXT, _NEXT_OF_FAMILY = _soonest(), _soonest(_OF_FAMILY)


def make_due(connection: Connection, keys: Iterable[str], *, after: timedelta = timedelta(0)) -> None:
    """Add names at the end of a transaction, due `after` from then. Raises ValueError without a family."""
    for key in keys:
        family, colon, name = key.partition(":")
        if not (family and colon and name):
            raise ValueError(f"{key!r} is no name of the queue: write family:name")
        marks.note(connection, key, after)


def ahead(clock: Clock, at: datetime | None) -> timedelta:
    """How far ahead of us a time of our own clock is; nothing for None and for what has passed."""
    return timedelta(0) if at is None else max(timedelta(0), at - clock.now())


class WorkQueue:
    """Implements `reconciler.ports.Queue`.

    Finishes and failures may be lost when a server crashes (`Database.writing`), and are not waited for: the name then
    runs once more. What is added is never lost, nor is a claim or a heartbeat: its owner would believe in a lease that
    another can have too, and tell a forge an older word after a newer one, which no fence sees.
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
                make_due(connection, keys, after=ahead(self._database.clock, due))

    def claim(self, family: str, limit: int, lease: timedelta) -> list[Due]:
        """Take up to `limit` due, unleased names of the family; earliest due first.

        What was claimed when `LedgerAway` is raised is nobody's until the lease has run out: claim again.
        """
        if limit <= 0 or not self._anything_due(family):
            return []
        began, owner = self._database.clock.monotonic(), f"{os.getpid()}-{uuid4().hex}"
        wanted = {"of_family": family, "most": limit, "owner": owner, "span": micros_of(lease)}
        with self._database.writing() as connection:
            rows = connection.execute(_TAKEN, wanted).all()
        rows = sorted(rows, key=lambda row: (row.due, row.key))
        return [self._given(row, owner, began, lease) for row in rows]

    def _given(self, row: Any, owner: str, began: float, span: timedelta) -> Due:
        lease = HeldLease(row.key, owner, self._database.clock)
        lease.extend(began, span)
        return Due(key=row.key, mark=row.mark, attempts=row.attempts, lease=lease)

    def finish(self, due: Due, *, again_at: datetime | None = None) -> bool:
        """Done: the name goes, or is due at `again_at`; marked meanwhile, it is due when it was wished, or sooner.

        False: the lease was lost.

        After `LedgerAway` leave it: the name is done, or it runs once more when the lease has run out.
        """
        after = None if again_at is None else ahead(self._database.clock, again_at)
        if self._finishing.ask((due, after)):
            return True
        with self._database.writing(may_be_lost=True) as connection:
            return finish(connection, due, after)

    def _finish_all(self, items: Sequence[Finished]) -> Sequence[bool]:
        if len(items) == 1:
            return [False]
        with self._database.writing(may_be_lost=True) as connection:
            return finish_many(connection, items)

    def fail(self, due: Due, *, again_at: datetime) -> bool:
        """Not done: due at `again_at`, or when a mark wished it meanwhile, and one more attempt counted.

        False: the lease was lost.
        """
        with self._database.writing(may_be_lost=True) as connection:
            return fail(connection, due, ahead(self._database.clock, again_at))

    def renew(self, due: Due, lease: timedelta) -> bool:
        """Heartbeat: the lease runs from now. False when it was lost: then its owner's next check says so too.

        After `LedgerAway` our own reckoning stays as it was, never later than the database's.
        """
        mine, began = held(due.lease), self._database.clock.monotonic()
        with self._database.writing() as connection:
            kept = connection.execute(_RENEWED, {**holder(mine), "span": micros_of(lease)}).rowcount > 0
        if kept:
            mine.extend(began, lease)
        else:
            mine.lose()
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
        soonest = _NEXT if family is None else _NEXT_OF_FAMILY
        with self._database.reading() as connection:
            now, due, expiry = connection.execute(soonest, {"after": after, "of_family": family}).one()
        return now, min((time for time in (due, expiry) if time is not None), default=None)

    def _anything_due(self, family: str) -> bool:
        """A look that takes no lock: most claims end here."""
        self._looks.family, self._looks.heard = family, self._database.bell.count(family)
        with self._database.reading() as connection:
            self._looks.at, anything = connection.execute(_ANYTHING, {"of_family": family}).one()
        return bool(anything)
