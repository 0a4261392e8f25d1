"""Starting: one signed order admits the hosts, written only over the one that was seen."""

import json
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from adapters.agent_protocol.orders import LIFETIME
from adapters.agent_protocol.reports import Blame
from reconciler.ports import LeaseLost, Unreadable
from reconciler.reasons import Reason
from reconciler.work import Failure, Outcome, Phase

EAST, WEST = "us-east-1", "eu-west-1"


def test_one_order_admits_all_of_a_start_and_says_what_the_others_run(rig: Any) -> None:
    one, two = rig.launch(2)
    (other,) = rig.launch(1, WEST)

    outcomes = rig.start(rig.intent(one), rig.intent(two))

    order = rig.order()
    assert [(Phase.RUNNING, "1", "order 1 admits it")] * 2 == [(o.phase, o.ticket, o.message) for o in outcomes]
    assert (order.sequence, order.fleet, order.key_id) == (1, "prod/mm", "2026-11")
    assert order.admitted == {one.id, two.id}
    assert (order.target.version, order.base.version) == ("2.3.1", "2.3.0")
    assert (order.issued, order.expires) == (rig.clock.now(), rig.clock.now() + LIFETIME)
    assert len(rig.written()) == 1
    for host in (one, two, other):
        host.does()
    assert [host.components["package/mm"] for host in (one, two, other)] == ["2.3.1", "2.3.1", "2.3.0"]


def test_a_hint_reaches_the_queues_of_both_regions(rig: Any) -> None:
    (east,), (west,) = rig.launch(1), rig.launch(1, WEST)
    queues = {region: rig.queue(host) for region, host in ((EAST, east), (WEST, west))}

    rig.start(rig.intent(east))

    for region, url in queues.items():
        (message,) = rig.aws.client("sqs", region).receive_message(QueueUrl=url)["Messages"]
        hint = json.loads(message["Body"])
        assert (hint["fleet"], hint["sequence"], hint["key"]) == ("prod/mm", 1, "orders/prod/mm.json")


def test_the_same_start_again_writes_nothing(rig: Any) -> None:
    (host,) = rig.launch()
    intent = rig.intent(host)
    rig.start(intent)

    (again,) = rig.start(replace(intent, starts=2))

    assert (again.phase, again.ticket) == (Phase.RUNNING, "1")
    assert len(rig.written()) == 1


def test_a_new_order_is_above_s3_and_above_what_any_host_follows(rig: Any) -> None:
    one, two = rig.launch(2)
    rig.start(rig.intent(one))
    one.reads()
    one.says()
    rig.reports[EAST][two.id]["sequence"] = 40
    rig.reports[EAST]["i-of-others"] = {**rig.reports[EAST][two.id], "sequence": 50}

    (outcome,) = rig.start(rig.intent(two))

    assert (outcome.ticket, rig.order().sequence) == ("41", 41)


def test_a_second_attempt_is_numbered_in_the_order_and_only_for_its_host(rig: Any) -> None:
    one, two = rig.launch(2)
    rig.start(rig.intent(one))
    one.fails()

    rig.start(rig.intent(one, attempt=2), rig.intent(two))

    assert rig.order().attempts == {one.id: 2}
    asked = one.reads()
    assert asked is not None
    assert asked.key.endswith(":a2")


@pytest.mark.parametrize("state", ["done", "failed"])
def test_an_attempt_that_an_earlier_life_spent_is_used_up(rig: Any, state: str) -> None:
    (host,) = rig.launch()
    rig.start(rig.intent(host))
    host.does() if state == "done" else host.fails()
    before = len(rig.written())

    (spent,) = rig.start(rig.intent(host))
    (mine,) = rig.start(replace(rig.intent(host), starts=2))

    assert (spent.phase, spent.message) == (Phase.USED_UP, f"attempt 1 was spent before: {host.id} ended it {state}")
    assert mine.phase is Phase.RUNNING
    assert len(rig.written()) == before


