"""What our own commits change and say: a bump, a rollback, a promotion, a suspension and its end.

A `Wish` is made again on whatever head it shall lie on, so that two people (or two of us) who change different fleets
never see each other. `landing.py` brings it there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from desired_state.edits import Edit, apply, declared_version
from desired_state.git_errors import GitRefused
from desired_state.git_objects import GitTree
from desired_state.landing import (
    FAIRLEAD,
    Author,
    Changes,
    Make,
    NewFile,
    NothingToChange,
    Writer,
    commit,
)
from desired_state.mirror import Mirror
from desired_state.model import FleetName, Revision, Sha, Suspension, Version
from desired_state.suspending import suspended

_SUBJECT = 72  # characters of a commit's first line
Edits = Mapping[FleetName, Sequence[Edit]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A change to make: `make` gives it for a head; `paths` are the files that it is about."""

    make: Make
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a commit's message says beside the change itself: why, and trailers that programs read."""

    message: str = ""
    trailers: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """As it ends the message."""
        trailers = "\n".join(f"{key}: {value}" for key, value in self.trailers)
        return "\n\n".join(part for part in (self.message.strip(), trailers) if part)


SILENT = Note()


def bumping(mirror: Mirror, edits: Edits, *, note: Note = SILENT, folder: str = "") -> Wish:
    """Each fleet's file shall say what its edits say, one a package. `folder`: where the desired state lies.

    The subject reads `prod/checkout: 1.4.1 -> 1.4.2`.
    """
    paths = {fleet: fleet_path(fleet, folder) for fleet in edits}

    def make(head: Revision) -> Changes:
        files, moves = [], {}
        tree = mirror.tree(head.sha)
        for fleet, path in paths.items():
            old = _text(tree, path, fleet)
            new = old
            for edit in edits[fleet]:
                new = apply(edit, new, path)
            if new != old:
                files.append(NewFile(path=path, data=new.encode(), mode=tree.entries()[path].mode))
                moves[fleet] = _move(old, path, edits[fleet])
        if not files:
            raise NothingToChange(f"{_declared(edits)} already: nothing was pushed")
        return files, _message(moves, note)

    return Wish(make=make, paths=tuple(paths.values()))


def _move(old: str, path: str, edits: Sequence[Edit]) -> tuple[Version, Version]:
    if len(edits) == 1:
        return declared_version(old, path, edits[0].package), edits[0].version
    before = ", ".join(f"{edit.package} {declared_version(old, path, edit.package)}" for edit in edits)
    return before, ", ".join(f"{edit.package} {edit.version}" for edit in edits)


def _declared(edits: Edits) -> str:
    versions = {edit.version for several in edits.values() for edit in several}
    if len(versions) == 1:
        return f"{', '.join(edits)} declared {versions.pop()}"
    return "; ".join(f"{fleet} declared {', '.join(edit.version for edit in each)}" for fleet, each in edits.items())


def restoring(
    mirror: Mirror,
    fleets: Sequence[FleetName],
    *,
    to: Sha,
    reverts: Sha | None = None,
    note: Note = SILENT,
    folder: str = "",
) -> Wish:
    """`fleets` shall declare again what they did at the commit `to`: version file and config.

    Name in `reverts` the commit whose change that takes back: the message then says `This reverts commit <sha>.`
    There is nothing to change too when what differs lies in files that the fleet shares with others.
    """
    paths = {fleet: _own_paths(fleet, folder) for fleet in fleets}
    whence = f"This reverts commit {reverts}." if reverts else f"As it was at {to}."
    said = Note(message="\n\n".join(filter(None, (note.message.strip(), whence))), trailers=note.trailers)

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
        return files, _message(moves, said)

    return Wish(make=make, paths=tuple(path for own in paths.values() for path in own))


