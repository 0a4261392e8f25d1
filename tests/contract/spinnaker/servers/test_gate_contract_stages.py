"""The life of stages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.contract.spinnaker.servers.cases import WEB, WEBHOOK, unverified
from tests.contract.spinnaker.servers.speaking import HOLD, Server, statuses

WAIT = {"type": "wait", "name": "Wait", "waitTime": 0}
NONSENSE = {"type": "noSuchStage", "name": "Fails"}


def guard(expression: str, **fields: Any) -> dict[str, Any]:
    """A stage that checks an expression."""
    precondition = {"type": "expression", "failPipeline": True, "context": {"expression": expression}}
    return {"type": "checkPreconditions", "name": "Guard", "preconditions": [precondition], **fields}


# -- wait ----------------------------------------------------------------------------------------------------------


def test_a_wait_takes_its_seconds(server: Server) -> None:
    (stage,) = server.ended(server.start(server.pipeline({**WAIT, "waitTime": 1})))["stages"]

    assert "SUCCEEDED" == stage["status"]
    assert stage["endTime"] - stage["startTime"] >= 1000


def test_a_wait_ends_at_once_when_told_to_skip_the_rest(server: Server) -> None:
    with server.held(server.pipeline(HOLD)) as execution:
        (stage,) = server.read(execution)["stages"]
        answer = server.ask("PATCH", f"/pipelines/{execution}/stages/{stage['id']}", {"skipRemainingWait": True})

        assert 200 == answer.status_code
        seen = server.ended(execution)

    assert ("SUCCEEDED", True) == (seen["status"], seen["stages"][0]["context"]["skipRemainingWait"])


# -- checkPreconditions --------------------------------------------------------------------------------------------


def test_a_precondition_that_holds_lets_the_next_stage_run(server: Server) -> None:
    pipeline = server.pipeline(guard("parameters.VERSION matches '[0-9].*'"), WAIT)

    seen = server.ended(server.start(pipeline, parameters={"VERSION": "1.4.2"}))

    assert "SUCCEEDED" == seen["status"]
    assert {"Guard": "SUCCEEDED", "Wait": "SUCCEEDED"} == statuses(seen)


def test_each_precondition_is_a_stage_of_its_own_before_the_stage(server: Server) -> None:
    seen = server.ended(server.start(server.pipeline(guard("1 == 1"))))

    child, parent = seen["stages"]
    assert "parentStageId" not in parent
    assert (parent["id"], "STAGE_BEFORE") == (child["parentStageId"], child["syntheticStageOwner"])
    assert ("Check precondition (expression)", "checkPreconditions") == (child["name"], child["type"])
    assert ["checkPrecondition"] == [task["name"] for task in child["tasks"]]
    assert {"expression": "1 == 1", "expressionResult": "true"} == {
        key: value for key, value in child["context"]["context"].items() if value is not None
    }


def test_a_precondition_that_fails_ends_the_execution_without_a_word(server: Server) -> None:
    seen = server.ended(server.start(server.pipeline(guard("1 == 2"), WAIT)))

    assert "TERMINAL" == seen["status"]
    assert {"Guard": "TERMINAL", "Wait": "NOT_STARTED"} == statuses(seen)
    assert not any("exception" in stage["context"] for stage in seen["stages"])


def test_a_precondition_that_cannot_be_read_fails(server: Server) -> None:
    seen = server.ended(server.start(server.pipeline(guard("parameters.NOBODY == 'x'"))))

    assert ("TERMINAL", {"Guard": "TERMINAL"}) == (seen["status"], statuses(seen))


@pytest.mark.parametrize(
    ("fields", "status"), [({"failPipeline": False}, "STOPPED"), ({"failPipeline": True}, "TERMINAL")]
)
def test_a_precondition_says_itself_how_it_fails(server: Server, fields: dict[str, Any], status: str) -> None:
    fails = {"type": "expression", "context": {"expression": "1 == 2"}, **fields}
    pipeline = server.pipeline({"type": "checkPreconditions", "name": "Guard", "preconditions": [fails]}, WAIT)

    seen = server.ended(server.start(pipeline))

    assert {"Guard": status, "Wait": "NOT_STARTED"} == statuses(seen)
    assert ("SUCCEEDED" if status == "STOPPED" else "TERMINAL") == seen["status"]


def test_a_precondition_on_another_stage(server: Server) -> None:
    wanted = {"type": "stageStatus", "context": {"stageName": "Wait", "stageStatus": "SUCCEEDED"}}
    pipeline = server.pipeline(WAIT, {"type": "checkPreconditions", "name": "Guard", "preconditions": [wanted]})

    assert {"Wait": "SUCCEEDED", "Guard": "SUCCEEDED"} == statuses(server.ended(server.start(pipeline)))


def test_a_precondition_on_another_stage_says_what_it_found(server: Server) -> None:
    wanted = {"type": "stageStatus", "context": {"stageName": "Wait", "stageStatus": "SKIPPED"}}
    pipeline = server.pipeline(WAIT, {"type": "checkPreconditions", "name": "Guard", "preconditions": [wanted]})

    seen = server.ended(server.start(pipeline))

    (child,) = (each for each in seen["stages"] if "parentStageId" in each)
    said = "The status of stage Wait was asserted to be SKIPPED, but was actually SUCCEEDED"
    assert [said] == child["context"]["exception"]["details"]["errors"]


# -- webhook -------------------------------------------------------------------------------------------------------


@contextmanager
def listener(status: int) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """A URL on loopback that answers with this status, and what it heard."""
    heard: list[Mapping[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            heard.append({"path": self.path, "body": body.decode(), "header": self.headers.get("X-Signature")})
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"heard": true}')

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nobody reads it."""

    web = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.server_port}/hook", heard
    finally:
        web.shutdown()
        thread.join()
        web.server_close()


