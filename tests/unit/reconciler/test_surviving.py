"""Broken files, failed reads, removals, force-pushes and lost ledgers: nothing twice, nothing by surprise."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desired_state.model import Adopt, OnFailure, Policy, Problem
from reconciler.ports import LeaseLost
from reconciler.reasons import Reason
from reconciler.reconcile import reconcile
from reconciler.record import Ask, State
from reconciler.work import Phase


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
    assert State.PENDING is rig.said(bump).state, "one look that failed is tried again"
    assert "AWS refuses" in rig.said(bump).description
    rig.wait(seconds=70)
    rig.settle()
    assert State.ERROR is rig.said(bump).state
    assert [] == rig.started

    rig.world_of_units.unreadable = ""
    rig.wait(seconds=70)
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


def test_a_lost_ledger_in_mid_rollback_starts_nothing_beside_it(rig, build):
    """`adopt: auto` needs no permission, and still nothing is started while an earlier life's work runs."""
    rig.deployed("1.4.1")
    bad = build.fleet("1.4.2", policy=Policy(retries=0, adopt=Adopt.AUTO))
    rig.commit(bad)
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    before = list(rig.started)

    rig.lose_ledger()
    rig.commit(bad)
    rig.settle()
    assert before == rig.started
    assert "of an earlier ledger still runs" in rig.record.memory.status.message

    rig.world_of_units.finish()
    rig.wait(minutes=1)
    rig.settle()
    assert len(before) + 2 == len(rig.started)


def test_a_lost_ledger_finds_work_in_flight_though_nothing_drifts_yet(rig, build):
    """A newer commit that came before the first look must not be started beside it."""
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    before = list(rig.started)
    rig.lose_ledger()
    rig.commit(build.fleet("1.4.1"), "back")
    rig.settle()

    assert before == rig.started
    assert not rig.record.memory.adopted


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


def test_a_start_of_unknown_fate_is_repeated_when_its_own_type_has_settled(rig, build):
    pace = replace(rig.world.pace, settle_of={"memory": timedelta(minutes=3)})
    rig.world = replace(rig.world, pace=pace)
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.world_of_units.unreachable = "no answer"
    rig.settle()

    starts = []
    for _ in range(2):
        rig.wait(minutes=2)
        rig.settle()
        starts.append(rig.record.work[0].intent.starts)

    assert [1, 2] == starts
