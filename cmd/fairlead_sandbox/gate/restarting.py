"""PUT /pipelines/{id}/stages/{stageId}/restart: a stage and all that come after it run again, under the same id.

Sources: Orca's `CompoundExecutionOperator.restartStage` and `RestartStageHandler`. Not played: a restart that waits for
its turn.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fairlead_sandbox.gate.executions import COMPLETE, Execution, Executions, top_level


def restart(
    executions: Executions, execution: Execution, stage_id: str, configured: Mapping[str, Any], user: str, now: int
) -> None:
    """Nothing happens for a stage that runs, and for one that is not there. `now` is in epoch milliseconds.

    `configured` is the pipeline as it is saved now.
    """
    with execution.lock:
        stages = {each["id"]: each for each in execution.body["stages"]}
        found = stages.get(stage_id)
        _take_preconditions(stages.values(), configured.get("stages", []))
        if found is None:
            return
        top = stages[found["parentStageId"]] if found["parentStageId"] else found
        if top["status"] not in COMPLETE | {"NOT_STARTED"}:
            return
        before = top["context"].pop("exception", None)
        top["context"]["restartDetails"] = {
            "restartedBy": user,
            "restartTime": now,
            "previousException": before,
        }
        for each in _from(top, execution):
            _reset(each, execution)
        execution.body.update(status="RUNNING", canceled=False, startTime=now)
        executions.reopen(execution)


def _take_preconditions(stages: Iterable[dict[str, Any]], configured: Iterable[Mapping[str, Any]]) -> None:
    """The stored context is used again, but for preconditions: those are taken as they are configured now."""
    kind = "checkPreconditions"
    fresh = {each.get("refId"): each.get("preconditions") for each in configured if each.get("type") == kind}
    for stage in stages:
        if stage["type"] == kind and fresh.get(stage["refId"]) and "preconditions" in stage["context"]:
            stage["context"]["preconditions"] = fresh[stage["refId"]]


def _from(first: dict[str, Any], execution: Execution) -> list[dict[str, Any]]:
    """A stage and those that come after it."""
    chosen = {first["refId"]: first}
    top = top_level(execution)
    while later := [
        each
        for each in top
        if each["refId"] not in chosen and not chosen.keys().isdisjoint(each["requisiteStageRefIds"])
    ]:
        chosen.update((each["refId"], each) for each in later)
    return list(chosen.values())


def _reset(stage: dict[str, Any], execution: Execution) -> None:
    if stage["status"] in COMPLETE:
        stage.update(status="NOT_STARTED", startTime=None, endTime=None, tasks=[])
        execution.body["stages"] = [each for each in execution.body["stages"] if each["parentStageId"] != stage["id"]]
