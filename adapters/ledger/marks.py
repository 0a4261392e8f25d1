"""Names that a transaction makes due: written as its last act and in one order, so that no two wait for each other.

A mark's row is held until the commit. Whoever marked first and wrote afterwards would hold a name that others mark,
while he waits for rows that they hold.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy import BigInteger, Connection, bindparam, case, func
from sqlalchemy.sql.elements import ColumnElement

from adapters.ledger.dialects import Now, Upsert, excluded
from adapters.ledger.tables import queue

_NOTED = "fairlead_due"  # in a connection's info: names that this transaction makes due, and how soon
_WISHED = Now() + bindparam("after", type_=BigInteger)


def _earlier(one: ColumnElement[Any], other: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((one <= other, one), else_=other)


_DUE = Upsert(
    queue,
    values={"due": _WISHED, "wished": _WISHED},
    mark=queue.c.mark + 1,
    due=_earlier(queue.c.due, excluded(queue).due),
    wished=_earlier(func.coalesce(queue.c.wished, excluded(queue).wished), excluded(queue).wished),
)


def begin(connection: Connection) -> None:
    """Forget what a transaction that failed had noted."""
    connection.info.pop(_NOTED, None)


def note(connection: Connection, key: str, after: timedelta) -> None:
    """The name is due `after` from the end of this transaction, or sooner where it was noted so."""
    noted = connection.info.setdefault(_NOTED, {})
    noted[key] = min(after, noted.get(key, after))


def write(connection: Connection) -> set[str]:
    """Write what was noted; gives its families."""
    noted: dict[str, timedelta] = connection.info.pop(_NOTED, {})
    rows = [_row(key, after) for key, after in sorted(noted.items())]
    if rows:
        _DUE.run(connection, rows)
    return {row["family"] for row in rows}


def _row(key: str, after: timedelta) -> dict[str, Any]:
    family = key.partition(":")[0]
    return {"key": key, "family": family, "mark": 1, "attempts": 0, "after": after // timedelta(microseconds=1)}
