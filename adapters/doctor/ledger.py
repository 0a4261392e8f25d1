"""The ledger, looked at without bringing it up to date: engine, schema, room, and the clock that leases live by."""

import getpass
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from adapters.doctor.findings import About, Finding
from adapters.ledger.dialects import LedgerError, check_url, hosts_of, moment, parse_url
from adapters.ledger.migrations.steps import HEAD, STEPS
from reconciler.ports import Clock

ABOUT = About(check="ledger", name="ledger")
SPARE = 20  # connections that others should find free
SKEW = timedelta(seconds=5)
CONNECT_SECONDS = 5
_FACTS = """
    SELECT current_setting('server_version'), current_setting('max_connections')::int,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
           pg_is_in_recovery(), current_setting('default_transaction_read_only'),
           pg_database_size(current_database()),
           CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT),
           has_schema_privilege(current_schema(), 'CREATE'), to_regclass('alembic_version') IS NOT NULL
"""


class LedgerLook:
    """Opens the ledger for reading only, again for each look."""

    def __init__(self, url: str, clock: Clock, *, connections: int) -> None:
        self._url = url
        self._clock = clock
        self._wanted = connections

    def check(self) -> Iterator[Finding]:
        """Everything that is to be said of it."""
        try:
            parsed = parse_url(self._url)
            check_url(parsed)
            yield from self._file(parsed) if parsed.get_backend_name() == "sqlite" else self._server(parsed)
        except LedgerError as error:
            yield ABOUT.refused(str(error))
        except (NoSuchModuleError, ModuleNotFoundError):
            yield ABOUT.trouble(f"the driver of {parsed.drivername} is not installed", "write postgresql+psycopg://")
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            said = " ".join(str(getattr(error, "orig", None) or error).split())
            yield ABOUT.unreachable(
                f"the ledger cannot be read: {said}", "correct `ledger` and `state` in the settings"
            )

    def rows(self, question: str) -> Sequence[Any] | None:
        """The answer to a SELECT; None where there is no ledger yet. Raises what the drivers raise."""
        parsed = parse_url(self._url)
        if parsed.get_backend_name() == "sqlite":
            path = Path(parsed.database or "")
            if not path.is_file():
                return None
            with closing(_read_only(path)) as file:
                return file.execute(question).fetchall()
        with _connected(parsed) as connection:
            return connection.execute(text(question)).fetchall()

    # ── a file ──

    def _file(self, url: URL) -> Iterator[Finding]:
        path = Path(url.database or "").absolute()
        user = getpass.getuser()
        if not path.exists():
            yield self._not_there(path, user)
            return
        with closing(_read_only(path)) as file:
            mode = str(file.execute("PRAGMA journal_mode").fetchone()[0])
            found = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
            present = file.execute("SELECT version_num FROM alembic_version").fetchone() if found else None
        size = sum(each.stat().st_size for each in (path, path.with_name(f"{path.name}-wal")) if each.exists())
        yield _schema(
            present[0] if present else None, f"SQLite {sqlite3.sqlite_version} ({mode}), {_mib(size)}, {path}"
        )
        if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            yield ABOUT.trouble(
                f"{user} may not write {path} or its folder",
                "chown them to who runs Fairlead, or run this as that user",
            )

    def _not_there(self, path: Path, user: str) -> Finding:
        there = next(folder for folder in path.parents if folder.exists())
        if os.access(there, os.W_OK):
            return ABOUT.ok(f"{path} is not there yet; the first start makes it")
        return ABOUT.trouble(
            f"{path} is not there, and {user} may not make it in {there}",
            "make the folder of `state` for the user that runs Fairlead, or run this as that user",
        )

    # ── a server ──

    def _server(self, url: URL) -> Iterator[Finding]:
        with _connected(url) as connection:
            before = self._clock.now()
            row = connection.execute(text(_FACTS)).one()
            middle = before + (self._clock.now() - before) / 2
            version, most, used, standby, read_only, size, micros, creates, begun = row
            present = connection.scalar(text("SELECT version_num FROM alembic_version")) if begun else None
        yield _schema(present, f"PostgreSQL {version} at {', '.join(hosts_of(url)) or 'a socket'}, {_mib(size)}")
        if standby or read_only == "on":
            yield ABOUT.trouble(
                "this PostgreSQL only lets itself be read (a standby, or read-only)",
                "name the primary, or all hosts: ?host=HOST1:5432&host=HOST2:5432&target_session_attrs=read-write",
            )
        if present != HEAD and not creates:
            yield ABOUT.trouble("this user may not make tables", "GRANT CREATE ON SCHEMA to it, until the first start")
        yield self._room(most, used)
        yield _clocks(moment(micros) - middle)

    def _room(self, most: int, used: int) -> Finding:
        said = f"{used} of {most} connections are open, and a process of ours opens up to {self._wanted}"
        if most - used < self._wanted:
            return ABOUT.warning(said, "lower `ledger_connections`, or raise max_connections of the server")
        return ABOUT.ok(said)


def _read_only(path: Path) -> sqlite3.Connection:
    """Without a trace: a file that nobody has open is read as it lies, so that no -wal and -shm of ours appear."""
    at_rest = not path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(f"{path.as_uri()}?mode=ro{'&immutable=1' if at_rest else ''}", uri=True)


def _connected(url: URL) -> Connection:
    options = {"connect_timeout": CONNECT_SECONDS, "options": "-c statement_timeout=10000"}
    engine = create_engine(url, poolclass=NullPool, connect_args=options)
    return engine.connect().execution_options(postgresql_readonly=True)


def _schema(present: str | None, said: str) -> Finding:
    if present is None:
        return ABOUT.ok(f"{said}: empty; the first start brings it to schema {HEAD}")
    if present == HEAD:
        return ABOUT.ok(f"{said}, at schema {present}")
    if present in STEPS:
        return ABOUT.ok(f"{said}, at schema {present}; this version brings it to {HEAD} when it starts")
    return ABOUT.trouble(
        f"{said}, at schema {present}, which is newer than this version knows ({HEAD})",
        "run the newer version, or name another ledger",
    )


def _clocks(skew: timedelta) -> Finding:
    said = (
        f"its clock is {abs(skew.total_seconds()):.1f} s {'ahead of' if skew > timedelta(0) else 'behind'} this host's"
    )
    if abs(skew) > SKEW:
        return ABOUT.warning(f"{said}; leases go by the database's clock", "run a time service (chrony) on both")
    return ABOUT.ok(said)


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"
