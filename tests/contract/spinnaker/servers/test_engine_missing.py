"""A machine that cannot run Orca's engine says what it lacks, and nothing fails."""

from pathlib import Path

import pytest

from tests.contract.spinnaker.servers import engine
from tests.contract.spinnaker.servers.__main__ import main


def program(folder: Path, name: str, does: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{does}\n")
    (folder / name).chmod(0o755)


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on its PATH, and nothing fetched yet."""
    monkeypatch.delenv("FAIRLEAD_REAL_GATE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engine, "BUILD", tmp_path / "build")
    return tmp_path


def test_without_a_jdk_one_line_says_so_and_the_exit_code_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main([])

    line = "test-spinnaker: no real Orca here: java, javac, mvn is not on PATH (a JDK 17 and Maven)\n"
    assert line == capsys.readouterr().out


def test_without_a_network_mavens_own_word_is_shown(bare: Path) -> None:
    for name in ("java", "javac"):
        program(bare, name, "exit 0")
    program(bare, "mvn", "echo '[ERROR] Unknown host'; exit 1")

    with pytest.raises(engine.Missing, match=r"Maven could not fetch Orca's libraries: \[ERROR\] Unknown host"):
        engine.prepare()


def test_sources_of_ours_that_do_not_compile_are_a_failure(bare: Path) -> None:
    for name in ("java", "javac"):
        program(bare, name, "exit 0")
    program(bare, "mvn", "echo '[ERROR] COMPILATION ERROR :'; exit 1")

    with pytest.raises(RuntimeError, match="do not compile"):
        engine.prepare()


def test_without_redis_and_apt_one_line_says_so(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("java", "javac", "mvn"):
        program(bare, name, "exit 0")
    monkeypatch.setattr(engine, "_compiled", lambda: "somewhere")

    with pytest.raises(engine.Missing, match="redis-server is not on PATH, and there is no apt-get"):
        engine.prepare()
