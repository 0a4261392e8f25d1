"""Archives that anyone may have built: nothing leaves the folder, nothing grows without end.

Refused are absolute paths and `..`, links that lead out of the folder, entries below a link, devices, sockets and
pipes, setuid and setgid files, two entries at one place, and more bytes or entries than the caps. Python's own tarfile
filter `data` (PEP 706) is asked as well. Files get mode 0755 where they were executable, else 0644; folders 0755.
"""

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import IO, Any

from adapters.agent_protocol.places import OURS
from adapters.agent_protocol.reports import Blame
from fairlead_agent.durable import check_room
from fairlead_agent.trouble import Interrupted, Trouble

CHUNK = 1 << 20
LONGEST_HEADER = 16 << 20  # bytes that a tar's header may ask for at once
XZ_MEMORY = 72 << 20  # bytes for decompressing; `xz -9` needs 65 MiB
_XZ_INPUT = 1 << 16
_ZIP_WAYS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2})  # LZMA takes what memory it says
_ZIP_HEADER = 46  # bytes of an entry in the directory, without what is as long as it says
_ZIP64_ENDS = 76  # bytes between the directory and the end, in large files
FOLDER = "folder"  # the proof of a folder; of a file it is its SHA-256, of a link `-> ` and where it leads
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_data_filter = getattr(tarfile, "data_filter", None)  # came with 3.11.4
_UNFIT = frozenset({None, errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP})  # None: of gzip and bz2, not of the disk
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, NotImplementedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """The most that an archive may hold, unpacked."""

    size: int = 8 << 30  # bytes
    entries: int = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One member of an archive of any kind. `name` is as it stands there."""

    name: str
    kind: int  # stat.S_IFREG, S_IFDIR, S_IFLNK; anything else is refused
    mode: int = 0o644
    size: int = 0
    leads_to: str = ""  # of a symbolic link
    same_as: str = ""  # of a hard link: the name of an earlier file
    content: IO[bytes] | None = None
    changed: float | None = None  # seconds since 1970


class Unfit(ValueError):
    """The archive is broken or hostile; the message goes on from `the archive is refused: `."""


def unpack(archive: Path, top: Path, to: str | None, stop: Event, caps: Caps | None = None) -> Mapping[str, str]:
    """Extract a tar (plain, gz, xz, bz2) or zip file into `top`, below `to`, and say what is where: path to proof.

    Paths are relative to `top`. Raises `Trouble` (REFUSED: broken or hostile; TRANSIENT: disk full), `Interrupted`,
    OSError. What was extracted until then stays, for the caller to take away.
    """
    work = _Unpacking(top=top, to=to or "", stop=stop, caps=caps or Caps())
    try:
        for entry in _entries(archive, top / (to or ""), work.caps):
            work.take(entry)
    except (*_BROKEN, ValueError, RuntimeError) as error:
        raise Trouble(Blame.REFUSED, f"the archive is refused: {error or type(error).__name__}") from None
    except OSError as error:
        if error.errno in _UNFIT:
            raise Trouble(Blame.REFUSED, f"the archive is refused: {str(error)[:300]}") from None
        raise
    if not work.proofs:
        raise Trouble(Blame.REFUSED, "the archive is refused: it holds nothing")
    return work.proofs


@dataclass(slots=True, kw_only=True)
class _Unpacking:
    top: Path
    to: str
    stop: Event
    caps: Caps
    entries: int = 0
    size: int = 0
    proofs: dict[str, str] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """Write one entry. Raises `Unfit`, `Interrupted`."""
        self.entries += 1
        if self.entries > self.caps.entries:
            raise Unfit(f"it holds more than {self.caps.entries} entries")
        if self.stop.is_set():
            raise Interrupted
        inner = self._inner(entry.name)
        if not inner:
            return  # `./`: the folder itself
        path = self._place(inner, is_folder=entry.kind == stat.S_IFDIR)
        self.proofs[inner] = self._write(entry, inner, path)

    def _write(self, entry: Entry, inner: str, path: Path) -> str:
        if entry.kind == stat.S_IFDIR:
            return self._folder(path)
        if entry.kind == stat.S_IFLNK:
            return self._link(entry, path)
        if entry.kind != stat.S_IFREG:
            raise Unfit(f"{_shown(entry.name)} is neither a file, a folder nor a link")
        if entry.mode & (stat.S_ISUID | stat.S_ISGID):
            raise Unfit(f"{_shown(entry.name)} is setuid or setgid")
        return self._twin(entry, path) if entry.same_as else self._file(entry, path)

    def _inner(self, name: str) -> str:
        """The path below `top`. Raises `Unfit`."""
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if name.startswith("/") or ".." in parts:
            raise Unfit(f"{_shown(name)} would be outside of the folder")
        if _CONTROL.search(name) or not _is_utf8(name):
            raise Unfit(f"{_shown(name)} is no name for a file")
        if parts and not self.to and parts[0].startswith(OURS):
            raise Unfit(f"{_shown(name)} begins with {OURS}, which is the agent's own")
        return "/".join([self.to, *parts] if self.to else parts)

    def _place(self, inner: str, *, is_folder: bool) -> Path:
        """The path, below real folders, and free. Raises `Unfit`."""
        path = self.top
        for part in inner.split("/")[:-1]:
            path = path / part
            if not os.path.lexists(path):
                self._folder(path)
            elif path.is_symlink() or not path.is_dir():
                raise Unfit(f"{_shown(inner)} is below something that is no folder")
        path = self.top / inner
        taken = os.path.lexists(path)
        if taken and not (is_folder and path.is_dir() and not path.is_symlink()):
            raise Unfit(f"{_shown(inner)} is there twice")
        return path

    def _folder(self, path: Path) -> str:
        if not path.is_dir():
            path.mkdir()
            path.chmod(0o755)
        return FOLDER

    def _link(self, entry: Entry, path: Path) -> str:
        """A link may climb no higher than the archive's folder, and only at its beginning: below are real folders."""
        steps = [step for step in entry.leads_to.split("/") if step not in {"", "."}]
        climbs = next((count for count, step in enumerate(steps) if step != ".."), len(steps))
        depth = len([part for part in entry.name.split("/") if part not in {"", "."}]) - 1
        absolute = not entry.leads_to or entry.leads_to.startswith("/")
        if absolute or climbs > depth or ".." in steps[climbs:] or not _is_utf8(entry.leads_to):
            raise Unfit(f"{_shown(entry.name)} is a link that leads out of the folder")
        os.symlink(entry.leads_to, path)  # noqa: PTH211 a Path would say `a/.` otherwise
        return f"-> {entry.leads_to}"

    def _twin(self, entry: Entry, path: Path) -> str:
        """A hard link to an earlier file of the same archive."""
        other = self._inner(entry.same_as)
        proof = self.proofs.get(other, FOLDER)
        if proof == FOLDER or proof.startswith("-> "):
            raise Unfit(f"{_shown(entry.name)} is a hard link to something that is no file of the archive")
        os.link(self.top / other, path, follow_symlinks=False)
        return proof

    def _file(self, entry: Entry, path: Path) -> str:
        if self.size + entry.size > self.caps.size:
            raise Unfit(f"it holds more than {self.caps.size} bytes")
        check_room(self.top, entry.size)
        sha, size = hashlib.sha256(), 0
        with path.open("xb") as file:
            while entry.content and (chunk := entry.content.read(CHUNK)):
                size += len(chunk)
                self._grow(len(chunk))
                sha.update(chunk)
                file.write(chunk)
        if size != entry.size:
            raise Unfit(f"{_shown(entry.name)} has {size} bytes and says that it has {entry.size}")
        path.chmod(0o755 if entry.mode & 0o111 else 0o644)
        if entry.changed is not None and 0 <= entry.changed < 2**33:
            os.utime(path, (entry.changed, entry.changed))
        return sha.hexdigest()

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > self.caps.size:
            raise Unfit(f"it holds more than {self.caps.size} bytes")
        if self.stop.is_set():
            raise Interrupted


