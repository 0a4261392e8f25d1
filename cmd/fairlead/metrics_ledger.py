"""What the ledger says, as metrics: of one moment, built anew for each scrape, so that nothing old is shown as new."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.ledger.figures import LedgerFigures, Pile

STATES = ("Ready", "Reconciling", "Held", "Stalled", "Unknown")
PHASES = ("intended", "running", "aborting")
EMPTY = Pile()
Labels = TypeVar("Labels", bound=tuple[str, ...])  # their values


class LedgerCollector(Collector):
    """Figures of one moment; None where the ledger did not answer."""

    def __init__(
        self, figures: LedgerFigures | None, families: Sequence[str] = (), repositories: Sequence[str] = ()
    ) -> None:
        self._figures, self._families, self._repositories = figures, families, repositories

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: the registry lives for one scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Whether the ledger answered; then what it holds."""
        up = GaugeMetricFamily("fairlead_ledger_up", "1 where the ledger answered this scrape within a second.")
        up.add_metric((), self._figures is not None)
        yield up
        if self._figures is not None:
            yield from self._queue(self._figures)
            yield from _fleets(self._figures)
            yield from self._words(self._figures)
            yield from _feeds(self._figures)

    def _queue(self, figures: LedgerFigures) -> Iterator[Metric]:
        families = sorted({*self._families, *figures.due})
        due = {(name,): figures.due.get(name, EMPTY) for name in families}
        yield from _piles(due, ["family"], "fairlead_queue_due", "names that are due and that nobody has claimed")
        held = {(name,): figures.held.get(name, 0) for name in families}
        yield _gauge("fairlead_queue_held", "Names that some controller works on.", ["family"], held)

    def _words(self, figures: LedgerFigures) -> Iterator[Metric]:
        places = sorted({*((name, "status") for name in self._repositories), *figures.undelivered})
        undelivered = {place: figures.undelivered.get(place, EMPTY) for place in places}
        what, place = "words that the forge has not confirmed", ("repository", "medium")
        yield from _piles(undelivered, place, "fairlead_outbox_undelivered", what)
        refused = {each: figures.refused.get(each, 0) for each in sorted({*places, *figures.refused})}
        yield _gauge("fairlead_outbox_refused", "Words that the forge has refused for good.", place, refused)
        names = sorted({*self._repositories, *figures.pending})
        pending = {(name,): figures.pending.get(name, EMPTY) for name in names}
        what = "statuses that are pending, since their last word"
        yield from _piles(pending, ["repository"], "fairlead_statuses_pending", what)
        text = "Commits with a status that is pending and was last changed over an hour ago."
        stuck = {(name,): figures.stuck.get(name, 0) for name in names}
        yield _gauge("fairlead_commits_stuck", text, ["repository"], stuck)


def _fleets(figures: LedgerFigures) -> Iterator[Metric]:
    environments = sorted({environment for environment, _ in figures.fleets})
    empty = {(environment, state): 0 for environment in environments for state in STATES}
    fleets = GaugeMetricFamily(
        "fairlead_fleets", "Declared fleets by environment and state.", labels=["environment", "state"]
    )
    for labels, count in {**empty, **figures.fleets}.items():
        fleets.add_metric(labels, count)
    yield fleets
    intents = {(phase,): count for phase, count in {**dict.fromkeys(PHASES, 0), **figures.intents}.items()}
    yield _gauge("fairlead_intents_in_flight", "Actions that were begun and have not ended.", ["phase"], intents)


def _feeds(figures: LedgerFigures) -> Iterator[Metric]:
    ages = {(name,): feed.age for name, feed in figures.feeds.items() if feed.age is not None}
    yield _gauge("fairlead_feed_age_seconds", "Since the last good read of a feed.", ["feed"], ages)
    troubles = {(name,): float(feed.trouble) for name, feed in figures.feeds.items()}
    yield _gauge("fairlead_feed_trouble", "1 where the last read of a feed failed.", ["feed"], troubles)


def _piles(piles: Mapping[Labels, Pile], labels: Sequence[str], prefix: str, what: str) -> Iterator[Metric]:
    counts = {key: pile.count for key, pile in piles.items()}
    yield _gauge(prefix, f"How many {what}.", labels, counts)
    ages = {key: pile.oldest for key, pile in piles.items()}
    yield _gauge(f"{prefix}_oldest_age_seconds", f"Age of the oldest of the {what}; 0: none.", labels, ages)


def _gauge(name: str, help_text: str, labels: Sequence[str], values: Mapping[Labels, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
