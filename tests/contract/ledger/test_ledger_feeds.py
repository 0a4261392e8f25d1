"""Snapshots and trouble: what feeds keep for each fleet."""

from datetime import timedelta

import pytest

FEED = "inventory/123456789012/us-east-1"
CHECKOUT = "prod/checkout"


@pytest.fixture
def lease(bench, build):
    bench.declare("one", build.fleet(), build.fleet("prod/search"))
    for due in bench.store.claim("fleet", 9, build.lease):
        bench.store.finish(due)
    return bench.lease("inventory:123456789012/us-east-1")


def fleets_due(bench):
    return [key for key in bench.due_keys() if key.startswith("fleet:")]


def test_a_part_is_loaded_with_the_time_it_was_read(bench, lease):
    body = {"groups": [{"name": "checkout-prod-v001", "sizes": [1, 2.5, None, True]}]}
    bench.store.record_snapshots(lease, FEED, {CHECKOUT: body}, bench.clock.now())

    part = bench.record().snapshots[FEED]

    assert (FEED, body, bench.clock.now()) == (part.feed, part.body, part.read_at)


def test_only_changed_parts_are_written_and_due(bench, build, lease):
    bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"a": 1}, "prod/search": {"a": 1}}, build.now)
    for due in bench.store.claim("fleet", 9, build.lease):
        bench.store.finish(due)
    before = bench.rows("snapshots")["snapshots"]
    later = build.now + timedelta(seconds=5)

    changed = bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"a": 2}, "prod/search": {"a": 1}}, later)

    assert (CHECKOUT,) == changed
    assert ["fleet:prod/checkout"] == fleets_due(bench)
    assert 1 == len(set(before) & set(bench.rows("snapshots")["snapshots"]))


def test_an_unchanged_part_is_as_fresh_as_its_feed(bench, build, lease):
    bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"b": 1, "a": 2}}, build.now)
    later = build.now + timedelta(seconds=5)

    assert () == bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"a": 2, "b": 1}}, later)

    assert later == bench.record().snapshots[FEED].read_at


def test_a_fleet_no_longer_named_loses_its_part(bench, build, lease):
    bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"a": 1}}, build.now)

    assert (CHECKOUT,) == bench.store.record_snapshots(lease, FEED, {}, build.now)

    assert {} == bench.record().snapshots


def test_feeds_do_not_touch_each_others_parts(bench, build, lease):
    bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"a": 1}}, build.now)
    bench.store.record_snapshots(lease, "executions/gate", {CHECKOUT: {"b": 1}}, build.now)
    bench.store.record_snapshots(lease, "executions/gate", {}, build.now)

    assert [FEED] == list(bench.record().snapshots)


def test_trouble_is_seen_by_fleets_with_a_part_and_by_those_that_wait_for_one(bench, build, lease):
    bench.store.record_snapshots(lease, "executions/gate", {CHECKOUT: {"a": 1}}, build.now)
    bench.store.record_trouble(lease, "executions/gate", "the Gate is down")
    bench.store.record_trouble(lease, FEED, "the role cannot be assumed")
    bench.store.record_trouble(lease, "inventory/123456789012/eu-west-1", "elsewhere")

    assert {"executions/gate": "the Gate is down", FEED: "the role cannot be assumed"} == bench.record().trouble
    assert {FEED: "the role cannot be assumed"} == bench.record("prod/search").trouble


def test_trouble_leaves_the_parts_with_their_age(bench, build, lease):
    bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"a": 1}}, build.now)
    bench.clock.advance(timedelta(seconds=5))
    bench.store.record_trouble(lease, FEED, "throttled")

    assert build.now == bench.record().snapshots[FEED].read_at


def test_a_read_that_succeeds_clears_the_trouble_and_wakes_who_was_held_for_it(bench, build, lease):
    bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"a": 1}}, build.now)
    bench.store.record_trouble(lease, FEED, "throttled")
    for due in bench.store.claim("fleet", 9, build.lease):
        bench.store.finish(due)

    assert () == bench.store.record_snapshots(lease, FEED, {CHECKOUT: {"a": 1}}, build.now)

    assert {} == bench.record().trouble
    assert ["fleet:prod/checkout"] == fleets_due(bench)
