"""When a service is healthy: by HTTP, by a port, by a command."""

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from adapters.agent_protocol.orders import Health
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import run
from fairlead_agent.health import HealthCheck
from fairlead_agent.trouble import Interrupted, Trouble


class Played(ThreadingHTTPServer):
    """Answers the statuses that it is told, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.statuses = [200]
        self.asked: list[tuple[str, str]] = []
        self.raw = b""


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        played: Any = self.server
        played.asked.append((self.path, self.headers["Host"]))
        if played.raw:
            self.wfile.write(played.raw)
            return
        self.send_response(played.statuses.pop(0) if len(played.statuses) > 1 else played.statuses[0])
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Played]:
    with Played() as played:
        Thread(target=played.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield played
        played.shutdown()


@pytest.fixture
def check(service: Played) -> HealthCheck:
    return HealthCheck(run, {8080: service.server_port})


HTTP = Health(http="http://localhost:8080/health?deep=1", within=5.0)
HERE = Path("/")


def never() -> str:
    return ""


@pytest.mark.parametrize("status", [200, 204, 299])
def test_an_address_that_answers_2xx(check: HealthCheck, service: Played, status: int) -> None:
    service.statuses = [status]

    assert "" == check.ailment(HTTP, HERE)
    assert [("/health?deep=1", "localhost:8080")] == service.asked


@pytest.mark.parametrize("status", [301, 404, 500, 503])
def test_an_address_that_answers_anything_else(check: HealthCheck, service: Played, status: int) -> None:
    service.statuses = [status]

    assert f"{HTTP.http} answers {status}" == check.ailment(HTTP, HERE)


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"HTTP/1.1 200", b"\0" * 70_000])
def test_an_answer_that_is_no_http(check: HealthCheck, service: Played, raw: bytes) -> None:
    service.raw = raw

    found = check.ailment(HTTP, HERE)

    assert raw == b"HTTP/1.1 200" or found.startswith(f"{HTTP.http} does not answer: ")


@pytest.mark.parametrize("address", ["http://localhost:99999/", "http://127.0.0.1:9/", "http://[::1/", "https://a b/"])
def test_an_address_where_nobody_is(check: HealthCheck, address: str) -> None:
    assert check.ailment(Health(http=address), HERE).startswith(f"{address} does not answer: ")


def test_an_address_of_another_host_keeps_its_port(check: HealthCheck, service: Played) -> None:
    assert "does not answer" in check.ailment(Health(http="http://127.0.0.2:8080/"), HERE)
    assert [] == service.asked


def test_a_port_that_accepts(check: HealthCheck) -> None:
    assert "" == check.ailment(Health(tcp="127.0.0.1:8080"), HERE)


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9", "localhost:99999", "nobody.invalid:1", "localhost:"])
def test_a_port_that_does_not(check: HealthCheck, endpoint: str) -> None:
    assert check.ailment(Health(tcp=endpoint), HERE).startswith(f"{endpoint} does not accept: ")


def test_a_command_in_the_folder_of_the_release(check: HealthCheck, tmp_path: Path) -> None:
    (tmp_path / "ready").touch()

    assert "" == check.ailment(Health(command="test -e ready"), tmp_path)
    assert "its health command ended with 3: not yet" == check.ailment(
        Health(command="echo starting; echo not yet; exit 3"), tmp_path
    )
    assert "cannot run /bin/sh" in check.ailment(Health(command="true"), tmp_path / "none")


def test_a_command_that_does_not_end_is_ended(check: HealthCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead_agent.health.ANSWER", 0.05)

    assert "its health command did not end in time" == check.ailment(Health(command="sleep 600"), HERE)


def test_waiting_ends_when_it_is_healthy(check: HealthCheck, service: Played) -> None:
    service.statuses = [503, 503, 200]

    check.wait(HTTP, HERE, Event(), never)

    assert 3 == len(service.asked)


def test_waiting_ends_with_the_last_answer_when_the_time_is_over(check: HealthCheck, service: Played) -> None:
    service.statuses = [503]
    within = Health(http=HTTP.http, within=0.0)

    with pytest.raises(
        Trouble, match=r"not healthy within 0 s: http://localhost:8080/health\?deep=1 answers 503"
    ) as told:
        check.wait(within, HERE, Event(), never)

    assert Blame.UNHEALTHY == told.value.blame


def test_a_unit_that_has_failed_is_told_at_once(check: HealthCheck, service: Played) -> None:
    service.statuses = [503]

    with pytest.raises(Trouble, match=r"mm\.service has failed; http.* answers 503") as told:
        check.wait(Health(http=HTTP.http, within=3600.0), HERE, Event(), lambda: "mm.service has failed")

    assert Blame.UNHEALTHY == told.value.blame
    assert 1 == len(service.asked)


def dripping(first: bytes, each: bytes) -> Iterator[int]:
    """A service that says something, and then a little every now and then, for ever. Gives its port."""
    over = Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(4096)
            connection.sendall(first)
            while not over.wait(0.02):
                connection.sendall(each)

    def serve(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                Thread(target=drip, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        Thread(target=serve, args=(listening,), daemon=True).start()
        yield listening.getsockname()[1]
        over.set()
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(
    params=[(b"HTTP/1.1 2", b""), (b"", b"H"), (b"", b"\0"), (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 C\r\n")]
)
def dripper(request: pytest.FixtureRequest) -> Iterator[int]:
    yield from dripping(*request.param)


def test_a_service_that_answers_byte_by_byte_has_one_time_for_all(
    dripper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte in time is no answer in time. Nothing may hold the fleet for longer."""
    monkeypatch.setattr("fairlead_agent.health.ANSWER", 0.2)
    found: list[str] = []
    asks = Thread(target=lambda: found.append(HealthCheck(run, {8080: dripper}).ailment(HTTP, HERE)), daemon=True)
    asks.start()
    asks.join(10.0)

    assert [True] == [said.endswith(("does not answer: timed out", "answers 100")) for said in found]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_who_interrupts_does_not_wait_for_an_answer(scheme: str) -> None:
    for port in dripping(b"", b""):
        stop, raised = Event(), Event()

        def ask(port: int = port, stop: Event = stop, raised: Event = raised) -> None:
            with suppress(Interrupted):
                HealthCheck(run, {8080: port}).ailment(Health(http=f"{scheme}://localhost:8080/"), HERE, stop)
                return
            raised.set()

        Thread(target=ask, daemon=True).start()
        stop.set()

        assert raised.wait(4.0)  # well below the time that an answer has


