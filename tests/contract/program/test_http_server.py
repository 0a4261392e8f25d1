"""The controller's HTTP server over a ledger on SQLite: what it answers, and what no client can do to it."""

import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests
from sqlalchemy import insert

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from adapters.ledger.tables import repositories
from fairlead.exit_codes import ExitCode, Refused
from fairlead.http import bodies, connections, server
from fairlead.http.hooks import AT_ONCE, CAP, OF_ONE
from fairlead.http.pushes import Receiver
from fairlead.http.server import address_of
from fairlead.http.serving import Served, serving
from fairlead.metrics import Metrics
from fairlead.settings import Settings, SettingsError
from fairlead.wiring.hooks import hooks

SECRET = b"a secret that forges share with us"
PUSH = {"repository": {"full_name": "Example/Desired"}, "ref": "refs/heads/main"}


class Log:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def info(self, event: str, **values: object) -> None:
        self.lines.append((event, values))

    warning = exception = info

    def of(self, event: str) -> list[dict[str, object]]:
        return [values for said, values in self.lines if said == event]


def signature(body: bytes, secret: bytes = SECRET) -> str:
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def watching(*repositories: Mapping[str, Any]) -> Mapping[str, Receiver]:
    """The receivers that wiring makes of such repositories."""
    return hooks(Settings(repositories=repositories), SystemClock())


def watched(name: str, branch: str = "main", full_name: str = "example/desired", secret: str = "SECRET") -> Any:
    forge = {"repository": full_name, "webhook_secrets": [f"env:{secret}"]}
    return {"name": name, "url": "https://git.example.com/x", "branch": branch, "forge": forge}


class Site:
    """A server, what it serves, and a client of it."""

    def __init__(self, address: str, served: Served, log: Log, stop: Event) -> None:
        self.url, self.served, self.log, self.stop = f"http://{address}", served, log, stop
        host, _, port = address.rpartition(":")
        self.place = (host, int(port))

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=10)

    def hook(self, body: bytes, **headers: str) -> requests.Response:
        named = {f"X-{name.replace('_', '-')}": value for name, value in headers.items()}
        named["Content-Type"] = "application/json"
        return requests.post(self.url + "/hooks/github", body, headers=named, timeout=10)

    def push(self, said: Any = PUSH, delivery: str = "", secret: bytes = SECRET) -> requests.Response:
        body = json.dumps(said).encode()
        more = {"GitHub_Delivery": delivery} if delivery else {}
        return self.hook(body, GitHub_Event="push", Hub_Signature_256=signature(body, secret), **more)

    def raw(self, data: bytes, source: str = "127.0.0.1") -> socket.socket:
        client = socket.create_connection(self.place, timeout=10, source_address=(source, 0))
        client.sendall(data)
        return client

    def queued(self) -> list[str]:
        """The repositories that are due; they are taken."""
        return [due.key for due in self.served.ledger.claim("repository", 10, timedelta(seconds=30))]

    def metric(self, name: str, **labels: str) -> float | None:
        return value_of(self.get("/metrics").text, name, **labels)


def value_of(text: str, name: str, **labels: str) -> float | None:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    found = re.search(rf"^{re.escape(name + (f'{{{inside}}}' if inside else ''))} (\S+)$", text, re.M)
    return float(found[1]) if found else None


def wait_until(is_so: Callable[[], bool]) -> None:
    patience = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < patience


