"""bump and rollback: commits pushed to a real git server, as a person's command makes them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fairlead.cli import app

CHECKOUT = "environments/prod/checkout.yaml"


@pytest.fixture
def run(tmp_path: Path, desired: Any) -> Any:
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')

    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(config)])

    return invoke


def bumped(desired: Any, *versions: str) -> list[str]:
    return [desired.change({CHECKOUT: f"version: {version}\n"}, f"to {version}") for version in versions]


def at_head(desired: Any, path: str = CHECKOUT) -> str:
    desired.clone.git("fetch", "--quiet", "origin", "main")
    return str(desired.clone.git("show", f"FETCH_HEAD:{path}"))


def test_a_bump_is_one_commit_that_changes_one_line(run: Any, desired: Any) -> None:
    desired.change({CHECKOUT: "# asked for by the payments team\nversion: 1.4.1  # see the wiki\n"})

    done = run("bump", "checkout", "1.4.2", "--env", "prod", "-o", "json")

    said = json.loads(done.stdout)
    assert 0 == done.exit_code
    assert {"commit", "fleets", "message", "changes"} == set(said)
    assert (desired.clone.head(), ["prod/checkout"]) == (said["commit"], said["fleets"])
    assert "# asked for by the payments team\nversion: 1.4.2  # see the wiki" == at_head(desired)


def test_a_bump_of_two_environments_is_one_commit(run: Any, desired: Any) -> None:
    before = desired.clone.head()

    run("bump", "checkout", "1.4.2", "--env", "staging", "--env", "prod", "--message", "the fix for carts")

    assert "version: 1.4.2" == at_head(desired)
    assert "version: 1.4.2" == at_head(desired, "environments/staging/checkout.yaml")
    assert before == desired.clone.git("rev-parse", "FETCH_HEAD^")
    assert "the fix for carts" in desired.clone.git("log", "-1", "--format=%B", "FETCH_HEAD")


def test_a_bump_says_the_commit_and_what_will_happen(run: Any, desired: Any) -> None:
    done = run("bump", "checkout", "1.4.2", "--env", "prod")

    first, second = done.stdout.splitlines()
    assert f"pushed {desired.clone.head()[:7]}: prod/checkout: 1.4.1 -> 1.4.2" == first
    assert "follow it with fairlead status prod/checkout" in second


def test_the_same_bump_again_pushes_nothing_and_is_well(run: Any, desired: Any) -> None:
    run("bump", "checkout", "1.4.2", "--env", "prod")
    head = desired.clone.head()

    done = run("bump", "checkout", "1.4.2", "--env", "prod", "-o", "json")

    assert (0, None) == (done.exit_code, json.loads(done.stdout)["commit"])
    assert head == desired.clone.head()


def test_a_bump_pins_an_artifact(run: Any, desired: Any) -> None:
    run("bump", "checkout", "1.4.2", "--env", "prod", "--sha256", f"checkout={'AB' * 32}")

    assert "ab" * 32 in at_head(desired)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("chekout", "1.4.2", "--env", "prod"), "prod/chekout is not known: is it prod/checkout"),
        (("checkout", "1.4.2", "--env", "prod", "--sha256", "checkout"), "--sha256 checkout: write PACKAGE=HEX"),
        (("checkout", "1.4.2", "--env", "prod", "--repository", "other"), "no repository is called 'other'"),
    ],
)
def test_a_bump_that_cannot_be_is_one_sentence(run: Any, desired: Any, args: Any, sentence: str) -> None:
    head = desired.clone.head()

    done = run("bump", *args)

    assert (2, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"fairlead: {sentence}")
    assert 1 == done.stderr.count("\n")
    assert head == desired.clone.head()


def test_a_repository_that_is_down_exits_3(run: Any, desired: Any) -> None:
    desired.server.faults.refuse_with = 503

    done = run("bump", "checkout", "1.4.2", "--env", "prod")

    assert (3, "") == (done.exit_code, done.stdout)
    assert "cannot be reached" in done.stderr


def test_a_rollback_goes_to_what_was_told_before_and_names_the_commit_it_reverts(run: Any, desired: Any) -> None:
    _, bad = bumped(desired, "1.4.2", "1.4.3")
    desired.change({"README.md": "not about fleets\n"})

    done = run("rollback", "prod/checkout", "-o", "json")

    assert 0 == done.exit_code
    assert {"commit", "fleets", "message", "changes"} == set(json.loads(done.stdout))
    assert "version: 1.4.2" == at_head(desired)
    assert f"This reverts commit {bad}." in desired.clone.git("log", "-1", "--format=%B", "FETCH_HEAD")


def test_a_rollback_passes_over_a_broken_state(run: Any, desired: Any) -> None:
    bumped(desired, "1.4.2", "1.10", "1.4.3")

    run("rollback", "prod/checkout")

    assert "version: 1.4.2" == at_head(desired)


def test_a_rollback_to_a_version_finds_it_in_history(run: Any, desired: Any) -> None:
    bumped(desired, "1.4.2", "1.4.3", "1.4.4")

    run("rollback", "prod/checkout", "--to", "1.4.2")

    assert "version: 1.4.2" == at_head(desired)


def test_a_rollback_to_a_commit_takes_its_state(run: Any, desired: Any) -> None:
    commits = bumped(desired, "1.4.2", "1.4.3", "1.4.4")

    run("rollback", "prod/checkout", "--to", commits[1][:10])

    assert "version: 1.4.3" == at_head(desired)


def test_a_rollback_of_a_commit_takes_back_only_fleets_still_on_it(run: Any, desired: Any) -> None:
    both = {CHECKOUT: "version: 2.0.0\n", "environments/prod/basket.yaml": "version: 2.0.0\n"}
    bad = desired.change(both)
    bumped(desired, "2.0.1")

    done = run("rollback", "--commit", bad, "-o", "json")

    assert ["prod/basket"] == json.loads(done.stdout)["fleets"]
    assert "version: 1.4.1" == at_head(desired, "environments/prod/basket.yaml")
    assert "version: 2.0.1" == at_head(desired)


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        ((), 2, "say either a fleet, ENV/SERVICE, or --commit SHA"),
        (("prod/checkout", "--commit", "abc"), 2, "say either a fleet, ENV/SERVICE, or --commit SHA"),
        (("--commit", "abc", "--to", "1"), 2, "--to goes with a fleet"),
        (("prod/checkout",), 2, "prod/checkout was told nothing else before "),
        (("prod/checkout", "--to", "9.9.9"), 2, "prod/checkout never was at 9.9.9: fairlead bump sets a version"),
        (("prod/nothing",), 2, "prod/nothing is not known: "),
        (("--commit", "abcdef1"), 3, "there is no commit 'abcdef1'"),
    ],
)
def test_a_rollback_that_cannot_be_is_one_sentence(run: Any, args: Any, code: int, sentence: str) -> None:
    done = run("rollback", *args)

    assert (code, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"fairlead: {sentence}")
    assert 1 == done.stderr.count("\n")


def test_a_commit_that_no_fleet_is_on_any_more_is_not_rolled_back(run: Any, desired: Any) -> None:
    first, _ = bumped(desired, "1.4.2", "1.4.3")

    done = run("rollback", "--commit", first)

    assert 1 == done.exit_code
    assert f"fairlead: no fleet is still on {first[:7]}: nothing to roll back\n" == done.stderr
