"""How Fairlead signs in at a Gate. Credentials come from settings, by Gate URL, and never from Git."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import requests
from requests.auth import AuthBase

Mode = Literal["none", "bearer", "basic", "certificate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateAuth:
    """How one Gate is signed in to.

    `bearer` sends `secret` in `header`: as `Bearer <secret>` in Authorization, as it is in any other (Gate's own API
    tokens go into X-Spinnaker-Token). `basic` sends user and secret with the first request, since Gate's challenge is a
    redirect to a form. `certificate` shows a client certificate (PEM files). `authority` is the CA bundle that Gate's
    own certificate is checked with; None: the system's.
    """

    mode: Mode = "none"
    header: str = "Authorization"
    user: str = ""
    secret: str = field(default="", repr=False)
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None


class _Header(AuthBase):
    """Sets one header, or none. Being set at all keeps requests from taking credentials out of a .netrc."""

    def __init__(self, name: str = "", value: str = "") -> None:
        self._name, self._value = name, value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._name:
            request.headers[self._name] = self._value
        return request


def sign_in(session: requests.Session, auth: GateAuth) -> None:
    """Make every request of the session carry the credentials."""
    session.auth = _header(auth)
    if auth.authority is not None:
        session.verify = str(auth.authority)
    if auth.mode == "certificate" and auth.certificate is not None:
        session.cert = (str(auth.certificate), str(auth.key)) if auth.key else str(auth.certificate)


def _header(auth: GateAuth) -> _Header:
    if auth.mode == "bearer":
        standard = auth.header.lower() == "authorization"
        return _Header(auth.header, f"Bearer {auth.secret}" if standard else auth.secret)
    if auth.mode == "basic":
        return _Header("Authorization", f"Basic {_pair(auth)}")
    return _Header()


def _pair(auth: GateAuth) -> str:
    return base64.b64encode(f"{auth.user}:{auth.secret}".encode()).decode()


def secrets_of(auth: GateAuth) -> Iterator[str]:
    """Every text that must not be repeated, whoever sends it back to us."""
    if auth.secret:
        yield auth.secret
        yield _pair(auth)
