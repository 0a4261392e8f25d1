"""A copy of a ledger that is in use, and the same ledger made from it again (docs/ledger.md)."""

import sqlite3
from contextlib import closing

import pytest

from reconciler.ports import LeaseLost

NAME = "prod/checkout"


class Copy:
    """A copy of a bench's database as docs/ledger.md says, and a bench on what is made from it."""

    def __init__(self, bench, bench_of, tmp_path, request):
        self._bench, self._bench_of = bench, bench_of
        self._file, self._request = tmp_path / "copy", request
        self._server = None if bench.url.startswith("sqlite") else request.getfixturevalue("restartable")

    def take(self):
        if self._server is None:
            with closing(sqlite3.connect(self._bench.folder / "ledger.db")) as connection:
                connection.execute("VACUUM INTO ?", [str(self._file)])
        else:
            self._server.dump(self._bench.url.rpartition("/")[2], self._file)

    def restore(self):
        """A bench on the copy, at the host's time."""
        restored = self._bench_of(self._restored())
        restored.catch_up()
        return restored.open()

    def _restored(self):
        if self._server is None:
            return f"sqlite:///{self._file}"
        name = self._bench.url.rpartition("/")[2] + "_restored"
        url = self._server.make(name)
        self._request.addfinalizer(lambda: self._server.drop(name))
        self._server.restore(name, self._file)
        return url


@pytest.fixture
def copy(bench, bench_of, tmp_path, request, build):
    bench.catch_up()
    bench.declare("one", build.fleet())
    return Copy(bench, bench_of, tmp_path, request)


def counts(bench):
    rows = bench.rows("intents", "events", "statuses")
    sequence = max((row[8] for row in rows["statuses"]), default=0)
    return {bench.record().memory.preemptions, len(rows["intents"]), len(rows["events"]), sequence}


def test_a_copy_taken_while_a_process_writes_holds_whole_passes(bench, copy):
    writer = bench.child("passes")
    told = [int(writer.stdout.readline()) for _ in range(3)][-1]

    copy.take()
    later = int(writer.stdout.readline())
    restored = copy.restore()

    written = counts(restored)
    assert 1 == len(written), "every table tells of the same number of passes"
    assert told <= written.pop()
    assert later >= told
    assert None is restored.store.verify_history(NAME)


def test_a_restored_ledger_takes_new_work(bench, copy, build):
    copy.take()
    restored = copy.restore()

    assert (NAME,) == restored.declare("two", build.fleet(version="1.5.0"))
    record = restored.record()
    restored.store.save(restored.lease(f"fleet:{NAME}"), record, restored.full_result(record))
    assert [1, 1] == [len(restored.rows(table)[table]) for table in ("intents", "events")]


def test_who_was_claimed_before_the_copy_cannot_write_what_the_copy_does_not_know(bench, copy):
    """A controller that runs on as if nothing had happened: its record is newer than the restored row."""
    lease, record = bench.lease(f"fleet:{NAME}"), bench.record()
    copy.take()
    newer = bench.store.save(lease, record, bench.full_result(record))
    restored = copy.restore()

    with pytest.raises(LeaseLost):
        restored.store.save(lease, newer, restored.full_result(newer, 2))

    assert [] == restored.rows("intents")["intents"]


def test_who_was_claimed_after_the_copy_has_no_lease_in_it(bench, copy):
    copy.take()
    lease, record = bench.lease(f"fleet:{NAME}"), bench.record()
    restored = copy.restore()

    with pytest.raises(LeaseLost):
        restored.store.save(lease, record, restored.full_result(record))
