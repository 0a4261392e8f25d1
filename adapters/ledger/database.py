"""One engine, two kinds of transaction, and the bell that wakes sleepers of this process.

A transaction that ends in `LedgerAway` wrote all or nothing, and where the connection was lost at the commit nobody
knows which. Every writer is safe both ways: it says in its docstring what a repetition finds.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import uuid4

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from adapters.ledger import marks
from adapters.ledger.bell import Bell
from adapters.ledger.dialects import WRITES, Away, is_away, is_shared, one_writer, place_of, reading_options
from adapters.ledger.listener import Listener
from adapters.ledger.server import CHANNEL, POOL_SECONDS
from reconciler.ports import Clock

_RINGS = "fairlead_rings"  # in a connection's info: families of which names became due in this transaction
_TELL = text("SELECT pg_notify(:channel, :voice || ' ' || family) FROM unnest(CAST(:families AS text[])) AS family")
_LOSE = "SET LOCAL synchronous_commit TO off"


class Database:
    """Transactions of one ledger. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.clock = clock
        self.bell = Bell()
        self._reader = engine.execution_options(**reading_options(engine.dialect))
        self._writer = engine.execution_options(**{WRITES: True})
        self._one_writer = one_writer(engine)
        self._engine = engine
        self._voice = uuid4().hex  # whose notifications these are: our own rang here already
        shared = is_shared(engine.dialect)
        self._listener = Listener(engine, self.bell, self._voice) if shared else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Several SELECTs of one moment. Raises `LedgerAway`."""
        with self._sentences(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, may_be_lost: bool = False) -> Iterator[Connection]:
        """All or nothing. Rings the bell after the commit where names became due, here and in every other process.

        `may_be_lost`: the server need not wait for its disk, and may forget this transaction, whole, when it crashes
        within the next second. Later transactions that wait are never kept without the earlier ones.
        Raises `LedgerAway`.
        """
        with self._sentences(), self._one_writer, self._writer.begin() as connection:
            info = connection.info
            info.pop(_RINGS, None)
            marks.begin(connection)
            if may_be_lost and self._listener is not None:
                connection.exec_driver_sql(_LOSE)
            yield connection
            families: list[str] = sorted({*marks.write(connection), *info.pop(_RINGS, ())})
            if families and self._listener is not None:
                connection.execute(_TELL, {"channel": CHANNEL, "voice": self._voice, "families": families})
        if families:
            self.bell.ring(families)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except PoolExhausted as error:
            raise Away(
                f"{place_of(self._engine)}: all connections of this process were in use for {POOL_SECONDS} s; "
                "raise ledger_connections"
            ) from error
        except DBAPIError as error:
            if not is_away(error):
                raise
            raise Away(f"{place_of(self._engine)}: {' '.join(str(error.orig).split())}") from error

    def hears_others(self) -> bool:
        """True while names that other processes make due ring here at once. Begins to listen when first asked."""
        if self._listener is None:
            return False
        self._listener.start()
        return self._listener.is_listening

    def close(self) -> None:
        """Give the connections back. A closed ledger opens them again when it is used."""
        if self._listener is not None:
            self._listener.close()
        self._engine.dispose()


def will_ring(connection: Connection, families: Iterable[str]) -> None:
    """Names of these families were given back in this transaction: its end wakes who sleeps for them."""
    connection.info.setdefault(_RINGS, set()).update(families)
