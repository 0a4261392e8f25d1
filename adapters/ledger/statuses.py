"""The outbox: what is said on commits. Durable, the newest word only, the same meaning never twice (DESIGN 5)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import BindParameter, Connection, Integer, Row, Select, and_, bindparam, case, func, select, tuple_

from adapters.ledger import heads
from adapters.ledger.database import Database
from adapters.ledger.dialects import Now, Upsert, micros, moment, sound, take_turns
from adapters.ledger.finishing import micros_of
from adapters.ledger.heads import Spoken
from adapters.ledger.lease import pass_fence
from adapters.ledger.queue import make_due
from adapters.ledger.tables import IS_OWN, IS_TO_BE_TOLD, statuses
from adapters.ledger.telling import due_now
from desired_state.model import Sha
from reconciler.outlets import further, key_of, outlet_of, repository_of
from reconciler.ports import Lease, Undelivered
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import Head

PAIRS = 200  # (commit, context) in one statement
COMMITS = 500
ROLL_UPS_APART = timedelta(seconds=10)  # a pending one that was told before does not go before final words
ROLL_UP_AFTER = timedelta(milliseconds=500)  # many words make one roll-up, and the deploys that they speak of go first
Place = tuple[str, Sha, str]  # outlet, commit, context

_OF_REPOSITORY = statuses.c.repository == bindparam("repository")
_PAIRS: BindParameter[Any] = bindparam("pairs", expanding=True)
_STANDING = (
    select(statuses)
    .where(_OF_REPOSITORY, tuple_(statuses.c.commit, statuses.c.context).in_(_PAIRS))
    .order_by(statuses.c.id)
)
_OWN_WORDS = select(statuses).where(_OF_REPOSITORY, IS_OWN).order_by(statuses.c.id)
_LOCKED = (
    select(statuses)
    .where(statuses.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(statuses.c.id)
    .with_for_update()
)
_PLACED = Upsert(statuses, key=("repository", "commit", "context"))
_SAID = Upsert(
    statuses,
    *("state", "description", "target_url", "at", "said_at", "medium", "project", "body", "said_for"),
    key=("repository", "commit", "context"),
    sequence=statuses.c.sequence + 1,
    attempts=0,
    next_try=None,
    refused=None,
    waits_for=None,
)
_IS_STATUS, _IS_FLEETS = statuses.c.medium == Medium.STATUS.value, statuses.c.context.like("%/%/%")
_OF_THE_WHOLE = and_(_IS_STATUS, ~_IS_FLEETS)  # roll-ups, and what is said of files
_IS_PENDING = statuses.c.state == State.PENDING.value
_SHOWN_LATELY = func.coalesce(statuses.c.delivered_at, 0) > Now() - micros_of(ROLL_UPS_APART)
_URGENCY = case(
    (and_(_OF_THE_WHOLE, ~_IS_PENDING), 0),
    (and_(_OF_THE_WHOLE, ~_SHOWN_LATELY), 1),  # it tells of failures too, of all of them at once
    (statuses.c.medium == Medium.NOTICE.value, 2),
    (statuses.c.state.in_([State.FAILURE.value, State.ERROR.value]), 2),
    (and_(~_IS_PENDING, statuses.c.medium != Medium.COMMENT.value), 3),
    (statuses.c.medium == Medium.COMMENT.value, 4),
    (_OF_THE_WHOLE, 5),
    else_=6,
)
_UNDELIVERED = (
    select(statuses)
    .where(_OF_REPOSITORY, due_now)
    .order_by(_URGENCY, statuses.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_OUTLETS = select(statuses.c.repository).where(IS_TO_BE_TOLD).distinct().order_by(statuses.c.repository)


def put(connection: Connection, words: Iterable[CommitStatus], now: datetime) -> None:
    """Put words into the outbox within a transaction; what says the same as before is dropped.

    What is news on a commit is said on the head that it came from too. Makes the outlets of what is news due, and soon
    `rollup:<repository>` where a fleet's own word changed.
    """
    own = _by_place(Spoken(word=word) for word in words)
    wanted = _news(connection, own, _standing(connection, own))
    if wanted:
        _speak(connection, _by_place(heads.copies(connection, [each.word for each in wanted.values()])) | wanted, now)


def repeat(connection: Connection, repository: str, commits: Collection[Sha], now: datetime) -> None:
    """What stands on these commits, said on their heads within a transaction, where it is not said there."""
    words = [
        status_of(row)
        for query in _on(_OWN_WORDS, commits)
        for row in connection.execute(query, {"repository": repository})
    ]
    wanted = _by_place(heads.copies(connection, words))
    _speak(connection, _news(connection, wanted, _standing(connection, wanted)), now)


def _by_place(spoken: Iterable[Spoken]) -> dict[Place, Spoken]:
    return {(_outlet(each), each.word.commit, sound(each.word.context)): each for each in spoken}


def _outlet(spoken: Spoken) -> str:
    return sound(outlet_of(spoken.word, spoken.said_for))


def _speak(connection: Connection, wanted: Mapping[Place, Spoken], now: datetime) -> None:
    """Write what is news still when nobody else can change it."""
    news = list(_news(connection, wanted, _locked(connection, wanted, now)).values())
    if not news:
        return
    _SAID.run(connection, [_row(each, now) for each in news])
    rolled_up = {f"rollup:{each.word.repository}" for each in news if _moves_roll_up(each)}
    make_due(connection, rolled_up, after=ROLL_UP_AFTER)
    make_due(connection, {key_of(_outlet(each)) for each in news})


def _moves_roll_up(spoken: Spoken) -> bool:
    """A fleet's own word: fairlead/<env>/<service>."""
    return heads.is_copied(spoken.word) and not spoken.said_for and spoken.word.context.count("/") == 2


