"""Requests in turns: every page of a list is one, and what is refused is asked again until the pass is over."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from adapters.aws.laying import Layer
from adapters.aws.throttle import LISTS_A_SECOND, Paced, Throttle
from adapters.clock import ManualClock

PAGES, TAKEN_A_SECOND = 100, 30.0


class Sns:
    """Ten thousand subscriptions, and no more than so many requests a second."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock, self._left, self._at = clock, TAKEN_A_SECOND, clock.monotonic()
        self.asked = self.refused = 0

    def list_subscriptions_by_topic(self, TopicArn: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803 AWS's
        now = self._clock.monotonic()
        self._left = min(TAKEN_A_SECOND, self._left + (now - self._at) * TAKEN_A_SECOND) - 1
        self._at = now
        if self._left < 0:
            self.refused += 1
            raise throttled()
        self.asked += 1
        page = int(NextToken)
        more = {"NextToken": str(page + 1)} if page + 1 < PAGES else {}
        ends = [{"Endpoint": f"arn:{page}:{one}", "SubscriptionArn": TopicArn} for one in range(100)]
        return {"Subscriptions": ends, **more}


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "ListSubscriptionsByTopic")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def paced(clock: ManualClock) -> Callable[..., Paced]:
    def make(client: Any, lists: float = LISTS_A_SECOND, **more: Any) -> Paced:
        def pause(seconds: float) -> None:
            clock.advance(timedelta(seconds=seconds))

        return Paced(client, Throttle(clock, pause=pause), int, lists=Throttle(clock, lists, pause), **more)

    return make


@pytest.mark.parametrize("a_second", [LISTS_A_SECOND, 200.0])
def test_a_large_topic_is_listed_page_by_page_each_in_its_turn(clock: ManualClock, paced: Any, a_second: float) -> None:
    sns = Sns(clock)

    found = Layer(paced(sns, a_second), None, dry_run=False).subscriptions("arn:topic")

    assert (100 * PAGES, PAGES) == (len(found), sns.asked)
    assert (sns.refused > 0) == (a_second > TAKEN_A_SECOND)


def test_when_the_pass_is_over_nothing_is_asked_again(paced: Any) -> None:
    asked: list[str] = []

    class Sqs:
        def create_queue(self) -> None:
            asked.append("create")
            raise throttled()

    with pytest.raises(ClientError):
        paced(Sqs(), is_over=lambda: len(asked) == 2).create_queue()

    assert ["create", "create"] == asked
