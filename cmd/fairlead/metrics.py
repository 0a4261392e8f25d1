"""What this process counts for Prometheus, and the narrow hooks by which it is counted. `docs/metrics.md` lists it all.

Each controller has a registry of its own. Labels take few values: families, outcomes, and names out of the settings;
never a fleet.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from fairlead.metrics_ledger import LedgerCollector
from reconciler.loop import Family, Log
from reconciler.ports import Clock, Delivery, Forge, Lease, LeaseLost, Undelivered

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
POLLS = ("due", "unchanged", "failed")
WRITES = ("delivered", "put_off", "refused", "failed")


class Metrics:
    """One controller's figures."""

    def __init__(self, clock: Clock, families: Sequence[str] = (), repositories: Sequence[str] = ()) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the times at which counters were made tell nobody anything
        self.registry = CollectorRegistry()
        self._clock = clock
        self.families, self.repositories = tuple(families), tuple(repositories)
        ProcessCollector(registry=self.registry)
        self._count_the_loop()
        self._count_the_outside()

    def _count_the_loop(self) -> None:
        built = Gauge("fairlead_build_info", "The version that runs; always 1.", ["version"], registry=self.registry)
        built.labels(version("fairlead")).set(1)
        self._passes = Histogram(
            "fairlead_pass_duration_seconds",
            "How long passes took, by family and how they ended: done, failed or lease_lost.",
            ["family", "outcome"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._running = Gauge("fairlead_passes_running", "Passes under way.", ["family"], registry=self.registry)
        self._lost = Counter("fairlead_leases_lost", "Leases that ran out under a pass.", registry=self.registry)
        self._failures = Counter(
            "fairlead_loop_failures",
            "What raised in the loop: claim, pass, give_back or renew.",
            ["what"],
            registry=self.registry,
        )
        for family in self.families:
            self._passes.labels(family, "done")
            self._running.labels(family)

    def _count_the_outside(self) -> None:
        self._polls = Counter(
            "fairlead_git_polls",
            "Looks at a repository's head: due (moved, or not readable), unchanged or failed.",
            ["repository", "result"],
            registry=self.registry,
        )
        self._writes = Counter(
            "fairlead_forge_writes",
            "Statuses offered to the forge: delivered, put_off, refused; failed: calls that raised.",
            ["repository", "result"],
            registry=self.registry,
        )
        self._hooks = Counter(
            "fairlead_webhooks",
            "Webhooks received, by what became of them.",
            ["forge", "result"],
            registry=self.registry,
        )
        self._requests = Counter(
            "fairlead_http_requests", "Answers of this server.", ["route", "code"], registry=self.registry
        )
        self.reports_dropped = Tally(
            "fairlead_reports_dropped", "Messages of the reports queues that did not count.", "why"
        )
        self.plumbing_steps = Tally("fairlead_plumbing_steps", "What was made, changed and removed of queues.", "step")
        self.registry.register(self.reports_dropped)
        self.registry.register(self.plumbing_steps)
        for name in self.repositories:
            for result in POLLS:
                self._polls.labels(name, result)
            for result in WRITES:
                self._writes.labels(name, result)

    def text(self, ledger: LedgerCollector) -> bytes:
        """Everything in Prometheus' text format: what this process counted, and what the ledger says."""
        asked = CollectorRegistry()
        asked.register(ledger)
        return generate_latest(self.registry) + generate_latest(asked)

    # ── hooks ──

    def timed(self, family: Family) -> Family:
        """The family with a runner that is measured."""

        def run(name: str, lease: Lease) -> datetime | None:
            with self._pass(family.name):
                return family.run(name, lease)

        return replace(family, run=run)

    @contextmanager
    def _pass(self, family: str) -> Iterator[None]:
        began, outcome = self._clock.monotonic(), "failed"
        with self._running.labels(family).track_inprogress():
            try:
                yield
                outcome = "done"
            except LeaseLost:
                outcome = "lease_lost"
                raise
            finally:
                self._passes.labels(family, outcome).observe(self._clock.monotonic() - began)

    @contextmanager
    def polled(self, repository: str) -> Iterator[Callable[[bool], None]]:
        """Counts one look at a head; call what is given with whether it is due."""
        result = ["failed"]
        try:
            yield lambda is_due: result.__setitem__(0, "due" if is_due else "unchanged")
        finally:
            self._polls.labels(repository, result[0]).inc()

    def lease_lost(self) -> None:
        """A lease ran out under a pass."""
        self._lost.inc()

    def failed(self, what: str) -> None:
        """Something raised in the loop."""
        self._failures.labels(what.replace(" ", "_")).inc()

    def hooked(self, forge: str, result: str) -> None:
        """A webhook was answered."""
        self._hooks.labels(forge, result).inc()

    def answered(self, route: str, status: int) -> None:
        """Any request was answered."""
        self._requests.labels(route, str(status)).inc()

    def counted(self, repository: str, forge: Forge) -> Forge:
        """The forge with its writes counted."""
        return CountedForge(repository, forge, self._writes)


class Tally(Collector):
    """A counter whose figures another object keeps, by the value of its one label."""

    def __init__(self, name: str, meaning: str, label: str) -> None:
        self.counts: Mapping[str, int] = {}
        self._name, self._meaning, self._label = name, meaning, label

    def collect(self) -> Iterator[CounterMetricFamily]:
        """As Prometheus asks."""
        family = CounterMetricFamily(self._name, self._meaning, labels=[self._label])
        for value, count in sorted(dict(self.counts).items()):
            family.add_metric([value], count)
        yield family


class CountedForge:
    """A forge, and the figures of what it delivers. Implements `reconciler.ports.Forge`."""

    def __init__(self, repository: str, forge: Forge, writes: Counter) -> None:
        self._repository, self._forge, self._writes = repository, forge, writes

    def deliver(self, lease: Lease, statuses: Sequence[Undelivered], now: datetime) -> Sequence[Delivery]:
        """As the forge does."""
        results: Sequence[Delivery] | None = None
        try:
            results = self._forge.deliver(lease, statuses, now)
        finally:
            for outcome in ["failed"] if results is None else map(_fate, results):
                self._writes.labels(self._repository, outcome).inc()
        return results


def _fate(result: Delivery) -> str:
    if result.delivered:
        return "delivered"
    return "refused" if result.retry_at is None else "put_off"


class CountingLog:
    """The loop's log, and the figures of what it says. Implements `reconciler.loop.Log`."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log, self._metrics = log, metrics

    def info(self, event: str, **values: object) -> object:
        """A pass that could not give its name back had lost its lease."""
        if values.get("lease_kept") is False:
            self._metrics.lease_lost()
        return self._log.info(event, **values)

    def warning(self, event: str, **values: object) -> object:
        """Lost leases are told here, and a ledger that was away for a step of the loop."""
        if event == "lease lost":
            self._metrics.lease_lost()
        elif "what" in values:
            self._metrics.failed(str(values["what"]))
        return self._log.warning(event, **values)

    def exception(self, event: str, **values: object) -> object:
        """Whatever else was raised."""
        self._metrics.failed(str(values.get("what", event)))
        return self._log.exception(event, **values)
