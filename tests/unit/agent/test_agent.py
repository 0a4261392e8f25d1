"""The process around the workers: what nobody thought of harms one fleet, and the agent ends when it is told to."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adapters.agent_protocol.reports import Report, read_report
from fairlead_agent import agent as module
from fairlead_agent.agent import Agent, CannotStart, Surroundings, alone
from fairlead_agent.clock import HostClock
from fairlead_agent.identity import Identity
from fairlead_agent.settings import Observe, Settings
from fairlead_sandbox.aws import Aws

FLEETS = {
    "prod/lobby": Observe(command="echo 7.7"),
    "prod/matchmaker": Observe(command="echo 6.6"),
}
PATIENCE = 20.0  # seconds, far more than is needed


class Region:
    """The clients of the played AWS."""

    def __init__(self, aws: Aws) -> None:
        self.client = aws.client


@pytest.fixture
def watching(tmp_path: Path, aws: Aws, said: Any, monkeypatch: pytest.MonkeyPatch) -> Agent:
    """An agent that watches two fleets, and does not rest long after a surprise."""
    monkeypatch.setattr(module, "AFTER_SURPRISE", 0.01)
    settings = Settings(bucket="example", keys={}, fleets=FLEETS, state=tmp_path, poll=1.0, heartbeat=0.1)
    around = Surroundings(
        settings=settings,
        identity=Identity(host="i-1", region="us-east-1"),
        cloud=Region(aws),  # type: ignore[arg-type]
        clock=HostClock(),
        log=said,
        report_only=True,
    )
    return Agent(around)


@pytest.fixture
def running(watching: Agent) -> Iterator[Callable[[], Event]]:
    """Starts it; it is ended with the test."""
    ending, threads = Event(), list[Thread]()

    def start() -> Event:
        threads.append(Thread(target=watching.run, args=(ending,)))
        threads[0].start()
        return ending

    yield start
    ending.set()
    threads[0].join(PATIENCE)
    assert not threads[0].is_alive()


@pytest.fixture
def reports(aws: Aws) -> Callable[[], Report]:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="fairlead-reports-prod")["QueueUrl"]

    def following() -> Report:
        """The next one; fails where none comes."""
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=int(PATIENCE), MaxNumberOfMessages=1)
        (message,) = answer["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return read_report(message["Body"])

    return following


def surprise() -> None:
    raise ZeroDivisionError("nobody thought of it")


def test_a_surprise_in_one_fleet_silences_that_fleet_alone(
    watching: Agent, running: Any, reports: Callable[[], Report], said: Any
) -> None:
    lobby = watching.workers[0]
    lobby.work = surprise  # type: ignore[method-assign]
    running()

    assert {"prod/matchmaker"} == {reports().fleet for _ in range(5)}
    surprised = [facts for event, facts in said if event == "surprised"]
    assert "ZeroDivisionError: nobody thought of it" == surprised[0]["why"]
    assert surprised[0]["where"].startswith("test_agent.py:")


def test_a_surprise_while_an_order_is_read_does_not_keep_the_others_from_being_read(
    watching: Agent, running: Any
) -> None:
    read = Event()
    watching.workers[0].look = surprise  # type: ignore[method-assign]
    watching.workers[1].look = read.set  # type: ignore[method-assign]
    running()

    assert read.wait(PATIENCE)


def test_heartbeats_come_with_growing_numbers(running: Any, reports: Callable[[], Report]) -> None:
    running()
    numbers = [reports().number for _ in range(6)]

    assert 6 == len(set(numbers))


def test_a_thread_that_hangs_does_not_keep_the_process(
    watching: Agent, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAVE", 0.1)
    hangs, for_ever = Event(), Event()

    def hang() -> None:
        hangs.set()
        for_ever.wait()

    watching.workers[0].work = hang  # type: ignore[method-assign]
    ending = running()
    assert hangs.wait(PATIENCE)

    ending.set()  # that it ends is asserted where it was started


def test_another_agent_takes_over_when_no_step_before_a_version_is_under_way(
    watching: Agent, running: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_UP", 0.01)
    asked, done = Event(), Event()

    class Preparing(type(watching.workers[0])):  # type: ignore[misc]
        @property
        def is_preparing(self) -> bool:
            asked.set()
            return not done.is_set()

    watching.workers[0].__class__ = Preparing
    ending = running()
    watching._around.itself.leaving.set()
    assert asked.wait(PATIENCE)
    assert not ending.is_set()

    done.set()
    assert ending.wait(PATIENCE)


def test_only_one_agent_uses_a_state(tmp_path: Path) -> None:
    with alone(tmp_path / "state"):
        with pytest.raises(CannotStart, match="another agent uses"), alone(tmp_path / "state"):
            pass
    with alone(tmp_path / "state"):
        assert (tmp_path / "state/lock").exists()
