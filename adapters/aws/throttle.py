"""As fast as AWS lets one, and no faster: calls take turns, more rarely after each refusal, and hurry up again slowly.

SNS takes 100 Subscribe and 100 Unsubscribe a second of an account and region (Service Quotas, Amazon SNS); of
CreateQueue no figure is published. Lists have a rate of their own: SNS takes 30 ListSubscriptionsByTopic a second.
Others use the same account, so a fifth is left to them.
"""

import random
import time
from collections.abc import Callable
from threading import Lock
from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.errors import is_throttled
from reconciler.ports import Clock

A_SECOND = 80.0  # calls
LISTS_A_SECOND = 25.0  # pages
SLOWEST = 1.0
RECOVERS = 0.05  # of the full rate, each second without a refusal
TRIES = 6
FIRST_PAUSE = 0.1  # seconds; doubled each time, with full jitter


class Throttle:
    """Turns of one service's calls in an account and region, shared by threads."""

    def __init__(self, clock: Clock, a_second: float = A_SECOND, pause: Callable[[float], object] = time.sleep) -> None:
        self.pause = pause
        self._clock = clock
        self._full = self._rate = a_second
        self._next = 0.0
        self._slowed_at = 0.0
        self._lock = Lock()

    def take(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            now = self._clock.monotonic()
            at = max(now, self._next)
            self._next = at + 1 / self._rate_at(now)
        if at > now:
            self.pause(at - now)

    def slow(self) -> None:
        """AWS refused one: half as fast from now on. Refusals of one second, of calls side by side, count once."""
        with self._lock:
            now = self._clock.monotonic()
            rate = self._rate_at(now)
            if now - self._slowed_at >= 1.0 or rate == self._full:
                self._rate, self._slowed_at = max(SLOWEST, rate / 2), now

    def _rate_at(self, now: float) -> float:
        return min(self._full, self._rate + self._full * RECOVERS * (now - self._slowed_at))


class Paced:
    """A client of boto3 whose every request takes its turn, and is made again where AWS throttles it.

    Only for requests that may be repeated, and for lists that the caller pages through by hand: a paginator's requests
    would take no turns. `before` is called before each: it raises where nothing may be sent. When `is_over` no request
    is made again. `lists` are the turns of `list_...`.
    """

    def __init__(
        self,
        client: Any,
        throttle: Throttle,
        before: Callable[[], object],
        *,
        lists: Throttle | None = None,
        is_over: Callable[[], bool] = bool,
    ) -> None:
        self._client = client
        self._throttle = throttle
        self._lists = lists or throttle
        self._before = before
        self._is_over = is_over

    def __getattr__(self, name: str) -> Any:
        """The client's own method of that name, in turns."""
        method = getattr(self._client, name)
        throttle = self._lists if name.startswith("list_") else self._throttle
        return lambda *args, **said: self._call(throttle, method, *args, **said)

    def _call(self, throttle: Throttle, method: Callable[..., Any], *args: Any, **said: Any) -> Any:
        for tried in range(1, TRIES + 1):
            throttle.take()
            self._before()
            try:
                return method(*args, **said)
            except ClientError as error:
                if not is_throttled(error):
                    raise
                throttle.slow()
                if tried == TRIES or self._is_over():
                    raise
            throttle.pause(random.uniform(0, FIRST_PAUSE * 2**tried))
        raise AssertionError("a loop that returns or raises")
