"""What goes over the wire: requests, answers, pages, and the shapes of an error as GitHub writes them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

DOCS = "https://docs.github.com/enterprise-server@3.19/rest"
VERSION = "3.19.0"
MOST_A_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the API. `path` is without the API's prefix; `query` keeps the last value of a repeated key."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: str  # the header as it was sent
    body: Mapping[str, Any]  # empty where none was sent
    login: str = ""  # who asks, once that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. A `str` body is HTML, None is empty, anything else is JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The body as bytes."""
        if self.body is None:
            return b""
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()

    def typed(self) -> dict[str, str]:
        """The headers, with the body's type."""
        kind = "text/html; charset=utf-8" if isinstance(self.body, str) else "application/json; charset=utf-8"
        return {**({} if self.body is None else {"Content-Type": kind}), **self.headers}


class Refused(Exception):
    """An error in GitHub's shape: a message, a link to the documentation, and `errors` where fields are at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors
        self.headers = headers or {}

    def answer(self) -> Answer:
        """As it is sent."""
        body: dict[str, Any] = {"message": str(self)}
        if self.errors:
            body["errors"] = [dict(error) for error in self.errors]
        body |= {"documentation_url": DOCS, "status": str(self.status)}
        return Answer(status=self.status, body=body, headers=self.headers)


def not_found() -> Refused:
    """What is not there, and what one may not see."""
    return Refused(404, "Not Found")


def invalid(resource: str, code: str, *, field: str = "", message: str = "") -> Refused:
    """A 422 about one field, or about the whole where it says `custom`."""
    error = {"resource": resource, "code": code}
    if field:
        error["field"] = field
    if message:
        error["message"] = message
    return Refused(422, "Validation Failed", [error])


def stamp(at: datetime) -> str:
    """A time, in whole seconds."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def page(items: Sequence[Any], request: Request, url: str) -> tuple[Sequence[Any], dict[str, str]]:
    """The page that was asked for (30 items, or `per_page` up to 100), and the `Link` header to the others."""
    size = min(_number(request.query.get("per_page"), 30), MOST_A_PAGE)
    current = _number(request.query.get("page"), 1)
    last = max((len(items) + size - 1) // size, 1)
    places = {"prev": current - 1, "next": current + 1, "last": last, "first": 1}
    shown = ("prev", "first") * (current > 1) + ("next", "last") * (current < last)
    links = [f'<{url}?{_query(request, places[name])}>; rel="{name}"' for name in places if name in shown]
    return items[(current - 1) * size : current * size], {"Link": ", ".join(links)} if links else {}


def _query(request: Request, number: int) -> str:
    return urlencode({**request.query, "page": number})


def _number(text: str | None, otherwise: int) -> int:
    found = int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else 0
    return found or otherwise
