"""controller and once, where they cannot begin."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fairlead import wiring
from fairlead.cli import app
from fairlead.settings import load
from tests.contract.program.conftest import example_files


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


@pytest.mark.parametrize(("feed", "code"), [("pulls/main", 0), ("inventory/123456789012/us-east-1", 3)])
def test_once_fails_for_what_fleets_depend_on_and_not_for_pull_requests(
    tmp_path: Path, desired: Any, feed: str, code: int
) -> None:
    desired.change({path: None for path in example_files() if path.count("/") == 2 and "environment.yaml" not in path})
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nurl = "{desired.url}"\n')
    with closing(wiring.ledger(load(config))) as ledger:
        ledger.add(["pulls:main"])
        (due,) = ledger.claim("pulls", 1, timedelta(minutes=1))
        ledger.record_trouble(due.lease, feed, "it does not answer")
        ledger.finish(due)

    assert code == CliRunner().invoke(app, ["once", "--config", str(config)]).exit_code
