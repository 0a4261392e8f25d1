"""Who may ask: the ways of signing in that Gate offers to programs."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs
from uuid import uuid4

from fairlead_sandbox.gate.answers import LOGIN_PAGE, Answer, Refused, Request

TOKEN_PATH = "/oauth2/token"


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

    def opens(self, request: Request) -> Answer | None:
        """What is answered to strangers who want to sign in; None for any other request."""
        del request
        return None

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


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth2(Authentication):
    """Bearer tokens of a provider, which here answers at Gate's own address under /oauth2/token.

    `tokens` are those that are good; `lasts` is what the provider says of their life, in seconds (None: nothing).
    """

    client: str
    password: str
    lasts: int | None = 3600
    tokens: set[str] = field(default_factory=set)
    granted: list[str] = field(default_factory=list)

    def user(self, headers: Mapping[str, str], certificate: str | None) -> str:
        del certificate
        if headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise NotSignedIn
        return f"{self.client}@example.com"

    def opens(self, request: Request) -> Answer | None:
        """RFC 6749, 4.4: the client-credentials grant."""
        if (request.method, request.path) != ("POST", TOKEN_PATH):
            return None
        expected = "Basic " + base64.b64encode(f"{self.client}:{self.password}".encode()).decode()
        if request.headers.get("authorization") != expected or "client_credentials" not in str(request.body):
            return Answer(status=401, body={"error": "invalid_client"})
        token = uuid4().hex
        self.tokens.add(token)
        self.granted.append(token)
        life = {} if self.lasts is None else {"expires_in": self.lasts}
        return Answer(body={"access_token": token, "token_type": "bearer", **life})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginForm(Authentication):
    """Spring's form login, as basic and LDAP have it: a good name and password give a session's cookie.

    `sessions` are those that live; `logins` are the names that came, good and bad.
    """

    name: str
    password: str
    sessions: set[str] = field(default_factory=set)
    logins: list[str] = field(default_factory=list)

    def user(self, headers: Mapping[str, str], certificate: str | None) -> str:
        del certificate
        cookies = [each.strip() for each in headers.get("cookie", "").split(";")]
        if not any(f"SESSION={session}" in cookies for session in self.sessions):
            raise NotSignedIn
        return self.name

    def opens(self, request: Request) -> Answer | None:
        """Both answers are redirects; only a good one sets the cookie of a session that is known."""
        if request.path != "/login":
            return None
        if request.method != "POST":
            return Answer(body=LOGIN_PAGE)
        form = {name: values[-1] for name, values in parse_qs(str(request.body)).items()}
        self.logins.append(form.get("username", ""))
        session = uuid4().hex
        headers = {"Set-Cookie": f"SESSION={session}; Path=/; HttpOnly", "Location": "/login?error"}
        if (form.get("username"), form.get("password")) == (self.name, self.password):
            self.sessions.add(session)
            headers["Location"] = "/"
        return Answer(status=302, headers=headers)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedHeader(Authentication):
    """A proxy says who it is, in a header; anybody who gets past the proxy is believed."""

    header: str = "X-SPINNAKER-USER"
    refusal: str = "401"

    def user(self, headers: Mapping[str, str], certificate: str | None) -> str:
        del certificate
        if not headers.get(self.header.lower()):
            raise NotSignedIn
        return headers[self.header.lower()]


def _known(given: str, expected: str, name: str) -> str:
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotSignedIn
    return name
