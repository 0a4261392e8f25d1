"""Upholding: what stands lies in S3, signed by our key and for long enough, whatever others did to it."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.signing import new_key
from reconciler.ports import LeaseLost

WEST = "eu-west-1"
SPOT = "s3://example-fairlead-prod/orders/prod/mm.json"


def test_what_lies_there_already_is_left_alone(rig: Any) -> None:
    rig.launch()
    assert rig.uphold(rig.settled()) == ""

    assert rig.uphold(rig.settled()) == ""

    (order,) = rig.written()
    assert (order["admitted"], order["sequence"]) == ("all", 1)


def test_the_order_of_a_rollout_stays_in_the_bucket_that_it_began_in(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    rig.s3.create_bucket(Bucket="example-elsewhere")
    fleet = rig.fleet()
    moved = replace(fleet, environment=replace(fleet.environment, trigger={"bucket": "example-elsewhere"}))
    seen = rig.look(moved)

    rig.deployer.uphold(moved, rig.standing(host), seen, rig.lease)
    assert len(rig.written()) == 1
    rig.deployer.uphold(moved, rig.standing(), seen, rig.lease)
    assert rig.order().admitted == frozenset()
    rig.start(rig.intent(host, attempt=2), snapshots=seen)
    (asked,) = rig.deployer.abort([outcome], None, seen, rig.lease)

    assert (asked.ticket, rig.order().sequence, rig.order().admitted) == ("without:4", 4, frozenset())
    assert "Contents" not in rig.s3.list_objects_v2(Bucket="example-elsewhere")


def test_a_pass_that_has_not_looked_writes_nothing(rig: Any) -> None:
    rig.launch()

    assert rig.deployer.uphold(rig.fleet(), rig.settled(), rig.heard(), rig.lease) == ""

    assert (rig.written(), rig.lease.asked) == ([], 0)


def test_a_word_that_changed_is_written_and_hinted_at(rig: Any) -> None:
    host, _ = rig.launch(2)
    rig.uphold(rig.settled())
    host.does()

    rig.uphold(rig.standing(host))

    assert (rig.order().sequence, rig.order().admitted) == (2, {host.id})
    assert rig.road.went.count("sns:Publish") == 4


def test_the_order_after_a_rollout_wakes_nobody_for_whom_it_is_the_same(rig: Any) -> None:
    first, second = rig.launch(2)
    rollout = rig.standing(first, second)
    rig.uphold(rollout)
    woken = rig.road.went.count("sns:Publish")

    rig.uphold(replace(rollout, base=rollout.target, admitted=None))

    assert (rig.order().sequence, rig.order().admitted) == (2, None)
    assert rig.road.went.count("sns:Publish") == woken


def test_the_order_after_a_rollout_wakes_a_fleet_with_a_host_that_it_did_not_reach(rig: Any) -> None:
    first, _ = rig.launch(2)
    rollout = rig.standing(first)
    rig.uphold(rollout)
    woken = rig.road.went.count("sns:Publish")

    rig.uphold(replace(rollout, base=rollout.target, admitted=None))

    assert rig.road.went.count("sns:Publish") == woken + 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"admitted": []}, "OrderTampered: the order's signature is not that of its content"),
        ({"key_id": "stolen"}, "OrderKeyUnknown: signed with another key"),
        ({"format": "fairlead/order/v9"}, "OrderMalformed: the order's format is 'fairlead/order/v9', and this agent"),
    ],
    ids=["tampered", "another key's name", "another format"],
)
def test_what_is_not_ours_is_replaced_and_said(rig: Any, change: dict[str, Any], why: str) -> None:
    (host,) = rig.launch()
    rig.uphold(rig.settled())
    host.does()
    rig.put(canonical({**json.loads(rig.body()), **change}))

    said = rig.uphold(rig.settled())

    assert said.startswith(f"{SPOT} held no order of ours ({why}")
    assert said.endswith("; it was written anew, look who wrote there")
    assert (rig.order().sequence, rig.order().admitted) == (2, None)
    assert rig.uphold(rig.settled()) == ""


@pytest.mark.parametrize("body", [b"", b"not JSON", b"[]", b"x" * 1_100_000], ids=["empty", "text", "list", "huge"])
def test_what_is_no_order_at_all_is_replaced(rig: Any, body: bytes) -> None:
    rig.launch()
    rig.put(body)

    assert "held no order of ours (OrderMalformed" in rig.uphold(rig.settled())

    assert rig.order().sequence == 1


def test_an_order_of_an_earlier_key_is_signed_anew(rig: Any) -> None:
    rig.launch()
    rig.uphold(rig.settled())
    rig.key, _ = new_key("2027-01")

    said = rig.uphold(rig.settled(), by=rig.controller(rig.key))

    assert "signed with another key" in said
    assert (rig.order().sequence, rig.order().key_id) == (2, "2027-01")


def test_an_order_of_another_fleet_is_replaced(rig: Any) -> None:
    rig.launch()
    rig.uphold(rig.settled())
    document = {**json.loads(rig.body()), "fleet": "prod/lobby"}
    rig.put(canonical(rig.key.sign(document)))

    assert "OrderMisaddressed: it is for prod/lobby" in rig.uphold(rig.settled())

    assert rig.order().fleet == "prod/mm"


def test_a_claim_that_no_honest_order_makes_does_not_use_up_the_numbers(rig: Any) -> None:
    (host,) = rig.launch()
    rig.uphold(rig.settled())
    host.reads()
    host.says()
    rig.put(canonical({**json.loads(rig.body()), "sequence": 2**52}))

    rig.uphold(rig.settled())

    assert rig.order().sequence == 2


def test_an_order_that_was_deleted_is_written_anew_above_what_hosts_follow(rig: Any) -> None:
    (host,) = rig.launch()
    rig.uphold(rig.settled())
    host.does()
    rig.s3.delete_object(Bucket="example-fairlead-prod", Key="orders/prod/mm.json")

    assert rig.uphold(rig.settled()) == ""

    assert rig.order().sequence == 2
    assert host.reads() is None
    assert (host.order.sequence, host.refused) == (2, None)


def test_an_older_order_that_was_put_back_is_replaced(rig: Any) -> None:
    (host,) = rig.launch()
    rig.uphold(rig.settled())
    old = rig.body()
    rig.uphold(rig.standing(host))
    host.does()
    rig.put(old)
    host.reads()
    host.says()
    assert host.refused.reason == "OrderReplayed"

    rig.uphold(rig.standing(host))

    assert rig.order().sequence == 3
    assert host.reads() is None
    assert host.order.sequence == 3


def test_a_number_that_hosts_took_for_something_else_is_passed_over(rig: Any) -> None:
    """The bucket was set back and the reports were not read yet: two orders of one number were given out."""
    (host,) = rig.launch()
    rig.uphold(rig.settled())
    rig.s3.delete_object(Bucket="example-fairlead-prod", Key="orders/prod/mm.json")
    rig.uphold(rig.standing(host))  # order 1 again, with another meaning
    first = json.loads(rig.s3.get_object(**_version(rig, 0))["Body"].read())
    rig.put(canonical(first))
    host.reads()
    rig.put(rig.s3.get_object(**_version(rig, 1))["Body"].read())
    host.reads()
    host.says()
    assert (host.order.sequence, host.refused.reason, host.refused.sequence) == (1, "OrderReplayed", 1)

    rig.uphold(rig.standing(host))

    assert host.reads() is not None
    assert host.order.sequence == rig.order().sequence > 1
    host.says()
    assert rig.uphold(rig.standing(host)) == ""
    assert rig.order().sequence == host.order.sequence


def _version(rig: Any, place: int) -> dict[str, str]:
    listed = rig.s3.list_object_versions(Bucket="example-fairlead-prod", Prefix="orders/")["Versions"]
    return {
        "Bucket": "example-fairlead-prod",
        "Key": "orders/prod/mm.json",
        "VersionId": listed[-1 - place]["VersionId"],
    }


# ── time ──


def test_an_order_is_signed_again_at_half_its_life(rig: Any) -> None:
    (host,) = rig.launch()
    rig.uphold(rig.settled())
    host.does()
    rig.pass_time(days=14, hours=23)
    assert rig.observed(rig.fleet("2.3.0")).upkeep is False
    rig.uphold(rig.settled())
    assert rig.order().sequence == 1

    rig.pass_time(hours=1, seconds=1)
    assert rig.observed(rig.fleet("2.3.0")).upkeep is True
    rig.uphold(rig.settled())

    assert (rig.order().sequence, rig.order().expires) == (2, rig.clock.now() + timedelta(days=30))
    host.does()
    assert rig.observed(rig.fleet("2.3.0")).upkeep is False


def test_what_expired_while_no_controller_ran_is_signed_again(rig: Any) -> None:
    (host,) = rig.launch()
    rig.uphold(rig.settled())
    host.does()
    rig.pass_time(days=31)
    host.reads()
    host.says()
    assert host.refused.reason == "OrderExpired"

    rig.uphold(None)

    assert host.reads() is None
    assert host.order.sequence == 2


def test_where_nothing_may_be_said_the_same_is_signed_again_at_half_its_life(rig: Any) -> None:
    one, two = rig.launch(2)
    rig.uphold(rig.standing(one))
    one.does()
    two.does()
    before = rig.order()
    rig.pass_time(days=14)
    assert (rig.uphold(None), rig.order().sequence) == ("", 1)

    rig.pass_time(days=1)
    assert rig.uphold(None) == ""

    after = rig.order()
    assert (after.sequence, after.meaning) == (2, before.meaning)
    assert after.expires == rig.clock.now() + timedelta(days=30)
    assert [host.reads() for host in (one, two)] == [None, None]


def test_where_nothing_may_be_said_an_order_that_is_not_there_is_not_made_up(rig: Any) -> None:
    rig.launch()

    assert rig.uphold(None) == ""

    assert rig.written() == []


def test_where_nothing_may_be_said_what_is_not_ours_is_told_and_stays(rig: Any) -> None:
    rig.launch()
    rig.put(b"not JSON")

    assert rig.uphold(None).startswith(f"{SPOT} held no order of ours (OrderMalformed")

    assert rig.body() == b"not JSON"


def test_an_older_order_that_was_put_back_is_not_signed_again(rig: Any) -> None:
    """It has our signature and half of its life is spent: signed with a new number, hosts would believe it."""
    (host,) = rig.launch()
    rig.uphold(rig.standing(host))
    old = rig.body()
    rig.uphold(rig.settled())
    host.does()
    rig.pass_time(days=20)
    rig.put(old)

    assert rig.uphold(None) == f"{SPOT} holds order 1, and a newer one was given out; look who put the older one back"

    assert rig.body() == old


def test_an_order_that_no_host_follows_is_not_signed_again(rig: Any) -> None:
    rig.launch()
    rig.uphold(rig.settled())
    rig.pass_time(days=20)

    assert rig.uphold(None) == ""

    assert rig.order().sequence == 1


# ── trouble ──


@pytest.mark.parametrize("standing", [True, False])
def test_a_lost_lease_writes_nothing(rig: Any, standing: bool) -> None:
    (host,) = rig.launch()
    rig.uphold(rig.settled())
    host.does()
    rig.pass_time(days=20)
    rig.lease.lost_at = rig.lease.asked + 1

    with pytest.raises(LeaseLost):
        rig.uphold(rig.settled() if standing else None)

    assert len(rig.written()) == 1


@pytest.mark.parametrize("fault", ["error", "drop"])
def test_what_keeps_it_from_being_written_is_said(rig: Any, fault: str) -> None:
    rig.launch()
    rig.road.breaks("s3:PUT", fault)

    said = rig.uphold(rig.settled())

    assert said.startswith(f"cannot read {SPOT} (to write it)")
    rig.road.mended("s3:PUT")
    assert (rig.uphold(rig.settled()), rig.order().sequence) == ("", 1)


def test_without_a_key_it_is_said_how_to_give_one(rig: Any) -> None:
    rig.launch()

    said = rig.uphold(rig.settled(), by=rig.controller(None))

    assert (said, rig.written()) == ("there is no key to sign orders with; set [signing] in fairlead.toml", [])


def test_two_who_uphold_at_once_leave_one_word(rig: Any) -> None:
    (host,) = rig.launch()
    seen, other = rig.look(), rig.controller(rig.key)
    rig.road.breaks("s3:PUT", lambda: other.uphold(rig.fleet(), rig.standing(host), seen, rig.lease) and None, times=1)

    said = rig.deployer.uphold(rig.fleet(), rig.settled(), seen, rig.lease)

    assert said == f"another writer was faster at {SPOT}; it is looked at again"
    assert [[host.id]] == [order["admitted"] for order in rig.written()]
