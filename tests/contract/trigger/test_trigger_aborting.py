"""Aborting: one order leaves them all out, and it is over when each host is seen to follow it and to rest."""

from typing import Any

import pytest

from reconciler.ports import LeaseLost
from reconciler.reasons import Reason
from reconciler.work import Outcome, Phase

WEST = "eu-west-1"


def test_one_order_leaves_out_all_and_is_hinted_at(rig: Any) -> None:
    one, two, three = rig.launch(3)
    outcomes = rig.start(rig.intent(one), rig.intent(two), rig.intent(three))

    asked = rig.abort(*outcomes[:2], standing=rig.standing(three))

    assert [(Phase.ABORTING, "without:2", "order 2 leaves it out")] * 2 == [
        (each.phase, each.ticket, each.message) for each in asked
    ]
    assert rig.order().admitted == {three.id}
    assert rig.road.went.count("sns:Publish") == 4
    assert rig.check(outcomes[2]).phase is Phase.RUNNING


def test_it_is_over_when_the_host_follows_the_new_order_and_rests(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    host.begins("staging")
    (asked,) = rig.abort(outcome, standing=rig.standing())

    assert rig.check(asked).phase is Phase.ABORTING  # it has not heard of it yet
    host.begins("draining")  # goes back to the base
    assert rig.check(asked).phase is Phase.ABORTING
    host.does()
    ended = rig.check(asked)

    assert (ended.phase, ended.message) == (Phase.ABORTED, f"{host.id} follows an order without it")
    assert host.components == {"package/mm": "2.3.0"}


def test_a_host_that_had_ended_it_needs_not_be_waited_for(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    host.does()
    (asked,) = rig.abort(outcome, standing=rig.standing())

    assert rig.check(asked).message == f"{host.id} had ended it: done"


def test_a_host_that_is_silent_or_gone_is_not_waited_for(rig: Any) -> None:
    silent, gone = rig.launch(2)
    outcomes = rig.start(rig.intent(silent), rig.intent(gone))
    for host in (silent, gone):
        host.begins()
    asked = rig.abort(*outcomes, standing=rig.standing())
    silent.silent = True
    rig.terminate(gone)

    first = [rig.check(each) for each in asked]
    rig.pass_time(minutes=4)
    last = rig.check(first[0])

    assert [each.phase for each in first] == [Phase.ABORTING, Phase.ABORTED]
    assert (last.phase, last.message.startswith(f"{silent.id} is silent since")) == (Phase.ABORTED, True)


def test_an_abort_that_was_asked_for_again_keeps_the_first_order_that_left_it_out(rig: Any) -> None:
    one, two = rig.launch(2)
    outcomes = rig.start(rig.intent(one), rig.intent(two))
    (asked,) = rig.abort(outcomes[0], standing=rig.standing(two))
    one.does()
    (again,) = rig.abort(asked, standing=rig.standing())

    assert (again.ticket, rig.order().sequence) == ("without:2", 3)
    assert rig.check(again).phase is Phase.ABORTED


def test_what_no_order_ever_admitted_is_over_at_once_when_a_newer_order_was_written(rig: Any) -> None:
    """An order on its way cannot come any more: it was to be put over the one that is gone."""
    one, two = rig.launch(2)
    rig.start(rig.intent(one))
    intended = Outcome(intent=rig.intent(two), phase=Phase.INTENDED)

    (ended,) = rig.abort(intended, standing=rig.standing())

    assert (ended.phase, ended.message) == (Phase.ABORTED, "no order admitted it")


def test_what_no_order_ever_admitted_is_waited_for_where_nothing_was_written(rig: Any) -> None:
    one, two = rig.launch(2)
    rig.start(rig.intent(one))
    intended = Outcome(intent=rig.intent(two), phase=Phase.INTENDED)

    (asked,) = rig.abort(intended, standing=rig.standing(one))

    assert (asked.phase, asked.ticket) == (Phase.ABORTING, None)


@pytest.mark.parametrize("fault", ["error", "drop"])
def test_an_abort_that_cannot_be_written_is_not_said_to_have_happened(rig: Any, fault: str) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    rig.road.breaks("s3:PUT", fault)

    (unheard,) = rig.abort(outcome, standing=rig.standing())

    assert (unheard.phase, unheard.ticket, unheard.reason) == (Phase.RUNNING, "1", Reason.UPKEEP_FAILED)
    assert rig.order().admitted == {host.id}


def test_a_lost_lease_aborts_nothing(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    rig.lease.lost_at = rig.lease.asked + 1

    with pytest.raises(LeaseLost):
        rig.abort(outcome, standing=rig.standing())

    assert rig.order().admitted == {host.id}


def test_what_keeps_a_hint_from_going_out_is_said(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    rig.road.breaks("sns:Publish", "error")

    (asked,) = rig.abort(outcome, standing=rig.standing())

    assert (asked.phase, asked.message.startswith("order 2 leaves it out; cannot read arn:aws:sns")) == (
        Phase.ABORTING,
        True,
    )


# ── where nothing may be said of what units run ──


def test_without_a_standing_the_order_is_kept_but_for_those(rig: Any) -> None:
    one, two = rig.launch(2)
    outcomes = rig.start(rig.intent(one), rig.intent(two))
    before = rig.order()

    (asked,) = rig.abort(outcomes[0])

    order = rig.order()
    assert (asked.phase, asked.ticket) == (Phase.ABORTING, "without:2")
    assert (order.sequence, order.admitted) == (2, {two.id})
    assert (order.target, order.base) == (before.target, before.base)


def test_without_a_standing_an_order_for_all_comes_to_name_those_that_are_there(rig: Any) -> None:
    one, two = rig.launch(2)
    rig.uphold(rig.settled("2.3.1"))
    outcome = Outcome(intent=rig.intent(one, setting_commit="b" * 40), phase=Phase.RUNNING, ticket="1")

    rig.abort(outcome)

    assert rig.order().admitted == {two.id}


def test_an_order_for_all_is_not_narrowed_to_hosts_that_could_not_be_read(rig: Any) -> None:
    one, _ = rig.launch(2)
    rig.uphold(rig.settled("2.3.1"))
    outcome = Outcome(intent=rig.intent(one, setting_commit="b" * 40), phase=Phase.RUNNING, ticket="1")

    (kept,) = rig.deployer.abort([outcome], None, {}, rig.lease)

    assert (kept.phase, kept.reason, rig.order().admitted) == (Phase.RUNNING, Reason.UPKEEP_FAILED, None)
    assert kept.message == (
        "s3://example-fairlead-prod/orders/prod/mm.json admits all hosts, "
        "and they could not be read to name all but these"
    )


def test_without_a_standing_and_without_an_order_there_is_nothing_to_leave_out(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    rig.s3.delete_object(Bucket="example-fairlead-prod", Key="orders/prod/mm.json")

    (asked,) = rig.abort(outcome)

    assert (asked.phase, asked.message) == (Phase.ABORTING, "no order of ours is there any more")
    assert rig.check(asked).phase is Phase.ABORTED


def test_an_older_order_that_somebody_put_back_is_given_no_new_number(rig: Any) -> None:
    one, two = rig.launch(2)
    rig.start(rig.intent(one))
    old = rig.body()
    outcomes = rig.start(rig.intent(two, rig.fleet("2.3.2")))
    rig.put(old)

    (kept,) = rig.abort(*outcomes)

    assert (kept.phase, rig.body()) == (Phase.RUNNING, old)
    assert kept.message == (
        "s3://example-fairlead-prod/orders/prod/mm.json holds order 1, and a newer one was given out; "
        "look who put the older one back"
    )


def test_a_host_in_another_region_is_left_out_as_well(rig: Any) -> None:
    (east,), (west,) = rig.launch(), rig.launch(1, WEST)
    outcomes = rig.start(rig.intent(east), rig.intent(west))

    asked = rig.abort(*outcomes, standing=rig.standing())
    for host in (east, west):
        host.does()

    assert [rig.check(each).phase for each in asked] == [Phase.ABORTED, Phase.ABORTED]