def answer_of(client: socket.socket) -> bytes:
    """Everything until the server ends the connection."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    client.close()
    return b"".join(parts)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Store]:
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", SystemClock())
    yield store
    store.close()


@pytest.fixture
def make_site(ledger: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    monkeypatch.setenv("SECRET", SECRET.decode())
    monkeypatch.setenv("ANOTHER", "another secret")
    with ExitStack() as servers:

        def make(**changes: Any) -> Site:
            log, stop, clock = Log(), Event(), SystemClock()
            served = Served(
                ledger=ledger,
                hooks=watching(watched("main"), watched("other", "next")),
                repositories=("main",),
                ailments=tuple,
                metrics=Metrics(clock, ("fleet",), ("main",)),
                clock=clock,
                log=log,
                stop=stop,
            )
            served = replace(served, **changes)
            address = servers.enter_context(serving("127.0.0.1:0", served)).address
            return Site(address, served, log, stop)

        yield make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def read_once(ledger: Store, name: str = "main") -> None:
    with ledger._database.writing() as connection:
        connection.execute(insert(repositories).values(name=name, head="1" * 40, read_at=1))


class Hangs:
    """A ledger that answers nothing until it is let go."""

    def __init__(self, ledger: Store) -> None:
        self._ledger, self.go, self.asked = ledger, Event(), 0

    def _held(self) -> None:
        self.asked += 1
        self.go.wait(20)

    def heads(self) -> Mapping[str, str]:
        self._held()
        return self._ledger.heads()

    def figures(self) -> Any:
        self._held()
        return self._ledger.figures()

    def add(self, keys: Any, **_: Any) -> None:
        self._held()
        self._ledger.add(keys)


@pytest.fixture
def hanging(ledger: Store) -> Iterator[Hangs]:
    held = Hangs(ledger)
    yield held
    held.go.set()


# ── addresses ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("localhost:8080", ("localhost", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_an_address_is_host_and_port(written: str, address: tuple[str, int]) -> None:
    assert address == address_of(written)


@pytest.mark.parametrize("written", ["8080", ":8080", "host:", "host:65536", "http://host:80", "::1:80", "a b:80"])
def test_what_is_no_address_is_refused_with_the_way_to_write_it(written: str) -> None:
    with pytest.raises(SettingsError, match=r"listen: .* is no address: write HOST:PORT"):
        address_of(written)


def test_a_port_that_is_taken_is_one_sentence(site: Site) -> None:
    host, port = site.place

    with pytest.raises(Refused, match=r"^listen: \S+ cannot be listened on: Address already in use") as refused:
        with serving(f"{host}:{port}", site.served):
            pass

    assert ExitCode.UNREACHABLE == refused.value.code


# ── health ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_alive_whatever_the_ledger_does(make_site: Callable[..., Site], hanging: Hangs) -> None:
    answer = make_site(ledger=hanging).get("/healthz")

    assert (200, {"alive": True, "why": ""}) == (answer.status_code, answer.json())


def test_a_loop_that_stands_still_is_not_alive(make_site: Callable[..., Site]) -> None:
    answer = make_site(ailments=lambda: ("nothing drives the family fleet any more",)).get("/healthz")

    assert 503 == answer.status_code
    assert {"alive": False, "why": "nothing drives the family fleet any more"} == answer.json()


def test_it_is_ready_when_every_repository_was_read(make_site: Callable[..., Site], ledger: Store) -> None:
    read_once(ledger)

    assert 200 == make_site().get("/readyz").status_code


def test_a_repository_that_was_never_read_is_named(site: Site) -> None:
    answer = site.get("/readyz")

    assert 503 == answer.status_code
    assert {"ready": False, "why": "repository main was never read: the log says why"} == answer.json()


def test_a_ledger_that_hangs_is_said_within_the_patience_of_whoever_asks(
    make_site: Callable[..., Site], hanging: Hangs
) -> None:
    site = make_site(ledger=hanging)
    with ThreadPoolExecutor(20) as askers:
        answers = list(askers.map(site.get, ["/readyz"] * 20))

    assert {503} == {answer.status_code for answer in answers}
    assert {"the ledger does not answer within a second"} == {answer.json()["why"] for answer in answers}
    assert 1 == hanging.asked


def test_a_ledger_that_is_broken_is_not_ready(make_site: Callable[..., Site], ledger: Store, tmp_path: Path) -> None:
    site = make_site()
    ledger.close()
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)

    assert "the ledger does not answer within a second" == site.get("/readyz").json()["why"]


def test_who_shuts_down_is_alive_and_not_ready(make_site: Callable[..., Site], ledger: Store) -> None:
    read_once(ledger)
    site = make_site()
    site.stop.set()

    assert 200 == site.get("/healthz").status_code
    assert "the controller is shutting down" == site.get("/readyz").json()["why"]


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_push_makes_its_repository_due(site: Site) -> None:
    answer = site.push()

    assert (202, "queued") == (answer.status_code, answer.json()["result"])
    assert ["repository:main"] == site.queued()


def test_a_push_to_another_branch_moves_who_watches_it(site: Site) -> None:
    assert 202 == site.push({**PUSH, "ref": "refs/heads/next"}).status_code
    assert ["repository:other"] == site.queued()


@pytest.mark.parametrize(
    "said", [{**PUSH, "ref": "refs/heads/feature"}, {**PUSH, "repository": {"full_name": "example/elsewhere"}}]
)
def test_a_push_that_concerns_nobody_is_ignored(site: Site, said: Any) -> None:
    answer = site.push(said)

    assert (200, "ignored") == (answer.status_code, answer.json()["result"])
    assert [] == site.queued()


def test_an_event_that_is_no_push_is_ignored(site: Site) -> None:
    body = json.dumps(PUSH).encode()

    assert "ignored" == site.hook(body, GitHub_Event="ping", Hub_Signature_256=signature(body)).json()["result"]


@pytest.mark.parametrize("headers", [{}, {"Hub_Signature_256": signature(b"another")}, {"Hub_Signature_256": "ä"}])
def test_who_does_not_know_the_secret_moves_nothing(site: Site, headers: dict[str, str]) -> None:
    answer = site.hook(json.dumps(PUSH).encode(), GitHub_Event="push", **headers)

    assert (401, "refused") == (answer.status_code, answer.json()["result"])
    assert [] == site.queued()
    assert SECRET.decode() not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"ref": 1}'])
def test_garbage_with_a_right_signature_is_refused_politely(site: Site, body: bytes) -> None:
    assert 400 == site.hook(body, GitHub_Event="push", Hub_Signature_256=signature(body)).status_code
    assert [] == site.queued()


def test_the_same_delivery_again_moves_nothing(site: Site) -> None:
    assert 202 == site.push(delivery="72d3162e").status_code
    assert ["repository:main"] == site.queued()

    again = site.push(delivery="72d3162e")

    assert (200, "seen a moment ago") == (again.status_code, again.json()["why"])
    assert [] == site.queued()


def test_a_delivery_that_failed_may_come_again(make_site: Callable[..., Site], hanging: Hangs) -> None:
    site = make_site(ledger=hanging)
    failed = site.push(delivery="72d3162e")
    hanging.go.set()

    assert (503, "ledger_away") == (failed.status_code, failed.json()["result"])
    assert 202 == site.push(delivery="72d3162e").status_code


def test_each_secret_speaks_for_its_own_repositories(make_site: Callable[..., Site]) -> None:
    site = make_site(hooks=watching(watched("main"), watched("other", full_name="example/other", secret="ANOTHER")))
    elsewhere = {**PUSH, "repository": {"full_name": "example/other"}}

    assert "ignored" == site.push(secret=b"another secret").json()["result"]
    assert "queued" == site.push(elsewhere, secret=b"another secret").json()["result"]
    assert ["repository:other"] == site.queued()


def test_a_flood_is_answered_and_becomes_one_name(site: Site) -> None:
    with ThreadPoolExecutor(50) as forges:
        answers = list(forges.map(lambda number: site.push({**PUSH, "number": number}).status_code, range(200)))

    assert {202} == set(answers)
    assert ["repository:main"] == site.queued()


def test_a_flood_that_hangs_holds_no_more_than_its_share(make_site: Callable[..., Site], hanging: Hangs) -> None:
    site = make_site(ledger=hanging)
    with ThreadPoolExecutor(100) as forges:
        answers = list(forges.map(lambda number: site.push({**PUSH, "number": number}).json()["result"], range(100)))

    assert {"ledger_away"} == set(answers)
    assert 2 >= hanging.asked
    assert 200 == site.get("/healthz").status_code


def test_without_secrets_there_is_no_such_route(make_site: Callable[..., Site]) -> None:
    assert 404 == make_site(hooks={}).push().status_code


def test_who_shuts_down_takes_no_webhooks(site: Site) -> None:
    site.stop.set()

    assert (503, "stopping") == (site.push().status_code, site.push().json()["result"])
    assert [] == site.queued()


def test_the_log_hears_of_refusals_once_a_minute(site: Site) -> None:
    for _ in range(5):
        site.hook(b"{}")

    assert [("refused", 401)] == [(said["result"], said["status"]) for said in site.log.of("webhook not taken")]


# ── hostile clients ──────────────────────────────────────────────────────────────────────────────────────────────

UNSIGNED = b"POST /hooks/github HTTP/1.1\r\nHost: x\r\n"
HEAD = UNSIGNED + b"X-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_body_that_says_it_is_too_large_is_not_read(site: Site) -> None:
    client = site.raw(HEAD + b"Content-Length: %d\r\n\r\n" % (CAP + 1))

    assert 413 == status_of(answer_of(client))


def test_a_body_in_chunks_that_never_end_is_cut_off(site: Site) -> None:
    client = site.raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0
    try:
        while sent < 64 * CAP:
            client.sendall(chunk)
            sent += len(chunk)
    except (BrokenPipeError, ConnectionResetError):
        pass

    client.close()
    assert sent < 8 * CAP  # what lies in the buffers of both sides
    assert 1 == site.metric("fairlead_webhooks_total", forge="github", result="too_large")


def test_a_body_that_does_not_come_is_not_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.read, "__defaults__", (0.2,))
    client = site.raw(HEAD + b"Content-Length: 100\r\n\r\n{")

    assert 408 == status_of(answer_of(client))


@pytest.mark.parametrize("signed", [b"", b"X-Hub-Signature-256: sha256=zz\r\n", b"X-Hub-Signature: sha1=00\r\n"])
def test_what_is_not_signed_is_refused_before_its_body_came(site: Site, signed: bytes) -> None:
    client = site.raw(UNSIGNED + signed + b"Content-Length: 100\r\n\r\n")

    assert 401 == status_of(answer_of(client))


def test_slow_bodies_of_one_address_leave_turns_for_another(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.read, "__defaults__", (30.0,))
    slow = [site.raw(HEAD + b"Content-Length: 100\r\n\r\n{", "127.0.0.2") for _ in range(AT_ONCE)]
    busy = partial(site.metric, "fairlead_webhooks_total", forge="github", result="busy")
    wait_until(lambda: busy() == AT_ONCE - OF_ONE)  # those over the share

    assert "queued" == site.push().json()["result"]
    for client in slow:
        client.close()


def test_who_finds_all_turns_taken_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.read, "__defaults__", (30.0,))
    slow = [site.raw(HEAD + b"Content-Length: 100\r\n\r\n{", f"127.0.0.{2 + number % 4}") for number in range(AT_ONCE)]
    answers: list[tuple[int, str]] = []

    def is_busy() -> bool:
        answer = site.push({**PUSH, "number": len(answers)})
        answers.append((answer.status_code, answer.json()["result"]))
        return answers[-1] == (503, "busy")

    wait_until(is_busy)
    for client in slow:
        client.close()
    assert {(202, "queued"), (503, "busy")} >= set(answers)


@pytest.mark.parametrize("head", [b"", b"G", HEAD + b"Broken", HEAD])
def test_a_head_that_does_not_come_ends_the_connection(
    site: Site, head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SLOWEST", 0.2)

    assert b"" == answer_of(site.raw(head))


def test_connections_that_are_only_held_keep_nobody_out(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 5)
    held = [site.raw(b"GET /healthz") for _ in range(20)]

    assert 200 == site.get("/healthz").status_code
    assert b"" == answer_of(held[0])
    for client in held[1:]:
        client.close()


def test_connections_that_come_in_one_burst_end_all_the_same(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MOST", 5)
    asked, go = Event(), Event()

    def stands_still() -> tuple[str, ...]:
        asked.set()
        go.wait(20)
        return ()

    site = make_site(ailments=stands_still)
    asker = site.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert asked.wait(20)
    burst = [site.raw(b"GET") for _ in range(connections.AT_ONCE // 2)]
    go.set()
    ended = [client for client in burst[:-5] if b"" == answer_of(client)]

    assert len(burst) - 5 == len(ended)
    assert 200 == site.get("/healthz").status_code
    for client in (asker, *burst[-5:]):
        client.close()


def test_an_answer_that_nobody_reads_ends_with_its_time(
    make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SLOWEST", 0.5)
    gone = Event()
    lost = connections.Connection.connection_lost
    monkeypatch.setattr(connections.Connection, "connection_lost", lambda *said: (lost(*said), gone.set())[0])
    site = make_site(ailments=lambda: ("x" * 32_000_000,))
    client = site.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert gone.wait(20)
    client.close()


def test_a_head_without_end_is_refused(site: Site) -> None:
    client = site.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000)

    assert answer_of(client)[:12] in {b"HTTP/1.1 400", b""}
    assert 200 == site.get("/healthz").status_code


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffffffff\r\n",
        HEAD + b"Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_what_is_no_sound_request_is_answered_or_cut_off(
    site: Site, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SLOWEST", 1.0)
    answer = answer_of(site.raw(data))

    assert not answer or 400 <= status_of(answer) < 500
    assert [] == site.log.of("http server error")
    assert 200 == site.get("/healthz").status_code


def test_the_page_states_the_limits_that_hold() -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()

    for row in (
        f"| {server.LARGEST_HEAD // 1024} KiB |",
        f"| {CAP >> 20} MiB, within {bodies.SLOWEST:g} s;",
        f"| {AT_ONCE} at once; {OF_ONE} of one address;",
        f"| {connections.SLOWEST:g} s; then",
        f"| {connections.MOST}; above",
    ):
        assert row in page


# ── what every answer carries ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nowhere"])
def test_an_answer_says_nothing_of_what_serves_it_and_is_not_kept(site: Site, path: str) -> None:
    headers = site.get(path).headers

    assert "Server" not in headers
    assert ("no-store", "nosniff") == (headers["Cache-Control"], headers["X-Content-Type-Options"])


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/", "/hooks", "/hooks/bitbucket"])
def test_nothing_else_is_there(site: Site, path: str) -> None:
    assert 404 == site.get(path).status_code


def test_answers_are_counted_by_route_and_never_by_what_somebody_asked_for(site: Site) -> None:
    site.get("/healthz")
    site.get("/nowhere/at/all")

    assert 1 == site.metric("fairlead_http_requests_total", route="/healthz", code="200")
    assert 1 == site.metric("fairlead_http_requests_total", route="other", code="404")


def test_an_answer_that_raises_is_logged_and_the_next_one_comes(make_site: Callable[..., Site]) -> None:
    def broken() -> tuple[str, ...]:
        raise RuntimeError("a mistake of ours")

    site = make_site(ailments=broken)

    assert 500 == site.get("/healthz").status_code
    assert "a mistake" not in site.get("/healthz").text
    assert site.log.of("http server error")
    assert 503 == site.get("/readyz").status_code
