"""A suspended region is left alone and leaves the rest alone: waves, success, rollbacks, and what comes afterwards."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desired_state.model import Heal, Policy, Suspension
from reconciler.aside import in_force
from reconciler.reasons import Reason
from reconciler.record import State

WEST, EAST, SOUTH = "eu-west-1", "us-east-1", "ap-southeast-2"
ASLEEP = (Suspension(reason="the region moves", regions=(WEST,)),)
WAVES = {"waves": [[EAST], [WEST]], "soak": "5m"}


def units(rig):
    return [key.split(":")[5] for key in rig.started]


def reason(rig):
    return rig.record.memory.status.reason


def test_the_others_converge_and_success_names_who_was_left_out(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2", regional=ASLEEP))
    rig.settle()
    assert [EAST] == units(rig)
    assert "wave 1/1: 1.4.2 on 0 of 2 regions (eu-west-1 is suspended)" == rig.said(bump).description

    rig.world_of_units.finish()
    rig.settle()

    assert State.SUCCESS is rig.said(bump).state
    assert "1.4.2 on 1 of 2 regions (eu-west-1 is suspended) in 0 s" == rig.said(bump).description
    assert {EAST: "1.4.2", WEST: "1.4.1"} == rig.runs()
    assert {EAST, WEST} == {unit.id for unit in rig.record.memory.status.units}


@pytest.mark.parametrize("policy", [Policy(), Policy(heal=Heal.OFF)])
def test_when_it_ends_the_region_gets_what_the_others_got_and_that_is_no_drift(rig, build, policy):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2", regional=ASLEEP, policy=policy))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    rig.commit(build.fleet("1.4.2", policy=policy), "awake", keeps=bump)
    rig.settle()
    assert [EAST, WEST] == units(rig)
    assert Reason.PROGRESSING is reason(rig)
    assert () == rig.record.memory.repairs

    rig.world_of_units.finish()
    rig.settle()
    assert rig.said(bump).description.startswith("1.4.2 on 2/2 units")
    assert () == rig.record.memory.unreached


def test_what_drifts_later_in_a_region_that_was_reached_is_healed_as_drift(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.1", regional=ASLEEP), "asleep", keeps=rig.commits[-1])
    rig.settle()
    rig.world_of_units.run(WEST, {"package/checkout": "1.3.0"})
    rig.commit(build.fleet("1.4.1"), "awake", keeps=rig.commits[0])

    rig.settle()

    assert Reason.HEALING is reason(rig)


def test_it_ends_by_itself_at_its_time(rig, build):
    rig.deployed("1.4.1")
    until = rig.clock.now() + timedelta(hours=1)
    bump = rig.commit(build.fleet("1.4.2", regional=(replace(ASLEEP[0], until=until),)))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    assert until == rig.once()

    rig.clock.advance(timedelta(hours=1))
    rig.settle()
    assert [EAST, WEST] == units(rig)
    rig.world_of_units.finish()
    rig.settle()
    assert rig.said(bump).description.startswith("1.4.2 on 2/2 units")


def test_waves_pass_over_it_and_soak_where_something_was_moved(rig, build):
    rig.deployed("1.4.1")
    sleepers = (Suspension(reason="the region moves", regions=(EAST,)),)
    bump = rig.commit(build.fleet("1.4.2", deploy=WAVES, regional=sleepers))
    rig.settle()
    rig.wait(seconds=10)
    rig.settle()
    assert [WEST] == units(rig)
    rig.world_of_units.finish()
    rig.settle()
    assert Reason.SOAKING is reason(rig)

    rig.wait(minutes=5)
    rig.settle()
    assert "1.4.2 on 1 of 2 regions (us-east-1 is suspended) in 5 min 10 s" == rig.said(bump).description


def test_a_region_in_a_later_wave_that_wakes_up_soaks_no_earlier_one_again(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2", deploy=WAVES, regional=ASLEEP))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    rig.wait(minutes=5)
    rig.settle()
    assert State.SUCCESS is rig.said(bump).state

    rig.commit(build.fleet("1.4.2", deploy=WAVES), "awake", keeps=bump)
    rig.settle()
    rig.wait(seconds=10)
    rig.settle()

    assert [EAST, WEST] == units(rig)


CANARY = {"waves": [[EAST], [WEST, SOUTH]], "soak": "5m"}


def with_three(rig, build):
    for unit in (EAST, WEST, SOUTH):
        rig.world_of_units.run(unit, {"package/checkout": "1.4.1"})
    return rig.deployed("1.4.1")


def test_where_the_first_region_sleeps_another_one_goes_first_and_soaks(rig, build):
    with_three(rig, build)
    sleepers = (Suspension(reason="the region moves", regions=(EAST,)),)
    bump = rig.commit(build.fleet("1.4.2", deploy=CANARY, regional=sleepers))
    rig.settle()
    rig.wait(seconds=10)
    rig.settle()
    assert [WEST] == units(rig)

    rig.world_of_units.finish()
    rig.settle()
    assert Reason.SOAKING is reason(rig)
    assert [WEST] == units(rig)
    rig.wait(minutes=5)
    rig.settle()
    assert [WEST, SOUTH] == units(rig)

    rig.world_of_units.finish()
    rig.settle()
    rig.wait(minutes=5)
    rig.settle()
    assert (State.SUCCESS, [WEST, SOUTH]) == (rig.said(bump).state, units(rig))


@pytest.mark.parametrize("ends", ["finish", "fail"])
def test_where_the_first_region_is_suspended_while_it_is_deployed_to_another_one_goes_first(rig, build, ends):
    with_three(rig, build)
    bump = rig.commit(build.fleet("1.4.2", deploy=CANARY))
    rig.settle()
    assert [EAST] == units(rig)

    sleepers = (Suspension(reason="the region moves", regions=(EAST,)),)
    rig.commit(build.fleet("1.4.2", deploy=CANARY, regional=sleepers), "asleep", keeps=bump)
    rig.settle()
    getattr(rig.world_of_units, ends)()
    rig.wait(seconds=10)
    rig.settle()

    assert 2 == len(units(rig))
    assert SOUTH not in units(rig)


def test_where_the_first_region_wakes_up_as_the_one_in_its_place_falls_asleep_it_goes_first_itself(rig, build):
    with_three(rig, build)
    asleep = {region: (Suspension(reason="moves", regions=(region,)),) for region in (EAST, WEST)}
    bump = rig.commit(build.fleet("1.4.2", deploy=CANARY, regional=asleep[EAST]))
    rig.settle()
    rig.wait(seconds=10)
    rig.settle()
    assert [WEST] == units(rig)

    rig.commit(build.fleet("1.4.2", deploy=CANARY, regional=asleep[WEST]), "other", keeps=bump)
    rig.settle()

    assert [WEST, EAST] == units(rig)


def test_where_the_next_region_is_alone_in_its_wave_it_is_not_soaked_twice(rig, build):
    with_three(rig, build)
    sleepers = (Suspension(reason="the region moves", regions=(EAST,)),)
    bump = rig.commit(build.fleet("1.4.2", deploy={**CANARY, "waves": [[EAST], [WEST], [SOUTH]]}, regional=sleepers))
    rig.settle()
    rig.wait(seconds=10)
    for _ in range(2):
        rig.settle()
        rig.world_of_units.finish()
        rig.settle()
        rig.wait(minutes=5)
    rig.settle()

    assert (State.SUCCESS, [WEST, SOUTH]) == (rig.said(bump).state, units(rig))


@pytest.mark.parametrize("policy", [Policy(), Policy(heal=Heal.OFF)])
def test_a_region_that_wakes_up_after_its_wave_is_deployed_to_and_no_commit_stays_pending(rig, build, policy):
    rig.deployed("1.4.1")
    sleepers = (Suspension(reason="the region moves", regions=(EAST,)),)
    bump = rig.commit(build.fleet("1.4.2", deploy=WAVES, policy=policy, regional=sleepers))
    rig.settle()
    rig.wait(seconds=10)
    rig.settle()
    assert [WEST] == units(rig)

    rig.commit(build.fleet("1.4.2", deploy=WAVES, policy=policy), "awake", keeps=bump)
    rig.world_of_units.finish()
    rig.settle()
    rig.wait(minutes=5)
    rig.settle()
    assert [WEST, EAST] == units(rig)
    assert (Reason.PROGRESSING, State.PENDING) == (reason(rig), rig.said(bump).state)

    rig.world_of_units.finish()
    rig.settle()
    assert Reason.SOAKING is reason(rig)
    rig.wait(minutes=5)
    rig.settle()
    assert (State.SUCCESS, []) == (rig.said(bump).state, rig.pending())
    assert ((), ()) == (rig.record.memory.repairs, rig.record.memory.unreached)


def test_all_regions_together_are_the_ordinary_hold(rig, build):
    rig.deployed("1.4.1")
    both = (*ASLEEP, Suspension(reason="and so does this one", regions=(EAST,)))
    bump = rig.commit(build.fleet("1.4.2", regional=both))

    rig.settle()

    assert Reason.SUSPENDED is reason(rig)
    assert "Suspended: the region moves; and so does this one" == rig.said(bump).description
    assert [] == units(rig)


def test_a_whole_suspension_beside_one_of_a_region_holds_everything(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", regional=ASLEEP, suspension=Suspension(reason="all of it")))

    rig.settle()

    assert (Reason.SUSPENDED, []) == (reason(rig), units(rig))


def test_of_several_the_union_counts_while_each_lasts(build):
    now = build.now
    soon, later = now + timedelta(hours=1), now + timedelta(hours=2)
    east = Suspension(reason="east", regions=(EAST,), until=soon)
    west = Suspension(reason="west", regions=(WEST,), until=later)
    fleet = build.fleet("1.4.2", regional=(east, west))

    assert (soon, ()) == (in_force(fleet, now).suspension.until, in_force(fleet, now).regional)
    assert {WEST: west} == in_force(fleet, soon).asleep
    assert {} == in_force(fleet, later).asleep
    assert in_force(fleet, later).suspension is None


def test_work_that_was_under_way_goes_on_and_holds_up_nobody(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    assert {EAST, WEST} == set(units(rig))
    rig.commit(build.fleet("1.4.2", regional=ASLEEP), "asleep", keeps=bump)
    rig.settle()
    assert {"RUNNING"} == {each.status for each in rig.world_of_units.executions.values()}

    east = next(each for each in rig.world_of_units.executions.values() if each.intent.unit == EAST)
    east.status = "SUCCEEDED"
    rig.world_of_units.run(EAST, east.intent.fleet.components)
    again = rig.once()
    rig.settle()
    assert "1.4.2 on 1 of 2 regions (eu-west-1 is suspended) in 0 s" == rig.said(bump).description
    assert again == rig.clock.now()
    assert [WEST] == [outcome.intent.unit for outcome in rig.record.work]

    rig.world_of_units.finish()
    rig.settle()
    rig.commit(build.fleet("1.4.2"), "awake", keeps=bump)
    rig.settle()
    assert rig.said(bump).description.startswith("1.4.2 on 2/2 units")
    assert 2 == len(rig.started)


def test_a_revert_leaves_it_alone_and_ends_nothing_there(rig, build):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    revert = rig.commit(build.fleet("1.4.1", regional=ASLEEP), "back", reverts=(bad,))
    rig.settle()
    statuses = {each.intent.unit: each.status for each in rig.world_of_units.executions.values()}
    assert {EAST: "CANCELING", WEST: "RUNNING"} == statuses

    rig.world_of_units.end_canceled()
    rig.world_of_units.run(EAST, {"package/checkout": "1.4.2"})
    rig.settle()
    back = next(each for each in rig.world_of_units.executions.values() if each.status == "RUNNING" and _is_back(each))
    assert EAST == back.intent.unit
    back.status = "SUCCEEDED"
    rig.world_of_units.run(EAST, {"package/checkout": "1.4.1"})
    rig.settle()

    assert State.SUCCESS is rig.said(revert).state
    assert "1 of 2 regions (eu-west-1 is suspended)" in rig.said(revert).description


def _is_back(execution):
    return execution.intent.fleet.version == "1.4.1"


def test_a_rollback_leaves_it_alone_and_it_follows_when_it_wakes_up(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", policy=Policy(retries=0)))
    rig.settle()
    bad = rig.commits[-1]
    rig.world_of_units.run(WEST, {"package/checkout": "1.4.2"})
    rig.commit(build.fleet("1.4.2", policy=Policy(retries=0), regional=ASLEEP), "asleep", keeps=bad)
    east = next(each for each in rig.world_of_units.executions.values() if each.intent.unit == EAST)
    east.status, east.message = "FAILED", "no"
    rig.world_of_units.run(EAST, {}, healthy=False)
    rig.settle()
    assert Reason.ROLLING_BACK is reason(rig)

    back = next(each for each in rig.world_of_units.executions.values() if _is_back(each))
    back.status = "SUCCEEDED"
    rig.world_of_units.run(EAST, {"package/checkout": "1.4.1"})
    rig.settle()
    assert {EAST: "1.4.1", WEST: "1.4.2"} == rig.runs()
    assert Reason.ROLLED_BACK is reason(rig)

    rig.world_of_units.finish()  # what went on there by itself
    rig.settle()
    rig.commit(build.fleet("1.4.2", policy=Policy(retries=0)), "awake", keeps=bad)
    rig.settle()
    assert Reason.ROLLING_BACK is reason(rig)
    assert WEST == units(rig)[-1]


def test_what_fails_there_meanwhile_is_nobody_elses_failure(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2", policy=Policy(retries=0)))
    rig.settle()
    rig.commit(build.fleet("1.4.2", policy=Policy(retries=0), regional=ASLEEP), "asleep", keeps=bump)
    west = next(each for each in rig.world_of_units.executions.values() if each.intent.unit == WEST)
    west.status, west.message = "FAILED", "no"
    rig.settle()
    rig.world_of_units.finish()

    rig.settle()

    assert () == rig.record.memory.quarantines
    assert State.SUCCESS is rig.said(bump).state


def test_a_fleet_that_is_gone_has_no_region_that_is_left_out(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", regional=ASLEEP))
    rig.settle()
    rig.commit(None)

    rig.settle()

    assert {"CANCELING"} == {each.status for each in rig.world_of_units.executions.values()}
