"""What units that look for themselves are told to run, pass by pass."""

from __future__ import annotations

from dataclasses import replace

import pytest

from desired_state.model import OnFailure, Policy, Suspension
from reconciler.reasons import Reason
from reconciler.record import Ask

ONE_BY_ONE = {"waves": (("eu-west-1",), ("eu-west-1", "us-east-1")), "soak": "1m"}


def told(rig):
    """The standing in words: target, base, admitted."""
    standing = rig.world_of_units.standing
    admitted = None if standing.admitted is None else sorted(standing.admitted)
    return standing.target.fleet.version, standing.base and standing.base.fleet.version, admitted


def test_a_settled_fleet_has_one_release_for_all_and_for_who_joins(rig):
    rig.deployed("1.4.1")

    assert told(rig) == ("1.4.1", "1.4.1", None)


def test_nothing_is_said_of_a_fleet_that_is_not_adopted(rig, build):
    rig.run_everywhere("1.4.0")
    rig.commit(build.fleet("1.4.1"))
    rig.settle()

    assert rig.world_of_units.standing is None
    rig.ask(Ask.ADOPT)
    rig.settle()
    assert told(rig) == ("1.4.1", "1.4.0", ["eu-west-1", "us-east-1"])


def test_a_wave_admits_its_own_units_and_all_others_run_the_last_good_release(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=ONE_BY_ONE))
    rig.settle()

    assert told(rig) == ("1.4.2", "1.4.1", ["eu-west-1"])
    rig.world_of_units.finish()
    rig.settle()
    assert told(rig) == ("1.4.2", "1.4.1", ["eu-west-1"])
    rig.wait(minutes=2)
    rig.settle()
    assert told(rig) == ("1.4.2", "1.4.1", ["eu-west-1", "us-east-1"])
    rig.world_of_units.finish()
    rig.settle()
    rig.wait(minutes=2)
    rig.settle()
    assert told(rig) == ("1.4.2", "1.4.2", None)


def test_a_second_attempt_has_its_number_and_a_failed_target_is_rejected(rig, build):
    good = rig.deployed("1.4.1")
    bad = build.fleet("1.5.0", deploy=ONE_BY_ONE)
    rig.commit(bad)
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    rig.wait(minutes=1)
    rig.settle()

    assert dict(rig.world_of_units.standing.attempts) == {"eu-west-1": 2}
    rig.world_of_units.fail()
    rig.settle()
    standing = rig.world_of_units.standing
    assert standing.target.fleet.version == "1.4.1"
    assert standing.rejected == (bad.target_digest,)
    assert standing.base.setting_commit == good


def test_a_revert_in_mid_flight_takes_the_units_back_before_it_admits_any(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    said = []
    at_once = rig.world_of_units.abort

    def heard(outcomes, standing, snapshots, lease):
        said.append((standing.target.fleet.version, sorted(standing.admitted)))
        return at_once(outcomes, standing, snapshots, lease)

    rig.world_of_units.abort = heard
    rig.commit(build.fleet("1.4.1"), name="back", reverts=(bump,))
    rig.once()

    assert said == [("1.4.2", [])]
    rig.world_of_units.end_canceled()
    rig.settle()
    assert told(rig)[:2] == ("1.4.1", "1.4.1")


def test_when_the_first_version_ever_fails_nobody_is_admitted_and_there_is_no_base(rig, build):
    rig.commit(build.fleet("1.0.0", policy=Policy(retries=0)))
    rig.settle()
    execution = next(iter(rig.world_of_units.executions.values()))
    execution.status, execution.message = "FAILED", "it does not start"
    rig.once()

    assert told(rig) == ("1.0.0", None, [])


def test_where_a_failed_fleet_stays_as_it_is_nothing_new_is_said(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.5.0", policy=Policy(retries=0, on_failure=OnFailure.HOLD)))
    rig.settle()
    before = rig.world_of_units.standing
    rig.world_of_units.fail()
    rig.settle()

    assert rig.record.memory.status.reason is Reason.QUARANTINED
    assert rig.world_of_units.standing == before


def test_drift_under_a_suspension_is_not_undone_by_a_word(rig, build):
    rig.deployed("1.4.1")
    before = rig.world_of_units.standing
    suspended = build.fleet("1.4.1", suspension=Suspension(reason="looking into it"))
    rig.commit(suspended, name="suspend", keeps=rig.commits[0])
    rig.world_of_units.run("eu-west-1", {"package/checkout": "1.3.0"})
    rig.settle()

    assert rig.record.memory.status.reason is Reason.SUSPENDED
    assert rig.world_of_units.standing == before


def test_what_was_said_is_kept_alive_where_nothing_new_may_be_said(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.1", suspension=Suspension(reason="looking into it")), name="off", keeps=rig.commits[0])
    rig.world_of_units.run("eu-west-1", {"package/checkout": "1.3.0"})
    before = rig.world_of_units.renewed
    rig.once()

    assert rig.world_of_units.renewed == before + 1
    rig.commit(None, name="gone")
    rig.settle()
    assert rig.record.memory.status.reason is Reason.REMOVED
    assert rig.world_of_units.renewed == before + 1


def test_a_changed_way_of_running_the_same_version_is_told_with_the_commit_that_set_the_version(rig, build):
    first = rig.deployed("1.4.1")
    changed = build.fleet("1.4.1", spec="other", deploy={"soak": "3m"})
    rig.commit(changed, name="other spec", keeps=first)
    rig.settle()

    standing = rig.world_of_units.standing
    assert standing.target.fleet.deploy == {"soak": "3m"}
    assert standing.target.setting_commit == first


def test_what_cannot_be_told_to_units_is_said_and_tried_again(rig):
    rig.deployed("1.4.1")
    rig.world_of_units.unwritable = "access to s3:PutObject is denied; allow that action"
    again = rig.once()

    assert rig.record.memory.status.reason is Reason.UPKEEP_FAILED
    assert again is not None
    rig.world_of_units.unwritable = ""
    rig.wait(minutes=1)
    rig.settle()
    assert rig.record.memory.status.ready


@pytest.mark.parametrize("observe_only", [True])
def test_a_controller_that_only_observes_says_nothing(rig, build, observe_only):
    rig.world = replace(rig.world, observe_only=observe_only)
    rig.run_everywhere("1.4.1")
    rig.commit(build.fleet("1.4.1"))
    rig.settle()

    assert rig.world_of_units.standing is None
    assert rig.world_of_units.renewed == 0


def in_flight_on_both(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    return bump, list(rig.world_of_units.executions.values())


def test_who_was_taken_back_is_not_admitted_again_while_others_are_still_ending(rig, build):
    bump, (first, _) = in_flight_on_both(rig, build)
    rig.commit(build.fleet("1.4.1"), name="back", reverts=(bump,))
    rig.once()
    first.status = "CANCELED"
    rig.once()

    assert told(rig) == ("1.4.2", "1.4.1", [])


def test_of_a_fleet_whose_file_is_gone_nothing_new_is_said_when_its_work_has_ended(rig, build):
    _, (first, second) = in_flight_on_both(rig, build)
    rig.commit(None, name="gone")
    rig.once()
    said = [told(rig)]
    for execution in (first, second):
        execution.status = "CANCELED"
        rig.once()
        said.append(told(rig))
    rig.settle()

    assert [*said, told(rig)] == [("1.4.2", "1.4.1", [])] * 4
    assert rig.record.memory.rollout is None
