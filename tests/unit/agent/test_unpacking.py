"""Archives that anyone may have built: what is fit is unpacked, the rest is refused, and nothing leaves the folder."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from adapters.agent_protocol.reports import Blame
from fairlead_agent import durable, unpacking
from fairlead_agent.manifests import are_proven
from fairlead_agent.trouble import Interrupted, Trouble
from fairlead_agent.unpacking import Caps, unpack

FILES = {"bin/run": b"#!/bin/sh\n", "lib/deep/a.so": b"so" * 5000, "README": b"", "ünï côde": b"x"}
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", **more: Any) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def tar_of(*members: Member) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_of(*entries: tuple[str, bytes, int]) -> bytes:
    """Entries with their Unix modes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            zipped.writestr(info, content)
    return out.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> "Place":
    return Place(tmp_path)


class Place:
    """A folder to unpack into, with something beside it that must stay as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.top = folder / "releases/x"
        self.top.mkdir(parents=True)
        (folder / "outside").write_text("precious")

    def unpack(self, content: bytes, to: str | None = None, caps: Caps | None = None) -> Mapping[str, str]:
        archive = self.folder / "archive"
        archive.write_bytes(content)
        return unpack(archive, self.top, to, Event(), caps)

    def refusal(self, content: bytes, to: str | None = None, caps: Caps | None = None) -> str:
        """Why it is refused. Nothing outside of the folder is there that was not before."""
        with pytest.raises(Trouble) as caught:
            self.unpack(content, to, caps)
        assert Blame.REFUSED == caught.value.blame
        assert caught.value.message.startswith("the archive is refused: ")
        self.check_outside()
        return caught.value.message.removeprefix("the archive is refused: ")

    def attempt(self, content: bytes) -> None:
        """Unpack it wholly, or be refused."""
        try:
            proofs = self.unpack(content)
        except Trouble as trouble:
            if trouble.blame is not Blame.REFUSED:
                raise
        else:
            assert are_proven(self.top, proofs)

    def check_outside(self) -> None:
        assert "precious" == (self.folder / "outside").read_text()
        assert {"archive", "outside", "releases"} >= {path.name for path in self.folder.iterdir()}
        assert ["x"] == [path.name for path in (self.folder / "releases").iterdir()]

    def tree(self) -> dict[str, bytes]:
        paths = [path for path in self.top.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.top)): path.read_bytes() for path in paths}


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": gzip.compress,
    "tar.xz": lzma.compress,
    "tar.bz2": bz2.compress,
}


@pytest.mark.parametrize("form", PACKERS)
@pytest.mark.parametrize("to", [None, "app", "opt/app"])
def test_a_tar_of_any_kind_is_unpacked_and_proven(place: Place, form: str, to: str | None) -> None:
    proofs = place.unpack(PACKERS[form](tar_of(*(member(name, content) for name, content in FILES.items()))), to)

    below = f"{to}/" if to else ""
    assert {below + name: content for name, content in FILES.items()} == place.tree()
    assert are_proven(place.top, proofs)
    assert {below + name for name in FILES} == set(proofs)


def test_a_zip_is_unpacked_and_proven(place: Place) -> None:
    entries = [(name, content, 0o100644) for name, content in FILES.items()]

    proofs = place.unpack(zip_of(*entries, ("folder/", b"", 0o40755), ("lib/a", b"deep/a.so", 0o120777)), "app")

    assert place.tree() == {f"app/{name}": content for name, content in FILES.items()} | {
        "app/lib/a": FILES["lib/deep/a.so"]
    }
    assert (place.top / "app/folder").is_dir()
    assert Path("deep/a.so") == (place.top / "app/lib/a").readlink()
    assert are_proven(place.top, proofs)


def test_modes_are_sane_and_times_are_kept(place: Place) -> None:
    umask = os.umask(0o077)
    try:
        place.unpack(
            tar_of(
                member("open", b"x", mode=0o666, mtime=1_000_000_000),
                member("closed", b"x", mode=0o000),
                member("run", b"x", mode=0o711),
                member("dir", type=tarfile.DIRTYPE, mode=0o2777),
            )
        )
    finally:
        os.umask(umask)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.top.iterdir()}
    assert {"open": 0o644, "closed": 0o644, "run": 0o755, "dir": 0o755} == modes
    assert 1_000_000_000 == (place.top / "open").stat().st_mtime


def test_links_that_stay_inside_are_kept(place: Place) -> None:
    proofs = place.unpack(
        tar_of(
            member("./lib/libx.so.1", b"x"),
            member("./lib/libx.so", type=tarfile.SYMTYPE, linkname="libx.so.1"),
            member("./bin/up", type=tarfile.SYMTYPE, linkname="../lib/libx.so"),
            member("./bin/twin", type=tarfile.LNKTYPE, linkname="./lib/libx.so.1"),
        ),
        "app",
    )

    assert [b"x"] * 4 == list(place.tree().values())
    assert are_proven(place.top, proofs)
    (place.top / "app/bin/up").unlink()
    (place.top / "app/bin/up").symlink_to("../lib/libx.so.1")
    assert not are_proven(place.top, proofs)


OUT = "../../outside"
SYMLINK = {"type": tarfile.SYMTYPE}
HOSTILE = {
    "slip": [member(OUT, b"x")],
    "slip below": [member("a/../../../outside", b"x")],
    "absolute": [member("/tmp/fairlead-was-here", b"x")],
    "link out": [member("a", linkname=OUT, **SYMLINK)],
    "link out of a folder": [member("d/a", linkname="../../outside", **SYMLINK)],
    "absolute link": [member("a", linkname="/etc/passwd", **SYMLINK)],
    "link that climbs late": [member("d", type=tarfile.DIRTYPE), member("a", linkname="d/../..", **SYMLINK)],
    "link to nothing": [member("a", linkname="", **SYMLINK)],
    "write through a link": [member("a", linkname=".", **SYMLINK), member("a/b", b"x")],
    "chain of links": [
        member("a", linkname=".", **SYMLINK),
        member("b", linkname="a/..", **SYMLINK),
        member("b/outside", b"x"),
    ],
    "replaced link": [member("a", b"x"), member("a", linkname=OUT, **SYMLINK)],
    "file over a link": [member("a", linkname="b", **SYMLINK), member("a", b"x")],
    "hard link out": [member("a", type=tarfile.LNKTYPE, linkname=OUT)],
    "hard link to nothing": [member("a", type=tarfile.LNKTYPE, linkname="b")],
    "hard link to a link": [member("a", linkname="b", **SYMLINK), member("c", type=tarfile.LNKTYPE, linkname="a")],
    "device": [member("a", type=tarfile.BLKTYPE, devmajor=8)],
    "character device": [member("a", type=tarfile.CHRTYPE)],
    "pipe": [member("a", type=tarfile.FIFOTYPE)],
    "setuid": [member("a", b"x", mode=0o4755)],
    "setgid": [member("a", b"x", mode=0o2755)],
    "twice": [member("a", b"x"), member("a", b"y")],
    "below a file": [member("a", b"x"), member("a/b", b"y")],
    "folder over a file": [member("a", b"x"), member("a", type=tarfile.DIRTYPE)],
    "file over a folder": [member("a/b", b"x"), member("a", b"x")],
    "control character": [member("a\nb", b"x")],
    "no name": [member("\udcff", b"x", pax_headers={})],
    "our manifest": [member(".fairlead.json", b"{}")],
    "our other files": [member(".fairlead-later/x", b"{}")],
    "nothing": [],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_tar_is_refused(place: Place, case: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for info, content in HOSTILE[case]:
            tar.addfile(info, io.BytesIO(content))

    assert place.refusal(out.getvalue())
    assert not Path("/tmp/fairlead-was-here").exists()


HOSTILE_ZIP = {
    "slip": [(OUT, b"x", 0o100644)],
    "absolute": [("/tmp/fairlead-was-here", b"x", 0o100644)],
    "link out": [("a", OUT.encode(), 0o120777)],
    "absolute link": [("a", b"/etc", 0o120777)],
    "write through a link": [("a", b".", 0o120777), ("a/b", b"x", 0o100644)],
    "endless link": [("a", b"x" * 5000, 0o120777)],
    "device": [("a", b"", 0o060644)],
    "pipe": [("a", b"", 0o010644)],
    "setuid": [("a", b"x", 0o104755)],
    "twice": [("a/b", b"x", 0o100644), ("./a/b", b"x", 0o100644)],
    "our manifest": [("./.fairlead.json", b"{}", 0o100644)],
    "nothing": [],
}


@pytest.mark.parametrize("case", HOSTILE_ZIP)
def test_a_hostile_zip_is_refused(place: Place, case: str) -> None:
    assert place.refusal(zip_of(*HOSTILE_ZIP[case]))
    assert not Path("/tmp/fairlead-was-here").exists()


def test_what_is_below_a_link_that_somebody_else_made_is_refused(place: Place) -> None:
    (place.top / "app").symlink_to("../..")

    assert "no folder" in place.refusal(tar_of(member("outside", b"x")), "app")


def test_a_bomb_of_bytes_is_refused_before_it_is_written(place: Place) -> None:
    bomb = gzip.compress(tar_of(member("zeros", bytes(5 << 20))))
    assert len(bomb) < 20_000

    assert "more than 1048576 bytes" in place.refusal(bomb, caps=Caps(size=1 << 20))
    assert {} == place.tree()
    assert "more than 1048576 bytes" in place.refusal(zip_of(("zeros", bytes(5 << 20), 0)), caps=Caps(size=1 << 20))
    assert {} == place.tree()


def test_a_bomb_of_many_files_is_refused(place: Place) -> None:
    many = tar_of(*(member(f"f{number}", b"x" * 400) for number in range(30)))

    assert "more than 20 entries" in place.refusal(many, caps=Caps(entries=20))
    durable.remove(place.top)
    place.top.mkdir()
    assert "more than 4000 bytes" in place.refusal(many, caps=Caps(size=4000))


def test_a_header_that_wants_all_the_memory_is_refused(place: Place) -> None:
    greedy = tarfile.TarInfo("pax")
    greedy.type, greedy.size = tarfile.XHDTYPE, 200 << 20
    bomb = gzip.compress(greedy.tobuf(tarfile.USTAR_FORMAT) + bytes(4096))

    assert "header" in place.refusal(bomb)


def test_a_zip_that_lies_about_sizes_is_refused(place: Place) -> None:
    honest = zip_of(("a", b"x" * 1000, 0o100644))
    for size in (10, 100_000):
        lying = honest.replace((1000).to_bytes(4, "little"), size.to_bytes(4, "little"))
        assert lying != honest
        assert place.refusal(lying)
        (place.top / "a").unlink()


def test_an_encrypted_zip_is_refused(place: Place) -> None:
    locked = bytearray(zip_of(("a", b"x", 0o100644)))
    for start in (locked.index(b"PK\x03\x04") + 6, locked.index(b"PK\x01\x02") + 8):
        locked[start] |= 1

    assert "encrypted" in place.refusal(bytes(locked))


@pytest.mark.parametrize("form", [*PACKERS, "zip"])
def test_what_is_cut_off_is_refused(place: Place, form: str) -> None:
    noise = bytes(range(256)) * 40
    whole = (
        zip_of(("a", noise, 0), ("b", noise, 0)) if form == "zip" else tar_of(member("a", noise), member("b", noise))
    )
    packed = PACKERS.get(form, bytes)(whole)
    for share in (0.3, 0.6, 0.8):
        assert place.refusal(packed[: int(len(packed) * share) if form != "tar" else int(21_000 * share)])
        durable.remove(place.top)
        place.top.mkdir()


@pytest.mark.parametrize("content", [b"", b"no archive at all", bytes(10240), b"PK\x03\x04 no zip", b"\x1f\x8bno gzip"])
def test_what_is_no_archive_is_refused(place: Place, content: bytes) -> None:
    assert place.refusal(content)


def test_it_stops_when_it_is_told_to(place: Place) -> None:
    stop = Event()
    stop.set()
    (place.folder / "archive").write_bytes(tar_of(member("a", b"x")))

    with pytest.raises(Interrupted):
        unpack(place.folder / "archive", place.top, None, stop)


def test_a_disk_without_room_is_trouble_of_the_road(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "RESERVE", 1 << 62)

    with pytest.raises(Trouble, match="is full") as caught:
        place.unpack(tar_of(member("a", b"x")))

    assert Blame.TRANSIENT == caught.value.blame


def test_memory_stays_where_it_is_with_large_files(place: Place) -> None:
    import tracemalloc

    with gzip.open(place.folder / "archive", "wb", compresslevel=1) as packed:
        packed.write(tar_of(member("zeros", bytes(48 << 20))))
    tracemalloc.start()
    try:
        unpack(place.folder / "archive", place.top, None, Event())
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert 48 << 20 == (place.top / "zeros").stat().st_size


names = some.lists(some.sampled_from(["a", "b", "c", ".", "..", "", "/", "a/b", "../a"]), min_size=1, max_size=4).map(
    "/".join
)
kinds = some.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.lists(some.tuples(names, kinds, names), max_size=7))
def test_whatever_the_names_and_links_nothing_leaves_the_folder(
    place: Place, members: list[tuple[str, bytes, str]]
) -> None:
    durable.remove(place.top)
    place.top.mkdir()
    content = tar_of(*(member(name, type=kind, linkname=link) for name, kind, link in members))
    place.attempt(content)
    place.check_outside()
    inside = place.top.resolve()
    for path in place.top.rglob("*"):
        if path.is_symlink():
            assert _is_loop(path) or path.resolve().is_relative_to(inside)


def _is_loop(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.data())
def test_whatever_the_bytes_there_is_one_sentence(place: Place, data: some.DataObject) -> None:
    whole = [tar_of(member("a", b"x" * 700), member("b/c", b"y")), zip_of(("a", b"x" * 700, 0), ("b/c", b"y", 0))]
    content = bytearray(PACKERS[data.draw(some.sampled_from([*PACKERS]))](data.draw(some.sampled_from(whole))))
    for place_of_byte in data.draw(some.lists(some.integers(0, len(content) - 1), max_size=6)):
        content[place_of_byte] = data.draw(some.integers(0, 255))
    durable.remove(place.top)
    place.top.mkdir()
    place.attempt(bytes(content))
    place.check_outside()


def test_the_caps_are_stated() -> None:
    assert (8 << 30, 200_000) == (Caps().size, Caps().entries)
    assert 16 << 20 == unpacking.LONGEST_HEADER


def xz_that_asks_for(memory: int, content: bytes) -> bytes:
    """An xz file whose header says how large its dictionary is (the .xz file format, 5.3.1), as a power of two."""
    made = bytearray(lzma.compress(content))
    end = 12 + (made[12] + 1) * 4
    assert b"\x21\x01" == made[14:16]
    made[16] = 2 * (memory.bit_length() - 1 - 12)
    made[end - 4 : end] = struct.pack("<I", zlib.crc32(made[12 : end - 4]))
    return bytes(made)


def test_an_archive_does_not_say_how_much_memory_it_takes(place: Place) -> None:
    content = tar_of(member("a", b"x" * 5000))

    assert "Memory usage limit" in place.refusal(xz_that_asks_for(1 << 30, content))
    assert [] == list(place.top.iterdir())
    assert {"a"} == set(place.unpack(xz_that_asks_for(64 << 20, content)))  # as `xz -9` does


def test_xz_files_may_be_joined(place: Place) -> None:
    content = tar_of(member("a", b"x" * 5000), member("b", b"y" * 3_000_000), member("c", b"z"))
    first, second = lzma.compress(content[:700]), lzma.compress(content[700:])

    proofs = place.unpack(first + b"\0" * 8 + second + b"\0" * 4)

    assert {"a": b"x" * 5000, "b": b"y" * 3_000_000, "c": b"z"} == place.tree()
    assert are_proven(place.top, proofs)


@pytest.mark.parametrize("cut", [20, 300, 4000])
def test_an_xz_file_that_is_cut_off_is_refused(place: Place, cut: int) -> None:
    assert place.refusal(lzma.compress(tar_of(member("a", os.urandom(5000))))[:cut])


def test_a_zip_s_directory_is_counted_before_it_is_believed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    many = bytearray(zip_of(*((f"f{number}", b"", 0o100644) for number in range(5))))
    end = many.rindex(b"PK\x05\x06")
    many[end + 8 : end + 12] = b"\1\0\1\0"  # it says that it has one entry

    def read(*_: Any) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr(zipfile, "ZipFile", read)

    assert "it holds more than 4 entries" == place.refusal(bytes(many), caps=Caps(entries=4))


def test_a_zip_with_a_directory_that_fills_the_memory_is_refused(place: Place) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for number in range(270):
            info = zipfile.ZipInfo(f"f{number}")
            info.comment = b"x" * 65_000
            zipped.writestr(info, b"")

    assert "its directory has" in place.refusal(out.getvalue())


def test_a_zip_that_is_packed_by_lzma_is_refused(place: Place) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as zipped:
        zipped.writestr("a", b"x" * 100)

    assert "'a' is packed in a way that is not read here; use deflate" == place.refusal(out.getvalue())
