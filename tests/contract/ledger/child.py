"""What the tests let a process of its own do to a ledger: `child.py URL WORD`."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from reconciler.ports import Due, LeaseLost, LedgerAway
from reconciler.record import CommitStatus, Event, Pass, Record, State
from reconciler.work import Intent, Kind, Outcome, Phase

CLOCK = SystemClock()
CALM = threading.Event()
T = TypeVar("T")
FLEET = "prod/checkout"


class Deadly(tuple[Event, ...]):
    """Events that end the process when they are written: they come last in a transaction."""

    __slots__ = ()
    SIGNAL = signal.SIGKILL

    def __iter__(self):  # type: ignore[no-untyped-def]
        print("inside", flush=True)
        os.kill(os.getpid(), self.SIGNAL)
        return super().__iter__()


class Halting(Deadly):
    """The process stands still there instead."""

    __slots__ = ()
    SIGNAL = signal.SIGSTOP


def say(word: object) -> None:
    print(word, flush=True)


def result(record: Record) -> Pass:
    """Every table that a pass writes moves on by one."""
    assert record.desired is not None
    number = record.memory.preemptions + 1
    now = CLOCK.now()
    intent = Intent(
        key=f"{record.name}-{number}",
        fleet=record.desired,
        repository="main",
        setting_commit="c" * 40,
        unit="us-east-1",
        wave=1,
        attempt=number,
        kind=Kind.DEPLOY,
        created_at=now,
        settle_at=now,
        deadline=now + timedelta(hours=1),
    )
    word = CommitStatus(
        repository="main",
        commit="c" * 40,
        context=f"fairlead/{record.name}",
        state=State.PENDING,
        description=f"number {number}",
        at=now,
    )
    return Pass(
        record=record,
        memory=replace(record.memory, preemptions=number),
        work=(Outcome(intent=intent, phase=Phase.INTENDED),),
        statuses=(word,),
        events=(Event(kind="number", message=f"number {number}", at=now),),
    )


def passes(store: Store) -> None:
    """One pass after the other until somebody ends the process."""
    lease = store.claim("fleet", 1, timedelta(minutes=5))[0].lease
    while True:
        record = store.load(FLEET)
        assert record is not None
        written = store.intend(lease, record, result(record))
        say(written.memory.preemptions)


def dies_inside(store: Store) -> None:
    """A pass that ends the process after it wrote everything but events, before the commit."""
    lease = store.claim("fleet", 1, timedelta(minutes=5))[0].lease
    record = store.load(FLEET)
    assert record is not None
    store.save(lease, record, replace(result(record), events=Deadly(result(record).events)))


def halts_inside(store: Store) -> None:
    """A pass that stands still after it wrote everything but events, and finds out when it is let go on."""
    lease = store.claim("fleet", 1, timedelta(minutes=5))[0].lease
    record = store.load(FLEET)
    assert record is not None
    try:
        store.save(lease, record, replace(result(record), events=Halting(result(record).events)))
        say("wrote")
    except LedgerAway:
        say("away")


def deploys(store: Store) -> None:
    """Every fleet once, however often its name comes, until all are; says each that it acts on."""
    say("ready")
    while any(record.memory.preemptions == 0 for record in patiently(store.fleets)):
        for due in patiently(lambda: store.claim("fleet", 3, timedelta(seconds=5))):
            try:
                deploy(store, due)
            except (LeaseLost, LedgerAway):
                CALM.wait(0.1)


def deploy(store: Store, due: Due) -> None:
    record = store.load(due.key.partition(":")[2])
    assert record is not None
    if record.memory.preemptions == 0:
        store.intend(due.lease, record, result(record))
        say(f"acts {record.name}")
    store.finish(due)


def patiently(ask: Callable[[], T]) -> T:
    while True:
        try:
            return ask()
        except LedgerAway:
            CALM.wait(0.1)


def claims(store: Store) -> None:
    """Claim small batches until nothing is left; say each name."""
    say("ready")
    sys.stdin.readline()
    while due := store.claim("fleet", 7, timedelta(minutes=5)):
        for each in due:
            say(each.key)


def stopped(store: Store) -> None:
    """Claim, wait to be let go on, then try to act and to write."""
    due = store.claim("fleet", 1, timedelta(seconds=1))[0]
    record = store.load(FLEET)
    assert record is not None
    say("claimed")
    sys.stdin.readline()
    try:
        due.lease.check()
        say("acted")
    except LeaseLost:
        say("did not act")
    try:
        store.intend(due.lease, record, result(record))
        say("wrote")
    except LeaseLost:
        say("did not write")
    say(store.finish(due))


def adds(store: Store) -> None:
    store.add(["fleet:prod/added"])
    say("added")


def opens(store: Store) -> None:
    say(len(store.fleets()))


if __name__ == "__main__":
    WORDS = {word.__name__: word for word in (passes, dies_inside, halts_inside, deploys, claims, stopped, adds, opens)}
    LEDGER = open_ledger(sys.argv[1], CLOCK)
    WORDS[sys.argv[2]](LEDGER)
    LEDGER.close()