def _news(
    connection: Connection, wanted: Mapping[Place, Spoken], standing: Mapping[Place, Row[Any]]
) -> dict[Place, Spoken]:
    """Those that mean something else than what stands there, and may."""
    return {
        place: each
        for place, each in wanted.items()
        if place not in standing or _is_news(connection, each, standing[place])
    }


def _is_news(connection: Connection, spoken: Spoken, row: Row[Any]) -> bool:
    if not row.state or not spoken.said_for or spoken.said_for == row.said_for:
        return _told(row) != _meaning(spoken)
    ranks = heads.ranks(connection, spoken.word.repository, {spoken.said_for, row.said_for})
    return ranks[spoken.said_for] > ranks.get(row.said_for, (0, ""))


def _locked(connection: Connection, words: Mapping[Place, Spoken], now: datetime) -> Mapping[Place, Row[Any]]:
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
    for outlet, group in groupby(sorted(places), key=lambda place: place[0]):
        pairs = [(commit, context) for _, commit, context in group]
        for start in range(0, len(pairs), PAIRS):
            wanted = {"repository": outlet, "pairs": pairs[start : start + PAIRS]}
            for row in connection.execute(_STANDING, wanted):
                found[outlet, row.commit, row.context] = row
    return found


def _told(row: Row[Any]) -> tuple[str, ...]:
    return (row.state, row.description, row.target_url, row.project, row.body, row.said_for)


def _meaning(spoken: Spoken) -> tuple[str, ...]:
    word = spoken.word
    shown = (word.description, word.target_url, word.project, word.body)
    return (word.state.value, *map(sound, shown), spoken.said_for)


def _row(spoken: Spoken, now: datetime) -> dict[str, Any]:
    word = spoken.word
    return {
        "repository": _outlet(spoken),
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
        "medium": word.medium.value,
        "project": word.project,
        "body": word.body,
        "said_for": spoken.said_for,
    }


