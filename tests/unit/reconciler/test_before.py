"""The step before a version: once for a target, before its first wave, and what becomes of it when it fails."""

from dataclasses import replace

import pytest

from adapters.deployers.memory import Place
from desired_state.model import Policy
from reconciler.memory import Memory
from reconciler.reasons import Reason
from reconciler.record import Ask, State
from reconciler.work import Failure, Phase

STEP, FOREVER = {"before": {}}, {"before": {"irreversible": True}}
ONE_TRY = Policy(retries=0)


def units(rig):
    """What was started, in order: the unit, wave and attempt of each key."""
    return [key.split(":", 5)[5] for key in rig.started]


def fails(rig, message="the column is there already"):
    rig.world_of_units.fail(message)
    rig.settle()


def test_the_step_runs_alone_and_the_waves_begin_when_it_has_succeeded(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2", deploy=STEP))

    rig.settle()
    assert ["before:w0:a1"] == units(rig)
    assert "1.4.2 waits: its before step is to begin" == rig.said(bump).description
    assert "1.4.2" == rig.world_of_units.standing.target.fleet.version
    assert frozenset() == rig.world_of_units.standing.admitted
    assert rig.world_of_units.standing.before.intent.is_before

    rig.world_of_units.finish()
    rig.settle()
    told = [event.message for event in rig.ledger.history("prod/checkout", 100) if "before step" in event.message]
    assert all(message.startswith("before step of 1.4.2, attempt 1") for message in told)
    assert 2 <= len(told)
    assert ["before:w0:a1", "eu-west-1:w1:a1", "us-east-1:w1:a1"] == units(rig)
    assert rig.world_of_units.standing.before is None
    assert {"eu-west-1", "us-east-1"} == rig.world_of_units.standing.admitted

    rig.world_of_units.finish()
    rig.settle()
    assert State.SUCCESS is rig.said(bump).state
    assert {"eu-west-1": "1.4.2", "us-east-1": "1.4.2"} == rig.runs()


def test_a_step_that_fails_is_tried_again_then_the_version_is_put_aside_and_no_unit_was_touched(rig, build):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.settle()
    fails(rig)
    assert Reason.BACKING_OFF is rig.record.memory.status.reason

    rig.wait(minutes=5)
    rig.settle()
    assert ["before:w0:a1", "before:w0:a2"] == units(rig)
    fails(rig)

    assert Reason.BEFORE_FAILED is rig.record.memory.quarantines[0].reason
    assert State.FAILURE is rig.said(bad).state
    assert "1.4.2 failed: the column is there already" in rig.said(bad).description
    assert ["before:w0:a1", "before:w0:a2"] == units(rig)
    assert {"eu-west-1": "1.4.1", "us-east-1": "1.4.1"} == rig.runs()


def test_a_step_that_always_fails_on_the_road_ends_and_blames_no_unit(rig, build):
    rig.world_of_units.places = {unit: Place() for unit in ("i-0", "i-1")}
    rig.deployed("1.4.1")
    deploy = {**STEP, "deadline": "10m", "tolerated": 2}
    rig.commit(build.fleet("1.4.2", deploy=deploy))
    for _ in range(30):
        rig.settle()
        for execution in rig.world_of_units.executions.values():
            if execution.status == "RUNNING":
                execution.status, execution.failure = "FAILED", Failure.TRANSIENT
        rig.settle()
        rollout = rig.record.memory.rollout
        if rollout is None:
            break
        rig.clock.advance(rollout.retry_at - rig.clock.now())

    failed = rig.record.memory.quarantines[0]
    assert Reason.DEADLINE_EXCEEDED is failed.reason
    assert failed.message.endswith(" min; its before step was never done")
    assert {"before"} == {each.partition(":")[0] for each in units(rig)}


def test_a_step_that_fails_once_and_then_succeeds_leaves_no_failure_behind(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.settle()
    fails(rig)
    rig.wait(minutes=5)
    rig.settle()

    rig.world_of_units.finish()
    rig.settle()

    assert {} == rig.record.memory.rollout.failures
    assert ["eu-west-1:w1:a1", "us-east-1:w1:a1"] == units(rig)[2:]


def test_what_was_done_for_a_target_is_not_done_again_by_a_retry_or_by_a_newer_commit_of_it(rig, build):
    rig.deployed("1.4.1")
    wanted = build.fleet("1.4.2", deploy=STEP, policy=ONE_TRY)
    rig.commit(wanted)
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    fails(rig)
    rig.world_of_units.finish()
    rig.settle()
    assert {"eu-west-1": "1.4.1", "us-east-1": "1.4.1"} == rig.runs()

    rig.ask(Ask.RETRY)
    rig.settle()
    assert rig.record.memory.rollout.release.target_digest == wanted.target_digest
    fails(rig)
    rig.world_of_units.finish()
    rig.settle()
    rig.commit(wanted, "again")
    rig.settle()

    assert ["before:w0:a1"] == [each for each in units(rig) if each.startswith("before")]


def test_neither_a_revert_nor_a_way_back_nor_a_healing_has_a_step(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    rig.commit(build.fleet("1.4.1", deploy=STEP), "back", reverts=(bump,))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    rig.world_of_units.run("us-east-1", {"package/checkout": "1.4.0"})
    rig.settle()

    assert ["before:w0:a1"] == [each for each in units(rig) if each.startswith("before")]
    assert Reason.HEALING is rig.record.memory.status.reason


def test_a_revert_ends_a_step_that_is_under_way_and_it_counts_as_not_done(rig, build):
    first = rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.settle()

    rig.commit(build.fleet("1.4.1"), "back", reverts=(bump,))
    rig.settle()
    assert Phase.ABORTING is rig.record.work[0].phase
    assert rig.world_of_units.standing.before is None
    rig.world_of_units.end_canceled()
    rig.wait(seconds=10)
    rig.settle()

    assert () == rig.record.memory.prepared
    assert ["before:w0:a1"] == units(rig)
    assert {"eu-west-1": "1.4.1", "us-east-1": "1.4.1"} == rig.runs()
    assert first != rig.record.setting.commit


def test_a_newer_version_lets_a_step_that_goes_well_end_first(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.settle()

    rig.commit(build.fleet("1.4.3", deploy=STEP))
    rig.settle()
    assert Phase.RUNNING is rig.record.work[0].phase
    rig.world_of_units.finish()
    rig.wait(seconds=10)
    rig.settle()

    assert [build.fleet("1.4.2").target_digest] == list(rig.record.memory.prepared)
    assert ["before:w0:a1", "before:w0:a1"] == units(rig)
    assert build.fleet("1.4.3").target_digest[:12] in rig.started[-1]


def test_a_newer_commit_of_the_same_target_does_not_begin_the_step_again(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=STEP), "first")
    rig.settle()
    began = rig.world_of_units.standing

    rig.commit(build.fleet("1.4.2", deploy=STEP), "second")
    rig.wait(seconds=10)
    rig.settle()

    assert ["before:w0:a1"] == units(rig)
    assert began.target.setting_commit == rig.world_of_units.standing.target.setting_commit
    assert began.before.intent.key == rig.world_of_units.standing.before.intent.key
    rig.world_of_units.finish()
    rig.settle()
    assert ["eu-west-1:w1:a1", "us-east-1:w1:a1"] == units(rig)[1:]


def test_after_a_step_that_cannot_be_undone_a_failure_holds_and_goes_back_only_by_a_commit(rig, build):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2", deploy=FOREVER, policy=ONE_TRY))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    fails(rig, "it answers 503")

    assert Reason.BEFORE_IRREVERSIBLE is rig.record.memory.status.reason
    assert "the before step of 1.4.2 cannot be undone; go on or back by a commit" in rig.record.memory.status.message
    assert rig.said(bad).description.endswith(
        "stays where it stands (BeforeIrreversible: the before step of 1.4.2 stays)"
    )
    assert 3 == len(rig.started)

    rig.commit(build.fleet("1.4.1"), "back", reverts=(bad,))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    assert {"eu-west-1": "1.4.1", "us-east-1": "1.4.1"} == rig.runs()
    assert "" == rig.record.memory.irreversible


def test_a_step_that_cannot_be_undone_counts_from_its_begin(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=FOREVER, policy=ONE_TRY))
    rig.settle()

    fails(rig)

    assert Reason.BEFORE_IRREVERSIBLE is rig.record.memory.status.reason
    assert rig.record.memory.rollout is None


def fails_on_the_road(rig, failure=Failure.TRANSIENT, reason=Reason.PIPELINE_FAILED):
    for execution in rig.world_of_units.executions.values():
        if execution.status == "RUNNING":
            execution.status, execution.failure, execution.reason = "FAILED", failure, reason
    rig.settle()


@pytest.mark.parametrize(
    ("reason", "since"), [(Reason.PIPELINE_FAILED, ""), (Reason.DEADLINE_EXCEEDED, "1.4.2")], ids=str
)
def test_a_step_that_only_failed_to_be_staged_cannot_be_what_is_not_undone(rig, build, reason, since):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=FOREVER))
    rig.settle()
    assert "1.4.2" == rig.record.memory.irreversible

    fails_on_the_road(rig, reason=reason)

    assert since == rig.record.memory.irreversible


