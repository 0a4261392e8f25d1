"""When a feed is read again: at its interval while all is well, later and later while it is not."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from reconciler.ports import Clock

LONGEST = timedelta(minutes=5)


class Pacing:
    """Times of the next reads by name. Failures in a row are remembered in this process only."""

    def __init__(
        self,
        clock: Clock,
        interval: timedelta,
        jitter: Callable[[], float] = random.random,
        longest: timedelta = LONGEST,
    ) -> None:
        self._clock = clock
        self._interval = interval
        self._longest = longest
        self._jitter = jitter
        self._failures: dict[str, int] = {}

    def succeeded(self, name: str) -> datetime:
        """The next read after a good one."""
        self._failures.pop(name, None)
        return self._clock.now() + self._interval

    def failed(self, name: str) -> datetime:
        """The next read after a failed one: full jitter over a doubling, capped span, and never before the interval."""
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        span = min(self._longest, self._interval * (1 << min(failures, 10)))
        return self._clock.now() + max(self._interval, span * self._jitter())