def test_who_only_reports_is_not_started(rig: Any) -> None:
    watched, other = *rig.launch(1, report_only=True), *rig.launch(1)

    refused, begun = rig.start(rig.intent(watched), rig.intent(other))

    assert (refused.phase, refused.failure, refused.reason) == (Phase.FAILED, Failure.REFUSED, Reason.DEPLOY_REFUSED)
    assert (
        refused.message == f"the agent of {watched.id} only reports; start it without --report-only and `report_only`"
    )
    assert begun.phase is Phase.RUNNING


def test_without_a_key_nothing_is_started_and_the_fix_is_named(rig: Any) -> None:
    (host,) = rig.launch()

    (outcome,) = rig.start(rig.intent(host), by=rig.controller(None))

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.REFUSED)
    assert outcome.message == "there is no key to sign orders with; set [signing] in fairlead.toml"
    assert rig.written() == []


# ── the lease and the race ──


def test_a_lease_that_runs_out_right_before_the_write_writes_nothing(rig: Any) -> None:
    (host,) = rig.launch()
    rig.lease.lost_at = 1

    with pytest.raises(LeaseLost):
        rig.start(rig.intent(host))

    assert rig.written() == []


def test_a_lease_that_runs_out_after_the_write_only_keeps_the_hint(rig: Any) -> None:
    (host,) = rig.launch()
    rig.lease.lost_at = 2

    (outcome,) = rig.start(rig.intent(host))

    assert (outcome.phase, len(rig.written())) == (Phase.RUNNING, 1)
    assert outcome.message == "order 1 admits it; no hint was sent, the lease ran out; agents come by themselves"
    assert "sns:Publish" not in rig.road.went


def test_the_loser_of_a_race_overwrites_nothing_and_looks_again(rig: Any) -> None:
    one, two = rig.launch(2)
    rig.start(rig.intent(one))
    other = rig.controller(rig.key)
    seen = rig.look(by=other)
    rig.start(rig.intent(two, rig.fleet("2.3.2")))
    winner = rig.body()

    (lost,) = rig.start(rig.intent(one, attempt=2), snapshots=seen, by=other)

    assert (lost.phase, lost.ticket, lost.reason) == (Phase.INTENDED, None, Reason.UPKEEP_FAILED)
    spot = "s3://example-fairlead-prod/orders/prod/mm.json"
    assert lost.message == f"another writer was faster at {spot}; it is looked at again"
    assert (rig.body(), len(rig.written())) == (winner, 2)
    (again,) = rig.start(rig.intent(one, attempt=2, starts=2), by=other)
    assert (again.phase, rig.order().sequence) == (Phase.RUNNING, 3)


def test_two_who_write_the_first_order_at_once_leave_one(rig: Any) -> None:
    one, two = rig.launch(2)
    seen, other = rig.look(), rig.controller(rig.key)
    rig.road.breaks("s3:PUT", lambda: rig.start(rig.intent(two), snapshots=seen, by=other), times=1)

    (lost,) = rig.start(rig.intent(one), snapshots=seen)

    assert lost.phase is Phase.INTENDED
    assert [[two.id]] == [order["admitted"] for order in rig.written()]


def test_two_who_say_the_same_at_once_are_one(rig: Any) -> None:
    (one,) = rig.launch()
    seen, other = rig.look(), rig.controller(rig.key)
    rig.road.breaks("s3:PUT", lambda: rig.start(rig.intent(one), snapshots=seen, by=other), times=1)

    (outcome,) = rig.start(rig.intent(one), snapshots=seen)

    assert (outcome.phase, outcome.ticket, len(rig.written())) == (Phase.RUNNING, "1", 1)


# ── the road ──


@pytest.mark.parametrize("fault", ["error_after", "drop_after"])
def test_a_write_whose_answer_is_lost_is_found(rig: Any, fault: str) -> None:
    (host,) = rig.launch()
    rig.road.breaks("s3:PUT", fault)

    (outcome,) = rig.start(rig.intent(host))

    assert (outcome.phase, outcome.ticket, len(rig.written())) == (Phase.RUNNING, "1", 1)


