"""doctor of GitHub: a small server that answers as GitHub's REST documentation says, and what is told of it."""

import json
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from adapters.clock import SystemClock
from adapters.doctor.clocks import check_clock
from adapters.doctor.findings import Finding, Verdict
from adapters.doctor.forge import GitHubLook
from adapters.forges.github import AppSignIn
from adapters.forges.github import GitHub as Dialect
from adapters.forges.hosted import Need, SignIn, TokenSignIn, Transport
from fairlead.cli import app

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
        self.token: tuple[int, Any] = (201, {"token": "ghs_installation", "expires_at": "2099-01-01T00:00:00Z"})
        self.wanted: Any = None
        self.pulls: tuple[int, Any] = (200, [])
        self.refused: set[str] = set()  # permissions that an App was not given
        self.asked: list[tuple[str, str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: GitHub

    def do_GET(self) -> None:
        listed = {"/hooks": self.server.hooks, "/pulls": self.server.pulls}
        found = (answer for end, answer in listed.items() if end in self.path)
        self._say(*next(found, self.server.repository))

    def do_POST(self) -> None:
        self.server.wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        lacks = self.server.refused & set(self.server.wanted["permissions"])
        self._say(*((422, {"message": "not granted"}) if lacks else self.server.token))

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


def look(
    github: GitHub, hook: str = HOOK, key: rsa.RSAPrivateKey | None = None, further: Sequence[Need] = ()
) -> list[Finding]:
    road = transport(github.url)
    return list(GitHubLook("main", "acme/desired", road, signed(road, key), hook, further).check())


def transport(url: str) -> Transport:
    monotonic = SystemClock().monotonic
    title, example, headers = Dialect.title, Dialect.example, Dialect.headers
    return Transport(url, title=title, example=example, headers=headers, timeout=5, monotonic=monotonic)


def signed(road: Transport, key: rsa.RSAPrivateKey | None) -> SignIn:
    if key is None:
        return TokenSignIn(lambda: "ghp_secret", reference="env:TOKEN")
    text = pem(key)
    return AppSignIn("7", "42", lambda: text, repository="acme/desired", transport=road, clock=SystemClock())


def verdicts(found: list[Finding]) -> list[str]:
    return [str(each.verdict) for each in found]


def test_a_token_that_may_write_with_a_webhook_that_works_is_ok(github: GitHub) -> None:
    found = look(github)

    assert ["ok", "ok", "ok"] == verdicts(found)
    assert "4900 of 5000 requests" in found[1].seen
    assert {"GET"} == {method for method, _, _ in github.asked}


FURTHER = (Need.DEPLOYMENTS, Need.COMMENTS)


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [("repo", ["ok", "ok"]), ("repo:status, repo_deployment", ["ok", "trouble"]), ("repo:status", ["trouble"] * 2)],
)
def test_a_token_s_scopes_say_what_it_may_beside_statuses(github: GitHub, scopes: str, seen: list[str]) -> None:
    github.headers["X-OAuth-Scopes"] = scopes

    found = look(github, further=FURTHER)[1:3]

    assert seen == verdicts(found)
    assert {"trouble": "grant the scope repo", "ok": ""}[seen[1]] == found[1].fix


def test_an_app_without_a_right_is_told_which(github: GitHub, private_key: rsa.RSAPrivateKey) -> None:
    statuses, deployments = look(github, key=private_key, further=FURTHER[:1])[:2]
    assert ["ok", "ok"] == verdicts([statuses, deployments])

    github.refused = {"deployments"}

    statuses, deployments = look(github, key=private_key, further=FURTHER[:1])[:2]
    assert ["ok", "trouble"] == verdicts([statuses, deployments])
    assert "give it `deployments: write` and install it on the repository" == deployments.fix


@pytest.mark.parametrize(("status", "verdict"), [(200, "ok"), (403, "trouble"), (404, "trouble")])
def test_pull_requests_are_asked_for_where_they_are_planned(github: GitHub, status: int, verdict: str) -> None:
    github.pulls = (status, [] if status == 200 else {"message": "Resource not accessible"})

    found = look(github, further=(Need.PULLS,))[1]

    assert (verdict, status != 200) == (str(found.verdict), "forge.plans = false" in found.fix)


def test_of_a_fine_grained_token_every_right_is_named_that_it_does_not_tell(github: GitHub) -> None:
    del github.headers["X-OAuth-Scopes"]

    found = look(github, further=(Need.DEPLOYMENTS, Need.PULLS, Need.COMMENTS))[0]

    assert found.fix.endswith("Commit statuses: write, Deployments: write, Pull requests: write")


def test_the_command_asks_for_what_is_on(github: GitHub, tmp_path: Path) -> None:
    place = f'api = "{github.url}"\nrepository = "acme/desired"\nauth = {{token = "env:TOKEN"}}\n'
    github.headers["X-OAuth-Scopes"] = "repo:status"

    on, off = forged(tmp_path, place), forged(tmp_path, f"{place}plans = false\n")

    wanted = {"comments: the token has no scope for them", "pull requests may be read"}
    assert wanted == {each["seen"] for each in on} - {each["seen"] for each in off}


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


def test_an_app_that_is_given_a_token_for_these_statuses_may_write_them(
    github: GitHub, private_key: rsa.RSAPrivateKey
) -> None:
    found = look(github, key=private_key)

    assert (Verdict.OK, "acme/desired is seen, and statuses may be written") == (found[0].verdict, found[0].seen)
    method, path, header = github.asked[0]
    assert ("POST", "/app/installations/42/access_tokens") == (method, path)
    assert {"repositories": ["desired"], "permissions": {"statuses": "write"}} == github.wanted
    claims = jwt.decode(header.removeprefix("Bearer "), private_key.public_key(), algorithms=["RS256"])
    assert "7" == claims["iss"]


def test_an_app_that_is_not_installed_on_a_public_repository_is_trouble(
    github: GitHub, private_key: rsa.RSAPrivateKey
) -> None:
    github.token = (422, {"message": "There is at least one repository that is not accessible"})

    (found,) = look(github, key=private_key)

    assert (Verdict.TROUBLE, False) == (found.verdict, found.unreachable)
    assert "not accessible" in found.seen
    assert "install it on the repository" in found.fix


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
    road = transport("http://127.0.0.1:1")

    (found,) = GitHubLook("main", "a/b", road, TokenSignIn(lambda: "t", reference="env:TOKEN"), "").check()

    assert (True, "check `forge.api` and the network") == (found.unreachable, found.fix)
    assert "wait" not in found.seen


@pytest.mark.parametrize("body", [[1], None, "text", {"permissions": [1]}, {"permissions": {"push": "yes"}}])
def test_a_repository_of_another_shape_is_no_permission(github: GitHub, body: Any) -> None:
    github.repository = (200, body)

    assert Verdict.TROUBLE == look(github)[0].verdict


@pytest.mark.parametrize("body", [[1], None, {"token": 3}, {"token": "t"}])
def test_a_token_of_another_shape_is_trouble(github: GitHub, private_key: rsa.RSAPrivateKey, body: Any) -> None:
    github.token = (201, body)

    (found,) = look(github, key=private_key)

    assert (Verdict.TROUBLE, True) == (found.verdict, "makes no sense" in found.seen)


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ({"a": 1}, "skipped"),
        ([1, {"config": 3}], "warning"),
        ([OURS | {"events": {"push": 1}}], "warning"),
        ([OURS | {"last_response": [1]}], "ok"),
        ([OURS | {"last_response": {"code": "502"}}], "ok"),
    ],
)
def test_webhooks_of_another_shape_are_no_traceback(github: GitHub, body: Any, verdict: str) -> None:
    github.hooks = (200, body)

    assert verdict == look(github)[-1].verdict


