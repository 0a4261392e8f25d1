"""A GitHub played over real HTTP, on a clock that only the test moves, and what the tests of the adapter say to it."""

import json
import re
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.clock import ManualClock
from adapters.forges.github import AppSignIn, GitHub
from adapters.forges.hosted import Allowance, Allowed, HostedForge, Road, SignIn, TokenSignIn, Transport, windows
from adapters.ledger.store import Store, open_ledger
from reconciler.ports import LeaseLost, Undelivered
from reconciler.record import CommitStatus, State

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)
TOKEN = "github_pat_CANARY11AAAA0123456789"
REPOSITORY = "acme/desired"
STATUSES = re.compile(r"(/api/v3)?/repos/([^/]+/[^/]+)/statuses/([^/]+)")
TOKENS = re.compile(r"(/api/v3)?/app/installations/(\d+)/access_tokens")
ALLOWED = Allowed(deployments=True, sources=("acme/*",))
SPANS = ((timedelta(minutes=1), 80), (timedelta(hours=1), 500))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: Any
    at: datetime
    answer: int


@dataclass(slots=True)
class Canned:
    """What is answered instead: once, or for as long as it stands. `status` 0 drops the connection."""

    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class PlayedGitHub:
    """The rules of the two calls that are made, as GitHub documents them."""

    clock: ManualClock
    commits: set[str] = field(default_factory=set)
    tokens: dict[str, datetime] = field(default_factory=lambda: {TOKEN: datetime.max.replace(tzinfo=UTC)})
    public_key: Any = None  # of the App
    said: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    down: Canned | None = None
    next: deque[Canned | None] = field(default_factory=deque)
    lose: int = 0  # answers to come: the write takes effect, and its connection is cut
    late: deque[Callable[[], None]] = field(default_factory=deque)  # what happens before the next request is acted on
    limited: int = 0  # answers that a too fast client got
    lock: Lock = field(default_factory=Lock)

    def __enter__(self) -> "PlayedGitHub":
        played = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                played.serve(self)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def writes(self) -> list[Request]:
        return [each for each in self.requests if STATUSES.fullmatch(each.path)]

    def newest(self, commit: str) -> list[dict[str, Any]]:
        """The newest status of each context of the commit, newest first."""
        found = [words[-1] for (at, _), words in self.said.items() if at == commit]
        return sorted(found, key=lambda status: status["id"], reverse=True)

    def serve(self, http: BaseHTTPRequestHandler) -> None:
        body = json.loads(http.rfile.read(int(http.headers["Content-Length"])))
        if self.late:
            self.late.popleft()()
        with self.lock:
            canned = self.next.popleft() if self.next else None
            canned = canned or self.down
            status, headers, content = (
                (canned.status, canned.headers, canned.body) if canned else self._answer(http, body)
            )
            if self.lose:
                self.lose, status = self.lose - 1, 0
            request = Request(path=http.path, headers=dict(http.headers), body=body, at=self.clock.now(), answer=status)
            self.requests.append(request)
        if not status:
            http.close_connection = True
            http.connection.shutdown(socket.SHUT_RDWR)
            return
        http.send_response_only(status)
        for name, value in {"Date": format_datetime(self.clock.now(), usegmt=True), **headers}.items():
            http.send_header(name, value)
        http.send_header("Content-Length", str(len(content)))
        http.end_headers()
        http.wfile.write(content)

    def _answer(self, http: BaseHTTPRequestHandler, body: Any) -> tuple[int, Mapping[str, str], bytes]:
        status, headers, content = self._act(http.path, http.headers.get("Authorization", ""), body)
        return status, {"Content-Type": "application/json; charset=utf-8", **headers}, json.dumps(content).encode()

    def _act(self, path: str, authorization: str, body: Any) -> tuple[int, Mapping[str, str], Any]:
        if TOKENS.fullmatch(path):
            return self._installation_token(authorization)
        token = authorization.removeprefix("Bearer ")
        if self.tokens.get(token, NOW - timedelta(days=1)) <= self.clock.now():
            return 401, {}, {"message": "Bad credentials", "status": "401"}
        found = STATUSES.fullmatch(path)
        if found is None or found[2].lower() != REPOSITORY:
            return 404, {}, {"message": "Not Found"}
        for span, most in SPANS:
            if sum(each.at > self.clock.now() - span for each in self.writes) >= most:
                self.limited += 1
                return 403, {"Retry-After": "60"}, {"message": "You have exceeded a secondary rate limit."}
        return self._put(found[3], body)

    def _put(self, commit: str, body: Any) -> tuple[int, Mapping[str, str], Any]:
        if commit not in self.commits:
            return 422, {}, {"message": f"No commit found for SHA: {commit}"}
        words = self.said.setdefault((commit, body["context"].lower()), [])
        if len(words) >= 1000:
            return 422, {}, _invalid("This SHA and context has reached the maximum number of statuses.")
        if len(body["description"]) > 140:
            return 422, {}, _invalid("description is too long (maximum is 140 characters)")
        words.append({**body, "id": len(self.requests), "created_at": self.clock.now()})
        return 201, {}, {"id": len(self.requests), "state": body["state"], "context": body["context"]}

    def _installation_token(self, authorization: str) -> tuple[int, Mapping[str, str], Any]:
        try:
            claims = jwt.decode(
                authorization.removeprefix("Bearer "),
                self.public_key,
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False, "require": ["iat", "exp", "iss"]},
            )
        except jwt.PyJWTError:
            return 401, {}, {"message": "A JSON web token could not be decoded"}
        now = self.clock.now().timestamp()
        if not claims["iat"] <= now < claims["exp"] <= now + 600 or claims["iss"] != "12345":
            return 401, {}, {"message": "'Expiration time' claim ('exp') is too far in the future"}
        ends = self.clock.now() + timedelta(hours=1)
        token = f"ghs_CANARY{len(self.tokens):026}"
        self.tokens[token] = ends
        return 201, {}, {"token": token, "expires_at": f"{ends:%Y-%m-%dT%H:%M:%SZ}", "permissions": {}}


