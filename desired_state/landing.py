"""How a change of ours reaches the repository: a commit made from git objects without a work tree, pushed only onto
the head it was made for.

When the branch moved meanwhile the change is made again on the new head. A push that others were quicker than is lost
to one commit of theirs, so somebody always comes further; who has lost more often pauses less, so that the one who has
waited longest comes first. On one machine the writers stand in a line and do not spoil each other's pushes at all.

What became of a push without an answer is looked up, never guessed: no commit of ours lands twice.
"""

import random
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from desired_state.commit_signing import Signer
from desired_state.git_command import check_branch
from desired_state.git_errors import GitRefused, GitRejected, GitUnreachable
from desired_state.line import in_line
from desired_state.mirror import Mirror
from desired_state.model import Revision, Sha

COMMAND = "Fairlead-Command"  # the trailer that every commit of a command carries
_UNANSWERED = 3  # pushes in a row without an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who asked for the commit, or made it."""

    name: str
    email: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A path and what it shall hold; None removes it."""

    path: str
    data: bytes | None
    mode: str = "100644"


class NothingToChange(GitRefused):
    """The repository says so already: nothing was pushed."""


FAIRLEAD = Author(name="Fairlead", email="fairlead@localhost")

Changes = tuple[Sequence[NewFile], str]  # files and the commit's message
Make = Callable[[Revision], Changes]  # from the head it shall lie on
Check = Callable[[Sha, Sha], None]  # the head and the commit on it, before it is pushed; what it raises ends it all


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a writer tries. The pause after the n-th lost push is at most `longest / n` seconds."""

    tries: int = 60
    longest: float = 2.0
    in_line: float = 120.0  # seconds to wait for writers of this machine
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, lost: int) -> None:
        """After that many lost pushes."""
        self.sleep(self.longest / lost * self.jitter())


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes, and how. `author` asked for it; `committer` is us; `signer` signs where there is one."""

    author: Author = FAIRLEAD
    committer: Author = FAIRLEAD
    signer: Signer | None = None
    patience: Patience = field(default_factory=Patience)

    @property
    def variables(self) -> dict[str, str]:
        """As git takes them."""
        return {
            "GIT_AUTHOR_NAME": self.author.name,
            "GIT_AUTHOR_EMAIL": self.author.email,
            "GIT_COMMITTER_NAME": self.committer.name,
            "GIT_COMMITTER_EMAIL": self.committer.email,
        }


PLAIN = Writer()


def commit(
    mirror: Mirror,
    make: Make,
    paths: Iterable[str],
    *,
    writer: Writer = PLAIN,
    check: Check | None = None,
    since: Revision | None = None,
) -> Revision:
    """Push what `make` gives for the present head, again on each newer head while the branch moves; gives the commit.

    `paths` are the files that the edit is about: when one of them changed between two tries, or since the head `since`
    that the edit was thought out for, someone else's change is not overwritten. Raises `GitError`, also as
    `NothingToChange`.
    """
    with in_line(_line(mirror), writer.patience.in_line):
        return _Landing(mirror, make, tuple(paths), writer, check).run(since)


class _Landing:
    """One change on its way to the branch."""

    def __init__(self, mirror: Mirror, make: Make, paths: Sequence[str], writer: Writer, check: Check | None) -> None:
        self._mirror = mirror
        self._make = make
        self._paths = paths
        self._writer = writer
        self._check = check
        self._made: list[Sha] = []  # every one may have landed, whatever was answered
        self._unanswered = 0

    def run(self, since: Revision | None) -> Revision:
        """Raises `GitError`."""
        head = self._mirror.fetch()
        first = since or head
        for lost in range(1, self._writer.patience.tries + 1):
            if self._push(self._write(first, head)):
                return self._mirror.revision(self._made[-1])
            self._writer.patience.pause(lost)
            head = self._look()
            if landed := self._landed(head):
                return landed
        raise GitRejected(
            f"{self._mirror.url} moved on {self._writer.patience.tries} times while we wrote to it: "
            "try again when it is quieter"
        )

    def _write(self, first: Revision, head: Revision) -> tuple[Sha, Sha]:
        files, message = self._make(head)
        _refuse_conflict(self._mirror, first, head, self._paths)
        made = write(self._mirror, head.sha, files, message, self._writer)
        if self._check:
            self._check(head.sha, made)
        self._made.append(made)
        return head.sha, made

    def _push(self, pair: tuple[Sha, Sha]) -> bool:
        """False where it was not taken, or nobody knows."""
        old, new = pair
        try:
            push(self._mirror, self._mirror.branch, old, new)
        except GitRejected:
            self._unanswered = 0
            return False
        except GitUnreachable:
            self._unanswered += 1
            if self._unanswered >= _UNANSWERED:
                raise
            return False
        return True

    def _look(self) -> Revision:
        """The head now. Where a push had no answer and there is none to this either, that is said."""
        try:
            return self._mirror.fetch()
        except GitUnreachable as error:
            if not self._unanswered:
                raise
            raise GitUnreachable(
                f"whether the commit arrived is not known ({error}). Run the same command again: "
                "it finds the commit if it is there, and makes no second one"
            ) from error

    def _landed(self, head: Revision) -> Revision | None:
        """The commit of ours that the branch holds."""
        for made in self._made:
            if made == head.sha or self._mirror.is_ancestor(made, head.sha):
                return self._mirror.revision(made)
        return None


def commit_aside(
    mirror: Mirror, make: Make, branch: str, *, writer: Writer = PLAIN, check: Check | None = None
) -> Revision:
    """Put what `make` gives for the present head on a branch of its own; gives that branch's head.

    A branch that proposes the very same change is left as it is, so that what people said of it stays. One that
    proposes something else is written anew, unless somebody else has put commits on it. Raises as `commit` does.
    """
    check_branch(branch)
    with in_line(_line(mirror), writer.patience.in_line):
        for lost in range(1, writer.patience.tries + 1):
            try:
                return _put_aside(mirror, make, branch, writer, check)
            except GitRejected:
                writer.patience.pause(lost)
    raise GitRejected(f"{branch} at {mirror.url} moved on each time we wrote to it: try again when it is quieter")


def _put_aside(mirror: Mirror, make: Make, branch: str, writer: Writer, check: Check | None) -> Revision:
    head = mirror.fetch()
    files, message = make(head)
    made = write(mirror, head.sha, files, message, writer)
    if check:
        check(head.sha, made)
    standing = _branch(mirror, branch)
    if standing and _proposes(mirror, head.sha, standing) == _proposes(mirror, head.sha, made):
        return mirror.revision(standing)
    if standing:
        _refuse_foreign(mirror, head.sha, standing, branch)
    try:
        push(mirror, branch, standing, made)
    except GitUnreachable:
        if _branch(mirror, branch) != made:
            raise
    return mirror.revision(made)


def _branch(mirror: Mirror, branch: str) -> Sha:
    """Where a branch stands at the remote, its commits brought here; empty where there is none."""
    ref = f"refs/heads/{branch}"
    listing = mirror.plumb("ls-remote", "--", mirror.url, ref).split()
    if not listing:
        return ""
    mirror.plumb("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", mirror.url, ref)
    return listing[0]


def _proposes(mirror: Mirror, base: Sha, commit: Sha) -> str:
    """What merging the commit would change: paths, modes and blobs, old and new."""
    code, parted, _ = mirror.command.attempt("merge-base", base, commit)
    if code:
        return ""
    return mirror.plumb("diff-tree", "-r", "-z", "--no-renames", parted.decode().strip(), commit, "--")


def _refuse_foreign(mirror: Mirror, base: Sha, standing: Sha, branch: str) -> None:
    others = [each for each in mirror.messages(f"{base}..{standing}") if f"\n{COMMAND}: " not in f"\n{each.body}"]
    if others:
        raise GitRefused(
            f"{branch} holds {others[0].short}, which is not ours: merge or close its pull request, "
            "or delete the branch, then try again"
        )


def write(mirror: Mirror, head: Sha, files: Sequence[NewFile], message: str, writer: Writer) -> Sha:
    """A commit on `head` in the mirror's object store; no ref points to it yet. Raises `GitError`."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="fairlead-index-"))
        env = {**writer.variables, "GIT_INDEX_FILE": str(Path(folder) / "index")}
        mirror.plumb("read-tree", head, env=env)
        mirror.plumb("update-index", "-z", "--index-info", env=env, input=_index(mirror, files))
        tree = mirror.plumb("write-tree", env=env)
        sign = []
        if writer.signer:
            env |= stack.enter_context(writer.signer.at_hand())
            sign = ["-S"]
        return _commit_tree(mirror, [*sign, tree, "-p", head, "-F", "-"], env, message)


