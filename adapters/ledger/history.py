"""Each fleet's append-only log, hash-chained so that a changed, missing or slipped-in line is noticed (DESIGN 9).

A line's hash is SHA-256 over the hash before it and the line's canonical JSON. The chain's two ends are kept apart in
`chains`: pruning moves the beginning, appending the end.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select

from adapters.ledger.codec import canonical, plain
from adapters.ledger.database import Database
from adapters.ledger.dialects import Upsert, micros, moment, sound
from adapters.ledger.tables import chains, events
from desired_state.model import FleetName
from reconciler.record import Event

BEGINNING = "0" * 64
_CHAIN = select(chains).where(chains.c.fleet == bindparam("fleet"))
_HELD_CHAIN = _CHAIN.with_for_update()
_LINES = insert(events)
_ENDS = Upsert(chains, "last_sequence", "last_hash")


def append(connection: Connection, fleet: FleetName, lines: Sequence[Event]) -> None:
    """Add lines to a fleet's history within a transaction."""
    if not lines:
        return
    chain = connection.execute(_HELD_CHAIN, {"fleet": fleet}).first()
    sequence, previous = (chain.last_sequence, chain.last_hash) if chain else (0, BEGINNING)
    rows = []
    for line in lines:
        sequence += 1
        row = _row(fleet, sequence, previous, line)
        rows.append(row)
        previous = row["hash"]
    connection.execute(_LINES, rows)
    begun = {"fleet": fleet, "first_sequence": 0, "first_hash": BEGINNING}
    _ENDS.run(connection, {**begun, "last_sequence": sequence, "last_hash": previous})


def _row(fleet: FleetName, sequence: int, previous: str, line: Event) -> dict[str, Any]:
    row = {
        "fleet": fleet,
        "sequence": sequence,
        "kind": sound(line.kind),
        "message": sound(line.message),
        "at": micros(line.at),
        "data": canonical(line.data, "an event"),
    }
    return {**row, "previous": previous, "hash": chained(previous, row)}


def chained(previous: str, line: dict[str, Any]) -> str:
    """The hash of a line that follows `previous`, in 64 hexadecimal characters."""
    return hashlib.sha256(f"{previous}\n{canonical(line, 'an event')}".encode()).hexdigest()


class History:
    """Reading and checking what was appended."""

    _database: Database

    def history(self, fleet: FleetName, limit: int) -> Sequence[Event]:
        """The newest lines, newest first."""
        newest = select(events).where(events.c.fleet == fleet).order_by(events.c.sequence.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_event(row) for row in connection.execute(newest)]

    def verify_history(self, fleet: FleetName) -> int | None:
        """None for an untouched history, else the number of the first line that is not what was written.

        Lines count from 1 and keep their number when older ones are pruned. What nobody notices is a whole log that
        was written anew, chain ends and all: for that, keep a hash elsewhere.
        """
        with self._database.reading() as connection:
            chain = connection.execute(_CHAIN, {"fleet": fleet}).first()
            lines = connection.execute(select(events).where(events.c.fleet == fleet).order_by(events.c.sequence)).all()
        sequence, previous = (chain.first_sequence, chain.first_hash) if chain else (0, BEGINNING)
        for row in lines:
            sequence += 1
            if row.sequence != sequence or row.previous != previous or row.hash != chained(previous, _covered(row)):
                return sequence
            previous = row.hash
        ended = (chain.last_sequence, chain.last_hash) if chain else (0, BEGINNING)
        return None if (sequence, previous) == ended else sequence + 1


def _covered(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("fleet", "sequence", "kind", "message", "at", "data")}


def _event(row: Row[Any]) -> Event:
    return Event(kind=row.kind, message=row.message, at=moment(row.at), data=plain(row.data))
