"""One guarded HTTP exchange with a Gate: time-outs, a size cap, no redirects, and no exception but our own."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from threading import local
from typing import Any
from urllib.parse import urlsplit

import requests

from adapters.gate.auth import GateAuth, Unchanged, stamp_of
from adapters.gate.breaker import Breaker
from adapters.gate.errors import (
    GateAbsent,
    GateRefused,
    GateTrouble,
    NotSignedIn,
    Throttled,
    ailing,
    message_in,
    not_signed_in,
    redacted,
    redirected,
    refusal,
    throttled,
    unreachable,
    without_credentials,
)
from adapters.gate.limiter import Limiter
from adapters.gate.reading import TooLarge, TooSlow, body_of
from adapters.gate.signing_in import sign_in_of
from reconciler.ports import Clock, Lease

CONNECT_TIMEOUT = 5.0  # seconds
TOTAL = 3  # times the time-out: the longest that a whole answer may take, however it drips
LARGEST_ANSWER = 16 * 1024 * 1024  # bytes
ABSENT = frozenset({502, 503, 504})  # what a proxy says of a Gate that is not there, where Gate says it not itself
LOGINS = ("login", "oauth", "saml", "sso", "auth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request. `what` finishes "Gate refused to ..."; `lease` is checked right before a change is sent.

    `urgent` ones may use what is left of Gate's rate limit to the end.
    """

    method: str
    path: str
    what: str
    params: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    lease: Lease | None = None
    urgent: bool = False


class Transport:
    """Speaks to one Gate. Safe to share between threads: each has its own session; what Gate told is known to all.

    `timeout` is in seconds: until an answer begins, and between two pieces of it.
    """

    def __init__(
        self,
        url: str,
        auth: GateAuth,
        *,
        timeout: float,
        clock: Clock,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._url = url
        self._auth = auth
        self._timeout = (min(CONNECT_TIMEOUT, timeout), timeout)
        self._clock = clock
        self._threads = local()
        self._sign_in = sign_in_of(auth, url, clock, self._timeout)
        self._limiter = Limiter(clock, pause)
        self.breaker = Breaker(url, clock)

    def exchange(self, question: Question) -> Any:
        """The JSON that Gate answered; None where a 2xx has no body.

        Raises `GateRefused` on a 4xx, `GateTrouble` on everything else that is no answer, and `LeaseLost`.
        """
        with self.breaker.asking():
            used = self._sign_in.headers()
            try:
                return self._once(question, used)
            except NotSignedIn as stranger:  # what we are not signed in for did not happen: it may be sent again
                if not stranger.untouched or not self._sign_in.renew(used):
                    raise
            return self._once(question, self._sign_in.headers())

    def _once(self, question: Question, headers: Mapping[str, str]) -> Any:
        self._limiter.take(question.what, urgent=question.urgent)
        session = self._session()
        if question.lease is not None:
            question.lease.check()
        try:
            with session.request(
                question.method,
                self._url + question.path,
                params=question.params,
                json=question.body,
                headers=headers,
                timeout=self._timeout,
                allow_redirects=False,
                verify=session.verify,  # said here too, or REQUESTS_CA_BUNDLE would take its place
                stream=True,
            ) as response:
                return self._understood(question, response, self._content(question, response))
        except requests.RequestException as error:
            how = _how(error)  # the error's text names hosts
            raise GateAbsent(unreachable(question.what, how), how) from None
        except ValueError:  # of http.client, which repeats the header
            raise NotSignedIn(without_credentials("it does not fit into a header"), answered=False) from None
        except OSError:
            raise NotSignedIn(without_credentials("a certificate file cannot be read"), answered=False) from None

    def redacted(self, text: str) -> str:
        """Someone else's text without URLs and without what we signed in with."""
        return redacted(text, self._sign_in.secrets())

    def _session(self) -> requests.Session:
        """This thread's; a new one where the certificate files are other ones."""
        auth = self._auth
        try:
            stamp = stamp_of(auth.certificate, auth.key, auth.authority)
        except OSError:
            raise NotSignedIn(without_credentials("a certificate file cannot be read"), answered=False) from None
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None or self._threads.stamp != stamp:
            if session is not None:
                session.close()
            session = self._threads.session = _new_session(auth)
            self._threads.stamp = stamp
        return session

    def _content(self, question: Question, response: requests.Response) -> bytes:
        try:
            return body_of(response, self._clock, within=TOTAL * self._timeout[1], largest=LARGEST_ANSWER)
        except TooLarge as large:
            raise GateTrouble(ailing(question.what, f"its answer is {large}")) from None
        except TooSlow as slow:
            raise GateTrouble(unreachable(question.what, f"the answer took {slow}")) from None

    def _understood(self, question: Question, response: requests.Response, content: bytes) -> Any:
        status = response.status_code
        rest = self._limiter.hear(status, response.headers)
        if status in ABSENT and not _is_gates(content):
            raise GateAbsent(ailing(question.what, str(status)), str(status))
        if 300 <= status < 400:
            self._redirect(question, response)
        if status == 401:
            raise NotSignedIn(not_signed_in(question.what, "401"), untouched=True)
        if status == 429:
            raise Throttled(throttled(question.what, f"{self._clock.now() + rest:%H:%M:%S} UTC"), rest, answered=True)
        if _is_page(response, content):
            self._page(question, status)
        body = self._json(question, status, content)
        if status >= 400:
            self._refuse(question, status, body)
        return body

    def _page(self, question: Question, status: int) -> None:
        """A 400 is of the server that Gate runs in; anything else says what stands before Gate, and nothing of us."""
        if status == 404:
            how = "404 with a web page: no Gate is behind its address"
            raise GateAbsent(ailing(question.what, how), how)
        if status == 400 or status >= 500:
            self._refuse(question, status, None)
        if status >= 400 and status != 403:
            raise GateTrouble(ailing(question.what, f"{status} with a web page"))
        how = f"{status} with a web page" if status >= 400 else "it answered with a web page"
        raise NotSignedIn(not_signed_in(question.what, how))

    def _redirect(self, question: Question, response: requests.Response) -> None:
        """To a login, as Gate answers strangers, or elsewhere: then the URL that we have is not its own."""
        ours, theirs = urlsplit(self._url), urlsplit(response.headers.get("Location", ""))
        is_login = any(segment.startswith(LOGINS) for segment in theirs.path.lower().split("/"))
        if is_login or theirs.hostname not in {None, ours.hostname} or not response.headers.get("Location"):
            raise NotSignedIn(not_signed_in(question.what, "it sent us to a login"), untouched=True)
        raise GateTrouble(redirected(question.what, str(response.status_code)))

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


def _new_session(auth: GateAuth) -> requests.Session:
    """Without cookies of its own: whoever signs in by one says so with every request."""
    session = requests.Session()
    session.headers.update({"Accept": "application/json", "User-Agent": "fairlead", "X-RateLimit-App": "fairlead"})
    session.auth = Unchanged()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    if auth.authority is not None:
        session.verify = str(auth.authority)
    if auth.certificate is not None:
        session.cert = (str(auth.certificate), str(auth.key)) if auth.key else str(auth.certificate)
    return session


def _is_page(response: requests.Response, content: bytes) -> bool:
    kind = response.headers.get("Content-Type", "")
    return "html" in kind or content[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))


def _is_gates(content: bytes) -> bool:
    """Whether it is an error as Gate writes it (kork's `GenericErrorController`), be it Orca's for one application."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, Mapping) and bool({"timestamp", "exception"} & body.keys())


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
