"""The command line and its page in the docs say the same."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from desired_state.changes import Effect
from fairlead.cli import app
from fairlead.commands.host_views import HostState
from fairlead.commands.remedies import CLEARS, clears
from fairlead.exit_codes import ExitCode
from reconciler.reasons import Reason

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def inner(path: str, found: Any) -> Iterator[tuple[str, Any]]:
    """The commands of a group, and of the groups in it."""
    for name, command in getattr(found, "commands", {}).items():
        if not hasattr(command, "commands"):
            yield f"{path} {name}", command
        yield from inner(f"{path} {name}", command)


INNER: dict[str, Any] = {name: command for group, found in COMMANDS.items() for name, command in inner(group, found)}
OPTIONS = sorted(
    {
        name
        for command in (typer.main.get_command(app), *COMMANDS.values(), *INNER.values())
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
        if name.startswith("-")
    }
)


@pytest.mark.parametrize("name", sorted(COMMANDS | INNER))
def test_every_command_is_in_the_docs(name: str) -> None:
    assert f"`fairlead {name}" in PAGE


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_in_the_docs(name: str) -> None:
    assert re.search(rf"`{re.escape(name)}[` ]", PAGE)


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_in_the_docs(code: ExitCode) -> None:
    assert f"\n| {code.value} | " in PAGE


@pytest.mark.parametrize("effect", Effect)
def test_every_effect_of_a_plan_is_in_the_docs(effect: Effect) -> None:
    assert f"\n| `{effect}` | " in PAGE


@pytest.mark.parametrize("state", HostState)
def test_every_state_of_a_host_is_in_the_docs(state: HostState) -> None:
    assert f"\n| `{state}` | " in PAGE


def test_the_states_that_operating_tells_of_are_those_of_hosts() -> None:
    page = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
    rows = page.partition("| `hosts` says |")[2].partition("\n\n")[0]

    told = set(re.findall(r"^\| `([a-z ]+)`", rows, re.MULTILINE))

    assert {state.value for state in HostState} - {"leaving", "at target"} == told


def test_the_docs_name_no_command_that_is_not_there() -> None:
    named = set(re.findall(r"`fairlead ([a-z]+)", PAGE)) - {"command"}

    assert set(COMMANDS) == named


def test_all_commands_are_there() -> None:
    offline, live = ["plan", "schemas", "validate"], ["groups", "history", "hosts", "status", "where", "why"]
    acting = ["adopt", "approve", "controller", "import", "once", "retry", "trigger", "spinnaker"]
    writing = ["bump", "promote", "resume", "rollback", "suspend"]
    looking = ["doctor", "setup", "statuses"]

    assert sorted(offline + live + acting + writing + looking) == sorted(COMMANDS)
    groups = {"spinnaker pipelines": ["apply", "plan"], "statuses": ["repair", "show"], "trigger": ["keys", "setup"]}
    assert [f"{group} {name}" for group, names in groups.items() for name in names] == sorted(INNER)


@pytest.mark.parametrize("name", sorted(COMMANDS | INNER))
def test_every_command_and_option_has_a_word_of_help(name: str) -> None:
    command = (COMMANDS | INNER)[name]
    silent = [param.name for param in command.params if param.name != "help" and not getattr(param, "help", "")]

    assert command.help
    assert [] == silent


@pytest.mark.parametrize("args", [["--nonsense"], ["nonsense"], ["why"], ["status", "-o", "xml"]])
def test_a_wrong_command_line_exits_2_and_says_so_on_stderr(args: list[str]) -> None:
    done = CliRunner().invoke(app, args)

    assert (2, "") == (done.exit_code, done.stdout)
    assert "Error: " in done.stderr


def test_the_version_is_said() -> None:
    done = CliRunner().invoke(app, ["--version"])

    assert 0 == done.exit_code
    assert re.fullmatch(r"fairlead \d+\.\d+\.\d+\n", done.stdout)


def test_every_reason_that_holds_a_fleet_has_a_remedy() -> None:
    at_rest = {Reason.SUCCEEDED, Reason.REVERTED, Reason.REMOVED}

    assert set(Reason) - at_rest == set(CLEARS)


def test_a_remedy_names_the_fleet() -> None:
    assert "`fairlead adopt prod/checkout`" in clears(Reason.FIRST_SIGHT, "prod/checkout")
