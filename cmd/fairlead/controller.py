"""The controller: timers and the loop over every family of names, until told to stop."""

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

import structlog
from apscheduler.schedulers.background import BackgroundScheduler

from desired_state.model import Fleet, Sha
from fairlead import wiring
from fairlead.catching_up import catch_up
from fairlead.exit_codes import ExitCode
from fairlead.metrics import CountingLog, Metrics
from fairlead.settings import Settings, SettingsError
from fairlead.wiring import Parts
from reconciler import outlets
from reconciler.aside import awake
from reconciler.look import is_quiet
from reconciler.loop import Family, Loop, Runner
from reconciler.outbox import Outbox
from reconciler.ports import Lease, LedgerAway, Unreadable
from reconciler.reconcile import reconcile
from reconciler.record import Record
from reconciler.rollup import RollUps

SWEPT_AT_ONCE = 200
FEEDS = ("inventory", "plumbing", "executions", "reports")
REPORTERS = ("rollup", *outlets.FAMILIES)
ORDER = ("repository", *FEEDS, "fleet", "pulls", *REPORTERS)
AFTER_A_HEAD = timedelta(seconds=3)  # what it deploys goes first, and then the plans of pull requests
ENDS = (signal.SIGTERM, signal.SIGINT)
LEAST_TELLERS, MOST_TELLERS = 2, 32  # of one family: one for each repository, and for each channel
LEAST_READERS = 4  # of reports: they wait for messages, and must not wait for each other


def run(settings: Settings, *, observe_only: bool = False) -> int:
    """Run until SIGTERM or SIGINT; passes under way are let finish. Gives the exit code.

    A second signal ends the process at once, and so does, with exit code 4, a pass that outlives its lease and one
    request: then nothing that it does counts any more, and its lease runs out by itself.
    Raises `Refused` where `listen` cannot be had.
    """
    controller = Controller(settings, observe_only=observe_only)
    stop = Event()

    def end(*_: object) -> None:
        for number in ENDS:
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in ENDS:
        signal.signal(number, end)
    Thread(target=controller.end_anyway, args=(stop,), name="grace", daemon=True).start()
    controller.run(stop)
    return ExitCode.OK


def once(settings: Settings, *, observe_only: bool = False) -> int:
    """Every feed, every fleet that is due and every status, once.

    Gives 0 when every fleet is ready, else 1; 3 when something could not be read.
    """
    return Controller(settings, observe_only=observe_only).once()


