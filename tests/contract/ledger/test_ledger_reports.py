"""What hosts report: the newest of each is kept, heartbeats are no news, and who lost the lease writes nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.ledger.reports import HostReport
from reconciler.ports import LeaseLost

FEED = "reports/123456789012/us-east-1/prod"
CHECKOUT, SEARCH = "prod/checkout", "prod/search"
FLEETS = (CHECKOUT, SEARCH)
SECOND = timedelta(seconds=1)


@pytest.fixture
def due(bench, build):
    bench.declare("one", *(build.fleet(name, deploy_type="trigger") for name in FLEETS))
    return bench.claim(FEED.replace("/", ":", 1))


@pytest.fixture
def lease(bench, build, due):
    bench.store.record_reports(due.lease, FEED, (), FLEETS, build.now)
    fleets_due(bench, build)
    return due.lease


@pytest.fixture
def said(build):
    return HostReport(
        fleet=CHECKOUT,
        host="i-1",
        number=7,
        at=build.now,
        sent=build.now,
        body={"components": {"package/checkout": "1.4.2"}, "größe": [1, 2.5, None, True]},
        silent_after=timedelta(minutes=3),
    )


def fleets_due(bench, build):
    """Names of fleets that are due, which takes them."""
    found = bench.store.claim("fleet", 9, build.lease)
    for each in found:
        bench.store.finish(each)
    return sorted(each.key.partition(":")[2] for each in found)


def host(bench, name="i-1"):
    return bench.record().snapshots[FEED].body["hosts"].get(name)


def test_a_report_is_loaded_as_it_was_said(bench, build, lease, said):
    assert (CHECKOUT,) == bench.store.record_reports(lease, FEED, [said], FLEETS, build.now)

    time = "2026-11-23T09:00:00Z"
    assert {**said.body, "number": 7, "at": time, "sent": time} == host(bench)
    assert [CHECKOUT] == fleets_due(bench, build)


@pytest.mark.parametrize(
    ("later", "number", "counts"), [(SECOND, 1, True), (SECOND, 8, True), (0 * SECOND, 8, True), (0 * SECOND, 7, False),
                                    (0 * SECOND, 6, False), (-SECOND, 99, False)]
)  # fmt: skip
def test_the_one_sent_later_counts_and_then_the_higher_number(bench, build, lease, said, later, number, counts):
    bench.store.record_reports(lease, FEED, [said], FLEETS, build.now)
    other = replace(said, body={"other": True}, sent=said.sent + later, number=number)

    bench.store.record_reports(lease, FEED, [other], FLEETS, build.now)

    assert counts == ("other" in host(bench))


def test_order_within_one_write_does_not_matter(bench, build, lease, said):
    newest = replace(said, body={"newest": True}, sent=said.sent + SECOND)

    bench.store.record_reports(lease, FEED, [newest, said, said], FLEETS, build.now)

    assert "newest" in host(bench)


def test_who_may_have_waited_for_the_end_of_a_gap_is_due_when_it_is_read_and_not_before(bench, build, lease):
    patience = {CHECKOUT: 5 * SECOND, SEARCH: timedelta(hours=1)}
    bench.clock.advance(6 * SECOND)

    bench.store.record_reports(lease, FEED, (), FLEETS, build.now, patience)  # a backlog: nothing newer is known yet
    assert [] == fleets_due(bench, build)
    bench.store.record_reports(lease, FEED, (), FLEETS, bench.clock.now(), patience)
    assert [CHECKOUT] == fleets_due(bench, build)
    bench.store.record_reports(lease, FEED, (), FLEETS, bench.clock.now(), patience)
    assert [] == fleets_due(bench, build)


def test_the_same_said_again_is_no_news_and_leaves_the_text(bench, build, lease, said):
    bench.store.record_reports(lease, FEED, [said], FLEETS, build.now)
    fleets_due(bench, build)
    again = replace(
        said, number=8, sent=said.sent + SECOND, at=said.at + SECOND, body=dict(reversed(said.body.items()))
    )

    assert () == bench.store.record_reports(lease, FEED, [again], FLEETS, build.now)

    assert [] == fleets_due(bench, build)
    assert (8, "2026-11-23T09:00:01Z", "2026-11-23T09:00:01Z") == tuple(
        host(bench)[key] for key in ("number", "at", "sent")
    )


def test_one_host_in_two_fleets_has_two_words(bench, build, lease, said):
    both = [said, replace(said, fleet=SEARCH, body={"mine": True})]

    assert FLEETS == bench.store.record_reports(lease, FEED, both, FLEETS, build.now)

    assert {"mine"} < set(bench.record(SEARCH).snapshots[FEED].body["hosts"]["i-1"])
    assert "mine" not in host(bench)


def test_feeds_do_not_touch_each_others_hosts(bench, build, lease, said):
    other = FEED.replace("us-east-1", "eu-west-1")
    bench.store.record_reports(lease, FEED, [said], FLEETS, build.now)

    bench.store.record_reports(lease, other, [replace(said, body={"other": True})], FLEETS, build.now)
    bench.store.record_reports(lease, other, (), (), None)

    assert "other" not in host(bench)
    assert [FEED] == list(bench.record().snapshots)


def test_a_report_of_a_fleet_that_the_feed_is_not_read_for_is_passed_over(bench, build, lease, said):
    assert () == bench.store.record_reports(lease, FEED, [replace(said, fleet="prod/other")], FLEETS, build.now)
    assert [] == bench.rows("reports")["reports"]


def test_a_new_fleet_has_a_part_and_a_gone_one_loses_it_with_its_hosts(bench, build, lease, said):
    bench.store.record_reports(lease, FEED, [said], FLEETS, build.now)

    assert (CHECKOUT,) == bench.store.record_reports(lease, FEED, (), (SEARCH,), build.now)

    assert {} == bench.record().snapshots
    assert [] == bench.rows("reports")["reports"]
    assert (CHECKOUT,) == bench.store.record_reports(lease, FEED, (), FLEETS, build.now)
    assert {} == bench.record().snapshots[FEED].body["hosts"]


def test_the_time_of_the_read_never_goes_back(bench, build, lease):
    bench.store.record_reports(lease, FEED, (), FLEETS, build.now + SECOND)
    bench.store.record_reports(lease, FEED, (), FLEETS, build.now - SECOND)

    assert build.now + SECOND == bench.record().snapshots[FEED].read_at


def test_silence_is_news_once_and_so_is_its_end(bench, build, lease, said):
    minutes = [build.now + timedelta(minutes=number) for number in range(8)]
    bench.store.record_reports(lease, FEED, [said], FLEETS, minutes[0])

    news = [bench.store.record_reports(lease, FEED, (), FLEETS, minute) for minute in minutes[1:6]]
    again = replace(said, number=8, sent=minutes[6])

    assert [(), (), (CHECKOUT,), (), ()] == news
    assert (CHECKOUT,) == bench.store.record_reports(lease, FEED, [again], FLEETS, minutes[6])
    assert () == bench.store.record_reports(lease, FEED, (), FLEETS, minutes[7])


def test_a_read_that_succeeds_clears_the_trouble_and_wakes_all_fleets(bench, build, lease):
    bench.store.record_trouble(lease, FEED, "no such queue")
    assert {FEED: "no such queue"} == bench.record().trouble

    bench.store.record_reports(lease, FEED, (), FLEETS, build.now)

    assert {} == bench.record().trouble
    assert list(FLEETS) == fleets_due(bench, build)


def test_a_fleet_that_waits_for_its_first_part_sees_the_trouble(bench, build, due):
    bench.store.record_trouble(due.lease, FEED, "no such queue")

    assert {FEED: "no such queue"} == bench.record().trouble


def test_a_lost_lease_writes_nothing(bench, build, due, said):
    bench.clock.advance(timedelta(minutes=1))
    taken_over = bench.claim(due.key)
    before = bench.rows("reports", "snapshots", "feeds")

    with pytest.raises(LeaseLost):
        bench.store.record_reports(due.lease, FEED, [said], FLEETS, build.now)
    with pytest.raises(LeaseLost):
        bench.store.forget_hosts(due.lease, FEED, [(CHECKOUT, "i-1")])

    assert before == bench.rows("reports", "snapshots", "feeds")
    assert (CHECKOUT, SEARCH) == bench.store.record_reports(taken_over.lease, FEED, [said], FLEETS, build.now)


def test_silent_hosts_are_found_and_forgotten(bench, build, lease, said):
    others = [replace(said, host="i-2"), replace(said, host="i-3", sent=said.sent + timedelta(days=1))]
    bench.store.record_reports(lease, FEED, [said, *others], FLEETS, build.now)
    silent = bench.store.silent_hosts(FEED, build.now + timedelta(hours=1))
    assert [(CHECKOUT, "i-1"), (CHECKOUT, "i-2")] == silent

    bench.store.forget_hosts(lease, FEED, silent[:1])

    assert ["i-2", "i-3"] == list(bench.record().snapshots[FEED].body["hosts"])


def test_reports_go_with_the_part_that_they_belong_to(bench, build, lease, said):
    bench.store.record_reports(lease, FEED, [said], FLEETS, build.now)
    bench.store.prune(build.now + timedelta(days=6))
    assert host(bench)

    bench.store.prune(build.now + timedelta(days=8))

    assert [] == bench.rows("reports")["reports"]


def test_a_sweep_reads_the_hosts_of_many_fleets_at_once(bench, build, lease, said):
    many = [replace(said, fleet=name, host=f"i-{number}") for name in FLEETS for number in range(600)]
    bench.store.record_reports(lease, FEED, many, FLEETS, build.now)

    records = bench.store.load_many(FLEETS)

    assert [600, 600] == [len(record.snapshots[FEED].body["hosts"]) for record in records]
