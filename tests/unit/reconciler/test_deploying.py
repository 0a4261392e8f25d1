"""A bump merged, failing, reverted, overtaken: what runs, and what the commits say."""

from desired_state.model import OnFailure, Policy
from reconciler.reasons import Reason
from reconciler.record import Ask, State


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
