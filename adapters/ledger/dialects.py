"""Everything in which the two engines differ, and how SQLite is made ready. Only `server.py` names an engine beside it.

SQLite is the embedded ledger, PostgreSQL the shared one. Two differences need no code: SQLite has no row locks
(SQLAlchemy leaves `FOR UPDATE SKIP LOCKED` out there; `BEGIN IMMEDIATE` lets one writer in), and both know
`INSERT ... ON CONFLICT` and `RETURNING`.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Lock
from typing import Any

from sqlalchemy import URL, BigInteger, Connection, Engine, Insert, Table, Text, TypeDecorator, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from reconciler.ports import Clock, LedgerAway

BUSY_SECONDS = 15  # how long a writer of one process waits for a writer of another
_LOOKS = (0.002, 0.05)  # seconds until it looks again, at the longest: at first, and after half a second
_PATIENT = f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}"
WRITES = "fairlead_writes"  # execution option of a connection that is about to write
_MIGRATING, _PLACING, _HEADING = 715_246_001, 715_246_002, 715_246_003  # any numbers, the same in every replica
_TURN = text("SELECT pg_advisory_xact_lock(:number)")
_TOGETHER = text("SELECT pg_advisory_xact_lock_shared(:number)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class LedgerError(SQLAlchemyError):
    """The ledger cannot be used; the message is a sentence that names the fix.

    It is a SQLAlchemyError so that who guards against a database that is away meets it in the same place.
    """


def micros(at: datetime) -> int:
    """Microseconds since 1970: the one representation of time in every table."""
    return (at - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The aware UTC time of `micros`."""
    return _EPOCH + value * _MICROSECOND


class Away(LedgerError, LedgerAway):
    """The database does not answer now, or not in time. Nothing is wrong with what was asked."""


def sound(words: str) -> str:
    """Text that both engines take: U+FFFD for what no database can hold, NUL and halves of surrogate pairs.

    What a host or a forge says must not stop a feed, and what is compared later is compared in this form.
    """
    if words.isascii() and "\0" not in words:
        return words
    return words.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class Words(TypeDecorator[str]):
    """Text, made sound on its way in."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it is kept."""
        return None if value is None else sound(value)


class Now(FunctionElement[int]):
    """The database's clock, in microseconds. An embedded database lives on this host, so there its clock is ours."""

    name = "fairlead_now"
    type = BigInteger()
    inherit_cache = True


@compiles(Now)
def _now_of_the_host(element: Now, compiler: SQLCompiler, **_: Any) -> str:  # noqa: ARG001
    return "(SELECT fairlead_now())"  # a subquery is asked once a statement, a bare call once a row


@compiles(Now, "postgresql")
def _now_of_the_server(element: Now, compiler: SQLCompiler, **_: Any) -> str:  # noqa: ARG001
    return "(SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT))"


def excluded(table: Table) -> Any:
    """Columns of the row that an `Upsert` was to insert."""
    return table.alias("excluded").c


