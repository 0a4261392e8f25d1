"""Gate as one object: wires its parts and serves them over HTTP or TLS on 127.0.0.1."""

import json
import socket
import ssl
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from adapters.clock import SystemClock
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate.access_log import AccessLog
from fairlead_sandbox.gate.answers import Answer, Dropped, Request
from fairlead_sandbox.gate.authentication import Authentication, ClientCertificate
from fairlead_sandbox.gate.certificates import make_certificates, server_context
from fairlead_sandbox.gate.control import PREFIX, Control
from fairlead_sandbox.gate.deploying import Site
from fairlead_sandbox.gate.engine import Engine
from fairlead_sandbox.gate.executions import Executions
from fairlead_sandbox.gate.faults import Faults
from fairlead_sandbox.gate.front import Front
from fairlead_sandbox.gate.ground import AwsGround, Ground
from fairlead_sandbox.gate.pipelines import Pipelines
from fairlead_sandbox.gate.routes import Routes
from fairlead_sandbox.gate.saving import Saver
from fairlead_sandbox.gate.triggering import Launcher
from fairlead_sandbox.gate.ulid import Ulids
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """How long things take, in seconds. Without `background` nothing moves but by `Gate.tick()`."""

    bake_seconds: float = 1.0
    deploy_seconds: float = 1.0
    health_seconds: float = 5.0  # a new group that is not healthy by then fails its deploy
    tick_seconds: float = 0.02
    background: bool = True
    log_file: Path | None = None  # the access log as JSON lines


class Gate:
    """A Gate with its Orca, Front50 and Rosco. Use it as a context manager, or call `start` and `stop`."""

    def __init__(
        self,
        aws: Aws | Ground,
        settings: GateSettings | None = None,
        authentication: Authentication | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings or GateSettings()
        self.authentication = authentication or Authentication()
        self._clock = clock or SystemClock()
        self.faults = Faults()
        self.pipelines = Pipelines()
        self.executions = Executions()
        self.access_log = AccessLog(self.settings.log_file)
        self.control = Control(faults=self.faults, log=self.access_log)
        self._front = self._make_front()
        self._engine = Engine(
            self.executions,
            self.pipelines,
            self._site(AwsGround(aws) if isinstance(aws, Aws) else aws),
            self.settings.tick_seconds,
        )
        self._server: _Server | None = None
        self._tls: ssl.SSLContext | None = None

    def _site(self, ground: Ground) -> Site:
        return Site(
            ground=ground,
            clock=self._clock,
            faults=self.faults,
            bake_seconds=self.settings.bake_seconds,
            deploy_seconds=self.settings.deploy_seconds,
            health_seconds=self.settings.health_seconds,
        )

    def _make_front(self) -> Front:
        parts: dict[str, Any] = {"pipelines": self.pipelines, "executions": self.executions, "faults": self.faults}
        launcher = Launcher(**parts, clock=self._clock, ulids=Ulids())
        return Front(
            routes=Routes(
                **parts,
                launcher=launcher,
                saver=Saver(pipelines=self.pipelines, faults=self.faults, clock=self._clock),
            ),
            faults=self.faults,
            log=self.access_log,
            authentication=self.authentication,
            clock=self._clock,
            base_url=lambda: self.url,
        )

    def start(self) -> Self:
        """Begin to answer and, unless the settings say otherwise, to run pipelines. Gives itself."""
        if isinstance(self.authentication, ClientCertificate):
            make_certificates(self.authentication.folder, self._clock.now())
            self._tls = server_context(self.authentication.folder)
        self.come_back()
        if self.settings.background:
            self._engine.start()
        return self

    def go_away(self) -> None:
        """Nobody answers at its address until `come_back`; what runs goes on."""
        if self._server is not None:
            self._server.end()

    def come_back(self) -> None:
        """Answer again, at the same address."""
        port = self._server.server_port if self._server is not None else 0
        self._server = _Server(self._front, self.control, self._tls, port)
        self._server.begin()

    def stop(self) -> None:
        """End it: whoever is held is let go, no step is left half done. May be called twice."""
        self.faults.close()
        self._engine.stop()
        if self._server is not None:
            self._server.end()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers."""
        if self._server is None:
            raise RuntimeError("this Gate is not running; call start() first")
        return self._server.url

    def wait_for_end(self, ref: str, timeout: float = 10.0) -> str:
        """The final status of `/pipelines/<id>` (or of an id). Raises TimeoutError when it does not end in time."""
        execution = self.executions.get(ref.rpartition("/")[2])
        if execution is None:
            raise LookupError(f"{ref} is no execution of this Gate")
        if not execution.ended.wait(timeout):
            raise TimeoutError(f"{ref} is still {execution.status} after {timeout:g} s")
        return execution.status

    def tick(self) -> None:
        """Move every execution by one step."""
        self._engine.tick()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, front: Front, control: Control, tls: ssl.SSLContext | None, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.front, self.control, self._tls = front, control, tls
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._open: set[Any] = set()
        self._lock = Lock()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.server_port}"

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Stop listening and close the connections that clients keep alive. May be called twice."""
        if not self._thread.is_alive():
            return
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._lock:
            for connection in self._open:
                _hang_up(connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: the TLS handshake must not keep others waiting."""
        try:
            connection = self._tls.wrap_socket(request, server_side=True) if self._tls else request
        except (ssl.SSLError, OSError):
            return
        with self._lock:
            self._open.add(connection)
        try:
            super().finish_request(connection, client_address)
        finally:
            with self._lock:
                self._open.discard(connection)
            if self._tls:
                connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""
        del request, client_address


def _hang_up(connection: Any) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        request = self._request()
        try:
            if request.path.startswith(PREFIX):
                answer = self.server.control.answer(request)
            else:
                answer = self.server.front.answer(request, self._certificate())
        except Dropped:
            self.close_connection = True
            _hang_up(self.connection)
            return
        self._send(answer)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve  # noqa: N815

    def _request(self) -> Request:
        parts = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return Request(
            method=self.command,
            path=unquote(parts.path),
            query=dict(parse_qsl(parts.query)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=_parsed(raw),
        )

    def _certificate(self) -> str | None:
        """The common name of the client's certificate."""
        shown = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        subject: Any = (shown or {}).get("subject", ())
        return next((value for part in subject for key, value in part if key == "commonName"), None)

    def _send(self, answer: Answer) -> None:
        """Headers and body in one write."""
        body, kind = _bytes(answer.body)
        self.send_response(answer.status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self._headers_buffer.append(b"\r\n")  # type: ignore[attr-defined]
        self._headers_buffer.append(body)  # type: ignore[attr-defined]
        self.flush_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """The access log has it all."""


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode(errors="replace")


def _bytes(body: Any) -> tuple[bytes, str]:
    if body is None:
        return b"", "application/json"
    if isinstance(body, str):
        return body.encode(), "text/html;charset=UTF-8"
    return json.dumps(body).encode(), "application/json"
