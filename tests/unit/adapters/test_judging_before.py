"""Where the step before a version stands, as a table: what Gate showed, and what is concluded."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.gate.executions import Execution, of_answer
from adapters.gate.judging import Case, Seen
from adapters.gate.preparing import judge_step
from reconciler.reasons import Reason
from reconciler.work import Failure, Outcome, Phase

STEP = {"pipeline": "migrate-prod", "parameters": {"version": "TO"}}
MINUTE = timedelta(minutes=1)


def case(made: Any, execution: Execution | None, phase: Phase = Phase.RUNNING, **changes: Any) -> Case:
    intent = made.intent(made.fleet(deploy={"before": STEP}), unit="before", wave=0)
    given = {"ticket": "01ABC", "since": made.NOW, **changes}
    now = made.NOW + 5 * MINUTE
    return Case(
        outcome=Outcome(intent=intent, phase=phase, **given),
        execution=execution,
        seen=Seen(unit=None, read_at=None, executions_read_at=now),
        deadline=made.NOW + 60 * MINUTE,
        within=MINUTE,
        now=now,
    )


def execution(made: Any, status: str, **changes: Any) -> Execution:
    began = milliseconds(made.NOW)
    return Execution(**{"id": "01ABC", "status": status, "build_time": began, "start_time": began, **changes})


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def test_it_is_done_when_its_execution_and_every_stage_succeeded_whatever_the_world_runs(made: Any) -> None:
    done = judge_step(case(made, execution(made, "SUCCEEDED")))

    assert (Phase.SUCCEEDED, "before step done by execution 01ABC") == (done.phase, done.message)


@pytest.mark.parametrize("hidden", ["FAILED_CONTINUE", "STOPPED", "TERMINAL", "CANCELED"])
def test_a_succeeded_that_hides_a_stage_which_did_not_is_a_failure(made: Any, hidden: str) -> None:
    answer = {
        "id": "01ABC",
        "status": "SUCCEEDED",
        "stages": [{"name": "Check", "status": "SKIPPED"}, {"name": "Migrate", "status": hidden}],
    }

    failed = judge_step(case(made, of_answer(answer)))

    assert (Phase.FAILED, Failure.UNHEALTHY, Reason.BEFORE_FAILED) == (failed.phase, failed.failure, failed.reason)
    assert f"before step: Migrate is {hidden} (execution 01ABC ended SUCCEEDED all the same)" == failed.message


def test_what_was_done_is_done_also_where_its_end_was_asked_for(made: Any) -> None:
    assert Phase.SUCCEEDED is judge_step(case(made, execution(made, "SUCCEEDED"), Phase.ABORTING)).phase
    assert Phase.ABORTED is judge_step(case(made, execution(made, "CANCELED"), Phase.ABORTING)).phase


def test_while_it_runs_it_says_where(made: Any) -> None:
    assert "before step: execution 01ABC is PAUSED" == judge_step(case(made, execution(made, "PAUSED"))).message


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"cancellation_reason": "no", "canceled_by": "a.person"}, Failure.UNHEALTHY),
        ({"cancellation_reason": "no", "canceled_by": "a.person", "start_time": None}, Failure.TRANSIENT),
        ({"cancellation_reason": "a newer queued execution superceded it", "start_time": None}, Failure.TRANSIENT),
    ],
)
def test_a_step_that_somebody_ended_after_it_began_is_a_failed_attempt(
    made: Any, changes: dict[str, Any], failure: Failure
) -> None:
    assert failure is judge_step(case(made, execution(made, "CANCELED", **changes))).failure


def test_a_step_that_gate_forgot_may_have_been_done(made: Any) -> None:
    hidden = "Gate does not show execution 01ABC"

    lost = judge_step(case(made, None, message=hidden))

    assert (Failure.UNHEALTHY, Reason.BEFORE_FAILED) == (lost.failure, lost.reason)


def test_a_step_of_an_earlier_life_that_was_done_is_not_done_again(made: Any) -> None:
    long_ago = {"build_time": milliseconds(made.NOW - 60 * MINUTE)}

    done = judge_step(case(made, execution(made, "SUCCEEDED", **long_ago), Phase.INTENDED, ticket=None))
    failed = judge_step(case(made, execution(made, "TERMINAL", **long_ago), Phase.INTENDED, ticket=None))

    assert (Phase.SUCCEEDED, Phase.USED_UP) == (done.phase, failed.phase)
