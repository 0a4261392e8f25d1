"""How fast a Gate may be asked: what its own headers say, kept in one place for all threads.

Gate's limiter (gate-web `RateLimitingFilter`, `Rate`) tells its capacity, what remains of the window, and the date at
which the window ends; while it is learning it limits nobody. A 429 that a server behind Gate gave is passed on with a
reset that lies in 1970, because seconds are taken for milliseconds there: such a date says nothing.
"""

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Lock

from adapters.gate.errors import Throttled, throttled
from reconciler.ports import Clock

PATIENCE = 2.0  # seconds that one request waits for its turn; a pass has a lease to keep
REST = 5.0  # seconds after a 429 that does not say for how long; it doubles while they go on
LONGEST_REST = 60.0
KEPT_FOR_URGENT = 10  # per cent of a window: what goes back is not to wait behind everything else


class Limiter:
    """A bucket of requests for one Gate. Without a word from Gate about it there is no limit."""

    def __init__(self, clock: Clock, pause: Callable[[float], object] = time.sleep) -> None:
        self._clock = clock
        self._pause = pause
        self._lock = Lock()
        self._capacity = 0
        self._left: int | None = None
        self._ends = 0.0  # of the window, or of the rest, by the clock's monotonic reading
        self._refusals = 0

    def take(self, what: str, *, urgent: bool = False) -> None:
        """Count one request, after a wait where there is no room. Raises `Throttled` where the wait is too long."""
        waited = 0.0
        while wait := self._missing(urgent=urgent):
            if waited + wait > PATIENCE:
                until = self._clock.now() + timedelta(seconds=wait)
                raise Throttled(throttled(what, f"{until:%H:%M:%S} UTC"), timedelta(seconds=wait), answered=False)
            self._pause(wait)
            waited += wait

    def hear(self, status: int, headers: Mapping[str, str]) -> timedelta:
        """Learn from an answer. Gives how long nobody is to ask, where it was a 429."""
        reset = self._reset(headers)
        with self._lock:
            if status == 429:
                self._refusals += 1
                again = min(LONGEST_REST, REST * 2 ** min(self._refusals - 1, 10))
                self._left, self._ends = 0, self._clock.monotonic() + (reset or again)
                return timedelta(seconds=reset or again)
            self._refusals = 0
            self._note(headers, reset)
        return timedelta(0)

    def _missing(self, *, urgent: bool) -> float:
        """Seconds until there may be room; 0.0 where there is, and then the request is counted."""
        with self._lock:
            now = self._clock.monotonic()
            if self._left is not None and now >= self._ends:
                self._left = self._capacity or None  # a new window, of which nothing is known yet
            if self._left is None:
                return 0.0
            kept = 0 if urgent else self._capacity * KEPT_FOR_URGENT // 100
            if self._left <= kept and now < self._ends:
                return self._ends - now
            self._left -= 1
            return 0.0

    def _note(self, headers: Mapping[str, str], reset: float) -> None:
        capacity, left = _number(headers, "X-RateLimit-Capacity"), _number(headers, "X-RateLimit-Remaining")
        if capacity <= 0 or left < 0 or headers.get("X-RateLimit-Learning") == "true":
            return
        ends = self._clock.monotonic() + reset
        same_window = self._left is not None and ends < self._ends + 1
        self._capacity = capacity
        self._left = min(left, self._left) if same_window and self._left is not None else left
        self._ends = max(self._ends, ends) if same_window else ends

    def _reset(self, headers: Mapping[str, str]) -> float:
        """Seconds until the window ends, by Gate's own clock where it tells it; 0.0 where it says nothing of use."""
        if "X-RateLimit-Reset" not in headers:
            return float(max(0, min(_number(headers, "Retry-After"), LONGEST_REST)))
        ends = _date(headers["X-RateLimit-Reset"])
        now = _date(headers.get("Date", "")) or self._clock.now()
        return min(LONGEST_REST, max(0.0, (ends - now).total_seconds())) if ends is not None else 0.0


def _number(headers: Mapping[str, str], name: str) -> int:
    try:
        return int(headers.get(name, ""))
    except ValueError:
        return -1


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
