"""Who asks: people and bots by token, GitHub Apps by a JWT that gives them a token for an hour."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

import jwt

from fairlead_sandbox.forge.dialect import Refused, not_found, stamp
from reconciler.ports import Clock

LONGEST_JWT = timedelta(minutes=10)
TOKEN_LASTS = timedelta(hours=1)
ALL = {"contents": "write", "pull_requests": "write", "statuses": "write", "administration": "write"}
ENOUGH_FOR_AN_APP = {"contents": "read", "metadata": "read", "statuses": "write"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A person, or the bot of an app. `permissions` are `read` or `write` by name, as an app's are."""

    login: str
    permissions: Mapping[str, str]
    app: bool = False
    repositories: frozenset[str] | None = None  # names that an app's token is limited to; None: all

    @property
    def email(self) -> str:
        """As GitHub hides a person's own."""
        return f"{self.login}@users.noreply.localhost"

    @property
    def number(self) -> int:
        """The account's id: the same for the same login."""
        return int.from_bytes(hashlib.sha256(self.login.encode()).digest()[:3])

    def check(self, permission: str) -> None:
        """Raises `Refused` where it may not write that."""
        if self.permissions.get(permission) != "write":
            kind = "integration" if self.app else "personal access token"
            raise Refused(403, f"Resource not accessible by {kind}")


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A GitHub App that is installed once. `key` is its public key as PEM."""

    app_id: int
    installation_id: int
    key: str
    slug: str
    permissions: Mapping[str, str]

    @property
    def client_id(self) -> str:
        """What may stand for its id as the issuer of a JWT."""
        return f"Iv1.{self.app_id:016x}"


class Identities:
    """All accounts. Tokens of apps expire by the clock; they may be limited to some permissions and repositories."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._tokens: dict[str, tuple[Identity, datetime | None]] = {}
        self._apps: dict[int, App] = {}

    def add_person(self, login: str, permissions: Mapping[str, str] = ALL) -> str:
        """A person with a token; gives the token."""
        return self._issue("ghp_", Identity(login=login, permissions=permissions), None)

    def add_app(self, key: str, slug: str = "fairlead", permissions: Mapping[str, str] = ENOUGH_FOR_AN_APP) -> App:
        """An app with that public key, installed on every repository."""
        with self._lock:
            number = len(self._apps) + 1
            app = App(app_id=1000 + number, installation_id=5000 + number, key=key, slug=slug, permissions=permissions)
            self._apps[app.app_id] = app
        return app

    def revoke(self, token: str) -> None:
        """It is good for nothing from now on."""
        with self._lock:
            self._tokens.pop(token, None)

    def who(self, authorization: str) -> Identity:
        """Whose token that is. Raises `Refused`."""
        if not authorization:
            raise Refused(401, "Requires authentication")
        with self._lock:
            identity, until = self._tokens.get(_token(authorization), (None, None))
        if identity is None or (until is not None and until <= self._clock.now()):
            raise Refused(401, "Bad credentials")
        return identity

    def installation_token(
        self, authorization: str, installation: int, body: Mapping[str, Any], there_are: Collection[str]
    ) -> dict[str, Any]:
        """A fresh token for an app's installation, as it is answered; `there_are` names of repositories.

        Raises `Refused`.
        """
        app = self.app(authorization)
        if app.installation_id != installation:
            raise not_found()
        until = self._clock.now() + TOKEN_LASTS
        permissions, names = _permissions(app, body.get("permissions")), body.get("repositories")
        if not set(names or ()) <= set(there_are):
            what = "does not exist or is not accessible to the parent installation"
            raise Refused(422, f"There is at least one repository that {what}.")
        limited = frozenset(names) if names else None
        bot = Identity(login=f"{app.slug}[bot]", permissions=permissions, app=True, repositories=limited)
        return {
            "token": self._issue("ghs_", bot, until),
            "expires_at": stamp(until),
            "permissions": permissions,
            "repository_selection": "selected" if names else "all",
        }

    def app(self, authorization: str) -> App:
        """The app that signed a JWT. Raises `Refused` with GitHub's words for what is wrong with it."""
        token = _token(authorization)
        undecoded = Refused(401, "A JSON web token could not be decoded")
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError:
            raise undecoded from None
        app = self._issuer(claims)
        try:  # the times are judged below, by the forge's own clock
            unjudged = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}
            jwt.decode(token, app.key, algorithms=["RS256"], options=unjudged)  # type: ignore[arg-type]
        except jwt.PyJWTError:
            raise undecoded from None
        self._check_times(claims)
        return app

    def _issuer(self, claims: Mapping[str, Any]) -> App:
        issuer = str(claims.get("iss", ""))
        with self._lock:
            known = list(self._apps.values())
        for app in known:
            if issuer in (str(app.app_id), app.client_id):
                return app
        raise Refused(404, "Integration not found")

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, issued, expires = self._clock.now().timestamp(), claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int) or issued > now:
            what = "must be an Integer representing the time that the assertion was issued"
            raise Refused(401, f"'Issued at' claim ('iat') {what}")
        if not isinstance(expires, int) or expires <= now:
            what = "must be a numeric value representing the future time at which the assertion expires"
            raise Refused(401, f"'Expiration time' claim ('exp') {what}")
        if expires > now + LONGEST_JWT.total_seconds():
            raise Refused(401, "'Expiration time' claim ('exp') is too far in the future")

    def _issue(self, prefix: str, identity: Identity, until: datetime | None) -> str:
        token = prefix + secrets.token_hex(20)
        with self._lock:
            self._tokens[token] = (identity, until)
        return token


def _permissions(app: App, wanted: Mapping[str, str] | None) -> dict[str, str]:
    """Those that were asked for, or all of the app's. Raises `Refused` for more than it has."""
    if not wanted:
        return dict(app.permissions)
    for name, access in wanted.items():
        if app.permissions.get(name) not in (access, "write"):
            raise Refused(422, "The permissions requested are not granted to this installation.")
    return dict(wanted)


def _token(authorization: str) -> str:
    """The token of a header `Bearer x` or `token x`, or the password of a basic one."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() in ("bearer", "token"):
        return value.strip()
    try:
        return base64.b64decode(value).decode().partition(":")[2] if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""
