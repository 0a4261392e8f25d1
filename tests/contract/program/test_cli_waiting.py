"""--wait: follows what is said on a commit, over a real ledger and over real git notes, and exits by the result."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.clock import ManualClock
from adapters.forges.git_notes import GitNotes
from fairlead import wiring
from fairlead.cli import app
from fairlead.commands import following
from fairlead.settings import load
from reconciler.record import State
from tests.contract.program.played_ledger import NOW, PlayedLedger, played_ledger, settings_file

CHECKOUT = "environments/prod/checkout.yaml"
BUMP = ("bump", "checkout", "1.4.2", "--env", "prod", "--wait")
SOON = ("--timeout", "0s")
PATIENCE = 120  # seconds, for a machine that has much to do


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


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What happens between one look and the next, instead of a pause; after the last of it the wait must be over."""

    def happen(*steps: Callable[[], None]) -> None:
        left = list(steps)
        monkeypatch.setattr(following, "pause", lambda _: left.pop(0)())

    return happen


def bumped(run: Any, desired: Any, ledger: PlayedLedger) -> str:
    run("bump", "checkout", "1.4.2", "--env", "prod")
    ledger.read()
    return str(desired.clone.head())


@pytest.mark.parametrize(
    ("state", "text", "code", "verdict"),
    [
        (State.SUCCESS, "1.4.2 on 2/2 units in 48 s", 0, "success"),
        (State.FAILURE, "1.4.2 failed: 0 of 3 healthy; rolled back to 1.4.1", 10, "failure"),
        (State.ERROR, "superseded by abc1234 (1.4.3)", 11, "error"),
        (State.PENDING, "FreezeWindow: the cup is on", 12, "held"),
        (State.PENDING, "wave 1/2: 1.4.2 on 1/2 units", 13, "timeout"),
    ],
)
def test_it_exits_by_what_is_said_on_the_commit(
    run: Any, desired: Any, ledger: PlayedLedger, state: State, text: str, code: int, verdict: str
) -> None:
    head = bumped(run, desired, ledger)
    ledger.say(head, "prod/checkout", state, text)

    done = run(*BUMP, *SOON, "-o", "json")

    said = json.loads(done.stdout)
    assert (code, verdict) == (done.exit_code, said["result"])
    assert [{"scope": "prod/checkout", "commit": head, "verdict": verdict, "message": text, "url": ""}] == said[
        "results"
    ]


def test_each_change_is_one_line(run: Any, desired: Any, ledger: PlayedLedger, between: Any) -> None:
    head = bumped(run, desired, ledger)
    ledger.say(head, "prod/checkout", State.PENDING, "wave 1/2: 1.4.2 on 0/2 units")
    between(
        lambda: None,
        lambda: ledger.say(head, "prod/checkout", State.PENDING, "wave 2/2: 1.4.2 on 1/2 units"),
        lambda: ledger.say(head, "prod/checkout", State.SUCCESS, "1.4.2 on 2/2 units in 48 s", ready=True),
    )

    done = run(*BUMP)

    assert 0 == done.exit_code
    assert [
        "prod/checkout: wave 1/2: 1.4.2 on 0/2 units",
        "prod/checkout: wave 2/2: 1.4.2 on 1/2 units",
        "prod/checkout: success: 1.4.2 on 2/2 units in 48 s",
    ] == done.stderr.splitlines()
    assert "prod/checkout: success: 1.4.2 on 2/2 units in 48 s" == done.stdout.splitlines()[-1]


def test_the_worst_of_several_fleets_decides(run: Any, desired: Any, ledger: PlayedLedger) -> None:
    run("bump", "checkout", "1.4.2", "--env", "prod", "--env", "staging")
    ledger.read()
    head = desired.clone.head()
    ledger.say(head, "prod/checkout", State.FAILURE, "1.4.2 failed")
    ledger.say(head, "staging/checkout", State.SUCCESS, "1.4.2 on 1/1 units", ready=True)

    done = run("bump", "checkout", "1.4.2", "--env", "prod", "--env", "staging", "--wait", "-o", "json")

    assert (10, ["failure", "success"]) == (
        done.exit_code,
        [each["verdict"] for each in json.loads(done.stdout)["results"]],
    )


def test_nothing_said_in_time_is_a_timeout(run: Any, ledger: PlayedLedger) -> None:
    done = run(*BUMP, *SOON)

    assert 13 == done.exit_code
    assert "prod/checkout: timeout: nothing is said about it yet: is the controller running?" in done.stdout


