"""Leases of a shared ledger are judged by the server's clock, whatever the hosts of controllers believe."""

from contextlib import closing
from datetime import timedelta

import pytest

from adapters.clock import ManualClock
from adapters.ledger.store import open_ledger
from reconciler.ports import Delivery, LeaseLost

NAME = "prod/checkout"


@pytest.fixture
def shared(shared_url, bench_of):
    return bench_of(shared_url).open()


@pytest.mark.parametrize("wrong", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_controller_whose_clock_is_wrong_takes_over_when_the_server_says_so(shared, build, wrong):
    shared.claim(f"fleet:{NAME}")
    with closing(open_ledger(shared.url, ManualClock(build.now + wrong))) as other:
        assert [] == other.claim("fleet", 1, build.lease)

        shared.clock.advance(build.lease)

        assert [f"fleet:{NAME}"] == [due.key for due in other.claim("fleet", 1, build.lease)]


def adds(store, at):
    store.add([f"fleet:{NAME}"], due=at)


def finishes(store, at):
    store.finish(claimed(store), again_at=at)


def fails(store, at):
    store.fail(claimed(store), again_at=at)


def claimed(store):
    store.add([f"fleet:{NAME}"])
    return store.claim("fleet", 1, timedelta(seconds=30))[0]


@pytest.mark.parametrize("wrong", [timedelta(hours=-1), timedelta(hours=1)])
@pytest.mark.parametrize("asks", [adds, finishes, fails])
def test_a_controller_whose_clock_is_wrong_asks_for_the_right_time(shared, build, wrong, asks):
    clock, wished = ManualClock(build.now + wrong), timedelta(seconds=10)
    with closing(open_ledger(shared.url, clock)) as other:
        asks(other, clock.now() + wished)
    assert [] == shared.store.claim("fleet", 1, build.lease)

    shared.clock.advance(wished)

    assert [f"fleet:{NAME}"] == [due.key for due in shared.store.claim("fleet", 1, build.lease)]


def test_an_owner_that_believes_in_its_lease_is_fenced_when_the_server_does_not(shared, build):
    shared.declare("one", build.fleet())
    due, record = shared.claim(f"fleet:{NAME}"), shared.record()
    shared.sql("UPDATE hands.clock SET shift = '1 minute'")
    due.lease.check()

    with pytest.raises(LeaseLost):
        shared.store.intend(due.lease, record, shared.full_result(record))

    assert not shared.store.renew(due, build.lease)
    assert not shared.store.finish(due)
    assert [] == shared.rows("intents")["intents"]


@pytest.mark.parametrize("wrong", [timedelta(seconds=-30), timedelta(seconds=30)])
def test_a_status_is_due_at_the_forge_by_the_clock_of_the_server(shared, build, wrong):
    lease, later = shared.lease("statuses:main"), build.now + timedelta(seconds=10)
    shared.store.say(lease, [build.status()])
    with closing(open_ledger(shared.url, ManualClock(build.now + wrong))) as other:
        (word,) = other.undelivered("main", 9)
        assert build.now == other.next_telling("main") == other.take_up(lease, [word])

        other.settle(lease, [Delivery(id=word.id, sequence=word.sequence, delivered=False, retry_at=later)])
        assert ([], later) == (other.undelivered("main", 9), other.next_telling("main"))
        shared.clock.advance(timedelta(seconds=10))

        assert [word.id] == [each.id for each in other.undelivered("main", 9)]


def test_what_is_due_is_due_by_the_clock_of_the_server(shared, build):
    with closing(open_ledger(shared.url, ManualClock(build.now + timedelta(hours=1)))) as ahead:
        ahead.add([f"fleet:{NAME}"])

    assert [f"fleet:{NAME}"] == [due.key for due in shared.store.claim("fleet", 1, build.lease)]
