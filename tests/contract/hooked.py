"""A controller's own server with webhooks over a ledger, and what they made due."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from threading import Event

from adapters.clock import SystemClock
from adapters.ledger.store import Store
from fairlead.http.pushes import Receiver
from fairlead.http.serving import Served, serving
from fairlead.metrics import Metrics


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, event: str, **values: object) -> None:
        self.lines.append(f"{event} {values}")

    warning = exception = info


class Hooked:
    """Where it listens, and what came of webhooks."""

    def __init__(self, address: str, ledger: Store, log: Log) -> None:
        self.place, self.url, self.ledger, self.log = address, f"http://{address}/hooks", ledger, log

    def queued(self) -> set[str]:
        """What is due now; it is done with."""
        families = ("repository", "pulls")
        found = [due for family in families for due in self.ledger.claim(family, 10, timedelta(minutes=1))]
        for due in found:
            self.ledger.finish(due)
        return {due.key for due in found}


@contextmanager
def hooked(ledger: Store, receivers: Mapping[str, Receiver]) -> Iterator[Hooked]:
    """A server on a free port of loopback."""
    clock, log = SystemClock(), Log()
    served = Served(
        ledger=ledger,
        hooks=receivers,
        repositories=(),
        ailments=tuple,
        metrics=Metrics(clock, (), ()),
        clock=clock,
        log=log,
        stop=Event(),
    )
    with serving("127.0.0.1:0", served) as server:
        yield Hooked(server.address, ledger, log)
