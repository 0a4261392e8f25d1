"""Turns at what only so many may do at once, with a share that nobody who comes from one address can exceed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoTurn(Exception):
    """None became free in time."""


class Turns:
    """At most `most` at once, and `each` of one peer. For one event loop."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._held: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def turn(self, peer: str, within: float) -> AsyncIterator[None]:
        """One turn, for as long as the block takes. Raises `NoTurn` where none is free within so many seconds."""
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(lambda: self._is_free(peer))
                self._held[peer] += 1
        except TimeoutError:
            raise NoTurn from None
        try:
            yield
        finally:
            self._held -= Counter([peer])  # who holds none any more is forgotten
            async with self._changed:
                self._changed.notify_all()

    def _is_free(self, peer: str) -> bool:
        return self._held.total() < self._most and self._held[peer] < self._each
