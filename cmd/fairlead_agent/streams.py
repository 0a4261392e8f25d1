"""The body of an object of S3, as it comes in: in small pieces, at a least rate, and whoever interrupts is heard.

botocore gives up on a connection that is silent, and listens for ever to one that says a byte now and then.
"""

from collections.abc import Iterator
from threading import Event
from time import monotonic
from typing import Any

from fairlead_agent.trouble import Interrupted, Trouble

PIECE = 1 << 16  # bytes in memory at once
PATIENCE = 60.0  # seconds in which each `PIECE` bytes must have come


def pieces(body: Any, doing: str, stop: Event | None = None, patience: float = PATIENCE) -> Iterator[bytes]:
    """What comes in, as it comes. `doing` is for the message.

    Raises `Interrupted`, `Trouble` (TRANSIENT) where it is too slow, and botocore's errors.
    """
    raw = body._raw_stream  # botocore has no read that gives what is there
    if hasattr(raw, "read1"):
        body._raw_stream = _WhatIsThere(raw)
    until, due = monotonic() + patience, PIECE
    while True:
        if stop is not None and stop.is_set():
            raise Interrupted
        piece: bytes = body.read(PIECE)
        if not piece:
            return
        due -= len(piece)
        if due <= 0:
            until, due = monotonic() + patience, PIECE
        elif monotonic() > until:
            raise Trouble.of_the_road(f"cannot {doing}: it comes in at less than {PIECE} bytes in {patience:g} s")
        yield piece


class _WhatIsThere:
    """A stream whose `read` waits for some bytes, not for all that were asked for."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def read(self, amount: int) -> Any:
        return self._raw.read1(amount)

    def close(self) -> None:
        self._raw.close()
