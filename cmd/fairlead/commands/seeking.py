"""What a person means by a version or a commit: out of the ledger, the mirrors, and a clone of the service's own code.

Nothing is fetched. A commit of the service's own repository is known by its tags where there is a clone of it, and
otherwise only where a version names it; what cannot be known is said.
"""

import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from desired_state.layout import fleet_path
from desired_state.model import Fleet, Revision, Sha
from fairlead.commands.opening import mirror_of, unknown
from fairlead.commands.past import LOOKBACK, Past
from fairlead.commands.whereabouts import Departed, Sought, known_versions, versions_of
from fairlead.exit_codes import Refused
from reconciler.record import Record

if TYPE_CHECKING:
    from desired_state.mirror import Mirror
    from fairlead.settings import Settings

_ID = re.compile(r"[0-9a-f]{7,40}")
_NO_COMMIT = ("no such commit", "malformed object name")  # what git says of a name that means nothing there


class Copies:
    """The mirrors that this machine has, and what they remember. Nothing is fetched. Close it."""

    def __init__(self, settings: "Settings", heads: Mapping[str, Sha]) -> None:
        self._settings, self._heads = settings, heads
        self._opened = ExitStack()
        self._mirrors: dict[str, Mirror | None] = {}

    def close(self) -> None:
        """Let go of the mirrors."""
        self._opened.close()

    def mirror(self, repository: str) -> "Mirror | None":
        """The copy of one repository; None where this machine has none."""
        if repository not in self._mirrors:
            self._mirrors[repository] = self._open(repository)
        return self._mirrors[repository]

    def _open(self, repository: str) -> "Mirror | None":
        found = next((each for each in self._settings.repositories if each.name == repository), None)
        folder = self._settings.state / "repositories" / f"{repository}.git"
        if found is None or not folder.is_dir():
            return None
        return self._opened.enter_context(mirror_of(self._settings, found))

    def commit(self, repository: str, asked: str) -> Sha | None:
        """The full id of a commit; None where there is none of it, or no copy."""
        from desired_state.git_errors import GitError

        mirror = self.mirror(repository)
        try:
            return mirror.revision(asked).sha if mirror is not None else None
        except GitError:
            return None

    def declared(self, repository: str, commit: Sha) -> Mapping[str, Fleet]:
        """The sound fleets of a commit, by name. Raises `GitError`."""
        from fairlead import wiring

        mirror = self.mirror(repository)
        return wiring.parser().parse(mirror.tree(commit).under(self._folder(repository))).fleets if mirror else {}

    def set_by(self, repository: str, commit: Sha) -> frozenset[str]:
        """The fleets whose target a commit set, as it stood there. Raises `GitError`."""
        from fairlead import wiring

        mirror = self.mirror(repository)
        if mirror is None:
            return frozenset()
        past = Past(mirror, wiring.parser(), mirror.revision(commit), self._folder(repository))
        try:
            return frozenset(past.still_on(commit))
        except Refused:
            return frozenset()

    def departed(self, record: Record, versions: Collection[str]) -> Departed | None:
        """How a version went that once was set there; None where it never was, or nobody can tell."""
        from desired_state.git_errors import GitError

        mirror, head = self.mirror(record.repository), self._heads.get(record.repository, record.revision)
        try:
            left = self._left(mirror, record, head, set(versions)) if mirror is not None and head else None
        except GitError:
            return None
        return Departed(commit=left.sha, at=left.committed_at) if left is not None else None

    def _left(self, mirror: "Mirror", record: Record, head: Sha, versions: set[str]) -> Revision | None:
        """The newest commit whose parent had one of the versions in the fleet's file. Raises `GitError`."""
        from fairlead import wiring

        folder, parser = self._folder(record.repository), wiring.parser()
        path = "/".join(filter(None, (folder, fleet_path(record.name))))
        with closing(mirror.changes(head, limit=LOOKBACK)) as walk:
            for change in walk:
                if path in change.former and change.revision.parents:
                    told = parser.explain(mirror.tree(change.revision.parents[0]).under(folder), record.name)
                    if versions & {str(value) for key, (value, _) in told.items() if _says_version(key)}:
                        return change.revision
        return None

    def _folder(self, repository: str) -> str:
        return next(each.path for each in self._settings.repositories if each.name == repository).strip("/")


def _says_version(key: str) -> bool:
    return key == "version" or key.startswith("versions.")


def seek(asked: str, service: str, records: Sequence[Record], copies: Copies, clone: Path | None) -> Sought:
    """What is meant by a version or a commit of `service`. Refuses what means nothing here, and names what is near."""
    known = frozenset().union(*map(known_versions, records))
    if asked in known:
        return Sought(versions=frozenset({asked}))
    is_commit = _ID.fullmatch(asked) is not None
    found = _by_setting(asked, records, copies) if is_commit else None
    found = found or (_by_clone(asked, records, clone) if clone is not None else None)
    found = found or (_by_name(asked, known) if is_commit else None) or _by_past(asked, records, copies)
    if found is not None:
        return found
    raise Refused(_nothing(asked, service, records, known, copies) if is_commit else _no_version(asked, service, known))


# ── a commit of the desired-state repository ─────────────────────────────────────────────────────────────────────


