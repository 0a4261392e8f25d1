"""Giving claimed names back, within a transaction: one by itself, or many at once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, case, delete, func, or_, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from adapters.ledger.database import will_ring
from adapters.ledger.dialects import Now
from adapters.ledger.lease import IS_HELD, held, holder
from adapters.ledger.tables import queue
from reconciler.ports import Due

Finished = tuple[Due, timedelta | None]  # a claimed name, and after how long it is due again
RARE_POLL = 5.0  # seconds between looks of those who hear what others make due
SECOND = 1_000_000
FOREVER = timedelta(days=36500)
_FREE: dict[str, Any] = {"owner": None, "lease_until": None, "wished": None}
_LATER: BindParameter[int] = bindparam("later", type_=BigInteger)
_UNMARKED = queue.c.mark == bindparam("seen_mark")


def _kept(attempts: Any) -> ReturningUpdate[int]:
    """The name stays, due `later` from now, or when it was wished meanwhile; gives how long that is from now.

    A version of before marks without a wish: then it is due now.
    """
    later, wished = Now() + _LATER, func.coalesce(queue.c.wished, Now())
    again = case((or_(_UNMARKED, later <= wished), later), else_=wished)
    return update(queue).where(IS_HELD).values(due=again, attempts=attempts, **_FREE).returning(queue.c.due - Now())


_DONE = delete(queue).where(IS_HELD, _UNMARKED)
_KEPT, _FAILED = _kept(0), _kept(queue.c.attempts + 1)
_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
_OURS = (
    select(queue.c.key, queue.c.owner, queue.c.mark, queue.c.wished, Now().label("now"))
    .where(queue.c.key.in_(_NAMES), queue.c.lease_until > Now())
    .order_by(queue.c.key)
    .with_for_update(skip_locked=True)
)
_ALL_DONE = delete(queue).where(queue.c.key.in_(_NAMES))
_AGAIN = update(queue).where(queue.c.key == bindparam("name")).values(due=_LATER, attempts=0, **_FREE)


def finish(connection: Connection, due: Due, after: timedelta | None) -> bool:
    """One name. False when its lease was lost."""
    if after is None and connection.execute(_DONE, _mine(due)).rowcount:
        return True
    return _give_back(connection, _KEPT, due, after)


def fail(connection: Connection, due: Due, after: timedelta) -> bool:
    """One name, and one more attempt. False when its lease was lost."""
    return _give_back(connection, _FAILED, due, after)


def finish_many(connection: Connection, items: Sequence[Finished]) -> list[bool]:
    """Many names: False for those that somebody is at just now, or whose lease was lost."""
    rows = connection.execute(_OURS, {"names": [due.key for due, _ in items]})
    ours = {(row.key, row.owner): row for row in rows}
    found = [(due, after, ours.pop((due.key, held(due.lease).owner), None)) for due, after in items]
    gone = [due.key for due, after, row in found if row and row.mark == due.mark and after is None]
    again = [(due.key, _again(row, due, after), row.now) for due, after, row in found if row and due.key not in gone]
    if gone:
        connection.execute(_ALL_DONE, {"names": gone})
    if again:
        connection.execute(_AGAIN, [{"name": key, "later": later} for key, later, _ in again])
    will_ring(connection, {_family(key) for key, later, now in again if later - now < RARE_POLL * SECOND})
    return [row is not None for _, _, row in found]


def _again(row: Any, due: Due, after: timedelta | None) -> int:
    """As `_kept`, for a row that was read."""
    times: list[int] = [] if after is None else [row.now + micros_of(after)]
    if row.mark != due.mark:
        times.append(row.now if row.wished is None else row.wished)
    return min(times)


def micros_of(span: timedelta) -> int:
    """A length of time as the tables write it."""
    return span // timedelta(microseconds=1)


def _mine(due: Due) -> dict[str, Any]:
    return {**holder(due.lease), "seen_mark": due.mark}


def _give_back(connection: Connection, kept: ReturningUpdate[int], due: Due, after: timedelta | None) -> bool:
    """False when the lease was lost; rings when the name is due again before the next look."""
    later = FOREVER if after is None else after  # only a wish brought it here
    row = connection.execute(kept, {**_mine(due), "later": micros_of(later)}).first()
    if row is not None and row[0] < RARE_POLL * SECOND:
        will_ring(connection, [_family(due.key)])
    return row is not None


def _family(key: str) -> str:
    return key.partition(":")[0]
