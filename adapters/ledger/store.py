"""The ledger, opened: one object that is both `Ledger` and `Queue`, at the schema of this version."""

from threading import local

from sqlalchemy import Connection, Engine, create_engine, inspect, make_url, text
from sqlalchemy.exc import DatabaseError, NoSuchModuleError

from adapters.ledger.budget import Budgets
from adapters.ledger.database import Database
from adapters.ledger.dialects import LedgerError, check_url, lock_schema, prepare
from adapters.ledger.feeds import Feeds
from adapters.ledger.history import History
from adapters.ledger.migrations.steps import HEAD, STEPS, upgrade
from adapters.ledger.passes import Passes
from adapters.ledger.people import People
from adapters.ledger.queue import WorkQueue
from adapters.ledger.records import Records
from adapters.ledger.reports import Reports
from adapters.ledger.retention import Retention
from adapters.ledger.revisions import Revisions
from adapters.ledger.statuses import Statuses
from reconciler.ports import Clock


class Store(WorkQueue, Records, Passes, Revisions, Feeds, Reports, Statuses, Budgets, History, People, Retention):
    """Implements `reconciler.ports.Ledger`, `Queue` and `Budget` over one database. Safe to share between threads.

    Each parent is one room: it holds no state of its own but what is set here.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks = local()
        self._decoded = {}
        self._digests = {}

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()


def open_ledger(url: str, clock: Clock) -> Store:
    """The ledger at a SQLAlchemy URL, made or brought up to date where needed.

    `sqlite:///PATH` keeps it in a file (its folder is made); processes that open a new file at once
    wait for each other.
    Raises `LedgerError` with a sentence for a URL that cannot serve, a file that is no ledger, and a database that a
    newer version wrote.
    """
    engine = _engine(url, clock)
    database = Database(engine, clock)
    try:
        with database.writing() as connection:
            lock_schema(connection)
            _migrate(connection)
    except DatabaseError as error:
        database.close()
        raise LedgerError(f"the ledger cannot be brought up to date: {error.orig}") from error
    except LedgerError:
        database.close()
        raise
    return Store(database)


def _engine(url: str, clock: Clock) -> Engine:
    parsed = make_url(url)
    check_url(parsed)
    try:
        engine = create_engine(parsed, max_overflow=-1)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise LedgerError(f"the driver of {parsed.drivername} is not installed: {error}") from error
    prepare(engine, clock)
    return engine


def _migrate(connection: Connection) -> None:
    present = _revision(connection)
    if present is not None and present not in STEPS:
        raise LedgerError(
            f"the ledger is at schema {present}, which is newer than this version of Fairlead knows ({HEAD}): "
            "run the newer version, or name another ledger"
        )
    if present != HEAD:
        upgrade(connection)


def _revision(connection: Connection) -> str | None:
    """The schema's step; None for a database that never was a ledger."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
