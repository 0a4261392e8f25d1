"""What one process makes due wakes the others at once, by PostgreSQL's notifications; looking is only the fallback."""

import resource
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest

from adapters.ledger import queue


@pytest.fixture
def shared(shared_url, bench_of, monkeypatch):
    """A ledger whose sleepers never look by themselves while they hear the others."""
    monkeypatch.setattr(queue, "RARE_POLL", 3600.0)
    bench = bench_of(shared_url).open()
    bench.catch_up()
    bench.hear_others()
    return bench


class Sleeper:
    """A thread that has looked, sleeps until something wakes it, and tells what it then finds."""

    def __init__(self, bench, family="fleet"):
        self._bench, self._family, self._looked = bench, family, Event()
        self._pool = ThreadPoolExecutor(1)
        self._found = self._pool.submit(self._run)
        assert self._looked.wait(60)

    def _run(self):
        assert [] == self._claim()
        self._looked.set()
        self._bench.store.wait(3600.0)
        return self._claim()

    def _claim(self):
        return [due.key for due in self._bench.store.claim(self._family, 1, timedelta(hours=1))]

    @property
    def is_asleep(self):
        return not self._found.done()

    def found(self):
        self._pool.shutdown()
        return self._found.result()


def test_a_name_that_another_process_adds_wakes_a_sleeper(shared):
    sleeper = Sleeper(shared)

    shared.child("adds")

    assert ["fleet:prod/added"] == sleeper.found()


def test_a_claim_follows_an_add_of_another_process_in_milliseconds(shared):
    other, waits = shared.another(), []
    for number in range(5):
        sleeper = Sleeper(shared)
        began = shared.system.monotonic()
        other.add([f"fleet:prod/{number}"])
        assert [f"fleet:prod/{number}"] == sleeper.found()
        waits.append(shared.system.monotonic() - began)

    assert min(waits) < queue.POLL / 2, "looking alone takes half a second"


def test_a_sleeper_is_woken_for_its_own_family_only(shared):
    other, sleeper, bell = shared.another(), Sleeper(shared), shared.store._database.bell
    heard = bell.count("statuses")

    other.add(["statuses:main"])
    bell.sleep("statuses", heard, 60)

    assert sleeper.is_asleep
    other.add(["fleet:prod/checkout"])
    assert ["fleet:prod/checkout"] == sleeper.found()


def test_what_was_said_while_the_line_was_down_is_found_when_it_is_up_again(shared):
    """The connection that listens is cut; the name is added by somebody who notifies nobody."""
    sleeper = Sleeper(shared)
    shared.sql("INSERT INTO queue VALUES ('fleet:prod/checkout', 'fleet', 0, 1, NULL, NULL, 0)")

    shared.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname = current_database() AND query LIKE 'LISTEN%'"
    )

    assert ["fleet:prod/checkout"] == sleeper.found()


@pytest.fixture
def many_descriptors():
    """More than select() can count to are in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    held = [socket.socket() for _ in range(1100)]
    yield
    for each in held:
        each.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_with_many_descriptors_hears_the_others(many_descriptors, shared):
    heard, bell = shared.store._database.bell.count("fleet"), shared.store._database.bell

    shared.another().add(["fleet:prod/checkout"])

    shared.until(lambda: bell.count("fleet") > heard)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is what the test is about
def test_a_thread_that_died_of_what_nobody_foresaw_is_replaced(shared, monkeypatch):
    database, died = shared.store._database, Event()

    def dies(*_):
        died.set()
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(database._listener, "_hear", dies)
        shared.another().add(["fleet:prod/checkout"])
        shared.until(lambda: died.is_set() and not database._listener.is_listening)

    shared.hear_others()


def test_a_closed_ledger_listens_no_more(shared):
    listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
    assert 1 == shared.scalar(listening)

    shared.store.close()

    shared.until(lambda: shared.scalar(listening) == 0)
