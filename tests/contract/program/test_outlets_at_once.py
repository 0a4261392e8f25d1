"""Statuses wait for nobody else: not for a channel that hangs, nor for the forge of another repository."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from fairlead.controller import MOST_TELLERS, Controller
from fairlead.settings import Settings
from reconciler.loop import Family, Loop
from reconciler.outbox import Outbox
from reconciler.ports import Delivery
from reconciler.record import CommitStatus, Medium, State

LEASE = timedelta(minutes=5)


class Quiet:
    """Hears what the loop says."""

    def info(self, event: str, **values: object) -> None: ...

    warning = exception = info


class Slow:
    """Answers when it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = Event(), Event()

    def deliver(self, lease: Any, statuses: Any, now: Any) -> list[Delivery]:
        self.asked.set()
        assert self.let_go.wait(120)
        return [Delivery(id=each.id, sequence=each.sequence, delivered=True) for each in statuses]


def families(tmp_path: Path, outbox: Outbox, repositories: int) -> tuple[Family, ...]:
    """Those that a controller of so many repositories tells with."""
    url = f"file://{tmp_path}/nowhere"
    named: Any = tuple({"name": f"r{number}", "url": url} for number in range(repositories))
    controller = Controller(Settings(state=tmp_path, repositories=named))
    controller.close()
    return tuple(controller._tellers(outbox.run, LEASE))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_ledger(f"sqlite:///{tmp_path / 'told.db'}", SystemClock())) as store:
        yield store


def say(store: Store, repository: str, medium: Medium = Medium.STATUS, project: str = "") -> None:
    store.add(["fleet:prod/checkout"])
    (due,) = store.claim("fleet", 1, LEASE)
    word = CommitStatus(
        repository=repository,
        commit="ab" * 20,
        context="fairlead/prod/checkout",
        state=State.FAILURE,
        description="failed",
        medium=medium,
        project=project,
    )
    store.say(due.lease, [word])
    store.finish(due)


def test_a_status_is_told_while_everything_else_hangs(tmp_path: Path, store: Store) -> None:
    hanging = {name: Slow() for name in ("notify-a", "notify-b", "r0", "r1")}
    told = Slow()
    outbox = Outbox(store, {**hanging, "r2": told})  # type: ignore[arg-type]
    loop, stop = Loop(store, families(tmp_path, outbox, 3), SystemClock(), Quiet()), Event()
    running = Thread(target=loop.run, args=(stop,))
    running.start()
    try:
        for name in hanging:
            say(store, name, Medium.NOTICE if name.startswith("notify-") else Medium.STATUS)
        for name in ("r0", "r1", "r2"):
            say(store, name, project="acme/checkout")
        assert [] == [name for name, each in hanging.items() if not each.asked.wait(60)]
        assert told.asked.wait(60)
        told.asked.clear()

        say(store, "r2")

        assert told.asked.wait(60)
    finally:
        stop.set()
        for each in (*hanging.values(), told):
            each.let_go.set()
        running.join()


@pytest.mark.parametrize("repositories", [1, 5, 100])
def test_there_is_a_worker_for_each_repository_within_reason(tmp_path: Path, store: Store, repositories: int) -> None:
    workers = {each.name: each.workers for each in families(tmp_path, Outbox(store, {}), repositories)}

    assert {"statuses", "further", "notices"} == set(workers)
    assert min(repositories, MOST_TELLERS) <= workers["statuses"] <= MOST_TELLERS
