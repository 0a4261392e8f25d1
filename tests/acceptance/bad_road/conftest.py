"""A road to Gate on which requests and answers get lost, late, doubled or refused, and a world behind it."""

import http.client
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from fairlead_sandbox.bulk.fleets import BulkFleets
from fairlead_sandbox.bulk.world import BulkSettings, BulkWorld

SHARES = {  # of all requests, in per cent; the rest gets through
    "drop": 5,  # the connection ends, and Gate has heard nothing
    "cut": 5,  # Gate has done it, and the connection ends
    "delay": 5,  # the answer comes late
    "lose": 1,  # Gate has done it, and the answer never comes within the time-out
    "double": 5,  # Gate hears it twice, as from a proxy that tries again
    "429": 0.5,
    "429 with a reset": 0.5,
    "500": 2,  # Gate has done it, and says 500
}
SEED = 20261126
BURST = (0.4, 1.5)  # seconds for which everything is 502 or 503, before Gate hears of it
BURSTS = 0.5  # per cent of requests begin one


class Road:
    """An HTTP proxy with a mind of its own, of a fixed seed, once it `is_bad`. `met` counts what became of requests."""

    def __init__(self, seed: int, timeout: float, share: float) -> None:
        self._random = random.Random(seed)
        self._share = share  # of the harm that SHARES and BURSTS say
        self._lock = Lock()
        self._timeout = timeout  # of who comes along it
        self._burst_until = 0.0
        self.is_bad = False
        self.met: Counter[str] = Counter()
        self.gate = ""

    def lead_to(self, gate: str) -> str:
        """Begin; gives the address of this end."""
        self.gate = urlsplit(gate).netloc
        road = self

        class Handler(_Handler):
            def _serve(self) -> None:
                road.pass_on(self)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

        self._server = _Server(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def end(self) -> None:
        """Nobody passes any more."""
        self._server.shutdown()
        self._server.server_close()

    def pass_on(self, request: "_Handler") -> None:
        """One request, and what is to become of it."""
        fate, dice = self._fate()
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        if fate == "drop":
            return request.hang_up()
        if fate == "burst":
            return request.answer(
                502 if dice < 0.5 else 503, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"}
            )
        if fate.startswith("429"):
            return request.answer(429, b'{"message": "Rate capacity exceeded"}', self._reset(fate))
        status, headers, said = self._ask(request, body)
        if fate == "double":
            self._ask(request, body)
        if fate in {"delay", "lose"}:
            time.sleep(dice * 0.5 if fate == "delay" else self._timeout + 0.5)
        if fate == "cut":
            return request.hang_up()
        if fate == "500":
            return request.answer(500, b'{"message": "timeout"}', {"Content-Type": "application/json"})
        return request.answer(status, said, headers)

    def _fate(self) -> tuple[str, float]:
        if not self.is_bad:
            return "through", 0.0
        with self._lock:
            now, dice, share = time.monotonic(), self._random.random(), self._random.uniform(0, 100)
            if now >= self._burst_until and self._random.uniform(0, 100) < BURSTS * self._share:
                self._burst_until = now + self._random.uniform(*BURST)
            fate = "burst" if now < self._burst_until else self._chosen(share)
            self.met[fate] += 1
            return fate, dice

    def _chosen(self, share: float) -> str:
        for fate, part in SHARES.items():
            share -= part * self._share
            if share < 0:
                return fate
        return "through"

    def _ask(self, request: "_Handler", body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.gate, timeout=30)
        try:
            named = {name: value for name, value in request.headers.items() if name.lower() != "host"}
            connection.request(request.command, request.path, body=body or None, headers=named)
            answer = connection.getresponse()
            kind = {"Content-Type": answer.headers.get("Content-Type", "application/json")}
            return answer.status, kind, answer.read()
        finally:
            connection.close()

    @staticmethod
    def _reset(fate: str) -> dict[str, str]:
        kind = {"Content-Type": "application/json"}
        if fate == "429":
            return {**kind, "Retry-After": "1"}
        until = format_datetime(SystemClock().now() + timedelta(seconds=2), usegmt=True)
        return {**kind, "X-RateLimit-Capacity": "60", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": until}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Somebody went away: that is what happens on this road."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Gate's access log is the witness."""


class Beyond:
    """A world behind a bad road, and what can be told of it."""

    def __init__(self, world: BulkWorld, road: Road, ledger: Store) -> None:
        self.world = world
        self.road = road
        self.ledger = ledger

    def unfinished(self) -> dict[str, str]:
        """Fleets that are not ready, and why."""
        fleets = self.ledger.fleets()
        return {one.name: one.memory.status.message for one in fleets if not one.memory.status.ready}

    def open_statuses(self) -> list[str]:
        """What is still pending on any commit."""
        return [f"{one.context} {one.description}" for one in self.ledger.statuses("main", open_only=True)]

    def started(self) -> Counter[str]:
        """How often each key was started, by Gate's own log."""
        entries = self.world.gate.access_log.starts()
        return Counter(entry["body"]["parameters"]["FAIRLEAD_KEY"] for entry in entries)


@pytest.fixture
def make_beyond(tmp_path: Path) -> Iterator[Callable[..., Beyond]]:
    """`make_beyond(fleets, share=1)`: so many Spinnaker fleets, in sync, whose Gate is reached by a bad road."""
    with ExitStack() as parts:

        def make(fleets: int, share: float = 1.0) -> Beyond:
            road = Road(SEED, timeout=2.0, share=share)
            settings = BulkSettings(
                fleets=BulkFleets(spinnaker=fleets, trigger=0),
                instances_each=1,
                controller={"lease": "5s", "request_timeout": "2s", "workers": "8"},
            )
            world = parts.enter_context(BulkWorld(tmp_path / "world", settings, road.lead_to))
            parts.callback(road.end)
            ledger = open_ledger(f"sqlite:///{world.state / 'ledger.db'}", SystemClock())
            parts.callback(ledger.close)
            return Beyond(world, road, ledger)

        yield make
