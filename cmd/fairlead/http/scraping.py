"""`/metrics`: what this process counted, and the ledger's figures where it gives them in time."""

from collections.abc import Callable
from contextlib import suppress

from fastapi import APIRouter
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import Response

from adapters.ledger.figures import LedgerFigures
from fairlead.http.asking import Away, Question
from fairlead.metrics import Metrics
from fairlead.metrics_ledger import LedgerCollector
from reconciler.ports import Clock

FRESH = 5.0  # seconds: however many scrape, the ledger is asked no more often


class Scraping:
    """Answers a scrape within a second, with or without a ledger."""

    def __init__(self, metrics: Metrics, figures: Callable[[], LedgerFigures], clock: Clock) -> None:
        self._metrics = metrics
        self._figures = Question(figures, clock, FRESH)

    async def text(self) -> bytes:
        """Prometheus' text format."""
        figures: LedgerFigures | None = None
        with suppress(Away):  # fairlead_ledger_up tells it
            figures = await self._figures.answer()
        return self._metrics.text(LedgerCollector(figures, self._metrics.families, self._metrics.repositories))

    def close(self) -> None:
        """Ask nothing any more."""
        self._figures.close()


def routes(scraping: Scraping) -> APIRouter:
    """The one route."""
    router = APIRouter()

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(await scraping.text(), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})

    return router
