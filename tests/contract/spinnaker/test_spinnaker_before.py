"""The pipeline that runs once before a version, against the sandbox's Gate."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.aws.sessions import Sessions
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import EARLIER_AT_MOST, Gate, Gates
from adapters.gate.errors import Accepted, GateRefused
from reconciler.reasons import Reason
from reconciler.work import Before, Failure, Phase

WAIT = {"refId": "1", "requisiteStageRefIds": [], "type": "wait", "name": "Migrate", "waitTime": 0}
BROKEN = {**WAIT, "type": "rollbackServerGroup", "rollbackType": "NONE"}
STEP = {"pipeline": "migrate-prod", "parameters": {"version": "TO", "fairleadKey": "ONCE"}, "irreversible": True}


def prepared(rig: Any, *stages: dict[str, Any], **changes: Any) -> Any:
    """The fleet with a pipeline before its versions; gives the intent of the step."""
    names = [{"name": name, "required": True, "default": None} for name in ("TO", "ONCE")]
    config = {"application": "checkout", "name": "migrate-prod", "stages": list(stages), "parameterConfig": names}
    rig.gate.pipelines.save(config)
    intent = rig.intent(rig.fleet(deploy={"before": STEP}), unit="before", wave=0, **changes)
    return replace(intent, key=intent.key.replace(":w1:", ":w0:"))


def test_the_step_is_one_execution_of_its_own_pipeline_and_done_when_that_has_succeeded(rig: Any) -> None:
    intent = prepared(rig, WAIT)
    assert Before(irreversible=True) == rig.deployer.before(intent.fleet)
    assert rig.deployer.before(rig.fleet()) is None

    outcome = rig.start(intent)
    again = rig.start(intent)
    ended = rig.until_ended(outcome)

    (sent,) = rig.gate.access_log.triggers()
    assert "/pipelines/checkout/migrate-prod" == sent["path"]
    assert {"TO": "1.4.2", "ONCE": intent.key} == sent["body"]["parameters"]
    assert (outcome.ticket, Phase.SUCCEEDED) == (again.ticket, ended.phase)
    assert {"package/checkout": "1.4.1"} == rig.unit(intent.fleet).components


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (BROKEN, "Missing `rollbackType`"),
        ({**BROKEN, "continuePipeline": True}, "Migrate is FAILED_CONTINUE: Missing `rollbackType`"),
        ({**BROKEN, "failPipeline": False}, "Migrate is STOPPED: Missing `rollbackType`"),
    ],
)
def test_a_stage_that_failed_fails_the_step_whatever_the_execution_is_called(
    rig: Any, stage: dict[str, Any], said: str
) -> None:
    ended = rig.until_ended(rig.start(prepared(rig, stage)))

    assert (Phase.FAILED, Failure.UNHEALTHY) == (ended.phase, ended.failure)
    assert ended.message.startswith("before step: ")
    assert said in ended.message


def test_a_step_whose_answer_is_lost_is_found_and_not_repeated(rig: Any) -> None:
    rig.gate.faults.on("drop_after_accepting", times=1)
    intent = prepared(rig, WAIT)

    outcome = rig.start(intent)

    assert (Phase.RUNNING, [outcome.ticket]) == (outcome.phase, rig.executions)


def of_a_new_life(intent: Any) -> Any:
    """The same step as a ledger that was lost writes it down again."""
    return replace(intent, created_at=intent.created_at + timedelta(hours=2))


def test_a_step_done_before_the_ledger_was_lost_is_found_among_hundreds_of_others(rig: Any) -> None:
    intent = prepared(rig, WAIT)
    done = rig.until_ended(rig.start(intent))
    gate = Gates({}, timeout=5).at(rig.gate.url)
    for number in range(EARLIER_AT_MOST + 10):
        body = {"type": "manual", "eventId": f"{number}", "parameters": {"TO": f"{number}", "ONCE": f"{number}"}}
        assert isinstance(gate.trigger("checkout", "migrate-prod", body, rig.lease), Accepted)

    known = rig.start(of_a_new_life(intent))

    assert (done.ticket, EARLIER_AT_MOST + 11) == (known.ticket, len(rig.executions))


def test_where_nobody_may_say_whether_it_was_done_it_is_not_done_again(
    rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = prepared(rig, WAIT)
    done = rig.until_ended(rig.start(intent))

    def refused(*_: object) -> str:
        raise GateRefused(403, "Gate refused to show pipeline migrate-prod: 403")

    rig.deployer = Spinnaker(sessions=Sessions(max_attempts=1), gates=Gates({}, timeout=5), clock=rig.clock)
    with monkeypatch.context() as patched:
        patched.setattr(Gate, "config_id", refused)
        untold = rig.start(of_a_new_life(intent))
    assert (Phase.INTENDED, Reason.GATE_UNREACHABLE, 1) == (untold.phase, untold.reason, len(rig.executions))

    again = rig.start(replace(of_a_new_life(intent), starts=2))
    assert (done.ticket, 1) == (again.ticket, len(rig.executions))


def test_an_abort_ends_it_and_a_missing_pipeline_is_refused(rig: Any) -> None:
    waits = {**WAIT, "waitTime": 600}
    assert Phase.ABORTED is rig.until_ended(rig.abort(rig.start(prepared(rig, waits)))).phase

    gone = rig.intent(rig.fleet(deploy={"before": {**STEP, "pipeline": "nowhere"}}), unit="before", attempt=2)
    refused = rig.start(gone)
    assert (Failure.REFUSED, Reason.DEPLOY_REFUSED) == (refused.failure, refused.reason)


def test_a_person_who_runs_the_step_by_hand_holds_the_fleet(rig: Any) -> None:
    fleet = prepared(rig, {**WAIT, "waitTime": 600}).fleet
    rig.start(replace(rig.intent(fleet, unit="before"), key="by hand"))

    seen = rig.deployer.observe(fleet, rig.deployer.refresh(fleet, (), {}))

    assert "started migrate-prod" in seen.foreign
