"""Whatever fails in whatever order: each place ends with its newest word, none waits for ever, the budget is kept."""

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from tests.contract.forges.outbox_histories import (
    ANSWERS,
    MOMENTS,
    PER_HOUR,
    PER_MINUTE,
    PLACES,
    STATES,
    Blow,
    History,
    Step,
)

FEW, MANY = 6, int(os.environ.get("HYPOTHESIS_HISTORIES", "200"))
BLOWS = st.builds(
    Blow,
    moment=st.sampled_from(MOMENTS),
    after=st.integers(0, 6),
    stands=st.just(0),
    arrives=st.sampled_from([-1, 0, 5, 25]),
) | st.builds(
    Blow,
    moment=st.sampled_from([each for each in MOMENTS if each != "statement"]),
    after=st.integers(0, 6),
    stands=st.sampled_from([10, 45, 200]),
)
SAY = st.builds(
    Step,
    what=st.sampled_from(["say", "says"]),
    one=st.integers(0, len(PLACES) - 1),
    two=st.integers(0, len(STATES) - 1),
)
WAIT = st.builds(Step, what=st.just("wait"), one=st.sampled_from([1, 5, 20, 40, 90, 400]))
STRUCK = st.builds(Step, what=st.just("struck"), one=st.integers(0, 1), blow=BLOWS)
ANSWER = st.builds(Step, what=st.just("answers"), one=st.integers(0, len(ANSWERS) - 1), two=st.integers(0, 3))
OTHERS = st.builds(Step, what=st.sampled_from(["merge", "down", "loses", "slow", "mended"]), one=st.integers(0, 60))
STEPS = st.lists(st.one_of(SAY, SAY, SAY, WAIT, STRUCK, ANSWER, OTHERS), min_size=12, max_size=40)
LIVED = {"histories": 0, "deaths": 0, "requests": 0, "calm": 0}
PLAIN = {"deadline": None, "database": None, "print_blob": True, "suppress_health_check": list(HealthCheck)}


def most_in(times: Sequence[datetime], span: timedelta) -> int:
    """The largest number of them in any span that is half open."""
    return max((sum(start <= each < start + span for each in times) for start in times), default=0)


def live(steps: Sequence[Step], seed: int) -> None:
    note(f"seed {seed}")
    with tempfile.TemporaryDirectory() as folder, History(Path(folder), seed) as history:
        history.live(steps)
        history.end()
        told = len(history.github.requests)

        assert history.wanted() == history.shown()
        assert 0 == history.waiting()
        counted = history.counted()
        assert most_in(counted, timedelta(seconds=10)) <= PER_MINUTE // 6
        assert most_in(counted, timedelta(minutes=1)) <= PER_MINUTE
        assert most_in(counted, timedelta(hours=1)) <= PER_HOUR
        assert len(history.github.writes) <= len(counted)
        assert {} == history.too_often()
        assert history.blows or history.is_in_order()
        history.run_for(timedelta(days=1))
        assert told == len(history.github.requests)
        LIVED["histories"] += 1
        LIVED["deaths"] += history.deaths
        LIVED["requests"] += told
        LIVED["calm"] += not history.blows


@settings(max_examples=FEW, derandomize=True, **PLAIN)
@given(STEPS, st.integers(0, 9999))
def test_every_place_ends_with_its_newest_word(steps: list[Step], seed: int) -> None:
    live(steps, seed)


@pytest.mark.heavy
def test_it_does_in_hundreds_of_histories() -> None:
    @settings(max_examples=MANY, **PLAIN)
    @given(STEPS, st.integers(0, 9999))
    def hundreds(steps: list[Step], seed: int) -> None:
        live(steps, seed)

    hundreds()
    print(LIVED)
    assert 0 < LIVED["deaths"]
