"""A GitHub played over real HTTP, on a clock that only the test moves, and what the tests of the adapter say to it."""

import json
import re
import shutil
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
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
from fairlead_sandbox.forge.vendor import Name
from fairlead_sandbox.git_server import GitServer
from reconciler.ports import LeaseLost, Undelivered
from reconciler.record import CommitStatus, Medium, State
from tests.contract.forges.hosted_worlds import MakeSite, Site, site
from tests.contract.forges.played_places import RIGHTS, Places, Said, Wish

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)
TOKEN = "github_pat_CANARY11AAAA0123456789"
REPOSITORY = "acme/desired"
STATUSES = re.compile(r"(/api/v3)?/repos/([^/]+/[^/]+)/statuses/([^/]+)")
TOKENS = re.compile(r"(/api/v3)?/app/installations/(\d+)/access_tokens")
ALLOWED = Allowed(deployments=True, sources=("acme/*",))
SPANS = ((timedelta(minutes=1), 80), (timedelta(hours=1), 500))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    at: datetime
    answer: int

    @property
    def call(self) -> str:
        """`GET /repos/acme/desired/pulls`."""
        return f"{self.method} {self.path.partition('?')[0]}"


@dataclass(slots=True)
class Canned:
    """What is answered instead: once, or for as long as it stands. `status` 0 drops the connection."""

    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class PlayedGitHub:
    """The rules of the calls that are made, as GitHub documents them. `granted`: an App's permissions; None: all."""

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
    places: Places = field(default_factory=Places)
    logins: dict[str, str] = field(default_factory=lambda: {TOKEN: "fairlead-bot"})
    granted: dict[str, str] | None = None
    rights: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # what each token of an App was asked for
    limited: int = 0  # answers that a too fast client got
    lock: Lock = field(default_factory=Lock)

    def __enter__(self) -> "PlayedGitHub":
        played = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                played.serve(self)

            def do_GET(self) -> None:
                played.serve(self)

            def do_PATCH(self) -> None:
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

    @property
    def counted(self) -> list[Request]:
        """What GitHub counts as content that is made."""
        return [each for each in self.requests if each.method != "GET" and not TOKENS.fullmatch(each.path)]

    @property
    def calls(self) -> list[str]:
        return [each.call for each in self.requests]

    def newest(self, commit: str) -> list[dict[str, Any]]:
        """The newest status of each context of the commit, newest first."""
        found = [words[-1] for (at, _), words in self.said.items() if at == commit]
        return sorted(found, key=lambda status: status["id"], reverse=True)

    def serve(self, http: BaseHTTPRequestHandler) -> None:
        size = int(http.headers.get("Content-Length", 0))
        body = json.loads(http.rfile.read(size)) if size else None
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
            at, asked = self.clock.now(), dict(http.headers)
            self.requests.append(
                Request(method=http.command, path=http.path, headers=asked, body=body, at=at, answer=status)
            )
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
        status, headers, content = self._act(http, http.headers.get("Authorization", ""), body)
        text = json.dumps(content, ensure_ascii=False).encode()
        etag = f'W/"{sha256(text).hexdigest()}"'
        if (http.command, status, http.headers.get("If-None-Match")) == ("GET", 200, etag):
            return 304, {"ETag": etag}, b""
        return status, {"Content-Type": "application/json; charset=utf-8", "ETag": etag, **headers}, text

    def _act(self, http: BaseHTTPRequestHandler, authorization: str, body: Any) -> Said:
        path = http.path.partition("?")[0]
        if TOKENS.fullmatch(path) or path.endswith("/app"):
            return self._of_the_app(path, authorization, body)
        token = authorization.removeprefix("Bearer ")
        if self.tokens.get(token, NOW - timedelta(days=1)) <= self.clock.now():
            return 401, {}, {"message": "Bad credentials", "status": "401"}
        if not self._may(path, token):
            return 403, {}, {"message": "Resource not accessible by integration"}
        if http.command != "GET":
            for span, most in SPANS:
                if sum(each.at > self.clock.now() - span for each in self.counted) >= most:
                    self.limited += 1
                    return 403, {"Retry-After": "60"}, {"message": "You have exceeded a secondary rate limit."}
        found = STATUSES.fullmatch(path)
        if found is None:
            self.places.commits = self.commits
            login = "octoapp[bot]" if token in self.rights else self.logins.get(token, "somebody")
            return self.places.act(Wish.of(http.command, http.path, body, login, self.url))
        known = found[2].lower() in self.places.repositories
        return self._put(found[3], body) if known else (404, {}, {"message": "Not Found"})

    def _may(self, path: str, token: str) -> bool:
        """A token of an App has the rights that it was asked for, in the repositories that it was asked for."""
        asked = self.rights.get(token)
        right = next(((name, level) for pattern, name, level in RIGHTS if re.fullmatch(pattern, path)), None)
        if asked is None or right is None:
            return True
        given = asked["permissions"].get(right[0])
        return path.split("/repos/")[1].split("/")[1] in asked["repositories"] and given in {"write", right[1]}

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

    def _of_the_app(self, path: str, authorization: str, body: Any) -> Said:
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
        return (200, {}, {"id": 1, "slug": "octoapp"}) if path.endswith("/app") else self._installation_token(body)

    def _installation_token(self, body: Any) -> Said:
        granted = self.granted
        if granted is not None and any(
            granted.get(name) not in {"write", level} for name, level in body["permissions"].items()
        ):
            return 422, {}, {"message": "The permissions requested are not granted to this installation."}
        ends = self.clock.now() + timedelta(hours=1)
        token = f"ghs_CANARY{len(self.tokens):026}"
        self.tokens[token], self.rights[token] = ends, body
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


