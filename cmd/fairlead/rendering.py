"""How results reach people and scripts: tables on a terminal, plain columns in a pipe, JSON on demand.

Results go to stdout and nothing else does; progress and errors go to stderr.
"""

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

STYLES = {"success": "green", "yes": "green", "no": "red", "failure": "red", "error": "red", "pending": "yellow"}


class Output(StrEnum):
    """What `-o` takes."""

    TEXT = "text"
    JSON = "json"


def seen(text: str) -> str:
    """Text of anybody's as a terminal may show it: what it would obey or could not write is escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text)


def say(text: str = "") -> None:
    """A piece of the result, and the end of its line."""
    print(seen(text))


def json_document(value: Any) -> None:
    """The result as one JSON document: times as ISO 8601 in UTC, durations in seconds."""
    print(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headers; in a pipe without borders, colours or cut text."""
    if sys.stdout.isatty():
        _drawn(headers, rows)
    else:
        _columns(headers, rows)


def _drawn(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for header in headers:
        drawn.add_column(header, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(seen(cell), style=STYLES.get(cell, "")) for cell in row))
    Console().print(drawn)


def _columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    lines = [[cell.upper() for cell in headers], *([seen(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@contextmanager
def progress(doing: str) -> Iterator[None]:
    """A spinner on stderr while something takes its time; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status(doing):
        yield


def when(moment: datetime | None) -> str:
    """A time as people read it, to the second and in UTC; empty where there is none."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


def count(number: int, noun: str) -> str:
    """`1 fleet`, `2 fleets`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
