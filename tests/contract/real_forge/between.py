"""What stands between an adapter and a real server.

It counts requests, answers 503 in the server's place, and cuts connections when the server has done what was asked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from threading import Thread
from urllib.parse import urlsplit

HOP = frozenset({"connection", "transfer-encoding", "content-length", "host"})


class Between:
    """`url` stands for the server's own."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.asked = 0
        self.is_broken = False
        self.lost_answers = 0  # so many writes to come take effect, and their connection is cut
        self.writes: list[str] = []  # methods and paths of what took effect


@contextmanager
def between(url: str) -> Iterator[Between]:
    """In front of the server at this URL."""
    target = urlsplit(url).netloc

    class Passing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            road.asked += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if road.is_broken:
                self._answer(503, [], b"the server is away")
                return
            passed = HTTPConnection(target, timeout=60)
            kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            passed.request(self.command, self.path, body, kept)
            said = passed.getresponse()
            answer = said.read()
            passed.close()
            writes = self.command != "GET"
            if writes and said.status < 300:
                road.writes.append(f"{self.command} {self.path}")
            if writes and road.lost_answers:
                road.lost_answers -= 1
                self.close_connection = True
                self.connection.shutdown(SHUT_RDWR)
                return
            self._answer(said.status, said.getheaders(), answer)

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names that the library asks for

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
    server.daemon_threads = True
    road = Between(server)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield road
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