def _commit_tree(mirror: Mirror, args: Sequence[str], env: dict[str, str], message: str) -> Sha:
    try:
        return mirror.plumb("commit-tree", *args, env=env, input=message.encode())
    except GitRefused as refused:
        if "-S" not in args:
            raise
        raise GitRefused(
            f"the commit cannot be signed with commits.signing_key: is it a key without a passphrase? ({refused})"
        ) from refused


def _index(mirror: Mirror, files: Sequence[NewFile]) -> bytes:
    lines = []
    for file in files:
        blob = "0" * 40 if file.data is None else mirror.plumb("hash-object", "-w", "--stdin", input=file.data)
        mode = "0" if file.data is None else file.mode
        lines.append(f"{mode} {blob}\t{file.path}\0".encode())
    return b"".join(lines)


def push(mirror: Mirror, branch: str, old: Sha, new: Sha) -> None:
    """Move a branch from `old` (empty: it is not there yet) to `new`, or nothing. Raises `GitError`."""
    ref = f"refs/heads/{branch}"
    mirror.plumb("push", "--porcelain", f"--force-with-lease={ref}:{old}", "--", mirror.url, f"{new}:{ref}")


def _refuse_conflict(mirror: Mirror, first: Revision, head: Revision, paths: Iterable[str]) -> None:
    if first.sha == head.sha:
        return
    before, now = mirror.tree(first.sha).entries(), mirror.tree(head.sha).entries()
    changed = [path for path in paths if before.get(path) != now.get(path)]
    if changed:
        raise GitRefused(f"{changed[0]} was changed up to {head.short} while we edited it: look at it, then try again")


def _line(mirror: Mirror) -> Path:
    return mirror.folder.with_name(mirror.folder.name + ".line")
