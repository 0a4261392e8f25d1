"""A Debian package in a few lines, where dpkg-deb is or is not: deb(5), an `ar` of two tar files.

The same contents give the same bytes. All is root's; folders are made as they are needed.
"""

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

_BLOCK = 1024  # bytes: Installed-Size counts so many


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One file of a package."""

    data: bytes
    mode: int = 0o644


def packed(control: Mapping[str, str], scripts: Mapping[str, str], files: Mapping[str, Content], epoch: int) -> bytes:
    """The package's bytes. `files` by path without the first slash; `epoch`: seconds since 1970, of every member."""
    size = sum(-(-len(each.data) // _BLOCK) for each in files.values())
    said = {**control, "Installed-Size": str(size)}
    text = "".join(f"{name}: {value}\n" for name, value in said.items())
    about = {"control": Content(data=text.encode())}
    about |= {name: Content(data=script.encode(), mode=0o755) for name, script in scripts.items()}
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tarred(about, epoch),
        "data.tar.gz": _tarred(files, epoch),
    }
    return b"!<arch>\n" + b"".join(_member(name, data, epoch) for name, data in members.items())


def _member(name: str, data: bytes, epoch: int) -> bytes:
    header = f"{name:<16}{epoch:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n"
    return header.encode() + data + b"\n" * (len(data) % 2)


def _tarred(files: Mapping[str, Content], epoch: int) -> bytes:
    written = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=written, mode="wb", mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for folder in _folders(files):
            archive.addfile(_entry(folder, epoch, 0o755, tarfile.DIRTYPE))
        for name, content in sorted(files.items()):
            entry = _entry(f"./{name}", epoch, content.mode, tarfile.REGTYPE)
            entry.size = len(content.data)
            archive.addfile(entry, io.BytesIO(content.data))
    return written.getvalue()


def _folders(files: Mapping[str, Content]) -> list[str]:
    parts = [name.split("/")[:-1] for name in files]
    return sorted({"./", *("./" + "/".join(each[: depth + 1]) + "/" for each in parts for depth in range(len(each)))})


def _entry(name: str, epoch: int, mode: int, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime, entry.uname, entry.gname = kind, mode, epoch, "root", "root"
    return entry