@pytest.mark.parametrize("fault", ["error", "drop"])
def test_a_write_that_fails_stays_intended_and_is_done_once_later(rig: Any, fault: str) -> None:
    (host,) = rig.launch()
    intent = rig.intent(host)
    rig.road.breaks("s3:PUT", fault)
    (first,) = rig.start(intent)
    rig.road.mended("s3:PUT")

    (second,) = rig.start(replace(intent, starts=2))

    assert (first.phase, first.ticket, first.reason) == (Phase.INTENDED, None, Reason.UPKEEP_FAILED)
    assert "s3://example-fairlead-prod/orders/prod/mm.json (to write it)" in first.message
    assert (second.phase, len(rig.written())) == (Phase.RUNNING, 1)


def test_a_write_of_unknown_fate_that_cannot_be_looked_at_is_left_open(rig: Any) -> None:
    (host,) = rig.launch()
    seen, intent = rig.look(), rig.intent(host)
    rig.road.breaks("s3:PUT", "drop_after")
    rig.road.breaks("s3:GET", "error")

    (outcome,) = rig.start(intent, snapshots=seen)

    assert (outcome.phase, outcome.ticket) == (Phase.INTENDED, None)
    rig.road.mended("s3:GET")
    found = rig.check(outcome)
    assert (found.phase, found.ticket, found.message) == (Phase.RUNNING, "1", "order 1 admits it")


@pytest.mark.parametrize("fault", ["error", "drop"])
def test_an_order_stands_though_no_hint_goes_out(rig: Any, fault: str) -> None:
    (host,) = rig.launch()
    rig.road.breaks("sns:Publish", fault)

    (outcome,) = rig.start(rig.intent(host))

    assert (outcome.phase, rig.order().admitted) == (Phase.RUNNING, {host.id})
    assert outcome.message.startswith("order 1 admits it; cannot read arn:aws:sns:")
    assert outcome.message.endswith("; agents come by themselves")


def test_a_topic_that_nobody_made_is_named(rig: Any) -> None:
    (host,) = rig.launch()
    rig.aws.client("sns", WEST).delete_topic(TopicArn=f"arn:aws:sns:{WEST}:123456789012:fairlead-prod_mm")

    (outcome,) = rig.start(rig.intent(host))

    assert outcome.message == (
        "order 1 admits it; there is no topic arn:aws:sns:eu-west-1:123456789012:fairlead-prod_mm; "
        "make it with `fairlead trigger setup`; agents come by themselves"
    )


def test_a_slow_topic_is_not_waited_for(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (host,), goes_on = rig.launch(), Event()
    monkeypatch.setattr("adapters.trigger.publishing.HINT_WITHIN", 0.1)
    rig.road.breaks("sns:Publish", lambda: goes_on.wait(20) and None)

    (outcome,) = rig.start(rig.intent(host))
    goes_on.set()

    assert outcome.message == "order 1 admits it; SNS is slow; agents come by themselves"


def test_a_bucket_that_is_not_there_makes_a_look_unreadable_and_says_so(rig: Any) -> None:
    fleet = rig.fleet()
    fleet = replace(fleet, environment=replace(fleet.environment, trigger={"bucket": "example-nowhere"}))

    with pytest.raises(Unreadable, match="example-nowhere"):
        rig.look(fleet)


def test_a_start_never_comes_before_its_host_was_asked(rig: Any) -> None:
    """A pass whose intent was written and whose write never left: the next look finds it still to be done."""
    (host,) = rig.launch()
    outcome = Outcome(intent=rig.intent(host), phase=Phase.INTENDED)

    assert rig.check(outcome).phase is Phase.INTENDED
    rig.clock.advance(timedelta(hours=2))
    late = rig.check(outcome)
    assert (late.phase, late.failure, late.reason) == (Phase.FAILED, Failure.TRANSIENT, Reason.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("blame", list(Blame)[1:])
def test_a_failed_attempt_is_not_begun_again_by_the_same_order(rig: Any, blame: Blame) -> None:
    (host,) = rig.launch()
    rig.start(rig.intent(host))
    host.fails(blame)

    rig.uphold(rig.standing(host))

    assert host.reads() is None
