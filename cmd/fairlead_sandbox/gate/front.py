"""The door: faults, sign-in, the route, and faults again once a request took effect."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

from fairlead_sandbox.gate.access_log import AccessLog
from fairlead_sandbox.gate.answers import LOGIN_PAGE, PROXYS_PAGE, Answer, Dropped, Refused, Request
from fairlead_sandbox.gate.authentication import Authentication, NotSignedIn
from fairlead_sandbox.gate.faults import FaultKind, Faults, TurnedAway
from fairlead_sandbox.gate.routes import Routes
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """Answers a request to Gate, and writes it into the access log."""

    routes: Routes
    faults: Faults
    log: AccessLog
    authentication: Authentication
    clock: Clock
    base_url: Callable[[], str]

    def answer(self, request: Request, certificate: str | None) -> Answer:
        """The answer. Raises `Dropped` when the connection shall end without one."""
        entry = self.log.arrived(
            {
                "at": self.clock.now().isoformat(),
                "method": request.method,
                "path": request.path,
                "query": dict(request.query),
                "body": request.body,
            }
        )
        try:
            answer = self._answer(request, certificate, entry)
        except (Dropped, TurnedAway) as error:
            self.log.answered(entry, "dropped")
            raise Dropped from error
        self.log.answered(entry, answer.status)
        return answer

    def _answer(self, request: Request, certificate: str | None, entry: dict[str, Any]) -> Answer:
        operation, named = self.routes.resolve(request)
        try:
            refused = self._at_the_door(operation)
            if refused is not None:
                return refused
            opened = self.authentication.opens(request)
            if opened is not None:
                return opened
            user = self.authentication.user(request.headers, certificate)
            answer = self.routes.act(operation, replace(request, user=user), named)
        except NotSignedIn:
            return self._refuse()
        except Refused as error:
            return error.answer(self.clock.now().isoformat())
        if answer.execution is not None:
            self.log.took_effect(entry, answer.execution, started=answer.started)
        return self._after(operation, answer)

    def _refuse(self) -> Answer:
        try:
            return self.authentication.refuse(self.base_url())
        except Refused as error:
            return error.answer(self.clock.now().isoformat())

    def _at_the_door(self, operation: str) -> Answer | None:
        """Strike before anything is read or done. None: come in."""
        self._sleep(FaultKind.SLOW, operation)
        if self._strikes(FaultKind.HOLD_BEFORE_ACCEPTING, operation):
            self.faults.hold()
        if self._strikes(FaultKind.DROP_BEFORE_ACCEPTING, operation):
            raise Dropped
        if self._strikes(FaultKind.UNAVAILABLE, operation):
            return Answer(status=503, body=PROXYS_PAGE)
        if self._strikes(FaultKind.LOGIN_REDIRECT, operation):
            return Answer(status=302, headers={"Location": f"{self.base_url()}/login"})
        if self._strikes(FaultKind.HTML, operation):
            return Answer(body=LOGIN_PAGE)
        return self._too_many(operation)

    def _too_many(self, operation: str) -> Answer | None:
        limit = self.faults.take(FaultKind.TOO_MANY_REQUESTS, operation=operation)
        if limit is None:
            return None
        headers = {}
        if "reset" in limit:
            reset = self.clock.now() + timedelta(seconds=float(limit["reset"]))
            headers = {
                "X-RateLimit-Capacity": "60",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": format_datetime(reset, usegmt=True),
                "X-RateLimit-Learning": "false",
            }
        return Answer(status=429, body={"message": "Rate capacity exceeded"}, headers=headers)

    def _after(self, operation: str, answer: Answer) -> Answer:
        """Strike when the request took effect already: the caller cannot know."""
        if self._strikes(FaultKind.HOLD_AFTER_ACCEPTING, operation):
            self.faults.hold()
        self._sleep(FaultKind.DELAY_AFTER_ACCEPTING, operation)
        if self._strikes(FaultKind.DROP_AFTER_ACCEPTING, operation):
            raise Dropped
        error = self.faults.take(FaultKind.ERROR_AFTER_ACCEPTING, operation=operation)
        if error is not None:
            failed = Refused(int(error.get("status", 500)), "timeout", "SpinnakerServerException")
            return failed.answer(self.clock.now().isoformat())
        return answer

    def _strikes(self, kind: FaultKind, operation: str) -> bool:
        return self.faults.take(kind, operation=operation) is not None

    def _sleep(self, kind: FaultKind, operation: str) -> None:
        slowly = self.faults.take(kind, operation=operation)
        if slowly is not None:
            time.sleep(float(slowly.get("seconds", 1)))
