"""The bucket of requests for one Gate: by its headers, and after a 429."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from adapters.clock import ManualClock
from adapters.gate.errors import Throttled
from adapters.gate.limiter import Limiter
from reconciler.reasons import Reason

NOW = datetime(2026, 11, 27, 2, 50, tzinfo=UTC)


class Rig:
    """A limiter whose pauses pass at once."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.paused: list[float] = []
        self.limiter = Limiter(self.clock, self._pause)

    def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))

    def hear(self, status: int = 200, *, left: int = 0, ends: float = 10, learning: str = "false") -> timedelta:
        return self.limiter.hear(
            status,
            {
                "X-RateLimit-Capacity": "60",
                "X-RateLimit-Remaining": str(left),
                "X-RateLimit-Reset": self.date(ends),
                "X-RateLimit-Learning": learning,
            },
        )

    def date(self, seconds: float) -> str:
        return format_datetime(self.clock.now() + timedelta(seconds=seconds), usegmt=True)

    def takes(self, *, urgent: bool = False, at_most: int = 100) -> int:
        """How many requests go out before one has to wait for too long."""
        for count in range(at_most):
            try:
                self.limiter.take("show it", urgent=urgent)
            except Throttled:
                return count
        return at_most


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_without_a_word_from_gate_there_is_no_limit(rig: Rig) -> None:
    assert 100 == rig.takes()


def test_what_remains_of_a_window_is_used_but_for_what_is_kept_for_going_back(rig: Rig) -> None:
    rig.hear(left=20)

    assert 14 == rig.takes()
    assert 6 == rig.takes(urgent=True)


def test_a_wait_that_is_too_long_for_a_pass_is_trouble_that_says_until_when(rig: Rig) -> None:
    rig.hear(left=0, ends=10)

    with pytest.raises(Throttled, match=r"did not show it \(429, until 02:50:10 UTC\)") as raised:
        rig.limiter.take("show it")

    assert (Reason.OBSERVATION_FAILED, timedelta(seconds=10)) == (raised.value.reason, raised.value.retry_in)
    assert not raised.value.answered


def test_a_short_wait_is_waited_for(rig: Rig) -> None:
    rig.hear(left=0, ends=2)

    rig.limiter.take("show it")

    assert [2] == rig.paused


def test_a_new_window_has_the_whole_capacity(rig: Rig) -> None:
    rig.hear(left=0)
    rig.clock.advance(timedelta(seconds=10))

    assert 100 == rig.takes()  # until Gate says how much of it is left
    rig.hear(left=54)
    assert 48 == rig.takes()


def test_answers_that_overtake_each_other_give_nothing_back(rig: Rig) -> None:
    rig.hear(left=10)
    rig.hear(left=12)

    assert 4 == rig.takes()


def test_a_limiter_that_is_learning_limits_nobody(rig: Rig) -> None:
    rig.hear(left=0, learning="true")

    assert 100 == rig.takes()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 5),
        ({"Retry-After": "7"}, 7),
        ({"X-RateLimit-Reset": "Fri, 27 Nov 2026 02:50:12 GMT"}, 12),
        ({"X-RateLimit-Reset": "Fri, 27 Nov 2026 04:00:12 GMT", "Date": "Fri, 27 Nov 2026 04:00:00 GMT"}, 12),
        ({"X-RateLimit-Reset": "Wed, 21 Jan 1970 13:42:25 GMT"}, 5),
        ({"X-RateLimit-Reset": "soon"}, 5),
        ({"X-RateLimit-Reset": "Sat, 28 Nov 2026 02:50:00 GMT"}, 60),
    ],
)
def test_after_a_429_nobody_asks_for_as_long_as_it_says_or_a_while(
    rig: Rig, headers: dict[str, str], seconds: int
) -> None:
    assert timedelta(seconds=seconds) == rig.limiter.hear(429, headers)
    assert 0 == rig.takes(urgent=True)
    rig.clock.advance(timedelta(seconds=seconds))
    assert 1 <= rig.takes()


def test_the_rest_doubles_while_429s_go_on(rig: Rig) -> None:
    rests = [rig.limiter.hear(429, {}).total_seconds() for _ in range(6)]
    rig.hear(left=50)

    assert [5, 10, 20, 40, 60, 60] == rests
    assert timedelta(seconds=5) == rig.limiter.hear(429, {})
