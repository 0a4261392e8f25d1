"""The host's time: by the calendar for orders and reports, and seconds that pass evenly for everything that waits."""

import random
import time
from datetime import UTC, datetime
from typing import Protocol

SPREAD = 0.2  # an interval is stretched or shortened by up to this share: hosts that began together drift apart


class Clock(Protocol):
    """Time, passed in so that tests own it."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment of the past."""
        ...


class HostClock:
    """This machine's."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the agent's one place that may

    def monotonic(self) -> float:
        """Seconds since some moment of the past, whatever happens to the calendar."""
        return time.monotonic()


def jittered(seconds: float) -> float:
    """An interval, give or take a fifth."""
    return seconds * random.uniform(1 - SPREAD, 1 + SPREAD)
