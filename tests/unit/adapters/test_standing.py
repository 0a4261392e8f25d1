"""What stands of a fleet in a region, and what of it is left over."""

from types import SimpleNamespace
from typing import Any

from adapters.aws.standing import leftovers, standing
from adapters.gate.settings import settings_of
from adapters.gate.sights import groups, with_canary
from reconciler.observed import Snapshot

EAST, CLUSTER, CANARY = "us-east-1", "checkout-prod", "checkout-prod-canary"


def left(made: SimpleNamespace, *found: dict[str, Any], canary: str | None = CANARY) -> tuple[str, ...]:
    return leftovers(EAST, made.body(*found), CLUSTER, canary, made.fleet())


def parts(made: SimpleNamespace, *found: dict[str, Any]) -> dict[str, str]:
    known = standing(EAST, made.body(*found), CLUSTER, CANARY, made.fleet())
    return {each.group["name"].rpartition("-")[2]: each.part for each in known}


def trial(made: SimpleNamespace, push: int, *instances: dict[str, str], desired: int) -> dict[str, Any]:
    group: dict[str, Any] = made.group(push, *instances, desired=desired)
    return {**group, "name": f"{CANARY}-v{push:03d}"}


def test_what_a_red_black_deploy_leaves_is_nothing_to_speak_of(made: SimpleNamespace) -> None:
    old = made.group(2, desired=0, enabled=False, launch_image="ami-1.4.1")
    kept = made.group(3, made.instance(1, "ami-1.4.1"), desired=1, enabled=False)  # not scaled down, to go back to
    new = made.group(4, made.instance(2, "ami-1.4.2"), desired=1)

    assert () == left(made, old, kept, new)
    assert {"v002": "old", "v003": "old", "v004": "current"} == parts(made, old, kept, new)


def test_an_enabled_group_of_another_version_is_left_over(made: SimpleNamespace) -> None:
    good = made.group(3, made.instance(1, "ami-1.4.2"), desired=1)
    bad = made.group(4, made.instance(2, "ami-1.5.0"), made.instance(3, "ami-1.5.0"))

    assert ("checkout-prod-v004 in us-east-1 is enabled beside v003: 2 instances of 1.5.0",) == left(made, good, bad)
    assert {"v003": "current", "v004": "left over"} == parts(made, good, bad)


def test_a_group_that_was_disabled_after_it_failed_and_still_runs_is_left_over(made: SimpleNamespace) -> None:
    good = made.group(3, made.instance(1, "ami-1.4.2"), desired=1)
    bad = made.group(4, made.instance(2, "ami-1.5.0"), desired=1, enabled=False)

    assert (
        "checkout-prod-v004 in us-east-1 is left of a deploy that failed: disabled, with 1 instance of 1.5.0",
    ) == left(made, good, bad)


def test_younger_is_by_creation_and_not_by_number(made: SimpleNamespace) -> None:
    good = made.group(3, made.instance(1, "ami-1.4.2"), desired=1)
    wrapped = made.group(4, made.instance(2, "ami-1.5.0"), desired=1, enabled=False, name="checkout-prod-v000")

    assert left(made, good, wrapped)[0].startswith("checkout-prod-v000 in us-east-1 is left of a deploy")


def test_a_canary_that_still_runs_is_left_over_and_an_empty_one_is_not(made: SimpleNamespace) -> None:
    good = made.group(3, made.instance(1, "ami-1.4.2"), desired=1)
    empty, alive = trial(made, 1, desired=0), trial(made, 2, made.instance(5, "ami-1.5.0"), desired=1)

    assert () == left(made, good, empty)
    assert (f"canary {CANARY}-v002 in us-east-1 still runs: 1 instance of 1.5.0",) == left(made, good, empty, alive)
    assert () == left(made, good, alive, canary=None)


def test_a_group_that_is_being_deleted_is_shown_as_that(made: SimpleNamespace) -> None:
    good = made.group(3, made.instance(1, "ami-1.4.2"), desired=1)
    going = made.group(4, made.instance(2, "ami-1.5.0"), desired=1, status="Delete in progress")

    assert {"v003": "current", "v004": "being deleted"} == parts(made, good, going)
    assert () == left(made, good, going)


def test_where_all_is_disabled_nothing_is_current(made: SimpleNamespace) -> None:
    assert {"v003": "old"} == parts(made, made.group(3, made.instance(1, "ami-1.4.2"), desired=1, enabled=False))


def test_a_group_is_shown_with_all_that_is_known_of_it(made: SimpleNamespace) -> None:
    fleet = made.fleet(deploy={"select": {"cluster": CLUSTER, "canary": CANARY}})
    ill = made.instance(2, "ami-1.4.2", health="Unhealthy")
    body = made.body(
        made.group(998, desired=0, enabled=False, created="2026-11-01T00:00:00+00:00"),
        made.group(999, made.instance(1, "ami-1.4.2"), ill, created="2026-11-02T00:00:00+00:00"),
        trial(made, 1, made.instance(5, "ami-1.5.0"), desired=1),
    )
    feed = "inventory/123456789012/us-east-1"

    found = groups(fleet, {feed: made.snapshot(feed, body)})

    assert {"us-east-1": "checkout-prod-v000"} == found["next"]
    assert ["checkout-prod-v999", "checkout-prod-v998", f"{CANARY}-v001"] == [row["name"] for row in found["groups"]]
    assert {
        "region": EAST,
        "name": "checkout-prod-v999",
        "version": "1.4.2",
        "ami": "ami-1.4.2",
        "image_name": "ami-1.4.2",
        "created": "2026-11-02T00:00:00+00:00",
        "enabled": True,
        "in_service": 2,
        "healthy": 1,
        "desired": 2,
        "part": "current",
        "leftover": "",
    } == found["groups"][0]


def test_a_narrow_read_keeps_the_canary_that_the_feed_saw(made: SimpleNamespace) -> None:
    fleet = made.fleet(deploy={"select": {"cluster": CLUSTER, "canary": CANARY}})
    feed = "inventory/123456789012/us-east-1"
    alive = trial(made, 1, made.instance(5, "ami-1.5.0"), desired=1)
    known = made.snapshot(feed, made.body(made.group(2, made.instance(1, "ami-1.4.1"), desired=1), alive))
    fresh = made.snapshot(feed, made.running("1.4.2"))

    both = with_canary(fleet, fresh, known)

    assert ["checkout-prod-v003", f"{CANARY}-v001"] == [group["name"] for group in both.body["server_groups"]]
    assert {"ami-1.4.2", "ami-1.5.0"} == set(both.body["images"])
    assert fresh is with_canary(fleet, fresh, None)
    assert fresh is with_canary(made.fleet(), fresh, known)
    other = Snapshot(feed="executions/x", body={}, read_at=made.NOW)
    assert other is with_canary(fleet, other, known)
    assert settings_of(fleet).select.canary == CANARY
