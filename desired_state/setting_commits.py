"""`history.find_settings` over a real mirror and parser: historic trees without a process each.

`git log --raw` already says what every file was before each commit, so the tree under a commit is the tree above it
with those few entries put back. The parser looks at one fleet's files there, remembered by blob id: a commit that
touches one of ten thousand fleets costs one small look.
"""

import contextlib
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from desired_state.git_log import Change, Former
from desired_state.git_objects import GitTree
from desired_state.history import ABSENT, BROKEN, LIMIT, Reading, find_settings
from desired_state.mirror import Mirror
from desired_state.model import DesiredState, FleetName, Revision, Setting, Sha
from desired_state.parser import NoTarget, Parser
from desired_state.touched import touched_fleets
from desired_state.trees import Entry

_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{40})\b", re.MULTILINE)
_MERGES_ASKED = 100  # merges whose side branch is searched for reverts: one process each


def setting_commits(
    mirror: Mirror,
    head: Sha,
    desired: DesiredState,
    parser: Parser,
    *,
    folder: str = "",
    known_head: Sha | None = None,
    known: Mapping[FleetName, Setting] | None = None,
) -> dict[FleetName, Setting]:
    """The setting of every fleet that `desired`, parsed from `head`, declares; also of broken ones, by their last good.

    `folder` is where the desired state lies in the repository (empty: its root); the parser sees paths relative to it.
    `known` are the settings found at `known_head` before: then only what changed since is looked into.
    Raises `GitError`.
    """
    prefix = folder.strip("/") + "/" if folder.strip("/") else ""
    with contextlib.closing(mirror.changes(head, limit=LIMIT)) as changes:
        since, met = _since(changes, known_head)
        kept = _kept(desired, known, touched_fleets(_paths(since, prefix), desired)) if known and met else {}
        asked = desired.declared - frozenset(kept)
        if not asked:
            return kept
        past = _Past(mirror, head, parser, prefix)
        past.read_head(desired, asked)
        found = find_settings(
            past.walk(itertools.chain(since, changes)),
            past.read,
            asked,
            reverted_by=past.reverted_by,
            known_head=known_head,
            known=known,
        )
    return kept | found


def _since(changes: Iterator[Change], known_head: Sha | None) -> tuple[list[Change], bool]:
    """The newest changes down to that of `known_head`, and whether the history has it."""
    taken: list[Change] = []
    if known_head:
        for change in changes:
            taken.append(change)
            if change.revision.sha == known_head:
                return taken, True
    return taken, False


def _paths(since: Sequence[Change], prefix: str) -> Iterator[str]:
    """What changed after the known head, whose own change is the last."""
    for change in since[:-1]:
        yield from (path.removeprefix(prefix) for path in change.former if path.startswith(prefix))


def _kept(
    desired: DesiredState, known: Mapping[FleetName, Setting], touched: frozenset[FleetName]
) -> dict[FleetName, Setting]:
    """The settings that cannot have changed: untouched, and of the digest that the fleet has now."""
    kept = {}
    for name, fleet in desired.fleets.items():
        setting = known.get(name)
        if setting and name not in touched and setting.target_digest == fleet.target_digest:
            kept[name] = setting
    return kept


class _Past:
    """The tree under the commit that the walk is at, and what fleets were there."""

    def __init__(self, mirror: Mirror, head: Sha, parser: Parser, prefix: str) -> None:
        self._mirror = mirror
        self._head = head
        self._parser = parser
        self._prefix = prefix
        self._entries = _Entries(mirror, mirror.tree(head).under(prefix).entries())
        self._merges_asked = 0
        self._at_head: dict[FleetName, Reading] = {}

    def read_head(self, desired: DesiredState, fleets: Collection[FleetName]) -> None:
        """Note the fleets at the head, before the walk goes under it."""
        tree = GitTree(self._head, self._entries, self._mirror.read)
        for fleet in fleets:
            sound = desired.fleets.get(fleet)
            self._at_head[fleet] = Reading(
                digest=sound.target_digest if sound else self._digest(tree, fleet),
                inputs=self._parser.inputs(tree, fleet),
            )

    def walk(self, changes: Iterable[Change]) -> Iterator[tuple[Revision, frozenset[str]]]:
        """The first-parent history; while a commit is out, the tree here is that of its first parent."""
        for change in changes:
            former = {
                path.removeprefix(self._prefix): before
                for path, before in change.former.items()
                if path.startswith(self._prefix)
            }
            self._entries.put_back(former)
            yield change.revision, frozenset(former)

    def read(self, commit: Sha, fleets: Collection[FleetName]) -> Mapping[FleetName, Reading]:
        """`history.Read`: at the head, or at the first parent of the commit that the walk is at."""
        if commit == self._head:
            return self._at_head
        tree = GitTree(commit, self._entries, self._mirror.read)
        return {
            fleet: Reading(digest=self._digest(tree, fleet), inputs=self._parser.inputs(tree, fleet))
            for fleet in fleets
        }

    def reverted_by(self, commit: Revision) -> frozenset[Sha]:
        """`history.Reverted`: what the commit's message says it reverts, and for a merge what its side branch says."""
        messages = [commit.body]
        if len(commit.parents) > 1 and self._merges_asked < _MERGES_ASKED:
            self._merges_asked += 1
            sides = (*commit.parents[1:], f"^{commit.parents[0]}")
            messages += [revision.body for revision in self._mirror.messages("--grep=^This reverts commit", *sides)]
        return frozenset(sha for message in messages for sha in _REVERTS.findall(message))

    def _digest(self, tree: GitTree, fleet: FleetName) -> str:
        found = self._parser.target_digest(tree, fleet)
        if isinstance(found, NoTarget):
            return ABSENT if found is NoTarget.ABSENT else BROKEN
        return found


class _Entries(Mapping[str, Entry]):
    """A tree's entries that go back in time; sizes are asked for only where an old file is looked at."""

    def __init__(self, mirror: Mirror, entries: Mapping[str, Entry]) -> None:
        self._mirror = mirror
        self._held: dict[str, Entry | Former] = dict(entries)

    def put_back(self, former: Mapping[str, Former | None]) -> None:
        for path, before in former.items():
            if before:
                self._held[path] = before
            else:
                self._held.pop(path, None)

    def __getitem__(self, path: str) -> Entry:
        held = self._held[path]
        if isinstance(held, Former):
            size = self._mirror.size(held.blob) if held.mode.startswith("100") else 0
            held = self._held[path] = Entry(mode=held.mode, blob=held.blob, size=size)
        return held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
