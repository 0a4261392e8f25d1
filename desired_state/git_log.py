"""`git log` as values: revisions, and what each changed against its first parent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from desired_state.model import Revision

FORMAT = "--format=%H%x00%P%x00%an <%ae>%x00%ct%x00%s%x00%b%x00"
ONE = ("log", "--max-count=1", "-z", FORMAT)
FIRST_PARENTS = ("log", "--first-parent", "-m", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-color", FORMAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """A file as the first parent has it."""

    mode: str
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One commit of the first-parent chain and every path that differs from its first parent (all, for a root)."""

    revision: Revision
    former: Mapping[str, Former | None]  # by path; None: the first parent has no such file


def parse_revisions(fields: Iterator[str]) -> Iterator[Revision]:
    """The output of `ONE`-like commands, without paths."""
    while sha := next(fields, None):
        yield _revision(sha, fields)
        next(fields, None)  # the end of the message


def parse_changes(fields: Iterator[str]) -> Iterator[Change]:
    """The output of `FIRST_PARENTS`, newest first."""
    sha = next(fields, None)
    while sha:
        revision = _revision(sha, fields)
        next(fields, None)  # the end of the message
        former: dict[str, Former | None] = {}
        while (sha := next(fields, None)) and sha.lstrip("\n").startswith(":"):
            mode, _, blob, *_ = sha.lstrip("\n:").split(" ")
            former[next(fields)] = None if mode == "000000" else Former(mode=mode, blob=blob)
        yield Change(revision=revision, former=former)


def _revision(sha: str, fields: Iterator[str]) -> Revision:
    parents, author, seconds, subject, body = (next(fields) for _ in range(5))
    return Revision(
        sha=sha,
        parents=tuple(parents.split()),
        author=author,
        committed_at=_moment(seconds),
        subject=subject,
        body=body.strip(),
    )


def _moment(seconds: str) -> datetime:
    """Anybody can write any time into a commit, or none: what no calendar holds is the epoch."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)
