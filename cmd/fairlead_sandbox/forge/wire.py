"""What goes over the wire, whatever the dialect: requests, answers, refusals, pages."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the API. `path` is without the API's prefix; `query` keeps the last value of a repeated key."""

    method: str
    path: str  # with %2F and the like undone
    raw: str  # as it was sent
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: Mapping[str, Any]  # empty where none was sent

    @property
    def authorization(self) -> str:
        """The header as it was sent."""
        return self.headers.get("authorization", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. A `str` body is text of the type `kind`, None is empty, anything else is JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "text/html; charset=utf-8"

    def encoded(self) -> bytes:
        """The body as bytes."""
        if self.body is None:
            return b""
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()

    def typed(self) -> dict[str, str]:
        """The headers, with the body's type."""
        kind = self.kind if isinstance(self.body, str) else "application/json; charset=utf-8"
        return {**({} if self.body is None else {"Content-Type": kind}), **self.headers}


class Witness(Protocol):
    """Who writes down what is seen of a request on its way."""

    def known(self, login: str) -> None:
        """Who asks."""
        ...

    def undeclared(self, names: Sequence[str]) -> None:
        """Fields that were sent and that the vendor does not describe: it takes no notice of them."""
        ...


class Refused(Exception):
    """A request that is not done, with what is answered, in the dialect's own shape."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status} {answer.body}")
        self.answer = answer


class NoSuchCall(Refused):
    """The vendor has no such method and path."""


class Misfit(Refused):
    """The body or the query is not what the vendor's description of the call asks for."""


class Wrong(Exception):
    """What the forge's state does not allow. `code` names it; each dialect has its own words and status for it."""

    def __init__(self, code: str, **facts: str) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


def stamp(at: datetime) -> str:
    """A time, in whole seconds."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which page of a list was asked for, and how to get at the others. `key` is what the page's size is called."""

    items: Sequence[Any]
    query: Mapping[str, str]
    url: str
    key: str = "per_page"
    size: int = 30  # where nothing is asked for
    most: int = 100

    @property
    def length(self) -> int:
        """Items on a page."""
        return min(number(self.query.get(self.key), self.size), self.most)

    @property
    def current(self) -> int:
        """From 1."""
        return number(self.query.get("page"), 1)

    @property
    def last(self) -> int:
        """The number of the last one."""
        return max((len(self.items) + self.length - 1) // self.length, 1)

    @property
    def shown(self) -> Sequence[Any]:
        """What is on it."""
        return self.items[(self.current - 1) * self.length : self.current * self.length]

    def links(self, *always: str) -> dict[str, str]:
        """The `Link` header to the pages before and behind it; `always` are told on the only page too."""
        places = {"prev": self.current - 1, "next": self.current + 1, "last": self.last, "first": 1}
        told = ("prev", "first") * (self.current > 1) + ("next", "last") * (self.current < self.last) + always
        links = [f'<{self.url}?{self._query(places[name])}>; rel="{name}"' for name in places if name in told]
        return {"Link": ", ".join(links)} if links else {}

    def _query(self, page: int) -> str:
        return urlencode({**self.query, "page": page})


def number(text: str | None, otherwise: int) -> int:
    """A number from a query; `otherwise` where it is none, or zero."""
    found = int(text) if text and re.fullmatch(r"[0-9]{1,9}", text) else 0
    return found or otherwise
