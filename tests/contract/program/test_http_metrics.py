"""Metrics: what is counted where, what the ledger's figures say, and that the page of metrics lists them all."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from adapters.clock import ManualClock
from adapters.ledger.figures import FeedFigures, LedgerFigures, Pile
from adapters.ledger.store import Store, open_ledger
from fairlead.controller import Controller
from fairlead.metrics import CountingLog, Metrics
from fairlead.metrics_ledger import LedgerCollector
from fairlead.settings import Settings
from reconciler.loop import Family
from reconciler.ports import Delivery, Due, Lease, LeaseLost

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
BEGUN = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
FIGURES = LedgerFigures(
    due={"fleet": Pile(count=3, oldest=12.5)},
    held={"fleet": 2},
    fleets={("prod", "Held"): 4},
    intents={"running": 1},
    undelivered={("main", "status"): Pile(count=7, oldest=61.0)},
    refused={("main", "comment"): 3},
    pending={"main": Pile(count=2, oldest=3600.0)},
    stuck={"main": 1},
    feeds={
        "repository/main": FeedFigures(age=1.5, trouble=False),
        "executions/https://gate": FeedFigures(age=None, trouble=True),
    },
)


class Sheet(dict[tuple[str, tuple[tuple[str, str], ...]], float]):
    """A scrape: `sheet.of("name", label="value")`."""

    @classmethod
    def read(cls, text: bytes) -> "Sheet":
        samples = [sample for family in parsed(text.decode()) for sample in family.samples]
        return cls({(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples})

    def of(self, name: str, **labels: str) -> float | None:
        return self.get((name, tuple(sorted(labels.items()))))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(BEGUN)


@pytest.fixture
def metrics(clock: ManualClock) -> Metrics:
    return Metrics(clock, ("fleet", "repository"), ("main",))


@pytest.fixture
def ledger(tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    yield store
    store.close()


def sheet(metrics: Metrics, figures: LedgerFigures | None = FIGURES) -> Sheet:
    return Sheet.read(metrics.text(LedgerCollector(figures, metrics.families, metrics.repositories)))


class Nobody:
    """Hears what the loop says."""

    def info(self, event: str, **values: object) -> None: ...

    warning = exception = info


class Tells:
    """A forge that answers as it is told."""

    def __init__(self, *results: Delivery) -> None:
        self._results = results

    def deliver(self, lease: Any, statuses: Any, now: Any) -> Sequence[Delivery]:
        if not self._results:
            raise ConnectionError("the forge is away")
        return self._results


def claimed(ledger: Store, key: str) -> Due:
    ledger.add([key])
    (due,) = ledger.claim(key.partition(":")[0], 1, timedelta(seconds=30))
    return due


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────────────


def exercised(metrics: Metrics, ledger: Store) -> bytes:
    """A scrape in which every metric has a sample."""
    lease = claimed(ledger, "fleet:prod/checkout").lease
    metrics.timed(Family(name="fleet", run=lambda *_: None)).run("prod/checkout", lease)
    metrics.counted("main", Tells(Delivery(id=1, sequence=1, delivered=True))).deliver(lease, (), BEGUN)
    CountingLog(Nobody(), metrics).exception("failed", what="give back")
    metrics.hooked("gitlab", "queued")
    metrics.answered("/healthz", 200)
    metrics.reports_dropped.counts = {"report_malformed": 1}
    metrics.plumbing_steps.counts = {"queue_made": 2}
    return metrics.text(LedgerCollector(FIGURES, metrics.families, metrics.repositories))


def test_every_metric_is_on_the_page_with_its_type_and_labels(metrics: Metrics, ledger: Store) -> None:
    shown: dict[str, tuple[str, set[str]]] = {}
    for family in parsed(exercised(metrics, ledger).decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        if not name.startswith("process_"):
            shown[name] = (family.type, {label for each in family.samples for label in each.labels} - {"le"})
    rows = re.findall(r"^\| `(fairlead_\w+)` \| (\w+) \|([^|]*)\| \S", PAGE, re.M)

    assert shown == {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def test_every_expression_on_the_page_speaks_of_metrics_that_are_there(metrics: Metrics, ledger: Store) -> None:
    there = {sample.name for family in parsed(exercised(metrics, ledger).decode()) for sample in family.samples}

    assert set() == set(re.findall(r"fairlead_\w+", PAGE.partition("## What to be woken for")[2])) - there


def test_what_every_process_shows_is_there(metrics: Metrics) -> None:
    assert (sheet(metrics).of("process_resident_memory_bytes") or 0) > 1_000_000


# ── what a process counts ────────────────────────────────────────────────────────────────────────────────────────


def test_passes_are_measured_by_family_and_end(metrics: Metrics, clock: ManualClock, ledger: Store) -> None:
    def slow(name: str, lease: Lease) -> None:
        clock.advance(timedelta(seconds=3))
        if name == "lost":
            raise LeaseLost("somebody else has it")
        if name == "broken":
            raise ZeroDivisionError

    timed = metrics.timed(Family(name="fleet", run=slow, workers=7, heartbeat=True))
    timed.run("fine", claimed(ledger, "fleet:fine").lease)
    for name, error in (("lost", LeaseLost), ("broken", ZeroDivisionError)):
        with pytest.raises(error):
            timed.run(name, claimed(ledger, f"fleet:{name}").lease)
    scrape = sheet(metrics)

    assert (7, True) == (timed.workers, timed.heartbeat)
    for outcome in ("done", "lease_lost", "failed"):
        assert 3.0 == scrape.of("fairlead_pass_duration_seconds_sum", family="fleet", outcome=outcome)
    assert 0 == scrape.of("fairlead_passes_running", family="fleet")
    assert 0 == scrape.of("fairlead_pass_duration_seconds_count", family="repository", outcome="done")


def test_lost_leases_and_failures_are_counted_where_the_loop_tells_of_them(metrics: Metrics) -> None:
    log = CountingLog(Nobody(), metrics)
    log.info("pass", lease_kept=True)
    log.info("pass", lease_kept=False)
    log.warning("lease lost", what="pass")
    log.warning("something else")
    log.exception("failed", what="claim")

    assert 2 == sheet(metrics).of("fairlead_leases_lost_total")
    assert 1 == sheet(metrics).of("fairlead_loop_failures_total", what="claim")


def test_writes_to_a_forge_are_counted_by_what_became_of_them(metrics: Metrics, ledger: Store) -> None:
    lease = claimed(ledger, "statuses:main").lease
    results = [
        Delivery(id=1, sequence=1, delivered=True),
        Delivery(id=2, sequence=1, delivered=False, retry_at=BEGUN),
        Delivery(id=3, sequence=1, delivered=False, message="no such commit"),
    ]

    assert results == list(metrics.counted("main", Tells(*results)).deliver(lease, (), BEGUN))
    with pytest.raises(ConnectionError):
        metrics.counted("main", Tells()).deliver(lease, (), BEGUN)
    scrape = sheet(metrics)
    for result in ("delivered", "put_off", "refused", "failed"):
        assert 1 == scrape.of("fairlead_forge_writes_total", repository="main", result=result)


def test_polls_are_counted(metrics: Metrics) -> None:
    for is_due in (True, False, False):
        with metrics.polled("main") as found:
            found(is_due)
    with pytest.raises(ConnectionError), metrics.polled("main"):
        raise ConnectionError
    scrape = sheet(metrics)

    counts = [
        scrape.of("fairlead_git_polls_total", repository="main", result=each) for each in ("due", "unchanged", "failed")
    ]
    assert [1, 2, 1] == counts


def test_two_controllers_in_one_process_count_apart(clock: ManualClock) -> None:
    one, other = Metrics(clock, ("fleet",), ("main",)), Metrics(clock, ("fleet",), ("main",))
    one.lease_lost()

    assert (1, 0) == (sheet(one).of("fairlead_leases_lost_total"), sheet(other).of("fairlead_leases_lost_total"))


def test_a_controller_counts_every_family_that_it_drives(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, repositories=({"url": f"file://{tmp_path}/nowhere"},))
    controller = Controller(settings)
    controller.loop.drain(("repository", "rollup", "statuses", "further", "sweep"))
    controller._parts.close()

    assert sorted(family.name for family in controller.loop._families) == sorted(controller.metrics.families)


# ── what the ledger says ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_figures_of_the_ledger_are_shown_and_what_is_empty_is_nought(metrics: Metrics) -> None:
    scrape = sheet(metrics)

    assert 1 == scrape.of("fairlead_ledger_up")
    assert (3, 12.5, 2) == (
        scrape.of("fairlead_queue_due", family="fleet"),
        scrape.of("fairlead_queue_due_oldest_age_seconds", family="fleet"),
        scrape.of("fairlead_queue_held", family="fleet"),
    )
    assert 0 == scrape.of("fairlead_queue_due", family="repository")
    assert 4 == scrape.of("fairlead_fleets", environment="prod", state="Held")
    assert 0 == scrape.of("fairlead_fleets", environment="prod", state="Ready")
    assert (1, 0) == tuple(scrape.of("fairlead_intents_in_flight", phase=each) for each in ("running", "aborting"))
    assert 61 == scrape.of("fairlead_outbox_undelivered_oldest_age_seconds", repository="main", medium="status")
    assert (0, 3) == tuple(
        scrape.of("fairlead_outbox_refused", repository="main", medium=medium) for medium in ("status", "comment")
    )
    assert 1 == scrape.of("fairlead_commits_stuck", repository="main")
    assert 3600 == scrape.of("fairlead_statuses_pending_oldest_age_seconds", repository="main")
    assert 1 == scrape.of("fairlead_feed_trouble", feed="executions/https://gate")
    assert scrape.of("fairlead_feed_age_seconds", feed="executions/https://gate") is None


def test_without_a_ledger_there_is_what_the_process_knows(metrics: Metrics) -> None:
    scrape = sheet(metrics, None)

    assert 0 == scrape.of("fairlead_ledger_up")
    assert 0 == scrape.of("fairlead_leases_lost_total")
    assert [] == [name for name, _ in scrape if name.startswith(("fairlead_queue", "fairlead_fleets", "fairlead_feed"))]


def test_what_is_due_and_what_is_held_are_told_apart(ledger: Store, clock: ManualClock) -> None:
    claimed(ledger, "fleet:prod/held")
    ledger.add(["fleet:prod/one", "fleet:prod/two"])
    ledger.add(["fleet:prod/later"], due=BEGUN + timedelta(hours=1))
    clock.advance(timedelta(seconds=20))
    figures = ledger.figures()

    assert (Pile(count=2, oldest=20.0), 1) == (figures.due["fleet"], figures.held["fleet"])
    clock.advance(timedelta(seconds=20))
    figures = ledger.figures()
    assert (Pile(count=3, oldest=40.0), 0) == (figures.due["fleet"], figures.held["fleet"])


def test_an_empty_ledger_has_figures(ledger: Store) -> None:
    figures = ledger.figures()

    assert ({}, {}, {}, {}) == (figures.due, figures.fleets, figures.undelivered, figures.feeds)


def test_a_feed_that_nobody_needs_any_more_is_not_shown(ledger: Store, clock: ManualClock) -> None:
    kept, ended = claimed(ledger, "inventory:1/kept"), claimed(ledger, "inventory:1/ended")
    ledger.record_snapshots(kept.lease, "inventory/1/kept", {}, clock.now())
    ledger.record_trouble(ended.lease, "inventory/1/ended", "no such region")
    assert {"inventory/1/kept", "inventory/1/ended"} == set(ledger.figures().feeds)
    ledger.finish(ended)
    clock.advance(timedelta(seconds=9))

    assert {"inventory/1/kept": FeedFigures(age=9.0, trouble=False)} == ledger.figures().feeds
