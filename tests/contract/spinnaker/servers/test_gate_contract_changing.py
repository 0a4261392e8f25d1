"""Changing executions."""

from typing import Any

import pytest

from adapters.gate.errors import Accepted
from tests.contract.spinnaker.servers.cases import GATE, WEB, unverified
from tests.contract.spinnaker.servers.speaking import HOLD, Server, statuses

WAIT = {"type": "wait", "name": "Wait", "waitTime": 0}
FAILING = {
    "type": "checkPreconditions",
    "name": "Guard",
    "preconditions": [{"type": "expression", "context": {"expression": "parameters.GO == 'yes'"}}],
}
NOBODY = "01JD2Q6M3N8V5T0R9K7W4X1Y2Z"


# -- cancel --------------------------------------------------------------------------------------------------------


def test_a_cancel_ends_an_execution_and_keeps_who_and_why(server: Server) -> None:
    execution = server.start(server.pipeline(HOLD, WAIT))
    server.running(execution)

    result = server.gate.cancel(execution, "newer revision", server.lease)

    assert Accepted(ref=execution) == result
    seen = server.ended(execution)
    assert ("CANCELED", True, "newer revision") == (seen["status"], seen["canceled"], seen["cancellationReason"])
    assert seen["canceledBy"]
    end = server.until(execution, lambda now: statuses(now)["Hold"] != "RUNNING", "the stage's end")
    assert {"Hold": "CANCELED", "Wait": "NOT_STARTED"} == statuses(end)


@unverified(GATE)
def test_a_cancel_is_answered_with_200_and_nothing(server: Server) -> None:
    execution = server.start(server.pipeline(WAIT))

    answer = server.put(f"/pipelines/{execution}/cancel")

    assert (200, b"") == (answer.status_code, answer.content)


def test_a_cancel_of_what_is_over_is_accepted_and_marks_it_but_its_status_stays(server: Server) -> None:
    execution = server.start(server.pipeline(WAIT))
    server.ended(execution)

    assert server.put(f"/pipelines/{execution}/cancel", reason="too late").status_code == 200

    seen = server.until(execution, lambda now: now["canceled"], "the mark")
    assert ("SUCCEEDED", True, "too late") == (seen["status"], seen["canceled"], seen["cancellationReason"])


@unverified(WEB)
def test_what_is_missing_cannot_be_changed_404(server: Server) -> None:
    assert [404] * 3 == [
        server.put(f"/pipelines/{NOBODY}/cancel", reason="nothing there").status_code,
        server.put(f"/pipelines/{NOBODY}/pause").status_code,
        server.ask("DELETE", f"/pipelines/{NOBODY}").status_code,
    ]


# -- pause and resume ----------------------------------------------------------------------------------------------


def test_a_pause_stops_what_runs_and_a_resume_lets_it_go_on(server: Server) -> None:
    with server.held(server.pipeline(HOLD)) as execution:
        server.put(f"/pipelines/{execution}/pause")
        paused = server.until(execution, lambda now: statuses(now)["Hold"] == "PAUSED", "the stage's pause")
        assert ("PAUSED", True) == (paused["status"], paused["paused"]["paused"])
        assert paused["paused"]["pausedBy"]
        assert paused["paused"]["pauseTime"] >= paused["startTime"]

        server.put(f"/pipelines/{execution}/resume")
        resumed = server.until(execution, lambda now: statuses(now)["Hold"] == "RUNNING", "the stage's resumption")
        assert ("RUNNING", False) == (resumed["status"], resumed["paused"]["paused"])
        assert resumed["paused"]["resumedBy"]

        server.running(execution)
        server.let_go(execution)
        assert "SUCCEEDED" == server.ended(execution)["status"]


def test_a_pause_of_what_is_over_is_accepted_and_does_nothing(server: Server) -> None:
    execution = server.start(server.pipeline(WAIT))
    before = server.ended(execution)

    assert 200 == server.put(f"/pipelines/{execution}/pause").status_code

    assert before == server.read(execution)


def test_a_pause_of_what_waits_for_its_turn_is_accepted_and_does_nothing(server: Server) -> None:
    pipeline = server.pipeline(HOLD, limitConcurrent=True)
    with server.held(pipeline):
        queued = server.start(pipeline)
        before = server.read(queued)

        assert 200 == server.put(f"/pipelines/{queued}/pause").status_code

        assert before == server.read(queued)
        server.put(f"/pipelines/{queued}/cancel")


