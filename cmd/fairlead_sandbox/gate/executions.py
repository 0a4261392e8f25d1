"""Executions in Orca's JSON shape, and the store that keeps them.

Sources: `PipelineExecutionImpl`, `StageExecutionImpl`, `TaskExecutionImpl`, `ExecutionStatus` of orca-core.
"""

import copy
from collections import defaultdict
from collections.abc import Iterable, Mapping
from threading import Event, RLock
from typing import Any

COMPLETE = frozenset({"SUCCEEDED", "FAILED_CONTINUE", "TERMINAL", "CANCELED", "STOPPED", "SKIPPED"})
_EMPTY = (
    *("startTime", "endTime", "startTimeExpiry", "canceledBy", "cancellationReason", "description", "paused"),
    *("partition", "templateVariables", "source"),
)
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
    def parameters(self) -> Mapping[str, Any]:
        """The parameters with defaults filled in."""
        return self.body["trigger"].get("parameters", {})  # type: ignore[no-any-return]

    def finish(self, status: str, now: int) -> None:
        """Give it its final status, at `now` in epoch milliseconds."""
        with self.lock:
            self.body["status"] = status
            self.body["endTime"] = now
        self.ended.set()

    def cancel(self, user: str, reason: str | None) -> None:
        """Mark it canceled; the engine ends it. Without effect on a complete one."""
        with self.lock:
            if not self.complete:
                self.body.update(canceled=True, canceledBy=user, cancellationReason=reason)

    def view(self, *, expand: bool = True) -> dict[str, Any]:
        """A copy for an answer. Without `expand` the stages have no context, outputs and tasks."""
        with self.lock:
            seen = copy.deepcopy(self.body)
        if not expand:
            for stage in seen["stages"]:
                stage.update(context={}, outputs={}, tasks=[])
        return seen


def new_body(execution_id: str, config: Mapping[str, Any], trigger: Mapping[str, Any], now: int) -> dict[str, Any]:
    """A NOT_STARTED execution of a configuration, built at `now` in epoch milliseconds."""
    limits = {key: config.get(key, False) for key in ("limitConcurrent", "keepWaitingPipelines")}
    return {
        **dict.fromkeys(_EMPTY),
        **limits,
        "type": "PIPELINE",
        "id": execution_id,
        "rootId": execution_id,
        "application": config["application"],
        "name": config["name"],
        "pipelineConfigId": config["id"],
        "buildTime": now,
        "status": "NOT_STARTED",
        "canceled": False,
        "maxConcurrentExecutions": config.get("maxConcurrentExecutions", 0),
        "origin": "api",
        "spelEvaluator": config.get("spelEvaluator", "v4"),
        "authentication": {"user": trigger.get("user", "anonymous"), "allowedAccounts": []},
        "trigger": dict(trigger),
        "notifications": [],
        "initialConfig": {},
        "stages": [new_stage(execution_id, index, stage) for index, stage in enumerate(config.get("stages", []))],
    }


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
        "tasks": [_task(stage["type"])],
    }


def _task(stage_type: str) -> dict[str, Any]:
    return {
        "id": "1",
        "name": stage_type,
        "implementingClass": "com.example.Task",
        "status": "NOT_STARTED",
        **dict.fromkeys(("startTime", "endTime")),
        **dict.fromkeys(("stageStart", "stageEnd"), True),
        **dict.fromkeys(("loopStart", "loopEnd"), False),
    }


class Executions:
    """All executions, in the order in which they were stored. May be used from any thread."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._all: dict[str, Execution] = {}
        self._open: dict[str, Execution] = {}  # those that were not complete when somebody last looked
        self._by_config: dict[str, list[Execution]] = defaultdict(list)

    def add(self, execution: Execution) -> None:
        """Store a new one."""
        with self._lock:
            self._all[execution.id] = self._open[execution.id] = execution
            self._by_config[execution.config_id].append(execution)

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
