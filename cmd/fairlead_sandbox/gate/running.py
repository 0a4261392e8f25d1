"""One execution from its start to its end, as a generator: each step does one thing, then lets go."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fairlead_sandbox.gate import checking, deploying, imaging, strategies
from fairlead_sandbox.gate.deploying import Site, StageFailed, exception_of, milliseconds
from fairlead_sandbox.gate.executions import Execution, add_child, begin, failure_status, mark, top_level
from fairlead_sandbox.gate.expressions import evaluate, is_true
from fairlead_sandbox.gate.rolling_back import roll_back

_GOOD = frozenset({"SUCCEEDED", "SKIPPED", "FAILED_CONTINUE"})
_DONE = object()


def run(execution: Execution, site: Site) -> Iterator[None]:
    """Start each stage once those before it are done, branches side by side, and finish the execution.

    A stage that fails ends the others; one that is only STOPPED ends its own branch.
    """
    works: dict[str, Iterator[None]] = {}
    failed = False
    while not failed:
        for stage in _ready(execution):
            works.setdefault(stage["id"], _stage(execution, stage, site))
        if not works:
            break
        ended = [key for key, work in works.items() if next(work, _DONE) is _DONE]
        for key in ended:
            del works[key]
        failed = any(stage["id"] in ended and stage["status"] == "TERMINAL" for stage in top_level(execution))
        if not ended:
            yield
    cancel(execution, milliseconds(site))
    execution.finish(_final_status(execution), milliseconds(site))


def cancel(execution: Execution, now: int) -> None:
    """What is under way takes no further step."""
    for stage in execution.body["stages"]:
        if stage["status"] in {"RUNNING", "PAUSED"}:
            mark(stage, "CANCELED", now)


def _ready(execution: Execution) -> list[dict[str, Any]]:
    """Top-level stages that have not started and wait for nothing."""
    top = top_level(execution)
    done = {each["refId"] for each in top if each["status"] in _GOOD}
    return [each for each in top if each["status"] == "NOT_STARTED" and done.issuperset(each["requisiteStageRefIds"])]


def _stage(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    spel = {"parameters": execution.parameters, "trigger": execution.body["trigger"], "execution": execution.body}
    condition = stage["context"].get("stageEnabled", {}).get("expression")
    if condition is not None and not is_true(condition, spel):
        stage["status"] = "SKIPPED"
        return
    stage["context"] = evaluate(stage["context"], spel)
    if stage["type"] not in _KINDS:
        _fail_to_plan(stage, site)
        return
    begin(stage, milliseconds(site))
    try:
        yield from _KINDS[stage["type"]](execution, stage, site)
    except (StageFailed, ClientError, BotoCoreError, KeyError) as error:
        _fail(stage, error, site)
    else:
        if stage["status"] == "RUNNING":
            mark(stage, "SUCCEEDED", milliseconds(site))


def _fail_to_plan(stage: dict[str, Any], site: Site) -> None:
    """A type that nobody knows is TERMINAL, whatever the stage says about its failure: nobody can ask its builder."""
    known = ",".join(sorted(_KINDS))
    said = f"No StageDefinitionBuilder implementation for {stage['type']}(alias: null) found (knownTypes: {known})"
    stage["context"]["beforeStagePlanningFailed"] = True
    stage["context"]["exception"] = {
        "exceptionType": "NoSuchStageDefinitionBuilderException",
        "operation": f"{stage['name']}:ConstructAfterStages",
        "shouldRetry": False,
        "details": {
            "error": "Unexpected Task Failure",
            "errors": [said],
        },
    }
    mark(stage, "TERMINAL", milliseconds(site))


def _wait(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    """`skipRemainingWait`, put into the stage while it waits, ends it."""
    del execution
    for step in site.pause(float(stage["context"].get("waitTime") or 0)):
        if stage["context"].get("skipRemainingWait"):
            return
        yield step


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
    child = add_child(execution, parent, {"type": "createServerGroup", "name": f"Deploy in {region}"})
    made: list[str] = []
    child["context"] = {
        "deploy.server.groups": {region: made},
        "deploy.account.name": cluster.get("account", ""),
        "cluster": deploying.cluster_name(cluster),
    }
    begin(child, milliseconds(site))
    try:
        image_id = cluster.get("amiName") or cluster.get("imageId") or _baked(execution, region)
        child["context"]["imageId"] = image_id
        yield from strategies.deploy(site, cluster, region, image_id, made)
    except StageFailed as error:
        _fail(child, error, site, operation="createServerGroup")
        raise StageFailed from error
    except (ClientError, BotoCoreError) as error:
        failed = {"type": "EXCEPTION", "operation": "createServerGroup", "message": str(error)}
        child["context"]["kato.tasks"] = [{"status": {"completed": True, "failed": True}, "exception": failed}]
        mark(child, failure_status(parent["context"]), milliseconds(site))
        raise StageFailed from error  # the words of Clouddriver stand nowhere else
    mark(child, "SUCCEEDED", milliseconds(site))


def _roll_back(execution: Execution, stage: dict[str, Any], site: Site) -> Iterator[None]:
    del execution
    yield from roll_back(site, stage["context"])


def _baked(execution: Execution, region: str) -> str:
    for stage in reversed(execution.body["stages"]):
        for details in stage["outputs"].get("deploymentDetails", []):
            if details["region"] == region:
                return str(details["ami"])
    raise StageFailed(f"No AMI found for {region}. Make sure an upstream stage bakes or finds an image for it.")


def _fail(stage: dict[str, Any], error: Exception, site: Site, operation: str = "") -> None:
    context = stage["context"]
    said = exception_of(error, operation or stage["type"])
    if said is not None:
        context["exception"] = said
    mark(stage, failure_status(context), milliseconds(site))


def _final_status(execution: Execution) -> str:
    """Orca's `CompleteExecutionHandler`: a STOPPED stage hides in a SUCCEEDED execution unless it asks to fail."""
    top = top_level(execution)
    statuses = {each["status"] for each in top}
    if statuses <= _GOOD:
        return "SUCCEEDED"
    for status in ("TERMINAL", "CANCELED"):
        if status in statuses:
            return status
    stopped = [each for each in top if each["status"] == "STOPPED"]
    overridden = any(each["context"].get("completeOtherBranchesThenFail") for each in stopped)
    return "SUCCEEDED" if stopped and not overridden else "TERMINAL"


_KINDS: Mapping[str, Callable[[Execution, dict[str, Any], Site], Iterator[None]]] = {
    "bake": _bake,
    "checkPreconditions": checking.check_preconditions,
    "deploy": _deploy,
    "findImage": imaging.find_image,
    "findImageFromTags": imaging.find_image_from_tags,
    "kayentaCanary": checking.canary,
    "manualJudgment": checking.judge,
    "rollbackServerGroup": _roll_back,
    "upsertImageTags": imaging.upsert_image_tags,
    "wait": _wait,
    "webhook": checking.webhook,
}
