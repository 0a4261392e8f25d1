"""Executions in Orca's JSON shape, and the store that keeps them.

Sources: `PipelineExecutionImpl`, `StageExecutionImpl`, `TaskExecutionImpl`, `ExecutionStatus` of orca-core.
"""

import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from threading import Event, RLock
from typing import Any

COMPLETE = frozenset({"SUCCEEDED", "FAILED_CONTINUE", "TERMINAL", "CANCELED", "STOPPED", "SKIPPED"})
STATUSES = COMPLETE | {"NOT_STARTED", "RUNNING", "PAUSED", "SUSPENDED", "REDIRECT", "BUFFERED"}
_EMPTY = (
    *("startTime", "endTime", "startTimeExpiry", "canceledBy", "cancellationReason", "description", "paused"),
    *("partition", "templateVariables", "source"),
)
_CLASSES = {"wait": "com.netflix.spinnaker.orca.pipeline.tasks.WaitTask"}  # by the name of the task
SUPERSEDED = (
    "This execution was queued but then canceled because a newer queued execution superceded it. "
    "This pipeline is configured to automatically cancel waiting executions."
)


class Execution:
    """One execution: Orca's JSON in `body`, and what the engine needs to know beside it.

    Hold `lock` to read or change the body; the engine holds it during each step, so that a cancel is never half heard.
    """

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.lock = RLock()
        self.hidden_reads = 0  # reads that shall not find it yet
        self.not_before = 0.0  # monotonic seconds
        self.zombie = False
        self.ended = Event()
        self.stages_made = len(body["stages"])  # each stage has a number of its own, also one that is gone
        self.queued = False  # waits for the slot of a limitConcurrent pipeline

    @property
    def id(self) -> str:
        """The ULID."""
        return str(self.body["id"])

    @property
    def status(self) -> str:
        """One of the twelve."""
        return str(self.body["status"])

    @property
    def complete(self) -> bool:
        """True when it will not change any more."""
        return self.status in COMPLETE

    @property
    def config_id(self) -> str:
        """The pipeline configuration it was made from."""
        return str(self.body["pipelineConfigId"])

    @property
    def started(self) -> bool:
        """True once it ran; Orca gives an end only to what has a start."""
        return self.body["startTime"] is not None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters with defaults filled in."""
        return self.body["trigger"].get("parameters", {})  # type: ignore[no-any-return]

    def finish(self, status: str, now: int) -> None:
        """Give it its final status, at `now` in epoch milliseconds. One that never ran gets no end."""
        with self.lock:
            self.body["status"] = status
            self.body["endTime"] = now if self.started else None
        self.ended.set()

    def cancel(self, user: str, reason: str | None) -> None:
        """Mark it canceled; the engine ends what runs. What did not start ends here.

        A complete one keeps its status and gets the mark all the same, over an earlier one.
        """
        with self.lock:
            self.body.update(canceled=True, canceledBy=user)
            if reason:
                self.body["cancellationReason"] = reason
            if self.status == "NOT_STARTED":
                self.finish("CANCELED", 0)

    def pause(self, user: str, now: int) -> None:
        """Only what is RUNNING; anything else is passed over in silence."""
        self._turn(("RUNNING", "PAUSED"), {"paused": True, "pausedBy": user, "pauseTime": now, "pausedMs": 0})

    def resume(self, user: str, now: int) -> None:
        """Only what is PAUSED."""
        with self.lock:
            before = self.body["paused"] or {}
            since = now - before.get("pauseTime", now)
            said = {**before, "paused": False, "resumedBy": user, "resumeTime": now, "pausedMs": since}
            self._turn(("PAUSED", "RUNNING"), said)

    def _turn(self, turn: tuple[str, str], said: Mapping[str, Any]) -> None:
        before, after = turn
        with self.lock:
            if self.status != before:
                return
            self.body.update(status=after, paused=dict(said))
            for stage in self.body["stages"]:
                for each in (stage, *stage["tasks"]):
                    if each["status"] == before:
                        each["status"] = after

    def view(self, *, expand: bool = True) -> dict[str, Any]:
        """A copy for an answer. Without `expand` the stages have no context, outputs and tasks."""
        with self.lock:
            seen = copy.deepcopy(self.body)
        if not expand:
            for stage in seen["stages"]:
                stage.update(context={}, outputs={}, tasks=[])
        return seen


def new_body(
    execution_id: str, config: Mapping[str, Any], trigger: Mapping[str, Any], user: str, now: int
) -> dict[str, Any]:
    """A NOT_STARTED execution of a configuration that `user` asked for, built at `now` in epoch milliseconds."""
    limits = {key: config.get(key, False) for key in ("limitConcurrent", "keepWaitingPipelines")}
    return {
        **dict.fromkeys(_EMPTY),
        **limits,
        "type": "PIPELINE",
        "id": execution_id,
        "rootId": execution_id,
        "application": config["application"],
        "name": config["name"],
        "pipelineConfigId": config.get("id"),
        "buildTime": now,
        "status": "NOT_STARTED",
        "canceled": False,
        "maxConcurrentExecutions": config.get("maxConcurrentExecutions", 0),
        "origin": "api",
        "spelEvaluator": config.get("spelEvaluator", "v4"),
        "authentication": {"user": user, "allowedAccounts": []},
        "trigger": dict(trigger),
        "notifications": [],
        "systemNotifications": [],
        "initialConfig": {},
        "stages": [
            new_stage(execution_id, index, stage) for index, stage in enumerate(_ordered(config.get("stages", [])))
        ],
    }


def _ordered(stages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Stages of which none has a `refId` run one after the other."""
    if any("refId" in each for each in stages):
        return list(stages)
    return [
        {**each, "refId": str(index), "requisiteStageRefIds": [str(index - 1)] if index else []}
        for index, each in enumerate(stages)
    ]


