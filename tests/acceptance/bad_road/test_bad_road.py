"""Deploys over a road that drops, delays, doubles and cuts: each pipeline is started once, and every fleet arrives."""

from collections.abc import Callable
from typing import Any

import pytest

NEW = "2.0.0"


def deployed_once(beyond: Any, start: Any, wait_until: Callable[..., Any], patience: float) -> None:
    """All fleets are bumped by one commit and come there, whatever happens on the way."""
    controller = start(beyond.world)
    names = beyond.world.names
    wait_until(lambda: len(beyond.ledger.fleets()) == len(names) and not beyond.unfinished(), "all are seen", patience)

    beyond.road.is_bad = True
    beyond.world.bump(names, NEW)
    there = lambda: all(set(beyond.world.versions(name).values()) == {NEW} for name in names)  # noqa: E731
    try:
        wait_until(there, f"all run {NEW}", patience)
        wait_until(lambda: not beyond.unfinished(), "all are ready", patience)
        wait_until(lambda: not beyond.open_statuses(), "every status is final", patience)
    finally:
        print("on the road:", dict(beyond.road.met))
        print("unfinished:", dict(list(beyond.unfinished().items())[:5]), beyond.open_statuses()[:5])

    began = beyond.started()
    assert {1} == set(began.values())
    assert sorted((name, NEW, "us-east-1") for name in names) == sorted(beyond.world.starts())
    assert [] == list(beyond.ledger.work_in_flight())
    assert 0 == controller.terminate()


def test_forty_deploys_over_a_bad_road(make_beyond: Any, start: Any, wait_until: Any) -> None:
    beyond = make_beyond(40, share=0.5)

    deployed_once(beyond, start, wait_until, patience=120)

    assert {"drop", "cut", "double"} <= set(beyond.road.met)


@pytest.mark.heavy
def test_five_hundred_deploys_over_a_bad_road(make_beyond: Any, start: Any, wait_until: Any) -> None:
    beyond = make_beyond(500)

    deployed_once(beyond, start, wait_until, patience=480)

    assert {"drop", "cut", "delay", "lose", "double", "429", "429 with a reset", "500", "burst"} <= set(beyond.road.met)
