"""One question to a service over TCP: one time limit for all of it, a bounded answer, and whoever interrupts is heard.

A limit on each read would not do: a service that sends a byte now and then would be listened to for ever.
"""

import os
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic
from typing import TypeVar

from fairlead_agent.trouble import Interrupted

LOOK = 0.1  # seconds between two looks at `stop`
LINE = 4096  # bytes that the first line of an answer may have
T = TypeVar("T")


class Question:
    """All that is done with one is done within `within` seconds: what comes later is a `TimeoutError`."""

    def __init__(self, within: float, stop: Event | None) -> None:
        self._until = monotonic() + within
        self._stop = stop

    @contextmanager
    def connected(self, host: str, port: int) -> Iterator[socket.socket]:
        """A connection to the first of the host's addresses that accepts one. Raises `OSError`, `Interrupted`."""
        failed: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as each:
                try:
                    self._connect(each, address)
                except OSError as error:
                    failed = error
                    continue
                yield each
                return
        raise failed

    @contextmanager
    def secured(self, connection: socket.socket, host: str) -> Iterator[ssl.SSLSocket]:
        """Whoever signed the certificate: as a load balancer does, it asks whether the service answers."""
        context = ssl._create_unverified_context()  # noqa: S323
        with context.wrap_socket(connection, server_hostname=host, do_handshake_on_connect=False) as secured:
            self._done(secured, secured.do_handshake)
            yield secured

    def first_line(self, connection: socket.socket, said: bytes) -> bytes:
        """Say something, and give the first line of what comes back, or what there is of it."""
        while said:
            said = said[self._done(connection, lambda part=said: connection.send(part), writes=True) :]  # type: ignore[misc]
        found = b""
        while b"\n" not in found and len(found) < LINE:
            piece = self._done(connection, lambda: connection.recv(LINE))
            if not piece:
                break
            found += piece
        return found[:LINE].partition(b"\n")[0].rstrip(b"\r")

    def _connect(self, connection: socket.socket, address: object) -> None:
        connection.setblocking(False)
        with suppress(BlockingIOError):
            connection.connect(address)  # type: ignore[arg-type]
        self._wait(connection, writes=True)
        number = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))

    def _done(self, connection: socket.socket, step: Callable[[], T], *, writes: bool = False) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._wait(connection, writes=False)
            except ssl.SSLWantWriteError:
                self._wait(connection, writes=True)
            except BlockingIOError:
                self._wait(connection, writes=writes)

    def _wait(self, connection: socket.socket, *, writes: bool) -> None:
        """Until it can be read, or written."""
        asked = [connection]
        while True:
            if self._stop is not None and self._stop.is_set():
                raise Interrupted
            left = self._until - monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            if any(select.select([] if writes else asked, asked if writes else [], [], min(LOOK, left))):
                return
