"""How a request finds what answers it: a table of calls for each dialect, with what its body has to hold."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fairlead_sandbox.forge.hosted import Hosted
from fairlead_sandbox.forge.identities import Identity
from fairlead_sandbox.forge.wire import Answer, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What somebody asks of a repository. `found` are the parts of the path, `given` what was sent with it."""

    hosted: Hosted
    request: Request
    found: Mapping[str, str]
    who: Identity
    given: Mapping[str, Any]

    def text(self, name: str, otherwise: str = "") -> str:
        """Something that was sent, as text; null is as good as nothing."""
        found = self.given.get(name)
        return otherwise if found is None else str(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a vendor's description says of one field of a body or a query."""

    kind: type | tuple[type, ...] = str
    required: bool = False
    null: bool = False  # may be null
    enum: tuple[str, ...] = ()
    most: int = 0  # characters; 0: any


Fields = Mapping[str, Field]
Serve = Callable[[Asked], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One method and path that the vendor has. `path` is a pattern of the whole path behind the repository's."""

    method: str
    path: re.Pattern[str]
    serve: Serve
    fields: Fields = field(default_factory=dict)


def calls(prefix: str, *rows: tuple[str, str, Serve] | tuple[str, str, Serve, Fields]) -> Sequence[Call]:
    """A table of calls, whose paths follow `prefix`."""
    return [
        Call(method=row[0], path=re.compile(prefix + row[1]), serve=row[2], fields=row[3] if len(row) == 4 else {})
        for row in rows
    ]


def find(table: Sequence[Call], method: str, path: str) -> tuple[Call, Mapping[str, str]] | None:
    """The call of that method and path, with the parts of the path."""
    for call in table:
        if call.method == method and (found := call.path.fullmatch(path)):
            return call, found.groupdict()
    return None


def undeclared(fields: Fields, given: Mapping[str, Any]) -> list[str]:
    """What was sent and is not described."""
    return [name for name in given if name not in fields]


def missing(fields: Fields, given: Mapping[str, Any]) -> list[str]:
    """Required fields that were not sent."""
    return [name for name, each in fields.items() if each.required and given.get(name) is None]


def mistyped(fields: Fields, given: Mapping[str, Any]) -> list[str]:
    """Fields whose value is of another kind; true and false are no numbers."""
    return [name for name, each in fields.items() if name in given and not _fits(each, given[name])]


def unlisted(fields: Fields, given: Mapping[str, Any]) -> list[str]:
    """Fields whose value is none of those that there are."""
    return [name for name, each in fields.items() if each.enum and given.get(name) not in (None, *each.enum)]


def _fits(each: Field, value: Any) -> bool:
    if value is None:
        return each.null
    kinds = each.kind if isinstance(each.kind, tuple) else (each.kind,)
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
