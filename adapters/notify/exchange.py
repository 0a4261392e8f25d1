"""One guarded HTTP exchange with a channel: time-outs, a size cap, no redirects, no retries."""

import json
import socket
import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from adapters.notify.addresses import checked, is_allowed

CONNECT_TIMEOUT = 5.0  # seconds
TOTAL = 3  # times the time-out: the longest that a whole answer may take, however it drips
LARGEST_ANSWER = 64 * 1024  # bytes
_PORTS = {"https": 443, "http": 80}


class Unreached(Exception):
    """No answer came; the message is a sentence.

    `ours`: it will not come before the settings are other. `in_doubt`: it was sent, and may have been taken.
    """

    def __init__(self, sentence: str, *, ours: bool = False, in_doubt: bool = False) -> None:
        super().__init__(sentence)
        self.ours, self.in_doubt = ours, in_doubt


class _Inside(Exception):
    """The name leads to a machine that the settings do not name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back: header names in lower case, the beginning of the body as text."""

    status: int
    headers: Mapping[str, str]
    text: str = ""

    @property
    def is_page(self) -> bool:
        """A web page: something else than the channel answered."""
        begins = self.text.lstrip().lower().startswith(("<!doctype html", "<html"))
        return begins or "html" in self.headers.get("content-type", "")


class _NoSignIn(AuthBase):
    """Being there keeps requests from taking credentials out of a .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Guarded(HTTPAdapter):
    """Connections that are let go, before a byte is sent, where they led to a machine that may not be asked."""

    def __init__(self, private_hosts: Collection[str]) -> None:
        self._private_hosts = private_hosts
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **more: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **more)
        self.poolmanager.pool_classes_by_scheme = _pools(self._private_hosts)


def _pools(private_hosts: Collection[str]) -> dict[str, type[HTTPConnectionPool]]:
    def guarded(connection: socket.socket, host: str) -> socket.socket:
        if is_allowed(connection.getpeername()[0], host, private_hosts):
            return connection
        connection.close()
        raise _Inside

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return guarded(super()._new_conn(), self.host)

    class Secured(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return guarded(super()._new_conn(), self.host)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(HTTPSConnectionPool):
        ConnectionCls = Secured

    return {"http": PlainPool, "https": SecuredPool}


class Exchange:
    """Posts to channels. Safe to share between threads: each has its own session. `timeout` is in seconds.

    Through a proxy of the environment (`HTTPS_PROXY`) it is the proxy that decides which machines are reached.
    """

    def __init__(self, *, timeout: float, monotonic: Callable[[], float], private_hosts: Collection[str] = ()) -> None:
        self._timeout = timeout
        self._monotonic = monotonic
        self._private_hosts = frozenset(private_hosts)
        self._threads = local()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send it once; whatever comes back is an answer. Raises `Unreached`, `BadAddress`."""
        checked(url)
        try:
            with self._session().post(
                url,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                auth=_NoSignIn(),
                timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
                allow_redirects=False,  # what is told goes to this address only
                stream=True,
            ) as response:
                text = self._text(response)
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(status=response.status_code, headers=found, text=text)
        except _Inside:
            raise _inside() from None
        except requests.RequestException as error:
            raise Unreached(_how(error), in_doubt=_was_sent(error)) from None  # the error's text holds the address
        except (OSError, ValueError):
            raise Unreached("the request could not be made", in_doubt=True) from None

    def reach(self, url: str) -> str:
        """Connect and let go, without a request; gives what kept us from it, else "". Raises as `post` does."""
        host = checked(url)
        with requests.Session() as session:
            known = session.merge_environment_settings(url, {}, False, None, None)
        if select_proxy(url, known["proxies"]):
            return "the road to it goes through a proxy"
        parts = urlsplit(url)
        try:
            with socket.create_connection((host, parts.port or _PORTS[parts.scheme]), CONNECT_TIMEOUT) as connection:
                if not is_allowed(connection.getpeername()[0], host, self._private_hosts):
                    raise _inside()
                if parts.scheme == "https":
                    _context(known["verify"]).wrap_socket(connection, server_hostname=host).close()
        except ssl.SSLError:
            raise Unreached("the TLS handshake failed (its certificate is not trusted)") from None
        except OSError:
            raise Unreached("the connection failed") from None
        return ""

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = requests.Session()
            session.headers.update({"User-Agent": "fairlead"})
            for scheme in ("https://", "http://"):
                session.mount(scheme, _Guarded(self._private_hosts))
            self._threads.session = session
        return session

    def _text(self, response: requests.Response) -> str:
        until = self._monotonic() + TOTAL * self._timeout
        content = bytearray()
        for piece in response.iter_content(8 * 1024):
            content += piece
            if len(content) > LARGEST_ANSWER:
                raise Unreached(f"its answer is over {LARGEST_ANSWER // 1024} KiB", in_doubt=True)
            if self._monotonic() > until:
                raise Unreached(f"its answer took over {TOTAL * self._timeout:g} s", in_doubt=True)
        return bytes(content).decode("utf-8", "replace")


def _context(verify: bool | str | None) -> ssl.SSLContext:
    """What requests would trust."""
    place = verify if isinstance(verify, str) else DEFAULT_CA_BUNDLE_PATH
    if Path(place).is_dir():
        return ssl.create_default_context(capath=place)
    return ssl.create_default_context(cafile=place)


def _inside() -> Unreached:
    return Unreached(
        "its name leads to a machine inside of the network; name the host in private_hosts where that is meant",
        ours=True,
    )


def _how(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS handshake failed (its certificate is not trusted)"
    if isinstance(error, requests.Timeout):
        return "it did not answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let us through"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "the connection failed"
    return f"the request failed ({type(error).__name__})"


def _was_sent(error: requests.RequestException) -> bool:
    """Whether it may have arrived: only a connection that never was tells that it did not."""
    never = (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.ProxyError)
    cause = error.args[0] if error.args else None
    return not isinstance(error, never) and not isinstance(getattr(cause, "reason", None), NewConnectionError)


def json_bytes(document: Mapping[str, object]) -> bytes:
    """The document as it is sent, and signed."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
