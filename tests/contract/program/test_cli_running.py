"""controller and once, where they cannot begin."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fairlead.cli import app


@pytest.mark.parametrize("command", ["controller", "once"])
def test_without_a_repository_it_says_what_to_add(tmp_path: Path, command: str) -> None:
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n')

    done = CliRunner().invoke(app, [command, "--config", str(config)])

    assert (2, "") == (done.exit_code, done.stdout)
    assert "fairlead: no [[repositories]] in the settings: name at least one, with its url\n" == done.stderr


@pytest.mark.parametrize("command", ["controller", "once"])
def test_a_ledger_that_cannot_be_opened_exits_3(tmp_path: Path, command: str) -> None:
    config = tmp_path / "fairlead.toml"
    repository = '[[repositories]]\nurl = "file:///nowhere"\n'
    config.write_text(f'state = "{tmp_path}"\nledger = "sqlite:////proc/no-such/ledger.db"\n{repository}')

    done = CliRunner().invoke(app, [command, "--config", str(config)])

    assert 3 == done.exit_code
    assert done.stderr.endswith("; check `state` and `ledger` in the settings\n")
    assert 1 == done.stderr.count("\n")
