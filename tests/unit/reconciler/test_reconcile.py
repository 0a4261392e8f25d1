"""Whole passes over a fleet in memory: what a person merges, what then runs, what is said."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desired_state.model import Adopt, Heal, OnFailure, Policy, Problem, Suspension
from reconciler.memory import ConditionType
from reconciler.ports import LeaseLost
from reconciler.reasons import Reason
from reconciler.reconcile import reconcile
from reconciler.record import Ask, State
from reconciler.work import Phase


def test_a_merged_bump_is_deployed_and_said_only_after_health(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))

    rig.settle()
    assert State.PENDING is rig.said(bump).state
    assert 2 == len(rig.started)

    rig.wait(seconds=48)
    rig.world_of_units.finish()
    rig.settle()
    assert State.SUCCESS is rig.said(bump).state
    assert "1.4.2 on 2/2 units in 48 s" == rig.said(bump).description
    assert rig.record.memory.status.ready


def test_a_fleet_in_sync_is_left_alone_and_its_pass_writes_nothing(rig):
    rig.deployed("1.4.1")
    before = rig.record.version

    assert rig.once() is None

    assert before == rig.record.version
    assert [] == rig.started


def test_a_failed_version_is_tried_again_then_rolled_back_and_its_commit_says_failure(rig, build):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    assert Reason.BACKING_OFF is rig.record.memory.status.reason

    rig.wait(minutes=5)
    rig.settle()
    assert 4 == len(rig.started)
    rig.world_of_units.fail()
    rig.settle()
    assert State.FAILURE is rig.said(bad).state
    assert "1.4.2 failed: 2 of 2 instances are unhealthy; rolling back to 1.4.1" == rig.said(bad).description

    rig.wait(seconds=20)
    rig.world_of_units.finish()
    rig.settle()
    assert {"eu-west-1": "1.4.1", "us-east-1": "1.4.1"} == rig.runs()
    assert (
        "1.4.2 failed: 2 of 2 instances are unhealthy; rolled back to 1.4.1 on 2/2 units in 20 s"
        == rig.said(bad).description
    )
    assert rig.record.memory.status.diverted
    assert Reason.ROLLED_BACK is rig.record.memory.status.reason


def test_policy_hold_leaves_a_failed_fleet_where_it_stands(rig, build):
    policy = Policy(on_failure=OnFailure.HOLD, retries=0)
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2", policy=policy))
    rig.settle()
    started = len(rig.started)
    rig.world_of_units.fail("the new version does not answer")

    rig.settle()

    assert started == len(rig.started)
    assert "1.4.2 failed: the new version does not answer; stays where it stands (on_failure: hold)" == (
        rig.said(bad).description
    )
    assert Reason.QUARANTINED is rig.record.memory.status.reason


def test_retry_lifts_a_quarantine(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", policy=Policy(retries=0, on_failure=OnFailure.HOLD)))
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    before = len(rig.started)

    rig.ask(Ask.RETRY)
    rig.settle()

    assert before + 2 == len(rig.started)
    assert () == rig.record.requests
    assert "a2" in rig.started[-1].rpartition(":")[2]


def test_a_revert_of_a_failed_version_ends_on_both_commits(rig, build):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2", policy=Policy(retries=0)))
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()

    revert = rig.commit(build.fleet("1.4.1"), "revert", reverts=(bad,))
    rig.settle()
    rig.wait(seconds=48)
    rig.world_of_units.finish()
    rig.settle()

    assert f"rolled back to 1.4.1 (reverts {bad[:7]}) on 2/2 units in 48 s" == rig.said(revert).description
    assert State.SUCCESS is rig.said(revert).state
    assert f"rolled back to 1.4.1 (reverted by {revert[:7]}) on 2/2 units in 48 s" == rig.said(bad).description
    assert State.FAILURE is rig.said(bad).state
    assert () == rig.record.memory.quarantines
    assert [] == rig.pending()


def test_a_revert_merged_while_the_rollout_is_in_flight_aborts_it(rig, build):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    revert = rig.commit(build.fleet("1.4.1"), "revert", reverts=(bad,))

    rig.settle()
    assert Reason.ABORTING is rig.record.memory.status.reason
    assert 2 == len(rig.started)
    rig.world_of_units.end_canceled()
    rig.settle()

    assert [] == list(rig.record.work)
    assert State.SUCCESS is rig.said(revert).state
    assert State.FAILURE is rig.said(bad).state
    assert 2 == len(rig.started)
    assert [] == rig.pending()


def test_a_version_that_never_was_good_here_goes_through_its_waves_again(rig, build):
    """Bumping again to what failed before is value-equal to an earlier target, and no way back to anything good."""
    rig.deployed("1.4.1")
    waves = {"waves": [["us-east-1"], ["eu-west-1"]], "soak": "5m"}
    bad = rig.commit(build.fleet("1.4.2", policy=Policy(retries=0), deploy=waves))
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    revert = rig.commit(build.fleet("1.4.1"), "revert", reverts=(bad,))
    rig.settle()
    before = len(rig.started)

    again = rig.commit(build.fleet("1.4.2", deploy=waves), "again", reverts=(revert,))
    rig.settle()
    assert before + 1 == len(rig.started)
    for _ in range(2):
        rig.world_of_units.finish()
        rig.settle()
        rig.wait(minutes=5)
        rig.settle()

    assert f"1.4.2 (reverts {revert[:7]}) on 2/2 units in 10 min" == rig.said(again).description


def test_a_newer_bump_lets_the_healthy_wave_finish_and_then_takes_over(rig, build):
    rig.deployed("1.4.1")
    first = rig.commit(build.fleet("1.4.2", deploy={"waves": [["us-east-1"], ["eu-west-1"]], "soak": "5m"}))
    rig.settle()
    assert 1 == len(rig.started)
    second = rig.commit(build.fleet("1.4.3"))
    rig.settle()
    assert 1 == len(rig.started)

    rig.world_of_units.finish()
    rig.settle()
    assert 3 == len(rig.started)
    rig.world_of_units.finish()
    rig.settle()

    assert f"superseded by {second[:7]} (1.4.3)" == rig.said(first).description
    assert State.ERROR is rig.said(first).state
    assert State.SUCCESS is rig.said(second).state
    assert [] == rig.pending()


def test_after_three_preemptions_in_a_row_a_rollout_is_let_finish(rig, build):
    rig.deployed("1.4.1")
    waves = {"waves": [["us-east-1"], ["eu-west-1"]], "soak": "5m"}
    for version in ("1.4.2", "1.4.3", "1.4.4", "1.4.5"):
        last = rig.commit(build.fleet(version, deploy=waves))
        rig.settle()
        rig.world_of_units.finish()
    newest = rig.commit(build.fleet("1.4.6", deploy=waves))
    rig.settle()
    assert "1.4.5" == rig.record.memory.rollout.release.fleet.version
    assert last != newest

    rig.wait(minutes=5)
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    rig.wait(minutes=5)
    rig.settle()

    assert "1.4.6" == rig.record.memory.rollout.release.fleet.version
    assert State.SUCCESS is rig.said(last).state


def test_a_wave_soaks_before_the_next(rig, build):
    rig.deployed("1.4.1")
    waves = {"waves": [["us-east-1"], ["eu-west-1"]], "soak": "5m"}
    rig.commit(build.fleet("1.4.2", deploy=waves))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    assert Reason.SOAKING is rig.record.memory.status.reason
    assert 1 == len(rig.started)

    rig.wait(minutes=5)
    rig.settle()

    assert 2 == len(rig.started)
    assert ":eu-west-1:w2:a1" in rig.started[-1]


def test_a_wave_that_sickens_while_soaking_is_rolled_back(rig, build):
    rig.deployed("1.4.1")
    waves = {"waves": [["us-east-1"], ["eu-west-1"]], "soak": "5m"}
    bad = rig.commit(build.fleet("1.4.2", deploy=waves))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    rig.world_of_units.run("us-east-1", {"package/checkout": "1.4.2"}, healthy=False)
    rig.settle()
    rig.wait(minutes=3)

    rig.settle()

    assert State.FAILURE is rig.said(bad).state
    assert ":us-east-1:" in rig.started[-1]
    assert 2 == len(rig.started)


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


def test_a_broken_file_stalls_the_fleet_on_its_last_good_spec(rig, build):
    commit = rig.deployed("1.4.1")
    problem = Problem(
        file="environments/prod/checkout.yaml", line=1, column=10, message="not so", fleets=("prod/checkout",)
    )
    rig.commit(build.fleet("1.4.2"), "broken", problems=(problem,))
    rig.settle()

    assert Reason.INVALID_SPEC is rig.record.memory.status.reason
    assert "environments/prod/checkout.yaml:1:10: not so" == rig.record.memory.status.message
    assert State.SUCCESS is rig.said(commit).state
    assert "1.4.1" == rig.record.desired.version
    assert [] == rig.started


def test_a_read_that_fails_is_said_and_nothing_is_concluded(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.world_of_units.unreadable = "AWS refuses autoscaling:DescribeAutoScalingGroups; add it to the role"
    rig.settle()
    assert State.ERROR is rig.said(bump).state
    assert [] == rig.started

    rig.world_of_units.unreadable = ""
    rig.wait(seconds=10)
    rig.settle()

    assert State.PENDING is rig.said(bump).state
    assert 2 == len(rig.started)


def test_removing_the_file_cancels_what_is_in_flight_and_destroys_nothing(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.commit(None)
    rig.settle()
    rig.world_of_units.end_canceled()
    rig.wait(seconds=10)
    rig.settle()

    assert State.ERROR is rig.said(bump).state
    assert "no longer managed: its file is gone" == rig.said(bump).description
    assert {"eu-west-1": "1.4.1", "us-east-1": "1.4.1"} == rig.runs()
    assert [] == rig.pending()
    assert 2 == len(rig.started)


def test_a_force_push_holds_the_fleet_that_it_would_change(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"), "forced", rewritten=True)
    rig.settle()
    assert Reason.HISTORY_REWRITTEN is rig.record.memory.status.reason

    rig.commit(build.fleet("1.4.3"), "newer")
    rig.settle()

    assert 2 == len(rig.started)


def test_a_lost_ledger_with_work_in_flight_adopts_it_and_starts_nothing_twice(rig, build):
    rig.deployed("1.4.1")
    bump = build.fleet("1.4.2")
    rig.commit(bump)
    rig.settle()
    before = list(rig.started)

    rig.lose_ledger()
    commit = rig.commit(bump)
    rig.settle()
    assert before == rig.started
    assert {Phase.RUNNING} == {outcome.phase for outcome in rig.record.work}

    rig.world_of_units.finish()
    rig.wait(seconds=10)
    rig.settle()
    assert before == rig.started
    assert State.SUCCESS is rig.said(commit).state


def test_a_lost_ledger_with_a_quarantined_fleet_starts_nothing_by_surprise(rig, build):
    rig.deployed("1.4.1")
    bad = build.fleet("1.4.2", policy=Policy(retries=0))
    rig.commit(bad)
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    before = list(rig.started)

    rig.lose_ledger()
    rig.commit(bad)
    rig.settle()

    assert before == rig.started
    assert Reason.FIRST_SIGHT is rig.record.memory.status.reason


def test_used_up_attempts_of_an_earlier_life_only_spend_their_numbers(rig, build):
    rig.deployed("1.4.1")
    bad = build.fleet("1.4.2", policy=Policy(retries=0))
    rig.commit(bad)
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    rig.lose_ledger()
    rig.commit(bad)
    rig.settle()

    rig.ask(Ask.ADOPT)
    rig.settle()

    assert {"a2"} == {key.rpartition(":")[2] for key in rig.started[-2:]}


def test_a_pass_whose_lease_ran_out_writes_nothing_and_starts_nothing(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.ledger.add(["fleet:prod/checkout"])
    due = rig.ledger.claim("fleet", 1, timedelta(seconds=30))[0]
    before = rig.record
    rig.wait(seconds=31)

    with pytest.raises(LeaseLost):
        reconcile("prod/checkout", rig.world, due.lease)

    assert [] == rig.started
    assert before.version == rig.record.version


def test_history_tells_the_story_in_order(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", policy=Policy(retries=0)))
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    told = [
        kind
        for kind in reversed(rig.history())
        if kind in {"adopted", "rollout-started", "quarantined", "rollout-finished"}
    ]
    assert [
        "adopted",
        "rollout-finished",
        "rollout-started",
        "quarantined",
        "rollout-started",
        "rollout-finished",
    ] == told


def test_no_hold_is_forgotten_when_the_spec_alone_changes(rig, build):
    """A changed spec digest lifts a quarantine; a changed policy alone does not."""
    rig.deployed("1.4.1")
    hold = Policy(retries=0, on_failure=OnFailure.HOLD)
    bad = rig.commit(build.fleet("1.4.2", policy=hold))
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    before = len(rig.started)
    rig.commit(build.fleet("1.4.2", policy=replace(hold, retries=3)), "policy", keeps=bad)
    rig.settle()
    assert before == len(rig.started)

    rig.commit(build.fleet("1.4.2", spec="another pipeline", policy=hold), "spec", keeps=bad)
    rig.settle()

    assert before + 2 == len(rig.started)


def test_history_tells_a_rollout_before_its_work_and_its_end_after_it(rig, build):
    rig.deployed("1.4.1")
    known = len(rig.history())
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    told = list(reversed(rig.history()))[known:]

    assert ["rollout-started", "running", "running", "succeeded", "succeeded", "rollout-finished"] == told
