"""Everybody writes at once: heads, passes, roll-ups, deliveries, marks, sweeps. Nobody locks another out."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.ledger import statuses
from adapters.ledger.queue import make_due
from reconciler.ports import Delivery, LeaseLost
from reconciler.record import Event, State

ROUNDS = 10
NAMES = [f"prod/f{number}" for number in range(12)]


@pytest.fixture
def crowd(shared_url, bench_of, build):
    bench = bench_of(shared_url).open()
    bench.catch_up()
    bench.declare("zero", *map(build.fleet, NAMES))
    return bench


def heads(bench, build):
    for turn in range(ROUNDS):
        bench.store.add(["repository:main"])
        for due in bench.store.claim("repository", 1, build.lease):
            fleets = [build.fleet(name, f"1.{turn}.0") for name in (NAMES if turn % 2 else NAMES[::-1])]
            words = tuple(words_on(build, turn, reversed(NAMES)))
            bench.store.record_revision(due.lease, bench.revision(f"head {turn}", *fleets, statuses=words))
            bench.store.finish(due)


def words_on(build, turn, names):
    for name in names:
        yield build.status("zero", State.FAILURE, f"superseded {turn}", context=f"fairlead/{name}")


def passes(bench, build):
    for turn in range(ROUNDS):
        bench.store.add(f"fleet:{name}" for name in NAMES)
        for due in bench.store.claim("fleet", 6, build.lease):
            name = due.key.partition(":")[2]
            record = bench.store.load(name)
            memory = replace(record.memory, preemptions=record.memory.preemptions + 1)
            lines = (Event(kind="note", message=f"turn {turn}", at=build.now),)
            words = tuple(words_on(build, f"pass {turn}", [name]))
            with suppress(LeaseLost):  # a head came between: the row moved on
                bench.store.save(due.lease, record, bench.result(record, memory, statuses=words, events=lines))
            bench.store.finish(due)


def rollups(bench, build):
    for turn in range(ROUNDS):
        bench.store.add(["rollup:main"])
        for due in bench.store.claim("rollup", 1, build.lease):
            bench.store.say(due.lease, list(words_on(build, f"rollup {turn}", NAMES)))
            bench.store.finish(due)


def deliveries(bench, build):
    for _ in range(ROUNDS):
        bench.store.add(["statuses:main"])
        for due in bench.store.claim("statuses", 1, build.lease):
            waiting = bench.store.undelivered("main", 100)
            done = [Delivery(id=item.id, sequence=item.sequence, delivered=True) for item in waiting]
            bench.store.settle(due.lease, done)
            bench.store.finish(due)


def sweeps(bench, build):
    for turn in range(ROUNDS):
        bench.store.add(f"fleet:{name}" for name in NAMES)
        bench.store.prune(build.now + timedelta(days=turn))


@pytest.fixture
def meanwhile():
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def test_who_waits_for_one_word_holds_no_later_one(shared_url, bench_of, build, meanwhile, monkeypatch):
    """Words are settled in the order of ids: who says many locks them in that order too, over all its statements."""
    monkeypatch.setattr(statuses, "PAIRS", 1)
    bench = bench_of(shared_url).open()
    lease, places = bench.lease("rollup:main"), sorted(["zero", "one"], key=build.sha, reverse=True)
    for place in places:
        bench.store.say(lease, [build.status(place)])
    first, free = "SELECT id FROM statuses ORDER BY id LIMIT 1 FOR UPDATE", "SELECT id FROM statuses FOR UPDATE {}"
    with bench.store._database.writing() as connection:
        connection.exec_driver_sql(first)
        said = meanwhile(bench.store.say, lease, [build.status(place, description="new") for place in places])
        bench.until(lambda: bench.scalar(WAITING))

        assert bench.scalar(free.format("SKIP LOCKED")) is not None
    said.result()


def test_who_made_a_name_due_holds_it_for_no_word(shared_url, bench_of, build, meanwhile):
    """A head makes the roll-up due before it says its words; a pass says its word before."""
    bench = bench_of(shared_url).open()
    lease = bench.lease("rollup:main")
    bench.store.say(lease, [build.status()])
    with bench.store._database.writing() as connection:
        make_due(connection, ["rollup:main"])
        said = meanwhile(bench.store.say, lease, [build.status(description="new")])
        bench.until(lambda: said.done() or bench.scalar(WAITING))
        statuses.put(connection, [build.status(description="newer")], build.now)
    said.result()


def test_two_who_make_the_same_places_in_another_order_take_turns(shared_url, bench_of, build, meanwhile):
    bench = bench_of(shared_url).open()
    lease = bench.lease("rollup:main")
    one, zero = build.status("one"), build.status("zero")
    with bench.store._database.writing() as connection:
        statuses.put(connection, [one, zero], build.now)
        said = meanwhile(bench.store.say, lease, [zero, one])
        bench.until(lambda: bench.scalar(WAITING))
    said.result()

    assert [one, zero] == bench.store.statuses("main")
    assert 2 == bench.scalar("SELECT sum(sequence) FROM statuses")


def test_nobody_locks_another_out(crowd, build):
    with ThreadPoolExecutor(6) as pool:
        ends = [pool.submit(work, crowd, build) for work in (heads, passes, passes, rollups, deliveries, sweeps)]
        for end in ends:
            end.result()

    assert 0 == crowd.scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert {None} == {crowd.store.verify_history(name) for name in NAMES}
