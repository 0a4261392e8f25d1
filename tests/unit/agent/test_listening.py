"""Hints wake, and say nothing that is believed; without any, orders are read all the same."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from adapters.agent_protocol.hints import Hint
from fairlead_agent.listening import PAUSE, Listener
from fairlead_sandbox.aws import Aws

HOST, FLEET, POLL = "i-0123456789abcdef0", "prod/matchmaker", 60.0
QUEUE = f"fairlead-agent-{HOST}"
HINT = Hint(fleet=FLEET, sequence=7, key=f"orders/{FLEET}.json", sha256="a" * 64).text()


class Ending(Event):
    """An end that never comes; what is waited for passes on the test's clock."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        self._clock.advance(timeout or 0.0)
        return self.is_set()


@pytest.fixture
def ending(clock: Any) -> Ending:
    return Ending(clock)


@pytest.fixture
def sqs(aws: Aws) -> Any:
    return aws.client("sqs")


@pytest.fixture
def looked() -> Counter[str]:
    return Counter()


@pytest.fixture
def make(sqs: Any, clock: Any, said: Any, looked: Counter[str]) -> Callable[..., Listener]:
    def listener(client: Any = None, poll: float = POLL) -> Listener:
        looks = {fleet: partial(looked.update, [fleet]) for fleet in (FLEET, "prod/lobby")}
        return Listener(client or (lambda: sqs), HOST, looks, poll, clock, said)

    return listener


@pytest.fixture
def hint(sqs: Any) -> Callable[..., str]:
    """Makes the queue, and puts messages into it; gives its URL."""

    def put(*bodies: str) -> str:
        url: str = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        for body in bodies:
            sqs.send_message(QueueUrl=url, MessageBody=body)
        return url

    return put


def left_in(sqs: Any, url: str) -> int:
    said = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(said["ApproximateNumberOfMessages"]) + int(said["ApproximateNumberOfMessagesNotVisible"])


def test_all_orders_are_read_at_boot_and_then_as_hints_say(
    make: Any, hint: Any, looked: Counter[str], ending: Ending
) -> None:
    hint(HINT)
    listener = make()

    listener.listen(ending)

    assert {FLEET: 2, "prod/lobby": 1} == looked


def test_a_batch_of_many_hints_looks_once_and_all_are_deleted(
    make: Any, hint: Any, sqs: Any, looked: Counter[str], ending: Ending
) -> None:
    url = hint(*[HINT] * 9, "garbage")

    make().listen(ending)

    assert 2 == looked[FLEET]
    assert 0 == left_in(sqs, url)


@pytest.mark.parametrize(
    "body",
    [
        "garbage",
        "{}",
        "[]",
        HINT[:-1],
        HINT.replace("hint/v1", "hint/v2"),
        HINT.replace(FLEET, "prod/other"),
        "x" * 9999,
    ],
)
def test_what_is_no_hint_of_ours_wakes_nobody_and_is_deleted(
    make: Any, hint: Any, sqs: Any, looked: Counter[str], ending: Ending, body: str
) -> None:
    url = hint(body)

    make().listen(ending)

    assert {FLEET: 1, "prod/lobby": 1} == looked
    assert 0 == left_in(sqs, url)


def test_without_hints_orders_are_read_every_poll(
    make: Any, hint: Any, looked: Counter[str], ending: Ending, clock: Any
) -> None:
    hint("garbage")
    listener = make()
    listener.listen(ending)
    hint("garbage")
    clock.advance(0.7 * POLL)
    listener.listen(ending)
    assert 1 == looked[FLEET]
    hint("garbage")
    clock.advance(0.6 * POLL)
    listener.listen(ending)

    assert {FLEET: 2, "prod/lobby": 2} == looked


def test_hints_of_one_fleet_do_not_keep_the_others_from_their_poll(
    make: Any, hint: Any, looked: Counter[str], ending: Ending, clock: Any
) -> None:
    listener = make()
    for _ in range(5):
        hint(HINT)
        listener.listen(ending)
        clock.advance(POLL / 2)

    assert 2 <= looked["prod/lobby"] <= 3


