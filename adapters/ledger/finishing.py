"""Giving claimed names back, within a transaction: one by itself, or many at once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, case, delete, select, update
from sqlalchemy.sql.dml import Update

from adapters.ledger.database import will_ring
from adapters.ledger.dialects import Now, micros
from adapters.ledger.lease import held, is_held
from adapters.ledger.tables import queue
from reconciler.ports import Due

Finished = tuple[Due, datetime | None]  # a claimed name, and when it is due again
RARE_POLL = 5.0  # seconds between looks of those who hear what others make due
SECOND = 1_000_000
FREE: dict[str, Any] = {"owner": None, "lease_until": None}
_AGAIN = (
    update(queue)
    .where(queue.c.key == bindparam("name"))
    .values(due=bindparam("later", type_=BigInteger), attempts=0, **FREE)
)


def finish(connection: Connection, due: Due, again_at: datetime | None) -> bool:
    """One name. False when its lease was lost."""
    mine = is_held(held(due.lease))
    unmarked = queue.c.mark == due.mark
    if again_at is None and connection.execute(delete(queue).where(mine, unmarked)).rowcount:
        return True
    later = Now() if again_at is None else micros(again_at)
    kept = update(queue).where(mine).values(due=case((unmarked, later), else_=Now()), attempts=0, **FREE)
    return give_back(connection, kept, due.key)


def finish_many(connection: Connection, items: Sequence[Finished]) -> list[bool]:
    """Many names: False for those that somebody is at just now, or whose lease was lost."""
    wanted = select(queue.c.key, queue.c.owner, queue.c.mark, Now().label("now")).where(
        queue.c.key.in_([due.key for due, _ in items]), queue.c.lease_until > Now()
    )
    rows = connection.execute(wanted.order_by(queue.c.key).with_for_update(skip_locked=True))
    ours = {(row.key, row.owner): row for row in rows}
    found = [(due, again_at, ours.pop((due.key, held(due.lease).owner), None)) for due, again_at in items]
    gone = [due.key for due, again_at, row in found if row and row.mark == due.mark and again_at is None]
    again = [
        (due.key, micros(again_at) if again_at and row.mark == due.mark else row.now, row.now)
        for due, again_at, row in found
        if row and due.key not in gone
    ]
    if gone:
        connection.execute(delete(queue).where(queue.c.key.in_(gone)))
    if again:
        connection.execute(_AGAIN, [{"name": key, "later": later} for key, later, _ in again])
    will_ring(connection, {_family(key) for key, later, now in again if later - now < RARE_POLL * SECOND})
    return [row is not None for _, _, row in found]


def give_back(connection: Connection, kept: Update, key: str) -> bool:
    """Run it. False when it met no row; rings when the name is due again before the next look."""
    row = connection.execute(kept.returning(queue.c.due - Now())).first()
    if row is not None and row[0] < RARE_POLL * SECOND:
        will_ring(connection, [_family(key)])
    return row is not None


def _family(key: str) -> str:
    return key.partition(":")[0]
