"""How Fairlead signs in at a Gate. Credentials come from settings, by Gate URL, and never from Git."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal, Protocol

import requests
from requests.auth import AuthBase

from adapters.gate.errors import NotSignedIn, without_credentials

Mode = Literal["none", "bearer", "basic", "certificate", "oauth2", "form", "header"]
API_TOKEN = "X-Spinnaker-Token"  # noqa: S105 - a header's name
PROXY_USER = "X-SPINNAKER-USER"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAuth:
    """How one Gate is signed in to.

    - `bearer` sends the secret in `header`: as `Bearer <secret>` in Authorization, as it is in any other (Gate's own
      API tokens go into X-Spinnaker-Token).
    - `basic` sends user and secret with the first request, since Gate's challenge is a redirect to a form.
    - `certificate` shows a client certificate (PEM files). It is shown in every other mode too, where there is one.
    - `oauth2` gets a bearer token at `token_url` for a client id (`user`) and its secret: the client-credentials grant.
    - `form` signs in at Gate's own login form (basic, LDAP) and keeps the session's cookie.
    - `header` names `user` in a header, to a proxy that Gate trusts.

    The secret is read again whenever `secret_file` changes, where there is one. `authority` is the CA bundle that
    certificates, Gate's and the token endpoint's, are checked with; None: the system's.
    """

    mode: Mode = "none"
    header: str = ""
    user: str = ""
    secret: str = field(default="", repr=False)
    secret_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    token_url: str = ""
    scope: str = ""


class SignIn(Protocol):
    """What one Gate's requests carry. Shared by threads."""

    def headers(self) -> Mapping[str, str]:
        """For the next request. May ask the network; raises `NotSignedIn`, or `GateAbsent` where Gate is asked."""
        ...

    def renew(self, used: Mapping[str, str]) -> bool:
        """Those were refused: whether the next `headers` may be better ones."""
        ...

    def secrets(self) -> Iterator[str]:
        """Every text that must not be repeated, whoever sends it back to us."""
        ...


class SecretText:
    """A secret, out of a file where there is one: read again when the file is another one."""

    def __init__(self, auth: GateAuth) -> None:
        self._file = auth.secret_file
        self._text = auth.secret
        self._stamp: tuple[int, ...] = ()
        self._lock = Lock()

    def read(self) -> str:
        """The text now; while a file is away or empty, as it was. Raises `NotSignedIn` where there never was one."""
        if self._file is None:
            return self._text
        with self._lock:
            try:
                stamp = stamp_of(self._file)
                if stamp != self._stamp:
                    self._text, self._stamp = self._file.read_text().strip() or self._text, stamp
            except (OSError, UnicodeDecodeError):
                pass  # it is being written just now, or gone: what was good a moment ago may still be
            if not self._text:
                raise NotSignedIn(without_credentials("the file of its secret cannot be read"), answered=False)
            return self._text


class Fixed:
    """Headers out of what the settings say, and out of files as they are now."""

    def __init__(self, auth: GateAuth) -> None:
        self._auth = auth
        self._secret = SecretText(auth)

    def headers(self) -> Mapping[str, str]:
        """See `SignIn`; asks nobody."""
        auth = self._auth
        if auth.mode == "bearer":
            header = auth.header or API_TOKEN
            said = self._secret.read()
            return {header: f"Bearer {said}" if header.lower() == "authorization" else said}
        if auth.mode == "basic":
            return {"Authorization": f"Basic {pair(auth.user, self._secret.read())}"}
        return {auth.header or PROXY_USER: auth.user} if auth.mode == "header" else {}

    def renew(self, used: Mapping[str, str]) -> bool:
        """A file may have changed while the request was on its way."""
        return self.headers() != used

    def secrets(self) -> Iterator[str]:
        """The secret, and its pair."""
        if self._auth.mode in {"bearer", "basic"} and (said := self._secret.read()):
            yield said
            yield pair(self._auth.user, said)


class Unchanged(AuthBase):
    """Leaves a request as it is. Being set at all keeps requests from taking credentials out of a .netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def pair(user: str, secret: str) -> str:
    """As basic authentication writes it."""
    return base64.b64encode(f"{user}:{secret}".encode()).decode()


def stamp_of(*files: Path | None) -> tuple[int, ...]:
    """What changes when one of the files is written or replaced; zeros for one that is not there. Raises `OSError`."""
    stamp: list[int] = []
    for file in files:
        seen = file.stat() if file is not None else None
        stamp += [seen.st_mtime_ns, seen.st_ino, seen.st_size] if seen is not None else [0]
    return tuple(stamp)
