"""A copy of a ledger that is in use, and the same ledger made from it again (docs/ledger.md)."""

import shlex
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import make_url

from reconciler.ports import LeaseLost

NAME = "prod/checkout"


PAGE = (Path(__file__).parents[3] / "docs" / "ledger.md").read_text()


def command(program):
    """The page's own line for it."""
    return next(line.partition("   #")[0] for line in PAGE.splitlines() if line.startswith(f"{program} "))


class Copy:
    """A copy of a bench's database by the commands of the page, and a bench on what is made from it."""

    def __init__(self, bench, bench_of, tmp_path, request):
        self._bench, self._bench_of, self._folder = bench, bench_of, tmp_path
        self._request = request
        self._server = None if bench.url.startswith("sqlite") else request.getfixturevalue("restartable")

    def take(self):
        if self._server is None:
            self._run("sqlite3", "/var/lib/fairlead", str(self._folder))
        else:
            self._run("pg_dump", "fairlead", make_url(self._bench.url).database)

    def restore(self):
        """A bench on the copy, at the host's time."""
        restored = self._bench_of(self._restored())
        restored.catch_up()
        return restored.open()

    def _restored(self):
        if self._server is None:
            return f"sqlite:///{self._folder / 'ledger-copy.db'}"
        name = f"{make_url(self._bench.url).database}_restored"
        url = self._server.make(name)
        self._request.addfinalizer(lambda: self._server.drop(name))
        self._run("pg_restore", "fairlead", name)
        return url

    def _run(self, program, example, ours):
        environment = self._server.surroundings if self._server else None
        words = [word.replace(example, ours) for word in shlex.split(command(program))]
        subprocess.run(words, cwd=self._folder, env=environment, check=True, timeout=60)


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
