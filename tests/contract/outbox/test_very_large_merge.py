"""One merge changes three hundred fleets: what people see, when, and how much of the forge's budget that takes."""

import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest

from reconciler.record import State
from tests.contract.outbox.crowd import Crowd

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
DONE, FAILED = "1.4.2 on 2/2 units in 48 s", "1.4.2 failed: unhealthy; rolled back to 1.4.1 on 2/2 units"


def most_in(times: Sequence[datetime], span: timedelta) -> int:
    """The largest number of them in any span that is half open."""
    return max(sum(start <= each < start + span for each in times) for start in times)


def deploys(crowd: Crowd, chance: random.Random, failures: Sequence[str], within: timedelta) -> datetime:
    """Every fleet moves, and ends at some moment of that span; gives the first failure."""
    begun = crowd.clock.now()
    ends = {name: begun + 5 * SECOND + chance.random() * within for name in crowd.names}
    for name, end in ends.items():
        failed = name in failures
        crowd.at(begun + chance.random() * 5 * SECOND, name, State.PENDING, "wave 1/2: 1.4.2 on 0/2 units")
        crowd.at(end, name, State.FAILURE if failed else State.SUCCESS, FAILED if failed else DONE)
    return min(ends[name] for name in failures)


def is_within_the_budget(crowd: Crowd) -> bool:
    times = crowd.writes()
    pace = [most_in(times, span) for span in (10 * SECOND, MINUTE, HOUR)]
    return all(found <= most for found, most in zip(pace, (10, 60, 400), strict=True)) and not crowd.forge.meter.refused


@pytest.mark.parametrize(
    ("answer_on", "count"),
    [pytest.param("both", 300, marks=pytest.mark.heavy), ("both", 60), ("merge", 25), ("head", 25)],
)
def test_very_many_fleets(crowd_of: Callable[..., Crowd], answer_on: str, count: int) -> None:
    crowd = crowd_of(count, answer_on)
    merged = crowd.clock.now()
    told = {"both": [crowd.merge, crowd.head], "merge": [crowd.merge], "head": [crowd.head]}[answer_on]
    failures = crowd.names[::15]
    failed_first = deploys(crowd, random.Random(7), failures, 2 * MINUTE)

    crowd.run_until(merged + 30 * MINUTE)

    for commit in told:
        assert crowd.first_with(commit, "fairlead/prod", f"/{count} fleets done, ") - merged <= 10 * SECOND
        assert crowd.first_with(commit, "fairlead/prod", " failed: ") - failed_first <= 10 * SECOND
        shown = crowd.shown(commit)
        words = f"{count - len(failures)}/{count} fleets done, {len(failures)} failed: s000, s015"
        assert ("failure", words) == (shown["fairlead/prod"][0], shown["fairlead/prod"][1][: len(words)])
        own = {context: said for context, said in shown.items() if context.count("/") == 2}
        assert {f"fairlead/prod/{name}": ("failure", FAILED) for name in failures} == own
    named = [crowd.first_with(commit, f"fairlead/prod/{name}", "failed") for commit in told for name in failures]
    assert min(named) - failed_first <= 10 * SECOND
    assert 0 == crowd.left()
    assert is_within_the_budget(crowd)
    silent = {crowd.merge, crowd.head} - set(told)
    assert [] == [context for commit in silent for context in crowd.shown(commit)]


@pytest.mark.heavy
def test_all_of_three_hundred_fleets_fail_within_a_minute(crowd_of: Callable[..., Crowd]) -> None:
    crowd = crowd_of(300)
    merged = crowd.clock.now()
    failed_first = deploys(crowd, random.Random(11), crowd.names, MINUTE)

    crowd.run_until(merged + 20 * MINUTE)

    for commit in (crowd.merge, crowd.head):
        assert crowd.first_with(commit, "fairlead/prod", " failed: ") - failed_first <= 10 * SECOND
        assert crowd.shown(commit)["fairlead/prod"][1].startswith("0/300 fleets done, 300 failed: s000, s001, ")
    assert 0 < crowd.left()
    crowd.run_until(merged + 2 * HOUR)

    every = {f"fairlead/prod/{name}": ("failure", FAILED) for name in crowd.names}
    for commit in (crowd.merge, crowd.head):
        assert every.items() <= crowd.shown(commit).items()
    assert 0 == crowd.left()
    assert is_within_the_budget(crowd)


def test_those_that_failed_and_came_right_are_told_right(crowd_of: Callable[..., Crowd]) -> None:
    crowd = crowd_of(40)
    merged = crowd.clock.now()
    deploys(crowd, random.Random(3), crowd.names[:5], MINUTE)
    for name in crowd.names[:3]:
        crowd.at(merged + 5 * MINUTE, name, State.SUCCESS, "1.4.2 on 2/2 units")

    crowd.run_until(merged + 20 * MINUTE)

    states = [crowd.shown(crowd.head)[f"fairlead/prod/{name}"][0] for name in crowd.names[:5]]
    assert ["success"] * 3 + ["failure"] * 2 == states
    assert "38/40 fleets done, 2 failed: s003, s004" == crowd.shown(crowd.merge)["fairlead/prod"][1]
    assert 5 == sum(context.count("/") == 2 for context in crowd.shown(crowd.merge))
    assert 0 == crowd.left()
