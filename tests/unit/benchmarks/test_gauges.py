"""How the soak reads its samples: what grows is seen, what only wobbles is not."""

import pytest

from tests.acceptance.soak.gauges import Sample, growth


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
