"""The outbox as people look at it, a commit at a time, and telling a commit's words anew."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import BindParameter, Row, and_, bindparam, func, or_, select, update

from adapters.ledger import heads
from adapters.ledger.database import Database
from adapters.ledger.dialects import moment
from adapters.ledger.queue import make_due
from adapters.ledger.statuses import put, repeat, status_of
from adapters.ledger.tables import statuses
from desired_state.model import Sha
from reconciler.mending import Told
from reconciler.outbox import is_fleets
from reconciler.outlets import beside, key_of, repository_of
from reconciler.record import CommitStatus, Medium

_COMMIT: BindParameter[str] = bindparam("commit")
_BEGINNING: BindParameter[str] = bindparam("beginning")
_OF_REPOSITORY = or_(
    statuses.c.repository == bindparam("repository"),
    func.substr(statuses.c.repository, 1, func.length(_BEGINNING)) == _BEGINNING,
)
_OF_COMMIT = and_(_OF_REPOSITORY, or_(statuses.c.commit == _COMMIT, statuses.c.said_for == _COMMIT))
_PLACES = select(statuses).where(_OF_COMMIT).order_by(statuses.c.said_for, statuses.c.repository, statuses.c.context)
_SETTLED = or_(statuses.c.sequence <= statuses.c.delivered_sequence, statuses.c.refused.is_not(None))
# People are not told twice; but what never reached them is tried again.
_AGAIN = and_(
    _OF_COMMIT, or_(statuses.c.medium != Medium.NOTICE.value, statuses.c.delivered_sequence < statuses.c.sequence)
)
_LOCKED = select(statuses).where(_AGAIN).order_by(statuses.c.id).with_for_update()


class Places:
    """Looking at places, and mending them."""

    _database: Database

    def spoken_on(self, beginning: str) -> Sequence[tuple[str, Sha]]:
        """The repositories and commits (or tags, or pull requests) of the outbox that begin so, in order."""
        columns = (statuses.c.commit, statuses.c.said_for)
        with self._database.reading() as connection:
            found = {
                (repository_of(row[0]), row[1])
                for column in columns
                for row in connection.execute(
                    select(statuses.c.repository, column)
                    .where(func.substr(column, 1, len(beginning)) == beginning)
                    .distinct()
                )
            }
        return sorted(found)

    def told(self, repository: str, commit: Sha) -> Sequence[Told]:
        """Every place where something is said of the commit, its own first."""
        with self._database.reading() as connection:
            rows = connection.execute(_PLACES, _where(repository, commit)).all()
            known = heads.known(connection, repository, {row.said_for for row in rows if row.said_for})
        return [_told(row, known[row.said_for].pull if row.said_for in known else None) for row in rows]

    def tell_anew(self, repository: str, commit: Sha, words: Iterable[CommitStatus]) -> int:
        """Say these words, and tell all of the commit's words anew, also refused ones; gives how many.

        What is missing on its head is said there. The fleets that it speaks of are looked at again, and say what they
        should. Safe to repeat: each time everything is told once more, within the budget.
        """
        now = self._database.clock.now()
        with self._database.writing() as connection:
            put(connection, words, now)
            repeat(connection, repository, {commit}, now)
            rows = connection.execute(_LOCKED, _where(repository, commit)).all()
            fresh = {"refused": None, "next_try": None, "attempts": 0, "waits_for": None, "absent_since": None}
            sequences = {"sequence": statuses.c.sequence + 1}
            for changed, condition in ((sequences, _SETTLED), (fresh, statuses.c.id.is_not(None))):
                ids = statuses.c.id.in_([row.id for row in rows])
                connection.execute(update(statuses).where(ids, condition).values(**changed))
            contexts = {row.context for row in rows if is_fleets(row.context)}
            make_due(connection, {f"fleet:{context.removeprefix('fairlead/')}" for context in contexts})
            make_due(connection, {f"rollup:{repository}", *(key_of(row.repository) for row in rows)})
        return len(rows)


def _where(repository: str, commit: Sha) -> dict[str, str]:
    return {"repository": repository, "beginning": beside(repository), "commit": commit}


def _told(row: Row[Any], pull: int | None) -> Told:
    return Told(
        status=status_of(row),
        said_at=moment(row.said_at),
        is_delivered=row.delivered_sequence >= row.sequence,
        delivered_at=None if row.delivered_at is None else moment(row.delivered_at),
        is_doubted=row.doubtful_until is not None,
        next_try=None if row.next_try is None else moment(row.next_try),
        why=row.refused or row.waits_for or "",
        is_refused=row.refused is not None,
        attempts=row.attempts,
        said_for=row.said_for,
        pull=pull,
    )
