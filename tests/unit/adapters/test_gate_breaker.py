"""When a Gate counts as away, and who may ask it then."""

from datetime import UTC, datetime, timedelta

import pytest

from adapters.clock import ManualClock
from adapters.gate.breaker import LONGEST_PAUSE, Breaker
from adapters.gate.errors import GateAbsent, GateAway, GateRefused, NotSignedIn
from reconciler.ports import LeaseLost
from reconciler.reasons import Reason

ABSENT = GateAbsent("Gate could not be asked: the connection failed", "the connection failed")
SENTENCE = (
    "Gate at gate.example.com:8085 does not answer since 02:50 UTC: the connection failed; nothing is started there"
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 27, 2, 50, tzinfo=UTC))


@pytest.fixture
def breaker(clock: ManualClock) -> Breaker:
    return Breaker("https://fairlead:word@gate.example.com:8085/gate", clock)


def ask(breaker: Breaker, error: Exception | None = None) -> Exception | None:
    """What a request comes to whose answer is this error, or none."""
    try:
        with breaker.asking():
            if error is not None:
                raise error
    except (GateAbsent, GateAway, GateRefused, NotSignedIn, LeaseLost) as raised:
        return raised
    return None


def fail(breaker: Breaker, times: int = 3) -> None:
    for _ in range(times):
        ask(breaker, ABSENT)


def test_from_the_third_failure_in_a_row_on_everybody_is_told_the_same(breaker: Breaker, clock: ManualClock) -> None:
    first, second = ask(breaker, ABSENT), ask(breaker, ABSENT)
    clock.advance(timedelta(minutes=1))
    third = ask(breaker, GateAbsent("503", "503"))
    fourth = ask(breaker)

    assert (ABSENT, ABSENT) == (first, second)
    assert (SENTENCE, SENTENCE) == (str(third), str(fourth))
    assert isinstance(fourth, GateAway)
    assert (Reason.GATE_UNREACHABLE, timedelta(seconds=1)) == (fourth.reason, fourth.retry_in)


@pytest.mark.parametrize("answer", [None, GateRefused(404, "no"), NotSignedIn("stranger")])
def test_any_answer_ends_a_row_of_failures(breaker: Breaker, answer: Exception | None) -> None:
    fail(breaker, 2)
    ask(breaker, answer)
    fail(breaker, 2)

    assert not breaker.is_open


@pytest.mark.parametrize("nothing", [LeaseLost("another owner"), NotSignedIn("no token", answered=False)])
def test_what_never_came_to_gate_says_nothing_of_it(breaker: Breaker, nothing: Exception) -> None:
    fail(breaker, 2)
    ask(breaker, nothing)
    fail(breaker, 1)

    assert breaker.is_open


def test_probes_go_through_one_at_a_time(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker)
    clock.advance(timedelta(seconds=1))

    with breaker.asking():
        others = [ask(breaker), ask(breaker)]

    assert [SENTENCE, SENTENCE] == [str(other) for other in others]
    assert ask(breaker) is None


def test_a_probe_that_loses_its_lease_leaves_its_turn_to_the_next(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker)
    clock.advance(timedelta(seconds=1))
    ask(breaker, LeaseLost("another owner"))

    assert ask(breaker) is None
    assert not breaker.is_open


def test_the_pause_doubles_with_every_probe_that_fails_up_to_a_cap(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker)
    pauses = []
    for _ in range(7):
        told = ask(breaker)
        assert isinstance(told, GateAway)
        assert told.retry_in is not None
        pauses.append(told.retry_in.total_seconds())
        clock.advance(told.retry_in)
        ask(breaker, ABSENT)

    assert [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE] == pauses


def test_failures_of_requests_that_were_on_their_way_make_no_pause_longer(breaker: Breaker, clock: ManualClock) -> None:
    def sent_before_the_others_fail() -> None:
        with breaker.asking():
            fail(breaker)
            raise ABSENT

    with pytest.raises(GateAway, match=SENTENCE):
        sent_before_the_others_fail()

    told = ask(breaker)

    assert isinstance(told, GateAway)
    assert timedelta(seconds=1) == told.retry_in


def test_a_late_answer_to_an_early_request_ends_the_absence(breaker: Breaker) -> None:

    with breaker.asking():
        fail(breaker)

    assert not breaker.is_open