def _by_setting(asked: str, records: Sequence[Record], copies: Copies) -> Sought | None:
    commits = {
        record.setting.commit for record in records if record.setting and record.setting.commit.startswith(asked)
    }
    if len(commits) > 1:
        raise Refused(
            f"{asked} is the beginning of several commits: {', '.join(sorted(each[:12] for each in commits))}"
        )
    if commits:
        (commit,) = commits
        those = [record.desired for record in records if record.setting and record.setting.commit == commit]
        return Sought(versions=frozenset().union(*map(versions_of, those)), commit=commit)
    return next(filter(None, (_by_copy(asked, name, records, copies) for name in _repositories(records))), None)


def _by_copy(asked: str, repository: str, records: Sequence[Record], copies: Copies) -> Sought | None:
    """A commit that sets something of the service sets that version; at any other one, each environment its own."""
    commit = copies.commit(repository, asked)
    if commit is None:
        return None
    names = {record.name for record in records}
    declared = {name: fleet for name, fleet in copies.declared(repository, commit).items() if name in names}
    if own := sorted(copies.set_by(repository, commit) & declared.keys()):
        return Sought(versions=frozenset().union(*(versions_of(declared[name]) for name in own)), commit=commit)
    told = {name.partition("/")[0]: versions_of(fleet) for name, fleet in declared.items()}
    where = ", ".join(f"{name.partition('/')[0]} {fleet.version}" for name, fleet in sorted(declared.items())) or "none"
    note = f"{commit[:7]} sets no version of it; what stood in force there is looked for: {where}"
    return Sought(versions=frozenset(), by_environment=told, commit=commit, notes=(note,))


# ── a commit of the service's own repository ─────────────────────────────────────────────────────────────────────


def _by_clone(asked: str, records: Sequence[Record], clone: Path) -> Sought | None:
    tags = list(_tags_with(asked, clone))
    versions = {version for record in records for tag in tags for version in _version_of(tag, record.desired)}
    if not versions:
        return None
    known = frozenset().union(*map(known_versions, records)) & versions
    shown = ", ".join(sorted(known)[:5]) or "none that runs"
    note = f"{asked} of the clone is in {len(versions)} tagged versions; of those that fleets know: {shown}"
    return Sought(versions=frozenset(versions), notes=(note,))


def _tags_with(asked: str, clone: Path) -> Iterator[str]:
    """The tags whose history has a commit. Refuses a folder that is no clone, or that git cannot read."""
    command = ["git", "-C", str(clone), "tag", f"--contains={asked}", "--format=%(refname:strip=2)"]
    if not clone.is_dir():
        raise Refused(f"{clone}: there is no such folder; name a clone of the service's own repository with --clone")
    inherited = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=inherited)
    if done.returncode == 0:
        yield from done.stdout.splitlines()
    elif "not a git repository" in done.stderr:
        raise Refused(f"{clone} is no git repository; name a clone of the service's own repository with --clone")
    elif not any(said in done.stderr for said in _NO_COMMIT):
        raise Refused(f"git cannot read {clone}: {done.stderr.strip().partition(chr(10))[0] or 'it says nothing'}")


def _version_of(tag: str, fleet: Fleet | None) -> Iterator[str]:
    if fleet is None or fleet.source is None:
        return
    before, _, after = fleet.source.tag.partition("{version}")
    if tag.startswith(before) and tag.endswith(after) and len(tag) > len(before) + len(after):
        yield tag[len(before) : len(tag) - len(after)]


def _by_name(asked: str, known: Collection[str]) -> Sought | None:
    """Builds often carry their commit in the version: 1.4.2-g1a2b3c4."""
    named = frozenset(version for version in known if _names(version, asked))
    note = f"{asked} is taken from the version's own text: {', '.join(sorted(named))}"
    return Sought(versions=named, notes=(note,)) if named else None


def _names(version: str, asked: str) -> bool:
    parts = re.findall(r"(?<![0-9a-f])[0-9a-f]{7,40}(?![0-9a-z])", version)
    return any(part.startswith(asked) or asked.startswith(part) for part in parts)


# ── nothing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _by_past(asked: str, records: Sequence[Record], copies: Copies) -> Sought | None:
    """A version that some environment was told once."""
    was = any(copies.departed(record, {asked}) for record in records)
    return Sought(versions=frozenset({asked})) if was else None


def _no_version(asked: str, service: str, known: Collection[str]) -> str:
    return unknown(asked, sorted(known), service)


def _nothing(asked: str, service: str, records: Sequence[Record], known: Collection[str], copies: Copies) -> str:
    """A commit that nobody here knows: what was looked at, and what would help."""
    missing = [name for name in _repositories(records) if copies.mirror(name) is None]
    where = f"this machine has no copy of {', '.join(missing)}, so only commits that set what runs now are known"
    looked = where if missing else f"no commit of {', '.join(_repositories(records))} begins with {asked}"
    sources = sorted(
        {record.desired.source.repository for record in records if record.desired and record.desired.source}
    )
    own = (
        f"; a commit of {' or '.join(sources)} is known by its tags: say --clone with a clone of it" if sources else ""
    )
    hint = (
        "" if sources else f"; {service} names no source, so commits of its own code are not known: ask for a version"
    )
    versions = f" ({service} has {', '.join(sorted(known)[:5])})" if known else ""
    return f"{asked} is not known: {looked}{own}{hint}{versions}"


def _repositories(records: Sequence[Record]) -> list[str]:
    return sorted({record.repository for record in records})