class Upsert:
    """INSERT of rows, or a change of those that are there. Built once for each engine, not once a call.

    `taken` are the columns that take what the new row has, `changes` what others become; with neither, a row that is
    there stays as it is. `key`: what rows are known by, if not by the primary key. `values`: expressions of a new row.
    """

    def __init__(
        self,
        table: Table,
        *taken: str,
        key: Sequence[str] = (),
        values: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> None:
        new = excluded(table)
        known_by = [table.c[name] for name in key] or list(table.primary_key)
        set_ = {name: new[name] for name in taken} | changes
        self._built: dict[bool, Insert] = {}
        for shared, insert in ((True, postgresql.insert(table)), (False, sqlite.insert(table))):
            rows = insert.values(values) if values else insert
            upsert = (
                rows.on_conflict_do_update(index_elements=known_by, set_=set_)
                if set_
                else rows.on_conflict_do_nothing()
            )
            self._built[shared] = upsert

    def run(self, connection: Connection, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """One row or many, in their order."""
        connection.execute(self._built[is_shared(connection.dialect)], rows)


def is_shared(dialect: Dialect) -> bool:
    """True for the server that many hosts write to."""
    return dialect.name == "postgresql"


def reading_options(dialect: Dialect) -> dict[str, Any]:
    """What makes several SELECTs see one moment. SQLite's WAL gives that to every transaction."""
    return {"isolation_level": "REPEATABLE READ"} if is_shared(dialect) else {}


# PostgreSQL's SQLSTATEs: a transaction that stood still too long, or took too long; a server that became a standby.
_CUT_OFF = frozenset({"25P03", "25P04", "25006"})
# SQLite's result codes (sqlite.org/rescode.html): BUSY, LOCKED, IOERR, FULL, CANTOPEN.
_CUT_OFF_HERE = frozenset({5, 6, 10, 13, 14})


def is_away(error: DBAPIError) -> bool:
    """True where the same may go well later: lost, restarting, busy, full; false where what was asked is wrong.

    The driver of PostgreSQL gives OperationalError for a lost connection and for the SQLSTATE classes 08, 40, 53, 55,
    57 and 58: trouble of the server, never of the statement.
    """
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _CUT_OFF_HERE
    if getattr(error.orig, "sqlstate", None) in _CUT_OFF:
        return True
    return isinstance(error, OperationalError | InterfaceError) and not isinstance(error.orig, sqlite3.Error)


def place_of(engine: Engine) -> str:
    """Where the ledger is, for people: never with a password."""
    url = engine.url
    if not is_shared(engine.dialect):
        return str(url.database)
    hosts = url.host or url.query.get("host") or "its socket"
    return f"PostgreSQL at {hosts if isinstance(hosts, str) else ','.join(hosts)}, database {url.database}"


def lock_schema(connection: Connection) -> None:
    """Let one process migrate at a time, as long as it takes. On SQLite the write transaction itself does so."""
    if is_shared(connection.dialect):
        line: Any = connection.connection.driver_connection
        line.patience = None  # of `patience.PatientConnection`, until it is given back
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SET LOCAL lock_timeout = 0"))
        connection.execute(_TURN, {"number": _MIGRATING})


def take_turns(connection: Connection) -> None:
    """Let one transaction at a time make several new places of the outbox, each in an order of its own."""
    if is_shared(connection.dialect):
        connection.execute(_TURN, {"number": _PLACING})


def keep_heads(connection: Connection, *, alone: bool) -> None:
    """Until the transaction ends: many may say words on the heads that are known, or one alone may make heads known."""
    if is_shared(connection.dialect):
        connection.execute(_TURN if alone else _TOGETHER, {"number": _HEADING})


def parse_url(text: str) -> URL:
    """A SQLAlchemy URL. Raises `LedgerError`, which does not repeat it: it may hold a password."""
    try:
        return make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number, as of a list of hosts
        raise LedgerError(
            "the ledger's URL cannot be read; write sqlite:///PATH, postgresql+psycopg://USER:PASSWORD@HOST:5432/NAME, "
            "or for several hosts postgresql+psycopg://USER:PASSWORD@/NAME?host=HOST1:5432&host=HOST2:5432"
        ) from None


def hosts_of(url: URL) -> list[str]:
    """The hosts of a PostgreSQL, as `HOST:PORT` where the URL gives the port; none where it is a socket of this one."""
    if url.host:
        host = f"[{url.host}]" if ":" in url.host else url.host
        return [f"{host}:{url.port}" if url.port else host]
    named = url.query.get("host", ())
    hosts = [host for each in ([named] if isinstance(named, str) else named) for host in each.split(",")]
    return [host for host in hosts if host and not host.startswith("/")]


def check_url(url: URL) -> None:
    """Refuse what cannot serve as a ledger. Raises `LedgerError`."""
    engine = url.get_backend_name()
    if engine not in {"sqlite", "postgresql"}:
        raise LedgerError(f"{engine} cannot keep the ledger: write sqlite:///PATH or postgresql+psycopg://HOST/NAME")
    if engine == "sqlite" and url.database in {None, "", ":memory:"}:
        raise LedgerError("a ledger in memory would be lost with the process: write sqlite:///PATH with a file's path")


def prepare(engine: Engine, clock: Clock) -> None:
    """Make every connection of the engine ready. On SQLite: our clock, our transactions, WAL."""
    if is_shared(engine.dialect):
        return
    Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
    event.listen(engine, "connect", lambda connection, _: _ready(connection, clock))
    event.listen(engine, "begin", _begin)
    _turn_wal_on(engine)


def _ready(connection: sqlite3.Connection, clock: Clock) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin` does
    connection.create_function("fairlead_now", 0, lambda: micros(clock.now()))
    connection.execute(_PATIENT)
    connection.execute("PRAGMA foreign_keys = ON")
    # NORMAL: a killed process loses nothing; a power cut may lose the last transactions, never the file. A lost intent
    # has a key that the next pass derives again, and the other system is asked for it before anything is started.
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get(WRITES):
        connection.exec_driver_sql("BEGIN")
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        _patiently(lambda: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    finally:
        driver.execute(_PATIENT)


def _turn_wal_on(engine: Engine) -> None:
    """WAL stays with the file. SQLite does not wait for other openers here, so we do (sqlite.org/wal.html, 'busy')."""
    try:
        connection = engine.raw_connection()
        try:
            _patiently(lambda: connection.cursor().execute("PRAGMA journal_mode = WAL"))
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{engine.url.database}: {error}; name a file that Fairlead made, or a new one") from error


def _patiently(action: Callable[[], object]) -> None:
    """SQLite itself looks again after up to 0.1 s, and then finds the next writer in: we look sooner, and unevenly."""
    began, (first, last) = time.monotonic(), _LOOKS
    while True:
        try:
            action()
        except (OperationalError, sqlite3.OperationalError) as error:
            waited = time.monotonic() - began
            if "locked" not in str(error) or waited > BUSY_SECONDS:
                raise
            Event().wait(random.random() * min(max(first, waited / 10), last))
        else:
            return


def one_writer(engine: Engine) -> AbstractContextManager[object]:
    """SQLite lets one writer in and wakes the waiting ones late; between threads of a process a lock is fairer."""
    return nullcontext() if is_shared(engine.dialect) else Lock()
