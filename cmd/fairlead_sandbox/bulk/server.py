"""A small HTTP/1.1 server: keep-alive, no Nagle, one write an answer.

The standard library's reads headers as mail does, which takes longer than most answers.
"""

import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

from fairlead_sandbox.bulk.wire import Answer

CONTROL = "/sandbox/"
Respond = Callable[[str, str, str, Mapping[str, str], bytes, socket.socket], Answer]
Deed = Callable[..., Any]


class Server(ThreadingTCPServer):
    """Answers on 127.0.0.1 and a free port from `start` to `stop`. `deeds` are POST /sandbox/<name> with JSON."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024
    allow_reuse_address = True

    def __init__(self, respond: Respond, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Connection)
        self.respond = respond
        self.deeds: dict[str, Deed] = {}
        self._open: set[socket.socket] = set()
        self._thread = Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close what clients keep open."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept and remember a connection."""
        connection, client = super().get_request()
        self._open.add(connection)
        return connection, client

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""


class _Connection(StreamRequestHandler):
    disable_nagle_algorithm = True
    rbufsize = 64 * 1024
    server: Server

    def handle(self) -> None:
        while line := self.rfile.readline(65_536):
            method, target, _ = line.decode("latin-1").split(" ", 2)
            headers = self._headers()
            answer = self._answer(method, target, headers, self._body(headers))
            self.wfile.write(_written(answer, method))
            if headers.get("connection", "").lower() == "close":
                return

    def _headers(self) -> dict[str, str]:
        headers = {}
        while (line := self.rfile.readline(65_536)) not in {b"\r\n", b"\n", b""}:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return headers

    def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(headers.get("content-length") or 0)
        return self.rfile.read(length) if length else b""

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        path, _, query = target.partition("?")
        if path.startswith(CONTROL):
            return self._deed(path.removeprefix(CONTROL), body)
        return self.server.respond(method, unquote(path), query, headers, body, self.connection)

    def _deed(self, name: str, body: bytes) -> Answer:
        """A deed's result as JSON; what goes wrong in it as a sentence."""
        deed = self.server.deeds.get(name)
        if deed is None:
            known = ", ".join(sorted(self.server.deeds))
            return _json({"error": f"there is no deed {name}; there is: {known}"}, HTTPStatus.NOT_FOUND)
        try:
            return _json(deed(**json.loads(body or b"{}")), HTTPStatus.OK)
        except Exception as error:  # noqa: BLE001  whoever asked is told
            return _json({"error": f"{type(error).__name__}: {error}"}, HTTPStatus.BAD_REQUEST)


def _json(said: Any, status: HTTPStatus) -> Answer:
    return Answer(json.dumps(said).encode(), status, (("Content-Type", "application/json"),))


def _written(answer: Answer, method: str) -> bytes:
    """The whole answer. One to HEAD has the length of the body and not the body."""
    lines = [f"HTTP/1.1 {int(answer.status)} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if not any(name.lower() == "content-length" for name, _ in answer.headers):
        lines.append(f"Content-Length: {len(answer.body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if method == "HEAD" else head + answer.body
