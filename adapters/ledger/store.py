"""The ledger, opened: one object that is both `Ledger` and `Queue`, at the schema of this version."""

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DatabaseError, NoSuchModuleError

from adapters.ledger.budget import Budgets
from adapters.ledger.commented import Commented
from adapters.ledger.database import Database
from adapters.ledger.dialects import LedgerError, check_url, lock_schema, parse_url, prepare
from adapters.ledger.feeds import Feeds
from adapters.ledger.figures import Figures
from adapters.ledger.history import History
from adapters.ledger.migrations.steps import bring_up, is_ready
from adapters.ledger.passes import Passes
from adapters.ledger.people import People
from adapters.ledger.places import Places
from adapters.ledger.queue import WorkQueue
from adapters.ledger.records import Records
from adapters.ledger.remembered import Encodings
from adapters.ledger.reports import Reports
from adapters.ledger.retention import Retention
from adapters.ledger.revisions import Revisions
from adapters.ledger.server import pooled
from adapters.ledger.statuses import Statuses
from adapters.ledger.telling import Telling
from reconciler.ports import Clock


class Store(
    WorkQueue,
    Records,
    Passes,
    Revisions,
    Feeds,
    Reports,
    Statuses,
    Telling,
    Places,
    Budgets,
    History,
    Commented,
    People,
    Retention,
    Figures,
):
    """Implements `reconciler.ports.Ledger`, `Queue` and `Budget` over one database. Safe to share between threads.

    Each parent is one room: it holds no state of its own but what is set here.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._begin()
        self._decoded = {}
        self._written = {}
        self._encodings = Encodings()

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()


def open_ledger(url: str, clock: Clock, connections: int = 20) -> Store:
    """The ledger at a SQLAlchemy URL, made or brought up to date where needed.

    `sqlite:///PATH` keeps it in a file (its folder is made); processes that open a new ledger at once
    wait for each other. `connections`: to PostgreSQL, at most; one more listens.
    Raises `LedgerError` with a sentence for a URL that cannot serve, a file that is no ledger, and a database that a
    newer version wrote and this one must not touch; `LedgerAway` for a server that does not answer.
    """
    engine = _engine(url, clock, connections)
    database = Database(engine, clock)
    try:
        with database.reading() as connection:
            ready = is_ready(connection)
        if not ready:
            with database.writing() as connection:
                lock_schema(connection)
                bring_up(connection)
    except DatabaseError as error:
        database.close()
        raise LedgerError(f"the ledger cannot be brought up to date: {error.orig}") from error
    except LedgerError:
        database.close()
        raise
    return Store(database)


def _engine(url: str, clock: Clock, connections: int) -> Engine:
    parsed = parse_url(url)
    check_url(parsed)
    try:
        shared = parsed.get_backend_name() == "postgresql"
        engine = pooled(parsed, connections) if shared else create_engine(parsed, max_overflow=-1)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise LedgerError(f"the driver of {parsed.drivername} is not installed: {error}") from error
    prepare(engine, clock)
    return engine
