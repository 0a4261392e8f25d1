"""suspend and resume: files in a real repository, as the parser and people read them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from desired_state.model import Fleet
from desired_state.trees import FolderTree
from fairlead import wiring
from fairlead.cli import app

SUSPEND = "environments/prod/checkout.suspend.yaml"


@pytest.fixture
def run(tmp_path: Path, desired: Any) -> Any:
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(config)])

    return invoke


def fleet(desired: Any, name: str = "prod/checkout") -> Fleet:
    desired.clone.git("fetch", "--quiet", "origin", "main")
    desired.clone.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    state = wiring.parser().parse(FolderTree(desired.clone.folder))
    assert () == state.problems
    return state.fleets[name]


def test_a_fleet_is_suspended_until_a_time_by_one_commit(run: Any, desired: Any) -> None:
    done = run("suspend", "prod/checkout", "--reason", 'a "look": it # hangs', "--until", "2099-12-01T08:00:00+01:00")

    suspension = fleet(desired).suspension
    assert 0 == done.exit_code
    assert suspension
    assert 'a "look": it # hangs' == suspension.reason
    assert datetime(2099, 12, 1, 7, tzinfo=UTC) == suspension.until
    assert "suspend prod/checkout until 2099-12-01T07:00:00Z" == desired.clone.git("log", "-1", "--format=%s")
    trailers = desired.clone.git("log", "-1", "--format=%(trailers:key=Fairlead-Command,valueonly)")
    assert "suspend" == trailers


def test_a_whole_environment_and_a_fleet_of_another_are_one_commit(run: Any, desired: Any) -> None:
    before = desired.clone.head()

    run("suspend", "prod", "staging/checkout", "--reason", "the account moves")

    assert [True, True] == [bool(fleet(desired, name).suspension) for name in ("prod/basket", "staging/checkout")]
    assert before == desired.clone.git("rev-parse", "HEAD^")


def test_a_suspension_may_be_of_a_region_and_for_a_time(run: Any, desired: Any) -> None:
    begin = wiring.clock().now() - timedelta(seconds=1)

    run("suspend", "prod/checkout", "--reason", "eu is in trouble", "--region", "eu-west-1", "--until", "2h")

    (regional,) = fleet(desired).regional
    assert ("eu-west-1",) == regional.regions
    assert regional.until
    assert begin + timedelta(hours=2) <= regional.until


def test_the_same_suspension_again_makes_no_second_commit(run: Any, desired: Any) -> None:
    wished = ("suspend", "prod/checkout", "--reason", "a look", "--until", "2h", "-o", "json")
    first = json.loads(run(*wished).stdout)

    done = run(*wished)

    said = json.loads(done.stdout)
    assert (0, None) == (done.exit_code, said["commit"])
    assert first["commit"] == said["changes"][0]["stands"] == desired.clone.head()


def test_another_end_is_written_into_the_file_and_comments_stay(run: Any, desired: Any) -> None:
    desired.change({SUSPEND: "# ask Ada\nreason: a look  # since Monday\nuntil: 2099-01-01\nregions: [eu-west-1]\n"})

    run("suspend", "prod/checkout", "--reason", "a longer look", "--until", "2099-02-01T00:00:00Z")

    suspension = fleet(desired).suspension
    assert suspension
    assert ("a longer look", datetime(2099, 2, 1, tzinfo=UTC)) == (suspension.reason, suspension.until)
    text = (desired.clone.folder / SUSPEND).read_text()
    assert text.startswith("# ask Ada\n")
    assert "# since Monday" in text


def test_resume_ends_it(run: Any, desired: Any) -> None:
    run("suspend", "prod/checkout", "--reason", "a look")

    done = run("resume", "prod/checkout")

    assert 0 == done.exit_code
    assert None is fleet(desired).suspension
    assert "resume prod/checkout" == desired.clone.git("log", "-1", "--format=%s")


def test_what_is_not_suspended_is_said(run: Any, desired: Any) -> None:
    head = desired.clone.head()

    done = run("resume", "prod/checkout")

    assert (0, head) == (done.exit_code, desired.clone.head())
    assert "prod/checkout is not suspended: nothing was pushed\n" == done.stdout


def test_a_fleet_that_stays_suspended_with_its_environment_is_said(run: Any) -> None:
    run("suspend", "prod", "prod/checkout", "--reason", "the account moves")

    done = run("resume", "prod/checkout")

    assert "prod/checkout stays suspended with all of prod: fairlead resume prod ends that\n" == done.stderr


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("prod/chekout",), "prod/chekout is not known: is it prod/checkout"),
    (("prd",), "prd is not known: is it prod"),
    (("prod/../prod",), "prod/../prod is not known"),
    (("prod/--upload-pack=x",), "prod/--upload-pack=x is not known"),
    (("prod/checkout", "--until", "2099-12-01"), "--until 2099-12-01: write a time with its zone"),
    (("prod/checkout", "--until", "2099-12-01T08:00:00"), "--until 2099-12-01T08:00:00: write a time with its"),
    (("prod/checkout", "--until", "2001-12-01T08:00:00Z"), "--until 2001-12-01T08:00:00Z: that is past"),
    (("prod/checkout", "--until", "0s"), "--until 0s: that is over at once"),
    (("prod/checkout", "--region", "eu-west-9"), "environments/prod/checkout.suspend.yaml:"),
    (("prod/checkout", "--message", "x\nFairlead-Command: promote"), "--message: no line may begin with"),
]


def test_a_suspension_that_cannot_be_is_one_sentence(run: Any, desired: Any) -> None:
    head = desired.clone.head()

    done = [run("suspend", *args, "--reason", "a look") for args, _ in WRONG]

    assert [(2, "", 1)] * len(WRONG) == [(each.exit_code, each.stdout, each.stderr.count("\n")) for each in done]
    told = zip(done, WRONG, strict=True)
    assert [] == [each.stderr for each, (_, told) in told if not each.stderr.startswith(f"fairlead: {told}")]
    assert head == desired.clone.head()


@pytest.mark.parametrize("reason", ["Fairlead-Command: rollback", f"This reverts commit {'a' * 40}."])
def test_a_reason_that_would_pass_for_what_programs_read_is_refused(run: Any, desired: Any, reason: str) -> None:
    head = desired.clone.head()

    done = run("suspend", "prod/checkout", "--reason", reason)

    assert (2, head) == (done.exit_code, desired.clone.head())
    assert done.stderr.startswith("fairlead: --reason: no line may begin with ")


def test_a_reason_is_one_line_of_text(run: Any) -> None:
    done = [run("suspend", "prod/checkout", "--reason", reason) for reason in ("", "two\nlines", "\x1b[2J")]

    assert [(2, True)] * 3 == [(each.exit_code, "--reason: must be one line of text" in each.stderr) for each in done]
