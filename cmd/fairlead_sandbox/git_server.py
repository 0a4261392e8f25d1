"""A git server over smart HTTP: the real `git http-backend` behind a small CGI host, so that tests speak real git.

A guest, such as a forge, may answer on the same port and see what is pushed.

Header and body leave in one write and Nagle's algorithm is off: apart, each keep-alive request once waited 40 ms for a
delayed acknowledgement.
"""

import base64
import contextlib
import hmac
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, urlsplit

_QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One answered request. `service` is `git-upload-pack`, `git-receive-pack` or empty."""

    method: str
    path: str  # without the query
    service: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, whole. Header names are in lower case; `query` is what follows the question mark."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Cut(Exception):
    """The connection is reset instead of an answer."""


class Guest(Protocol):
    """Something that shares the server's address, such as a forge."""

    def answer(self, call: Call) -> Reply | None:
        """None leaves the request to git. Raises `Cut`."""
        ...

    def receiving(self, name: str) -> AbstractContextManager[None]:
        """What is around a push to a repository. Raises `Cut`, also when the push was taken."""
        ...


@dataclass(slots=True, kw_only=True)
class Faults:
    """Switches that a test or a person turns while the server runs."""

    refuse_with: int | None = None  # answer every request with this status
    stall: bool = False  # keep every request waiting until this is switched off
    old_protocol: bool = False  # answer as a server that never heard of protocol version 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What the server asks for: `Basic` with user and password, or `Bearer` with a token."""

    user: str = ""
    password: str = ""
    token: str = ""

    @property
    def header(self) -> str:
        """The one `Authorization` value that is let in."""
        if self.token:
            return f"Bearer {self.token}"
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(slots=True, kw_only=True)
class _State:
    folder: Path
    login: Login | None
    guest: Guest | None = None
    faults: Faults = field(default_factory=Faults)
    accesses: list[Access] = field(default_factory=list)
    waiting: set[int] = field(default_factory=set)  # threads whose request is stalled
    stopped: threading.Event = field(default_factory=threading.Event)


class GitServer:
    """Serves every bare repository of a folder on 127.0.0.1, on a free port unless one is given."""

    def __init__(self, folder: Path, *, login: Login | None = None, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._state = _State(folder=folder, login=login)
        self._server = _Server(("127.0.0.1", port), self._state)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="git-server", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def faults(self) -> Faults:
        """The switches; they act on the next request."""
        return self._state.faults

    @property
    def accesses(self) -> list[Access]:
        """The access log, oldest first. Clear it to count what follows."""
        return self._state.accesses

    @property
    def waiting(self) -> int:
        """How many requests are kept waiting by the `stall` switch."""
        return len(self._state.waiting)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    def share(self, guest: Guest) -> None:
        """Let something else answer on the same port what is its own."""
        self._state.guest = guest

    def url(self, name: str) -> str:
        """The address of a repository; it need not exist yet."""
        return f"http://127.0.0.1:{self.port}/{name}.git"

    def path(self, name: str) -> Path:
        """Where a repository lies on disk."""
        return self._state.folder / f"{name}.git"

    def create(self, name: str) -> str:
        """Make a bare repository whose HEAD is `main` and that takes pushes; gives its address."""
        path = str(self.path(name))
        _git("init", "--quiet", "--bare", "--initial-branch=main", path)
        for key in ("http.receivepack", "http.uploadpack", "uploadpack.allowFilter"):
            _git("-C", path, "config", key, "true")
        return self.url(name)

    def stop(self) -> None:
        """End the server. Requests that are under way are cut off. May be called twice."""
        self._state.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_off()
        self._thread.join(timeout=5)


def _git(*args: str) -> str:
    done = subprocess.run(["git", *args], env={**os.environ, **_QUIET}, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], state: _State) -> None:
        self.state = state
        self.backend = str(Path(_git("--exec-path")) / "git-http-backend")
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection and remember it, so that keep-alive ones end with the server."""
        connection, client = super().get_request()
        self._open.add(connection)
        return connection, client

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def cut_off(self) -> None:
        """End the connections that are still open."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in mid-answer is its own affair."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fairlead-sandbox-git"
    disable_nagle_algorithm = True
    wbufsize = -1  # header and body gather in one buffer
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """The access log is a list, not a stream of lines."""

    def _answer(self) -> None:
        body = self._body()
        if self.server.state.guest is None:
            self._answer_git(body)
            return
        try:
            reply = self.server.state.guest.answer(self._call(body))
        except Cut:
            self._reset()
            return
        if reply is None:
            self._answer_git(body)
        else:
            self._send(reply.status, reply.headers, reply.body)

    def _call(self, body: bytes) -> Call:
        address = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Call(method=self.command, path=address.path, query=address.query, headers=headers, body=body)

    def _reset(self) -> None:
        """To linger for no time makes of the end of a connection its reset (socket(7))."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _answer_git(self, body: bytes) -> None:
        state = self.server.state
        self._wait_while_stalled()
        if state.faults.refuse_with is not None:
            self._send(state.faults.refuse_with, {}, b"refused by a fault switch\n")
        elif state.login and not hmac.compare_digest(self.headers.get("Authorization", ""), state.login.header):
            self._send(401, {"WWW-Authenticate": 'Basic realm="sandbox"'}, b"log in\n")
        else:
            try:
                with self._receiving():
                    answer = _run_backend(self.server.backend, self._environment(len(body)), body)
            except Cut:
                self._reset()
                return
            self._send(*answer)

    def _receiving(self) -> AbstractContextManager[None]:
        name, mark, _ = urlsplit(self.path).path.rpartition(".git/git-receive-pack")
        guest = self.server.state.guest
        return guest.receiving(name.lstrip("/")) if guest is not None and mark else nullcontext()

    def _wait_while_stalled(self) -> None:
        state = self.server.state
        me = threading.get_ident()
        state.waiting.add(me)
        while state.faults.stall and not state.stopped.wait(0.01):
            pass
        state.waiting.discard(me)

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.flush()
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def _environment(self, length: int) -> dict[str, str]:
        address = urlsplit(self.path)
        state = self.server.state
        protocol = "" if state.faults.old_protocol else self.headers.get("Git-Protocol", "")
        return {
            **_QUIET,
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(state.folder),
            "GIT_PROJECT_ROOT": str(state.folder.resolve()),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": address.path,
            "QUERY_STRING": address.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": protocol,
            "GIT_PROTOCOL": protocol,
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_USER": state.login.user if state.login else "",
            "SERVER_PROTOCOL": "HTTP/1.1",
        }

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self._remember(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()  # goes into the buffer: one flush sends both
        self.wfile.write(body)
        self.wfile.flush()

    def _remember(self, status: int) -> None:
        address = urlsplit(self.path)
        last = address.path.rpartition("/")[2]
        asked = parse_qs(address.query).get("service", [last if last.startswith("git-") else ""])[0]
        access = Access(method=self.command, path=address.path, service=asked, status=status)
        self.server.state.accesses.append(access)


def _run_backend(backend: str, environment: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Run the CGI program; gives status, headers and body of its answer."""
    done = subprocess.run([backend], input=body, env=environment, capture_output=True, check=False)
    head, mark, answer = done.stdout.partition(b"\r\n\r\n")
    if not mark:
        return 500, {}, done.stderr
    headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n"))
    status = int(headers.pop("Status", "200 OK").split()[0])
    headers.pop("Content-Length", None)
    return status, headers, answer
