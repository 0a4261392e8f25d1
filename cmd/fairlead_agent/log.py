"""What the agent says on standard output: one line an event, its name first, then key=value."""

import json
import sys
from datetime import datetime
from threading import Lock
from typing import Any, Protocol, TextIO

from fairlead_agent.clock import Clock


class Log(Protocol):
    """Says an event."""

    def __call__(self, event: str, **facts: Any) -> None:
        """`event` is a constant; what differs is in `facts`, which hold no secret."""
        ...


class Lines:
    """Lines such as `2026-11-24T06:01:09.250Z staging fleet=prod/matchmaker version=2.3.1`."""

    def __init__(self, clock: Clock, out: TextIO | None = None) -> None:
        self._clock = clock
        self._out = out or sys.stdout
        self._lock = Lock()

    def __call__(self, event: str, **facts: Any) -> None:
        """Write a line. A broken output is no reason to end, nor to stop what is being done."""
        said = [_stamp(self._clock.now()), event, *(f"{name}={_value(value)}" for name, value in facts.items())]
        try:
            with self._lock:
                print(*said, file=self._out, flush=True)
        except (OSError, ValueError):
            return


def _stamp(now: datetime) -> str:
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"


def _value(value: Any) -> str:
    text = str(value)
    plain = text and text.isascii() and text.isprintable() and not set(text) & set(' "=')
    return text if plain else json.dumps(text)
