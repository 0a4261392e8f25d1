"""What goes over the wire: requests, answers, and Gate's shape of an error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

ORCA = "http://orca.spinnaker.svc:8083"
PROXYS_PAGE = "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"
LOGIN_PAGE = "<!DOCTYPE html><html><body><form action='/login' method='post'>Sign in</form></body></html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, its body already read. `path` has no query; `query` keeps the last value of a repeated key."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # keys in lower case
    body: Any  # parsed JSON, or None
    user: str = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. A `str` body is sent as HTML, None as an empty body, anything else as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    execution: str | None = None  # the execution that the request started or was given, for the access log
    started: bool = False  # true when it is a new one


class Dropped(Exception):
    """The connection ends without an answer."""


class Refused(Exception):
    """An error that Gate answers in its own shape (kork's GenericErrorController)."""

    def __init__(self, status: int, message: str, exception: str = "IllegalArgumentException") -> None:
        super().__init__(message)
        self.status = status
        self.exception = exception

    def answer(self, timestamp: str) -> Answer:
        """The error's body as kork writes it."""
        body = {
            "timestamp": timestamp,
            "status": self.status,
            "error": HTTPStatus(self.status).phrase,
            **({"exception": self.exception} if self.exception else {}),
            "message": str(self),
        }
        return Answer(status=self.status, body=body)


def not_found(message: str) -> Refused:
    """A 404 as kork words it."""
    return Refused(404, message, "com.netflix.spinnaker.kork.web.exceptions.NotFoundException")


def passed_on(status: int, path: str, message: str, *, before: str = "") -> Refused:
    """What Gate makes of an error of Orca: the same status, and a message that holds Orca's address."""
    said = f"{before}Status: {status}, URL: {ORCA}{path}, Message: {message}"
    return Refused(status, said, "com.netflix.spinnaker.kork.retrofit.exceptions.SpinnakerHttpException")
