"""The head of a merged pull request answers too: what is said on a commit is said again on the head that it came from.

Copies are written in the transaction of the word that they repeat, and nothing is decided from them. What a commit says
of itself stands before what another says through it. Where two commits came from one head, the later one is heard.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, select

from adapters.ledger.dialects import Upsert, excluded, keep_heads, micros
from adapters.ledger.tables import heads
from desired_state.model import Sha
from reconciler.record import CommitStatus, Medium
from reconciler.reviews import Head

AT_ONCE = 500  # commits in one statement
Rank = tuple[int, Sha]  # the later head of a commit is the higher one
_COMMITS: BindParameter[Any] = bindparam("commits", expanding=True)
_KNOWN = select(heads).where(heads.c.repository == bindparam("repository"), heads.c.commit.in_(_COMMITS))
_RECORDED = Upsert(heads, pull=func.coalesce(excluded(heads).pull, heads.c.pull))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A word on its way into the outbox. `said_for`: the commit whose word it repeats; empty: the commit's own."""

    word: CommitStatus
    said_for: Sha = ""


def copies(connection: Connection, words: Iterable[CommitStatus]) -> Iterator[Spoken]:
    """These words once more, each on the head of its commit. From here on no head becomes known meanwhile."""
    by_repository: dict[str, list[CommitStatus]] = defaultdict(list)
    for word in words:
        if is_copied(word):
            by_repository[word.repository].append(word)
    if by_repository:
        keep_heads(connection, alone=False)
    for repository, said in by_repository.items():
        found = known(connection, repository, {word.commit for word in said})
        for word in said:
            if word.commit in found:
                yield Spoken(word=replace(word, commit=found[word.commit].head), said_for=word.commit)


def is_copied(word: CommitStatus) -> bool:
    """Other mediums and other projects have one place only."""
    return word.medium is Medium.STATUS and not word.project


def known(connection: Connection, repository: str, commits: Collection[Sha]) -> Mapping[Sha, Any]:
    """The rows of these commits; what came from no pull request is left out."""
    wanted = sorted(commits)
    rows = (
        row
        for start in range(0, len(wanted), AT_ONCE)
        for row in connection.execute(_KNOWN, {"repository": repository, "commits": wanted[start : start + AT_ONCE]})
    )
    return {row.commit: row for row in rows}


def ranks(connection: Connection, repository: str, commits: Collection[Sha]) -> Mapping[Sha, Rank]:
    """Which of several commits with one head is heard: that with the highest."""
    return {sha: (row.recorded_at, sha) for sha, row in known(connection, repository, commits).items()}


def record(connection: Connection, repository: str, found: Mapping[Sha, Head], now: datetime) -> Sequence[Sha]:
    """Write heads down; gives their commits. Nobody says a word meanwhile. The first head of a commit stays."""
    apart = {commit: head for commit, head in sorted(found.items()) if commit != head.head}
    if apart:
        keep_heads(connection, alone=True)
        row = {"repository": repository, "recorded_at": micros(now)}
        _RECORDED.run(
            connection, [{**row, "commit": sha, "head": each.head, "pull": each.pull} for sha, each in apart.items()]
        )
    return list(apart)
