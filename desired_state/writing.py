"""Our own commits: a bump or a rollback, made from git objects without a work tree, pushed only onto the head it read.

When the branch moved meanwhile, the edit is made again on the new head, so that two people (or two of us) who change
different fleets never see each other; when the same fleet changed, that is said instead of guessed.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from desired_state.edits import Edit, apply, declared_version
from desired_state.git_errors import GitRefused, GitRejected
from desired_state.git_objects import GitTree
from desired_state.mirror import Mirror
from desired_state.model import FleetName, Revision, Sha, Version

_TRIES = 8  # pushes onto a branch that keeps moving
_SUBJECT = 72  # characters of a commit's first line


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who asked for the commit."""

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


def bump(
    mirror: Mirror,
    fleets: Sequence[FleetName],
    edit: Edit,
    *,
    author: Author = FAIRLEAD,
    message: str = "",
    folder: str = "",
) -> Revision:
    """Commit and push that `fleets` shall be at `edit.version`; gives the new head.

    `message` is put under the subject `prod/checkout: 1.4.1 -> 1.4.2`; `folder` is where the desired state lies in the
    repository. Raises `NothingToChange`, and `GitError`: a file is missing or cannot be edited, one of the fleets was
    changed by another commit meanwhile, or the push did not work.
    """
    paths = {fleet: fleet_path(fleet, folder) for fleet in fleets}

    def make(head: Revision) -> Changes:
        files, moves = [], {}
        tree = mirror.tree(head.sha)
        for fleet, path in paths.items():
            old = _text(tree, path, fleet)
            new = apply(edit, old, path)
            if new != old:
                files.append(NewFile(path=path, data=new.encode(), mode=tree.entries()[path].mode))
                moves[fleet] = (declared_version(old, path, edit.package), edit.version)
        if not files:
            raise NothingToChange(f"{', '.join(fleets)} declared {edit.version} already: nothing was pushed")
        return files, _message(moves, message)

    return commit(mirror, make, paths.values(), author=author)


def restore(
    mirror: Mirror,
    fleets: Sequence[FleetName],
    *,
    to: Sha,
    reverts: Sha | None = None,
    author: Author = FAIRLEAD,
    folder: str = "",
) -> Revision:
    """Commit and push that `fleets` declare again what they did at the commit `to`: version file and config.

    Name in `reverts` the commit whose change that takes back: the message then says `This reverts commit <sha>.`
    Raises as `bump` does; `NothingToChange` too when what differs lies in files that the fleet shares with others.
    """
    paths = {fleet: _own_paths(fleet, folder) for fleet in fleets}

    def make(head: Revision) -> Changes:
        files, moves = [], {}
        now, then = mirror.tree(head.sha), mirror.tree(mirror.revision(to).sha)
        for fleet, (path, config) in paths.items():
            if path not in then.entries():
                raise GitRefused(f"{fleet} had no {path} at {to[:7]}: name a commit that has it, or a version")
            moved = [file for one in (path, config) for file in _restored(now, then, one)]
            files += moved
            if moved:
                moves[fleet] = (_version(now, path), _version(then, path))
        if not files:
            raise NothingToChange(
                f"{', '.join(fleets)} declared the same at {to[:7]}: nothing was pushed; "
                "if a shared file changed since, revert that commit with git"
            )
        return files, _message(moves, f"This reverts commit {reverts}." if reverts else f"As it was at {to}.")

    return commit(mirror, make, [path for own in paths.values() for path in own], author=author)


def commit(mirror: Mirror, make: Make, paths: Iterable[str], *, author: Author = FAIRLEAD) -> Revision:
    """Push what `make` gives for the present head, again on each newer head while the branch moves; gives the new head.

    `paths` are the files that the edit is about: when one of them changed between two tries, someone else's change is
    not overwritten. Raises `GitError`.
    """
    head = first = mirror.fetch()
    watched = list(paths)
    for _ in range(_TRIES):
        files, message = make(head)
        made = _write(mirror, head, files, message, author)
        try:
            _push(mirror, head.sha, made)
        except GitRejected:
            head = mirror.fetch()
            _refuse_conflict(mirror, first, head, watched)
            continue
        return mirror.revision(made)
    raise GitRejected(f"{mirror.url} moved on {_TRIES} times while we wrote to it: try again when it is quieter")