def test_the_token_goes_although_a_netrc_names_the_host(
    github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))

    look(github)
    list(check_clock("forge", github.url, SystemClock()))

    assert ["Bearer ghp_secret", "Bearer ghp_secret", None] == [header for _, _, header in github.asked]


def forged(tmp_path: Path, forge: str) -> list[dict[str, Any]]:
    """What the command says of a repository's forge."""
    config = tmp_path / "fairlead.toml"
    config.write_text(
        f'state = "{tmp_path}"\n[[repositories]]\nurl = "{tmp_path / "none.git"}"\n'
        f'[repositories.forge]\ntype = "github"\n{forge}\n'
    )
    done = CliRunner().invoke(app, ["doctor", "--config", str(config), "-o", "json"], env={"TOKEN": "ghp_secret"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return [one for one in json.loads(done.stdout)["checks"] if one["check"] == "forge"]


@pytest.mark.parametrize(
    ("forge", "seen", "fix"),
    [
        (
            'api = "http://0.0.0.0:{port}"\nrepository = "acme/desired"\nauth = {{token = "env:TOKEN"}}',
            "forge.api is http, where the token would travel in clear",
            "write https",
        ),
        (
            'api = "http://127.0.0.1:{port}"\nrepository = "acme"\nauth = {{token = "env:TOKEN"}}',
            "forge.repository is needed",
            "write owner/name",
        ),
    ],
)
def test_what_the_controller_refuses_is_refused_here_and_nothing_is_sent(
    github: GitHub, tmp_path: Path, forge: str, seen: str, fix: str
) -> None:
    (found,) = forged(tmp_path, forge.format(port=github.server_port))

    assert ("trouble", f"repository main: {seen}", fix) == (found["verdict"], found["seen"], found["fix"])
    assert [] == [header for _, _, header in github.asked if header]


def test_an_app_without_a_sound_key_is_trouble_in_a_sentence(github: GitHub, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("nonsense")
    auth = f'auth = {{mode = "app", app_id = "7", installation_id = "42", private_key = "file:{key}"}}'

    (found,) = forged(tmp_path, f'api = "{github.url}"\nrepository = "acme/desired"\n{auth}')

    assert ("trouble", "use the file that GitHub gave") == (found["verdict"], found["fix"])