def _entries(archive: Path, folder: Path, caps: Caps) -> Iterator[Entry]:
    with archive.open("rb") as file:
        start = file.read(8)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _zipped(archive, caps.entries)
    else:
        yield from _tarred(archive, start, folder)


def _tarred(archive: Path, start: bytes, folder: Path) -> Iterator[Entry]:
    with _plain(archive, start) as stream, tarfile.open(fileobj=_Sparing(stream), mode="r:") as tar:  # type: ignore[call-overload]
        while (member := tar.next()) is not None:
            tar.members.clear()  # it would remember them all
            if _data_filter and not member.name.startswith("/"):
                _data_filter(member, str(folder))
            yield _tar_entry(tar, member)


def _plain(archive: Path, start: bytes) -> Any:
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    if start.startswith(b"\xfd7zXZ\x00"):
        return io.BufferedReader(_Xz(archive.open("rb")), CHUNK)
    return bz2.open(archive) if start.startswith(b"BZh") else archive.open("rb")


def _tar_entry(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    kind = stat.S_IFLNK if member.issym() else stat.S_IFDIR if member.isdir() else 0
    if member.isreg() or member.islnk():
        kind = stat.S_IFREG
    return Entry(
        name=member.name,
        kind=kind,
        mode=member.mode,
        size=member.size if member.isreg() else 0,
        leads_to=member.linkname if member.issym() else "",
        same_as=member.linkname if member.islnk() else "",
        content=tar.extractfile(member) if member.isreg() else None,
        changed=member.mtime,
    )


def _zipped(archive: Path, entries: int) -> Iterator[Entry]:
    _check_directory(archive, entries)
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            if info.compress_type not in _ZIP_WAYS:
                raise Unfit(f"{_shown(info.filename)} is packed in a way that is not read here; use deflate")
            with zipped.open(info) as content:
                yield _zip_entry(info, content)


def _check_directory(archive: Path, entries: int) -> None:
    """`ZipFile` reads the whole directory at once, however long it is. Raises `Unfit` where that is too much."""
    with archive.open("rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # just what ZipFile goes by
        if not end:
            raise Unfit("its end is missing")
        size, start = end[5], end[9] - end[5] - (_ZIP64_ENDS if end[0] == b"PK\x06\x06" else 0)
        if size > LONGEST_HEADER or start < 0:
            raise Unfit(f"its directory has {size} bytes; the most is {LONGEST_HEADER}")
        file.seek(start)
        directory, at, found = file.read(size), 0, 0
    while at + _ZIP_HEADER <= size:
        at += _ZIP_HEADER + sum(struct.unpack_from("<3H", directory, at + 28))  # name, extra field, comment
        found += 1
        if found > entries:
            raise Unfit(f"it holds more than {entries} entries")


def _zip_entry(info: zipfile.ZipInfo, content: IO[bytes]) -> Entry:
    mode = info.external_attr >> 16  # Unix's; 0 where another system wrote it
    kind = stat.S_IFDIR if info.is_dir() else stat.S_IFMT(mode) or stat.S_IFREG
    leads_to = content.read(4097) if kind == stat.S_IFLNK else b""
    return Entry(
        name=info.filename,
        kind=kind,
        mode=stat.S_IMODE(mode) or 0o644,
        size=info.file_size,
        leads_to=os.fsdecode(leads_to),
        content=content,
    )


class _Xz(io.RawIOBase):
    """An xz file, decompressed in bounded memory: the archive says how much that takes, up to 4 GiB."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rewind()

    def _rewind(self) -> None:
        self._file.seek(0)
        self._at = 0
        self._more = self._stream()

    def _stream(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Forward by reading, back by beginning again."""
        if whence == os.SEEK_CUR:
            offset += self._at
        elif whence != os.SEEK_SET:
            raise io.UnsupportedOperation("its end is not known")
        if offset < self._at:
            self._rewind()
        while self._at < offset and self._piece(min(CHUNK, offset - self._at)):
            pass
        return self._at

    def readinto(self, buffer: Any) -> int:
        piece = self._piece(min(CHUNK, len(buffer)))
        buffer[: len(piece)] = piece
        return len(piece)

    def _piece(self, most: int) -> bytes:
        """The next bytes, none at the end. Raises `LZMAError`, EOFError."""
        found = b""
        while not found and (not self._more.eof or self._next()):
            data = self._file.read(_XZ_INPUT) if self._more.needs_input else b""
            if not data and self._more.needs_input:
                raise EOFError("it is cut off")
            found = self._more.decompress(data, most)
        self._at += len(found)
        return found

    def _next(self) -> bool:
        """Whether another stream begins here: `xz` files may be joined, with zeros between."""
        rest = self._more.unused_data.lstrip(b"\0")
        while not rest:
            data = self._file.read(_XZ_INPUT)
            if not data:
                return False
            rest = data.lstrip(b"\0")
        self._file.seek(-len(rest), os.SEEK_CUR)
        self._more = self._stream()
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


class _Sparing:
    """A stream that refuses to give more at once than a header or a chunk can need: memory is not the archive's."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek = stream.seek
        self.tell = stream.tell

    def read(self, size: int = -1) -> bytes:
        """As the stream's, up to a bound."""
        if not 0 <= size <= LONGEST_HEADER:
            raise Unfit(f"it has a header of more than {LONGEST_HEADER} bytes")
        return self._stream.read(size)


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _shown(name: str) -> str:
    return ascii(name[:200])
