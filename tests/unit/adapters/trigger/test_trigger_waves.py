"""Slices of hosts and how many may be out at once, as tables."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.trigger.settings import TriggerSettings
from adapters.trigger.waves import at_once, waves_of

SMALLEST: dict[str, Any] = {
    "root": "/srv/mm",
    "select": {"tags": {"service": "mm"}},
    "run": {"command": "/srv/mm/start"},
    "health": {"tcp": "localhost:8080"},
}


def settings(**changes: Any) -> TriggerSettings:
    return TriggerSettings.model_validate(SMALLEST | changes)


def hosts(count: int) -> list[str]:
    return [f"i-{number}" for number in range(count)]


@pytest.mark.parametrize(
    ("shares", "total", "sizes"),
    [
        (None, 5, [1, 5]),  # the default: one, then everything
        ([1, "50%", "100%"], 8, [1, 3, 8]),
        ([1, "50%", "100%"], 5, [1, 2, 5]),  # 2.5 is rounded up to 3, of which one went first
        (["1%", "100%"], 10, [1, 10]),  # at least one
        ([3, "100%"], 2, [2, 2]),
        ([1, "50%", "100%"], 1, [1, 0, 1]),  # an empty slice stays: the number of waves does not change
        ([2, "10%", "100%"], 10, [2, 0, 10]),  # a share that is less than what went before adds nothing
        (["100%"], 4, [4]),
        (None, 0, [0, 0]),
    ],
)
def test_numbers_are_cumulative_and_the_last_wave_is_everything(
    shares: list[Any] | None, total: int, sizes: list[int]
) -> None:
    waves = None if shares is None else [{"hosts": share} for share in shares]

    found = waves_of(settings(waves=waves), hosts(total))

    assert sizes == [len(wave.units) for wave in found]


def test_a_wave_keeps_its_soak_and_its_limit() -> None:
    found = waves_of(settings(waves=[{"hosts": 1, "soak": "2m"}, {"hosts": "100%"}], max_unavailable=2), hosts(4))

    assert [(120.0, 2), (0.0, 2)] == [(wave.soak.total_seconds(), wave.at_once) for wave in found]


@pytest.mark.parametrize(
    ("threshold", "total", "allowed"),
    [(0, 10, 0), (2, 10, 2), ("0%", 10, 0), ("10%", 10, 1), ("10%", 9, 0), ("25%", 11, 2)],
)
def test_how_many_hosts_a_rollout_may_lose_is_rounded_down(threshold: int | str, total: int, allowed: int) -> None:
    found = waves_of(settings(failure_threshold=threshold), hosts(total))

    assert [allowed] * 2 == [wave.tolerated for wave in found]


def test_without_a_word_no_host_may_be_lost_and_half_an_hour_may_pass_without_progress() -> None:
    found = waves_of(settings(), hosts(10))

    assert [(0, 1800.0)] * 2 == [(wave.tolerated, wave.deadline.total_seconds()) for wave in found if wave.deadline]


@given(st.lists(st.integers(1, 99), max_size=4), st.integers(0, 60))
def test_slices_are_disjoint_in_order_and_nobody_is_left_out(shares: list[int], total: int) -> None:
    waves = [{"hosts": f"{share}%"} for share in sorted(shares)] + [{"hosts": "100%"}]

    *slices, last = waves_of(settings(waves=waves), hosts(total))

    sliced = [unit for wave in slices for unit in wave.units]
    assert sliced == hosts(total)[: len(sliced)]
    assert last.units == tuple(hosts(total))


@pytest.mark.parametrize(
    ("said", "total", "limit"),
    [
        ({}, 8, 2),  # a quarter
        ({}, 7, 1),  # rounded down
        ({}, 1, 1),  # at least one
        ({"max_unavailable": "50%"}, 5, 2),
        ({"max_unavailable": 3}, 100, 3),
        ({"max_unavailable": 3}, 2, 2),
        ({"min_healthy": 7}, 8, 1),  # the stricter of the two
        ({"min_healthy": "90%", "max_unavailable": "50%"}, 15, 1),  # 13.5 is rounded up to 14
        ({"min_healthy": 2}, 2, 0),  # nothing may be touched
        ({"min_healthy": 5}, 2, 0),
    ],
)
def test_the_stricter_limit_counts(said: dict[str, Any], total: int, limit: int) -> None:
    assert at_once(settings(**said), total) == limit
