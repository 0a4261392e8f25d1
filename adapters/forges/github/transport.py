"""One guarded HTTP exchange with GitHub: time-outs, a size cap, no redirects, no retries, no exception but our own."""

import re
from collections.abc import Callable, Mapping
from threading import local
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from adapters.forges.github.answers import Answer, Fate, Trouble, Verdict, unreachable

CONNECT_TIMEOUT = 5.0  # seconds
TOTAL = 3  # times the time-out: the longest that a whole answer may take, however it drips
LARGEST_ANSWER = 1024 * 1024  # bytes
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
VERSION = "2022-11-28"  # of the REST API; a server that does not know it says so with a 400
# An owner with `_` is a managed user of an enterprise.
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}/[A-Za-z0-9._-]{1,100}")


class BadAddress(ValueError):
    """An address that a token must not travel to, or that leads nowhere; the message is a sentence."""


def checked_api(url: str) -> str:
    """The API's address without a slash at its end. Raises `BadAddress`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadAddress("api is no address: write https://api.github.com or https://HOST/api/v3") from None
    if parts.scheme not in {"https", "http"} or not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise BadAddress("api is no address: write https://api.github.com or https://HOST/api/v3")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise BadAddress("api is http, where the token would travel in clear: write https")
    return url.rstrip("/")


def checked_repository(name: str) -> str:
    """`owner/name`, as it stands in a path. Raises `BadAddress`."""
    if not _REPOSITORY.fullmatch(name) or name.partition("/")[2] in {".", ".."}:
        raise BadAddress("repository is needed: write owner/name")
    return name


def _host(api: str) -> str:
    """One name for one API: lower case, and a port only where it is not the scheme's own."""
    parts = urlsplit(api)
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.hostname}" if parts.port in {None, usual} else f"{parts.hostname}:{parts.port}"


class _SignIn(AuthBase):
    """Sets the header. Being there at all keeps requests from taking credentials out of a .netrc."""

    def __init__(self, authorization: str) -> None:
        self._authorization = authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._authorization
        return request


class Transport:
    """Speaks to one API. Safe to share between threads: each has its own session.

    `timeout` is in seconds: until an answer begins, and between two pieces of it. Raises `BadAddress`.
    """

    def __init__(self, api: str, *, timeout: float, monotonic: Callable[[], float]) -> None:
        self.api = checked_api(api)
        self.host = _host(self.api)
        self._timeout = timeout
        self._monotonic = monotonic
        self._threads = local()

    def post(self, path: str, body: Mapping[str, Any], authorization: str) -> Answer:
        """Send it once; whatever comes back is an answer. Raises `Trouble` where nothing does."""
        return self._exchanged("POST", path, body, authorization)

    def get(self, path: str, authorization: str) -> Answer:
        """Ask once, under the same guard as `post`. Raises `Trouble`."""
        return self._exchanged("GET", path, None, authorization)

    def _exchanged(self, method: str, path: str, body: Mapping[str, Any] | None, authorization: str) -> Answer:
        try:
            with self._session().request(
                method,
                self.api + path,
                json=body,
                auth=_SignIn(authorization),
                timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
                allow_redirects=False,  # the token goes to this host only
                stream=True,
            ) as response:
                content = self._content(response)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(status=response.status_code, headers=headers, body=content)
        except requests.RequestException as error:
            raise _ailing(_how(error)) from None  # the error's text names hosts and proxies
        except ValueError:  # of http.client, which repeats the header
            raise _ailing("what we sign in with does not fit into a header") from None
        except OSError:
            raise _ailing("a certificate file cannot be read") from None

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = requests.Session()
            session.headers.update(
                {
                    "Accept": "application/vnd.github+json",
                    "User-Agent": "fairlead",
                    "X-GitHub-Api-Version": VERSION,
                }
            )
            self._threads.session = session
        return session

    def _content(self, response: requests.Response) -> bytes:
        until = self._monotonic() + TOTAL * self._timeout
        content = bytearray()
        for piece in response.iter_content(64 * 1024):
            content += piece
            if len(content) > LARGEST_ANSWER:
                raise _ailing("its answer is over 1 MiB")
            if self._monotonic() > until:
                raise _ailing(f"its answer took over {TOTAL * self._timeout:g} s")
        return bytes(content)


def _ailing(how: str) -> Trouble:
    return Trouble(Verdict(fate=Fate.AILING, message=unreachable(how)))


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
