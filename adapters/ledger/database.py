"""One engine, two kinds of transaction, and the bell that wakes sleepers of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from sqlalchemy import Connection, Engine

from adapters.ledger.dialects import WRITES, one_writer, reading_options
from reconciler.ports import Clock

_DUE = "fairlead_due"  # in a connection's info: names became due in this transaction


class Bell:
    """Counts how often names became due in this process, and lets threads sleep until the next time."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._count = 0

    @property
    def count(self) -> int:
        """Remember it before looking; `sleep` returns at once when it has moved on."""
        return self._count

    def ring(self) -> None:
        """Wake every sleeper."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def sleep(self, heard: int, seconds: float) -> None:
        """Until the bell rings after `heard`, at the longest so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != heard, timeout=seconds)


class Database:
    """Transactions of one ledger. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.clock = clock
        self.bell = Bell()
        self._reader = engine.execution_options(**reading_options(engine.dialect))
        self._writer = engine.execution_options(**{WRITES: True})
        self._one_writer = one_writer(engine)
        self._engine = engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Several SELECTs of one moment."""
        with self._reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All or nothing. Rings the bell after the commit where names became due."""
        with self._one_writer, self._writer.begin() as connection:
            info = connection.info
            info.pop(_DUE, None)
            yield connection
        if info.pop(_DUE, False):
            self.bell.ring()

    def close(self) -> None:
        """Give the connections back. A closed ledger opens them again when it is used."""
        self._engine.dispose()


def will_ring(connection: Connection) -> None:
    """Names became due in this transaction: its end wakes the sleepers."""
    connection.info[_DUE] = True
