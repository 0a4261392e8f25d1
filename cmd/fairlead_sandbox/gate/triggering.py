"""POST /pipelines/{application}/{nameOrId}: from a trigger to a stored execution.

Source of the order: Gate's `PipelineService.trigger`, Orca's `OperationsController` and `ExecutionLauncher.start`:
build, look for the correlation id, store. Nothing locks between the look and the storing.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fairlead_sandbox.gate.answers import Answer, Refused, Request, passed_on
from fairlead_sandbox.gate.executions import Execution, Executions, new_body
from fairlead_sandbox.gate.expressions import evaluate
from fairlead_sandbox.gate.faults import FaultKind, Faults
from fairlead_sandbox.gate.pipelines import Pipelines
from fairlead_sandbox.gate.ulid import Ulids
from reconciler.ports import Clock

_DISABLED = "Pipeline is disabled and cannot be started."


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """Everything that a trigger touches."""

    pipelines: Pipelines
    executions: Executions
    faults: Faults
    clock: Clock
    ulids: Ulids

    def trigger(self, application: str, name_or_id: str, request: Request) -> Answer:
        """202 with the ref of a new execution, or of the one in flight with the same correlation id."""
        if not isinstance(request.body, dict | None):
            return Answer(status=400)
        config = self.pipelines.find_to_trigger(application, name_or_id)
        trigger = self._trigger(config, request.body or {}, request.user)
        if config.get("disabled"):
            self._store_failed(config, trigger, request, f"Failed on startup: {_DISABLED}")
            before = f"Unable to trigger pipeline (application: {application}, pipelineNameOrId: {name_or_id}). Error: "
            raise passed_on(400, f"/orchestrate?user={request.user}", _DISABLED, before=before)
        running = self.executions.correlated(trigger.get("correlationId"))
        if running is not None:
            return _accepted(running, started=False)
        facts = {"application": application, "pipeline": config["name"]}
        self._pause(FaultKind.ACCEPT_SLOWLY, facts)
        if self.faults.take(FaultKind.HOLD_WHILE_ACCEPTING, **facts) is not None:
            self.faults.hold()
        if self.faults.take(FaultKind.TERMINAL_AT_ONCE, **facts) is not None:
            reason = "Failed on startup: the queue refused the message"
            return _accepted(self._store_failed(config, trigger, request, reason), started=True)
        return _accepted(self._store(config, trigger, request, facts), started=True)

    def start(self, request: Request) -> Answer:
        """200 with the ref. An `executionId` in the body becomes the id, and takes the place of one that has it."""
        if not isinstance(request.body, dict):
            return Answer(status=400)
        config = {"name": None, **request.body}
        trigger = self._trigger(config, request.body.get("trigger") or {}, request.user)
        facts = {"application": config.get("application"), "pipeline": config["name"]}
        accepted = _accepted(self._store(config, trigger, request, facts), started=True)
        return replace(accepted, status=200)

    def _pause(self, kind: FaultKind, facts: Mapping[str, Any]) -> None:
        slowly = self.faults.take(kind, **facts)
        if slowly is not None:
            time.sleep(float(slowly.get("seconds", 0.2)))

    def _trigger(self, config: Mapping[str, Any], body: Mapping[str, Any], user: str) -> dict[str, Any]:
        """The body as sent, with Gate's and Orca's fillings; what looks like SpEL in it is evaluated."""
        filled = {
            "type": "manual",
            "user": user,
            "artifacts": [],
            "notifications": [],
            "rebake": False,
            "dryRun": False,
            "strategy": False,
            "resolvedExpectedArtifacts": [],
            "expectedArtifacts": [],
            **body,
            "parameters": _parameters(config, body.get("parameters") or {}),
        }
        spel = {"trigger": filled, "parameters": filled["parameters"]}
        evaluated: dict[str, Any] = evaluate(filled, spel)
        return evaluated

    def _store(
        self, config: Mapping[str, Any], trigger: Mapping[str, Any], request: Request, facts: Mapping[str, Any]
    ) -> Execution:
        execution = self._new(config, trigger, request.user)
        late = self.faults.take(FaultKind.LATE_READS, **facts)
        if late is not None:
            execution.hidden_reads = int(late.get("reads", 2))
        waiting = self.faults.take(FaultKind.NOT_STARTED, **facts)
        if waiting is not None:
            execution.not_before = self.clock.monotonic() + float(waiting.get("seconds", 1))
        execution.zombie = self.faults.take(FaultKind.ZOMBIE, **facts) is not None
        self.executions.add(execution)
        return execution

    def _store_failed(
        self, config: Mapping[str, Any], trigger: Mapping[str, Any], request: Request, reason: str
    ) -> Execution:
        """Orca keeps what it could not start, as a TERMINAL execution."""
        execution = self._new(config, trigger, request.user)
        execution.body.update(canceled=True, canceledBy="system", cancellationReason=reason)
        execution.finish("TERMINAL", self.now())
        self.executions.add(execution)
        return execution

    def _new(self, config: Mapping[str, Any], trigger: Mapping[str, Any], user: str) -> Execution:
        now = self.now()
        chosen = config.get("executionId") or self.ulids.next(now)
        return Execution(new_body(chosen, config, trigger, user, now))

    def now(self) -> int:
        """Epoch milliseconds."""
        return int(self.clock.now().timestamp() * 1000)


def _accepted(execution: Execution, *, started: bool) -> Answer:
    return Answer(status=202, body={"ref": f"/pipelines/{execution.id}"}, execution=execution.id, started=started)


def _parameters(config: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults filled in; unknown ones passed through. Raises the 400 for a required one that is missing."""
    values = dict(given)
    for parameter in config.get("parameterConfig", []):
        name = parameter["name"]
        if values.get(name) is None:
            if parameter.get("required") and parameter.get("default") is None:
                raise Refused(400, f"Required parameter {name} is missing")
            values[name] = parameter.get("default")
    return values