def _invalid(message: str) -> Mapping[str, Any]:
    return {"message": "Validation Failed", "errors": [{"resource": "Status", "code": "custom", "message": message}]}


@dataclass(slots=True)
class HeldLease:
    """A lease that is held until a test takes it away."""

    key: str = "statuses:main"
    good_for: int = 1_000_000  # checks
    checks: int = 0

    def check(self) -> None:
        self.checks += 1
        if self.checks > self.good_for:
            raise LeaseLost(self.key)


def make_status(
    commit: str = "ab" * 20, state: State = State.SUCCESS, text: str = "1.4.2", **more: Any
) -> CommitStatus:
    first = CommitStatus(
        repository="main", commit=commit, context="fairlead/prod/checkout", state=state, description=text, at=NOW
    )
    return replace(first, **more)


def make_waiting(*statuses: CommitStatus, attempts: int = 0) -> list[Undelivered]:
    return [Undelivered(id=n, sequence=n, status=each, attempts=attempts) for n, each in enumerate(statuses, 1)]


@dataclass
class Lines:
    """What was logged."""

    said: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def warning(self, event: str, **values: Any) -> None:
        self.said.append((event, values))


@dataclass
class Bench:
    """The adapter, between the played GitHub and a real ledger."""

    github: PlayedGitHub
    store: Store
    clock: ManualClock
    log: Lines
    jitter: float = 1.0
    timeout: float = 10.0

    def forge(
        self,
        sign_in: SignIn | None = None,
        *,
        repository: str = REPOSITORY,
        api: str = "",
        allowed: Allowed = ALLOWED,
        **pace: int,
    ) -> HostedForge:
        limits = {"per_minute": 60, "per_hour": 400} | pace
        sign_in = sign_in or TokenSignIn(lambda: TOKEN, reference="env:TOKEN")
        return HostedForge(
            Road(GitHub(), self.transport(api), sign_in),
            repository,
            allowance=Allowance(budget=self.store, windows=windows(**limits)),
            log=self.log,
            allowed=allowed,
            jitter=lambda: self.jitter,
        )

    def transport(self, api: str = "") -> Transport:
        return Transport(
            api or self.github.url,
            title=GitHub.title,
            example=GitHub.example,
            headers=GitHub.headers,
            timeout=self.timeout,
            monotonic=self.clock.monotonic,
        )

    def app(self, key: Callable[[], str]) -> AppSignIn:
        return AppSignIn("12345", "678", key, repository=REPOSITORY, transport=self.transport(), clock=self.clock)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def github(clock: ManualClock) -> Iterator[PlayedGitHub]:
    with PlayedGitHub(clock) as played:
        played.commits.add("ab" * 20)
        yield played


@pytest.fixture
def bench(github: PlayedGitHub, clock: ManualClock, tmp_path: Path) -> Iterator[Bench]:
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
    yield Bench(github=github, store=store, clock=clock, log=Lines())
    store.close()


@pytest.fixture
def say() -> SimpleNamespace:
    """What is handed to a forge."""
    return SimpleNamespace(
        status=make_status, waiting=make_waiting, lease=HeldLease, canned=Canned, now=NOW, token=TOKEN
    )


@pytest.fixture(scope="session")
def app_key() -> tuple[str, Any]:
    """An App's private key as PEM, and its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return pem.decode(), key.public_key()