class Controller:
    """One controller process over one ledger."""

    def __init__(self, settings: Settings, *, observe_only: bool = False) -> None:
        if not settings.repositories:
            raise SettingsError("no [[repositories]] in the settings: name at least one, with its url")
        configure_logs()
        self._log = structlog.get_logger("fairlead")
        self._settings = settings
        self._parts: Parts = wiring.assemble(settings, observe_only=observe_only)
        self._known_feeds: set[str] = set()
        self._fed: dict[str, Sha | None] = {}  # the heads whose fleets' feeds were woken
        self._reads_on = True  # reports are read without a pause
        self._names = [item.name for item in settings.repositories]
        clock = self._parts.world.clock
        self.metrics = Metrics(clock, (*ORDER, "sweep"), self._names)
        self.metrics.reports_dropped.counts = self._parts.reports.dropped
        self.metrics.plumbing_steps.counts = self._parts.plumbing.did
        families = [self.metrics.timed(family) for family in self._families()]
        self.loop = Loop(self._parts.ledger, families, clock, CountingLog(self._log, self.metrics))

    def run(self, stop: Event) -> None:
        """Work until `stop` is set. Raises `Refused` or `SettingsError` where `listen` cannot be had."""
        try:
            with self._serving(stop):
                self._log.info("controller started", repositories=self._names)
                self._catch_up(stop)
                Thread(target=self._make_clients, name="clients", daemon=True).start()
                with self._timers():
                    self._wake_everything()
                    self.loop.run(stop)
        finally:
            self.close()
        self._log.info("controller stopped")

    def _catch_up(self, stop: Event) -> None:
        try:
            if not catch_up(self._parts, self._names, self.loop, stop) and not stop.is_set():
                self._log.warning("acts on the commits that the ledger knows", why="a repository cannot be read")
        except LedgerAway as away:
            self._log.warning("the ledger is away", what="catch up", why=str(away))

    def close(self) -> None:
        """Let go of the ledger, the mirrors and the connections."""
        self._parts.close()

    def _make_clients(self) -> None:
        """So that the first deploy finds them made. What keeps them from it is told by who needs one."""
        try:
            self._log.info("clients of AWS are made", clients=self._parts.make_clients())
        except (Unreadable, LedgerAway) as trouble:
            self._log.info("clients of AWS are made when they are needed", why=str(trouble))

    def end_anyway(self, stop: Event) -> None:
        """Wait for `stop`, then for as long as a pass may take; a process that is still there then ends hard."""
        stop.wait()
        grace = self._settings.settle  # the lease, and a request that was sent at its end
        Event().wait(grace.total_seconds())
        self._log.error("ended with passes under way", after=grace, under_way=self.loop.under_way())
        sys.stderr.flush()
        os._exit(ExitCode.STUCK)

    @contextmanager
    def _serving(self, stop: Event) -> Iterator[None]:
        """The HTTP server, from before the loop begins until it has ended."""
        if not self._settings.listen:
            yield
            return
        from fairlead.http.serving import Served, serving

        served = Served(
            ledger=self._parts.ledger,
            hooks=self._parts.hooks,
            repositories=self._names,
            ailments=lambda: () if stop.is_set() else self.loop.ailments(),
            metrics=self.metrics,
            clock=self._parts.world.clock,
            log=self._log,
            stop=stop,
        )
        with serving(self._settings.listen, served):
            yield

    def once(self) -> ExitCode:
        """One run of everything that is due."""
        self._reads_on = False
        for notifier in self._parts.notifiers.values():
            notifier.hurry()  # all that is to be told in this run is known before the first of it is
        self._wake_everything()
        self.loop.drain(("repository",))
        self.loop.drain(FEEDS)
        self._parts.ledger.add(f"fleet:{record.name}" for record in self._parts.ledger.fleets())
        self.loop.drain(ORDER)
        self._wake_reporters()  # roll-ups wait a moment for more words, and there are no more
        self.loop.drain(REPORTERS)
        ready = all(record.memory.status.ready for record in self._parts.ledger.fleets() if record.present)
        troubles = self._parts.ledger.troubles()
        for feed, message in troubles.items():
            self._log.error("cannot be read", feed=feed, trouble=message)
        self.close()
        unread = [feed for feed in troubles if not feed.startswith("pulls/")]  # of which no fleet depends
        return ExitCode.UNREACHABLE if unread else ExitCode.OK if ready else ExitCode.FOUND

    # ── families ──

    def _families(self) -> tuple[Family, ...]:
        parts, clock, lease = self._parts, self._parts.world.clock, self._settings.lease
        tellers = {**parts.forges, **parts.notifiers}
        counted = {name: self.metrics.counted(name, teller) for name, teller in tellers.items()}
        outbox = Outbox(parts.ledger, counted, wiring.answering_on(self._settings, "head"))
        readers = max(LEAST_READERS, self._settings.workers)
        return (
            Family(name="repository", run=self._read_repository, workers=2, lease=lease, heartbeat=True),
            Family(name="inventory", run=self._read_inventory, workers=2, lease=lease, heartbeat=True),
            Family(name="plumbing", run=self._keep_plumbing, workers=2, lease=lease),
            Family(name="executions", run=parts.executions.run, workers=2, lease=lease, heartbeat=True),
            Family(name="reports", run=self._read_reports, workers=readers, lease=lease, heartbeat=True),
            Family(name="fleet", run=self._reconcile, workers=self._settings.workers, lease=lease),
            Family(name="pulls", run=self._plan_pulls, workers=2, lease=lease, heartbeat=True),
            Family(name="rollup", run=RollUps(parts.ledger, clock).run, lease=lease),
            *self._tellers(outbox.run, lease),
            Family(name="sweep", run=self._sweep, lease=lease, heartbeat=True),
        )

    def _tellers(self, run: Runner, lease: timedelta) -> Iterator[Family]:
        """What statuses are told with waits for no other repository, and for nobody but forges."""
        repositories, channels = len(self._parts.forges), len(self._parts.notifiers)
        wanted = {outlets.STATUSES: repositories, outlets.FURTHER: 2 * repositories, outlets.NOTICES: channels}
        for name, places in wanted.items():
            workers = min(max(LEAST_TELLERS, places), MOST_TELLERS)
            yield Family(name=name, run=run, workers=workers, lease=lease, heartbeat=True)

    def _reconcile(self, name: str, lease: Lease) -> datetime | None:
        again_at = reconcile(name, self._parts.world, lease)
        if again_at is not None:  # something moves: the bulk poll of executions may have gone to sleep
            polled = self._parts.world.clock.now() + self._settings.executions_interval
            self._parts.ledger.add(self._executions, due=polled)
        return again_at

    @property
    def _executions(self) -> list[str]:
        return sorted(feed for feed in self._known_feeds if feed.startswith("executions:"))

    def _read_repository(self, name: str, lease: Lease) -> datetime | None:
        again_at = self._parts.repositories.run(name, lease)
        self._tell_trouble(f"repository/{name}")
        self._feed_head(name)
        return again_at

    def _read_inventory(self, name: str, lease: Lease) -> datetime | None:
        """Where the instances of fleets changed, their queues are looked at."""
        again_at = self._parts.inventories.run(name, lease)
        if changed := self._parts.inventories.changed(name):
            records = self._parts.ledger.some(changed)
            fleets = [record.desired for record in records if record.desired is not None]
            self._parts.ledger.add(sorted({f"plumbing:{kept}" for kept in self._parts.plumbing.names(fleets)}))
        if again_at is None:
            self._forget_feed(f"inventory:{name}")
        return again_at

    def _keep_plumbing(self, name: str, lease: Lease) -> datetime | None:
        again_at = self._parts.plumbing.run(name, lease)
        self._tell_trouble(f"plumbing/{name}")
        return again_at

    def _read_reports(self, name: str, lease: Lease) -> datetime | None:
        """One look at a queue. Where everything is done once, the next is not due before this program has ended."""
        again_at = self._parts.reports.run(name, lease)
        self._tell_trouble(f"reports/{name}")
        if again_at is None:
            self._forget_feed(f"reports:{name}")
        if again_at is None or self._reads_on:
            return again_at
        return max(again_at, self._parts.world.clock.now() + self._settings.inventory_interval)

    def _plan_pulls(self, name: str, lease: Lease) -> datetime | None:
        again_at = self._parts.pulls.run(name, lease)
        self._tell_trouble(f"pulls/{name}")
        return again_at

    def _forget_feed(self, feed: str) -> None:
        """It has ended, as no fleet is there any more: it is news again when one comes back."""
        self._known_feeds = self._known_feeds - {feed}

    def _feed_head(self, name: str) -> None:
        """A new head may need new feeds: of its changed fleets, or of all where it was not this run that wrote it."""
        head = self._parts.ledger.heads().get(name)
        if head == self._fed.get(name):
            return
        if changed := self._parts.repositories.changed(name):
            self._wake_feeds_of(self._parts.ledger.some(changed))
        else:
            self._wake_feeds()
        self._fed[name] = head
        if name in self._parts.pulls.names:
            self._parts.ledger.add([f"pulls:{name}"], due=self._parts.world.clock.now() + AFTER_A_HEAD)

    def _tell_trouble(self, feed: str) -> None:
        """What cannot be read stands in the log too, once for each failed read."""
        if message := self._parts.ledger.troubles().get(feed):
            self._log.warning("cannot be read", feed=feed, why=message)

    def _sweep(self, name: str, lease: Lease) -> datetime | None:
        """Re-decide every fleet in one claim; only those that would do something become due. Then prune."""
        ledger, world = self._parts.ledger, self._parts.world
        names = [record.name for record in ledger.fleets()]
        for start in range(0, len(names), SWEPT_AT_ONCE):
            lease.check()
            whole = ledger.load_many(names[start : start + SWEPT_AT_ONCE])
            ledger.add(f"fleet:{record.name}" for record in whole if self._is_restless(record))
        ledger.prune(world.clock.now())
        self._rouse_feeds()
        return world.clock.now() + self._settings.sweep_interval

    def _rouse_feeds(self) -> None:
        """A feed that ended while no fleet was there is due again, whichever process saw the fleet come back."""
        self._wake_feeds()
        feeds = sorted(feed for feed in self._known_feeds if feed.startswith(("inventory:", "plumbing:", "reports:")))
        self._parts.ledger.add(feeds, due=self._parts.world.clock.now() + self._settings.inventory_interval)

    def _is_restless(self, record: Record) -> bool:
        record = awake(record, self._parts.world.clock.now())
        if record.desired is None:
            return False
        return not is_quiet(record, self._parts.world.deployers[record.desired.deploy_type])

    # ── timers and waking ──

    @contextmanager
    def _timers(self) -> Iterator[None]:
        """Each process polls heads by itself: one round trip, no ledger; only a moved head becomes due."""
        timers = BackgroundScheduler(timezone="UTC", executors={"default": {"type": "threadpool", "max_workers": 4}})
        seconds = self._settings.poll_interval.total_seconds()
        for name in self._names:
            timers.add_job(self._poll, "interval", args=[name], seconds=seconds, jitter=seconds / 10, max_instances=1)
        seconds = self._settings.sweep_interval.total_seconds()
        timers.add_job(self._learn, "interval", seconds=seconds, jitter=seconds / 10, max_instances=1)
        timers.start()
        try:
            yield
        finally:
            timers.shutdown(wait=False)

    def _learn(self) -> None:
        """Another process may have read of fleets that need other feeds."""
        try:
            self._wake_feeds()
        except LedgerAway as away:
            self._log.warning("the ledger is away", what="feeds", why=str(away))

    def _poll(self, name: str) -> None:
        """A head that could not be told to the ledger is news at the next poll too."""
        with self.metrics.polled(name) as found:
            is_due = self._parts.repositories.poll(name)
            if is_due:
                try:
                    self._parts.ledger.add([f"repository:{name}"])
                except LedgerAway as away:
                    self._log.warning("the ledger is away", what="poll", why=str(away), name=name)
            found(is_due)

    def _wake_everything(self) -> None:
        self._parts.ledger.add(["sweep:all", *(f"repository:{name}" for name in self._names)])
        self._parts.ledger.add(f"pulls:{name}" for name in self._parts.pulls.names)
        self._wake_reporters()
        self._wake_feeds()

    def _wake_reporters(self) -> None:
        ledger = self._parts.ledger
        ledger.add(f"rollup:{name}" for name in self._names)
        ledger.add(outlets.key_of(outlet) for outlet in {*self._names, *ledger.outlets()})

    def _wake_feeds(self) -> None:
        """Feeds keep themselves due; each is woken once by each process that learns of it."""
        known = self._wake_feeds_of(self._parts.ledger.fleets())
        self._known_feeds = known

    def _wake_feeds_of(self, records: Iterable[Record]) -> set[str]:
        feeds = set(feeds_of(record.desired for record in records if record.desired is not None and record.present))
        self._parts.ledger.add(sorted(feeds - self._known_feeds))
        self._known_feeds = self._known_feeds | feeds
        return feeds


def feeds_of(fleets: Iterable[Fleet]) -> Iterable[str]:
    """The bulk reads that these fleets need, as names of the queue."""
    for fleet in fleets:
        for region in fleet.environment.regions:
            yield f"inventory:{fleet.environment.account}/{region}"
        if url := fleet.environment.spinnaker.get("url"):
            yield f"executions:{url}"
        yield from (f"reports:{name}" for name in wiring.reports_of(fleet))
        yield from (f"plumbing:{name}" for name in wiring.plumbing_of(fleet))


def configure_logs() -> None:
    """JSON off a terminal, readable on one; always on stderr, so that stdout stays for answers."""
    on_terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
