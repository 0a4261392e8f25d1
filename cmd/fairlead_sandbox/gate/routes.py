"""Gate's paths and what answers them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead_sandbox.gate import restarting, searching
from fairlead_sandbox.gate.answers import Answer, Refused, Request, not_found, passed_on
from fairlead_sandbox.gate.executions import Execution, Executions, on_the_wire
from fairlead_sandbox.gate.faults import FaultKind, Faults
from fairlead_sandbox.gate.pipelines import Pipelines
from fairlead_sandbox.gate.saving import Saver
from fairlead_sandbox.gate.triggering import Launcher

_ID = r"(?P<id>[^/]+)"
_PAIR = r"(?P<application>[^/]+)/(?P<name>[^/]+)"
_APPLICATION = r"/applications/(?P<application>[^/]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What Gate can be asked. Each method answers one path; `operation` is the word that faults know it by."""

    pipelines: Pipelines
    executions: Executions
    faults: Faults
    launcher: Launcher
    saver: Saver

    def resolve(self, request: Request) -> tuple[str, Mapping[str, str]]:
        """The operation's word, and what its path names.

        "nowhere" for a path that Gate does not have, "otherwise" for one that it answers to other methods.
        """
        known = [(each, found) for each in _TABLE if (found := re.fullmatch(each[1], request.path))]
        for (method, _, operation), found in known:
            if method == request.method:
                return operation, found.groupdict()
        return ("otherwise" if known else "nowhere"), {}

    def act(self, operation: str, request: Request, named: Mapping[str, str]) -> Answer:
        """Carry a resolved request out. Raises `Refused`."""
        answer: Answer = getattr(self, operation)(request, **named)
        return answer

    def nowhere(self, request: Request) -> Answer:
        """A path that Gate does not have."""
        del request
        raise Refused(404, "No message available", exception="")

    def otherwise(self, request: Request) -> Answer:
        """A method that a path does not have."""
        del request
        return Answer(status=405)

    def trigger(self, request: Request, application: str, name: str) -> Answer:
        """POST /pipelines/{application}/{nameOrId}."""
        return self.launcher.trigger(application, name, request)

    def read(self, request: Request, id: str) -> Answer:  # noqa: A002
        """GET /pipelines/{id}: 404 when there is none; 200 without a body when Orca answered any other error."""
        del request
        if self.faults.take(FaultKind.EMPTY_BODY) is not None:
            return Answer()
        execution = self._visible(id)
        if execution is None:
            raise not_found(f"Pipeline not found (id: {id})")
        return Answer(body=self._view(execution))

    def bulk(self, request: Request) -> Answer:
        """GET /executions."""
        found = [each for each in searching.subset(self.executions, request.query) if self._visible(each.id)]
        expand = request.query.get("expand", "true") == "true"
        return Answer(body=[self._view(each, expand=expand) for each in found])

    def search(self, request: Request, application: str) -> Answer:
        """GET /applications/{application}/executions/search."""
        found = searching.search(self.executions, self.pipelines, application, request.query)
        again = self.faults.take(FaultKind.REPEATED_MATCHES)
        found = found * int(again.get("repeats", 10)) if again is not None else found
        expand = request.query.get("expand", "false") == "true"
        return Answer(body=[self._view(each, expand=expand) for each in found])

    def configs(self, request: Request, application: str) -> Answer:
        """GET /applications/{application}/pipelineConfigs."""
        del request
        self.saver.pass_a_read()
        return Answer(body=self.pipelines.of(application))

    def config(self, request: Request, application: str, name: str) -> Answer:
        """GET /applications/{application}/pipelineConfigs/{nameOrId}."""
        del request
        config = self.pipelines.find(application, name)
        if config is None:
            raise not_found(f"Pipeline config (id: {name}) not found for Application (id: {application})")
        return Answer(body=config)

    def start(self, request: Request) -> Answer:
        """POST /pipelines/start: a whole pipeline, with the trigger in it."""
        return self.launcher.start(request)

    def cancel(self, request: Request, id: str) -> Answer:  # noqa: A002
        """PUT /pipelines/{id}/cancel: 200 whether or not there was anything to cancel."""
        self._known(id, "/cancel?force=false").cancel(request.user, request.query.get("reason"))
        return Answer()

    def pause(self, request: Request, id: str) -> Answer:  # noqa: A002
        """PUT /pipelines/{id}/pause: 200 whether or not it runs."""
        self._known(id, "/pause").pause(request.user, self.launcher.now())
        return Answer()

    def resume(self, request: Request, id: str) -> Answer:  # noqa: A002
        """PUT /pipelines/{id}/resume: 200 whether or not it is paused."""
        self._known(id, "/resume").resume(request.user, self.launcher.now())
        return Answer()

    def remove(self, request: Request, id: str) -> Answer:  # noqa: A002
        """DELETE /pipelines/{id}: an execution that is over."""
        del request
        if not self._known(id, "").complete:
            raise passed_on(409, f"/pipelines/{id}", "Cannot delete a running pipeline, please cancel it first.")
        self.executions.remove(id)
        return Answer()

    def restart(self, request: Request, id: str, stage: str) -> Answer:  # noqa: A002
        """PUT /pipelines/{id}/stages/{stageId}/restart: gives the execution as it was before."""
        if not isinstance(request.body, dict):
            return Answer(status=400)
        execution = self._known(id, f"/stages/{stage}/restart")
        before = self._view(execution)
        configured = self.pipelines.get(execution.config_id) or {}
        restarting.restart(self.executions, execution, stage, configured, request.user, self.launcher.now())
        return Answer(body=before)

    def save(self, request: Request) -> Answer:
        """POST /pipelines: 200 without a body, so without the id."""
        self.saver.save(request, stale_check=request.query.get("staleCheck") == "true")
        return Answer()

    def update(self, request: Request, id: str) -> Answer:  # noqa: A002
        """PUT /pipelines/{id}: gives the configuration as it is kept."""
        return Answer(body=self.saver.update(request, id))

    def delete(self, request: Request, application: str, name: str) -> Answer:
        """DELETE /pipelines/{application}/{name}: the configuration; its executions stay."""
        del request
        self.saver.delete(application, name)
        return Answer()

    def history(self, request: Request, id: str) -> Answer:  # noqa: A002
        """GET /pipelineConfigs/{id}/history."""
        del request
        return Answer(body=self.saver.history(id))

    def judge(self, request: Request, id: str, stage: str) -> Answer:  # noqa: A002
        """PATCH /pipelines/{id}/stages/{stageId}: the body is merged into the stage's context."""
        execution = self._known(id, f"/stages/{stage}")
        with execution.lock:
            found = next((each for each in execution.body["stages"] if each["id"] == stage), None)
            if found is None:
                return Answer()
            found["context"].update(request.body or {}, lastModifiedBy=request.user)
            modified = {"user": request.user, "allowedAccounts": [], "lastModifiedTime": self.launcher.now()}
            found["lastModified"] = modified
        return Answer(body=self._view(execution))

    def health(self, request: Request) -> Answer:
        """GET /health."""
        del request
        return Answer(body={"status": "UP"})

    def user(self, request: Request) -> Answer:
        """GET /auth/user: who Gate takes the caller for."""
        return Answer(body={"username": request.user, "email": request.user, "roles": [], "allowedAccounts": []})

    def _known(self, execution_id: str, path: str) -> Execution:
        """The execution, for a change; Orca answers 404 where there is none."""
        execution = self.executions.get(execution_id)
        if execution is None:
            raise passed_on(404, f"/pipelines/{execution_id}{path}", f"No pipeline found for {execution_id}")
        return execution

    def _visible(self, execution_id: str) -> Execution | None:
        """The execution, unless a lagging read replica does not know it yet."""
        execution = self.executions.get(execution_id)
        if execution is not None and execution.hidden_reads > 0:
            execution.hidden_reads -= 1
            return None
        return execution

    def _view(self, execution: Execution, *, expand: bool = True) -> dict[str, Any]:
        seen = on_the_wire(execution.view(expand=expand))
        odd = self.faults.take(FaultKind.UNKNOWN_STATUS, pipeline=seen["name"], application=seen["application"])
        if odd is not None:
            seen["status"] = odd.get("status", "REFLECTING")
        return seen


