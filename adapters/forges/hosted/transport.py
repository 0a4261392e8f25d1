"""One guarded HTTP exchange with a forge: time-outs, a size cap, no redirects, no retries, no exception but our own."""

from collections.abc import Callable, Mapping
from threading import local
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from adapters.forges.hosted.answers import unreachable
from adapters.forges.hosted.asking import Answer, Call, Fate, Trouble, Verdict

CONNECT_TIMEOUT = 5.0  # seconds
TOTAL = 3  # times the time-out: the longest that a whole answer may take, however it drips
LARGEST_ANSWER = 1024 * 1024  # bytes
LARGEST_LIST = 24 * 1024 * 1024  # people write into what is listed: a page of long texts must not shut the list
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class BadAddress(ValueError):
    """An address that a token must not travel to, or that leads nowhere; the message is a sentence."""


def checked_api(url: str, example: str) -> str:
    """The API's address without a slash at its end; `example` says what it may be. Raises `BadAddress`."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadAddress(f"api is no address: write {example}") from None
    if parts.scheme not in {"https", "http"} or not host or parts.query or parts.fragment or "@" in parts.netloc:
        raise BadAddress(f"api is no address: write {example}")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise BadAddress("api is http, where the token would travel in clear: write https")
    return url.rstrip("/")


def _host(api: str) -> str:
    """One name for one API: lower case, and a port only where it is not the scheme's own."""
    parts = urlsplit(api)
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.hostname}" if parts.port in {None, usual} else f"{parts.hostname}:{parts.port}"


class _SignIn(AuthBase):
    """Sets the headers. Being there at all keeps requests from taking credentials out of a .netrc."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class Transport:
    """Speaks to one API of the forge `title`. Safe to share between threads: each has its own session.

    `headers` go with each request. `timeout` is in seconds: until an answer begins, and between two pieces of it.
    Raises `BadAddress`.
    """

    def __init__(
        self,
        api: str,
        *,
        title: str,
        example: str,
        headers: Mapping[str, str],
        timeout: float,
        monotonic: Callable[[], float],
    ) -> None:
        self.api = checked_api(api, example)
        self.host = _host(self.api)
        self._title, self._headers = title, dict(headers)
        self._timeout = timeout
        self._monotonic = monotonic
        self._threads = local()

    def send(self, call: Call, signed: Mapping[str, str]) -> Answer:
        """Ask once; whatever comes back is an answer. Raises `Trouble` where nothing does."""
        try:
            with self._session().request(
                call.method,
                self.api + call.path,
                json=call.body,
                auth=_SignIn(signed),
                timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
                allow_redirects=False,  # the token goes to this host only
                stream=True,
            ) as response:
                content = self._content(response, LARGEST_ANSWER if call.writes else LARGEST_LIST)
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(status=response.status_code, headers=headers, body=content)
        except requests.RequestException as error:
            raise self._ailing(_how(error)) from None  # the error's text names hosts and proxies
        except ValueError:  # of http.client, which repeats the header
            raise self._ailing("what we sign in with does not fit into a header") from None
        except OSError:
            raise self._ailing("a certificate file cannot be read") from None

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = requests.Session()
            session.headers.update({"User-Agent": "fairlead", **self._headers})
            self._threads.session = session
        return session

    def _content(self, response: requests.Response, largest: int) -> bytes:
        until = self._monotonic() + TOTAL * self._timeout
        content = bytearray()
        for piece in response.iter_content(64 * 1024):
            content += piece
            if len(content) > largest:
                raise self._ailing(f"its answer is over {largest // 1024 // 1024} MiB")
            if self._monotonic() > until:
                raise self._ailing(f"its answer took over {TOTAL * self._timeout:g} s")
        return bytes(content)

    def _ailing(self, how: str) -> Trouble:
        return Trouble(Verdict(fate=Fate.AILING, message=unreachable(self._title, how)))


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
