"""A unit that cannot be healed to a release that the fleet runs well: it is left alone, and nothing is quarantined."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.deployers.memory import Place
from desired_state.model import Policy
from reconciler.reasons import Reason
from reconciler.record import Ask, State

HOSTS = [f"i-{number}" for number in range(4)]
SICK = {"package/checkout": "1.3.9"}


@pytest.fixture
def fleet(rig):
    rig.world_of_units.places = {host: Place() for host in HOSTS}
    rig.setting = rig.deployed("1.4.1")
    return rig


def drifts(rig, host="i-3", **facts):
    rig.world_of_units.run(host, SICK, **facts)
    rig.settle()


def fails(rig, times=2):
    """As often as a version may fail, each time after its wait."""
    for _ in range(times):
        rig.world_of_units.fail("it answers 503")
        rig.settle()
        rig.wait(minutes=5)
        rig.settle()


def reason(rig):
    return rig.record.memory.status.reason


def test_the_first_failure_is_tried_again_soon_and_quarantines_nothing(fleet):
    drifts(fleet)
    fleet.world_of_units.fail("it answers 503")
    fleet.settle()

    assert reason(fleet) is Reason.BACKING_OFF
    assert fleet.record.memory.status.message.startswith("i-3: it answers 503; all others run 1.4.1; tried again at ")
    fleet.wait(seconds=20)
    fleet.settle()
    assert [key.rsplit(":", 1)[1] for key in fleet.started] == ["a1", "a2"]


def test_after_as_many_failures_as_a_version_may_have_the_unit_is_named_and_left_alone_for_an_hour(fleet):
    drifts(fleet)
    fails(fleet)
    started = len(fleet.started)
    fleet.wait(minutes=30)
    again = fleet.once()

    memory = fleet.record.memory
    assert (memory.quarantines, memory.rollout, len(fleet.started)) == ((), None, started)
    assert reason(fleet) is Reason.HEALTH_CHECK_FAILED
    assert (fleet.said(fleet.setting).state, again) == (State.ERROR, memory.rests[0].until)
    fleet.wait(minutes=31)
    fleet.settle()
    assert len(fleet.started) == started + 1


def test_others_are_healed_meanwhile(fleet):
    drifts(fleet)
    fails(fleet)
    drifts(fleet, "i-1")
    fleet.world_of_units.finish()
    fleet.settle()

    assert fleet.runs()["i-1"] == "1.4.1"
    assert (reason(fleet), fleet.record.memory.rests[0].unit) == (Reason.HEALTH_CHECK_FAILED, "i-3")


def test_a_unit_that_leaves_takes_its_failures_with_it(fleet):
    drifts(fleet)
    fails(fleet)
    del fleet.world_of_units.places["i-3"]
    fleet.settle()

    assert fleet.record.memory.status.ready
    fleet.world_of_units.run("i-3", SICK)  # its successor has as many tries as any
    fleet.settle()
    assert fleet.record.memory.rests == ()


def test_a_unit_that_comes_to_its_release_by_itself_is_forgiven(fleet):
    drifts(fleet)
    fails(fleet)
    fleet.world_of_units.run("i-3", {"package/checkout": "1.4.1"})
    fleet.settle()

    assert fleet.record.memory.status.ready
    assert fleet.record.memory.rests == ()


def test_retry_tries_at_once(fleet):
    drifts(fleet)
    fails(fleet)
    started = len(fleet.started)
    fleet.ask(Ask.RETRY)
    fleet.settle()

    assert len(fleet.started) == started + 1


def test_a_newer_version_is_rolled_out_to_it_too(fleet, build):
    drifts(fleet)
    fails(fleet)
    fleet.commit(build.fleet("1.4.2"))
    fleet.settle()
    fleet.world_of_units.finish()
    fleet.settle()

    assert set(fleet.runs().values()) == {"1.4.2"}
    assert fleet.record.memory.status.ready


def test_a_unit_that_is_unwell_at_the_release_ends_the_healing_of_another(fleet):
    drifts(fleet)
    fleet.world_of_units.finish()
    fleet.world_of_units.run("i-0", {"package/checkout": "1.4.1"}, healthy=False)
    fleet.settle()
    fleet.wait(minutes=3)
    fleet.settle()

    assert (fleet.record.memory.quarantines, reason(fleet)) == ((), Reason.UNHEALTHY)


def test_what_comes_back_after_repairs_that_worked_is_still_held(fleet):
    for _ in range(3):
        drifts(fleet)
        fleet.world_of_units.finish()
        fleet.settle()
    drifts(fleet)

    assert reason(fleet) is Reason.DRIFT_RECURS


def test_repairs_that_failed_do_not_count_as_drift_that_came_back(fleet):
    drifts(fleet)
    fails(fleet)
    for _ in range(4):
        fleet.wait(hours=1, minutes=1)
        fleet.settle()
        fails(fleet, times=1)

    assert reason(fleet) is Reason.HEALTH_CHECK_FAILED


def test_a_fleet_that_went_back_by_itself_is_healed_in_the_same_way(fleet, build):
    fleet.commit(build.fleet("1.5.0", policy=Policy(retries=0)))
    fleet.settle()
    fleet.world_of_units.fail()
    fleet.settle()
    fleet.world_of_units.finish()
    fleet.settle()
    assert reason(fleet) is Reason.ROLLED_BACK

    drifts(fleet)
    fails(fleet)

    assert [entry.version for entry in fleet.record.memory.quarantines] == ["1.5.0"]
    assert reason(fleet) is Reason.HEALTH_CHECK_FAILED


def test_failures_of_units_that_left_a_rollout_leave_with_them(fleet, build):
    fleet.commit(build.fleet("1.4.2", deploy={"waves": (("i-0", "i-1"), HOSTS)}))
    fleet.settle()
    executions = fleet.world_of_units.executions.values()
    first = next(each for each in executions if each.intent.unit == "i-0")
    first.status = "FAILED"
    fleet.settle()
    assert fleet.record.memory.rollout.failing
    del fleet.world_of_units.places["i-0"]
    fleet.world_of_units.finish()
    fleet.settle()

    rollout = fleet.record.memory.rollout
    assert (dict(rollout.failures), rollout.retry_at) == ({}, None)
    assert replace(rollout, failures={}).wave == 2
