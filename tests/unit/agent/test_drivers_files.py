"""The drivers `file` and `archive`: what is put into a release's folder, and with which modes."""

import stat
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from adapters.agent_protocol.orders import Artifact
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import run
from fairlead_agent.drivers import drivers
from fairlead_agent.drivers.protocol import Driver
from fairlead_agent.trouble import Trouble


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "release").mkdir()
    return tmp_path / "release"


def put(form: str, content: bytes, folder: Path, to: str | None) -> dict[str, str]:
    file = folder.parent / "download"
    file.write_bytes(content)
    file.chmod(0o600)
    artifact = Artifact(name="mm", version="1.0", format=form, source=None, to=to, sha256="ab" * 32)
    proofs = dict(drivers(run)[form].stage(artifact, file, folder, Event()))
    assert not file.exists()  # a download is not kept beside what became of it
    return proofs


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (b"#!/bin/sh\n", 0o755),
        (b"\x7fELF\x02", 0o755),
        (b"PK\x03\x04 a jar", 0o644),
        (b"", 0o644),
    ],
)
def test_a_file_that_begins_as_a_program_is_executable(folder: Path, content: bytes, mode: int) -> None:
    assert {"bin/mm": "ab" * 32} == put("file", content, folder, "bin/mm")

    found = folder / "bin/mm"
    assert (content, mode) == (found.read_bytes(), stat.S_IMODE(found.stat().st_mode))
    assert 0o755 == stat.S_IMODE(found.parent.stat().st_mode)


def test_a_file_without_a_place_has_its_packages_name(folder: Path) -> None:
    assert {"mm": "ab" * 32} == put("file", b"x", folder, None)


def test_a_place_that_is_taken_is_refused(folder: Path) -> None:
    (folder / "bin").write_text("taken")
    for to in ("bin", "bin/mm"):
        with pytest.raises(Trouble, match="two parts of the release are at one place") as caught:
            put("file", b"x", folder, to)
        assert Blame.REFUSED == caught.value.blame
    (folder / "link").symlink_to("/tmp")
    with pytest.raises(Trouble):
        put("file", b"x", folder, "link/mm")


def test_an_archive_goes_to_its_place_or_to_the_top(folder: Path, make_tar: Callable[..., bytes]) -> None:
    packed = make_tar({"run": b"run"})

    assert {"app/run"} == set(put("archive", packed, folder, "app"))
    assert {"run"} == set(put("archive", packed, folder, None))
    assert b"run" == (folder / "app/run").read_bytes() == (folder / "run").read_bytes()


@pytest.mark.parametrize("form", ["file", "archive"])
def test_what_is_in_the_folder_alone_is_there_while_it_is_unchanged(form: str, folder: Path) -> None:
    driver: Driver = drivers(run)[form]
    artifact = Artifact(name="mm", version="1.0", format=form, source=None, to=None, sha256="ab" * 32)

    assert ("1.0", None) == (driver.current(artifact, lambda: True), driver.current(artifact, lambda: False))
    assert not driver.reaches_out
    driver.activate([artifact], folder)
    driver.rollback([artifact], folder)
    assert [] == list(folder.iterdir())
