"""Telling forges what the outbox holds, so that no late word stays there on top of a newer one.

A forge keeps what reaches it last, and knows no fence. A word that was sent may reach it late: after a time-out, or out
of a process that stood still while its lease ran out. So whoever tells says first what it takes up, and what has no
certain end leaves the word in doubt for `DOUBT`: the newest word there is told once more when that is over.

| what happened | how it is known | told once more |
|---|---|---|
| sent, and no answer came | the deliverer says so | `DOUBT` later |
| the deliverer died, or stood still | the next one finds words that were taken up and not settled | `DOUBT` later |
| an answer came after the lease had gone | the deliverer says so, unfenced | at once, where there is a newer word |

One doubt is one repetition at most: a word that was taken up after its doubt and delivered has none any more.
All times are the database's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, func, null, or_, select, update

from adapters.ledger.database import Database
from adapters.ledger.dialects import Now, micros, moment
from adapters.ledger.finishing import micros_of
from adapters.ledger.lease import pass_fence
from adapters.ledger.queue import make_due
from adapters.ledger.tables import IS_TO_BE_TOLD, statuses
from reconciler.ports import Delivery, Lease, LeaseLost, Undelivered

DOUBT = timedelta(minutes=1)  # longer than any request is under way
_UNTOLD = statuses.c.sequence > statuses.c.delivered_sequence
_DUE = case(
    (_UNTOLD, func.coalesce(statuses.c.next_try, 0)),
    (statuses.c.next_try > statuses.c.doubtful_until, statuses.c.next_try),
    else_=statuses.c.doubtful_until,
)
_CERTAIN = case((statuses.c.doubtful_until <= statuses.c.sent_at, null()), else_=statuses.c.doubtful_until)
due_now = and_(IS_TO_BE_TOLD, Now() >= _DUE)


class Telling:
    """What the deliverers do to the outbox."""

    _database: Database

    def next_telling(self, outlet: str) -> datetime | None:
        """When something is to be told next, now at the earliest; None where nothing waits."""
        soonest = select(Now(), func.min(_DUE)).where(statuses.c.repository == outlet, IS_TO_BE_TOLD)
        with self._database.reading() as connection:
            now, due = connection.execute(soonest).one()
        return None if due is None else moment(max(now, due))

    def take_up(self, lease: Lease, words: Sequence[Undelivered]) -> datetime:
        """These are about to be told; gives the time. Raises `LeaseLost`.

        What somebody took up before and never settled is in doubt from here on. After `LedgerAway` tell nothing.
        """
        ids = [word.id for word in words]
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            left = _locked(connection, lease, ids)
            now: int = connection.execute(select(Now())).scalar_one()
            _change(connection, left, doubtful_until=now + micros_of(DOUBT), sent_at=None)
            _change(connection, ids, sent_at=now)
        return moment(now)

    def settle(self, lease: Lease, results: Sequence[Delivery]) -> None:
        """What became of the words that were sent; a newer word is left undelivered. Raises `LeaseLost`.

        Without the lease only doubts are noted, which can cause a repetition and nothing else. After `LedgerAway` leave
        it: they are sent once more, and a forge that has them shows the same as before.
        """
        if not results:
            return
        try:
            with self._database.writing() as connection:
                pass_fence(connection, lease)
                taken_up = _locked(connection, lease, [result.id for result in results])
                for result in results:
                    connection.execute(_delivered(result) if result.delivered else _put_off(result))
                    _doubt(connection, result)
                    _note(connection, result)
                _change(connection, taken_up, sent_at=None)
        except LeaseLost:
            self._doubt_all(lease, results)
            raise

    def _doubt_all(self, lease: Lease, results: Sequence[Delivery]) -> None:
        with self._database.writing() as connection:
            _locked(connection, lease, [result.id for result in results])
            for result in results:
                _doubt(connection, result)
                _note(connection, result)
                if result.delivered:
                    newer = (statuses.c.sequence > result.sequence, statuses.c.doubtful_until.is_(None))
                    late = update(statuses).where(statuses.c.id == result.id, *newer)
                    connection.execute(late.values(doubtful_until=Now()))
            make_due(connection, {lease.key})


def _locked(connection: Connection, lease: Lease, ids: Sequence[int]) -> list[int]:
    """Lock these words, and those of the outlet that are taken up, which are given; in the order of `put`."""
    outlet = lease.key.partition(":")[2]
    taken_up = and_(statuses.c.repository == outlet, statuses.c.sent_at.is_not(None))
    wanted = select(statuses.c.id, statuses.c.sent_at).where(or_(taken_up, statuses.c.id.in_(ids)))
    rows = connection.execute(wanted.order_by(statuses.c.id).with_for_update()).all()
    return [row.id for row in rows if row.sent_at is not None]


def _change(connection: Connection, ids: Sequence[int], **values: Any) -> None:
    if ids:
        connection.execute(update(statuses).where(statuses.c.id.in_(ids)).values(**values))


def _delivered(result: Delivery) -> Any:
    older = statuses.c.delivered_sequence < result.sequence
    newest = case((older, result.sequence), else_=statuses.c.delivered_sequence)
    certain = update(statuses).where(statuses.c.id == result.id)
    return certain.values(delivered_sequence=newest, delivered_at=Now(), doubtful_until=_CERTAIN)


def _put_off(result: Delivery) -> Any:
    """Tried again at `retry_at`; without one the forge has refused this word for good."""
    fate: dict[str, Any] = {"refused": result.message or "refused", "waits_for": None}
    if result.retry_at is not None:
        fate = {"next_try": micros(result.retry_at), "attempts": statuses.c.attempts + int(result.tried)}
        fate |= {"waits_for": result.message or None}
    return update(statuses).where(statuses.c.id == result.id, statuses.c.sequence == result.sequence).values(**fate)


def _note(connection: Connection, result: Delivery) -> None:
    """What was learnt about the place, whichever word stands there by now."""
    learnt: dict[str, Any] = {"told_on": result.told_on} if result.told_on else {}
    if result.delivered:
        learnt |= {"absent_since": None}
    elif result.absent:
        learnt |= {"absent_since": func.coalesce(statuses.c.absent_since, Now())}
    if learnt:
        _change(connection, [result.id], **learnt)


def _doubt(connection: Connection, result: Delivery) -> None:
    if result.in_doubt:
        _change(connection, [result.id], doubtful_until=Now() + micros_of(DOUBT))
