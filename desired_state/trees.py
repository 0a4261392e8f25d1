"""Trees to parse: what a revision, a folder or a test holds, as blobs by path.

Nothing is ever followed: a symlink or submodule is an entry with its mode, and the parser refuses it.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

FILE = "100644"
SYMLINK = "120000"
SUBMODULE = "160000"
ROOTS = frozenset({"fairlead.yaml", "services", "environments", "freezes"})  # all that is ever read


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One path of a tree: git's mode, the blob's id and its size in bytes."""

    mode: str
    blob: str
    size: int

    @property
    def readable(self) -> bool:
        """A regular file, executable or not."""
        return self.mode.startswith("100")


class Tree(Protocol):
    """Blobs by path, with `/` between folders. The same blob id always holds the same bytes."""

    def entries(self) -> Mapping[str, Entry]:
        """All files. Called often: an implementation keeps its answer."""
        ...

    def read(self, blob: str) -> bytes:
        """The bytes of a blob that `entries` named. Raises `KeyError` for any other."""
        ...


def blob_id(data: bytes) -> str:
    """The id that git gives these bytes (SHA-1 object format)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class MemoryTree:
    """A tree written down in a program. A value is a file's text or bytes; `modes` overrides a path's mode."""

    def __init__(self, files: Mapping[str, str | bytes], modes: Mapping[str, str] | None = None) -> None:
        data = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        modes = modes or {}
        self._blobs = {blob_id(content): content for content in data.values()}
        self._entries = {
            path: Entry(mode=modes.get(path, FILE), blob=blob_id(content), size=len(content))
            for path, content in data.items()
        }

    def entries(self) -> Mapping[str, Entry]:
        """All files."""
        return self._entries

    def read(self, blob: str) -> bytes:
        """The bytes of a blob. Raises `KeyError` for one that is not here."""
        return self._blobs[blob]


class FolderTree:
    """The desired state in a folder, as it is when it is first asked. No link is followed.

    Only `fairlead.yaml`, `services`, `environments` and `freezes` are looked at, never `.git` or anything else.

    Files larger than `cap` bytes are not read; their entry says how large they are. Raises `OSError` where a file or
    folder cannot be read.
    """

    def __init__(self, path: Path, cap: int = 1024 * 1024) -> None:
        self._path = path
        self._cap = cap
        self._blobs: dict[str, bytes] = {}

    @cached_property
    def _entries(self) -> dict[str, Entry]:
        return dict(sorted(self._walk(self._path, "")))

    def entries(self) -> Mapping[str, Entry]:
        """All files."""
        return self._entries

    def read(self, blob: str) -> bytes:
        """The bytes of a blob. Raises `KeyError` for one that is not here."""
        return self._blobs[blob]

    def _walk(self, folder: Path, prefix: str) -> Iterator[tuple[str, Entry]]:
        with os.scandir(folder) as found:
            for each in sorted(found, key=lambda entry: entry.name):
                path = f"{prefix}{each.name}"
                if not prefix and path not in ROOTS:
                    continue
                if each.is_symlink():
                    yield path, Entry(mode=SYMLINK, blob=blob_id(os.fsencode(each.path)), size=0)
                elif each.is_dir(follow_symlinks=False):
                    yield from self._walk(Path(each.path), f"{path}/")
                elif each.is_file(follow_symlinks=False):
                    yield path, self._file(Path(each.path), each.stat(follow_symlinks=False).st_size)

    def _file(self, path: Path, size: int) -> Entry:
        if size > self._cap:
            return Entry(mode=FILE, blob=f"large:{path}:{size}", size=size)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(self._cap + 1)
        blob = blob_id(data)
        self._blobs[blob] = data
        return Entry(mode=FILE, blob=blob, size=len(data))