def fleet_path(fleet: FleetName, folder: str = "") -> str:
    """The one file that a bump of the fleet edits."""
    environment, _, name = fleet.partition("/")
    prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
    return f"{prefix}environments/{environment}/{name}.yaml"


def _own_paths(fleet: FleetName, folder: str) -> tuple[str, str]:
    path = fleet_path(fleet, folder)
    return path, path.removesuffix(".yaml") + ".config.yaml"


def _text(tree: GitTree, path: str, fleet: FleetName) -> str:
    entry = tree.entries().get(path)
    if not entry or not entry.readable:
        raise GitRefused(f"{fleet} has no file {path} at {tree.commit[:7]}: check the name, or write the file first")
    try:
        return tree.read(entry.blob).decode()
    except UnicodeDecodeError:
        raise GitRefused(f"{path} is not UTF-8 text: save it as UTF-8 first") from None


def _restored(now: GitTree, then: GitTree, path: str) -> list[NewFile]:
    present, former = now.entries().get(path), then.entries().get(path)
    if present == former:
        return []
    if former is None:
        return [NewFile(path=path, data=None)]
    return [NewFile(path=path, data=then.read(former.blob), mode=former.mode)]


def _version(tree: GitTree, path: str) -> Version:
    """For the message only: a file that cannot be read is no reason to refuse its repair."""
    entry = tree.entries().get(path)
    try:
        return declared_version(tree.read(entry.blob).decode(), path) if entry else "none"
    except (GitRefused, UnicodeDecodeError):
        return "unreadable"


def _message(moves: Mapping[FleetName, tuple[Version, Version]], more: str) -> str:
    lines = [f"{fleet}: {old} -> {new}" for fleet, (old, new) in moves.items()]
    changes = {f"{old} -> {new}" for old, new in moves.values()}
    subject = f"{', '.join(moves)}: {changes.pop()}" if len(changes) == 1 else "; ".join(lines)
    if len(subject) > _SUBJECT and len(lines) > 1:
        versions = {new for _, new in moves.values()}
        subject = f"{len(lines)} fleets" + (f" to {versions.pop()}" if len(versions) == 1 else "")
    body = "\n".join(lines) if len(lines) > 1 else ""
    return "\n\n".join(part for part in (subject, body, more.strip()) if part) + "\n"


def _refuse_conflict(mirror: Mirror, first: Revision, head: Revision, paths: Iterable[str]) -> None:
    before, now = mirror.tree(first.sha).entries(), mirror.tree(head.sha).entries()
    changed = [path for path in paths if before.get(path) != now.get(path)]
    if changed:
        raise GitRefused(f"{changed[0]} was changed up to {head.short} while we edited it: look at it, then try again")


def _write(mirror: Mirror, head: Revision, files: Sequence[NewFile], message: str, author: Author) -> Sha:
    """A commit on `head` in the mirror's object store; no ref points to it yet."""
    with tempfile.TemporaryDirectory(prefix="fairlead-index-") as folder:
        env = {**_names(author), "GIT_INDEX_FILE": str(Path(folder) / "index")}
        mirror.plumb("read-tree", head.sha, env=env)
        mirror.plumb("update-index", "-z", "--index-info", env=env, input=_index(mirror, files))
        tree = mirror.plumb("write-tree", env=env)
        return mirror.plumb("commit-tree", tree, "-p", head.sha, "-F", "-", env=env, input=message.encode())


def _index(mirror: Mirror, files: Sequence[NewFile]) -> bytes:
    lines = []
    for file in files:
        blob = "0" * 40 if file.data is None else mirror.plumb("hash-object", "-w", "--stdin", input=file.data)
        mode = "0" if file.data is None else file.mode
        lines.append(f"{mode} {blob}\t{file.path}\0".encode())
    return b"".join(lines)


def _push(mirror: Mirror, old: Sha, new: Sha) -> None:
    ref = f"refs/heads/{mirror.branch}"
    mirror.plumb("push", "--porcelain", f"--force-with-lease={ref}:{old}", "--", mirror.url, f"{new}:{ref}")


def _names(author: Author) -> dict[str, str]:
    return {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_COMMITTER_NAME": FAIRLEAD.name,
        "GIT_COMMITTER_EMAIL": FAIRLEAD.email,
    }
