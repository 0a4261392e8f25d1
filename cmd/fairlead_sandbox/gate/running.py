"""One execution from its start to its end, as a generator: each step does one thing, then lets go."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fairlead_sandbox.gate import checking, deploying, imaging, strategies
from fairlead_sandbox.gate.deploying import Site, StageFailed
from fairlead_sandbox.gate.executions import Execution, new_stage
from fairlead_sandbox.gate.expressions import evaluate, is_true

_GOOD = frozenset({"SUCCEEDED", "SKIPPED", "FAILED_CONTINUE"})


def run(execution: Execution, site: Site) -> Iterator[None]:
    """Go through the stages in their order and finish the execution."""
    for stage in [each for each in execution.body["stages"] if each["parentStageId"] is None]:
        yield from _stage(execution, stage, site)
        if stage["status"] in {"TERMINAL", "STOPPED"}:
            break
    execution.finish(_final_status(execution), milliseconds(site))


def milliseconds(site: Site) -> int:
    """Now, as Orca writes times."""
    return int(site.clock.now().timestamp() * 1000)


def _stage(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    spel = {"parameters": execution.parameters, "trigger": execution.body["trigger"], "execution": execution.body}
    condition = stage["context"].get("stageEnabled", {}).get("expression")
    if condition is not None and not is_true(condition, spel):
        stage["status"] = "SKIPPED"
        return
    stage["context"] = evaluate(stage["context"], spel)
    _mark(stage, "RUNNING", site)
    try:
        yield from _work(execution, stage, site)
    except (StageFailed, ClientError, BotoCoreError, KeyError) as error:
        _fail(stage, error, site)
    else:
        _mark(stage, "SUCCEEDED", site)


def _work(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    known = _KINDS.get(stage["type"])
    if known is None:
        raise StageFailed(
            f"No stage definition builder found for '{stage['type']}'; the sandbox knows {', '.join(sorted(_KINDS))}."
        )
    yield from known(execution, stage, site)


def _wait(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    del execution
    yield from site.pause(float(stage["context"].get("waitTime", 0)))


def _bake(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    context = stage["context"]
    context["deploymentDetails"] = []
    rebake = bool(context.get("rebake") or execution.body["trigger"].get("rebake"))
    yield from deploying.bake(site, context, rebake=rebake)
    stage["outputs"] = {"deploymentDetails": context["deploymentDetails"]}


def _deploy(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    for cluster in stage["context"]["clusters"]:
        for region in cluster["availabilityZones"]:
            yield from _create_server_group(execution, stage, cluster, region, site)


def _create_server_group(
    execution: Execution, parent: dict[str, Any], cluster: Mapping[str, Any], region: str, site: Site
) -> Iterator[None]:
    child = _child(execution, parent, region)
    made: list[str] = []
    child["context"] = {
        "deploy.server.groups": {region: made},
        "deploy.account.name": cluster.get("account", ""),
        "cluster": deploying.cluster_name(cluster),
    }
    _mark(child, "RUNNING", site)
    try:
        image_id = cluster.get("amiName") or cluster.get("imageId") or _baked(execution, region)
        child["context"]["imageId"] = image_id
        yield from strategies.deploy(site, cluster, region, image_id, made)
    except (StageFailed, ClientError, BotoCoreError) as error:
        _fail(child, error, site, operation="createServerGroup")
        raise
    _mark(child, "SUCCEEDED", site)


def _child(execution: Execution, parent: dict[str, Any], region: str) -> dict[str, Any]:
    stages = execution.body["stages"]
    facts = {
        "type": "createServerGroup",
        "name": f"Deploy in {region}",
        "refId": f"{parent['refId']}<{1 + sum(each['parentStageId'] == parent['id'] for each in stages)}",
    }
    stages.append(new_stage(execution.id, len(stages), facts, parent=parent["id"]))
    child: dict[str, Any] = stages[-1]
    return child


def _baked(execution: Execution, region: str) -> str:
    for stage in reversed(execution.body["stages"]):
        for details in stage["outputs"].get("deploymentDetails", []):
            if details["region"] == region:
                return str(details["ami"])
    raise StageFailed(f"No AMI found for {region}. Make sure an upstream stage bakes or finds an image for it.")


def _mark(stage: dict[str, Any], status: str, site: Site) -> None:
    when = {"startTime" if status == "RUNNING" else "endTime": milliseconds(site)}
    stage.update(when, status=status)
    for task in stage["tasks"]:
        task.update(when, status=status)


def _fail(stage: dict[str, Any], error: Exception, site: Site, operation: str = "") -> None:
    errors = list(error.errors) if isinstance(error, StageFailed) else [str(error)]
    context = stage["context"]
    if errors:  # a judgment that says stop leaves none
        context["exception"] = {
            "exceptionType": type(error).__name__,
            "operation": operation or stage["type"],
            "shouldRetry": False,
            "details": {"error": "Unexpected Task Failure", "errors": errors},
        }
    if context.get("continuePipeline"):
        _mark(stage, "FAILED_CONTINUE", site)
    elif context.get("failPipeline") is False:
        _mark(stage, "STOPPED", site)
    else:
        _mark(stage, "TERMINAL", site)


def _final_status(execution: Execution) -> str:
    """Orca's `CompleteExecutionHandler`: a STOPPED stage hides in a SUCCEEDED execution unless it asks to fail."""
    top = [each for each in execution.body["stages"] if each["parentStageId"] is None]
    stopped = [each for each in top if each["status"] == "STOPPED"]
    if any(each["context"].get("completeOtherBranchesThenFail") for each in stopped):
        return "TERMINAL"
    if stopped or all(each["status"] in _GOOD for each in top):
        return "SUCCEEDED"
    return "TERMINAL"


_KINDS: Mapping[str, Callable[[Execution, dict[str, Any], Site], Iterator[None]]] = {
    "bake": _bake,
    "checkPreconditions": checking.check_preconditions,
    "deploy": _deploy,
    "findImage": imaging.find_image,
    "findImageFromTags": imaging.find_image_from_tags,
    "kayentaCanary": checking.canary,
    "manualJudgment": checking.judge,
    "upsertImageTags": imaging.upsert_image_tags,
    "wait": _wait,
    "webhook": checking.webhook,
}
