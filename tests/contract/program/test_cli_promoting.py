"""promote: what runs soundly in one environment, by a real ledger, is told to another by a real commit."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fairlead import wiring
from fairlead.cli import app
from tests.contract.program.played_ledger import PlayedLedger, played_ledger, settings_file

STAGING, PROD = "environments/staging/checkout.yaml", "environments/prod/checkout.yaml"
PROMOTE = ("promote", "checkout", "--from", "staging", "--to", "prod")
PIN, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def config(tmp_path: Path, desired: Any) -> Path:
    return settings_file(tmp_path, desired)


@pytest.fixture
def run(config: Path) -> Any:
    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(config)])

    return invoke


@pytest.fixture
def ledger(config: Path) -> Iterator[PlayedLedger]:
    with played_ledger(config) as ledger:
        yield ledger


def sound(desired: Any, files: Mapping[str, str]) -> str:
    """A commit on which the repository's notes show that both of staging's fleets run soundly."""
    commit = str(desired.change(files))
    said = "success  fairlead/staging  2/2 fleets done  (2026-11-23T20:15:03Z)"
    desired.clone.git("notes", "--ref=fairlead", "add", "-m", said, commit)
    desired.clone.git("push", "--quiet", "origin", "refs/notes/fairlead")
    return commit


def in_prod(desired: Any) -> str:
    desired.clone.git("fetch", "--quiet", "origin", "main")
    return str(desired.clone.git("show", f"FETCH_HEAD:{PROD}"))


def test_what_runs_soundly_is_promoted_with_its_pin_and_says_where_it_comes_from(
    run: Any, desired: Any, ledger: PlayedLedger
) -> None:
    set_by = desired.change(
        {STAGING: f"version: 1.4.2\nsha256: {{checkout: {PIN}}}\n", PROD: "version: 1.4.1  # ours\n"}
    )
    ledger.read()
    ledger.settle("staging/checkout", ready=True)

    done = run(*PROMOTE, "-o", "json")

    assert (0, "prod/checkout: 1.4.1 -> 1.4.2") == (done.exit_code, json.loads(done.stdout)["message"])
    assert "version: 1.4.2  # ours" in in_prod(desired)
    assert PIN in in_prod(desired)
    trailers = desired.clone.git("log", "-1", "--format=%(trailers)", "FETCH_HEAD").splitlines()
    assert ["Fairlead-Command: promote", f"Fairlead-From: staging/checkout 1.4.2 {set_by}"] == trailers


def test_what_does_not_run_soundly_is_refused_with_the_reason(run: Any, desired: Any, ledger: PlayedLedger) -> None:
    head = desired.change({STAGING: "version: 1.4.2\n"})
    ledger.read()
    ledger.settle("staging/checkout", ready=False)

    done = run(*PROMOTE)

    assert (1, head) == (done.exit_code, desired.clone.head())
    reason = "staging/checkout does not run 1.4.2 soundly (HealthCheckFailed: 0 of 2 healthy)"
    assert done.stderr.startswith(f"fairlead: {reason}")


def test_what_runs_is_promoted_where_git_is_ahead_of_it(run: Any, desired: Any, ledger: PlayedLedger) -> None:
    desired.change({STAGING: "version: 1.4.2\n"})
    ledger.read()
    ledger.settle("staging/checkout", ready=True)
    desired.change({STAGING: "version: 1.5.0\n"})

    done = run(*PROMOTE)

    assert (0, "version: 1.4.2") == (done.exit_code, in_prod(desired))
    assert "staging/checkout declares something newer that does not run yet: 1.4.2 is promoted\n" == done.stderr


def test_without_a_ledger_and_a_word_nothing_is_promoted(run: Any, desired: Any) -> None:
    set_by = desired.change({STAGING: "version: 1.4.2\n"})
    head = desired.change({"README.md": "later\n"})

    done = run(*PROMOTE)

    assert (1, head) == (done.exit_code, desired.clone.head())
    told = f"no ledger is at hand, and nothing is said about staging/checkout on {set_by[:7]}"
    assert done.stderr.startswith(f"fairlead: {told}, so whether it runs soundly is not known: wait for it")


def test_only_the_version_that_is_expected_is_promoted(run: Any, desired: Any) -> None:
    head = sound(desired, {STAGING: "version: 1.4.2\n"})

    other = run(*PROMOTE, "--version", "1.4.1")
    same = run(*PROMOTE, "--version", "1.4.2")

    assert (1, "fairlead: staging/checkout runs 1.4.2, and 1.4.1 is expected\n") == (other.exit_code, other.stderr)
    assert (0, "version: 1.4.2") == (same.exit_code, in_prod(desired))
    assert head == desired.clone.git("rev-parse", "FETCH_HEAD^")


@pytest.mark.parametrize("ago", [timedelta(minutes=9), timedelta(minutes=11)])
def test_what_was_not_looked_at_lately_is_refused(run: Any, desired: Any, ledger: PlayedLedger, ago: timedelta) -> None:
    desired.change({STAGING: "version: 1.4.2\n"})
    ledger.read()
    ledger.settle("staging/checkout", ready=True, seen=wiring.clock().now() - ago)

    done = run(*PROMOTE)

    stale = ago > timedelta(minutes=10)
    assert stale == done.exit_code
    assert stale == done.stderr.startswith("fairlead: staging/checkout was last looked at ")


@pytest.mark.parametrize(
    ("context", "state", "code"),
    [
        ("fairlead/staging/checkout", "success", 0),
        ("fairlead/staging/checkout", "failure", 1),
        ("fairlead/staging/checkout", "pending", 1),
    ],
)
def test_without_a_ledger_the_forge_tells_what_runs_soundly(
    run: Any, desired: Any, context: str, state: str, code: int
) -> None:
    set_by = desired.change({STAGING: "version: 1.4.2\n"})
    line = f"{state:<7}  {context}  as it is  (2026-11-23T20:15:03Z)"
    desired.clone.git("notes", "--ref=fairlead", "add", "-m", line, set_by)
    desired.clone.git("push", "--quiet", "origin", "refs/notes/fairlead")

    done = run(*PROMOTE)

    refused = f"fairlead: staging/checkout does not run soundly what {set_by[:7]} set ({state}: as it is)\n"
    assert (code, refused if code else "") == (done.exit_code, done.stderr)


def test_packages_are_promoted_one_by_one_with_their_pins(run: Any, desired: Any) -> None:
    theirs = f"versions: {{checkout: 1.4.2, plugin: 1.4.2}}\nsha256: {{plugin: {PIN}}}\n"
    ours = f"versions:\n  plugin: 1.4.0  # slow\n  checkout: 1.4.0\nsha256: {{plugin: {OTHER}}}\n"
    service = desired.clone.folder / "services" / "checkout.yaml"
    both = service.read_text().replace("package: checkout", "packages: {checkout: {}, plugin: {}}")
    sound(desired, {"services/checkout.yaml": both, STAGING: theirs, PROD: ours})

    done = run(*PROMOTE)

    assert 0 == done.exit_code, done.stderr
    assert "plugin: 1.4.2  # slow" in in_prod(desired)
    assert (True, False) == (PIN in in_prod(desired), OTHER in in_prod(desired))


def test_the_same_promotion_again_pushes_nothing_and_names_the_commit(run: Any, desired: Any) -> None:
    sound(desired, {STAGING: "version: 1.4.2\n"})
    first = json.loads(run(*PROMOTE, "-o", "json").stdout)

    again = json.loads(run(*PROMOTE, "-o", "json").stdout)

    assert (None, first["commit"]) == (again["commit"], again["changes"][0]["stands"])


def test_several_services_are_one_commit(run: Any, desired: Any) -> None:
    before = sound(desired, {STAGING: "version: 1.4.2\n", "environments/staging/basket.yaml": "version: 3.0.0\n"})

    run("promote", "checkout", "basket", "--from", "staging", "--to", "prod")

    desired.clone.git("fetch", "--quiet", "origin", "main")
    assert before == desired.clone.git("rev-parse", "FETCH_HEAD^")
    assert "version: 3.0.0" == desired.clone.git("show", "FETCH_HEAD:environments/prod/basket.yaml")


def test_an_older_version_is_promoted_only_when_that_is_said(run: Any, desired: Any) -> None:
    head = sound(desired, {STAGING: "version: 1.9.0\n", PROD: 'version: "1.10.0"\n'})

    refused = run(*PROMOTE)
    assert (2, head) == (refused.exit_code, desired.clone.head())
    assert "prod/checkout is told 1.10.0 and 1.9.0 is older: --allow-downgrade" in refused.stderr

    assert 0 == run(*PROMOTE, "--allow-downgrade").exit_code
    assert "1.9.0" in in_prod(desired)


WRONG: list[tuple[tuple[str, ...], str]] = [
    (("checkout", "--from", "prod", "--to", "staging"), "staging does not come after prod in fairlead.yaml"),
    (("checkout", "--from", "prod", "--to", "prod"), "prod does not come after prod in fairlead.yaml"),
    (("chekout", "--from", "staging", "--to", "prod"), "staging/chekout is not known: is it staging/checkout"),
    (("checkout", "--from", "stagin", "--to", "prod"), "stagin/checkout is not known: is it staging/checkout"),
]


def test_a_promotion_that_cannot_be_is_one_sentence(run: Any) -> None:
    done = [run("promote", *args) for args, _ in WRONG]

    assert [(2, "")] * len(WRONG) == [(each.exit_code, each.stdout) for each in done]
    told = zip(done, WRONG, strict=True)
    assert [] == [each.stderr for each, (_, told) in told if not each.stderr.startswith(f"fairlead: {told}")]
