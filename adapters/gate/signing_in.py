"""Credentials that are fetched over the network and kept until they end: OAuth2 tokens, and sessions of a login form.

Spring's form login (Gate's `BasicAuthConfig`, `LdapSsoConfig`) answers a good name and password with a redirect to
where one wanted to go and the cookie SESSION, a bad one with a redirect to `/login?error`. Sessions end without a word.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Any

import requests

from adapters.gate.auth import Fixed, GateAuth, SecretText, SignIn, Unchanged, pair
from adapters.gate.errors import GateAbsent, GateAway, GateTrouble, NotSignedIn, unreachable, without_credentials
from adapters.gate.reading import Cut, body_of
from reconciler.ports import Clock

COOKIE = "SESSION"
EARLY = 30.0  # seconds before its end a token is fetched again, or a tenth of its life where that is less
LEAST_LIFE = 5.0  # seconds: one that is refused sooner is not fetched again at once
LARGEST = 1024 * 1024  # bytes of an answer
LONGEST_PAUSE = 5.0  # seconds: after an endpoint that hung it is let be for as long as it did, so long at most
REST = 30.0  # seconds after a refusal: directories lock accounts that try too often


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What was fetched, and for how many seconds it is good; None: until it is refused."""

    text: str
    lasts: float | None = None


class Fetched:
    """A header that is fetched by whoever needs it first; the others wait for that."""

    def __init__(self, fetch: Callable[[], Grant], header: str, form: str, secret: SecretText, clock: Clock) -> None:
        self._fetch = fetch
        self._header, self._form = header, form
        self._secret = secret
        self._clock = clock
        self._lock = Lock()
        self._text = ""
        self._ends: float | None = None
        self._fetched_at = 0.0
        self._trouble: GateTrouble | None = None
        self._rests_until = 0.0

    def headers(self) -> Mapping[str, str]:
        """See `SignIn`."""
        with self._lock:
            now = self._clock.monotonic()
            if not self._text or (self._ends is not None and now >= self._ends):
                self._obtain(now)
            return {self._header: self._form.format(self._text)}

    def renew(self, used: Mapping[str, str]) -> bool:
        """What was refused is fetched again, unless it is quite fresh: then something else is wrong."""
        with self._lock:
            if used.get(self._header) != self._form.format(self._text):
                return True
            if self._clock.monotonic() - self._fetched_at < LEAST_LIFE:
                return False
            self._text = ""
            return True

    def secrets(self) -> Iterator[str]:
        """What we fetched, and what we fetch it with."""
        yield from (text for text in (self._text, self._secret.read()) if text)

    def _obtain(self, now: float) -> None:
        if now < self._rests_until:
            raise self._resting(timedelta(seconds=self._rests_until - now))
        try:
            grant = self._fetch()
        except NotSignedIn as refused:
            self._rest(refused, REST)
            raise
        except GateAbsent as absent:  # whoever waited here meanwhile is not to wait as long again, one after the other
            self._rest(absent, min(LONGEST_PAUSE, self._clock.monotonic() - now))
            raise
        self._text, self._fetched_at = grant.text, now
        self._ends = now + grant.lasts - min(EARLY, grant.lasts / 10) if grant.lasts is not None else None

    def _rest(self, trouble: GateTrouble, seconds: float) -> None:
        self._trouble, self._rests_until = trouble, self._clock.monotonic() + seconds

    def _resting(self, left: timedelta) -> GateTrouble:
        said = str(self._trouble)
        return GateAway(said, left) if isinstance(self._trouble, GateAbsent) else NotSignedIn(said, answered=False)


def sign_in_of(auth: GateAuth, url: str, clock: Clock, timeout: tuple[float, float]) -> SignIn:
    """How the Gate at `url` is signed in to."""
    secret = SecretText(auth)
    if auth.mode == "oauth2":
        return Fetched(lambda: _token(auth, secret, timeout, clock), "Authorization", "Bearer {}", secret, clock)
    if auth.mode == "form":
        return Fetched(lambda: _session(auth, secret, url, timeout, clock), "Cookie", f"{COOKIE}={{}}", secret, clock)
    return Fixed(auth)


def _token(auth: GateAuth, secret: SecretText, timeout: tuple[float, float], clock: Clock) -> Grant:
    """The client-credentials grant of RFC 6749, 4.4, the client's own credentials in a header (2.3.1)."""
    form = {"grant_type": "client_credentials", **({"scope": auth.scope} if auth.scope else {})}
    headers = {"Authorization": f"Basic {pair(auth.user, secret.read())}", "Accept": "application/json"}
    answer = _post(auth, auth.token_url, form, headers, timeout, clock)
    if answer is None:
        raise NotSignedIn(without_credentials("its token endpoint does not answer"), answered=False)
    status, _, body = answer
    token = body.get("access_token") if isinstance(body, Mapping) else None
    if status != 200 or not isinstance(token, str) or not token:
        raise NotSignedIn(without_credentials(f"its token endpoint gives no token ({status})"), answered=False)
    lasts = body.get("expires_in")
    return Grant(text=token, lasts=float(lasts) if isinstance(lasts, int | float) and lasts > 0 else None)


def _session(auth: GateAuth, secret: SecretText, url: str, timeout: tuple[float, float], clock: Clock) -> Grant:
    what = "sign us in"
    answer = _post(auth, f"{url}/login", {"username": auth.user, "password": secret.read()}, {}, timeout, clock)
    if answer is None:
        raise GateAbsent(unreachable(what, "the connection failed"), "the connection failed")
    status, headers, _ = answer
    if status in {502, 503, 504}:
        raise GateAbsent(unreachable(what, str(status)), str(status))
    cookie = headers.get(COOKIE, "")
    if not cookie or "/login" in headers.get("location", ""):
        raise NotSignedIn(without_credentials(f"its login form refuses our user and password ({status})"))
    return Grant(text=cookie)


def _post(
    auth: GateAuth,
    url: str,
    form: Mapping[str, str],
    headers: Mapping[str, str],
    timeout: tuple[float, float],
    clock: Clock,
) -> tuple[int, Mapping[str, str], Any] | None:
    """Status, cookies and the `location`, and the JSON; None where nobody answers, or not within the time."""
    with requests.Session() as session:
        session.auth = Unchanged()
        verify = str(auth.authority) if auth.authority is not None else True
        cert = (str(auth.certificate), str(auth.key)) if auth.certificate and auth.key else None
        try:
            with session.post(
                url,
                data=form,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
                verify=verify,
                cert=cert,
                stream=True,
            ) as answer:
                content = body_of(answer, clock, within=timeout[1], largest=LARGEST)
        except (requests.RequestException, Cut, OSError, ValueError):
            return None
        told = {**answer.cookies, "location": answer.headers.get("Location", "")}
        return answer.status_code, told, _json(content)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
