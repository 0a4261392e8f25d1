"""PostgreSQL stops, is killed, hangs, or comes back elsewhere: nobody's thread ends, nothing is lost or done twice."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import make_url

from adapters.clock import SystemClock
from adapters.ledger import listener
from adapters.ledger import server as reaching
from adapters.ledger.dialects import LedgerError, lock_schema
from adapters.ledger.patience import PatientConnection
from adapters.ledger.store import open_ledger
from fairlead_sandbox.postgres import FAST, IMMEDIATE
from reconciler.loop import Family, Loop
from reconciler.ports import LedgerAway

NAME = "prod/checkout"
ENDS = pytest.mark.parametrize("how", [FAST, IMMEDIATE, signal.SIGKILL])


@pytest.fixture
def shared(shared_url, bench_of):
    bench = bench_of(shared_url).open()
    bench.catch_up()
    return bench


class Lines:
    """A log that is kept."""

    def __init__(self):
        self.lines = []

    def info(self, event, **values):
        self.lines.append((event, values))

    warning = info

    def exception(self, event, **values):
        self.lines.append(("traceback", values))

    def told(self, event):
        return [values for said, values in self.lines if said == event]


class Running:
    """A loop in a thread of its own, until the test ends it."""

    def __init__(self, store, run, **family):
        self.log, self._stop = Lines(), Event()
        loop = Loop(store, [Family(name="fleet", run=run, **family)], SystemClock(), self.log)
        self._thread = Thread(target=loop.run, args=(self._stop,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


# ── a server that comes back ──


@ENDS
def test_a_restart_between_two_calls_is_not_noticed(shared, build, restartable, monkeypatch, how):
    shared.declare("one", build.fleet())
    monkeypatch.setattr(reaching, "RESTED_SECONDS", 0)

    restartable.restart(how)

    assert build.fleet() == shared.store.load(NAME).desired


@ENDS
def test_processes_deploy_every_fleet_once_over_a_restart(shared, build, restartable, how):
    fleets = [build.fleet(f"prod/f{number}") for number in range(40)]
    shared.declare("one", *fleets)
    children = [shared.child("deploys") for _ in range(2)]
    for child in children:
        assert "ready\n" == child.stdout.readline()
    said = [children[0].stdout.readline() for _ in range(3)]

    restartable.restart(how)
    said += [line for child in children for line in child.communicate(timeout=120)[0].splitlines()]

    acted = [line.strip() for line in said]
    assert len(acted) == len(set(acted)), "nothing is done twice"
    rows = shared.rows("intents", "events", "statuses")
    assert [40, 40, 40] == [len(rows[table]) for table in ("intents", "events", "statuses")], "nothing is lost"
    assert {None} == {shared.store.verify_history(fleet.name) for fleet in fleets}
    assert [0, 0] == [child.returncode for child in children]


def test_a_loop_outlives_a_server_that_is_away(shared, restartable):
    ran = []
    with Running(shared.store, lambda name, lease: ran.append(name)) as running:
        shared.store.add(["fleet:prod/before"])
        shared.until(lambda: ran)
        restartable.stop(signal.SIGKILL)
        shared.until(lambda: len(running.log.told("the ledger is away")) > 2)
        restartable.start()
        shared.store.add(["fleet:prod/after"])
        shared.until(lambda: "prod/after" in ran)

    assert {"prod/before", "prod/after"} == set(ran)
    assert [] == running.log.told("traceback")
    assert "PostgreSQL at 127.0.0.1" in running.log.told("the ledger is away")[0]["why"]


def test_a_pass_that_could_not_be_finished_runs_again_after_its_lease(shared, restartable):
    ran = []

    def run(name, lease):
        ran.append(name)
        if len(ran) == 1:
            restartable.stop(signal.SIGKILL)
            Thread(target=restartable.start).start()

    with Running(shared.store, run, lease=timedelta(seconds=5)):
        shared.store.add([f"fleet:{NAME}"])
        shared.until(lambda: len(ran) == 2)
        shared.until(lambda: shared.due_keys() == [])


def test_heartbeats_go_on_after_a_restart(shared, restartable):
    release, until = Event(), "SELECT lease_until FROM queue"
    lease = {"lease": timedelta(seconds=20), "heartbeat": True}
    with Running(shared.store, lambda name, lease: release.wait(60) and None, **lease) as running:
        shared.store.add([f"fleet:{NAME}"])
        shared.until(lambda: shared.scalar(until))
        restartable.restart(FAST)
        before = shared.scalar(until)
        shared.until(lambda: shared.scalar(until) > before)
        release.set()
        shared.until(lambda: running.log.told("pass"))

    assert [True] == [line["lease_kept"] for line in running.log.told("pass")]


# ── who hangs ──


def test_a_process_that_stops_inside_its_transaction_holds_nobody_up_for_long(shared, build):
    """Its session is ended by the server; the others wait for that, and go on."""
    shared.declare("one", build.fleet())
    child = shared.child("halts_inside")
    assert "inside\n" == child.stdout.readline()

    shared.declare("two", build.fleet(version="1.5.0"))
    child.send_signal(signal.SIGCONT)

    assert "away\n" == child.communicate(timeout=60)[0]
    assert "1.5.0" == shared.record().desired.components["package/checkout"]
    assert [] == shared.rows("intents")["intents"]


def test_adding_waits_for_no_pass(shared, build):
    """A name that is being worked on is marked while the pass writes."""
    shared.declare("one", build.fleet())
    child = shared.child("halts_inside")
    assert "inside\n" == child.stdout.readline()
    marks = f"SELECT mark FROM queue WHERE key = 'fleet:{NAME}'"
    before = shared.scalar(marks)

    shared.store.add([f"fleet:{NAME}"])

    holding = (
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = current_database()"
    )
    assert (1, before + 1) == (shared.scalar(holding), shared.scalar(marks))


def test_a_server_that_says_nothing_is_given_up(clock):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://127.0.0.1:{silent.getsockname()[1]}/fairlead?connect_timeout=2"

        with pytest.raises(LedgerAway, match=r"PostgreSQL at 127\.0\.0\.1, database fairlead: .*timeout"):
            open_ledger(url, clock)


@contextmanager
def stopped(pid):
    """A process of the server that stands still, while the kernel goes on to acknowledge what it is sent."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_server_that_takes_what_it_is_sent_and_never_answers_is_given_up(shared, restartable, monkeypatch):
    monkeypatch.setattr(PatientConnection, "patience", 1.0)
    with closing(open_ledger(shared.url, shared.clock, 1)) as store:
        with store._database.reading() as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()

        with stopped(pid):
            with pytest.raises(LedgerAway, match="the server has not answered for 1 s"):
                store.add([f"fleet:{NAME}"])
            store.add([f"fleet:{NAME}"])

        assert [f"fleet:{NAME}"] == shared.due_keys()


