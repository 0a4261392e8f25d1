"""Everybody writes at once: heads, passes, roll-ups, deliveries, marks, sweeps. Nobody locks another out."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

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


def test_nobody_locks_another_out(crowd, build):
    with ThreadPoolExecutor(6) as pool:
        ends = [pool.submit(work, crowd, build) for work in (heads, passes, passes, rollups, deliveries, sweeps)]
        for end in ends:
            end.result()

    assert 0 == crowd.scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert {None} == {crowd.store.verify_history(name) for name in NAMES}
