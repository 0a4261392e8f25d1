"""How long everything is kept, and what is never taken."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.ledger import retention
from adapters.ledger.tables import metadata
from reconciler.ports import Delivery
from reconciler.record import Ask, Event, State
from reconciler.work import Phase

NAME = "prod/checkout"


def later(build, days):
    return build.now + timedelta(days=days)


def deliver_all(bench):
    lease = bench.lease("statuses:main")
    waiting = bench.store.undelivered("main", 100)
    bench.store.settle(lease, [Delivery(id=item.id, sequence=item.sequence, delivered=True) for item in waiting])


def test_every_table_has_a_retention():
    lines = [line.split("|")[1] for line in retention.__doc__.splitlines() if line.startswith("| ")]
    named = {name.strip() for cell in lines for name in cell.split(",")} - {"table"}

    assert set(metadata.tables) == named


def test_a_feed_that_nobody_tries_goes_after_a_month(bench, build):
    bench.store.record_trouble(bench.lease("inventory:x"), "inventory/x", "AccessDenied")
    bench.store.prune(later(build, 30))
    assert ["inventory/x"] == list(bench.store.troubles())

    bench.store.prune(later(build, 31))

    assert [] == bench.rows("feeds")["feeds"]


def test_reports_go_with_their_part(bench, build):
    bench.declare("one", build.fleet())
    row = f"'{NAME}', 'reports/x', 'i-1', 'd', '{{}}', 1, 0, 0, 0"
    bench.sql(f"INSERT INTO reports VALUES ({row})")

    assert 1 == bench.store.prune(build.now)

    assert [] == bench.rows("reports")["reports"]


def test_two_that_prune_at_once_leave_a_whole_history(bench, build):
    bench.declare("one", build.fleet())
    record, lease = bench.record(), bench.lease(f"fleet:{NAME}")
    old = tuple(Event(kind="note", message=str(number), at=build.now) for number in range(1200))
    fresh = tuple(Event(kind="note", message=str(number), at=later(build, 400)) for number in range(10))
    bench.store.save(lease, record, bench.result(record, events=(*old, *fresh)))

    with ThreadPoolExecutor(2) as pool:
        stores = [bench.store, bench.another()]
        went = sum(pool.map(lambda store: store.prune(later(build, 401)), stores))

    assert 1200 == went
    assert 10 == len(bench.store.history(NAME, 99))
    assert None is bench.store.verify_history(NAME)


def test_a_removed_fleet_goes_after_a_month(bench, build):
    bench.declare("one", build.fleet(), build.fleet("prod/search"))
    bench.declare("two", build.fleet("prod/search"))
    bench.store.prune(later(build, 30))
    assert bench.store.load(NAME) is not None

    bench.store.prune(later(build, 31))

    assert ["prod/search"] == [record.name for record in bench.store.fleets()]


def test_a_removed_fleet_with_work_in_flight_stays(bench, build):
    bench.declare("one", build.fleet())
    record = bench.record()
    bench.store.save(bench.lease(f"fleet:{NAME}"), record, bench.full_result(record))
    bench.declare("two")

    bench.store.prune(later(build, 400))

    assert 1 == len(bench.record().work)


def test_ended_intents_go_after_three_months(bench, build):
    bench.declare("one", build.fleet())
    record, lease = bench.record(), bench.lease(f"fleet:{NAME}")
    ended, running = build.outcome(build.fleet(), "a", Phase.FAILED), build.outcome(build.fleet(), "b")
    bench.store.save(lease, record, bench.result(record, work=(ended, running)))

    bench.store.prune(later(build, 91))

    assert ["b"] == [row[0] for row in bench.rows("intents")["intents"]]


def test_parts_of_a_feed_that_nobody_reads_go_after_a_week(bench, build):
    bench.declare("one", build.fleet())
    lease = bench.lease("inventory:x")
    bench.store.record_snapshots(lease, "dead", {NAME: {"a": 1}}, build.now)
    bench.store.record_snapshots(lease, "alive", {NAME: {"a": 1}}, build.now)
    bench.store.record_snapshots(lease, "alive", {NAME: {"a": 1}}, later(build, 7))

    bench.store.prune(later(build, 8))

    assert ["alive"] == list(bench.record().snapshots)


def test_old_closed_words_go_and_those_that_still_stand_stay(bench, build):
    bench.declare("setting", build.fleet())
    lease = bench.lease("statuses:main")
    bench.store.say(
        lease,
        [
            build.status("gone", State.SUCCESS, "old and closed"),
            build.status("setting", State.SUCCESS, "on a setting commit"),
            build.status("open", State.PENDING, "open"),
        ],
    )
    bench.store.settle(
        lease,
        [Delivery(id=item.id, sequence=item.sequence, delivered=True) for item in bench.store.undelivered("main", 9)],
    )
    bench.store.say(lease, [build.status("undelivered", State.FAILURE, "undelivered")])

    bench.store.prune(later(build, 91))

    assert ["on a setting commit", "open", "undelivered"] == [word.description for word in bench.store.statuses("main")]


def test_requests_go_after_a_month(bench, build):
    bench.declare("one", build.fleet())
    bench.store.request(NAME, Ask.RETRY, "ada", build.now)

    assert 1 == bench.store.prune(later(build, 31))

    assert () == bench.record().requests


@pytest.mark.parametrize("count", [3, 4, 9])
def test_more_than_a_batch_goes_all_the_same(bench, build, monkeypatch, count):
    monkeypatch.setattr(retention, "BATCH", 4)
    bench.declare("one", build.fleet())
    record = bench.record()
    work = tuple(build.outcome(build.fleet(), f"k{number}", Phase.FAILED) for number in range(count))
    bench.store.save(bench.lease(f"fleet:{NAME}"), record, bench.result(record, work=work))

    assert count == bench.store.prune(later(build, 91))


def test_pruning_twice_takes_nothing_more(bench, build):
    bench.declare("one", build.fleet())
    record = bench.record()
    done = replace(build.outcome(build.fleet(), "a"), phase=Phase.ABORTED)
    bench.store.save(bench.lease(f"fleet:{NAME}"), record, bench.result(record, work=(done,)))
    bench.store.prune(later(build, 91))

    assert 0 == bench.store.prune(later(build, 91))
