"""A push that nobody heard the answer of, and a process that was killed in mid-work: one commit in the end, always."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fairlead.cli import app
from fairlead_sandbox.git_server import Call, Cut, Reply

CHECKOUT = "environments/prod/checkout.yaml"
PATIENCE = 120  # seconds, for a machine that has much to do


class Road:
    """Shares the git server's address, and is asked about every push."""

    def __init__(self) -> None:
        self.before: Any = None  # called before the server is asked to take a push
        self.after: Any = None  # called when it has taken one; may raise `Cut`

    def answer(self, call: Call) -> Reply | None:
        if call.path.endswith("/git-receive-pack") and self.before:
            return self.before()
        return None

    @contextmanager
    def receiving(self, name: str) -> Iterator[None]:
        yield
        if self.after:
            self.after()


class Stop:
    """A place where a push halts until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.free = threading.Event()

    def __call__(self) -> Reply | None:
        self.reached.set()
        self.free.wait(PATIENCE)
        return Reply(status=503, headers={}, body=b"")


@pytest.fixture
def road(desired: Any) -> Road:
    road = Road()
    desired.server.share(road)
    return road


@pytest.fixture
def command(tmp_path: Path, desired: Any) -> list[str]:
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
    return ["bump", "checkout", "1.4.2", "--env", "prod", "-o", "json", "--config", str(config)]


def run(command: list[str]) -> tuple[int, Any, str]:
    done = CliRunner().invoke(app, command)
    return done.exit_code, json.loads(done.stdout) if done.stdout else None, done.stderr


def commits(desired: Any) -> int:
    desired.clone.git("fetch", "--quiet", "origin", "main")
    return int(desired.clone.git("rev-list", "--count", "FETCH_HEAD"))


def kill_at(stop: Stop, command: list[str]) -> None:
    program = str(Path(sys.executable).parent / "fairlead")
    process = subprocess.Popen([program, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert stop.reached.wait(PATIENCE)
    process.kill()
    process.wait()


def test_a_push_whose_answer_was_lost_is_found_by_the_same_process(
    desired: Any, road: Road, command: list[str]
) -> None:
    lost = []

    def lose() -> None:
        road.after = None
        lost.append(1)
        raise Cut

    road.after = lose

    code, said, _ = run(command)

    assert (0, [1]) == (code, lost)
    assert said["commit"] == desired.clone.head()
    assert 2 == commits(desired)


def test_a_process_killed_between_commit_and_push_leaves_nothing_behind(
    desired: Any, road: Road, command: list[str]
) -> None:
    road.before = stop = Stop()
    kill_at(stop, command)
    road.before = None
    stop.free.set()
    assert 1 == commits(desired)

    code, said, _ = run(command)

    assert (0, desired.clone.head()) == (code, said["commit"])
    assert 2 == commits(desired)


def test_a_process_killed_after_its_push_arrived_is_told_by_the_next_where_the_commit_is(
    desired: Any, road: Road, command: list[str]
) -> None:
    road.after = stop = Stop()
    kill_at(stop, command)
    head = desired.clone.head()
    road.after = None
    stop.free.set()

    code, said, _ = run(command)

    assert (0, None) == (code, said["commit"])
    assert head == said["changes"][0]["stands"] == desired.clone.head()
    assert 2 == commits(desired)


def test_where_nobody_answers_any_more_it_is_said_that_nobody_knows(
    desired: Any, road: Road, command: list[str]
) -> None:
    def go_down() -> None:
        desired.server.faults.refuse_with = 503
        raise Cut

    road.after = go_down

    code, said, told = run(command)

    assert (3, None) == (code, said)
    assert "whether the commit arrived is not known" in told
    assert "makes no second one" in told
    desired.server.faults.refuse_with, road.after = None, None
    code, said, _ = run(command)
    assert (0, None) == (code, said["commit"])
    assert 2 == commits(desired)


def test_a_protected_branch_is_refused_in_the_hosts_words(desired: Any, command: list[str]) -> None:
    hook = desired.server.path("desired") / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\n"
        "echo 'error: GH006: Protected branch update failed for refs/heads/main.' >&2\n"
        "echo 'See https://forge.internal.example.com/rules for more.' >&2\n"
        "exit 1\n"
    )
    hook.chmod(0o755)

    code, _, told = run(command)

    assert 3 == code
    assert "GH006: Protected branch update failed for refs/heads/main.; See (an address) for more." in told
    assert "--pull-request opens one" in told
    assert 1 == told.count("\n")