def test_a_step_that_began_once_counts_however_its_next_attempt_ends(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=FOREVER))
    rig.settle()
    fails(rig)
    rig.wait(minutes=5)
    rig.settle()

    fails_on_the_road(rig)

    assert "1.4.2" == rig.record.memory.irreversible


def test_units_that_were_told_when_the_version_failed_are_let_end(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=FOREVER, policy=ONE_TRY))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    first, second = [each for each in rig.world_of_units.executions.values() if not each.intent.is_before]
    first.status, first.message = "FAILED", "it answers 503"
    rig.settle()
    rig.wait(minutes=1)
    rig.settle()

    assert Reason.BEFORE_IRREVERSIBLE is rig.record.memory.status.reason
    assert ("RUNNING", "1.4.2") == (second.status, rig.world_of_units.standing.target.fleet.version)
    rig.world_of_units.finish()
    rig.settle()
    assert "1.4.2" == rig.runs()[second.intent.unit]


def test_a_revert_that_has_nothing_to_deploy_does_not_undo_what_cannot_be_undone(rig, build):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2", deploy=FOREVER, policy=ONE_TRY))
    rig.settle()
    fails(rig)
    rig.commit(build.fleet("1.4.1"), "back", reverts=(bad,))
    rig.settle()
    assert State.SUCCESS is rig.said(build.sha("back")).state
    assert "1.4.2" == rig.record.memory.irreversible

    rig.commit(build.fleet("1.4.3", policy=ONE_TRY))
    rig.settle()
    fails(rig, "it answers 503")

    assert Reason.BEFORE_IRREVERSIBLE is rig.record.memory.status.reason


