"""Where no Gitea can be built that is one line, and no failure."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.real_forge import __main__ as program
from tests.contract.real_forge import building

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install(name=script)`: nothing else is on PATH, and nothing was built before."""
    monkeypatch.delenv(building.OWN, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def put(**scripts: str) -> None:
        (tmp_path / "bin").mkdir()
        for name, script in scripts.items():
            (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    return put


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_without_a_compiler(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(go="exit 1")

    assert 0 == program.main([])
    assert "test-forge: no real Gitea here: a C compiler is not on PATH" in last_line(capsys)


def test_without_a_way_to_the_module(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(cc="", go="""echo '{"Path": "code.gitea.io/gitea", "Error": "dial tcp: connection refused"}'; exit 1""")

    assert 0 == program.main([])
    assert last_line(capsys).endswith("Gitea 1.26.0 could not be built: dial tcp: connection refused")


def test_where_go_comes_to_no_end(
    install: Install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "BUILDING", 0.2)
    install(cc="", go="/bin/sleep 1000 & /bin/sleep 1000")

    assert 0 == program.main([])
    assert "test-forge: no real Gitea here: building Gitea took over 0.2 s" == last_line(capsys)


def test_where_nothing_may_be_written(install: Install, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    (tmp_path / "source").mkdir()
    install(cc="", go=f"""echo '{{"Dir": "{tmp_path}/source"}}'""")

    assert 0 == program.main([])
    assert "test-forge: no real Gitea here: Gitea 1.26.0 could not be built: " in last_line(capsys)
