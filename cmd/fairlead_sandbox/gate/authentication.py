"""Who may ask: the ways of signing in that Gate offers to programs."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead_sandbox.gate.answers import LOGIN_PAGE, Answer, Refused


class NotSignedIn(Exception):
    """The request names nobody that Gate knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """No authentication at all, and the root of the other modes. `refusal` is "redirect", "html" or "401"."""

    refusal: str = "redirect"

    def user(self, headers: Mapping[str, str], certificate: str | None) -> str:
        """The caller's name. `headers` has keys in lower case. Raises `NotSignedIn`."""
        del headers, certificate
        return "anonymous"

    def refuse(self, base_url: str) -> Answer:
        """What a stranger gets: Gate's entry point, by mode a redirect to its login form, the form, or a 401."""
        if self.refusal == "redirect":
            return Answer(status=302, headers={"Location": f"{base_url}/login"})
        if self.refusal == "html":
            return Answer(body=LOGIN_PAGE)
        raise Refused(401, "Full authentication is required to access this resource", "AccessDeniedException")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer(Authentication):
    """An API token, in `X-Spinnaker-Token` or as a bearer token."""

    token: str

    def user(self, headers: Mapping[str, str], certificate: str | None) -> str:
        del certificate
        given = headers.get("x-spinnaker-token") or headers.get("authorization", "").removeprefix("Bearer ")
        return _known(given, self.token, "token@example.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic(Authentication):
    """A name and a password, sent without being asked for."""

    name: str
    password: str

    def user(self, headers: Mapping[str, str], certificate: str | None) -> str:
        del certificate
        expected = "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()
        return _known(headers.get("authorization", ""), expected, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate(Authentication):
    """TLS with a certificate of the client; CA, server and client certificates are made in `folder` at the start.

    `folder` then holds ca.pem, client.pem, client.key (and the server's own).
    """

    folder: Path

    def user(self, headers: Mapping[str, str], certificate: str | None) -> str:
        del headers
        if certificate is None:
            raise NotSignedIn
        return certificate


def _known(given: str, expected: str, name: str) -> str:
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotSignedIn
    return name
