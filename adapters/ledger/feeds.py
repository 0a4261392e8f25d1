"""What feeds read in bulk: each fleet's part where it changed, and what keeps a feed from reading."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, select

from adapters.ledger.codec import canonical
from adapters.ledger.database import Database
from adapters.ledger.dialects import Upsert, micros
from adapters.ledger.lease import pass_fence
from adapters.ledger.queue import make_due
from adapters.ledger.records import chunks
from adapters.ledger.tables import feeds, snapshots
from desired_state.model import FleetName
from reconciler.ports import Lease

_OF_FEED = snapshots.c.feed == bindparam("feed")
_FLEETS: BindParameter[Any] = bindparam("fleets", expanding=True)
_DIGESTS = select(snapshots.c.fleet, snapshots.c.digest).where(_OF_FEED)
_PARTS = Upsert(snapshots, "digest", "body", "read_at")
_GONE = delete(snapshots).where(_OF_FEED, snapshots.c.fleet.in_(_FLEETS))
_TROUBLE = select(feeds.c.trouble).where(feeds.c.name == bindparam("name"))
_READ = Upsert(feeds, "read_at", "trouble", "tried_at")
_TROUBLED = Upsert(feeds, "trouble", "tried_at")


def note_read(connection: Connection, feed: str, read_at: int, now: datetime) -> None:
    """The feed was read just now; it has no trouble. `read_at`: microseconds since 1970."""
    _READ.run(connection, {"name": feed, "read_at": read_at, "trouble": None, "tried_at": micros(now)})


class Feeds:
    """Writing snapshots and trouble."""

    _database: Database

    def record_snapshots(
        self, lease: Lease, feed: str, by_fleet: Mapping[FleetName, Mapping[str, Any]], read_at: datetime
    ) -> tuple[FleetName, ...]:
        """Store a feed's parts where they changed; a fleet no longer named loses its part.

        Gives the changed fleets, in order, and makes them due. Clears the feed's trouble: then every fleet with a part
        in it is due, because it may have been held for the trouble. A quiet read writes the feed's own row only.
        Raises `LeaseLost`; then nothing was written. After `LedgerAway` read again: what was written is no news.
        """
        bodies = {name: canonical(body) for name, body in by_fleet.items()}
        parts = {name: (hashlib.sha256(text.encode()).hexdigest(), text) for name, text in bodies.items()}
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            known: dict[str, str] = {row.fleet: row.digest for row in connection.execute(_DIGESTS, {"feed": feed})}
            fresh = [name for name, (digest, _) in parts.items() if known.get(name) != digest]
            gone = [name for name in known if name not in parts]
            _upsert(connection, feed, {name: parts[name] for name in fresh}, read_at)
            _remove(connection, feed, gone)
            recovered = connection.scalar(_TROUBLE, {"name": feed}) is not None
            due = {*parts, *gone} if recovered else {*fresh, *gone}
            make_due(connection, [f"fleet:{name}" for name in due])
            note_read(connection, feed, micros(read_at), self._database.clock.now())
        return tuple(sorted({*fresh, *gone}))

    def record_trouble(self, lease: Lease, feed: str, message: str) -> None:
        """The feed could not be read; fleets see it in `Record.trouble`. The parts stay, with their age."""
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            now = micros(self._database.clock.now())
            _TROUBLED.run(connection, {"name": feed, "trouble": message, "tried_at": now})


def _upsert(connection: Connection, feed: str, parts: Mapping[FleetName, tuple[str, str]], read_at: datetime) -> None:
    rows = [
        {"fleet": name, "feed": feed, "digest": digest, "body": body, "read_at": micros(read_at)}
        for name, (digest, body) in sorted(parts.items())
    ]
    if rows:
        _PARTS.run(connection, rows)


def _remove(connection: Connection, feed: str, names: Iterable[FleetName]) -> None:
    for chunk in chunks(names):
        connection.execute(_GONE, {"feed": feed, "fleets": chunk})
