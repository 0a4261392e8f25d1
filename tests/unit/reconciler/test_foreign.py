"""Somebody else's execution on a fleet: nothing is begun beside it, and nothing of ours is ended for it."""

from datetime import timedelta

from reconciler.reasons import Reason
from reconciler.record import State

SAID = "a.person started deploy-prod at 2026-11-23 08:59 UTC: execution 01JD is not over"
WAVES = {"waves": [["eu-west-1"], ["us-east-1"]]}


def status(rig):
    return rig.record.memory.status


def test_a_deploy_waits_for_what_somebody_else_started_and_goes_on_by_itself(rig, build):
    rig.deployed("1.4.1")
    rig.world_of_units.foreign = SAID
    bump = rig.commit(build.fleet("1.4.2"))

    again = rig.once()

    assert (Reason.FOREIGN_EXECUTION, f"{SAID}; 1.4.2 waits") == (status(rig).reason, status(rig).message)
    assert (State.PENDING, f"ForeignExecution: {SAID}; 1.4.2 waits") == (
        rig.said(bump).state,
        rig.said(bump).description,
    )
    assert again - rig.clock.now() == 3 * rig.pace.active
    assert [] == rig.started

    rig.world_of_units.foreign = ""
    rig.wait(seconds=30)
    rig.settle()
    assert 2 == len(rig.started)


def test_the_longest_sentence_fits_a_status(rig, build):
    rig.deployed("1.4.1")
    rig.world_of_units.foreign = (
        "a.person@example.com started deploy-prod at 2026-11-23 08:59 UTC: "
        "execution 01JD2Q6M3N8V5T0R9K7W4X1Y2Z is not over"
    )
    bump = rig.commit(build.fleet("1.4.2"))

    rig.once()

    assert "01JD2Q6M3N8V5T0R9K7W4X1Y2Z" in rig.said(bump).description


def test_a_fleet_that_has_nothing_to_do_is_not_held(rig):
    commit = rig.deployed("1.4.1")
    rig.world_of_units.foreign = SAID

    rig.settle()

    assert State.SUCCESS is rig.said(commit).state


def test_one_that_appears_while_ours_runs_is_told_and_ours_goes_on_to_its_end(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2", deploy=WAVES))
    rig.settle()
    rig.world_of_units.foreign = SAID

    rig.once()
    assert f"ForeignExecution: {SAID}; ours goes on, nothing more is started" == rig.said(bump).description
    assert ["RUNNING"] == [each.status for each in rig.world_of_units.executions.values()]

    rig.world_of_units.finish()
    rig.settle()
    assert 1 == len(rig.started)
    assert Reason.FOREIGN_EXECUTION is status(rig).reason

    rig.world_of_units.foreign = ""
    rig.wait(seconds=30)
    rig.settle()
    assert 2 == len(rig.started)


def test_a_revert_waits_too_and_says_so_and_what_it_takes_back_is_ended_meanwhile(rig, build):
    good = rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.foreign = SAID
    revert = rig.commit(build.fleet("1.4.1"), "back", reverts=(bad,))

    rig.once()
    assert {"CANCELING"} == {each.status for each in rig.world_of_units.executions.values()}
    rig.world_of_units.end_canceled()
    rig.run_everywhere("1.4.2")
    rig.settle()

    assert good != revert
    assert f"ForeignExecution: {SAID}; the revert to 1.4.1 waits" == rig.said(revert).description
    assert 2 == len(rig.started)


def test_going_back_by_itself_waits_as_well(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=WAVES))
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    rig.clock.advance(timedelta(minutes=5))
    rig.settle()
    rig.world_of_units.fail()
    rig.world_of_units.foreign = SAID

    rig.settle()

    assert f"{SAID}; going back to 1.4.1 waits" == status(rig).message
    assert 2 == len(rig.started)
