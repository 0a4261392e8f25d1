"""Commits, asks and losses that come at the worst moment of a rollout."""

from datetime import timedelta

from desired_state.model import Adopt, Policy
from reconciler.loop import Family, Loop
from reconciler.ports import LeaseLost
from reconciler.reasons import Reason
from reconciler.record import Ask, State
from reconciler.work import Phase

SLOWLY = {"waves": [["us-east-1"], ["eu-west-1"]], "soak": "5m"}


def test_a_newer_commit_starts_nothing_beside_a_stuck_execution(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    newer = rig.commit(build.fleet("1.4.3"))
    rig.settle()
    rig.world_of_units.stick()
    rig.settle()
    rig.wait(minutes=10)
    rig.settle()

    assert 2 == len(rig.started)
    assert State.ERROR is rig.said(newer).state


def test_a_commit_after_a_stuck_execution_starts_nothing_beside_it(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.stick()
    rig.settle()
    rig.commit(build.fleet("1.4.3"))
    rig.settle()

    assert 2 == len(rig.started)


def test_a_newer_commit_does_not_wait_for_what_was_never_seen_to_start(rig, build):
    rig.deployed("1.4.1")
    rig.world_of_units.unreachable = "Gate could not be asked to start pipeline deploy-prod"
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.unreachable = ""
    newer = rig.commit(build.fleet("1.4.3"))
    rig.settle()
    rig.wait(seconds=40)
    rig.settle()

    assert 2 == len(rig.started)
    assert {newer[:12]} == {key.split(":")[3] for key in rig.started}


def test_an_approved_identity_is_what_the_rollout_goes_on_with(rig, build):
    rig.deployed("1.4.1")
    first = rig.commit(build.fleet("1.4.2", deploy=SLOWLY))
    rig.settle()
    rig.commit(build.fleet("1.4.2", identity="elsewhere", spec="elsewhere", deploy=SLOWLY), "moved", keeps=first)
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    rig.ask(Ask.APPROVE)
    rig.settle()
    rig.wait(minutes=6)
    rig.settle()

    going = [e.intent.fleet.identity_digest for e in rig.world_of_units.executions.values() if e.status == "RUNNING"]
    assert [build.digest("elsewhere")] == going


def test_success_waits_for_the_execution_though_the_units_are_there_and_someone_retries(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.run_everywhere("1.4.2")
    rig.ask(Ask.RETRY)
    rig.settle()

    assert State.PENDING is rig.said(bump).state


def test_a_retry_in_mid_wave_does_not_skip_the_soak(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=SLOWLY))
    rig.settle()
    rig.ask(Ask.RETRY)
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    assert Reason.SOAKING is rig.record.memory.status.reason
    assert 1 == len(rig.started)


def test_adopting_while_nothing_can_be_read_still_records_what_ran_as_last_good(rig, build):
    rig.commit(build.fleet("1.4.2"))
    rig.run_everywhere("1.4.1")
    rig.settle()
    rig.world_of_units.unreadable = "AWS refuses"
    rig.ask(Ask.ADOPT)
    rig.settle()
    rig.once()
    rig.world_of_units.unreadable = ""
    rig.wait(seconds=10)
    rig.settle()

    assert "1.4.1" == rig.record.memory.last_good.fleet.version
    assert 2 == len(rig.started)
    assert 1 == rig.history().count("adopt")


def test_a_fleet_that_is_gone_is_looked_at_no_more(rig, build):
    rig.deployed("1.4.1")
    rig.commit(None)
    rig.settle()
    rig.world_of_units.unreadable = "the account is closed"

    assert rig.once() is None


def test_looks_that_fail_grow_rarer(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.world_of_units.unreadable = "AWS refuses"
    looks = 0
    end = rig.clock.now() + timedelta(hours=1)
    while rig.clock.now() < end:
        again_at = rig.once()
        looks += 1
        rig.clock.advance(max(again_at - rig.clock.now(), timedelta(milliseconds=1)))

    assert looks < 40


def test_a_lost_ledger_adopts_a_late_attempt_too(rig, build):
    rig.deployed("1.4.1")
    bump = build.fleet("1.4.2", policy=Policy(retries=9, adopt=Adopt.AUTO))
    rig.commit(bump)
    for _ in range(5):
        rig.settle()
        rig.world_of_units.fail()
        rig.settle()
        rig.wait(minutes=6)
    rig.settle()
    before = list(rig.started)
    rig.lose_ledger()
    rig.commit(bump)
    for _ in range(20):
        rig.once()

    assert before == rig.started


class Quiet:
    """A log that nobody reads."""

    def info(self, event, **values): ...

    def warning(self, event, **values): ...

    def exception(self, event, **values): ...


def test_a_commit_in_mid_pass_does_not_cost_a_whole_lease(rig, build):
    lease = timedelta(seconds=30)
    ran = []

    def run(name, _lease):
        ran.append(name)
        if len(ran) == 1:
            raise LeaseLost("the row is not at version 1 any more")

    rig.ledger.add(["fleet:x"])
    Loop(rig.ledger, [Family(name="fleet", run=run, lease=lease)], rig.clock, Quiet()).drain(["fleet"])

    assert ["x", "x"] == ran


def test_a_slow_gate_does_not_lose_what_was_started_in_the_lease(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    units = rig.world_of_units
    at_once, begun = units.start, []

    def slowly(intents, standing, snapshots, lease):
        for intent in intents:
            begun.append(intent.key)
            rig.wait(seconds=14.5)
            lease.check()
            yield from at_once([intent], standing, snapshots, lease)

    units.start = slowly
    rig.once()
    units.start = at_once

    assert [Phase.INTENDED, Phase.RUNNING] == sorted(outcome.phase for outcome in rig.record.work)
    assert 1 == len(rig.started)


def test_a_stuck_execution_that_ends_lets_the_fleet_go_on_by_itself(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.stick()
    rig.settle()
    for execution in rig.world_of_units.executions.values():
        execution.status = "CANCELED"
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    assert State.SUCCESS is rig.said(bump).state
    assert 4 == len(rig.started)
