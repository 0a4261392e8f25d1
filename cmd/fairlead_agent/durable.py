"""Files that are whole or not there, whatever happens in between. Everything here raises OSError."""

import errno
import hashlib
import os
import shutil
import stat
from pathlib import Path

from adapters.agent_protocol.reports import Blame
from fairlead_agent.trouble import Trouble

_PIECE = 8 << 20  # bytes that are copied at once
_NO_RANGES = frozenset({errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM})
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
RESERVE = 64 << 20  # bytes of a disk that are left to others


def write_whole(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a file: a temporary name, fsync, rename, fsync of the folder. When it fails, the old one stays."""
    temporary = path.with_name(f".{path.name}.new")
    write_new(temporary, data, mode)
    temporary.replace(path)
    sync_folder(path.parent)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file of that mode from its first byte on, and see it on the disk. A leftover of that name goes."""
    try:
        descriptor = os.open(path, _NEW, mode & 0o600)
    except FileExistsError:
        remove(path)
        descriptor = os.open(path, _NEW, mode & 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_file(source: Path, target: Path) -> None:
    """A new file with the bytes, mode and time of another, which shares them on file systems that can do that.

    Raises `Trouble` (TRANSIENT) where the disk is full.
    """
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        found = os.fstat(reader)
        check_room(target.parent, found.st_size)
        with target.open("xb", buffering=0) as file:
            _copy_bytes(reader, file.fileno())
        target.chmod(stat.S_IMODE(found.st_mode))
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    finally:
        os.close(reader)


def _copy_bytes(reader: int, writer: int) -> None:
    try:
        while os.copy_file_range(reader, writer, _PIECE):
            pass
    except OSError as error:
        if error.errno not in _NO_RANGES:
            raise
        while piece := os.read(reader, _PIECE):  # from where the other way ended
            view = memoryview(piece)
            while view:
                view = view[os.write(writer, view) :]


def sync_folder(folder: Path) -> None:
    """What was renamed in the folder stays renamed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Everything below a folder is on the disk."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = Path(place, name)
            if not path.is_symlink():
                sync_file(path)
        sync_folder(Path(place))


def sync_file(path: Path) -> None:
    """The file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def switch_link(link: Path, target: str) -> None:
    """Let a symbolic link point elsewhere, at once: readers see the old or the new one."""
    temporary = link.with_name(f".{link.name}.new")
    if os.path.lexists(temporary):  # a leftover may dangle: `exists` would miss it
        remove(temporary)
    temporary.symlink_to(target)
    temporary.replace(link)
    sync_folder(link.parent)


def is_folder(path: Path) -> bool:
    """A folder itself, not a link to one."""
    return path.is_dir() and not path.is_symlink()


def make_folder(path: Path) -> None:
    """A folder that everybody may enter, whatever the umask; and its parents."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir()
        path.chmod(0o755)


def lay_over(source: Path, target: Path, last: str) -> None:
    """Move everything in a folder over what is in another, one by one, the file `last` at the end of each."""
    for path in sorted(source.iterdir(), key=lambda path: path.name == last):
        place = target / path.name
        if is_folder(path) != is_folder(place):
            remove(place)
        if is_folder(path):
            make_folder(place)
            lay_over(path, place, last)
        else:
            path.replace(place)


def remove(path: Path) -> None:
    """Take away a file, link or folder, if it is there."""
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, 64 hexadecimal characters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_room(folder: Path, size: int) -> None:
    """Raise `Trouble` (TRANSIENT) unless `size` bytes fit and `RESERVE` stays free."""
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < size + RESERVE:
        said = f"the disk of {folder} is full: {free >> 20} MiB are free, {size >> 20} MiB are needed"
        raise Trouble(Blame.TRANSIENT, f"{said} and {RESERVE >> 20} MiB stay in reserve")
