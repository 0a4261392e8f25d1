"""One connection. uvicorn waits for ever for a request that comes byte by byte, and for an answer that nobody reads.

Here a request and its answer have so long, whoever is slow. Where there are too many connections the oldest ends, so
that connections which are only held open keep nobody out.
"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

SLOWEST = 15.0  # seconds from the end of one answer, or the beginning, to the end of the next
MOST = 512
AT_ONCE = 64  # connections taken from the system between two looks at how many there are


class Connection(H11Protocol):
    """uvicorn's protocol with an end."""

    _late: asyncio.TimerHandle | None = None
    began = 0.0
    ends = False  # true as soon as it was aborted: it is gone only in a later turn of the event loop

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
        there = [each for each in self.connections if isinstance(each, Connection) and not each.ends]
        if len(there) > MOST:
            min(there, key=lambda each: each.began).end()

    def end(self) -> None:
        """Now, whatever is still to be said."""
        self.ends = True
        self.transport.abort()

    def _hurry(self) -> None:
        self._calm()
        if self in self.connections:  # one that closes stays as long as nobody reads what it still has to say
            self._late = self.loop.call_later(SLOWEST, self.end)

    def _calm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
