"""Starting a pipeline."""

from threading import Barrier, Thread
from uuid import uuid4

import pytest

from adapters.gate.errors import Accepted, Refused
from tests.contract.spinnaker.servers.cases import FRONT50, GATE, WEB, unverified
from tests.contract.spinnaker.servers.speaking import HOLD, Server, ref_of

WAIT = {"type": "wait", "name": "Wait", "waitTime": 0}
VERSION = {"name": "VERSION", "required": True, "default": None}


def test_a_trigger_gives_the_ref_of_an_execution_that_exists(server: Server) -> None:
    pipeline = server.pipeline(WAIT)

    result = server.gate.trigger(server.application, pipeline.name, {}, server.lease)

    assert isinstance(result, Accepted)
    assert 26 == len(result.ref)
    assert (result.ref, pipeline.id) == (server.read(result.ref)["id"], server.read(result.ref)["pipelineConfigId"])


@unverified(GATE)
def test_a_trigger_is_answered_with_202_and_a_ref_alone(server: Server) -> None:
    answer = server.post(server.pipeline(WAIT))

    assert (202, ["ref"]) == (answer.status_code, list(answer.json()))


@unverified(FRONT50)
def test_a_pipeline_is_found_by_its_name_and_by_its_id(server: Server) -> None:
    pipeline = server.pipeline(WAIT)

    assert [202, 202] == [server.post(pipeline.name).status_code, server.post(pipeline.id).status_code]


@unverified(GATE)
def test_a_missing_pipeline_is_404_and_says_which(server: Server) -> None:
    answer = server.post("no-such-pipeline")

    assert 404 == answer.status_code
    said = f"Unable to trigger pipeline (application: {server.application}, pipelineNameOrId: no-such-pipeline)."
    assert answer.json()["message"].startswith(said)


def test_the_trigger_is_kept_as_it_was_sent(server: Server) -> None:
    sent = {
        "correlationId": f"fairlead:{uuid4()}",
        "eventId": str(uuid4()),
        "parameters": {"VERSION": "1.4.2"},
        "fairlead": {"commit": "abc1234", "wave": 1},
    }

    kept = server.read(server.start(server.pipeline(WAIT), **sent))["trigger"]

    assert sent == {key: kept[key] for key in sent}


def test_the_flags_and_artifacts_that_a_trigger_lacks_are_filled_in(server: Server) -> None:
    kept = server.read(server.start(server.pipeline(WAIT)))["trigger"]

    assert {
        "artifacts": [],
        "rebake": False,
        "dryRun": False,
        "strategy": False,
        "resolvedExpectedArtifacts": [],
        "expectedArtifacts": [],
    } == {key: value for key, value in kept.items() if key not in {"user", "type", "parameters", "notifications"}}


@unverified(WEB)
def test_a_trigger_that_says_nothing_is_a_manual_one_without_parameters(server: Server) -> None:
    kept = server.read(server.start(server.pipeline(WAIT)))["trigger"]

    assert ("manual", {}, []) == tuple(kept[key] for key in ("type", "parameters", "notifications"))


# -- parameters ----------------------------------------------------------------------------------------------------


@unverified(GATE)
def test_a_missing_required_parameter_is_400_and_says_which(server: Server) -> None:
    pipeline = server.pipeline(WAIT, parameterConfig=[VERSION])

    answer = server.post(pipeline, parameters={"OTHER": "x"})

    assert (400, "Required parameter VERSION is missing") == (answer.status_code, answer.json()["message"])


@unverified(WEB)
def test_a_parameter_that_was_not_given_has_its_default(server: Server) -> None:
    pipeline = server.pipeline(WAIT, parameterConfig=[{"name": "REGION", "required": False, "default": "us-east-1"}])

    assert {"REGION": "us-east-1"} == server.read(server.start(pipeline))["trigger"]["parameters"]


@unverified(WEB)
def test_a_parameter_that_nobody_declared_passes_through(server: Server) -> None:
    execution = server.start(server.pipeline(WAIT), parameters={"ODD": {"a": [1, None]}})

    assert {"ODD": {"a": [1, None]}} == server.read(execution)["trigger"]["parameters"]


# -- what cannot start ---------------------------------------------------------------------------------------------


@unverified(WEB)
def test_a_disabled_pipeline_is_refused_with_400(server: Server) -> None:
    pipeline = server.pipeline(WAIT, disabled=True)

    result = server.gate.trigger(server.application, pipeline.name, {}, server.lease)

    assert isinstance(result, Refused)
    assert 400 == result.status
    assert "Pipeline is disabled and cannot be started." in result.sentence


