"""What `/healthz` asks: whether the loop of this process still goes round."""

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adapters.clock import ManualClock, SystemClock
from adapters.ledger.store import Store, open_ledger
from fairlead.controller import Controller
from fairlead.exit_codes import ExitCode
from fairlead.settings import Settings
from reconciler.loop import Family, Loop
from reconciler.ports import Due, Lease


class Log:
    """Nobody listens."""

    def info(self, event: str, **values: object) -> None: ...

    warning = exception = info


class Deadly:
    """A queue that ends the thread which asks it for fleets."""

    def __init__(self, queue: Store) -> None:
        self._queue = queue
        self.asked = Event()

    def claim(self, family: str, limit: int, lease: timedelta) -> list[Due]:
        if family == "fleet":
            self.asked.set()
            raise SystemExit
        return self._queue.claim(family, limit, lease)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Store]:
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", SystemClock())
    yield store
    store.close()


@pytest.fixture
def run() -> Iterator[Callable[[Loop], None]]:
    """`run(loop)`: in a thread of its own, ended with the test."""
    stop, threads = Event(), []

    def begin(loop: Loop) -> None:
        threads.append(Thread(target=loop.run, args=(stop,), name="loop"))
        threads[-1].start()

    yield begin
    stop.set()
    for thread in threads:
        thread.join()


FAMILIES = [Family(name=name, run=lambda *_: None) for name in ("fleet", "sweep")]


def until(condition: Callable[[], Any]) -> Any:
    wait = Event()
    for _ in range(300):
        if found := condition():
            return found
        wait.wait(0.1)
    raise TimeoutError


def test_a_loop_that_was_not_begun_has_no_ailments(queue: Store) -> None:
    assert () == Loop(queue, FAMILIES, SystemClock(), Log()).ailments()


def test_a_loop_that_works_has_none_however_long_a_pass_takes(queue: Store, run: Callable[[Loop], None]) -> None:
    begun, go = Event(), Event()

    def slow(name: str, lease: Lease) -> None:
        begun.set()
        go.wait(30)

    loop = Loop(queue, [Family(name="fleet", run=slow)], SystemClock(), Log())
    queue.add(["fleet:prod/checkout"])
    run(loop)
    begun.wait(30)

    assert ((), ("fleet:prod/checkout",)) == (loop.ailments(), loop.under_way())
    go.set()
    until(lambda: loop.under_way() == ())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # it is what the test is about
def test_a_family_that_nothing_drives_is_named(queue: Store, run: Callable[[Loop], None]) -> None:
    deadly = Deadly(queue)
    loop = Loop(deadly, FAMILIES, SystemClock(), Log())
    run(loop)
    deadly.asked.wait(30)

    assert ("nothing drives the family fleet any more",) == until(loop.ailments)


class Stuck(Deadly):
    """A queue that never answers who asks it for fleets."""

    go = Event()

    def claim(self, family: str, limit: int, lease: timedelta) -> list[Due]:
        if family == "fleet":
            self.asked.set()
            self.go.wait(60)
        return self._queue.claim(family, limit, lease)


def test_a_family_that_waits_for_its_queue_says_for_how_long(queue: Store, run: Callable[[Loop], None]) -> None:
    stuck, clock = Stuck(queue), ManualClock(SystemClock().now())
    loop = Loop(stuck, FAMILIES, clock, Log())
    run(loop)
    stuck.asked.wait(30)

    clock.advance(timedelta(seconds=121))

    said = ("the family fleet has not looked for work for 121 s",)
    until(lambda: loop.ailments() == said)
    stuck.go.set()
    until(lambda: loop.ailments() == ())


def test_who_works_once_has_no_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = "{}:{}".format(*taken.getsockname())
        gone = {"url": f"file://{tmp_path}/gone"}
        ended = Controller(Settings(state=tmp_path, listen=listen, repositories=(gone,))).once()

    assert ExitCode.UNREACHABLE == ended  # of the repository; nobody asked for the port
