"""Who asks: people and bots by their token, GitHub Apps by the tokens that they get for an hour."""

import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from fairlead_sandbox.forge.wire import Wrong
from reconciler.ports import Clock

ALL = dict.fromkeys(("contents", "pull_requests", "issues", "statuses", "deployments", "administration"), "write")
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

    def check(self, *permissions: str) -> None:
        """Raises `Wrong` where it may write none of these."""
        if not any(self.permissions.get(each) == "write" for each in permissions):
            raise Wrong("forbidden-app" if self.app else "forbidden", permission=permissions[0])


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
    """All accounts. Tokens of apps expire by the clock. `prefix` is how the vendor's tokens of people begin."""

    def __init__(self, clock: Clock, prefix: str = "ghp_") -> None:
        self._clock = clock
        self._prefix = prefix
        self._lock = Lock()
        self._tokens: dict[str, tuple[Identity, datetime | None]] = {}
        self._apps: dict[int, App] = {}

    def add_person(self, login: str, permissions: Mapping[str, str] = ALL) -> str:
        """A person with a token; gives the token."""
        return self.issue(self._prefix, Identity(login=login, permissions=permissions), None)

    def add_app(self, key: str, slug: str = "fairlead", permissions: Mapping[str, str] = ENOUGH_FOR_AN_APP) -> App:
        """An app with that public key, installed on every repository."""
        with self._lock:
            number = len(self._apps) + 1
            app = App(app_id=1000 + number, installation_id=5000 + number, key=key, slug=slug, permissions=permissions)
            self._apps[app.app_id] = app
        return app

    def apps(self) -> list[App]:
        """Oldest first."""
        with self._lock:
            return list(self._apps.values())

    def revoke(self, token: str) -> None:
        """It is good for nothing from now on."""
        with self._lock:
            self._tokens.pop(token, None)

    def of_token(self, token: str) -> Identity:
        """Whose token that is. Raises `Wrong`."""
        if not token:
            raise Wrong("no-token")
        with self._lock:
            identity, until = self._tokens.get(token, (None, None))
        if identity is None or (until is not None and until <= self._clock.now()):
            raise Wrong("bad-token")
        return identity

    def issue(self, prefix: str, identity: Identity, until: datetime | None) -> str:
        """A fresh token, good until then, or until it is revoked."""
        token = prefix + secrets.token_hex(20)
        with self._lock:
            self._tokens[token] = (identity, until)
        return token


def token_of(authorization: str) -> str:
    """The token of a header `Bearer x` or `token x`, or the password of a basic one; "?" where it is neither."""
    scheme, _, value = authorization.partition(" ")
    if not authorization:
        return ""
    if scheme.lower() in ("bearer", "token"):
        return value.strip() or "?"
    try:
        return (base64.b64decode(value).decode().partition(":")[2] if scheme.lower() == "basic" else "") or "?"
    except (binascii.Error, UnicodeDecodeError):
        return "?"