@pytest.fixture
def long_answer() -> Iterator[int]:
    yield from dripping(b"HTTP/1.1 204 No Content\r\nX-Long: ", b"a")


def test_the_rest_of_a_long_answer_is_not_read(long_answer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead_agent.health.ANSWER", 60.0)
    found: list[str] = []
    check = HealthCheck(run, {8080: long_answer})
    asks = Thread(target=lambda: found.append(check.ailment(HTTP, HERE)), daemon=True)
    asks.start()
    asks.join(10.0)

    assert [""] == found


@pytest.fixture
def secure(service: Played, tmp_path: Path) -> Played:
    """The same, with a certificate that nobody signed."""
    how = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=nobody"]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    subprocess.run(["openssl", *how, *files], capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    service.socket = context.wrap_socket(service.socket, server_side=True)
    return service


@pytest.mark.parametrize(("status", "ailment"), [(200, ""), (503, "https://localhost:8080/health answers 503")])
def test_an_address_with_tls_whoever_signed(secure: Played, check: HealthCheck, status: int, ailment: str) -> None:
    secure.statuses = [status]

    assert ailment == check.ailment(Health(http="https://localhost:8080/health"), HERE)


def test_an_address_says_one_line_only(check: HealthCheck, service: Played) -> None:
    found = check.ailment(Health(http="http://localhost:8080/a b"), HERE)

    assert "does not answer: an address has no blanks" in found
    assert [] == service.asked


@pytest.mark.parametrize("make", [lambda: HTTP, lambda: Health(command="sleep 600", within=3600.0)])
def test_who_interrupts_does_not_wait(check: HealthCheck, service: Played, make: Callable[[], Health]) -> None:
    service.statuses = [503]
    stop = Event()
    stop.set()

    with pytest.raises(Interrupted):
        check.wait(make(), HERE, stop, never)


def test_a_service_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead_agent.health.ANSWER", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        check = HealthCheck(run, {8080: mute.getsockname()[1]})

        assert "does not answer: timed out" in check.ailment(HTTP, HERE)
