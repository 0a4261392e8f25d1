"""Drift that is healed or left alone, and why: first sight, identity, suspension, bad configuration."""

from datetime import timedelta

from desired_state.model import Adopt, Heal, Policy, Suspension
from reconciler.memory import ConditionType
from reconciler.reasons import Reason
from reconciler.record import Ask, State


def test_drift_by_hand_is_healed_under_a_new_attempt(rig, build):
    commit = rig.deployed("1.4.1")
    rig.world_of_units.run("us-east-1", {"package/checkout": "1.3.9"})
    rig.ledger.record_snapshots  # noqa: B018 - the feed would notice; a pass with a request looks afresh
    rig.ask(Ask.RETRY)
    rig.settle()
    assert Reason.HEALING is rig.record.memory.status.reason
    rig.wait(seconds=12)
    rig.world_of_units.finish()
    rig.settle()

    assert {"eu-west-1": "1.4.1", "us-east-1": "1.4.1"} == rig.runs()
    assert "1.4.1 on 2/2 units; drift healed in 12 s" == rig.said(commit).description


def test_what_is_healed_after_a_revert_is_no_news_of_the_reverted_commit(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    revert = rig.commit(build.fleet("1.4.1"), "revert", reverts=(bump,))
    rig.settle()
    rig.wait(seconds=48)
    rig.world_of_units.finish()
    rig.settle()
    told = rig.said(bump).description

    drift_by_hand(rig, "1.3.9")
    rig.wait(seconds=12)
    rig.world_of_units.finish()
    rig.settle()

    assert "1.4.1 on 2/2 units; drift healed in 12 s" == rig.said(revert).description
    assert f"rolled back to 1.4.1 (reverted by {revert[:7]}) on 2/2 units in 48 s" == told
    assert told == rig.said(bump).description


def drift_by_hand(rig, version):
    rig.world_of_units.run("us-east-1", {"package/checkout": version})
    rig.ask(Ask.APPROVE)  # any request makes the pass look afresh, as a changed inventory would
    rig.settle()


def test_drift_that_comes_back_a_fourth_time_in_a_day_is_held(rig):
    rig.deployed("1.4.1")
    for _ in range(3):
        drift_by_hand(rig, "1.3.9")
        rig.world_of_units.finish()
        rig.settle()
        rig.wait(minutes=30)

    drift_by_hand(rig, "1.3.9")

    assert 3 == len(rig.started)
    assert Reason.DRIFT_RECURS is rig.record.memory.status.reason
    assert "us-east-1 runs package/checkout 1.3.9, not 1.4.1" in rig.record.memory.status.message


def test_heal_off_only_reports(rig, build):
    rig.commit(build.fleet("1.4.1", policy=Policy(heal=Heal.OFF)))
    rig.run_everywhere("1.4.1")
    rig.settle()

    drift_by_hand(rig, "1.3.9")

    assert [] == rig.started
    assert Reason.HEAL_OFF is rig.record.memory.status.reason


def test_a_fleet_first_seen_drifting_waits_to_be_adopted(rig, build):
    commit = rig.commit(build.fleet("1.4.2"))
    rig.run_everywhere("1.4.1")
    rig.settle()
    assert [] == rig.started
    assert Reason.FIRST_SIGHT is rig.record.memory.status.reason
    assert State.PENDING is rig.said(commit).state

    rig.ask(Ask.ADOPT)
    rig.settle()

    assert 2 == len(rig.started)
    assert "1.4.1" == rig.record.memory.last_good.fleet.version


def test_a_newer_setting_commit_adopts_a_fleet(rig, build):
    rig.commit(build.fleet("1.4.2"))
    rig.run_everywhere("1.4.1")
    rig.settle()

    rig.commit(build.fleet("1.4.3"))
    rig.settle()

    assert 2 == len(rig.started)


def test_an_empty_fleet_and_adopt_auto_need_no_permission(rig, build):
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    assert 2 == len(rig.started)


def test_adopt_auto_takes_a_running_fleet_over(rig, build):
    rig.commit(build.fleet("1.4.2", policy=Policy(adopt=Adopt.AUTO)))
    rig.run_everywhere("1.4.1")
    rig.settle()
    assert 2 == len(rig.started)


def test_the_first_failed_deploy_after_adoption_goes_back_to_what_ran(rig, build):
    rig.commit(build.fleet("1.4.2", policy=Policy(adopt=Adopt.AUTO, retries=0)))
    rig.run_everywhere("1.4.1")
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    assert {"eu-west-1": "1.4.1", "us-east-1": "1.4.1"} == rig.runs()


def test_another_account_or_selector_is_held_until_approved(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", identity="elsewhere"))
    rig.settle()
    assert Reason.IDENTITY_CHANGED is rig.record.memory.status.reason
    assert [] == rig.started

    rig.ask(Ask.APPROVE)
    rig.settle()

    assert 2 == len(rig.started)


def test_suspending_stops_acting_not_looking(rig, build):
    rig.deployed("1.4.1")
    suspension = Suspension(reason="database move", until=rig.clock.now() + timedelta(hours=1))
    held = rig.commit(build.fleet("1.4.2", suspension=suspension))
    rig.settle()
    assert [] == rig.started
    assert "Suspended: database move (until 2026-11-23 10:00 UTC)" == rig.said(held).description
    assert rig.record.memory.status.until == suspension.until

    rig.wait(hours=1)
    rig.settle()

    assert 2 == len(rig.started)


def test_a_suspended_fleet_in_sync_is_still_ready(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.1", suspension=Suspension(reason="rest")), "suspend", keeps=rig.commits[0])
    rig.settle()
    assert rig.record.memory.status.ready


def test_observe_only_reports_and_never_acts(rig, build):
    rig.observe_only = True
    rig.open()
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    assert [] == rig.started
    assert Reason.OBSERVE_ONLY is rig.record.memory.status.reason


def test_a_deployer_that_lacks_something_only_watches_until_it_is_given(rig, build):
    rig.deployed("1.4.1")
    rig.world_of_units.lacks = "there is no key; set it"
    rig.settle()
    assert rig.record.memory.status.ready

    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    status = rig.record.memory.status
    assert (Reason.UNEQUIPPED, "there is no key; set it; it would deploy 1.4.2") == (status.reason, status.message)
    assert ("1.4.1", ()) == (rig.record.memory.last_good.fleet.version, rig.record.memory.quarantines)

    before = list(rig.started)
    rig.world_of_units.lacks = ""
    rig.settle()
    assert len(rig.started) > len(before)


def test_observe_only_cancels_nothing_either_when_a_file_goes(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.ledger.close()
    rig.observe_only = True
    rig.open()

    rig.commit(None)
    rig.settle()

    assert {"RUNNING"} == {execution.status for execution in rig.world_of_units.executions.values()}


def test_bad_configuration_stalls_until_the_commit_changes(rig, build):
    rig.deployed("1.4.1")
    rig.world_of_units.refuses.add("1.4.2")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.wait(days=1)
    rig.settle()
    assert State.ERROR is rig.said(bad).state
    assert "no pipeline deploys 1.4.2" in rig.said(bad).description
    assert rig.record.memory.status.condition(ConditionType.STALLED) is not None
    assert [] == rig.started

    rig.commit(build.fleet("1.4.3"))
    rig.settle()

    assert 2 == len(rig.started)


def test_nothing_is_started_beside_a_stuck_execution(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.stick()
    rig.settle()
    rig.wait(hours=1)
    rig.settle()

    assert 2 == len(rig.started)
    assert Reason.EXECUTION_STUCK is rig.record.memory.status.reason
    assert State.ERROR is rig.said(bump).state


def test_a_heal_that_fails_says_which_unit_it_is_and_blames_no_version(rig, build):
    commit = rig.deployed("1.4.1")
    drift_by_hand(rig, "1.3.9")
    for _ in range(2):
        rig.world_of_units.fail()
        rig.settle()
        rig.wait(minutes=5)
        rig.settle()

    said = "us-east-1: 2 of 2 instances are unhealthy; all others run 1.4.1; tried again at 10:05:00 UTC"
    assert (State.ERROR, f"HealthCheckFailed: {said}") == (rig.said(commit).state, rig.said(commit).description)
    assert rig.record.memory.quarantines == ()