def status_of(row: Row[Any]) -> CommitStatus:
    """A row of the outbox as the word that it holds."""
    return CommitStatus(
        repository=repository_of(row.repository),
        commit=row.commit,
        context=row.context,
        state=State(row.state),
        description=row.description,
        target_url=row.target_url,
        at=None if row.at is None else moment(row.at),
        medium=Medium(row.medium),
        project=row.project,
        body=row.body,
    )


def _on(query: Select[Any], commits: Collection[Sha]) -> list[Select[Any]]:
    """The query for these commits, in portions that a statement takes."""
    wanted = sorted(set(commits))
    portions = [wanted[start : start + COMMITS] for start in range(0, len(wanted), COMMITS)]
    return [query.where(statuses.c.commit.in_(portion)) for portion in portions]


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
        """The newest word for each commit and context, oldest place first. `commits` None: on all.

        Only what commits of this repository say of themselves: no other medium or project, no copy on a head.
        """
        places = statuses.c.repository.in_([repository, further(repository)])  # what is said of plans is there
        query = select(statuses).where(places, IS_OWN).order_by(statuses.c.id)
        if context_prefix:
            query = query.where(func.substr(statuses.c.context, 1, len(context_prefix)) == context_prefix)
        if open_only:
            query = query.where(statuses.c.state == State.PENDING.value)
        queries = [query] if commits is None else _on(query, commits)
        with self._database.reading() as connection:
            return [status_of(row) for each in queries for row in connection.execute(each)]

    def speaking(self, repository: str, commits: Collection[Sha]) -> Mapping[Sha, int]:
        """How many single fleets have a word on each of these commits; commits without one are left out."""
        counted = select(statuses.c.commit, func.count()).where(
            statuses.c.repository == repository, IS_OWN, statuses.c.context.like("fairlead/%/%")
        )
        with self._database.reading() as connection:
            grouped = (query.group_by(statuses.c.commit) for query in _on(counted, commits))
            return {sha: number for query in grouped for sha, number in connection.execute(query)}

    def heads_of(self, repository: str, commits: Collection[Sha]) -> Mapping[Sha, Head]:
        """The heads of the pull requests that these commits came from; commits without one are left out."""
        with self._database.reading() as connection:
            found = heads.known(connection, repository, commits)
        return {sha: Head(head=row.head, pull=row.pull) for sha, row in found.items()}

    def record_heads(self, repository: str, found: Mapping[Sha, Head]) -> None:
        """From here on what is said on each commit is said on its head too, beginning with what stands there now.

        The first head of a commit stays; the number of its pull request may come later. Safe to repeat.
        """
        if not found:
            return
        now = self._database.clock.now()
        with self._database.writing() as connection:
            repeat(connection, repository, heads.record(connection, repository, found, now), now)

    def undelivered(self, outlet: str, limit: int) -> Sequence[Undelivered]:
        """What may be told there now by the database's clock, the most urgent first.

        Roll-ups go first, then notices and failures, other final words, comments, and what is under way; newer commits
        before older ones. A pending roll-up goes first every `ROLL_UPS_APART`, and else before pending words only.

        That is what the forge has not confirmed, and what it may show an older word of (`telling.py`). The order of
        first words stands in for the order of commits.
        """
        wanted = {"repository": outlet, "most": limit}
        with self._database.reading() as connection:
            return [_waiting(row) for row in connection.execute(_UNDELIVERED, wanted)]

    def outlets(self) -> Sequence[str]:
        """Those in which something waits, now or later."""
        with self._database.reading() as connection:
            return list(connection.scalars(_OUTLETS))


def _waiting(row: Row[Any]) -> Undelivered:
    return Undelivered(
        id=row.id,
        sequence=row.sequence,
        status=status_of(row),
        attempts=row.attempts,
        said_at=moment(row.said_at),
        said_before=row.delivered_sequence > 0 or row.sent_at is not None or row.doubtful_until is not None,
        said_for=row.said_for,
        put_off=row.waits_for is not None,
        told_on=row.told_on or "",
        absent_since=None if row.absent_since is None else moment(row.absent_since),
    )