def hook(url: str, **fields: Any) -> dict[str, Any]:
    return {"type": "webhook", "name": "Tell", "method": "POST", "url": url, "payload": {}, **fields}


@unverified(WEBHOOK)
def test_a_webhook_says_its_payload_and_keeps_the_answer(server: Server) -> None:
    with listener(200) as (url, heard):
        stage = hook(url, payload={"version": "${parameters.VERSION}"}, customHeaders={"X-Signature": "abc"})
        seen = server.ended(server.start(server.pipeline(stage), parameters={"VERSION": "1.4.2"}))

    assert [{"path": "/hook", "body": '{"version":"1.4.2"}', "header": "abc"}] == [
        {**each, "body": each["body"].replace(" ", "")} for each in heard
    ]
    answered = seen["stages"][0]["context"]["webhook"]
    assert ("SUCCEEDED", "OK", 200) == (seen["status"], answered["statusCode"], answered["statusCodeValue"])
    assert {"heard": True} == answered["body"]


@unverified(WEBHOOK)
def test_a_webhook_that_is_refused_fails_and_says_why_beside_its_answer(server: Server) -> None:
    with listener(404) as (url, _):
        seen = server.ended(server.start(server.pipeline(hook(url))))

    context = seen["stages"][0]["context"]
    assert ("TERMINAL", {"Tell": "TERMINAL"}) == (seen["status"], statuses(seen))
    assert ("NOT_FOUND", False) == (context["webhook"]["statusCode"], "exception" in context)
    said = f"Error submitting webhook for pipeline {seen['id']} to {url} with status code 404."
    assert said == context["webhook"]["error"]


@unverified(WEBHOOK)
def test_a_webhook_that_finds_nobody_fails_and_says_so(server: Server) -> None:
    with listener(200) as (url, _):
        pass

    seen = server.ended(server.start(server.pipeline(hook(url))))

    said = f"An exception occurred for pipeline {seen['id']} performing a request to {url}."
    assert seen["stages"][0]["context"]["webhook"]["error"].startswith(said)


@unverified(WEBHOOK)
def test_a_webhook_asks_again_while_the_other_side_is_overloaded(server: Server) -> None:
    with listener(503) as (url, heard):
        with server.held(server.pipeline(hook(url))) as execution:
            server.until(execution, lambda _: len(heard) > 1, "a second request")
            assert {"Tell": "RUNNING"} == statuses(server.read(execution))


# -- failing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "stage", "following", "execution"),
    [
        ({}, "TERMINAL", "NOT_STARTED", "TERMINAL"),
        ({"failPipeline": True, "continuePipeline": False}, "TERMINAL", "NOT_STARTED", "TERMINAL"),
        ({"failPipeline": False, "continuePipeline": True}, "FAILED_CONTINUE", "SUCCEEDED", "SUCCEEDED"),
        ({"failPipeline": False, "continuePipeline": False}, "STOPPED", "NOT_STARTED", "SUCCEEDED"),
        ({"failPipeline": False}, "STOPPED", "NOT_STARTED", "SUCCEEDED"),
        ({"failPipeline": False, "completeOtherBranchesThenFail": True}, "STOPPED", "NOT_STARTED", "TERMINAL"),
    ],
)
def test_how_a_failed_stage_ends_and_its_execution(
    server: Server, fields: dict[str, Any], stage: str, following: str, execution: str
) -> None:
    seen = server.ended(server.start(server.pipeline(guard("1 == 2", **fields), WAIT)))

    assert ({"Guard": stage, "Wait": following}, execution) == (statuses(seen), seen["status"])