def new_stage(execution_id: str, index: int, stage: Mapping[str, Any], parent: str | None = None) -> dict[str, Any]:
    """A stage in Orca's shape; with `parent` a synthetic one that belongs before it."""
    own = ("type", "name", "refId", "requisiteStageRefIds")
    return {
        "id": f"{execution_id[:16]}{index:010d}",
        "refId": stage.get("refId", str(index + 1)),
        "type": stage["type"],
        "name": stage.get("name", stage["type"]),
        "requisiteStageRefIds": stage.get("requisiteStageRefIds", []),
        "status": "NOT_STARTED",
        **dict.fromkeys(("startTime", "endTime", "startTimeExpiry", "scheduledTime", "lastModified")),
        "parentStageId": parent,
        "syntheticStageOwner": "STAGE_BEFORE" if parent else None,
        "context": {key: value for key, value in stage.items() if key not in own},
        "outputs": {},
        "tasks": [],  # planned when the stage starts
    }


def new_task(stage_type: str, *, child: bool) -> dict[str, Any]:
    """The one step that a stage has here; with `child` that of a synthetic stage."""
    name = "checkPrecondition" if child and stage_type == "checkPreconditions" else stage_type
    return {
        "id": "1",
        "name": name,
        "implementingClass": _CLASSES.get(name, "com.example.Task"),
        "status": "NOT_STARTED",
        **dict.fromkeys(("startTime", "endTime")),
        **dict.fromkeys(("stageStart", "stageEnd"), True),
        **dict.fromkeys(("loopStart", "loopEnd"), False),
        "taskExceptionDetails": {},
    }


def add_child(execution: Execution, parent: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """A new synthetic stage of a stage, which stands before it in the list."""
    stages = execution.body["stages"]
    number = 1 + sum(each["parentStageId"] == parent["id"] for each in stages)
    facts = {**facts, "refId": f"{parent['refId']}<{number}"}
    child = new_stage(execution.id, execution.stages_made, facts, parent=parent["id"])
    execution.stages_made += 1
    stages.insert(next(index for index, each in enumerate(stages) if each["id"] == parent["id"]), child)
    return child


def top_level(execution: Execution) -> list[dict[str, Any]]:
    """The stages that are not part of another."""
    return [each for each in execution.body["stages"] if each["parentStageId"] is None]


def begin(stage: dict[str, Any], now: int) -> None:
    """It runs, from `now` in epoch milliseconds."""
    stage["tasks"] = [new_task(stage["type"], child=stage["parentStageId"] is not None)]
    mark(stage, "RUNNING", now)


def mark(stage: dict[str, Any], status: str, now: int) -> None:
    """A stage's status, with its task's and their times."""
    when = {"startTime" if status == "RUNNING" else "endTime": now}
    stage.update(when, status=status)
    for task in stage["tasks"]:
        task.update(when, status=status)


def failure_status(context: Mapping[str, Any]) -> str:
    """How a stage ends when it fails, by what it says itself."""
    if context.get("continuePipeline"):
        return "FAILED_CONTINUE"
    return "STOPPED" if context.get("failPipeline") is False else "TERMINAL"


def on_the_wire(body: Mapping[str, Any]) -> dict[str, Any]:
    """An execution as its servers write it: without the fields that have no value yet."""
    stages = [_valued({**each, "tasks": [_valued(task) for task in each["tasks"]]}) for each in body["stages"]]
    return {**_valued(body), "stages": stages}


def _valued(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


class Executions:
    """All executions, in the order in which they were stored. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._all: dict[str, Execution] = {}
        self._open: dict[str, Execution] = {}  # those that were not complete when somebody last looked
        self._by_config: dict[str, list[Execution]] = defaultdict(list)

    def add(self, execution: Execution) -> None:
        """Store a new one, in the place of one with the same id."""
        with self._lock:
            self.remove(execution.id)
            self._all[execution.id] = self._open[execution.id] = execution
            self._by_config[execution.config_id].append(execution)

    def remove(self, execution_id: str) -> None:
        """Forget one."""
        with self._lock:
            gone = self._all.pop(execution_id, None)
            if gone is not None:
                self._open.pop(execution_id, None)
                self._by_config[gone.config_id].remove(gone)

    def reopen(self, execution: Execution) -> None:
        """It runs again."""
        with self._lock:
            execution.ended.clear()
            self._open[execution.id] = execution

    def get(self, execution_id: str) -> Execution | None:
        """The execution of this id."""
        with self._lock:
            return self._all.get(execution_id)

    def all(self) -> list[Execution]:
        """Oldest first."""
        with self._lock:
            return list(self._all.values())

    def in_flight(self) -> list[Execution]:
        """Those that are not complete, oldest first."""
        with self._lock:
            self._open = {key: each for key, each in self._open.items() if not each.complete}
            return list(self._open.values())

    def correlated(self, correlation_id: str | None) -> Execution | None:
        """The execution in flight with this correlation id: a complete one no longer counts."""
        if correlation_id is None:
            return None
        found = (each for each in self.in_flight() if each.body["trigger"].get("correlationId") == correlation_id)
        return next(found, None)

    def of_configs(self, config_ids: Iterable[str]) -> list[Execution]:
        """Those of the given configurations, newest first."""
        with self._lock:
            found = [each for config in dict.fromkeys(config_ids) for each in self._by_config.get(config, ())]
        return sorted(found, key=lambda each: each.id, reverse=True)