def test_a_resume_of_what_is_not_paused_is_accepted_and_does_nothing(server: Server) -> None:
    with server.held(server.pipeline(HOLD)) as execution:
        assert 200 == server.put(f"/pipelines/{execution}/resume").status_code

        seen = server.read(execution)
        assert ("RUNNING", False) == (seen["status"], "paused" in seen)


def test_what_is_paused_can_be_canceled(server: Server) -> None:
    execution = server.start(server.pipeline(HOLD))
    server.running(execution)
    server.put(f"/pipelines/{execution}/pause")
    server.until(execution, lambda now: statuses(now)["Hold"] == "PAUSED", "the stage's pause")

    server.put(f"/pipelines/{execution}/cancel")

    assert "CANCELED" == server.ended(execution)["status"]


# -- delete --------------------------------------------------------------------------------------------------------


@unverified(WEB)
def test_a_running_execution_is_not_deleted(server: Server) -> None:
    with server.held(server.pipeline(HOLD)) as execution:
        assert 409 == server.ask("DELETE", f"/pipelines/{execution}").status_code
        assert "RUNNING" == server.read(execution)["status"]


def test_a_finished_execution_is_deleted_and_then_404(server: Server) -> None:
    execution = server.start(server.pipeline(WAIT))
    server.ended(execution)

    assert 200 == server.ask("DELETE", f"/pipelines/{execution}").status_code

    assert 404 == server.get(f"/pipelines/{execution}").status_code


# -- stages --------------------------------------------------------------------------------------------------------


def test_a_changed_stage_keeps_what_it_knew(server: Server) -> None:
    with server.held(server.pipeline({**HOLD, "note": "before"})) as execution:
        (stage,) = server.read(execution)["stages"]
        answer = server.ask("PATCH", f"/pipelines/{execution}/stages/{stage['id']}", {"judgmentStatus": "continue"})

        assert 200 == answer.status_code
        context = server.read(execution)["stages"][0]["context"]
        assert ("before", "continue", 3600) == tuple(context[key] for key in ("note", "judgmentStatus", "waitTime"))


def test_a_change_of_a_stage_that_is_not_there_is_accepted(server: Server) -> None:
    with server.held(server.pipeline(HOLD)) as execution:
        answer = server.ask("PATCH", f"/pipelines/{execution}/stages/{NOBODY}", {"x": 1})

        assert (200, b"") == (answer.status_code, answer.content)


def test_a_failed_stage_restarts_with_what_it_knew(server: Server) -> None:
    execution = server.start(server.pipeline(FAILING, WAIT), parameters={"GO": "no"})
    failed = server.ended(execution)
    guard = next(each for each in failed["stages"] if each["name"] == "Guard")

    answer = server.put(f"/pipelines/{execution}/stages/{guard['id']}/restart", {})

    assert 200 == answer.status_code

    def failed_again(now: dict[str, Any]) -> bool:
        return _restarted(now) and ("TERMINAL", "TERMINAL") == (now["status"], statuses(now)["Guard"])

    again = server.until(execution, failed_again, "another failure")
    assert "NOT_STARTED" == statuses(again)["Wait"]
    assert 3 == len(again["stages"])  # its precondition stands once, not twice


def test_a_restart_runs_the_stages_after_it_again(server: Server) -> None:
    execution = server.start(server.pipeline(WAIT, {**WAIT, "name": "Next"}))
    first = server.ended(execution)

    server.put(f"/pipelines/{execution}/stages/{first['stages'][0]['id']}/restart", {})

    def ran_again(now: dict[str, Any]) -> bool:
        both = {"Wait": "SUCCEEDED", "Next": "SUCCEEDED"} == statuses(now)
        return _restarted(now) and both and now["status"] == "SUCCEEDED" and now["startTime"] > first["startTime"]

    again = server.until(execution, ran_again, "another success")
    assert again["stages"][1]["startTime"] > first["stages"][1]["startTime"]
    assert again["buildTime"] == first["buildTime"]


@unverified(GATE)
def test_a_restart_takes_preconditions_as_they_are_configured_now(server: Server) -> None:
    pipeline = server.pipeline(FAILING)
    execution = server.start(pipeline, parameters={"GO": "no"})
    failed = server.ended(execution)
    guard = next(each for each in failed["stages"] if each["name"] == "Guard")
    holds = {"type": "expression", "context": {"expression": "1 == 1"}}
    server.change(pipeline, stages=[{**FAILING, "refId": "1", "requisiteStageRefIds": [], "preconditions": [holds]}])

    server.put(f"/pipelines/{execution}/stages/{guard['id']}/restart", {})

    assert "SUCCEEDED" == server.until(execution, lambda now: now["status"] == "SUCCEEDED", "success")["status"]


