"""Before a controller acts, its ledger knows the heads of today.

A ledger that was restored from a copy, or a server that lagged behind its failed primary, wishes an older commit, and
would take every newer version for drift. Waiting costs one question to each repository where nothing is behind.
"""

from collections.abc import Sequence
from datetime import timedelta
from threading import Event
from typing import Protocol

from adapters.feeds.repositories import Repositories, feed
from desired_state.model import Sha
from fairlead.wiring import Parts

PATIENCE = timedelta(minutes=2)  # a first read of ten thousand fleets takes seconds
LOOK_AGAIN = 0.2  # seconds: another controller may be reading the head


class Reads(Protocol):
    """Whoever runs what is due."""

    def drain(self, families: Sequence[str]) -> int: ...


def catch_up(parts: Parts, names: Sequence[str], loop: Reads, stop: Event) -> bool:
    """Read what the ledger lacks. False where it gave up: a remote that cannot be read keeps nobody from healing."""
    wanted = _remote(parts.repositories, names)
    clock, ledger = parts.world.clock, parts.ledger
    until = clock.monotonic() + PATIENCE.total_seconds()
    tried = False  # a trouble that stood there before may be of another day
    while not stop.is_set():
        heads, troubles = ledger.heads(), ledger.troubles()
        behind = [name for name, head in wanted.items() if heads.get(name) != head]
        if not behind:
            return True
        if (tried and all(feed(name) in troubles for name in behind)) or clock.monotonic() > until:
            return False
        ledger.add([f"repository:{name}" for name in behind])
        if loop.drain(("repository",)):
            tried = True
        else:
            stop.wait(LOOK_AGAIN)
        wanted |= _remote(parts.repositories, behind)  # it may have moved on meanwhile
    return False


def _remote(repositories: Repositories, names: Sequence[str]) -> dict[str, Sha]:
    found = {name: repositories.remote_head(name) for name in names}
    return {name: head for name, head in found.items() if head is not None}
