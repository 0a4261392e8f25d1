"""What a fleet's hosts run, read from EC2, their reports and their target groups."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.aws.inventory import InventoryReader, Place
from desired_state.model import Policy, ZeroUnits
from reconciler.observed import Unit
from reconciler.ports import Unreadable

EAST, WEST = "us-east-1", "eu-west-1"


def test_units_are_the_instances_of_all_regions_with_their_reports_laid_over(rig: Any) -> None:
    (east,), (west,) = rig.launch(), rig.launch(1, WEST, components={"package/mm": "2.2.9"}, healthy=False)

    found = {unit.id: unit for unit in rig.observed().units}

    assert found == {
        east.id: Unit(id=east.id, components={"package/mm": "2.3.0"}, healthy=True),
        west.id: Unit(
            id=west.id,
            components={"package/mm": "2.2.9"},
            healthy=False,
            message="http://localhost:8080/health answered 503",
        ),
    }


def test_stopped_terminated_and_other_fleets_instances_are_none_of_its_units(rig: Any) -> None:
    kept, stopped, gone = rig.launch(3)
    rig.aws.client("ec2").stop_instances(InstanceIds=[stopped.id])
    rig.terminate(gone)
    (other,) = rig.launch()
    rig.aws.client("ec2").create_tags(Resources=[other.id], Tags=[{"Key": "service", "Value": "lobby"}])

    assert [kept.id] == [unit.id for unit in rig.observed().units]


def test_tags_are_taken_to_the_letter(rig: Any) -> None:
    _, starred = rig.launch(2)
    rig.aws.client("ec2").create_tags(Resources=[starred.id], Tags=[{"Key": "service", "Value": "m*?"}])
    fleet = rig.fleet(deploy={"select": {"tags": {"service": "m*?"}}})

    assert [starred.id] == [unit.id for unit in rig.observed(fleet).units]


def test_before_any_host_reported_nothing_is_concluded(rig: Any) -> None:
    (host,) = rig.launch(1, silent=True)

    unread = rig.observed().missing
    for region in (EAST, WEST):
        rig.reports[region] = {}
    unheard = rig.observed().missing

    assert unread == ("reports/123456789012/us-east-1/prod",)
    assert unheard == (f"any report (does the agent run on {host.id}, with fleets: {{prod/mm: ...}}?)",)


def test_one_host_that_never_reported_beside_others_is_a_unit_that_is_not_well(rig: Any) -> None:
    rig.launch()
    (mute,) = rig.launch(1, silent=True)
    assert [mute.id] == [unit.id for unit in rig.observed().joining]  # it may still be booting

    rig.pass_time(minutes=11)

    assert (rig.observed().missing, rig.unit(mute)) == (
        (),
        Unit(id=mute.id, components={}, healthy=False, running=True, unheard=True, message="has never reported"),
    )


def test_no_instance_at_all_is_no_unit_unless_that_is_meant(rig: Any) -> None:
    nothing = rig.observed()
    meant = rig.observed(rig.fleet(policy=Policy(zero_units=ZeroUnits.ALLOWED)))

    assert (nothing.units, nothing.missing) == ((), ())
    assert [(unit.healthy, unit.running, unit.components) for unit in meant.units] == [
        (True, False, {"package/mm": "2.3.1"})
    ]


def test_waves_take_from_every_zone_in_turn_and_who_joined_last_comes_last(rig: Any) -> None:
    first, second = rig.launch(2, WEST), rig.launch(2)
    zones = {host.id: host.region for host in (*first, *second)}

    observed = rig.observed()
    one, rest = rig.deployer.waves(rig.fleet(), observed)

    assert len({zones[unit.id] for unit in observed.units[:2]}) == 2
    assert (len(one.units), set(rest.units)) == (1, set(zones))
    assert {wave.at_once for wave in (one, rest)} == {1}


def test_a_refusal_is_shown_until_a_newer_order_is_followed(rig: Any) -> None:
    (host,) = rig.launch()
    rig.put(b"not JSON")
    host.reads()
    host.says()

    assert rig.unit(host).message.startswith("refuses its order (OrderMalformed): ")
    assert rig.observed().upkeep
    rig.uphold(rig.settled())
    host.does()
    assert rig.unit(host) == Unit(id=host.id, components={"package/mm": "2.3.0"}, healthy=True)


def test_the_bulk_read_and_the_narrow_read_show_the_same(rig: Any) -> None:
    rig.launch(2)
    reader = InventoryReader(rig.sessions)
    bulk = reader.read_region(Place("123456789012", EAST, None))

    assert rig.deployer.part(rig.fleet(), EAST, bulk) == rig.look()[f"inventory/123456789012/{EAST}"].body


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("ec2:DescribeInstances", "instances"),
        ("s3:GET", "s3://example-fairlead-prod/orders/prod/mm.json"),
        ("elasticloadbalancing:DescribeTargetHealth", "the health of the targets of mm/"),
    ],
)
def test_a_look_that_fails_is_a_sentence(rig: Any, action: str, said: str) -> None:
    (host,) = rig.launch()
    rig.balance(host)
    rig.observed()
    rig.road.breaks(action, "error")

    with pytest.raises(Unreadable, match=said):
        rig.look()


def test_an_order_that_breaks_off_on_the_way_is_no_order_that_somebody_wrote(rig: Any) -> None:
    rig.launch()
    rig.uphold(rig.settled())
    rig.road.breaks("s3:GET", "half")

    with pytest.raises(Unreadable, match=r"s3://example-fairlead-prod/orders/prod/mm\.json"):
        rig.look()


def test_what_the_fleet_claims_is_named_by_account_region_and_tags(rig: Any) -> None:
    tags = "environment=prod,service=mm"

    assert rig.deployer.selection(rig.fleet()) == tuple(f"123456789012/{region}/{tags}" for region in (EAST, WEST))


# ── after a lost ledger ──


def test_work_of_an_earlier_life_is_found_in_the_order_that_admits_it(rig: Any) -> None:
    one, two = rig.launch(2)
    fleet = rig.fleet()
    rig.start(rig.intent(one, fleet, attempt=2), rig.intent(two, fleet))

    found = rig.deployer.running(fleet, "fairlead:main:prod/mm:")

    identity = f"fairlead:main:prod/mm:{'c' * 12}:{fleet.target_digest[:12]}"
    assert found == {f"{identity}:{one.id}:w1:a2": "1", f"{identity}:{two.id}:w1:a1": "1"}


def test_a_settled_order_another_target_and_an_old_order_are_no_work(rig: Any) -> None:
    (host,) = rig.launch()
    prefix = "fairlead:main:prod/mm:"
    assert rig.deployer.running(rig.fleet(), prefix) == {}
    rig.uphold(rig.settled("2.3.1"))
    assert rig.deployer.running(rig.fleet(), prefix) == {}

    rig.start(rig.intent(host))
    assert rig.deployer.running(rig.fleet("2.3.2"), prefix) == {}
    rig.pass_time(minutes=13)
    assert rig.deployer.running(rig.fleet(), prefix) == {}


def test_an_order_that_is_not_ours_is_no_work_and_a_bucket_that_cannot_be_read_is_no_answer(rig: Any) -> None:
    (host,) = rig.launch()
    rig.start(rig.intent(host))
    rig.put(rig.body().replace(b'"sequence":1', b'"sequence":9'))
    assert rig.deployer.running(rig.fleet(), "fairlead:main:prod/mm:") == {}

    rig.road.breaks("s3:GET", "error")
    with pytest.raises(Unreadable):
        rig.deployer.running(rig.fleet(), "fairlead:main:prod/mm:")


def test_work_in_regions_that_the_fleet_has_left_is_read_too(rig: Any) -> None:
    (host,) = rig.launch(1, WEST)
    (outcome,) = rig.start(rig.intent(host))
    fleet = rig.fleet()
    fleet = replace(fleet, environment=replace(fleet.environment, regions=(EAST,)))

    seen = rig.deployer.refresh(fleet, [outcome], {})

    assert host.id in seen[f"inventory/123456789012/{WEST}"].body["hosts"]
