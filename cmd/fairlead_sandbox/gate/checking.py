"""Stages that let an execution go on or not: preconditions, a person's judgment, a canary's score, another server.

Sources of the rules: Orca's `CheckPreconditionsStage` with its tasks, `ManualJudgmentStage`,
`AggregateCanaryResultsTask` and `WebhookStage`. Not played: notifications, a webhook that is polled for its end, the
intervals of a canary.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import requests

from fairlead_sandbox.gate.deploying import Site, StageFailed, exception_of, milliseconds
from fairlead_sandbox.gate.executions import Execution, add_child, begin, failure_status, mark
from fairlead_sandbox.gate.expressions import is_true
from fairlead_sandbox.gate.faults import FaultKind

JUDGED_WITHIN = 3 * 24 * 3600.0  # seconds
WEBHOOK_WITHIN = 5.0  # seconds
WEBHOOK_AGAIN = 1.0  # seconds
WEBHOOK_RETRIED = frozenset({429, *range(500, 600)})
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


def check_preconditions(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """Each is a synthetic stage of its own. One that does not hold fails by its own `failPipeline`, without a word."""
    stage["tasks"] = []  # its children have them
    rest = {key: value for key, value in stage["context"].items() if key != "preconditions"}
    children = []
    for asked in stage["context"]["preconditions"]:
        name = f"Check precondition ({asked['type']})"
        child = add_child(execution, stage, {"type": "checkPreconditions", "name": name})
        child["context"] = {**rest, **asked, "preconditionType": asked["type"], "context": {**asked.get("context", {})}}
        children.append(child)
    for child in children:
        begin(child, milliseconds(site))
        yield
        try:
            holds = _PRECONDITIONS[child["context"]["preconditionType"]](execution, child["context"]["context"], site)
        except StageFailed as error:
            holds = False
            child["context"]["exception"] = exception_of(error, "checkPrecondition")
        mark(child, "SUCCEEDED" if holds else failure_status(child["context"]), milliseconds(site))
    _end_as_children(stage, {each["status"] for each in children}, site)


def _end_as_children(stage: dict[str, Any], statuses: set[str], site: Site) -> None:
    """A TERMINAL child fails its parent, which then does as it says itself; anything milder it takes over."""
    if "TERMINAL" in statuses:
        raise StageFailed
    for status in ("STOPPED", "FAILED_CONTINUE"):
        if status in statuses:
            mark(stage, status, milliseconds(site))
            return


def _expression(execution: Execution, asked: dict[str, Any], site: Site) -> bool:
    """False without a word, also when it cannot be evaluated."""
    del site
    spel = {"parameters": execution.parameters, "trigger": execution.body["trigger"], "execution": execution.body}
    holds = is_true(str(asked.get("expression", "false")), spel)
    asked["expressionResult"] = str(holds).lower()
    return holds


def _cluster_size(execution: Execution, asked: dict[str, Any], site: Site) -> bool:
    del execution
    acceptable, expected = _COMPARISONS[asked.get("comparison", "==")], int(asked.get("expected", 1))
    for region in asked["regions"]:
        groups = site.ground.groups_of(region, asked["cluster"])
        groups = [each for each in groups if each.enabled or not asked.get("onlyEnabledServerGroups")]
        if not acceptable(len(groups), expected):
            raise StageFailed(
                f"Precondition check failed: expected {asked.get('comparison', '==')} {expected} server groups in "
                f"{region} but found {len(groups)}: {[each.name for each in groups]}."
            )
    return True


def _stage_status(execution: Execution, asked: dict[str, Any], site: Site) -> bool:
    del site
    name, wanted = asked["stageName"], asked["stageStatus"]
    found = next((each for each in execution.body["stages"] if each["name"] == name), None)
    if found is None:
        raise StageFailed(f"Failed to find stage {name} in execution. Please specify a valid stage name")
    if found["status"] != wanted:
        raise StageFailed(f"The status of stage {name} was asserted to be {wanted}, but was actually {found['status']}")
    return True


_PRECONDITIONS = {"expression": _expression, "clusterSize": _cluster_size, "stageStatus": _stage_status}


def judge(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """Wait for PATCH /pipelines/{id}/stages/{stageId} with a `judgmentStatus` of continue or stop."""
    del execution
    within = float(stage["context"].get("stageTimeoutMs") or JUDGED_WITHIN * 1000) / 1000
    until = site.clock.monotonic() + within
    while True:
        said = str(stage["context"].get("judgmentStatus") or "").lower()
        if said == "continue":
            return
        if said == "stop":
            raise StageFailed
        if site.clock.monotonic() >= until:
            raise StageFailed("Stage timed out: nobody judged it in time")
        yield


def canary(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """A score is played, 100 unless the fault `canary_score` says another; the threshold `pass` must be reached."""
    config = stage["context"]["canaryConfig"]
    if not config.get("scopes"):
        raise StageFailed("Canary stage configuration must contain at least one scope.")
    if not config.get("lifetimeDuration") and not config["scopes"][0].get("endTimeIso"):
        raise StageFailed("Canary stage configuration must include either `endTime` or `lifetimeDuration`.")
    yield from site.pause(site.deploy_seconds)
    played = site.faults.take(FaultKind.CANARY_SCORE, pipeline=execution.body["name"])
    score, passing = float((played or {}).get("score", 100)), float(config["scoreThresholds"]["pass"])
    stage["context"]["canaryScores"] = [score]
    stage["outputs"] = {"canaryScores": [score]}
    if score < passing:
        said = f"Final canary score {score:g} is not above the pass score threshold {passing:g}."
        stage["context"]["canaryScoreMessage"] = said
        raise StageFailed(said)


def webhook(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """Ask another server, again while it is overloaded. What went wrong stands in `context.webhook.error` alone."""
    context = stage["context"]
    if context.get("waitForCompletion"):
        raise StageFailed("a webhook with waitForCompletion is not played by the sandbox")
    yield
    while True:
        said = context["webhook"] = _asked(context, execution.id)
        if said.get("statusCodeValue", 0) not in WEBHOOK_RETRIED:
            break
        yield from site.pause(WEBHOOK_AGAIN)
    if "error" in said:
        raise StageFailed


def _asked(context: Mapping[str, Any], execution_id: str) -> dict[str, Any]:
    url = context["url"]
    try:
        answer = requests.request(
            context.get("method", "POST"),
            url,
            json=context.get("payload"),
            headers=context.get("customHeaders"),
            timeout=WEBHOOK_WITHIN,
        )
    except requests.RequestException as error:
        said = f"An exception occurred for pipeline {execution_id} performing a request to {url}."
        return {"error": f"{said} {type(error).__name__}"}
    code = answer.status_code
    kept = {"statusCode": HTTPStatus(code).name, "statusCodeValue": code, "headers": dict(answer.headers)}
    with suppress(ValueError):
        kept["body"] = answer.json()
    if not answer.ok:
        kept["error"] = f"Error submitting webhook for pipeline {execution_id} to {url} with status code {code}."
    return kept
