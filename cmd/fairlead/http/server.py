"""The socket, and uvicorn in a thread of the controller. Signals stay with the main thread.

The socket is opened by itself and first: a port that is taken ends the program before anything is done.
"""

import logging
import os
import re
import socket
from threading import Thread

import uvicorn
from starlette.types import ASGIApp

from fairlead.exit_codes import ExitCode, Refused
from fairlead.http.connections import AT_ONCE, Connection
from fairlead.settings import SettingsError
from reconciler.loop import Log

LARGEST_HEAD = 16 * 1024  # bytes of a request's line and headers
LAST_ANSWERS = 2  # seconds for requests under way when the server ends
LOGGERS = ("uvicorn.error", "asyncio")
HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
]


def opened(listen: str) -> socket.socket:
    """A listening socket for `HOST:PORT`; port 0 takes one that is free.

    Raises `SettingsError` for what is no address, and `Refused` (exit code 3) for one that cannot be had.
    """
    host, port = address_of(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        number = error.errno or 0  # a name that is not known has a number of its own, below nought
        why = os.strerror(number) if number > 0 else error.strerror
        raise Refused(f"listen: {listen} cannot be listened on: {why}; name another", ExitCode.UNREACHABLE) from None


def address_of(listen: str) -> tuple[str, int]:
    """Host and port. Raises `SettingsError`."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]\s/]+)):([0-9]{1,5})", listen)
    if found is None or int(found[3]) > 65535:
        raise SettingsError(f"listen: {listen!r} is no address: write HOST:PORT, such as 127.0.0.1:8080 or [::]:8080")
    return found[1] or found[2], int(found[3])


class Server:
    """Serves an application from `start` to `stop`."""

    def __init__(self, app: ASGIApp, listening: socket.socket, log: Log) -> None:
        self._socket, self._log = listening, log
        self._server = uvicorn.Server(_config(app))
        self._thread = Thread(target=self._serve, name="http", daemon=True)
        self._ear = _Ear(log)

    @property
    def address(self) -> str:
        """`HOST:PORT` as it was given by the system."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def alive(self) -> bool:
        """True while it serves."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Serve in a thread."""
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._ear)
            logging.getLogger(name).propagate = False
        self._log.info("http server listening", address=self.address)
        self._thread.start()

    def stop(self) -> None:
        """Let requests under way end, for a moment, and end."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(2 * LAST_ANSWERS)
        self._socket.close()
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._ear)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Connection,
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        backlog=AT_ONCE,
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=HEADERS,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        timeout_graceful_shutdown=LAST_ANSWERS,
    )


class _Ear(logging.Handler):
    """What uvicorn and asyncio have to say of errors stands in our log, as everything does."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.ERROR)
        self._said = log

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        self._said.warning("http server error", said=record.getMessage(), exc_info=record.exc_info or None)
