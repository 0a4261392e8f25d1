"""The server of one controller, while it runs."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import Event

from fastapi import APIRouter

from adapters.ledger.store import Store
from fairlead.http import health, hooks, scraping
from fairlead.http.app import make_app
from fairlead.http.hints import Hints
from fairlead.http.pushes import Receiver
from fairlead.http.server import Server, opened
from fairlead.metrics import Metrics
from reconciler.loop import Log
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the routes ask."""

    ledger: Store
    hooks: Mapping[str, Receiver]  # by forge: the others have no route
    repositories: Sequence[str]
    ailments: Callable[[], Collection[str]]
    metrics: Metrics
    clock: Clock
    log: Log
    stop: Event


@contextmanager
def serving(listen: str, served: Served) -> Iterator[Server]:
    """A server on `HOST:PORT`. Raises `SettingsError` or `Refused`, see `server.opened`."""
    with ExitStack() as ends:
        listening = ends.enter_context(opened(listen))
        app = make_app(list(_routers(served, ends)), served.metrics.answered)
        server = Server(app, listening, served.log)
        server.start()
        ends.callback(server.stop)
        yield server


def _routers(served: Served, ends: ExitStack) -> Iterator[APIRouter]:
    judged = health.Health(served.ailments, served.ledger.heads, served.repositories, served.stop, served.clock)
    ends.callback(judged.close)
    yield health.routes(judged)
    scraped = scraping.Scraping(served.metrics, served.ledger.figures, served.clock)
    ends.callback(scraped.close)
    yield scraping.routes(scraped)
    if served.hooks:
        hints = Hints(served.ledger)
        ends.callback(hints.close)
        count = served.metrics.hooked
        yield hooks.routes(hooks.Hooks(served.hooks, hints, served.stop, served.clock, served.log, count))
