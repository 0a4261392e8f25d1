"""How Fairlead signs in at GitHub: with a token, or as a GitHub App.

An App signs a JWT with its private key and is given a token for one installation, good for an hour
(docs.github.com, "Generating an installation access token for a GitHub App").
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol

import jwt

from adapters.forges.github.answers import Answer, Fate, Trouble, Verdict, unreachable, verdict_on_sign_in
from adapters.forges.github.transport import Transport
from reconciler.ports import Clock, Unreadable

HOUR = timedelta(hours=1)
RENEWED_BEFORE = timedelta(minutes=5)  # the end of an installation token
CLOCKS_APART = timedelta(seconds=60)  # GitHub's advice for `iat`
JWT_LIVES = timedelta(minutes=9)  # GitHub takes ten minutes at most
Reveal = Callable[[], str]  # gives a secret, read anew so that it may be replaced; raises `Unreadable`


class Auth(Protocol):
    """Who we are at GitHub. `account` names whom GitHub counts our writes for; it holds no secret."""

    @property
    def account(self) -> str: ...
    def header(self) -> str:
        """The value of `Authorization`. Raises `Trouble`, and `Unreadable` where a secret is not to be had."""
        ...

    def forget(self) -> None:
        """GitHub did not accept it: what was kept is not used again."""
        ...

    def secrets(self) -> Iterable[str]:
        """What must not be repeated, whoever sends it back to us."""
        ...


class TokenAuth:
    """A personal access token, classic or fine-grained, of a user whose statuses these are. Raises `Unreadable`.

    `reference` says where the token is. The account is named after it, because it stays when the token is replaced:
    replicas that began with different ones share their budget all the same.
    """

    def __init__(self, token: Reveal, *, reference: str) -> None:
        self._token = token
        self._last = token()
        self.account = f"token {reference}"

    def header(self) -> str:
        """The token as it is now: a replaced one needs no restart."""
        self._last = self._token()
        return f"Bearer {self._last}"

    def forget(self) -> None:
        """It is read anew each time."""

    def secrets(self) -> Iterable[str]:
        """The token."""
        return (self._last,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An installation token, and from when on it is not used any more."""

    token: str
    until: datetime


class AppAuth:
    """A GitHub App, as one installation of it. Its tokens reach one repository, and its statuses only.

    `key` gives the PEM text of the App's private key. Raises `Unreadable` where it is none.
    """

    def __init__(
        self, app: str, installation: str, key: Reveal, *, repository: str, transport: Transport, clock: Clock
    ) -> None:
        self.account = f"app {app} installation {installation}"
        self._app, self._installation, self._key = app, installation, key
        self._repository = repository.partition("/")[2]
        self._transport, self._clock = transport, clock
        self._kept: Kept | None = None
        self._said: tuple[str, ...] = ()
        self._lock = Lock()
        self._assertion()  # a key that cannot sign is told at the start

    def header(self) -> str:
        """With a token that is good for some minutes at least; a new one is asked for where there is none."""
        with self._lock:
            if self._kept is None or self._clock.now() >= self._kept.until:
                self._kept = self._ask()
            return f"Bearer {self._kept.token}"

    def forget(self) -> None:
        """The next header has a new token."""
        with self._lock:
            self._kept = None

    def secrets(self) -> Iterable[str]:
        """The last of what was sent."""
        return self._said

    def _ask(self) -> Kept:
        assertion, asked_at = self._assertion(), self._clock.now()
        self._said = (*self._said[-3:], assertion)
        wanted = {"repositories": [self._repository], "permissions": {"statuses": "write"}}
        path = f"/app/installations/{self._installation}/access_tokens"
        answer = self._transport.post(path, wanted, f"Bearer {assertion}")
        if answer.status != 201:
            raise Trouble(verdict_on_sign_in(answer, secrets=self._said))
        kept = _kept(answer, asked_at)
        self._said = (*self._said, kept.token)
        return kept

    def _assertion(self) -> str:
        now = self._clock.now()
        claims = {"iat": now - CLOCKS_APART, "exp": now + JWT_LIVES, "iss": self._app}
        try:
            return jwt.encode(claims, self._key(), algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):  # what cryptography says repeats the key
            raise Unreadable("the App's private key is no RSA key in PEM: use the file that GitHub gave") from None


def _kept(answer: Answer, asked_at: datetime) -> Kept:
    try:
        found = json.loads(answer.body)
        token, ends = found["token"], datetime.fromisoformat(found["expires_at"])
        until = min(ends, asked_at + HOUR) - RENEWED_BEFORE
    except (ValueError, RecursionError, KeyError, TypeError):
        raise _no_token(answer) from None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise _no_token(answer)
    return Kept(token=token, until=until)


def _no_token(answer: Answer) -> Trouble:
    return Trouble(
        Verdict(fate=Fate.AILING, message=unreachable("its token for the App makes no sense"), answer=answer)
    )
