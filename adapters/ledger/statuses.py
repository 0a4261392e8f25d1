"""The outbox: what is said on commits. Durable, the newest word only, the same meaning never twice (DESIGN 5)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import BindParameter, Connection, Integer, Row, bindparam, case, func, select, tuple_

from adapters.ledger.database import Database
from adapters.ledger.dialects import Upsert, micros, moment, sound, take_turns
from adapters.ledger.lease import pass_fence
from adapters.ledger.queue import make_due
from adapters.ledger.tables import statuses
from adapters.ledger.telling import due_now
from desired_state.model import Sha
from reconciler.ports import Lease, Undelivered
from reconciler.record import CommitStatus, State

PAIRS = 200  # (commit, context) in one statement
COMMITS = 500
ROLL_UP_AFTER = timedelta(milliseconds=500)  # many words make one roll-up, and the deploys that they speak of go first
Place = tuple[str, Sha, str]  # repository, commit, context

_OF_REPOSITORY = statuses.c.repository == bindparam("repository")
_PAIRS: BindParameter[Any] = bindparam("pairs", expanding=True)
_STANDING = (
    select(statuses)
    .where(_OF_REPOSITORY, tuple_(statuses.c.commit, statuses.c.context).in_(_PAIRS))
    .order_by(statuses.c.id)
)
_LOCKED = (
    select(statuses)
    .where(statuses.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(statuses.c.id)
    .with_for_update()
)
_PLACED = Upsert(statuses, key=("repository", "commit", "context"))
_SAID = Upsert(
    statuses,
    *("state", "description", "target_url", "at", "said_at"),
    key=("repository", "commit", "context"),
    sequence=statuses.c.sequence + 1,
    attempts=0,
    next_try=None,
    refused=None,
)
_UNDELIVERED = (
    select(statuses)
    .where(_OF_REPOSITORY, due_now)
    .order_by(
        case((statuses.c.state == State.PENDING.value, 1), else_=0),
        case((statuses.c.context.like("%/%/%"), 1), else_=0),  # a fleet's own word
        statuses.c.id.desc(),
    )
    .limit(bindparam("most", type_=Integer))
)


def put(connection: Connection, words: Iterable[CommitStatus], now: datetime) -> None:
    """Put words into the outbox within a transaction; what says the same as before is dropped.

    Makes `statuses:<repository>` due, and soon `rollup:<repository>` where a fleet's own word changed.
    """
    newest = {(word.repository, word.commit, sound(word.context)): word for word in words}
    said = {place: _told(row) for place, row in _standing(connection, newest).items()}
    wanted = {place: word for place, word in newest.items() if said.get(place) != _meaning(word)}
    said = {place: _told(row) for place, row in _locked(connection, wanted, now).items()}
    news = [word for place, word in wanted.items() if said.get(place) != _meaning(word)]
    if not news:
        return
    _SAID.run(connection, [_row(word, now) for word in news])
    rolled_up = {
        f"rollup:{word.repository}" for word in news if word.context.count("/") == 2
    }  # fairlead/<env>/<service>
    make_due(connection, rolled_up, after=ROLL_UP_AFTER)
    make_due(connection, {f"statuses:{word.repository}" for word in news})


def _locked(connection: Connection, words: Mapping[Place, CommitStatus], now: datetime) -> Mapping[Place, Row[Any]]:
    """The rows of these places, ours until the transaction ends. Nobody who does the same can lock another out.

    New places are made first, without a meaning yet: whoever waits there holds no row that was there. Their ids stand
    for the order of commits, so there is no other order in which all would make them; who makes several waits his turn.
    Then every row is locked in the order of ids, as `settle` locks them.
    """
    if not words:
        return {}
    found = _standing(connection, words)
    missing = [place for place in words if place not in found]
    if len(missing) > 1:
        take_turns(connection)
    if missing:
        unsaid = {"state": "", "description": "", "target_url": "", "sequence": 0}
        _PLACED.run(connection, [_row(words[place], now) | unsaid for place in missing])
        found |= _standing(connection, missing)
    ids = sorted(row.id for row in found.values())
    rows = (
        row
        for start in range(0, len(ids), COMMITS)
        for row in connection.execute(_LOCKED, {"ids": ids[start : start + COMMITS]})
    )
    return {(row.repository, row.commit, row.context): row for row in rows}


def _standing(connection: Connection, places: Iterable[Place]) -> dict[Place, Row[Any]]:
    found: dict[Place, Row[Any]] = {}
    for repository, group in groupby(sorted(places), key=lambda place: place[0]):
        pairs = [(commit, context) for _, commit, context in group]
        for start in range(0, len(pairs), PAIRS):
            wanted = {"repository": repository, "pairs": pairs[start : start + PAIRS]}
            for row in connection.execute(_STANDING, wanted):
                found[repository, row.commit, row.context] = row
    return found


def _told(row: Row[Any]) -> tuple[str, str, str]:
    return (row.state, row.description, row.target_url)


def _meaning(word: CommitStatus) -> tuple[str, str, str]:
    return (word.state.value, sound(word.description), sound(word.target_url))


def _row(word: CommitStatus, now: datetime) -> dict[str, Any]:
    return {
        "repository": word.repository,
        "commit": word.commit,
        "context": word.context,
        "state": word.state.value,
        "description": word.description,
        "target_url": word.target_url,
        "at": None if word.at is None else micros(word.at),
        "said_at": micros(now),
        "sequence": 1,
        "delivered_sequence": 0,
        "attempts": 0,
    }


def status_of(row: Row[Any]) -> CommitStatus:
    """A row of the outbox as the word that it holds."""
    return CommitStatus(
        repository=row.repository,
        commit=row.commit,
        context=row.context,
        state=State(row.state),
        description=row.description,
        target_url=row.target_url,
        at=None if row.at is None else moment(row.at),
    )


class Statuses:
    """The outbox as the reconciler and the deliverers use it."""

    _database: Database

    def say(self, lease: Lease, statuses: Sequence[CommitStatus]) -> None:
        """Put statuses into the outbox; what says the same as before is dropped. Raises `LeaseLost`.

        After `LedgerAway` say them again.
        """
        if not statuses:
            return
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            put(connection, statuses, self._database.clock.now())

    def statuses(
        self,
        repository: str,
        *,
        commits: Collection[Sha] | None = None,
        context_prefix: str = "",
        open_only: bool = False,
    ) -> Sequence[CommitStatus]:
        """The newest word for each commit and context, oldest place first. `commits` None: on all."""
        query = select(statuses).where(statuses.c.repository == repository).order_by(statuses.c.id)
        if context_prefix:
            query = query.where(func.substr(statuses.c.context, 1, len(context_prefix)) == context_prefix)
        if open_only:
            query = query.where(statuses.c.state == State.PENDING.value)
        queries = [query]
        if commits is not None:
            wanted = sorted(set(commits))
            queries = [
                query.where(statuses.c.commit.in_(wanted[start : start + COMMITS]))
                for start in range(0, len(wanted), COMMITS)
            ]
        with self._database.reading() as connection:
            return [status_of(row) for each in queries for row in connection.execute(each)]

    def undelivered(self, repository: str, limit: int) -> Sequence[Undelivered]:
        """What may be told now by the database's clock: final words first, then roll-ups, then newest commits.

        That is what the forge has not confirmed, and what it may show an older word of (`telling.py`).

        The order of first words stands in for the order of commits.
        """
        wanted = {"repository": repository, "most": limit}
        with self._database.reading() as connection:
            return [_waiting(row) for row in connection.execute(_UNDELIVERED, wanted)]


def _waiting(row: Row[Any]) -> Undelivered:
    return Undelivered(
        id=row.id,
        sequence=row.sequence,
        status=status_of(row),
        attempts=row.attempts,
        said_before=row.delivered_sequence > 0 or row.sent_at is not None or row.doubtful_until is not None,
    )
