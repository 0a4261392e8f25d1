"""The process: a listener, a sender, and a worker for each fleet, each in a thread that nothing ends but the agent.

Here is the agent's only broad `except`: what nobody thought of is logged, and the thread goes on. A fleet that meets it
reports nothing, which the controller counts; the service on the host is not touched.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

from adapters.agent_protocol.reports import Report
from fairlead_agent.belonging import Belonging, Taken
from fairlead_agent.clock import Clock, jittered
from fairlead_agent.cloud import Cloud
from fairlead_agent.identity import Identity
from fairlead_agent.itself import Itself
from fairlead_agent.journal import Journal
from fairlead_agent.keyring import Keyring
from fairlead_agent.life import LOOK, Life, Means
from fairlead_agent.listening import Listener
from fairlead_agent.log import Log
from fairlead_agent.orders import Orders
from fairlead_agent.outputs import adopt
from fairlead_agent.reach import Reach, runner
from fairlead_agent.reporting import Numbers, Sender
from fairlead_agent.settings import Settings
from fairlead_agent.watching import Elsewhere, Watcher
from fairlead_agent.worker import Ways, Worker

AFTER_SURPRISE = 5.0  # seconds
FIRST_LOOK = 30.0  # seconds; without any look a fleet goes on with what it remembers
LOOK_UP = 1.0  # seconds; a signal that another thread receives does not wake the one that waits for it
LEAVE = 20.0  # seconds that threads have to end; systemd would wait for 30
LAST_WORD = 5.0  # seconds that the last reports have to go
SELDOM = 60.0  # seconds; a heartbeat that is rarer comes near to what controllers call silence
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class CannotStart(Exception):
    """The message is one sentence that names the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What an agent lives in."""

    settings: Settings
    identity: Identity
    cloud: Cloud
    clock: Clock
    log: Log
    report_only: bool = False
    begun_anew: str = ""  # why nothing is remembered, where the state was another instance's
    belonging: Belonging | None = None  # whose that state is; None: nobody else can come to it
    itself: Itself = field(default_factory=lambda: Itself(version=agent_version()))


class Agent:
    """One host's agent. `run` lives until `ending` is set; `run_once` looks once."""

    def __init__(self, around: Surroundings) -> None:
        settings = around.settings
        self._around = around
        self._sender = Sender(
            lambda: around.cloud.client("sqs"),
            Numbers(settings.state / "number"),
            settings.heartbeat,
            around.clock,
            around.log,
            around.itself.was_sent,
        )
        self._keys = Keyring(settings.keys, around.cloud, around.clock, around.log)
        self.workers: Sequence[Worker | Watcher] = [self._worker(name) for name in settings.fleets]
        self.taken = ""  # why it ended by itself: another instance uses its state
        self._life = Life(
            Means(
                settings=settings,
                host=around.identity.host,
                client=lambda: around.cloud.client("autoscaling"),
                sender=self._sender,
                clock=around.clock,
                log=around.log,
                acts=not (around.report_only or settings.report_only),
            ),
            self.workers,
        )

    def _worker(self, fleet: str) -> Worker | Watcher:
        around, settings = self._around, self._around.settings
        blank = Report(host=around.identity.host, fleet=fleet, agent=agent_version(), number=0, at=_EPOCH)
        elsewhere = Elsewhere(fleet, settings.fleets[fleet], runner(settings.rehearsal))
        if around.report_only or settings.report_only:
            return Watcher(fleet, elsewhere, self._sender.post, blank)
        journal = _journal(settings.state / "fleets", fleet)
        journal.lost = journal.lost or around.begun_anew
        if journal.lost:
            around.log("memory-lost", fleet=fleet, why=journal.lost)
        ways = Ways(
            orders=Orders(
                lambda: around.cloud.client("s3"),
                settings.bucket,
                fleet,
                self._keys,
                keyless=lambda: self._keys.trouble,
                was_read=around.itself.was_read,
            ),
            journal=journal,
            hands=Reach(settings.rehearsal, around.cloud, around.identity, fleet, around.itself, around.log),
            elsewhere=elsewhere,
            post=self._sender.post,
        )
        worker = Worker(blank, ways, around.clock, around.log)
        around.itself.others[fleet] = worker.make_room
        return worker

    def run(self, ending: Event) -> None:
        """Live until `ending` is set. Work that is under way is interrupted then, and resumed by the next agent."""
        self._around.log("begins", version=agent_version(), host=self._around.identity.host)
        if self._around.settings.heartbeat > SELDOM:
            fix = "keep it well below `deploy.silent_after` of every fleet, which is 3m by default"
            self._around.log("seldom-heard", heartbeat=f"{self._around.settings.heartbeat:g}s", fix=fix)
        adopt()
        threads = [Thread(target=self._work, args=(each, ending), name=each.fleet) for each in self.workers]
        also = (self._listen, self._send, self._live, self._claim, self._hand_over)
        beside = [Thread(target=each, args=(ending,)) for each in also]
        for thread in (*threads, *beside):
            thread.daemon = True  # one that hangs in a call does not keep the process
            thread.start()
        self._end_workers(ending)
        until = self._around.clock.monotonic() + LEAVE
        for thread in threads:
            thread.join(max(0.0, until - self._around.clock.monotonic()))
        last = Thread(target=lambda: self._sender.send_due(last=True), daemon=True)  # AWS may be away
        last.start()
        last.join(LAST_WORD)
        self._around.log("ends", version=agent_version())

    def run_once(self, ending: Event) -> bool:
        """Look once, converge, report; whether all fleets are where they should be. `ending` interrupts."""
        Thread(target=self._end_workers, args=(ending,), daemon=True).start()
        for worker in self.workers:
            worker.look()
            worker.work()
        self._sender.send_due(last=True)
        return not ending.is_set() and all(worker.is_settled for worker in self.workers)

    def _end_workers(self, ending: Event) -> None:
        """As a thread: a signal's own function may not wait for what the thread that it cut into holds."""
        while not ending.wait(LOOK_UP):
            pass
        for worker in self.workers:
            worker.end()

    # Threads

    def _work(self, worker: Worker | Watcher, ending: Event) -> None:
        worker.wake.wait(FIRST_LOOK)
        while not ending.is_set():
            if not self._guarded(worker.work, ending):
                self._sender.silence(worker.fleet)
            worker.wake.wait(jittered(self._around.settings.heartbeat))

    def _listen(self, ending: Event) -> None:
        around = self._around
        looks = {worker.fleet: partial(self._guarded, worker.look, ending) for worker in self.workers}
        listener = Listener(
            lambda: around.cloud.client("sqs"),
            around.identity.host,
            looks,
            around.settings.poll,
            around.clock,
            around.log,
        )
        while not ending.is_set():
            self._guarded(lambda: listener.listen(ending), ending)

    def _live(self, ending: Event) -> None:
        while not ending.is_set():
            self._guarded(lambda: self._life.step(ending), ending)
            ending.wait(jittered(min(LOOK, self._around.settings.poll)))

    def _claim(self, ending: Event) -> None:
        """Two hosts with one state would both carry out what it remembers: this one ends."""
        belonging = self._around.belonging
        while belonging is not None and not ending.wait(belonging.every):
            try:
                belonging.beat()
            except Taken as taken:
                self.taken = str(taken)
                ending.set()

    def _hand_over(self, ending: Event) -> None:
        """Another agent is to take over. What that could not go on with ends first, however long it takes."""
        leaving = self._around.itself.leaving
        while not ending.is_set():
            if not leaving.wait(LOOK_UP):
                continue
            if any(worker.is_preparing for worker in self.workers):
                ending.wait(LOOK_UP)
            else:
                ending.set()

    def _send(self, ending: Event) -> None:
        while not ending.is_set():
            self._sender.wait()
            self._guarded(self._sender.send_due, ending)

    def _guarded(self, step: Callable[[], Any], ending: Event) -> bool:
        """Whether it went as somebody thought of."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 the outermost loop: a surprise must not end the agent
            self._around.log("surprised", why=f"{type(error).__name__}: {error}", where=_where(error))
            ending.wait(AFTER_SURPRISE)
            return False
        return True


@contextmanager
def alone(state: Path) -> Iterator[None]:
    """The only agent that uses this state. Raises `CannotStart`."""
    try:
        _made(state)
        lock = (state / "lock").open("a")
    except OSError as error:
        raise CannotStart(
            f"cannot use {state} as state: {error.strerror}; it must be a folder of the agent's"
        ) from None
    with lock:
        _hold(lock, state)
        yield


def _hold(lock: IO[str], state: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise CannotStart(f"another agent uses {state}; end it first, or give this one a state of its own") from None


def agent_version() -> str:
    """The installed version."""
    try:
        return version("fairlead")
    except PackageNotFoundError:
        return "unknown"


def _journal(folder: Path, fleet: str) -> Journal:
    """The fleet's memory, read. Raises `CannotStart`."""
    try:
        journal = Journal(_made(folder), fleet)
    except OSError as error:
        raise CannotStart(f"cannot use {folder}: {error.strerror}; it must be a folder of the agent's") from None
    journal.load()
    return journal


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _where(error: BaseException) -> str:
    """The innermost place, for whoever mends it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else "?"