def suspending(
    mirror: Mirror, scopes: Sequence[str], wished: Suspension, *, note: Note = SILENT, folder: str = "", slack: int = 0
) -> Wish:
    """The scopes, `prod` or `prod/checkout`, shall be suspended as `wished` says.

    One that is suspended just so, but for an end that is at most `slack` seconds earlier, is left as it is.
    """
    paths = {scope: suspension_path(scope, folder) for scope in scopes}

    def make(head: Revision) -> Changes:
        files, tree = [], mirror.tree(head.sha)
        for scope, path in paths.items():
            old = _text(tree, path, scope) if path in tree.entries() else ""
            new = suspended(old, wished, path, slack)
            if new != old:
                files.append(NewFile(path=path, data=new.encode()))
        if not files:
            raise NothingToChange(f"{', '.join(scopes)}: suspended so already: nothing was pushed")
        until = f" until {wished.until:%Y-%m-%dT%H:%M:%SZ}" if wished.until else ""
        regions = f" in {', '.join(wished.regions)}" if wished.regions else ""
        why = Note(message="\n\n".join((wished.reason, note.message)), trailers=note.trailers)
        return files, _plain_message(f"suspend {', '.join(scopes)}{regions}{until}", why)

    return Wish(make=make, paths=tuple(paths.values()))


def resuming(mirror: Mirror, scopes: Sequence[str], *, note: Note = SILENT, folder: str = "") -> Wish:
    """The scopes shall have no suspend file of their own."""
    paths = {scope: suspension_path(scope, folder) for scope in scopes}

    def make(head: Revision) -> Changes:
        entries = mirror.tree(head.sha).entries()
        there = {scope: path for scope, path in paths.items() if path in entries}
        if not there:
            are = "are" if len(scopes) > 1 else "is"
            raise NothingToChange(f"{', '.join(scopes)} {are} not suspended: nothing was pushed")
        files = [NewFile(path=path, data=None) for path in there.values()]
        return files, _plain_message(f"resume {', '.join(there)}", note)

    return Wish(make=make, paths=tuple(paths.values()))


def bump(
    mirror: Mirror,
    fleets: Sequence[FleetName],
    edit: Edit,
    *,
    author: Author = FAIRLEAD,
    message: str = "",
    folder: str = "",
) -> Revision:
    """Commit and push that `fleets` shall be at `edit.version`; gives the commit.

    Raises `NothingToChange`, and `GitError`: a file is missing or cannot be edited, one of the fleets was changed by
    another commit meanwhile, or the push did not work.
    """
    wish = bumping(mirror, dict.fromkeys(fleets, (edit,)), note=Note(message=message), folder=folder)
    return commit(mirror, wish.make, wish.paths, writer=Writer(author=author))


def fleet_path(fleet: FleetName, folder: str = "") -> str:
    """The one file that a bump of the fleet edits."""
    environment, _, name = fleet.partition("/")
    return f"{_prefix(folder)}environments/{environment}/{name}.yaml"


def suspension_path(scope: str, folder: str = "") -> str:
    """The file that suspends an environment, or one fleet."""
    environment, slash, name = scope.partition("/")
    return f"{_prefix(folder)}environments/{environment}/{name}{'.' if slash else ''}suspend.yaml"


def _prefix(folder: str) -> str:
    return f"{folder.strip('/')}/" if folder.strip("/") else ""


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


def _message(moves: Mapping[FleetName, tuple[Version, Version]], note: Note) -> str:
    lines = [f"{fleet}: {old} -> {new}" for fleet, (old, new) in moves.items()]
    changes = {f"{old} -> {new}" for old, new in moves.values()}
    subject = f"{', '.join(moves)}: {changes.pop()}" if len(changes) == 1 else "; ".join(lines)
    if len(subject) > _SUBJECT and len(lines) > 1:
        versions = {new for _, new in moves.values()}
        subject = f"{len(lines)} fleets" + (f" to {versions.pop()}" if len(versions) == 1 else "")
    body = "\n".join(lines) if len(lines) > 1 else ""
    return "\n\n".join(part for part in (subject, body, note.text) if part) + "\n"


def _plain_message(subject: str, note: Note) -> str:
    return "\n\n".join(part for part in (subject, note.text) if part) + "\n"
