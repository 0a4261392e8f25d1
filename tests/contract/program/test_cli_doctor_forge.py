"""doctor of GitHub: a small server that answers as GitHub's REST documentation says, and what is told of it."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapters.clock import SystemClock
from adapters.doctor.findings import Finding, Verdict
from adapters.doctor.forge import GitHubLook, GitHubSignIn

HOOK = "https://fairlead.example.com/hooks/github"
OURS = {
    "active": True,
    "events": ["push"],
    "config": {"url": HOOK},
    "last_response": {"code": 202, "status": "active", "message": "OK"},
}


class GitHub(ThreadingHTTPServer):
    """What the tests set is what it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.headers = {"X-RateLimit-Remaining": "4900", "X-RateLimit-Limit": "5000", "X-OAuth-Scopes": "repo, user"}
        self.repository: tuple[int, Any] = (200, {"permissions": {"push": True}})
        self.hooks: tuple[int, Any] = (200, [OURS])
        self.granted = {"statuses": "write"}
        self.asked: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: GitHub

    def do_GET(self) -> None:
        self._say(*(self.server.hooks if "/hooks" in self.path else self.server.repository))

    def do_POST(self) -> None:
        self._say(201, {"token": "ghs_installation", "permissions": self.server.granted})

    def _say(self, status: int, body: Any) -> None:
        self.server.asked.append((self.command, self.path, self.headers["Authorization"]))
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**self.server.headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def look(github: GitHub, hook: str = HOOK, **sign_in: str) -> list[Finding]:
    signed = GitHubSignIn(**(sign_in or {"token": "ghp_secret"}))
    return list(GitHubLook("main", github.url, "acme/desired", signed, hook, SystemClock()).check())


def verdicts(found: list[Finding]) -> list[str]:
    return [str(each.verdict) for each in found]


def test_a_token_that_may_write_with_a_webhook_that_works_is_ok(github: GitHub) -> None:
    found = look(github)

    assert ["ok", "ok", "ok"] == verdicts(found)
    assert "4900 of 5000 requests" in found[1].seen
    assert {"GET"} == {method for method, _, _ in github.asked}


def test_a_token_that_does_not_see_the_repository_is_trouble(github: GitHub) -> None:
    github.repository = (404, {"message": "Not Found"})

    (found,) = look(github)

    assert (Verdict.TROUBLE, True) == (found.verdict, "404 for acme/desired" in found.seen)


@pytest.mark.parametrize(("scopes", "push"), [("read:org", True), ("repo", False)])
def test_a_token_that_may_not_write_statuses_is_trouble(github: GitHub, scopes: str, push: bool) -> None:
    github.headers["X-OAuth-Scopes"] = scopes
    github.repository = (200, {"permissions": {"push": push}})

    assert "statuses may not be written" == look(github)[0].seen


def test_a_fine_grained_token_does_not_tell(github: GitHub) -> None:
    del github.headers["X-OAuth-Scopes"]

    assert Verdict.SKIPPED == look(github)[0].verdict


def test_a_token_for_statuses_alone_does_not_see_a_private_repository_and_works(github: GitHub) -> None:
    github.headers["X-OAuth-Scopes"] = "repo:status"
    github.repository = (404, {"message": "Not Found"})

    assert ["skipped"] == verdicts(look(github))


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(("granted", "verdict"), [("write", Verdict.OK), ("read", Verdict.TROUBLE)])
def test_an_app_is_judged_by_what_it_was_granted(
    github: GitHub, private_key: rsa.RSAPrivateKey, granted: str, verdict: Verdict
) -> None:
    github.granted = {"statuses": granted}

    found = look(github, app_id="7", installation_id="42", private_key=pem(private_key))

    assert verdict == found[0].verdict
    method, path, header = github.asked[0]
    assert ("POST", "/app/installations/42/access_tokens") == (method, path)
    claims = jwt.decode(header.removeprefix("Bearer "), private_key.public_key(), algorithms=["RS256"])
    assert "7" == claims["iss"]


def test_an_app_without_a_sound_key_is_trouble_in_a_sentence(github: GitHub) -> None:
    (found,) = look(github, app_id="7", installation_id="42", private_key="nonsense")

    assert (Verdict.TROUBLE, True) == (found.verdict, "private_key" in found.fix)


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ({"config": {"url": "https://other.example.com"}}, f"no webhook leads to {HOOK}"),
        ({"active": False}, "our webhook is off"),
        ({"events": ["issues"]}, "not for pushes"),
        ({"last_response": {"code": 502}}, "answered with 502"),
    ],
)
def test_a_webhook_that_does_not_work_is_a_warning(github: GitHub, hook: dict[str, Any], said: str) -> None:
    github.hooks = (200, [OURS | hook])

    found = look(github)[-1]

    assert (Verdict.WARNING, True) == (found.verdict, said in found.seen)


def test_webhooks_that_are_not_shown_are_skipped(github: GitHub) -> None:
    github.hooks = (404, {"message": "Not Found"})

    assert Verdict.SKIPPED == look(github)[-1].verdict


def test_few_requests_left_is_a_warning(github: GitHub) -> None:
    github.headers["X-RateLimit-Remaining"] = "12"

    assert ["ok", "warning", "ok"] == verdicts(look(github))


def test_no_secret_is_in_any_sentence(github: GitHub) -> None:
    github.repository = (401, {"message": "Bad credentials ghp_secret"})

    assert "ghp_secret" not in "".join(each.seen + each.fix for each in look(github))


def test_a_forge_that_is_away_is_unreachable() -> None:
    (found,) = GitHubLook("main", "http://127.0.0.1:1", "a/b", GitHubSignIn(token="t"), "", SystemClock()).check()

    assert found.unreachable
