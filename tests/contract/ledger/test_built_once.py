"""Putting a statement together takes SQLAlchemy longer than an engine takes to run it: the hot ones are built once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from reconciler.ports import Window
from reconciler.record import Event

MINUTE = timedelta(minutes=1)
FLEET = "fleet:prod/checkout"


@contextmanager
def statements() -> Iterator[list[Any]]:
    """What is run meanwhile, the very objects."""
    run: list[Any] = []

    def note(connection, statement, *_):
        run.append(statement)

    event.listen(Engine, "before_execute", note)
    yield run
    event.remove(Engine, "before_execute", note)


def one_of_everything(bench, build, number):
    store = bench.store
    queue_round(store, build)
    pass_round(bench, build, number)
    feed_round(bench, number)
    store.take(["account"], [Window(span=MINUTE, most=100)])
    store.fleets(), store.fleets("main"), store.troubles(), store.heads()


def queue_round(store, build):
    store.add(["x:one", "x:two", "x:three"])
    store.add(["x:one"], due=build.now)
    one, two, three = store.claim("x", 3, MINUTE)
    store.renew(one, MINUTE)
    store.fail(one, again_at=build.now + MINUTE)
    store.finish(two, again_at=build.now + MINUTE)
    store.finish(three)
    store.wait(0)


def pass_round(bench, build, number):
    lease, record = bench.lease(FLEET), bench.record()
    written = bench.store.intend(lease, record, bench.full_result(record, number))
    line = Event(kind="note", message="that is all", at=build.now)
    memory = replace(written.memory, preemptions=-number)
    bench.store.save(lease, written, bench.result(written, memory, events=(line,)))
    bench.store.undelivered("main", 10, build.now)
    bench.store.settle(bench.lease("statuses:main"), [bench.delivery(1)])


def feed_round(bench, number):
    lease = bench.lease("inventory:one")
    bench.store.record_snapshots(lease, "inventory/one", {"prod/checkout": {"number": number}}, bench.clock.now())
    bench.store.record_trouble(lease, "inventory/one", "no answer")
    bench.store.record_reports(lease, "reports/one", [], ["prod/checkout"], bench.clock.now())


def test_what_runs_again_is_the_statement_of_the_first_time(bench, build):
    bench.declare("one", build.fleet())
    with statements() as first:
        one_of_everything(bench, build, 1)
        bench.clock.advance(2 * MINUTE)

    with statements() as again:
        one_of_everything(bench, build, 2)

    known = {id(statement) for statement in first}
    assert [] == [str(statement) for statement in again if id(statement) not in known]