def make_comment(body: str = "**1 fleet** changes", pull: int = 7, **more: Any) -> CommitStatus:
    place = {"commit": f"pull/{pull}", "context": "fairlead/plan comment", "medium": Medium.COMMENT}
    return make_status(**{**place, "body": body, **more})


def make_deployment(state: State = State.SUCCESS, text: str = "1.4.2 on 2/2 units", **more: Any) -> CommitStatus:
    place = {"context": "deployment prod/checkout", "medium": Medium.DEPLOYMENT}
    return make_status(state=state, text=text, **{**place, **more})


def make_waiting(*statuses: CommitStatus, attempts: int = 0, **more: Any) -> list[Undelivered]:
    return [Undelivered(id=n, sequence=n, status=each, attempts=attempts, **more) for n, each in enumerate(statuses, 1)]


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
        transport: Transport | None = None,
        repository: str = REPOSITORY,
        api: str = "",
        allowed: Allowed = ALLOWED,
        **pace: int,
    ) -> HostedForge:
        limits = {"per_minute": 60, "per_hour": 400} | pace
        sign_in = sign_in or TokenSignIn(lambda: TOKEN, reference="env:TOKEN")
        return HostedForge(
            Road(GitHub(), transport or self.transport(api), sign_in),
            repository,
            allowance=Allowance(budget=self.store, windows=windows(**limits)),
            log=self.log,
            allowed=allowed,
            jitter=lambda: self.jitter,
        )

    def transport(self, api: str = "", kind: type[Transport] = Transport) -> Any:
        return kind(
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
        status=make_status,
        comment=make_comment,
        deployment=make_deployment,
        waiting=make_waiting,
        lease=HeldLease,
        canned=Canned,
        now=NOW,
        token=TOKEN,
    )


@pytest.fixture(scope="session")
def app_key() -> tuple[str, Any]:
    """An App's private key as PEM, and its public half."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return pem.decode(), key.public_key()


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger's file, with its tables made."""
    file = tmp_path_factory.mktemp("ledger") / "empty.db"
    open_ledger(f"sqlite:///{file}", ManualClock(NOW)).close()
    return file


@pytest.fixture
def make_site(clock: ManualClock, tmp_path: Path, empty_ledger: Path) -> Iterator[MakeSite]:
    """A forge of a dialect. What no vendor has, and bodies that are not as the vendor describes them, are faults."""
    store = open_ledger(f"sqlite:///{shutil.copy(empty_ledger, tmp_path / 'hosted.db')}", clock)
    with GitServer(tmp_path / "hosted") as git:
        sites: list[Site] = []

        def make(kind: Name) -> Site:
            sites.append(site(kind, git, store, clock, tmp_path))
            return sites[-1]

        yield make
        for each in sites:
            each.sandbox.stop()
    store.close()
    assert [] == [(entry.method, entry.path) for each in sites for entry in each.sandbox.log.unknown()]
    assert [] == [(entry.path, why) for each in sites for entry, why in each.sandbox.log.misfits()]
