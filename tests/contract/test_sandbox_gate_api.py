"""Gate's API as a client of the v1 trigger meets it, traps included. Nothing runs but by `tick`."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline

SETTINGS = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def gate(aws: Aws) -> Iterator[Gate]:
    with Gate(aws, SETTINGS) as running:
        running.pipelines.save(_config())
        yield running


def _config(**fields: Any) -> dict[str, Any]:
    fields = {
        "application": "shop",
        "name": "wait",
        "stages": [{"type": "wait", "name": "Wait", "waitTime": 0}],
        **fields,
    }
    return {"id": "config-1", "parameterConfig": [{"name": "VERSION", "required": True, "default": None}], **fields}


def trigger(gate: Gate, name: str = "wait", **body: Any) -> requests.Response:
    body.setdefault("parameters", {"VERSION": "1"})
    return requests.post(f"{gate.url}/pipelines/shop/{name}", json=body, timeout=10)


def started(gate: Gate, **body: Any) -> str:
    answer = trigger(gate, **body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["ref"]).removeprefix("/pipelines/")


def get(gate: Gate, path: str, **query: Any) -> requests.Response:
    return requests.get(gate.url + path, params=query, timeout=10)


def read(gate: Gate, execution: str) -> dict[str, Any]:
    seen: dict[str, Any] = get(gate, f"/pipelines/{execution}").json()
    return seen


def search(gate: Gate, application: str = "shop", **query: Any) -> list[str]:
    return [each["id"] for each in get(gate, f"/applications/{application}/executions/search", **query).json()]


def finish(gate: Gate) -> None:
    for _ in range(20):
        gate.tick()


# -- triggering ----------------------------------------------------------------------------------------------------


def test_a_trigger_answers_202_with_a_ref_that_exists(gate: Gate) -> None:
    answer = trigger(gate)

    assert answer.status_code == 202
    assert list(answer.json()) == ["ref"]
    assert read(gate, started(gate))["status"] == "NOT_STARTED"
    assert len(answer.json()["ref"].removeprefix("/pipelines/")) == 26


def test_the_trigger_passes_through_untouched_and_is_filled_in(gate: Gate) -> None:
    execution = started(gate, correlationId="c-1", eventId="e-1", fairlead={"commit": "abc1234"})

    seen = read(gate, execution)["trigger"]
    assert ("c-1", "e-1", {"commit": "abc1234"}) == (seen["correlationId"], seen["eventId"], seen["fairlead"])
    assert ("manual", "anonymous", []) == (seen["type"], seen["user"], seen["notifications"])


def test_a_pipeline_is_found_by_name_then_by_id(gate: Gate) -> None:
    assert [202, 202] == [trigger(gate, "wait").status_code, trigger(gate, "config-1").status_code]


def test_an_unknown_pipeline_is_404_in_gates_error_shape(gate: Gate) -> None:
    answer = trigger(gate, "WAIT")

    assert answer.status_code == 404
    assert set(answer.json()) == {"timestamp", "status", "error", "exception", "message"}
    assert answer.json()["message"].startswith(
        "Unable to trigger pipeline (application: shop, pipelineNameOrId: WAIT)."
    )


def test_a_missing_required_parameter_is_400(gate: Gate) -> None:
    answer = trigger(gate, parameters={"OTHER": "x"})

    assert (400, "Required parameter VERSION is missing") == (answer.status_code, answer.json()["message"])


def test_a_disabled_pipeline_is_400_and_leaves_a_terminal_execution(gate: Gate) -> None:
    gate.pipelines.change("config-1", disabled=True)

    answer = trigger(gate, eventId="e-disabled")

    assert 400 == answer.status_code
    assert answer.json()["message"].endswith("Message: Pipeline is disabled and cannot be started.")
    found = search(gate, eventId="e-disabled")
    assert ["TERMINAL"] == [read(gate, each)["status"] for each in found]


def test_an_expression_in_a_value_is_evaluated(gate: Gate) -> None:
    execution = started(gate, parameters={"VERSION": "1.${7*7}", "OTHER": "${parameters.VERSION}", "ODD": "${T(x)}"})

    assert read(gate, execution)["trigger"]["parameters"]["VERSION"] == "1.49"
    assert read(gate, execution)["trigger"]["parameters"]["OTHER"] == "1.${7*7}"
    assert read(gate, execution)["trigger"]["parameters"]["ODD"] == "${T(x)}"


# -- the correlation id --------------------------------------------------------------------------------------------


def test_a_correlation_id_gives_the_running_execution_with_no_sign_of_a_replay(gate: Gate) -> None:
    first = trigger(gate, correlationId="c-1")
    again = trigger(gate, correlationId="c-1", parameters={"VERSION": "2"})

    assert (202, first.json()) == (again.status_code, again.json())
    assert [True, False] == [entry["started"] for entry in gate.access_log.triggers()]


def test_a_correlation_id_of_a_complete_execution_starts_another(gate: Gate) -> None:
    first = started(gate, correlationId="c-1")
    finish(gate)

    assert read(gate, first)["status"] == "SUCCEEDED"
    assert started(gate, correlationId="c-1") != first


# -- reading -------------------------------------------------------------------------------------------------------


def test_an_unknown_execution_is_404(gate: Gate) -> None:
    answer = get(gate, "/pipelines/01JD2Q6M3N8V5T0R9K7W4X1Y2Z")

    assert answer.status_code == 404
    assert answer.json()["message"] == "Pipeline not found (id: 01JD2Q6M3N8V5T0R9K7W4X1Y2Z)"


def test_an_execution_has_orcas_shape(gate: Gate) -> None:
    execution = started(gate)
    finish(gate)
    seen = read(gate, execution)

    assert ("PIPELINE", execution, "shop", "wait", "config-1") == tuple(
        seen[key] for key in ("type", "rootId", "application", "name", "pipelineConfigId")
    )
    assert seen["buildTime"] <= seen["startTime"] <= seen["endTime"]
    assert seen["buildTime"] > 1_700_000_000_000
    assert (False, False, False) == (seen["canceled"], "canceledBy" in seen, "cancellationReason" in seen)
    stage = seen["stages"][0]
    assert ("wait", "SUCCEEDED", None) == (stage["type"], stage["status"], stage.get("parentStageId"))
    assert [("wait", "SUCCEEDED")] == [(task["name"], task["status"]) for task in stage["tasks"]]


def test_bulk_reading_takes_ids_or_configs_and_drops_the_unknown(gate: Gate) -> None:
    first, second = started(gate), started(gate)

    by_id = get(gate, "/executions", executionIds=f"{first},nobody,{second}").json()
    assert [first, second] == [each["id"] for each in by_id]
    assert [second] == [each["id"] for each in get(gate, "/executions", pipelineConfigIds="config-1").json()]
    both = get(gate, "/executions", pipelineConfigIds="config-1", limit=5).json()
    assert [first, second] == [each["id"] for each in both]


def test_bulk_reading_refuses_both_and_gives_nothing_for_neither(gate: Gate) -> None:
    assert get(gate, "/executions", executionIds="a", pipelineConfigIds="b").status_code == 400
    assert get(gate, "/executions").json() == []


# -- searching -----------------------------------------------------------------------------------------------------


def test_search_finds_our_event_id_newest_first(gate: Gate) -> None:
    first, second, _ = started(gate, eventId="e-1"), started(gate, eventId="e-1"), started(gate, eventId="e-2")

    assert [second, first] == search(gate, eventId="e-1")
    assert [second, first] == search(gate, "*", eventId="e-1", pipelineName="wait")
    assert [first, second] == search(gate, eventId="e-1", reverse="true")
    assert search(gate, eventId="e-1", pipelineName="other") == []


def test_search_by_statuses_and_time(gate: Gate) -> None:
    execution = started(gate)
    built = read(gate, execution)["buildTime"]

    assert [execution] == search(gate, statuses="NOT_STARTED,RUNNING", triggerTimeStartBoundary=built)
    assert search(gate, statuses="SUCCEEDED") == []
    assert search(gate, triggerTimeStartBoundary=built + 1) == []
    backwards = {"triggerTimeStartBoundary": 2, "triggerTimeEndBoundary": 1}
    assert get(gate, "/applications/shop/executions/search", **backwards).status_code == 400


def test_search_by_a_part_of_the_trigger_takes_text_as_a_pattern(gate: Gate) -> None:
    execution = started(gate, fairlead={"key": "A-1", "wave": 1})

    def by(part: Any) -> list[str]:
        return search(gate, trigger=base64.b64encode(json.dumps(part).encode()).decode())

    assert [execution] == by({"fairlead": {"key": "a-1"}})
    assert [execution] == by({"fairlead": {"key": "A-."}})
    assert by({"fairlead": {"key": "A"}}) == []


def test_the_third_page_of_a_search_is_empty_though_there_is_more(gate: Gate) -> None:
    for _ in range(6):
        started(gate, eventId="e-1")

    assert (2, 2, 0, 6) == tuple(
        len(search(gate, eventId="e-1", startIndex=start, size=size))
        for start, size in ((0, 2), (2, 2), (4, 2), (0, 9))
    )


def test_search_expands_stages_only_when_asked(gate: Gate) -> None:
    started(gate)

    plain, full = (
        get(gate, "/applications/shop/executions/search", expand=expand).json()[0]["stages"][0]
        for expand in ("false", "true")
    )
    assert ({}, []) == (plain["context"], plain["tasks"])
    assert full["context"] == {"waitTime": 0}


def test_executions_of_a_deleted_configuration_are_not_found(gate: Gate) -> None:
    started(gate, eventId="e-1")
    gate.pipelines.delete("config-1")

    assert search(gate, eventId="e-1") == []


def test_configurations_are_listed_and_read(gate: Gate) -> None:
    assert ["wait"] == [each["name"] for each in get(gate, "/applications/shop/pipelineConfigs").json()]
    assert get(gate, "/applications/shop/pipelineConfigs/config-1").json()["name"] == "wait"
    assert get(gate, "/applications/shop/pipelineConfigs/none").status_code == 404


# -- changing ------------------------------------------------------------------------------------------------------


def put(gate: Gate, path: str, **query: str) -> requests.Response:
    return requests.put(gate.url + path, params=query, timeout=10)


def test_cancel_ends_an_execution_and_keeps_the_reason(gate: Gate) -> None:
    execution = started(gate)

    answer = put(gate, f"/pipelines/{execution}/cancel", reason="newer revision")
    gate.tick()

    assert (200, b"") == (answer.status_code, answer.content)
    seen = read(gate, execution)
    assert ("CANCELED", True, "newer revision") == (seen["status"], seen["canceled"], seen["cancellationReason"])


def test_a_cancel_of_what_is_over_leaves_its_mark_and_not_its_status(gate: Gate) -> None:
    execution = started(gate)
    finish(gate)

    assert put(gate, f"/pipelines/{execution}/cancel").status_code == 200
    assert put(gate, "/pipelines/nobody/cancel").status_code == 404
    assert ("SUCCEEDED", True) == (read(gate, execution)["status"], read(gate, execution)["canceled"])


def test_pause_takes_only_what_runs_and_resume_only_what_is_paused(gate: Gate) -> None:
    execution = started(gate)

    assert put(gate, f"/pipelines/{execution}/pause").status_code == 200
    assert read(gate, execution)["status"] == "NOT_STARTED"
    gate.tick()
    put(gate, f"/pipelines/{execution}/pause")
    finish(gate)
    assert read(gate, execution)["status"] == "PAUSED"
    put(gate, f"/pipelines/{execution}/resume")
    finish(gate)
    assert read(gate, execution)["status"] == "SUCCEEDED"


# -- one at a time -------------------------------------------------------------------------------------------------


def test_queued_runs_but_the_newest_are_canceled_as_superseded(gate: Gate) -> None:
    gate.pipelines.change("config-1", limitConcurrent=True)
    running = started(gate)
    gate.tick()
    older, newer = started(gate), started(gate)
    gate.tick()

    assert ["RUNNING", "NOT_STARTED", "NOT_STARTED"] == [read(gate, each)["status"] for each in (running, older, newer)]
    finish(gate)

    assert ["SUCCEEDED", "CANCELED", "SUCCEEDED"] == [read(gate, each)["status"] for each in (running, older, newer)]
    assert "superceded" in read(gate, older)["cancellationReason"]


def test_with_keep_waiting_all_queued_runs_get_their_turn(gate: Gate) -> None:
    gate.pipelines.change("config-1", limitConcurrent=True, keepWaitingPipelines=True)
    runs = [started(gate)]
    gate.tick()
    runs += [started(gate), started(gate)]
    finish(gate)

    assert ["SUCCEEDED"] * 3 == [read(gate, each)["status"] for each in runs]


def test_two_runs_that_both_wait_slip_through_together(gate: Gate) -> None:
    gate.pipelines.change("config-1", limitConcurrent=True)
    runs = [started(gate), started(gate)]
    gate.tick()

    assert ["RUNNING", "RUNNING"] == [read(gate, each)["status"] for each in runs]


# -- failures that hide --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "stage_status", "status"),
    [
        ({}, "TERMINAL", "TERMINAL"),
        ({"continuePipeline": True}, "FAILED_CONTINUE", "SUCCEEDED"),
        ({"failPipeline": False}, "STOPPED", "SUCCEEDED"),
        ({"failPipeline": False, "completeOtherBranchesThenFail": True}, "STOPPED", "TERMINAL"),
    ],
)
def test_a_failed_stage_can_hide_in_a_succeeded_execution(
    gate: Gate, fields: dict[str, Any], stage_status: str, status: str
) -> None:
    check = {"type": "expression", "context": {"expression": "false"}}
    gate.pipelines.change("config-1", stages=[{"type": "checkPreconditions", "preconditions": [check], **fields}])
    execution = started(gate)
    finish(gate)

    seen = read(gate, execution)
    assert (stage_status, status) == (seen["stages"][-1]["status"], seen["status"])


def test_a_stage_of_an_unknown_type_fails_whatever_it_says(gate: Gate) -> None:
    gate.pipelines.change("config-1", stages=[{"type": "nonsense", "continuePipeline": True}])
    execution = started(gate)
    finish(gate)

    seen = read(gate, execution)
    assert ("TERMINAL", "TERMINAL") == (seen["stages"][0]["status"], seen["status"])
    assert "nonsense" in seen["stages"][0]["context"]["exception"]["details"]["errors"][0]


# -- the log and the neighbours ------------------------------------------------------------------------------------


def test_the_access_log_tells_every_request_in_order(gate: Gate, tmp_path: Any) -> None:
    execution = started(gate, eventId="e-1")
    read(gate, execution)
    requests.get(f"{gate.url}/sandbox/faults", timeout=10)

    log = requests.get(f"{gate.url}/sandbox/log", timeout=10).json()
    assert [("POST", "/pipelines/shop/wait", 202), ("GET", f"/pipelines/{execution}", 200)] == [
        (entry["method"], entry["path"], entry["status"]) for entry in log
    ]
    assert ("e-1", execution, True) == (log[0]["body"]["eventId"], log[0]["execution"], log[0]["started"])


def test_the_access_log_is_written_to_a_file(aws: Aws, tmp_path: Any) -> None:
    file = tmp_path / "gate.jsonl"
    with Gate(aws, GateSettings(background=False, log_file=file)) as gate:
        get(gate, "/health")
        assert gate.access_log.wait_for(lambda entries: entries[0]["status"] is not None)

    assert [("GET", "/health", 200)] == [
        (entry["method"], entry["path"], entry["status"]) for entry in map(json.loads, file.read_text().splitlines())
    ]


def test_two_gates_know_nothing_of_each_other(gate: Gate, aws: Aws) -> None:
    with Gate(aws, SETTINGS) as other:
        assert trigger(other).status_code == 404
        other.faults.on("unavailable")
        assert (202, 503) == (trigger(gate).status_code, trigger(other).status_code)
        assert len(other.access_log.triggers()) == 2


def test_a_path_that_gate_does_not_have_is_404(gate: Gate) -> None:
    assert get(gate, "/nowhere").status_code == 404


def test_the_documented_pipeline_carries_the_names_it_was_given() -> None:
    config = deploy_pipeline(
        "shop", "deploy", "shop-prod", "shop", regions=["us-east-1"], parameters={"version": "V", "fairleadKey": "K"}
    )

    assert [("V", True), ("K", False)] == [(each["name"], each["required"]) for each in config["parameterConfig"]]
    assert {"fairlead:key": "${parameters.K}"} == config["stages"][1]["clusters"][0]["tags"]
