"""A worker over a played host, and what other threads or accidents do to it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from adapters.agent_protocol.orders import Order, Release
from adapters.agent_protocol.reports import Report
from fairlead_agent.commands import Finished
from fairlead_agent.orders import Look
from fairlead_agent.settings import Observe
from fairlead_agent.watching import Elsewhere
from fairlead_agent.worker import Ways, Worker

AWAY = Look(trouble="cannot read s3://example/orders: away")
NOBODY = frozenset({"i-other"})


class Shown:
    """The order as a test lays it, and what was known when it was looked at."""

    def __init__(self) -> None:
        self.look_at: Look = AWAY
        self.known: list[tuple[int, str]] = []

    def look(self, now: datetime, at_least: int, known_meaning: str) -> Look:
        self.known.append((at_least, known_meaning))
        return self.look_at


class Workplace:
    """A worker over the played host of `Field`."""

    def __init__(self, field: Any, make_order: Callable[..., Order], clock: Any) -> None:
        self.field, self._make_order, self.clock = field, make_order, clock
        self.orders, self.reports = Shown(), list[Report]()
        self.command: str | None = None
        self.hire()

    def hire(self) -> None:
        """As a freshly started agent."""
        self.field.restart_agent()
        field = self.field

        def observe(*_: Any, **__: Any) -> Finished:
            return Finished(code=0, output_tail="6.6")

        ways = Ways(
            orders=self.orders,  # type: ignore[arg-type]
            journal=field.journal,
            hands=lambda _: field.hands,
            elsewhere=Elsewhere(field.fleet, Observe(command=self.command), observe),
            post=self.reports.append,
        )
        blank = Report(host="i-1", fleet=field.fleet, agent="1", number=0, at=datetime(2026, 1, 1, tzinfo=UTC))
        self.worker = Worker(blank, ways, self.clock, field.said)
        steps = self.worker._deploy._steps
        said = steps.moved

        def moved() -> None:
            said()
            field.at(field.work.stage)

        steps.moved = moved

    def order(self, target: Release, sequence: int, **changes: Any) -> None:
        self.orders.look_at = Look(order=self._make_order(target, sequence=sequence, **changes))

    def round(self) -> Report:
        """Look, work until nothing is due, and give what was reported last."""
        self.worker.look()
        self.worker.work()
        while self.worker.wake.is_set():
            self.worker.work()
        return self.reports[-1]


def during(place: Workplace, stage: str, deed: Callable[[], object]) -> None:
    """Once, as the stage begins; by what the other thread would do."""

    def at(now: str) -> None:
        if now == stage:
            place.field.at = lambda _: None
            deed()

    place.field.at = at


def lost(place: Workplace) -> None:
    for path in (place.field.host.folder / "state").iterdir():
        path.write_text("torn")
    place.hire()
    place.field.unit.asked.clear()
    place.field.groups.asked.clear()
