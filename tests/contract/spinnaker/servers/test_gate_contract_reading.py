"""Reading executions."""

import base64
import json
from datetime import UTC, datetime
from uuid import uuid4

from tests.contract.spinnaker.servers.cases import FRONT50, GATE, SQL, WEB, unverified
from tests.contract.spinnaker.servers.speaking import HOLD, Server

WAIT = {"type": "wait", "name": "Wait", "waitTime": 0}
NOBODY = "01JD2Q6M3N8V5T0R9K7W4X1Y2Z"


def test_a_finished_execution_has_orcas_shape(server: Server) -> None:
    pipeline = server.pipeline(WAIT)

    seen = server.ended(server.start(pipeline))

    assert {
        "type": "PIPELINE",
        "application": server.application,
        "name": pipeline.name,
        "pipelineConfigId": pipeline.id,
        "status": "SUCCEEDED",
        "canceled": False,
        "limitConcurrent": False,
        "maxConcurrentExecutions": 0,
        "keepWaitingPipelines": False,
        "notifications": [],
        "initialConfig": {},
        "systemNotifications": [],
        "spelEvaluator": "v4",
    } == {
        key: value
        for key, value in seen.items()
        if key
        not in {"id", "rootId", "buildTime", "startTime", "endTime", "authentication", "origin", "trigger", "stages"}
    }
    assert 1_700_000_000_000 < seen["buildTime"] <= seen["startTime"] <= seen["endTime"]


def test_a_finished_stage_has_orcas_shape(server: Server) -> None:
    (stage,) = server.ended(server.start(server.pipeline(WAIT)))["stages"]

    times = {"id", "startTime", "endTime", "tasks"}
    assert {
        "refId": "1",
        "type": "wait",
        "name": "Wait",
        "status": "SUCCEEDED",
        "context": {"waitTime": 0},
        "outputs": {},
        "requisiteStageRefIds": [],
    } == {key: value for key, value in stage.items() if key not in times}
    (task,) = stage["tasks"]
    assert {
        "id": "1",
        "name": "wait",
        "implementingClass": "com.netflix.spinnaker.orca.pipeline.tasks.WaitTask",
        "status": "SUCCEEDED",
        "stageStart": True,
        "stageEnd": True,
        "loopStart": False,
        "loopEnd": False,
        "taskExceptionDetails": {},
    } == {key: value for key, value in task.items() if key not in times or key == "id"}
    assert stage["startTime"] <= task["startTime"] <= task["endTime"] <= stage["endTime"]


def test_what_has_not_happened_yet_is_not_in_the_answer(server: Server) -> None:
    pipeline = server.pipeline(HOLD, WAIT)

    with server.held(pipeline) as execution:
        seen = server.read(execution)

    assert {"endTime", "canceledBy", "cancellationReason", "paused"}.isdisjoint(seen)
    assert {"startTime", "endTime", "parentStageId", "syntheticStageOwner"}.isdisjoint(seen["stages"][1])
    assert ("NOT_STARTED", []) == (seen["stages"][1]["status"], seen["stages"][1]["tasks"])


def test_a_missing_execution_is_404(server: Server) -> None:
    assert 404 == server.get(f"/pipelines/{NOBODY}").status_code
    assert server.gate.execution(NOBODY) is None


@unverified(GATE)
def test_a_missing_execution_is_named(server: Server) -> None:
    assert f"Pipeline not found (id: {NOBODY})" == server.get(f"/pipelines/{NOBODY}").json()["message"]


def test_an_error_has_the_shape_that_all_services_share(server: Server) -> None:
    body = server.get(f"/pipelines/{NOBODY}").json()

    assert (404, "Not Found") == (body["status"], body["error"])
    assert {"timestamp", "status", "error", "exception", "message"} <= set(body)


# -- many at once --------------------------------------------------------------------------------------------------


@unverified(WEB)
def test_the_bulk_read_gives_ids_that_exist_and_drops_the_others(server: Server) -> None:
    pipeline = server.pipeline(WAIT)
    first, second = server.start(pipeline), server.start(pipeline)

    assert {first, second} == set(server.gate.executions([first, NOBODY, second]))


@unverified(WEB)
def test_the_bulk_read_gives_the_newest_of_a_pipeline(server: Server) -> None:
    pipeline = server.pipeline(WAIT)
    server.ended(server.start(pipeline))
    second = server.start(pipeline)
    server.ended(second)

    assert [second] == [each["id"] for each in server.get("/executions", pipelineConfigIds=pipeline.id).json()]


@unverified(WEB)
def test_the_bulk_read_refuses_ids_and_pipelines_together_and_gives_nothing_for_neither(server: Server) -> None:
    assert 400 == server.get("/executions", executionIds="a", pipelineConfigIds="b").status_code
    assert [] == server.get("/executions").json()


