"""One connection. uvicorn waits for ever for a request that comes byte by byte, and for an answer that nobody reads.

Here a request and its answer have so long, whoever is slow. Where there are too many connections the oldest ends, so
that connections which are only held open keep nobody out.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SLOWEST = 15.0  # seconds from the end of one answer, or the beginning, to the end of the next
MOST = 512


class Connection(H11Protocol):
    """uvicorn's protocol with an end."""

    _late: asyncio.TimerHandle | None = None
    began = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is here."""
        super().connection_made(transport)
        self.began = self.loop.time()
        self._make_room()
        self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._calm()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """The next request has its own time."""
        super().on_response_complete()
        self._hurry()

    def _make_room(self) -> None:
        others: list[Any] = [each for each in self.connections if each is not self]
        if len(others) >= MOST:
            min(others, key=lambda each: each.began).transport.abort()

    def _hurry(self) -> None:
        self._calm()
        if not self.transport.is_closing():
            self._late = self.loop.call_later(SLOWEST, self.transport.abort)

    def _calm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