def test_a_hint_ends_a_long_poll(make: Any, hint: Any, looked: Counter[str], ending: Ending) -> None:
    hint()
    listener = make(poll=30.0)
    waiting = Thread(target=listener.listen, args=(ending,), daemon=True)
    waiting.start()

    hint(HINT)
    waiting.join(10.0)

    assert not waiting.is_alive()
    assert 2 == looked[FLEET]


def test_a_queue_that_was_never_made_delays_nothing_longer_than_a_poll(
    make: Any, looked: Counter[str], ending: Ending, clock: Any, said: Any
) -> None:
    listener, began = make(), clock.seconds
    while clock.seconds < began + 10 * POLL:
        listener.listen(ending)

    assert 8 <= looked[FLEET] <= 14
    assert ["deaf"] == said.events
    assert "`fairlead trigger setup` makes it" in said[0][1]["why"]
    assert len(ending.waited) < 40


def test_a_queue_that_is_made_later_is_heard(
    make: Any, hint: Any, looked: Counter[str], ending: Ending, said: Any
) -> None:
    listener = make()
    listener.listen(ending)
    hint(HINT)
    listener.listen(ending)

    assert 2 == looked[FLEET]
    assert ["deaf", "listening"] == said.events


def test_a_queue_that_is_deleted_while_it_is_listened_to(
    make: Any, hint: Any, sqs: Any, looked: Counter[str], ending: Ending, said: Any
) -> None:
    url = hint(HINT.replace(FLEET, "prod/other"))
    listener = make()
    listener.listen(ending)
    sqs.delete_queue(QueueUrl=url)
    listener.listen(ending)
    assert ["listening", "deaf"] == said.events
    hint(HINT)
    listener.listen(ending)

    assert 2 == looked[FLEET]
    assert ["listening", "deaf", "listening"] == said.events


def test_hints_are_looked_at_where_they_cannot_be_deleted(
    make: Any, hint: Any, sqs: Any, looked: Counter[str], ending: Ending, said: Any
) -> None:
    class MayNotDelete:
        def __getattr__(self, name: str) -> Any:
            return getattr(sqs, name)

        def delete_message_batch(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DeleteMessageBatch")

    hint(HINT)
    client = MayNotDelete()

    make(lambda: client).listen(ending)

    assert 2 == looked[FLEET]
    assert "AccessDenied" in said[-1][1]["why"]


def test_where_sqs_is_away_it_is_asked_more_and_more_rarely(
    make: Any, looked: Counter[str], ending: Ending, clock: Any
) -> None:
    def away() -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    listener, began = make(away), clock.seconds
    while clock.seconds < began + 3600:
        listener.listen(ending)

    assert 50 <= looked[FLEET] <= 75
    assert 0 < ending.waited[0] <= 2 * PAUSE
    assert len(ending.waited) < 150


def test_a_look_that_fails_does_not_keep_the_queue_from_being_heard(
    sqs: Any, clock: Any, said: Any, hint: Any, ending: Ending, tmp_path: Path
) -> None:
    """It is due again after a poll, not at once: a surprise in one fleet starves no other."""

    def surprise() -> None:
        raise ZeroDivisionError

    hint(HINT.replace(FLEET, "prod/other"))
    listener = Listener(lambda: sqs, HOST, {FLEET: surprise}, POLL, clock, said)
    with pytest.raises(ZeroDivisionError):
        listener.listen(ending)

    listener.listen(ending)

    assert ["listening"] == said.events


@pytest.mark.parametrize(("hosts", "most"), [(0, 0.0), (200, 0.04), (10_000, 2.0), (2**53 - 1, 2.0)])
def test_thousands_that_hear_one_hint_do_not_all_read_at_once(
    make: Any, hint: Any, ending: Ending, hosts: int, most: float
) -> None:
    listener = make()
    for _ in range(5):
        hint(Hint(fleet=FLEET, sequence=7, key="k", sha256="a" * 64, hosts=hosts).text())
        listener.listen(ending)

    assert all(0 <= waited <= most for waited in ending.waited)
    assert (most > 0) == (len(set(ending.waited)) > 1)


def test_what_is_no_hint_is_told(make: Any, hint: Any, ending: Ending, said: Any) -> None:
    hint("install this", HINT)

    make().listen(ending)

    assert [{"messages": 1, "queue": QUEUE}] == [facts for event, facts in said if event == "hint-unreadable"]