@unverified(WEB)
def test_what_was_refused_leaves_a_terminal_execution(server: Server) -> None:
    pipeline = server.pipeline(WAIT, disabled=True)
    event = str(uuid4())

    assert 400 == server.post(pipeline, eventId=event).status_code

    (execution,) = (server.read(each) for each in server.search(pipeline, eventId=event))
    assert ("TERMINAL", True, "system") == (execution["status"], execution["canceled"], execution["canceledBy"])
    assert "Failed on startup: Pipeline is disabled and cannot be started." == execution["cancellationReason"]
    assert {"NOT_STARTED"} == {stage["status"] for stage in execution["stages"]}


def test_an_accepted_trigger_may_be_terminal_at_once(server: Server) -> None:
    execution = server.ended(server.start(server.pipeline()))

    assert ("TERMINAL", []) == (execution["status"], execution["stages"])


# -- expressions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1.${7*7}", "1.49"),
        ("${1 + 1}", 2),
        ("${'a' + 'b'}", "ab"),
        ("${parameters.NAME}", "web"),
        ("${trigger['gitops']['sha']}", "abc1234"),
        ("${parameters.NOBODY}", "${parameters.NOBODY}"),
        ("${parameters.NOBODY ?: 'none'}", "${parameters.NOBODY ?: 'none'}"),
        ("${T(x)}", "${T(x)}"),
        ("${unfinished", "${unfinished"),
        ("$NAME and {NAME}", "$NAME and {NAME}"),
    ],
)
def test_an_expression_in_a_parameter_is_evaluated(server: Server, written: str, read: object) -> None:
    trigger = {"parameters": {"NAME": "web", "VALUE": written}, "gitops": {"sha": "abc1234"}}

    execution = server.read(server.start(server.pipeline(WAIT), **trigger))

    assert read == execution["trigger"]["parameters"]["VALUE"]


def test_an_expression_anywhere_in_the_trigger_is_evaluated(server: Server) -> None:
    execution = server.read(server.start(server.pipeline(WAIT), fairlead={"commits": ["${2*3}"]}))

    assert {"commits": [6]} == execution["trigger"]["fairlead"]


def test_an_expression_in_an_id_is_evaluated_too(server: Server) -> None:
    sent = str(uuid4())

    kept = server.read(server.start(server.pipeline(WAIT), eventId=f"{sent}-${{1+1}}"))["trigger"]

    assert f"{sent}-2" == kept["eventId"]


def test_an_expression_in_a_stage_is_evaluated_when_the_stage_starts(server: Server) -> None:
    pipeline = server.pipeline({**HOLD, "note": "${parameters.NAME}"})

    with server.held(pipeline, parameters={"NAME": "web"}) as execution:
        assert "web" == server.read(execution)["stages"][0]["context"]["note"]


# -- ids -----------------------------------------------------------------------------------------------------------


def test_a_chosen_execution_id_is_kept_and_sent_again_resets_the_execution(server: Server) -> None:
    chosen = f"01JD{uuid4().hex.upper()[:22]}"
    whole = {"application": server.application, "name": "chosen", "executionId": chosen, "stages": [], "trigger": {}}

    first = server.ask("POST", "/pipelines/start", {**whole, "stages": [{**WAIT, "refId": "1"}]})
    assert (200, f"/pipelines/{chosen}") == (first.status_code, first.json()["ref"])
    assert "SUCCEEDED" == server.ended(chosen)["status"]

    again = server.ask("POST", "/pipelines/start", {**whole, "stages": [{**HOLD, "refId": "1"}]})
    assert (200, chosen) == (again.status_code, ref_of(again))
    assert ["Hold"] == [stage["name"] for stage in server.running(chosen)["stages"]]
    server.put(f"/pipelines/{chosen}/cancel")


def test_every_one_of_two_hurried_triggers_names_an_execution_that_exists(server: Server) -> None:
    pipeline, both = server.pipeline(HOLD), Barrier(2)
    correlation, refs = str(uuid4()), []

    def post() -> None:
        both.wait()
        refs.append(server.start(pipeline, correlationId=correlation))

    threads = [Thread(target=post) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [pipeline.id] * 2 == [server.read(ref)["pipelineConfigId"] for ref in refs]
    for ref in set(refs):
        server.put(f"/pipelines/{ref}/cancel")