_TABLE = (
    ("POST", f"/pipelines/{_PAIR}", "trigger"),
    ("GET", f"/pipelines/{_ID}", "read"),
    ("GET", "/executions", "bulk"),
    ("GET", f"{_APPLICATION}/executions/search", "search"),
    ("GET", f"{_APPLICATION}/pipelineConfigs", "configs"),
    ("GET", f"{_APPLICATION}/pipelineConfigs/(?P<name>[^/]+)", "config"),
    ("POST", "/pipelines/start", "start"),
    ("DELETE", f"/pipelines/{_ID}", "remove"),
    ("PUT", f"/pipelines/{_ID}/stages/(?P<stage>[^/]+)/restart", "restart"),
    ("PUT", f"/pipelines/{_ID}/cancel", "cancel"),
    ("PUT", f"/pipelines/{_ID}/pause", "pause"),
    ("PUT", f"/pipelines/{_ID}/resume", "resume"),
    ("POST", "/pipelines", "save"),
    ("PUT", f"/pipelines/{_ID}", "update"),
    ("DELETE", f"/pipelines/{_PAIR}", "delete"),
    ("GET", f"/pipelineConfigs/{_ID}/history", "history"),
    ("PATCH", f"/pipelines/{_ID}/stages/(?P<stage>[^/]+)", "judge"),
    ("GET", "/health", "health"),
    ("GET", "/auth/user", "user"),
)
