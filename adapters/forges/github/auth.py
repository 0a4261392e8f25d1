"""How Fairlead signs in at GitHub as a GitHub App. (With a token: `adapters.forges.hosted.TokenSignIn`.)

An App signs a JWT with its private key and is given tokens for one installation, good for an hour
(docs.github.com, "Generating an installation access token for a GitHub App"). Each reaches one repository and has one
right, so that a right that was not granted stops nothing but what needs it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock

import jwt

from adapters.forges.github.answers import TITLE, verdict_on_sign_in
from adapters.forges.hosted import (
    Answer,
    Call,
    Fate,
    Need,
    NoSense,
    Reveal,
    Transport,
    Trouble,
    Verdict,
    record_in,
    unreachable,
)
from reconciler.ports import Clock, Unreadable

HOUR = timedelta(hours=1)
RENEWED_BEFORE = timedelta(minutes=5)  # the end of an installation token
CLOCKS_APART = timedelta(seconds=60)  # GitHub's advice for `iat`
JWT_LIVES = timedelta(minutes=9)  # GitHub takes ten minutes at most
SAID = 16  # of the last secrets that were sent
PERMISSIONS = {
    Need.STATUSES: {"statuses": "write"},
    Need.COMMENTS: {"pull_requests": "write"},
    Need.DEPLOYMENTS: {"deployments": "write"},
    Need.CONTENTS: {"contents": "read"},
    Need.PULLS: {"pull_requests": "read"},
    Need.PROPOSALS: {"pull_requests": "write"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An installation token, and from when on it is not used any more."""

    token: str
    until: datetime


class AppSignIn:
    """A GitHub App, as one installation of it: of the owner of `repository`, `owner/name`.

    `key` gives the PEM text of the App's private key. Raises `Unreadable` where it is none.
    """

    def __init__(
        self, app: str, installation: str, key: Reveal, *, repository: str, transport: Transport, clock: Clock
    ) -> None:
        self.account = f"app {app} installation {installation}"
        self._app, self._installation, self._key = app, installation, key
        self._owner = repository.partition("/")[0]
        self._transport, self._clock = transport, clock
        self._kept: dict[tuple[str, str], Kept] = {}
        self._login = ""
        self._said: tuple[str, ...] = ()
        self._lock = Lock()
        self._assertion()  # a key that cannot sign is told at the start

    def headers(self, project: str, need: Need) -> Mapping[str, str]:
        """With a token that is good for some minutes at least; a new one is asked for where there is none."""
        key = (project.lower(), json.dumps(PERMISSIONS[need]))
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or self._clock.now() >= kept.until:
                self._kept[key] = kept = self._ask(project, need)
            return _bearer(kept.token)

    def forget(self) -> None:
        """The next headers have new tokens."""
        with self._lock:
            self._kept.clear()

    def secrets(self) -> Iterable[str]:
        """Every token that is in use, and the last of what was sent."""
        return (*self._said, *(kept.token for kept in list(self._kept.values())))

    def login(self) -> str:
        """The App's account at its comments: `name[bot]`. Raises `Trouble` and `Unreadable`."""
        with self._lock:
            if not self._login:
                call = Call(method="GET", path="/app", need=Need.COMMENTS, project="")
                answer = self._signed(call, 200)
                try:
                    self._login = f"{record_in(answer)['slug']}[bot]"
                except (NoSense, KeyError):
                    raise _no_sense(answer, "what it says of the App") from None
            return self._login

    def _ask(self, project: str, need: Need) -> Kept:
        owner, _, name = project.partition("/")
        if owner.lower() != self._owner.lower():  # the name alone is sent, and there may be one like it here
            message = f"the App is installed for {self._owner}: nothing can be said in {project}"
            raise Trouble(Verdict(fate=Fate.REFUSED, message=message))
        asked_at = self._clock.now()
        path = f"/app/installations/{self._installation}/access_tokens"
        wanted = {"repositories": [name], "permissions": PERMISSIONS[need]}
        kept = _kept(
            self._signed(Call(method="POST", path=path, need=need, project=project, body=wanted), 201), asked_at
        )
        self._said = (*self._said[1 - SAID :], kept.token)
        return kept

    def _signed(self, call: Call, wanted: int) -> Answer:
        assertion = self._assertion()
        self._said = (*self._said[1 - SAID :], assertion)
        answer = self._transport.send(call, _bearer(assertion))
        if answer.status != wanted:
            raise Trouble(verdict_on_sign_in(answer, call=call, secrets=self._said))
        return answer

    def _assertion(self) -> str:
        now = self._clock.now()
        claims = {"iat": now - CLOCKS_APART, "exp": now + JWT_LIVES, "iss": self._app}
        try:
            return jwt.encode(claims, self._key(), algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):  # what cryptography says repeats the key
            raise Unreadable("the App's private key is no RSA key in PEM: use the file that GitHub gave") from None


def _bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _kept(answer: Answer, asked_at: datetime) -> Kept:
    try:
        found = record_in(answer)
        token, ends = found["token"], datetime.fromisoformat(found["expires_at"])
        until = min(ends, asked_at + HOUR) - RENEWED_BEFORE
    except (ValueError, KeyError, TypeError):
        raise _no_sense(answer, "its token for the App") from None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise _no_sense(answer, "its token for the App")
    return Kept(token=token, until=until)


def _no_sense(answer: Answer, what: str) -> Trouble:
    message = unreachable(TITLE, f"{what} makes no sense")
    return Trouble(Verdict(fate=Fate.AILING, message=message, answer=answer))