@unverified(WEB)
def test_the_bulk_read_takes_200_ids_and_not_300(server: Server) -> None:
    execution = server.start(server.pipeline(WAIT))

    assert 200 == server.get("/executions", executionIds=",".join([execution] * 200)).status_code
    assert 400 == server.get("/executions", executionIds=",".join([execution] * 300)).status_code


@unverified(WEB)
def test_the_bulk_read_can_leave_out_what_stages_know(server: Server) -> None:
    execution = server.start(server.pipeline(WAIT))
    server.ended(execution)

    (seen,) = server.get("/executions", executionIds=execution, expand="false").json()
    assert ({}, {}, []) == tuple(seen["stages"][0][key] for key in ("context", "outputs", "tasks"))


# -- searching -----------------------------------------------------------------------------------------------------


@unverified(WEB)
def test_a_search_finds_our_event_id_and_no_other(server: Server) -> None:
    pipeline, event = server.pipeline(WAIT), str(uuid4())
    since = datetime(2020, 1, 1, tzinfo=UTC)
    ours, _ = server.start(pipeline, eventId=event), server.start(pipeline, eventId=str(uuid4()))

    found = server.gate.search(server.application, pipeline.name, event, since)

    assert [ours] == [each.id for each in found]


def test_an_execution_is_found_between_two_moments(server: Server) -> None:
    pipeline = server.pipeline(WAIT)
    execution = server.start(pipeline)
    built = server.read(execution)["buildTime"]

    def between(since: int, until: int) -> list[str]:
        return server.search(pipeline, triggerTimeStartBoundary=since, triggerTimeEndBoundary=until)

    assert [execution] == between(built, built)
    assert [] == between(built + 1, built + 1000)
    assert [] == between(built - 1000, built - 1)


@unverified(WEB)
def test_a_search_can_ask_for_statuses(server: Server) -> None:
    event = str(uuid4())
    pipeline = server.pipeline(WAIT)
    execution = server.start(pipeline, eventId=event)
    server.ended(execution)

    assert [execution] == server.search(pipeline, eventId=event, statuses="RUNNING,SUCCEEDED")
    assert [] == server.search(pipeline, eventId=event, statuses="RUNNING,NOT_STARTED")


@unverified(WEB, SQL)
def test_a_search_gives_the_newest_first_and_reversed_the_oldest(server: Server) -> None:
    pipeline, event = server.pipeline(WAIT), str(uuid4())
    first = server.start(pipeline, eventId=event)
    server.ended(first)
    second = server.start(pipeline, eventId=event)

    assert [second, first] == server.search(pipeline, eventId=event)
    assert [first, second] == server.search(pipeline, eventId=event, reverse="true")


@unverified(WEB, SQL)
def test_a_later_page_of_a_search_may_be_empty_though_there_is_more(server: Server) -> None:
    pipeline, event = server.pipeline(WAIT), str(uuid4())
    for _ in range(6):
        server.start(pipeline, eventId=event)

    pages = [len(server.search(pipeline, eventId=event, startIndex=start, size=2)) for start in (0, 2, 4)]
    assert ([2, 2, 0], 6) == (pages, len(server.search(pipeline, eventId=event, size=10)))


@unverified(WEB)
def test_a_search_by_a_part_of_the_trigger_takes_text_as_a_pattern(server: Server) -> None:
    key = f"A-{uuid4().hex}"
    pipeline = server.pipeline(WAIT)
    execution = server.start(pipeline, fairlead={"key": key, "wave": 1})

    def by(part: object) -> list[str]:
        return server.search(pipeline, trigger=base64.b64encode(json.dumps(part).encode()).decode())

    assert [execution] == by({"fairlead": {"key": key.lower()}})
    assert [execution] == by({"fairlead": {"key": f"..{key[2:]}"}})
    assert [] == by({"fairlead": {"key": key[2:]}})


@unverified(WEB)
def test_a_search_refuses_bounds_that_make_no_sense(server: Server) -> None:
    for query in (
        {"triggerTimeStartBoundary": 2, "triggerTimeEndBoundary": 1},
        {"triggerTimeStartBoundary": -1},
        {"size": 0},
        {"startIndex": -1},
    ):
        answer = server.get(f"/applications/{server.application}/executions/search", **query)
        assert 400 == answer.status_code, query


@unverified(FRONT50)
def test_executions_of_a_deleted_pipeline_are_read_but_not_found(server: Server) -> None:
    pipeline, event = server.pipeline(WAIT), str(uuid4())
    execution = server.start(pipeline, eventId=event)
    server.ended(execution)
    server.forget(pipeline)

    assert [] == server.search(pipeline, eventId=event)
    assert "SUCCEEDED" == server.read(execution)["status"]
