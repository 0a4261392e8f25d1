"""What forges let us write, shared by all replicas: writes in sliding windows, and rests after trouble.

Times are the database's, so that no host's clock makes the budget larger. Who takes a turn holds the account's row
until its write is counted: two replicas never take the same room.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from adapters.ledger.database import Database
from adapters.ledger.dialects import Now, insert_into, moment
from adapters.ledger.tables import budgets, forge_writes
from reconciler.ports import Turn, Window

_MICROSECOND = timedelta(microseconds=1)


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
            connection.execute(insert(forge_writes).values(budget=account, at=now))
        return Turn(strikes=max(row.strikes for row in rows))

    def slots(self, names: Sequence[str], wanted: Sequence[Sequence[Window]]) -> Sequence[datetime]:
        """See `reconciler.ports.Budget`."""
        mine = forge_writes.c.budget == names[0]
        most = max((window.most for windows in wanted for window in windows), default=0)
        newest = select(forge_writes.c.at).where(mine).order_by(forge_writes.c.at.desc()).limit(most)
        rested = select(func.max(budgets.c.rests_until)).where(budgets.c.name.in_(names))
        with self._database.reading() as connection:
            at = max(_now(connection), connection.scalar(rested) or 0)
            writes = sorted(connection.scalars(newest))
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
            connection.execute(update(budgets).where(_is(name)).values(strikes=budgets.c.strikes + 1, **news))
        return moment(max(until, row.rests_until))

    def recover(self, names: Sequence[str]) -> None:
        """A write was taken: the troubles so far are forgotten."""
        with self._database.writing() as connection:
            _locked(connection, names)
            connection.execute(update(budgets).where(budgets.c.name.in_(names)).values(strikes=0))


def _locked(connection: Connection, names: Sequence[str]) -> list[Row[Any]]:
    """The rows of these names, made where they are missing; nobody else has them until the transaction ends."""
    insertion = insert_into(connection, budgets)
    used = insertion.on_conflict_do_update(index_elements=[budgets.c.name], set_={"used_at": Now()})
    fresh = {"rests_until": 0, "why": "", "strikes": 0, "used_at": Now()}
    for name in sorted(names):  # one order: two replicas never wait for each other
        connection.execute(used.values(name=name, **fresh))
    return list(connection.execute(select(budgets).where(budgets.c.name.in_(names))))


def _now(connection: Connection) -> int:
    return connection.execute(select(Now())).scalar_one()


def _room(connection: Connection, account: str, window: Window) -> int:
    """When the window has room for one more."""
    newest = select(forge_writes.c.at).where(forge_writes.c.budget == account).order_by(forge_writes.c.at.desc())
    oldest = connection.scalar(newest.offset(window.most - 1).limit(1))
    return 0 if oldest is None else oldest + _span(window)


def _span(window: Window) -> int:
    return window.span // _MICROSECOND


def _is(name: str) -> Any:
    return budgets.c.name == name
