"""Frozen values to JSON text and back: strict in types, forgiving in fields.

A field that an older version did not write takes its default; one that a newer version wrote is ignored. That is what
lets two versions share a ledger while one replaces the other (expand, then contract).
"""

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from adapters.ledger.dialects import LedgerError, sound
from desired_state.model import Fleet, Problem, Setting
from reconciler.memory import Memory
from reconciler.work import Outcome

T = TypeVar("T")
LONGEST = 16 * 1024 * 1024  # characters of one value; far above anything sound


class Codec(Generic[T]):
    """Writes and reads one kind of value.

    `younger` are fields that came later: left out while there is nothing in them, so that what says the same has the
    same text as an older version gave it.
    """

    def __init__(self, kind: Any, name: str, younger: frozenset[str] = frozenset()) -> None:
        self._kind, self._name, self._younger = kind, name, younger

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self._kind)

    def encode(self, value: T) -> str:
        """The JSON text. Raises `LedgerError` for a value that is not of the kind, or is too big."""
        try:
            unsaid = {field for field in self._younger if not getattr(value, field, None)}
            text = self._adapter.dump_json(value, warnings="error", exclude=unsaid or None).decode()
        except PydanticSerializationError as error:
            raise LedgerError(f"{self._name} cannot be written to the ledger: {error}") from error
        return bounded(text, self._name)

    def decode(self, text: str) -> T:
        """The value. Raises `LedgerError` for text that this version cannot read."""
        try:
            return self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in found["loc"])
            raise LedgerError(f"{self._name} in the ledger cannot be read: {where}: {found['msg']}") from error


FLEET: Codec[Fleet] = Codec(Fleet, "a fleet's spec", frozenset({"bakes", "regional", "source"}))
SETTING: Codec[Setting] = Codec(Setting, "a fleet's setting commit")
PROBLEMS: Codec[tuple[Problem, ...]] = Codec(tuple[Problem, ...], "a fleet's problems")
MEMORY: Codec[Memory] = Codec(Memory, "a fleet's memory")
OUTCOME: Codec[Outcome] = Codec(Outcome, "an outcome")


def canonical(value: Mapping[str, Any] | list[Any], name: str = "a snapshot") -> str:
    """JSON of plain values with one spelling for one meaning: what digests and hash chains are taken over."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LedgerError(f"{name} cannot be written to the ledger: {error}") from error
    return bounded(sound(text), name)


def plain(text: str) -> Any:
    """The plain values of `canonical`."""
    return from_json(text)


def bounded(text: str, name: str) -> str:
    """The text itself. Raises `LedgerError` where it is too long."""
    if len(text) > LONGEST:
        raise LedgerError(f"{name} takes {len(text)} characters; the ledger keeps at most {LONGEST}")
    return text
