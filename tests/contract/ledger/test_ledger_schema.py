"""Opening a ledger: from nothing, again, by many at once, and what cannot be opened."""

import sqlite3

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from adapters.ledger.dialects import LedgerError
from adapters.ledger.migrations.steps import FOLDER, HEAD, STEPS
from adapters.ledger.store import open_ledger
from adapters.ledger.tables import metadata


def test_the_steps_add_up_to_the_tables(bench):
    engine = create_engine(bench.url)
    with engine.connect() as connection:
        options = {"include_name": lambda name, kind, _: (kind, name) != ("table", "clock")}  # the tests' own
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()

    assert [] == differences


def test_the_steps_are_one_line():
    steps = list(ScriptDirectory(str(FOLDER)).walk_revisions())

    assert [HEAD] == ScriptDirectory(str(FOLDER)).get_heads()
    assert list(STEPS) == sorted(step.revision for step in steps)


def test_no_step_goes_back():
    for step in ScriptDirectory(str(FOLDER)).walk_revisions():
        with pytest.raises(NotImplementedError, match="never goes back"):
            step.module.downgrade()


def test_a_ledger_opened_again_keeps_what_it_knew(bench, build):
    bench.declare("one", build.fleet())

    assert build.fleet() == bench.another().load("prod/checkout").desired


def test_processes_that_open_a_new_ledger_at_once_all_succeed(url, bench_of):
    bench = bench_of(url)
    children = [bench.child("opens") for _ in range(4)]

    ends = [(*child.communicate(timeout=60), child.returncode) for child in children]

    assert [("0\n", "", 0)] * 4 == ends


def test_a_folder_that_is_not_there_is_made(tmp_path, clock):
    store = open_ledger(f"sqlite:///{tmp_path / 'a' / 'b' / 'ledger.db'}", clock)

    assert [] == store.fleets()
    store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path, clock):
    (tmp_path / "ledger.db").write_text("This is a shopping list, and a long one. " * 100)

    with pytest.raises(LedgerError, match=r"ledger\.db: file is not a database; name a file that Fairlead made"):
        open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)


@pytest.mark.parametrize("address", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/fairlead", "oracle://x/y"])
def test_what_cannot_keep_a_ledger_is_refused(address, clock):
    with pytest.raises(LedgerError, match="write sqlite:///PATH"):
        open_ledger(address, clock)


def test_the_embedded_ledger_is_a_wal_file(tmp_path, clock):
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    connection = sqlite3.connect(tmp_path / "ledger.db")

    assert ("wal",) == connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    store.close()


def test_a_step_that_fails_leaves_nothing_behind(tmp_path, clock):
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("CREATE TABLE requests (note TEXT)")  # in the way of the first step's last table
    connection.commit()

    with pytest.raises(LedgerError, match="cannot be brought up to date: table requests already exists"):
        open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)

    assert [("requests",)] == connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
