"""How the soak reads its samples: what grows is seen, what only wobbles is not."""

from dataclasses import replace
from math import exp

import pytest

from tests.acceptance.soak.gauges import Sample, growth, leaks


def samples(*controller: float) -> list[Sample]:
    """One a second, with this memory."""
    return [
        Sample(age=age, controller=each, descriptors=9, threads=9, agents=60, ledger=1, journals=1, commits=0)
        for age, each in enumerate(controller)
    ]


def test_what_grows_is_told_by_quarters_and_as_a_slope() -> None:
    found = growth("controller", samples(*(100.0 + age for age in range(40))), 40)

    assert (114.5, 134.5) == (found.second, found.last)
    assert 3600 == pytest.approx(found.slope)


def test_what_the_first_quarter_did_counts_for_nothing() -> None:
    found = growth("controller", samples(*[900.0] * 10, *[100.0, 101.0] * 15), 40)

    assert found.second == found.last
    assert abs(found.slope) < 100


def test_one_look_is_enough_for_a_short_soak() -> None:
    found = growth("controller", samples(100.0), 40)

    assert (100, 100, 0) == (found.second, found.last, found.slope)


def half_an_hour(controller: float, agents: float) -> list[Sample]:
    """Looks every 5 s. All warm up and wobble; these are the MiB an hour that come on top."""
    (blank,) = samples(0.0)
    return [
        replace(
            blank,
            age=age,
            controller=175 - 80 * exp(-age / 250) + age % 3 / 2 + controller * age / 3600,
            agents=64 - 4 * exp(-age / 250) + age % 3 / 20 + agents * age / 3600,
        )
        for age in range(0, 1800, 5)
    ]


@pytest.mark.parametrize(
    ("controller", "agents", "told"),
    [(0.0, 0.0, set()), (30.0, 0.0, {"controller"}), (0.0, 3.0, {"agents"}), (-30.0, -3.0, set())],
)
def test_a_slow_leak_is_told_from_what_warms_up(controller: float, agents: float, told: set[str]) -> None:
    looks = half_an_hour(controller, agents)

    assert told == set(leaks({name: growth(name, looks, 1800) for name in ("controller", "agents")}))
