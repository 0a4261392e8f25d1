"""What forges let us write, shared by all replicas: writes in sliding windows, and rests after trouble.

Times are the database's, so that no host's clock makes the budget larger. Who takes a turn holds the account's row
until its write is counted: two replicas never take the same room.

The database's clock may have been ahead for a while, as before its host asked for the time: what was written then lies
in the future, where nothing can have happened, and counts no more.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, Integer, Row, bindparam, case, func, insert, select, update

from adapters.ledger.database import Database
from adapters.ledger.dialects import Now, Upsert, moment
from adapters.ledger.tables import budgets, forge_writes
from reconciler.ports import Turn, Window

_MICROSECOND = timedelta(microseconds=1)
AHEAD = timedelta(minutes=1)  # further apart are no two looks at a clock that goes right
IN_TIME = Now() + AHEAD // _MICROSECOND
_RESTS_UNTIL = case((budgets.c.used_at > IN_TIME, 0), else_=budgets.c.rests_until)
_NAMES: BindParameter[Any] = bindparam("names", expanding=True)
_NAMED = budgets.c.name.in_(_NAMES)
_USED = Upsert(budgets, values={"used_at": Now()}, used_at=Now(), rests_until=_RESTS_UNTIL)
_LOCKED = select(_RESTS_UNTIL.label("rests_until"), budgets.c.why, budgets.c.strikes).where(_NAMED)
_RESTED = select(func.max(_RESTS_UNTIL)).where(_NAMED)
_STRUCK = update(budgets).where(_NAMED).values(strikes=budgets.c.strikes + 1)
_RECOVERED = update(budgets).where(_NAMED).values(strikes=0)
_WRITE = insert(forge_writes)
_NEWEST = (
    select(forge_writes.c.at)
    .where(forge_writes.c.budget == bindparam("account"), forge_writes.c.at <= IN_TIME)
    .order_by(forge_writes.c.at.desc())
    .limit(bindparam("most", type_=Integer))
    .offset(bindparam("skipped", type_=Integer))
)
_NOW = select(Now())


class Budgets:
    """Implements `reconciler.ports.Budget`."""

    _database: Database

    def take(self, names: Sequence[str], windows: Sequence[Window]) -> Turn:
        """Count one write of the account now, where there is room and none of the names rests."""
        account = names[0]
        with self._database.writing() as connection:
            rows = _locked(connection, names)
            now = _now(connection)
            resting = max(rows, key=lambda row: row.rests_until)
            room = max((_room(connection, account, window) for window in windows), default=0)
            if max(room, resting.rests_until) > now:
                why = resting.why if resting.rests_until >= room else "the forge takes no more writes for now"
                return Turn(wait_until=moment(max(room, resting.rests_until)), why=why)
            connection.execute(_WRITE, {"budget": account, "at": now})
        return Turn(strikes=max(row.strikes for row in rows))

    def resting(self, names: Sequence[str]) -> Turn:
        """Whether any of the names rests, for who only reads. Nothing is counted."""
        with self._database.reading() as connection:
            rows = list(connection.execute(_LOCKED, {"names": names}))
            now = _now(connection)
        resting = [row for row in rows if row.rests_until > now]
        if resting:
            last = max(resting, key=lambda row: row.rests_until)
            return Turn(wait_until=moment(last.rests_until), why=last.why)
        return Turn(strikes=max((row.strikes for row in rows), default=0))

    def slots(self, names: Sequence[str], wanted: Sequence[Sequence[Window]]) -> Sequence[datetime]:
        """See `reconciler.ports.Budget`."""
        most = max((window.most for windows in wanted for window in windows), default=0)
        with self._database.reading() as connection:
            at = max(_now(connection), connection.scalar(_RESTED, {"names": names}) or 0)
            writes = sorted(connection.scalars(_NEWEST, {"account": names[0], "most": most, "skipped": 0}))
        for windows in wanted:
            at = max([at, *(writes[-each.most] + _span(each) for each in windows if len(writes) >= each.most)])
            writes.append(at)
        return [moment(each) for each in writes[len(writes) - len(wanted) :]]

    def rest(self, name: str, span: timedelta, why: str) -> datetime:
        """Let nobody write under this name for so long, and count one trouble; gives the end. Never shortens a rest."""
        with self._database.writing() as connection:
            (row,) = _locked(connection, [name])
            until = _now(connection) + span // _MICROSECOND
            news = {"rests_until": until, "why": why} if until > row.rests_until else {}
            connection.execute(_STRUCK, {"names": [name], **news})
        return moment(max(until, row.rests_until))

    def recover(self, names: Sequence[str]) -> None:
        """A write was taken: the troubles so far are forgotten."""
        with self._database.writing() as connection:
            _locked(connection, names)
            connection.execute(_RECOVERED, {"names": names})


def _locked(connection: Connection, names: Sequence[str]) -> list[Row[Any]]:
    """The rows of these names, made where they are missing; nobody else has them until the transaction ends."""
    for name in sorted(names):  # one order: two replicas never wait for each other
        _USED.run(connection, {"name": name, "rests_until": 0, "why": "", "strikes": 0})
    return list(connection.execute(_LOCKED, {"names": names}))


def _now(connection: Connection) -> int:
    return connection.execute(_NOW).scalar_one()


def _room(connection: Connection, account: str, window: Window) -> int:
    """When the window has room for one more."""
    oldest = connection.scalar(_NEWEST, {"account": account, "most": 1, "skipped": window.most - 1})
    return 0 if oldest is None else oldest + _span(window)


def _span(window: Window) -> int:
    return window.span // _MICROSECOND
