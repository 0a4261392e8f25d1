"""The loop: a queue of names, workers, backoff, shutdown. The one place in the controller with a broad `except`.

Families of names are driven alike: feeds, fleets, statuses. A family's runner is told a name and gives the time of the
next run, or None. What it raises is logged, counted and backed off; it starves nobody else. A ledger that is away, for
seconds or for hours, is one line a try and family; what was claimed then comes again when its lease has run out.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import Random
from threading import Event, Lock, Thread
from typing import Protocol

from reconciler.ports import Clock, Due, Lease, LeaseLost, LedgerAway, Queue

Runner = Callable[[str, Lease], datetime | None]
BACKOFF_FIRST = timedelta(seconds=1)
BACKOFF_CAP = timedelta(minutes=5)
AWAY_CAP = timedelta(seconds=30)  # between two tries to ask a queue that is away
IDLE = 5.0  # seconds between looks of a family that nobody wakes
SILENCE = 120.0  # seconds in which every family looks for work, or learns that the queue is away, at least once


class Log(Protocol):
    """What the loop needs of a structured logger: a constant message and key/values."""

    def info(self, event: str, **values: object) -> object: ...
    def warning(self, event: str, **values: object) -> object: ...
    def exception(self, event: str, **values: object) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One kind of names: how many at once, for how long a lease, and what is run for each."""

    name: str
    run: Runner
    workers: int = 1
    lease: timedelta = timedelta(seconds=30)
    heartbeat: bool = False  # renewed while it runs: for reads that may take long, never for what acts


class Loop:
    """Claims names and runs them until told to stop."""

    def __init__(self, queue: Queue, families: Sequence[Family], clock: Clock, log: Log, *, seed: int = 0) -> None:
        self._queue, self._families, self._clock, self._log = queue, families, clock, log
        self._random = Random(seed)
        self._running: dict[str, tuple[Due, Family]] = {}
        self._lock = Lock()
        self._threads: tuple[Thread, ...] = ()
        self._looked_at: dict[str, float] = {}

    def run(self, stop: Event) -> None:
        """Work until `stop` is set; passes under way are let finish."""
        threads = [Thread(target=self._drive, args=(family, stop), name=family.name) for family in self._families]
        with self._heartbeats():
            for thread in threads:
                self._looked_at[thread.name] = self._clock.monotonic()
                thread.start()
            self._threads = tuple(threads)
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.5)  # a join without end would not hear a signal that reached another thread
                    if stop.is_set():
                        self._queue.wake()

    def ailments(self) -> tuple[str, ...]:
        """What keeps a loop that runs from working, as sentences. It asks nobody outside of this process.

        A queue that is away is no ailment: to begin anew would not bring it back.
        """
        return tuple(self._ailments())

    def _ailments(self) -> Iterator[str]:
        now = self._clock.monotonic()
        for thread in self._threads:
            silent = now - self._looked_at[thread.name]
            if not thread.is_alive():
                yield f"nothing drives the family {thread.name} any more"
            elif silent > SILENCE:
                yield f"the family {thread.name} has not looked for work for {silent:.0f} s"

    def under_way(self) -> tuple[str, ...]:
        """The names that are being worked on now."""
        with self._lock:
            return tuple(sorted(self._running))

    def drain(self, families: Sequence[str]) -> int:
        """Run every name that is due now in these families, in order, until none is; gives how many ran."""
        chosen = [family for name in families for family in self._families if family.name == name]
        ran = 0
        with self._heartbeats():
            while due := [(family, item) for family in chosen for item in self._claim(family, 1)]:
                for family, item in due:
                    self._pass(family, item)
                    ran += 1
        return ran

    def _drive(self, family: Family, stop: Event) -> None:
        with ThreadPoolExecutor(max_workers=family.workers, thread_name_prefix=family.name) as pool:
            under_way: set[Future[None]] = set()
            failures = 0
            while not stop.is_set():
                self._looked_at[family.name] = self._clock.monotonic()
                under_way = {future for future in under_way if not future.done()}
                free = family.workers - len(under_way)
                if not free:
                    wait_for(under_way, timeout=1.0, return_when=FIRST_COMPLETED)
                    continue
                items = self._claim_or_sleep(family, free)
                under_way |= {pool.submit(self._pass, family, item) for item in items or ()}
                failures = failures + 1 if items is None else 0
                if failures:
                    stop.wait(self._backoff(failures - 1, AWAY_CAP).total_seconds())

    def _claim_or_sleep(self, family: Family, limit: int) -> list[Due] | None:
        """What is due, after a sleep where nothing was; None when the queue could not be asked."""
        items: list[Due] = []

        def look() -> None:
            items.extend(self._claim(family, limit))
            if not items:
                self._queue.wait(IDLE)

        return items if self._survive("claim", look, family=family.name) else None

    def _claim(self, family: Family, limit: int) -> list[Due]:
        return self._queue.claim(family.name, limit, family.lease)

    def _pass(self, family: Family, due: Due) -> None:
        name = due.key.partition(":")[2]
        with self._lock:
            self._running[due.key] = (due, family)
        if not self._survive("pass", lambda: self._run(family, due, name), family=family.name, name=name):
            again_at = self._clock.now() + self._backoff(due.attempts, BACKOFF_CAP)
            self._survive("give back", lambda: self._queue.fail(due, again_at=again_at), family=family.name, name=name)
        with self._lock:
            self._running.pop(due.key, None)

    def _run(self, family: Family, due: Due, name: str) -> None:
        began = self._clock.monotonic()
        try:
            again_at = family.run(name, due.lease)
        except LeaseLost:  # or only the row moved on: then the name is still ours to give back at once
            self._queue.finish(due, again_at=self._clock.now())
            raise
        kept = self._queue.finish(due, again_at=again_at)
        took_ms = round((self._clock.monotonic() - began) * 1000)
        self._log.info("pass", family=family.name, name=name, took_ms=took_ms, again_at=again_at, lease_kept=kept)

    def _survive(self, what: str, action: Callable[[], object], **context: object) -> bool:
        """Run it. False when it raised anything but a lost lease: whatever one name does, the others go on."""
        try:
            action()
        except LeaseLost as lost:
            self._log.warning("lease lost", what=what, why=str(lost), **context)
        except LedgerAway as away:
            self._log.warning("the ledger is away", what=what, why=str(away), **context)
            return False
        except Exception:  # noqa: BLE001 - the one broad except of the controller
            self._log.exception("failed", what=what, **context)
            return False
        return True

    def _backoff(self, attempts: int, cap: timedelta) -> timedelta:
        ceiling = min(cap, BACKOFF_FIRST * (1 << min(attempts, 10)))
        return ceiling * self._random.uniform(0.5, 1.0)

    @contextmanager
    def _heartbeats(self) -> Iterator[None]:
        """Four beats a lease, until the last pass has ended: whoever dies is taken over soon."""
        leases = [family.lease for family in self._families if family.heartbeat]
        every = min(leases, default=timedelta(minutes=1)) / 4
        ended = Event()
        beating = Thread(target=self._beat, args=(ended, every.total_seconds()), name="heartbeats", daemon=True)
        beating.start()
        try:
            yield
        finally:
            ended.set()
            beating.join()

    def _beat(self, ended: Event, every: float) -> None:
        while not ended.wait(every):
            with self._lock:
                alive = [(due, family) for due, family in self._running.values() if family.heartbeat]
            for due, family in alive:
                self._survive("renew", partial(self._queue.renew, due, family.lease), name=due.key)
