"""What differs between two trees of git's, folder by folder and ended early: a few objects can name billions of files.

`git diff-tree -r` would list all of it before we could end it, and a merge would write it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from desired_state.git_errors import GitRefused
from desired_state.model import Sha

FOLDERS = 4_000  # that may differ
DEEPEST = 100  # folders within each other
LARGEST = 4 * 1024 * 1024  # bytes of one folder's listing
_FOLDER = "40000"
_MODES = frozenset({_FOLDER, "100644", "100664", "100755", "120000", "160000"})
_FORBIDDEN = frozenset({b"", b".", b"..", b".git"})


class WildTree(GitRefused):
    """A tree that is not to be looked at further; the text says why, of the commit that it is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """How objects are read: size in bytes, and content."""

    size: Callable[[str], int]
    read: Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    mode: str
    id: Sha

    @property
    def folder(self) -> Sha:
        """Its tree's id; empty for what is no folder."""
        return self.id if self.mode == _FOLDER else ""


def differing(objects: Objects, old: Sha, new: Sha, most: int) -> list[Sha]:
    """The ids of the blobs that are new between two commits, `0` for what is gone and for submodules.

    Of more than `most` some are given, more than `most`. Raises `WildTree`.
    """
    found: list[Sha] = []
    waiting = [(f"{old}^{{tree}}", f"{new}^{{tree}}", 0)]
    looked_at = 0
    while waiting and len(found) <= most:
        former, latter, depth = waiting.pop()
        looked_at += 1
        if depth > DEEPEST:
            raise WildTree(f"its folders lie more than {DEEPEST} deep in each other: make them flatter")
        for one, other in _pairs(objects, former, latter, len(old) // 2):
            found += _changed(one, other)
            inside = one.folder if one else "", other.folder if other else ""
            if any(inside):
                waiting.append((*inside, depth + 1))
        if looked_at + len(waiting) > FOLDERS:
            raise WildTree(f"changes more than {FOLDERS} folders: too many to be planned; split it")
    return found


def _pairs(objects: Objects, former: str, latter: str, width: int) -> Iterator[tuple[_Entry | None, _Entry | None]]:
    """What each name was and is, where that differs."""
    before, after = (_listing(objects, tree, width) if tree else {} for tree in (former, latter))
    for name in before.keys() | after.keys():
        if before.get(name) != after.get(name):
            yield before.get(name), after.get(name)


def _changed(one: _Entry | None, other: _Entry | None) -> Iterator[Sha]:
    if other is not None and not other.folder:
        yield "0" if other.mode == "160000" else other.id
    elif one is not None and not one.folder:
        yield "0"


def _listing(objects: Objects, tree: str, width: int) -> dict[bytes, _Entry]:
    """A folder's entries by name; `width` is the bytes of an id."""
    if objects.size(tree) > LARGEST:
        raise WildTree(f"a folder's listing has more than {LARGEST // 1024 // 1024} MiB: split it")
    data = objects.read(tree)
    found: dict[bytes, _Entry] = {}
    place = 0
    while place < len(data):
        end = data.find(b"\0", place)
        mode, _, name = data[place : max(end, place)].partition(b" ")
        place = end + 1 + width
        unfit = name in _FORBIDDEN or b"/" in name or name in found
        if end < 0 or place > len(data) or unfit or mode.decode(errors="replace") not in _MODES:
            raise WildTree("holds a folder that git would not make (names twice, `..` or `/`): write it anew")
        found[name] = _Entry(mode=mode.decode(), id=data[end + 1 : place].hex())
    return found