def test_a_running_stage_does_not_restart(server: Server) -> None:
    with server.held(server.pipeline(HOLD)) as execution:
        (stage,) = server.read(execution)["stages"]

        assert 200 == server.put(f"/pipelines/{execution}/stages/{stage['id']}/restart", {}).status_code

        assert stage == server.read(execution)["stages"][0]


def _restarted(execution: dict[str, Any]) -> bool:
    return any("restartDetails" in stage["context"] for stage in execution["stages"])


# -- one at a time -------------------------------------------------------------------------------------------------


def test_a_second_run_waits_while_the_first_runs(server: Server) -> None:
    pipeline = server.pipeline(HOLD, limitConcurrent=True)

    with server.held(pipeline) as first:
        second = server.start(pipeline)
        assert ("RUNNING", "NOT_STARTED") == (server.read(first)["status"], server.read(second)["status"])
        server.let_go(first)
        assert "RUNNING" == server.running(second)["status"]
        server.put(f"/pipelines/{second}/cancel")


def test_of_those_that_wait_the_newest_goes_on_and_the_others_are_superceded(server: Server) -> None:
    pipeline = server.pipeline(HOLD, limitConcurrent=True)
    with server.held(pipeline) as first:
        older = _queued(server, pipeline)
        newer = _queued(server, pipeline)
        server.let_go(first)

        server.running(newer)
        superseded = server.ended(older)

        assert ("CANCELED", True, "spinnaker") == tuple(superseded[key] for key in ("status", "canceled", "canceledBy"))
        assert superseded["cancellationReason"].startswith(
            "This execution was queued but then canceled because a newer queued execution superceded it."
        )
        assert "startTime" not in superseded
        server.put(f"/pipelines/{newer}/cancel")


def test_with_keep_waiting_each_gets_its_turn_oldest_first(server: Server) -> None:
    pipeline = server.pipeline(HOLD, limitConcurrent=True, keepWaitingPipelines=True)
    with server.held(pipeline) as first:
        older = _queued(server, pipeline)
        newer = _queued(server, pipeline)
        server.let_go(first)

        server.running(older)
        assert "NOT_STARTED" == server.read(newer)["status"]
        server.let_go(older)
        server.running(newer)
        server.put(f"/pipelines/{newer}/cancel")


def test_a_limit_of_two_lets_two_run(server: Server) -> None:
    pipeline = server.pipeline(HOLD, limitConcurrent=False, maxConcurrentExecutions=2)
    with server.held(pipeline), server.held(pipeline):
        third = _queued(server, pipeline)
        assert "NOT_STARTED" == server.read(third)["status"]
        server.put(f"/pipelines/{third}/cancel")


@pytest.mark.parametrize("keep", [True, False])
def test_a_cancel_of_what_waits_ends_it_and_not_the_one_that_runs(server: Server, keep: bool) -> None:
    pipeline = server.pipeline(HOLD, limitConcurrent=True, keepWaitingPipelines=keep)
    with server.held(pipeline) as first:
        queued = _queued(server, pipeline)

        server.put(f"/pipelines/{queued}/cancel", reason="not needed")

        seen = server.ended(queued)
        assert ("CANCELED", "not needed") == (seen["status"], seen["cancellationReason"])
        assert "RUNNING" == server.read(first)["status"]


def test_a_paused_run_does_not_hold_the_others_back(server: Server) -> None:
    pipeline = server.pipeline(HOLD, limitConcurrent=True)
    with server.held(pipeline) as first:
        server.put(f"/pipelines/{first}/pause")
        server.until(first, lambda now: statuses(now)["Hold"] == "PAUSED", "the stage's pause")

        with server.held(pipeline) as second:
            assert "RUNNING" == server.read(second)["status"]


def _queued(server: Server, pipeline: object) -> str:
    """Started, and given the engine the time to look at it: another that is started afterwards comes later."""
    execution = server.start(pipeline)  # type: ignore[arg-type]
    for _ in range(3):
        server.ended(server.start(server.pipeline(WAIT)))
    assert "NOT_STARTED" == server.read(execution)["status"]
    return execution
