"""Typed reading of JSON values that anyone may have written. Every reader raises `Malformed` and names the field."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")
LONGEST = 4096  # characters of a text
MOST = 1000  # members of a list or map of texts
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # no program takes the first as an argument, no file holds the rest


class Malformed(ValueError):
    """A field that is missing or of another kind; the message names it."""


def moment_text(moment: datetime) -> str:
    """RFC 3339 in UTC to the microsecond, as `moment` reads it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Fields:
    """One JSON object, read field by field. Fields that are not asked for are passed over: newer writers add some."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise Malformed(f"{where} must be an object")
        self._value: Mapping[str, Any] = value
        self._where = where

    def has(self, name: str) -> bool:
        """The field is there and not null."""
        return self._value.get(name) is not None

    def text(self, name: str, longest: int = LONGEST) -> str:
        """A text, without NUL and halves of surrogate pairs."""
        value = self._value.get(name)
        if not _is_text(value, longest):
            raise self._wrong(name, f"a text of up to {longest} characters")
        return str(value)

    def filled(self, name: str, longest: int = LONGEST) -> str:
        """A text that is not empty."""
        if value := self.text(name, longest):
            return value
        raise self._wrong(name, "a text that is not empty")

    def optional(self, name: str) -> str | None:
        """A text, or None where the field is null or missing."""
        return self.text(name) if self.has(name) else None

    def whole(self, name: str, least: int = 0) -> int:
        """A whole number from `least`, below 2^53."""
        value = self._value.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
            raise self._wrong(name, f"a whole number from {least}")
        return value

    def seconds(self, name: str) -> float:
        """A span of time in seconds, not negative, below a year."""
        value = self._value.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 31_536_000:
            raise self._wrong(name, "a number of seconds")
        return float(value)

    def truth(self, name: str) -> bool:
        """true or false."""
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def moment(self, name: str) -> datetime:
        """A time of RFC 3339 with its offset, in UTC."""
        value = self.text(name, 40)
        try:
            if _MOMENT.fullmatch(value):
                return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise self._wrong(name, "a time like 2026-11-24T06:00:00Z")

    def texts(self, name: str) -> dict[str, str]:
        """A map from text to text, of up to a thousand."""
        found = self.mapping(name)
        if len(found) > MOST or not all(_is_text(each) for pair in found.items() for each in pair):
            raise self._wrong(name, f"a map of up to {MOST} texts")
        return dict(found)

    def wholes(self, name: str) -> dict[str, int]:
        """A map from text to whole numbers from 1."""
        found = Fields(self.mapping(name), f"{self._where}.{name}")
        return {key: found.whole(key, 1) for key in self.mapping(name)}

    def mapping(self, name: str) -> Mapping[str, Any]:
        """An object of anything; its keys are texts."""
        value = self._value.get(name)
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise self._wrong(name, "an object")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        value = self._value.get(name)
        if not isinstance(value, list) or not all(_is_text(item) for item in value):
            raise self._wrong(name, "a list of texts")
        return tuple(value)

    def each(self, name: str, read: Callable[["Fields"], T]) -> tuple[T, ...]:
        """A list of objects, each read by `read`."""
        value = self._value.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return tuple(read(Fields(item, f"{self._where}.{name}[{place}]")) for place, item in enumerate(value))

    def part(self, name: str, read: Callable[["Fields"], T]) -> T:
        """An object, read by `read`."""
        return read(Fields(self._value.get(name), f"{self._where}.{name}"))

    def maybe(self, name: str, read: Callable[["Fields"], T]) -> T | None:
        """An object read by `read`, or None where it is null or missing."""
        return self.part(name, read) if self.has(name) else None

    def raw(self, name: str) -> Any:
        """The value as it is."""
        return self._value.get(name)

    def _wrong(self, name: str, right: str) -> Malformed:
        return Malformed(f"{self._where}.{name} must be {right}")


def _is_text(value: Any, longest: int = LONGEST) -> bool:
    return isinstance(value, str) and len(value) <= longest and _UNWRITABLE.search(value) is None
