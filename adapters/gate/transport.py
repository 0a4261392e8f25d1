"""One guarded HTTP exchange with a Gate: time-outs, a size cap, no redirects, and no exception but our own."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import local
from typing import Any

import requests

from adapters.gate.auth import GateAuth, secrets_of, sign_in
from adapters.gate.errors import (
    GateRefused,
    GateTrouble,
    ailing,
    message_in,
    not_signed_in,
    redacted,
    refusal,
    throttled,
    unreachable,
)
from reconciler.ports import Lease

CONNECT_TIMEOUT = 5.0  # seconds
TOTAL = 3  # times the time-out: the longest that a whole answer may take, however it drips
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request. `what` finishes "Gate refused to ..."; `lease` is checked right before a change is sent."""

    method: str
    path: str
    what: str
    params: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    lease: Lease | None = None


class Transport:
    """Speaks to one Gate. Safe to share between threads: each has its own session.

    `timeout` is in seconds: until an answer begins, and between two pieces of it.
    """

    def __init__(self, url: str, auth: GateAuth, *, timeout: float, monotonic: Callable[[], float]) -> None:
        self._url = url
        self._auth = auth
        self._timeout = timeout
        self._monotonic = monotonic
        self._threads = local()

    def exchange(self, question: Question) -> Any:
        """The JSON that Gate answered; None where a 2xx has no body.

        Raises `GateRefused` on a 4xx, `GateTrouble` on everything else that is no answer, and `LeaseLost`.
        """
        session = self._session()
        if question.lease is not None:
            question.lease.check()
        try:
            with session.request(
                question.method,
                self._url + question.path,
                params=question.params,
                json=question.body,
                timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
                allow_redirects=False,
                verify=session.verify,  # said here too, or REQUESTS_CA_BUNDLE would take its place
                stream=True,
            ) as response:
                return self._understood(question, response, self._content(question, response))
        except requests.RequestException as error:
            raise GateTrouble(unreachable(question.what, _how(error))) from None  # the error's text names hosts
        except ValueError:  # of http.client, which repeats the header
            raise GateTrouble(unreachable(question.what, "what we sign in with does not fit into a header")) from None
        except OSError:
            raise GateTrouble(unreachable(question.what, "a certificate file cannot be read")) from None

    def redacted(self, text: str) -> str:
        """Someone else's text without URLs and without what we signed in with."""
        return redacted(text, secrets_of(self._auth))

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = requests.Session()
            session.headers.update(
                {"Accept": "application/json", "User-Agent": "fairlead", "X-RateLimit-App": "fairlead"}
            )
            sign_in(session, self._auth)
            self._threads.session = session
        return session

    def _content(self, question: Question, response: requests.Response) -> bytes:
        until = self._monotonic() + TOTAL * self._timeout
        content = bytearray()
        for piece in response.iter_content(64 * 1024):
            content += piece
            if len(content) > LARGEST_ANSWER:
                raise GateTrouble(ailing(question.what, f"its answer is over {LARGEST_ANSWER // 1024 // 1024} MiB"))
            if self._monotonic() > until:
                raise GateTrouble(unreachable(question.what, f"the answer took over {TOTAL * self._timeout:g} s"))
        return bytes(content)

    def _understood(self, question: Question, response: requests.Response, content: bytes) -> Any:
        status = response.status_code
        if 300 <= status < 400 or status == 401:
            raise GateTrouble(not_signed_in(question.what, "it sent us to a login" if status < 400 else "401"))
        if status == 429:
            reset = self.redacted(
                response.headers.get("X-RateLimit-Reset") or response.headers.get("Retry-After") or ""
            )
            raise GateTrouble(throttled(question.what, reset))
        if _is_page(response, content):
            if status >= 500:
                raise GateTrouble(ailing(question.what, f"{status}"))
            raise GateTrouble(not_signed_in(question.what, "it answered with a web page"))
        body = self._json(question, status, content)
        if status >= 400:
            self._refuse(question, status, body)
        return body

    def _refuse(self, question: Question, status: int, body: Any) -> None:
        if status >= 500 or status == 408:
            raise GateTrouble(
                ailing(question.what, str(status))
            )  # a 5xx's message describes Gate's inside, not our mistake
        raise GateRefused(status, refusal(status, self.redacted(message_in(body)), question.what))

    def _json(self, question: Question, status: int, content: bytes) -> Any:
        if not content.strip():
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            if status >= 400:
                return None
            raise GateTrouble(ailing(question.what, "its answer is not JSON")) from None


def _is_page(response: requests.Response, content: bytes) -> bool:
    kind = response.headers.get("Content-Type", "")
    return "html" in kind or content[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _how(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS handshake failed (a certificate is not trusted, or Gate wants one of ours)"
    if isinstance(error, requests.Timeout):
        return "it did not answer in time"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy does not let us through"
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "the connection failed"
    return f"the request failed ({type(error).__name__})"
