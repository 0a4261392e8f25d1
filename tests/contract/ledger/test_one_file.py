"""Several processes write one SQLite file: each waits for the other, and for no longer than it must."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapters.ledger import dialects
from reconciler.ports import LedgerAway


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def other(bench, tmp_path) -> Iterator[sqlite3.Connection]:
    """Who writes from outside, in the middle of it."""
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    yield other
    other.close()


def test_a_writer_waits_until_the_other_is_done(bench, other):
    with ThreadPoolExecutor(1) as pool:
        added = pool.submit(bench.store.add, ["fleet:prod/checkout"])
        bench.until(bench.store._database._one_writer.locked)
        other.execute("INSERT INTO queue (key, family, due, mark, attempts) VALUES ('x:1', 'x', 1, 1, 0)")
        assert not added.done()
        other.execute("COMMIT")
        added.result()

    assert ["fleet:prod/checkout", "x:1"] == bench.due_keys()


def test_a_look_that_finds_nothing_waits_for_nobody(bench, other, build):
    assert [] == bench.store.claim("fleet", 1, build.lease)


def test_who_has_waited_long_enough_says_so_and_may_try_again(bench, other, monkeypatch):
    monkeypatch.setattr(dialects, "BUSY_SECONDS", 0)
    with pytest.raises(LedgerAway, match="database is locked"):
        bench.store.add(["fleet:prod/checkout"])

    other.execute("ROLLBACK")
    bench.store.add(["fleet:prod/checkout"])

    assert ["fleet:prod/checkout"] == bench.due_keys()


def test_what_only_reads_is_as_patient_as_before_a_write(bench):
    bench.store.add(["fleet:prod/checkout"])

    with bench.store._database.reading() as connection:
        assert dialects.BUSY_SECONDS * 1000 == connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