def test_a_commit_that_was_overtaken_unseen_names_the_newer_one(
    run: Any, desired: Any, ledger: PlayedLedger, between: Any
) -> None:
    newer: list[str] = []
    between(lambda: newer.append(desired.change({CHECKOUT: "version: 1.4.3\n"})), *[lambda: None] * 9)

    done = run(*BUMP)

    assert 11 == done.exit_code
    assert f"prod/checkout: error: superseded by {newer[0][:7]}" in done.stdout


def test_a_fleet_that_failed_before_stays_a_failure_beside_one_that_moves(
    run: Any, desired: Any, ledger: PlayedLedger, between: Any
) -> None:
    failed = bumped(run, desired, ledger)
    ledger.say(failed, "prod/checkout", State.FAILURE, "1.4.2 failed: 0 of 3 healthy; rolled back to 1.4.1")

    def moved() -> None:
        ledger.read()
        ledger.say(desired.clone.head(), "prod/basket", State.SUCCESS, "1.4.2 on 2/2 units in 48 s", ready=True)
        ledger.roll_up()

    between(moved)

    done = run("bump", "checkout=1.4.2", "basket=1.4.2", "--env", "prod", "--wait", "-o", "json")

    told = [(each["scope"], each["commit"], each["verdict"]) for each in json.loads(done.stdout)["results"]]
    assert 10 == done.exit_code
    assert [("prod/checkout", failed, "failure"), ("prod/basket", desired.clone.head(), "success")] == told


def test_a_fleet_that_is_resumed_is_waited_for_by_its_own_word(
    run: Any, desired: Any, ledger: PlayedLedger, between: Any
) -> None:
    run("suspend", "prod/checkout", "--reason", "the cup")
    setting = bumped(run, desired, ledger)
    ledger.say(setting, "prod/checkout", State.PENDING, "Suspended: the cup")

    def read() -> None:
        ledger.read()
        for fleet in ("prod/checkout", "prod/basket"):
            ledger.settle(fleet, ready=True)  # nothing moves yet
        ledger.roll_up()

    between(
        read,
        lambda: ledger.say(setting, "prod/checkout", State.SUCCESS, "1.4.2 on 2/2 units in 48 s", ready=True),
    )

    done = run("resume", "prod/checkout", "--wait")

    assert (0, "prod/checkout: success: 1.4.2 on 2/2 units in 48 s") == (done.exit_code, done.stdout.splitlines()[-1])


def test_a_whole_environment_ends_as_its_fleets_do(run: Any, desired: Any, ledger: PlayedLedger) -> None:
    run("suspend", "prod", "--reason", "the cup")
    first, second = bumped(run, desired, ledger), None
    run("bump", "basket", "1.4.2", "--env", "prod")
    ledger.read()
    second = desired.clone.head()
    ledger.say(first, "prod/checkout", State.SUCCESS, "1.4.2 on 2/2 units in 48 s", ready=True)
    ledger.say(second, "prod/basket", State.FAILURE, "1.4.2 failed")

    failed = run("resume", "prod", "--wait")
    ledger.say(second, "prod/basket", State.SUCCESS, "1.4.2 on 2/2 units in 48 s", ready=True)
    well = run("resume", "prod", "--wait", *SOON)

    assert (10, "prod: failure: prod/basket: 1.4.2 failed") == (failed.exit_code, failed.stdout.splitlines()[-1])
    assert (0, "prod: success: 2/2 fleets at theirs") == (well.exit_code, well.stdout.splitlines()[-1])


def test_a_command_again_follows_what_set_each_fleet(run: Any, desired: Any, ledger: PlayedLedger) -> None:
    settings = {}
    for service in ("checkout", "basket"):
        run("bump", service, "1.4.2", "--env", "prod")
        settings[f"prod/{service}"] = desired.clone.head()
    desired.change({CHECKOUT: "# reviewed\nversion: 1.4.2\n"})
    ledger.read()
    for fleet, setting in settings.items():
        ledger.say(setting, fleet, State.SUCCESS, "1.4.2 on 2/2 units in 48 s", ready=True)

    done = run("bump", "checkout=1.4.2", "basket=1.4.2", "--env", "prod", "--wait", *SOON, "-o", "json")

    said = json.loads(done.stdout)
    assert (0, settings["prod/basket"]) == (done.exit_code, said["changes"][0]["stands"])
    assert settings == {each["scope"]: each["commit"] for each in said["results"]}


