"""The sandbox's own switches over HTTP, beside Gate's API: /sandbox/faults, /sandbox/log, and what a world adds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fairlead_sandbox.gate.access_log import AccessLog
from fairlead_sandbox.gate.answers import Answer, Request
from fairlead_sandbox.gate.faults import Faults

PREFIX = "/sandbox/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Answers everything under /sandbox/. It needs no sign-in and is not in the access log."""

    faults: Faults
    log: AccessLog
    deeds: dict[str, Callable[..., Any]] = field(default_factory=dict)  # POST /sandbox/<name> with its arguments

    def answer(self, request: Request) -> Answer:
        """Wrong input answers 400 with one sentence."""
        try:
            return self._answer(request, request.path.removeprefix(PREFIX))
        except (ValueError, TypeError, KeyError, LookupError) as error:
            return Answer(status=400, body={"message": str(error)})

    def _answer(self, request: Request, name: str) -> Answer:
        if name == "log" and request.method == "GET":
            return Answer(body=self.log.entries())
        if request.method == "POST" and name in self.deeds:
            return Answer(body={"done": self.deeds[name](**_arguments(request))})
        if name == "release" and request.method == "POST":
            self.faults.release(**_arguments(request))
        elif name.partition("/")[0] == "faults" and request.method in {"GET", "PUT", "DELETE"}:
            self._switch(request, name.removeprefix("faults").strip("/"))
        else:
            known = ", ".join(["faults", "log", "release", *sorted(self.deeds)])
            said = f"{request.method} {request.path} does nothing; there is: {known}"
            return Answer(status=404, body={"message": said})
        return Answer(body=self.faults.as_json())

    def _switch(self, request: Request, kind: str) -> None:
        if request.method == "PUT":
            self.faults.on(**_arguments(request))
        elif request.method == "DELETE" and kind:
            self.faults.off(kind)
        elif request.method == "DELETE":
            self.faults.clear()


def _arguments(request: Request) -> dict[str, Any]:
    if request.body is None:
        return {}
    if not isinstance(request.body, dict):
        raise TypeError("the body must be a JSON object")
    return request.body
