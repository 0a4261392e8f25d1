"""One blocking question for many who ask: one thread is in it at a time, and its answer serves everybody for a while.

So no flood of requests becomes a flood of queries, and a ledger that hangs holds one thread, not one a request.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from reconciler.ports import Clock

T = TypeVar("T")
PATIENCE = 1.0  # seconds that a request waits for an answer


class Away(Exception):
    """The ledger failed, or did not answer in time."""


class Question(Generic[T]):
    """Asks when an answer is wanted and the last one is older than `fresh` seconds."""

    def __init__(self, ask: Callable[[], T], clock: Clock, fresh: float) -> None:
        self._ask, self._clock, self._fresh = ask, clock, fresh
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="question")
        self._lock = Lock()
        self._asked: Future[T] | None = None
        self._asked_at = 0.0

    async def answer(self, patience: float = PATIENCE) -> T:
        """The answer. Raises `Away`."""
        return await in_time(self._now_or_shared(), patience)

    def _now_or_shared(self) -> Future[T]:
        with self._lock:
            now = self._clock.monotonic()
            if self._asked is None or (self._asked.done() and now - self._asked_at >= self._fresh):
                self._asked, self._asked_at = self._thread.submit(self._ask), now
            return self._asked

    def close(self) -> None:
        """Ask nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


async def in_time(future: Future[T], patience: float = PATIENCE) -> T:
    """What a thread is working out for several who wait. Raises `Away` where it fails or takes too long."""
    try:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), patience)
    except (TimeoutError, SQLAlchemyError, OSError) as error:
        raise Away(str(error)) from error
