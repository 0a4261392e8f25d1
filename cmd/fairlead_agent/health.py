"""When a service is healthy: an address that answers 2xx, a port that accepts, or a command that ends with 0."""

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from adapters.agent_protocol.orders import Health
from adapters.agent_protocol.reports import Blame
from fairlead_agent.commands import Runner
from fairlead_agent.trouble import Interrupted, Trouble

ANSWER = 5.0  # seconds that one answer may take
PAUSE = 0.25  # seconds between two questions while something starts
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class HealthCheck:
    """Asks as an order says. `ports` are a rehearsal's: another port on loopback for the one that is named."""

    def __init__(self, run: Runner, ports: Mapping[int, int]) -> None:
        self._run = run
        self._ports = ports

    def ailment(self, health: Health, folder: Path, stop: Event | None = None) -> str:
        """What is wrong, in a few words; nothing when it is healthy. Raises `Interrupted`, for commands only."""
        if health.http is not None:
            return self._http(health.http)
        if health.tcp is not None:
            return self._tcp(health.tcp)
        try:
            ended = self._run(["/bin/sh", "-c", health.command or ""], within=ANSWER, cwd=folder, stop=stop)
        except Trouble as trouble:
            return trouble.message
        last = ended.output_tail.strip().splitlines()[-1:]
        return "" if ended.well else ": ".join([f"its health command {ended.how}", *last])

    def wait(self, health: Health, folder: Path, stop: Event, has_failed: Callable[[], str]) -> None:
        """Return when it is healthy. Raises `Trouble` (UNHEALTHY) after its time, or as soon as `has_failed` says why
        it never will be; and `Interrupted`.
        """
        until = monotonic() + health.within
        while ailment := self.ailment(health, folder, stop):
            if failed := has_failed():
                raise Trouble(Blame.UNHEALTHY, f"{failed}; {ailment}")
            if monotonic() >= until:
                raise Trouble(Blame.UNHEALTHY, f"not healthy within {health.within:g} s: {ailment}")
            if stop.wait(PAUSE):
                raise Interrupted

    def _http(self, address: str) -> str:
        try:
            parts = urlsplit(address)
            connection = self._connection(parts)
            try:
                path = parts.path or "/"
                headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "fairlead-agent"}
                connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers=headers)
                status = connection.getresponse().status
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"{address} does not answer: {error or type(error).__name__}"
        return "" if 200 <= status < 300 else f"{address} answers {status}"

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = self._port(host, parts.port or (443 if secure else 80))
        if not secure:
            return http.client.HTTPConnection(host, port, timeout=ANSWER)
        # As a load balancer does, it asks whether the service answers, not who signed its certificate.
        return http.client.HTTPSConnection(host, port, timeout=ANSWER, context=ssl._create_unverified_context())  # noqa: S323

    def _tcp(self, endpoint: str) -> str:
        host, _, port = endpoint.rpartition(":")
        try:
            socket.create_connection((host, self._port(host, int(port))), timeout=ANSWER).close()
        except (OSError, ValueError, OverflowError) as error:
            return f"{endpoint} does not accept: {error}"
        return ""

    def _port(self, host: str, port: int) -> int:
        return self._ports.get(port, port) if host in _LOOPBACK else port
