"""Stages that let an execution go on or not: preconditions, a person's judgment, a canary's score, another server.

Sources of the rules: Orca's `CheckPreconditionsStage` with its tasks, `ManualJudgmentStage`,
`AggregateCanaryResultsTask` and `WebhookStage`. Not played: notifications, a webhook that is polled for its end, the intervals of a canary.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from fairlead_sandbox.gate.deploying import Site, StageFailed
from fairlead_sandbox.gate.executions import Execution
from fairlead_sandbox.gate.expressions import is_true
from fairlead_sandbox.gate.faults import FaultKind

JUDGED_WITHIN = 3 * 24 * 3600.0  # seconds
WEBHOOK_WITHIN = 5.0  # seconds
_COMPARISONS: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


def check_preconditions(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """All of them; one that does not hold fails the stage, unless its `failPipeline` is false."""
    yield
    for each in stage["context"]["preconditions"]:
        try:
            _PRECONDITIONS[each["type"]](execution, each.get("context", {}), site)
        except StageFailed:
            if each.get("failPipeline", True):
                raise


def _expression(execution: Execution, asked: Mapping[str, Any], site: Site) -> None:
    del site
    text = str(asked.get("expression", "false"))
    spel = {"parameters": execution.parameters, "trigger": execution.body["trigger"], "execution": execution.body}
    if text.lower() not in {"true", "false"} and is_true(text, spel):
        return
    if text.lower() != "true":
        raise StageFailed(str(asked.get("failureMessage") or f"The expression {text} is not true"))


def _cluster_size(execution: Execution, asked: Mapping[str, Any], site: Site) -> None:
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


def _stage_status(execution: Execution, asked: Mapping[str, Any], site: Site) -> None:
    del site
    name, wanted = asked["stageName"], asked["stageStatus"]
    found = next((each for each in execution.body["stages"] if each["name"] == name), None)
    if found is None:
        raise StageFailed(f"Failed to find stage {name} in execution. Please specify a valid stage name")
    if found["status"] != wanted:
        raise StageFailed(f"The status of stage {name} was asserted to be {wanted}, but was actually {found['status']}")


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
    """Ask another server once; an answer of 400 and above, or none, fails the stage."""
    del execution, site
    context = stage["context"]
    if context.get("waitForCompletion"):
        raise StageFailed("a webhook with waitForCompletion is not played by the sandbox")
    yield
    try:
        answer = requests.request(
            context.get("method", "POST"),
            context["url"],
            json=context.get("payload"),
            headers=context.get("customHeaders"),
            timeout=WEBHOOK_WITHIN,
        )
    except requests.RequestException as error:
        raise StageFailed(f"an exception occurred in webhook: {type(error).__name__}") from error
    context["webhook"] = {"statusCode": str(answer.status_code), "statusCodeValue": answer.status_code}
    if not answer.ok:
        raise StageFailed(f"The webhook request failed with status {answer.status_code}")
