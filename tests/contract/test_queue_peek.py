"""Looking into a queue that somebody else reads: everything is seen once, and everything is there again."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.aws import queues
from adapters.aws.queues import SqsQueue
from adapters.clock import SystemClock
from fairlead_sandbox.aws import Aws
from reconciler.ports import Unreadable


@pytest.fixture(scope="module")
def sqs() -> Iterator[Any]:
    with Aws() as aws:
        yield aws.client("sqs")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@pytest.fixture
def queue(sqs: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> SqsQueue:
    """One with 95 messages."""
    monkeypatch.setattr(queues, "GLANCE", timedelta(0))  # the sandbox has no servers to be asked all of
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    for start in range(0, 95, 5):
        entries = [{"Id": str(place), "MessageBody": str(start + place)} for place in range(5)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    return SqsQueue(sqs, name, "there is none")


EVERYTHING = {str(number) for number in range(95)}


def test_everything_is_seen_once_and_is_there_for_its_reader_at_once(queue: SqsQueue) -> None:
    assert EVERYTHING == _once(queue)

    left = queue.look(timedelta(0), SystemClock()).messages
    assert EVERYTHING == {each.body for each in left}


def test_what_comes_again_while_it_looks_is_seen_once_and_ends_it(
    queue: SqsQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow road the first messages are visible again before the last are read."""
    monkeypatch.setattr(queues, "HIDDEN", timedelta(0))

    assert _once(queue) <= EVERYTHING


def test_what_was_read_before_it_broke_off_is_put_back(queue: SqsQueue, sqs: Any, name: str) -> None:
    class Failing:
        """Answers a few times, then not."""

        asked = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(sqs, name)

        def receive_message(self, **said: Any) -> Any:
            self.asked += 1
            if self.asked > 5:
                raise ConnectionError("gone")
            return sqs.receive_message(**said)

    with pytest.raises(ConnectionError):
        SqsQueue(Failing(), name, "there is none").peek()

    assert EVERYTHING == _once(queue)


def test_it_ends_at_the_most(queue: SqsQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MOST", 10)

    assert queues.AT_ONCE * queues.BATCH == len(queue.peek())


def test_a_queue_that_is_not_there_is_told(sqs: Any) -> None:
    with pytest.raises(Unreadable, match="there is none"):
        SqsQueue(sqs, "nowhere", "there is none").peek()


def _once(queue: SqsQueue) -> set[str]:
    found = [each.body for each in queue.peek()]
    assert len(found) == len(set(found))
    return set(found)
