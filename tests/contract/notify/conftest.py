"""A channel played over real HTTP, a real ledger for its pace, and a clock that only the test moves."""

import json
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from adapters.clock import ManualClock
from adapters.ledger.store import open_ledger
from adapters.notify.exchange import Exchange
from adapters.notify.notifier import Notifier
from adapters.notify.slack import Slack
from adapters.notify.webhook import Webhook
from reconciler.ports import LeaseLost, Undelivered
from reconciler.record import CommitStatus, Medium, State

NOW = datetime(2026, 11, 26, 17, 0, tzinfo=UTC)
SECRET_PATH = "/services/T0CANARY/B0CANARY/xCANARYx0123456789"
SIGNING = "CANARY-signing-secret"


@dataclass
class Posted:
    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Channel:
    """What is posted, and what is answered: `answers` once each, then `usual`. A status of 0 drops the connection."""

    posted: list = field(default_factory=list)
    answers: deque = field(default_factory=deque)
    usual: tuple = (200, {}, b"ok")
    url: str = ""

    def answer(self, status, body=b"", **headers):
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, body))


@pytest.fixture
def channel():
    played = Channel()

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            played.posted.append(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            status, headers, text = played.answers.popleft() if played.answers else played.usual
            if not status:
                self.connection.close()
                return
            self.send_response(status)
            for name, value in {"content-length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    played.url = f"http://127.0.0.1:{server.server_port}{SECRET_PATH}"
    yield played
    server.shutdown()
    server.server_close()


class Lease:
    key = "notices:notify-payments"

    def __init__(self):
        self.checks_left = 10**6

    def check(self):
        self.checks_left -= 1
        if self.checks_left < 0:
            raise LeaseLost("another owner has it")


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, event, **values):
        self.lines.append((event, values))


class Bench:
    """One channel, and words for it."""

    def __init__(self, folder, channel):
        self.clock, self.channel, self.log, self.lease = ManualClock(NOW), channel, Log(), Lease()
        self.store = open_ledger(f"sqlite:///{folder / 'ledger.db'}", self.clock)
        self._ids = 0

    def notifier(self, voice=None, url=None, timeout=2.0, private_hosts=(), name="payments"):
        return Notifier(
            name,
            url=lambda: url or self.channel.url,
            voice=voice or Slack(),
            exchange=Exchange(timeout=timeout, monotonic=self.clock.monotonic, private_hosts=private_hosts),
            budget=self.store,
            log=self.log,
            jitter=lambda: 0.5,
        )

    def signed(self, secret=SIGNING):
        return Webhook(lambda: secret)

    def word(self, fleet="prod/checkout", kind="failed", commit="a" * 40, *, age=60, said_before=False, **changes):
        self._ids += 1
        environment, _, service = fleet.partition("/")
        facts = {
            "kind": kind,
            "environment": environment,
            "service": service,
            "owner": "payments",
            "version": "1.4.2",
            "reason": "HealthCheckFailed",
            "detail": "2 of 2 instances are unhealthy",
            "repository": "main",
            "setting_commit": commit,
            **changes.pop("facts", {}),
        }
        status = CommitStatus(
            repository="notify-payments",
            commit=commit,
            context=fleet,
            state=State.SUCCESS if kind in {"resolved", "withdrawn"} else State.FAILURE,
            description=changes.pop(
                "description", "1.4.2 failed: 2 of 2 instances are unhealthy; rolled back to 1.4.1"
            ),
            at=self.clock.now() - timedelta(seconds=age),
            medium=Medium.NOTICE,
            body=changes.pop("body", json.dumps(facts)),
            **changes,
        )
        return Undelivered(id=self._ids, sequence=1, status=status, attempts=0, said_before=said_before)

    def deliver(self, *words, notifier=None):
        return (notifier or self.notifier()).deliver(self.lease, words, self.clock.now())

    @property
    def texts(self):
        return [posted.json["text"] for posted in self.channel.posted]


@pytest.fixture
def bench(tmp_path, channel):
    bench = Bench(tmp_path, channel)
    yield bench
    bench.store.close()
