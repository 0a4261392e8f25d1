"""Durations as people write them in the files: `90s`, `5m`, `2h`, `1d`. One unit, a whole number, at most a year."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_WRITTEN = re.compile(r"([0-9]{1,8})([smhd])")
_LONGEST = timedelta(days=366)


def parse_duration(text: str) -> timedelta:
    """`90s` as 90 seconds. Raises `ValueError` with a sentence that continues a key's name."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError("must be a duration like 90s, 5m, 2h or 1d")
    duration = int(match.group(1)) * _UNITS[match.group(2)]
    if duration > _LONGEST:
        raise ValueError("must be a duration of at most 366d")
    return duration


def format_duration(duration: timedelta) -> str:
    """The shortest way to write it: 300 seconds is `5m`, 90 seconds `90s`, nothing `0s`. Fractions are cut off."""
    seconds = int(duration.total_seconds())
    for unit in ("d", "h", "m"):
        size = int(_UNITS[unit].total_seconds())
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _read(value: Any) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a duration like 90s, 5m, 2h or 1d")  # noqa: TRY004 pydantic reads ValueError only
    return parse_duration(value)


Duration = Annotated[
    timedelta,
    BeforeValidator(_read),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,8}[smhd]$", "examples": ["90s", "5m", "2h", "1d"]}),
]
