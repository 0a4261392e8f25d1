"""How far a queue of reports was read: who sends what nobody can read hides the silence of nobody else."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from adapters.agent_protocol.reports import Report
from adapters.aws.queues import BATCH, Look, Message
from adapters.feeds.reports import _known_until

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = cast(Report, object())


def until(*said: tuple[float, int, Any], more: int = 0) -> datetime | None:
    """`said`: how many seconds ago each was sent, how often it was received, and what was read of it."""
    read = []
    for age, received, report in [*said, *[said[0]] * more]:
        sent = BEGAN - timedelta(seconds=age)
        read.append((Message(id="1", body="", sender="", sent=sent, receipt="", received=received), report))
    messages = tuple(message for message, _ in read)
    return _known_until(Look(messages=messages, until=min(one.sent for one in messages), began=BEGAN), read)


@pytest.mark.parametrize(
    ("said", "age"),
    [
        ([(5, 1, GOOD), (9, 1, GOOD)], 9),
        ([(5, 1, GOOD), (9, 3, GOOD)], 9),
        ([(5, 1, GOOD), (9, 1, None)], 9),  # new, and unreadable: it came in its turn
        ([(5, 1, GOOD), (99, 2, None)], 5),
        ([(5, 1, None), (99, 2, None)], 5),
        ([(99, 2, None)], 0),  # nothing but what comes again: nothing else was there
    ],
)
def test_what_comes_again_unreadable_says_nothing(said: list[tuple[float, int, Any]], age: float) -> None:
    assert BEGAN - timedelta(seconds=age) == until(*said)


def test_a_full_batch_of_them_leaves_it_open_what_else_is_there() -> None:
    assert until((99, 2, None), more=BATCH - 1) is None
