"""Hears what other processes make due: one connection that listens, its own thread, back after a loss.

Notifications wake; they are never needed. What was said while nobody listened is found by looking: when the line is up
again every sleeper looks, and while it is down sleepers look often by themselves.
"""

import selectors
import socket
from contextlib import closing
from threading import Event, Lock, Thread
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from adapters.ledger.bell import Bell
from adapters.ledger.server import CHANNEL, unpooled

Line = tuple[Thread, socket.socket, socket.socket]  # the listening thread, and a pair of sockets to end its sleep
PROBE_SECONDS = 10.0  # of silence, then the server is asked whether it is there, and has as long to answer
AGAIN_SECONDS = (0.2, 1.0, 5.0)  # between tries to reach the server


class Listener:
    """Rings the bell for names that other processes made due."""

    def __init__(self, engine: Engine, bell: Bell, voice: str) -> None:
        self._engine, self._bell, self._voice = unpooled(engine), bell, voice
        self._listening, self._ended, self._lock = Event(), Event(), Lock()
        self._line: Line | None = None

    @property
    def is_listening(self) -> bool:
        """True while a name made due elsewhere is heard of at once."""
        return self._listening.is_set()

    def start(self) -> None:
        """Listen from now on. Safe to call again, and after `close`; a thread that died is replaced."""
        with self._lock:
            if self._line is not None and not self._line[0].is_alive():
                self._hang_up(self._line)
            if self._line is None:
                self._ended.clear()
                near, far = socket.socketpair()
                thread = Thread(target=self._run, args=(near,), name="ledger-listener", daemon=True)
                self._line = (thread, near, far)
                thread.start()

    def close(self) -> None:
        """End the thread and its connection."""
        with self._lock:
            if self._line is None:
                return
            self._ended.set()
            self._line[2].send(b"x")
            self._line[0].join()
            self._hang_up(self._line)

    def _hang_up(self, line: Line) -> None:
        for end in line[1:]:
            end.close()
        self._line = None

    def _run(self, ending: socket.socket) -> None:
        try:
            self._keep_listening(ending)
        finally:
            self._listening.clear()

    def _keep_listening(self, ending: socket.socket) -> None:
        failures = 0
        while not self._ended.is_set():
            try:
                with closing(self._line_of_its_own()) as connection:
                    self._listen(connection, ending)
            except self._troubles():
                self._listening.clear()
                self._ended.wait(AGAIN_SECONDS[min(failures, len(AGAIN_SECONDS) - 1)])
                failures += 1
            else:
                failures = 0

    def _line_of_its_own(self) -> Any:
        """A connection that no pool tidies up."""
        lent = self._engine.raw_connection()
        connection = lent.driver_connection
        lent.detach()
        return connection

    def _troubles(self) -> tuple[type[BaseException], ...]:
        return (SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error, OSError)

    def _listen(self, connection: Any, ending: socket.socket) -> None:
        connection.patience = PROBE_SECONDS
        connection.autocommit = True
        connection.execute(f"LISTEN {CHANNEL}")
        self._listening.set()
        self._bell.ring_all()
        with selectors.DefaultSelector() as waiting:  # select() knows no descriptor above 1023
            for one in (connection, ending):
                waiting.register(one, selectors.EVENT_READ)
            while not self._ended.is_set():
                if not waiting.select(PROBE_SECONDS):
                    connection.execute("SELECT 1")
                self._hear(connection)

    def _hear(self, connection: Any) -> None:
        for notice in connection.notifies(timeout=0):
            voice, _, family = notice.payload.partition(" ")
            if voice != self._voice:
                self._bell.ring([family])
