"""When a service is healthy: an address that answers 2xx, a port that accepts, or a command that ends with 0."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from adapters.agent_protocol.orders import Health
from adapters.agent_protocol.reports import Blame
from fairlead_agent.asking import Question
from fairlead_agent.commands import Runner
from fairlead_agent.trouble import Interrupted, Trouble

ANSWER = 5.0  # seconds that one answer may take, from the first address that is tried to the end of its first line
PAUSE = 0.25  # seconds between two questions while something starts
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: |$)")
_BLANK = re.compile(r"[\0-\x20\x7f]")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class HealthCheck:
    """Asks as an order says. `ports` are a rehearsal's: another port on loopback for the one that is named."""

    def __init__(self, run: Runner, ports: Mapping[int, int]) -> None:
        self._run = run
        self._ports = ports

    def ailment(self, health: Health, folder: Path, stop: Event | None = None) -> str:
        """What is wrong, in a few words; nothing when it is healthy. Raises `Interrupted`."""
        if health.http is not None:
            return self._http(health.http, stop)
        if health.tcp is not None:
            return self._tcp(health.tcp, stop)
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

    def _http(self, address: str, stop: Event | None) -> str:
        try:
            parts = urlsplit(address)
            line = self._first_line(parts, Question(ANSWER, stop))
        except (OSError, ValueError) as error:
            return f"{address} does not answer: {error or type(error).__name__}"
        found = _STATUS.match(line)
        if found is None:
            return f"{address} does not answer: that is no HTTP: {line[:40]!r}"
        return "" if found[1].startswith(b"2") else f"{address} answers {int(found[1])}"

    def _first_line(self, parts: SplitResult, question: Question) -> bytes:
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = self._port(host, parts.port or (443 if secure else 80))
        request = _request(parts)
        with question.connected(host, port) as connection:
            if not secure:
                return question.first_line(connection, request)
            with question.secured(connection, host) as secured:
                return question.first_line(secured, request)

    def _tcp(self, endpoint: str, stop: Event | None) -> str:
        host, _, port = endpoint.rpartition(":")
        try:
            with Question(ANSWER, stop).connected(host, self._port(host, int(port))):
                return ""
        except (OSError, ValueError, OverflowError) as error:
            return f"{endpoint} does not accept: {error}"

    def _port(self, host: str, port: int) -> int:
        return self._ports.get(port, port) if host in _LOOPBACK else port


def _request(parts: SplitResult) -> bytes:
    """Raises `ValueError` where the address would say more than one line."""
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    host = parts.netloc.rpartition("@")[2]
    if _BLANK.search(target + host):
        raise ValueError("an address has no blanks")
    lines = (
        f"GET {target} HTTP/1.1",
        f"Host: {host}",
        "User-Agent: fairlead-agent",
        "Accept: */*",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode("ascii")