@pytest.mark.parametrize("fields", [{}, {"failPipeline": False}, {"continuePipeline": True}])
def test_a_stage_of_a_type_that_nobody_knows_fails_whatever_it_says(server: Server, fields: dict[str, Any]) -> None:
    seen = server.ended(server.start(server.pipeline({**NONSENSE, **fields})))

    (stage,) = seen["stages"]
    exception = stage["context"]["exception"]
    assert ("TERMINAL", "TERMINAL", []) == (seen["status"], stage["status"], stage["tasks"])
    assert exception["exceptionType"] == "NoSuchStageDefinitionBuilderException"
    assert ("Unexpected Task Failure", False) == (exception["details"]["error"], exception["shouldRetry"])
    said = "No StageDefinitionBuilder implementation for noSuchStage(alias: null) found (knownTypes: "
    assert exception["details"]["errors"][0].startswith(said)


def test_a_terminal_stage_cancels_the_branch_beside_it(server: Server) -> None:
    pipeline = server.pipeline({**HOLD, "requisiteStageRefIds": []}, {**NONSENSE, "requisiteStageRefIds": []})

    seen = server.ended(server.start(pipeline))

    assert "TERMINAL" == seen["status"]
    assert "TERMINAL" == statuses(seen)["Fails"]
    end = server.until(seen["id"], lambda now: statuses(now)["Hold"] not in {"RUNNING"}, "the other branch's end")
    assert statuses(end)["Hold"] in {"CANCELED", "NOT_STARTED"}


def test_a_stopped_stage_lets_the_branch_beside_it_finish(server: Server) -> None:
    stopped = guard("1 == 2", failPipeline=False, requisiteStageRefIds=[])
    pipeline = server.pipeline({**HOLD, "requisiteStageRefIds": []}, stopped)
    execution = server.start(pipeline)

    server.until(execution, lambda seen: statuses(seen) == {"Hold": "RUNNING", "Guard": "STOPPED"}, "one branch's end")
    assert "RUNNING" == server.read(execution)["status"]
    server.running(execution)
    server.let_go(execution)

    assert ("SUCCEEDED", {"Hold": "SUCCEEDED", "Guard": "STOPPED"}) == _end(server, execution)


def test_other_branches_complete_and_then_it_fails(server: Server) -> None:
    fields = {"failPipeline": False, "completeOtherBranchesThenFail": True, "requisiteStageRefIds": []}
    execution = server.start(server.pipeline({**HOLD, "requisiteStageRefIds": []}, guard("1 == 2", **fields)))

    server.until(execution, lambda seen: statuses(seen)["Guard"] == "STOPPED", "one branch's end")
    server.running(execution)
    server.let_go(execution)

    assert ("TERMINAL", {"Hold": "SUCCEEDED", "Guard": "STOPPED"}) == _end(server, execution)


def test_a_stage_that_waits_for_two_starts_when_both_are_done(server: Server) -> None:
    pipeline = server.pipeline(
        {**HOLD, "requisiteStageRefIds": []},
        {**WAIT, "requisiteStageRefIds": []},
        {**WAIT, "name": "Last", "requisiteStageRefIds": ["1", "2"]},
    )
    execution = server.start(pipeline)

    server.until(execution, lambda seen: statuses(seen)["Wait"] == "SUCCEEDED", "one branch's end")
    assert "NOT_STARTED" == statuses(server.running(execution))["Last"]
    server.let_go(execution)

    assert {"Hold": "SUCCEEDED", "Wait": "SUCCEEDED", "Last": "SUCCEEDED"} == _end(server, execution)[1]


def _end(server: Server, execution: str) -> tuple[str, dict[str, str]]:
    seen = server.ended(execution)
    return seen["status"], statuses(seen)


# -- conditions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "status"),
    [
        ("parameters.REGION == 'east'", "SUCCEEDED"),
        ("parameters.REGION == ''", "SKIPPED"),
        ("parameters.REGION == '' || parameters.REGION == 'east'", "SUCCEEDED"),
        ("${parameters.REGION != 'east'}", "SKIPPED"),
        ("parameters.NOBODY == 'x'", "SKIPPED"),
        ("true", "SUCCEEDED"),
        ("false", "SKIPPED"),
    ],
)
def test_a_stage_whose_condition_is_false_is_skipped(server: Server, expression: str, status: str) -> None:
    stage = {**WAIT, "stageEnabled": {"type": "expression", "expression": expression}}

    seen = server.ended(server.start(server.pipeline(stage), parameters={"REGION": "east"}))

    assert ({"Wait": status}, "SUCCEEDED") == (statuses(seen), seen["status"])


@unverified(WEB)
def test_stages_without_an_order_run_one_after_the_other(server: Server) -> None:
    pipeline = server.pipeline(WAIT)
    server.change(pipeline, stages=[{**NONSENSE}, {**WAIT}])

    assert {"Fails": "TERMINAL", "Wait": "NOT_STARTED"} == statuses(server.ended(server.start(pipeline)))
