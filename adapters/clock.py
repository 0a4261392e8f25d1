"""Time. The only module that reads the host's clock, and a clock for tests and rehearsals that only they move."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Lock


class SystemClock:
    """The host's clock. Implements `reconciler.ports.Clock`."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the one place that may

    def monotonic(self) -> float:
        """Seconds since some moment of the past; they pass while the process, or the host, is stopped.

        CLOCK_BOOTTIME counts a suspended host too (clock_gettime(2)); other systems give their best.
        """
        return _elapsed()


def _elapsed_by_name() -> Callable[[], float]:
    number = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if number is None else lambda: time.clock_gettime(number)


_elapsed = _elapsed_by_name()


class ManualClock:
    """A clock that stands still until `advance`. Safe to share between threads."""

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("a clock needs an aware time: give it a time zone")
        self._now = now.astimezone(UTC)
        self._monotonic = 0.0
        self._lock = Lock()

    def now(self) -> datetime:
        """Aware UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that `advance` added so far."""
        return self._monotonic

    def advance(self, span: timedelta) -> None:
        """Let `span` pass, on both readings at once."""
        with self._lock:
            self._now += span
            self._monotonic += span.total_seconds()