def test_a_later_version_that_fails_does_not_go_back_behind_what_cannot_be_undone(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=FOREVER, policy=ONE_TRY))
    rig.settle()
    fails(rig)
    rig.commit(build.fleet("1.4.3", policy=ONE_TRY))
    rig.settle()

    fails(rig, "it answers 503")

    assert Reason.BEFORE_IRREVERSIBLE is rig.record.memory.status.reason
    assert "1.4.3 failed: it answers 503" in rig.record.memory.status.message


def test_once_a_version_with_such_a_step_is_good_it_is_what_a_later_one_goes_back_to(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=FOREVER))
    for _ in range(2):
        rig.settle()
        rig.world_of_units.finish()
    rig.settle()
    rig.commit(build.fleet("1.4.3", policy=ONE_TRY))
    rig.settle()

    fails(rig)

    assert Reason.ROLLING_BACK is rig.record.memory.status.reason
    assert "1.4.2" == rig.record.memory.rollout.release.fleet.version


def test_after_a_lost_ledger_a_step_that_runs_is_taken_up_and_not_begun_again(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.settle()

    rig.lose_ledger()
    rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.settle()
    assert (1, ()) == (rig.record.memory.rollout.wave, rig.record.memory.rollout.moved)
    rig.world_of_units.finish()
    rig.wait(seconds=10)
    rig.settle()

    assert ["before:w0:a1", "eu-west-1:w1:a1", "us-east-1:w1:a1"] == units(rig)


def test_after_a_lost_ledger_units_that_move_prove_that_the_step_was_done(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy={**STEP, "waves": [["eu-west-1"], ["us-east-1"]]}))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    rig.lose_ledger()
    rig.commit(build.fleet("1.4.2", deploy={**STEP, "waves": [["eu-west-1"], ["us-east-1"]]}))
    rig.settle()
    rig.world_of_units.finish()
    rig.wait(seconds=10)
    rig.settle()

    assert ["before:w0:a1", "eu-west-1:w1:a1", "us-east-1:w2:a1"] == units(rig)


def test_a_start_of_unknown_fate_is_the_same_step_again(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.world_of_units.unreachable = "no answer"
    rig.settle()
    rig.world_of_units.unreachable = ""

    rig.wait(minutes=1)
    rig.settle()

    assert ["before:w0:a1"] == units(rig)
    assert Phase.RUNNING is rig.record.work[0].phase


def test_units_that_go_take_no_failure_of_the_step_with_them(rig, build):
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2", deploy=STEP))
    rig.settle()
    fails(rig)
    del rig.world_of_units.places["us-east-1"]
    rig.wait(minutes=5)
    rig.settle()

    fails(rig)

    assert Reason.BEFORE_FAILED is rig.record.memory.quarantines[0].reason


def test_a_memory_of_before_there_were_steps_can_be_read(build):
    from adapters.ledger.codec import MEMORY

    known = Memory(prepared=("d" * 64,), irreversible="1.4.2")
    older = MEMORY.encode(replace(known)).replace(
        f',"prepared":["{"d" * 64}"],"irreversible":"1.4.2","unbegun":false', ""
    )

    assert "prepared" not in older
    assert Memory() == MEMORY.decode(older)
    assert known == MEMORY.decode(MEMORY.encode(known))