def test_who_listens_to_a_server_that_never_answers_listens_elsewhere(shared, restartable, monkeypatch):
    monkeypatch.setattr(listener, "PROBE_SECONDS", 0.5)
    shared.hear_others()
    lines = (
        "SELECT {} FROM pg_stat_activity"
        " WHERE datname = current_database() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')"
    )
    with stopped(shared.scalar(lines.format("pid"))):
        shared.until(lambda: shared.scalar(lines.format("count(*)")) == 2)
        shared.hear_others()


def test_who_brings_the_schema_up_to_date_may_take_longer(shared, monkeypatch):
    monkeypatch.setattr(PatientConnection, "patience", 0.5)
    with closing(open_ledger(shared.url, shared.clock, 1)) as store:
        with store._database.writing() as connection:
            lock_schema(connection)
            connection.exec_driver_sql("SELECT pg_sleep(1)")

        with pytest.raises(LedgerAway, match="has not answered"), store._database.reading() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(1)")


def test_a_process_that_needs_more_connections_than_it_may_have_says_which_setting(shared, monkeypatch):
    monkeypatch.setattr(reaching, "POOL_SECONDS", 0.1)
    with closing(open_ledger(shared.url, shared.clock, 1)) as store, store._database.reading():
        with pytest.raises(LedgerAway, match="raise ledger_connections"):
            store.fleets()


# ── where it is ──


@pytest.fixture
def nowhere():
    """A port of this machine at which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@pytest.mark.parametrize("command", ["controller", "once", "status"])
def test_a_program_that_starts_while_the_ledger_is_away_ends_with_a_sentence(tmp_path, nowhere, command):
    config = tmp_path / "fairlead.toml"
    config.write_text(
        f'state = "{tmp_path}"\n'
        f'ledger = "postgresql+psycopg://ada:hidden@127.0.0.1:{nowhere}/fairlead"\n'
        '[[repositories]]\nname = "main"\nurl = "file:///nowhere"\n'
    )
    program = str(Path(sys.executable).with_name("fairlead"))

    ended = subprocess.run([program, command, "--config", config], capture_output=True, text=True, check=False)

    assert (3, "") == (ended.returncode, ended.stdout)
    assert 1 == len(ended.stderr.splitlines())
    assert "PostgreSQL at 127.0.0.1, database fairlead" in ended.stderr
    assert "hidden" not in ended.stderr


def test_of_several_hosts_the_one_that_takes_writes_is_used(shared, nowhere):
    here = make_url(shared.url)
    url = (
        f"postgresql+psycopg://postgres@/{here.database}?host=127.0.0.1:{nowhere}&host={here.host}:{here.port}"
        "&target_session_attrs=read-write"
    )

    with closing(open_ledger(url, shared.clock)) as store:
        store.add([f"fleet:{NAME}"])

    assert [f"fleet:{NAME}"] == shared.due_keys()


def test_a_standby_is_refused_with_a_sentence(shared, restartable):
    shared.store.close()
    with restartable.standing_by():
        with pytest.raises(LedgerError, match="is a standby and takes no writes: name the primary, or all hosts with"):
            shared.another()

    assert [] == shared.store.fleets()