@pytest.mark.parametrize(
    ("state", "text", "code", "verdict"),
    [
        ("success", "30/30 fleets done", 0, "success"),
        ("failure", "29/30 fleets done, 1 failed: basket", 11, "unknown"),
        ("failure", "1/2 fleets done, 1 failed: basket", 13, "timeout"),
        ("success", "sets no version; 2/2 fleets at theirs", 13, "timeout"),
    ],
)
def test_of_a_fleet_that_is_not_told_by_itself_only_what_is_known_is_said(
    run: Any, desired: Any, between: Any, state: str, text: str, code: int, verdict: str
) -> None:
    run("bump", "checkout", "1.4.2", "--env", "prod")
    note(desired, desired.clone.head(), f"{state}  fairlead/prod  {text}  (2026-11-23T20:15:03Z)")
    between(lambda: None)

    done = run(*BUMP, *(SOON if verdict == "timeout" else ()), "-o", "json")

    assert (code, verdict) == (done.exit_code, json.loads(done.stdout)["result"])
    assert verdict == "timeout" or text == json.loads(done.stdout)["results"][0]["message"]


def test_the_time_to_wait_is_not_the_time_of_day(
    run: Any, desired: Any, ledger: PlayedLedger, between: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, clock = bumped(run, desired, ledger), Leaping(NOW)
    monkeypatch.setattr(wiring, "clock", lambda: clock)
    between(
        lambda: clock.leap(timedelta(days=1)),
        lambda: ledger.say(head, "prod/checkout", State.SUCCESS, "1.4.2 on 2/2 units in 48 s", ready=True),
    )

    assert 0 == run(*BUMP).exit_code


class Leaping(ManualClock):
    """The time of day may be set; nothing passes."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead

    def leap(self, span: timedelta) -> None:
        self.ahead += span


def note(desired: Any, commit: str, line: str) -> None:
    desired.clone.git("fetch", "--quiet", "origin", "main")
    desired.clone.git("notes", "--ref=fairlead", "add", "--force", "-m", line, commit)
    desired.clone.git("push", "--quiet", "--force", "origin", "refs/notes/fairlead")


def test_without_a_ledger_the_notes_of_the_repository_are_read(run: Any, desired: Any, config: Path) -> None:
    run("bump", "checkout", "1.4.2", "--env", "prod")
    head = desired.clone.head()
    desired.clone.git("fetch", "--quiet", "origin", "main")
    line = "failure  fairlead/prod/checkout  1.4.2 failed  (2026-11-23T20:15:03Z)"
    desired.clone.git("notes", "--ref=fairlead", "add", "-m", line, head)
    desired.clone.git("push", "--quiet", "origin", "refs/notes/fairlead")
    settings = load(config)
    with wiring.mirror(settings, settings.repositories[0]) as mirror:
        assert 1 == len(GitNotes(mirror).read(head))

    done = run(*BUMP)

    assert (10, True) == (done.exit_code, "prod/checkout: failure: 1.4.2 failed" in done.stdout)


def test_a_repository_that_is_away_for_a_while_is_asked_again(
    run: Any, desired: Any, ledger: PlayedLedger, between: Any
) -> None:
    head = bumped(run, desired, ledger)
    ledger.store.close()
    (ledger.settings.state / "ledger.db").rename(ledger.settings.state / "away.db")
    faults = desired.server.faults
    desired.clone.git("fetch", "--quiet", "origin", "main")
    line = "success  fairlead/prod/checkout  1.4.2 on 2/2 units  (2026-11-23T20:15:03Z)"
    between(
        lambda: setattr(faults, "refuse_with", 503),
        lambda: setattr(faults, "refuse_with", None),
        lambda: [
            desired.clone.git("notes", "--ref=fairlead", "add", "-m", line, head),
            desired.clone.git("push", "--quiet", "origin", "refs/notes/fairlead"),
        ],
    )

    done = run(*BUMP)

    assert 0 == done.exit_code
    assert "cannot be read now, and is asked again: " in done.stderr


def test_ctrl_c_ends_the_waiting_and_says_that_the_deploy_goes_on(
    desired: Any, ledger: PlayedLedger, config: Path, run: Any
) -> None:
    head = bumped(run, desired, ledger)
    ledger.say(head, "prod/checkout", State.PENDING, "wave 1/2: 1.4.2 on 0/2 units")
    program = [str(Path(sys.executable).parent / "fairlead"), *BUMP, "--config", str(config)]

    with started(program) as process:
        assert process.stderr is not None
        assert "prod/checkout: wave 1/2: 1.4.2 on 0/2 units\n" == process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()

        code = process.wait(PATIENCE)

    assert 130 == code
    assert "the deploy goes on; follow it with fairlead status prod/checkout" in told


@contextmanager
def started(program: list[str]) -> Iterator["subprocess.Popen[str]"]:
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets what it put behind it ignore Ctrl-C
    try:
        process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, ours)
    end = threading.Timer(PATIENCE, process.kill)
    end.start()
    try:
        yield process
    finally:
        end.cancel()
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
