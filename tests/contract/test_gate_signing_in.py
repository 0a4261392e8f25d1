"""Every way of signing in that a machine can use, over HTTP, and what is said where it fails."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from adapters.clock import ManualClock, SystemClock
from adapters.gate.auth import GateAuth
from adapters.gate.client import Gate
from adapters.gate.errors import Accepted, GateTrouble, NotSignedIn, Unknown
from adapters.gate.transport import Question, Transport
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate as SandboxGate
from fairlead_sandbox.gate import GateSettings, authentication, deploy_pipeline
from fairlead_sandbox.gate.answers import Answer, Request
from reconciler.ports import LeaseLost
from reconciler.reasons import Reason

SETTINGS = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)
PASSWORD = "correct-horse-CANARY"
BODY = {"type": "manual", "eventId": "e-1", "correlationId": "c-1", "parameters": {"PKG_VERSION": "1.4.2"}}
Guarded = Callable[[authentication.Authentication], SandboxGate]


class Lease:
    """Ours, until the nth time that it is asked for."""

    key = "fleet:prod/checkout"

    def __init__(self, lost_at: int = 99) -> None:
        self.left = lost_at

    def check(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise LeaseLost("another owner")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 27, 2, 50, tzinfo=UTC))


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    with ExitStack() as gates:

        def begin(wanted: authentication.Authentication) -> SandboxGate:
            gate = gates.enter_context(SandboxGate(Aws(), SETTINGS, wanted))
            gate.pipelines.save(
                deploy_pipeline("checkout", "deploy", "checkout-prod", "checkout", regions=["us-east-1"])
            )
            return gate

        yield begin


def oauth2(gate: SandboxGate, secret: str = PASSWORD) -> GateAuth:
    return GateAuth(mode="oauth2", token_url=f"{gate.url}/oauth2/token", user="fairlead", secret=secret)


def form(secret: str = PASSWORD) -> GateAuth:
    return GateAuth(mode="form", user="fairlead", secret=secret)


def paths(gate: SandboxGate) -> list[str]:
    return [entry["path"] for entry in gate.access_log.entries()]


# -- files that rotate -----------------------------------------------------------------------------------------------


def rotate(file: Path, text: str) -> None:
    """As whoever mounts secrets does it: a new file takes the old one's place."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(file)


def test_a_token_file_is_read_again_when_it_changes(guarded: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("spk_one\n")
    sandbox = guarded(authentication.Bearer(token="spk_two"))
    gate = Gate(sandbox.url, GateAuth(mode="bearer", header="Authorization", secret="spk_one", secret_file=file))

    with pytest.raises(NotSignedIn):
        gate.user()
    rotate(file, "spk_two")

    assert "token@example.com" == gate.user()
    rotate(file, "")
    assert "token@example.com" == gate.user()
    file.unlink()
    assert "token@example.com" == gate.user()


def test_a_token_file_that_never_was_there_is_a_sentence(guarded: Guarded, tmp_path: Path) -> None:
    sandbox = guarded(authentication.Bearer(token="spk_two"))
    gate = Gate(sandbox.url, GateAuth(mode="bearer", secret_file=tmp_path / "nothing"))

    with pytest.raises(NotSignedIn, match="nothing to sign in to Gate with: the file of its secret cannot be read"):
        gate.user()
    assert [] == paths(sandbox)


def test_a_client_certificate_is_read_again_when_it_is_replaced(guarded: Guarded, tmp_path: Path) -> None:
    sandbox = guarded(authentication.ClientCertificate(folder=tmp_path / "made"))
    for name in ("client.pem", "client.key"):
        (tmp_path / name).write_bytes((tmp_path / "made" / name).read_bytes())
    shown = GateAuth(
        mode="certificate",
        certificate=tmp_path / "client.pem",
        key=tmp_path / "client.key",
        authority=tmp_path / "made" / "ca.pem",
    )
    gate = Gate(sandbox.url, shown)
    assert "fairlead.example.com" == gate.user()

    for kind in ("pem", "key"):
        rotate(tmp_path / f"client.{kind}", (tmp_path / "made" / f"server.{kind}").read_text())

    assert "127.0.0.1" == gate.user()


# -- OAuth2 ----------------------------------------------------------------------------------------------------------


def test_a_token_is_fetched_once_and_kept_until_shortly_before_its_end(guarded: Guarded, clock: ManualClock) -> None:
    provider = authentication.OAuth2(client="fairlead", password=PASSWORD, lasts=3600, refusal="401")
    sandbox = guarded(provider)
    gate = Gate(sandbox.url, oauth2(sandbox), clock=clock)

    users = [gate.user(), gate.user()]
    clock.advance(timedelta(seconds=3569))
    gate.user()
    before = len(provider.granted)
    clock.advance(timedelta(seconds=1))
    gate.user()

    assert ["fairlead@example.com"] * 2 == users
    assert (1, 2) == (before, len(provider.granted))


def test_a_token_that_gate_refuses_is_fetched_again_once_and_the_start_is_sent_again(
    guarded: Guarded, clock: ManualClock
) -> None:
    provider = authentication.OAuth2(client="fairlead", password=PASSWORD, lasts=None, refusal="401")
    sandbox = guarded(provider)
    gate = Gate(sandbox.url, oauth2(sandbox), clock=clock)
    gate.user()
    provider.tokens.clear()
    clock.advance(timedelta(minutes=1))

    assert isinstance(gate.trigger("checkout", "deploy", BODY, Lease()), Accepted)
    assert (2, 1) == (len(provider.granted), len(sandbox.access_log.starts()))


def test_a_gate_that_refuses_every_token_is_not_asked_for_ever(guarded: Guarded, clock: ManualClock) -> None:
    provider = authentication.OAuth2(client="fairlead", password=PASSWORD, refusal="401")
    sandbox = guarded(provider)
    gate = Gate(sandbox.url, oauth2(sandbox), clock=clock)
    gate.user()

    class Refusing(set[str]):
        def __contains__(self, item: object) -> bool:
            return False

    object.__setattr__(provider, "tokens", Refusing())
    clock.advance(timedelta(minutes=1))
    for _ in range(5):
        with pytest.raises(NotSignedIn, match="did not accept our sign-in"):
            gate.user()

    assert 2 == len(provider.granted)


def test_a_start_is_not_sent_again_when_the_lease_is_lost_meanwhile(guarded: Guarded, clock: ManualClock) -> None:
    provider = authentication.OAuth2(client="fairlead", password=PASSWORD, refusal="401")
    sandbox = guarded(provider)
    gate = Gate(sandbox.url, oauth2(sandbox), clock=clock)
    gate.user()
    provider.tokens.clear()
    clock.advance(timedelta(minutes=1))

    with pytest.raises(LeaseLost):
        gate.trigger("checkout", "deploy", BODY, Lease(lost_at=2))

    assert [] == sandbox.access_log.starts()


def test_a_refusing_token_endpoint_is_a_sentence_without_secrets_and_rests(
    guarded: Guarded, clock: ManualClock
) -> None:
    sandbox = guarded(authentication.OAuth2(client="fairlead", password="other"))
    gate = Gate(sandbox.url, oauth2(sandbox), clock=clock)

    for _ in range(3):
        with pytest.raises(NotSignedIn, match=r"its token endpoint gives no token \(401\); check the cred") as raised:
            gate.user()

    assert PASSWORD not in str(raised.value)
    assert ["/oauth2/token"] == paths(sandbox)
    assert Reason.OBSERVATION_FAILED is raised.value.reason


def test_a_token_endpoint_that_is_away_says_nothing_of_gate(guarded: Guarded) -> None:
    sandbox = guarded(authentication.OAuth2(client="fairlead", password=PASSWORD))
    auth = GateAuth(mode="oauth2", token_url="http://127.0.0.1:1/token", user="fairlead", secret=PASSWORD)
    gate = Gate(sandbox.url, auth)

    for _ in range(4):
        with pytest.raises(NotSignedIn, match="its token endpoint does not answer"):
            gate.user()

    assert gate.absence() is None


# -- the login form --------------------------------------------------------------------------------------------------


def test_the_login_form_is_filled_in_once_and_its_session_kept(guarded: Guarded) -> None:
    door = authentication.LoginForm(name="fairlead", password=PASSWORD)
    gate = Gate(guarded(door).url, form())

    assert ["fairlead", "fairlead"] == [gate.user(), gate.user()]
    assert ["fairlead"] == door.logins


@pytest.mark.parametrize("refusal", ["redirect", "401"])
def test_a_session_that_ended_is_begun_again_once(guarded: Guarded, clock: ManualClock, refusal: str) -> None:
    door = authentication.LoginForm(name="fairlead", password=PASSWORD, refusal=refusal)
    sandbox = guarded(door)
    gate = Gate(sandbox.url, form(), clock=clock)
    gate.user()
    door.sessions.clear()
    clock.advance(timedelta(hours=1))

    assert isinstance(gate.trigger("checkout", "deploy", BODY, Lease()), Accepted)
    assert (2, 1) == (len(door.logins), len(sandbox.access_log.starts()))


def test_a_wrong_password_is_tried_once_in_a_while(guarded: Guarded, clock: ManualClock) -> None:
    door = authentication.LoginForm(name="fairlead", password="other")
    gate = Gate(guarded(door).url, form(), clock=clock)

    for _ in range(4):
        with pytest.raises(NotSignedIn, match=r"its login form refuses our user and password \(302\)") as raised:
            gate.user()
    tried = len(door.logins)
    clock.advance(timedelta(seconds=30))
    with pytest.raises(NotSignedIn):
        gate.user()

    assert (1, 2) == (tried, len(door.logins))
    assert PASSWORD not in str(raised.value)


def test_a_gate_that_is_away_when_we_sign_in_is_away(guarded: Guarded, clock: ManualClock) -> None:
    sandbox = guarded(authentication.LoginForm(name="fairlead", password=PASSWORD))
    gate = Gate(sandbox.url, form(), clock=clock)
    sandbox.go_away()

    for _ in range(3):
        with pytest.raises(GateTrouble) as raised:
            gate.user()

    assert "does not answer since 02:50 UTC" in str(raised.value)
    assert Reason.GATE_UNREACHABLE is raised.value.reason


# -- endpoints that hang ---------------------------------------------------------------------------------------------


class Dripping:
    """A server that answers with a good JSON text, a byte every 50 ms."""

    def __init__(self, text: str) -> None:
        self.text, self.asked, self.sent = text.encode(), 0, 0
        self.ended = Event()
        dripping = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                dripping.asked += 1
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200)
                self.send_header("Content-Length", str(len(dripping.text)))
                self.end_headers()
                for byte in dripping.text:
                    if dripping.ended.wait(0.05):
                        return
                    try:
                        self.wfile.write(bytes([byte]))
                        dripping.sent += 1
                    except OSError:
                        return

            do_POST = do_GET  # noqa: N815

            def log_message(self, *args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def dripping() -> Iterator[Dripping]:
    server = Dripping('{"access_token": "t", "username": "fairlead"}' + " " * 100)
    yield server
    server.close()


def test_an_answer_that_drips_is_left_in_time(dripping: Dripping) -> None:
    with pytest.raises(GateTrouble, match=r"the answer took over 0\.9 s"):
        Gate(dripping.url, timeout=0.3).user()

    assert dripping.sent < len(dripping.text)


def test_a_token_endpoint_that_drips_is_left_in_time_and_rests(guarded: Guarded, dripping: Dripping) -> None:
    sandbox = guarded(authentication.OAuth2(client="fairlead", password=PASSWORD))
    auth = GateAuth(mode="oauth2", token_url=dripping.url, user="fairlead", secret=PASSWORD)
    gate = Gate(sandbox.url, auth, timeout=0.3)

    for _ in range(2):
        with pytest.raises(NotSignedIn, match="its token endpoint does not answer"):
            gate.user()

    assert 1 == dripping.asked


def test_those_who_wait_for_a_login_form_that_hangs_do_not_try_it_one_after_the_other(dripping: Dripping) -> None:
    gate = Gate(dripping.url, form(), timeout=1)

    with ThreadPoolExecutor(4) as pool:
        told = {str(future.exception()) for future in [pool.submit(gate.user) for _ in range(4)]}

    assert {
        "Gate could not be asked to sign us in: the connection failed; check its URL, the network and the proxy"
    } == (told)
    assert 1 == dripping.asked


# -- other ways ------------------------------------------------------------------------------------------------------


def test_a_trusted_proxys_header_names_us(guarded: Guarded) -> None:
    sandbox = guarded(authentication.TrustedHeader())

    assert "fairlead@example.com" == Gate(sandbox.url, GateAuth(mode="header", user="fairlead@example.com")).user()
    with pytest.raises(NotSignedIn, match=r"did not accept our sign-in .* \(401\)"):
        Gate(sandbox.url).user()


def test_without_credentials_we_are_anonymous(guarded: Guarded) -> None:
    assert "anonymous" == Gate(guarded(authentication.Authentication()).url).user()


# -- answers that are told apart -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("/login", "did not accept our sign-in when asked to start .* (it sent us to a login)"),
        ("https://sso.example.com/authorize?client_id=gate", "(it sent us to a login)"),
        ("/oauth2/authorization/github", "(it sent us to a login)"),
        (
            "https://127.0.0.1:8443/pipelines/checkout/deploy",
            "Gate redirected us when .* (302); write the",
        ),
    ],
)
def test_a_redirect_to_a_login_is_told_from_one_elsewhere(guarded: Guarded, location: str, said: str) -> None:
    class Elsewhere(authentication.Bearer):
        def refuse(self, base_url: str) -> Answer:
            return Answer(status=302, headers={"Location": location})

    result = Gate(guarded(Elsewhere(token="spk_two")).url).trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(result, Unknown)
    assert all(part in result.sentence for part in said.split(" .* "))
    assert "sso.example.com" not in result.sentence


def test_a_web_page_is_no_answer_and_a_start_that_got_one_is_not_sent_again(
    guarded: Guarded, clock: ManualClock
) -> None:
    door = authentication.LoginForm(name="fairlead", password=PASSWORD)
    sandbox = guarded(door)
    gate = Gate(sandbox.url, form(), clock=clock)
    gate.user()
    clock.advance(timedelta(hours=1))
    sandbox.faults.on("html", times=1)

    result = gate.trigger("checkout", "deploy", BODY, Lease())

    assert isinstance(result, Unknown)
    assert "it answered with a web page" in result.sentence
    assert [] == sandbox.access_log.starts()
    assert 1 == len(door.logins)


def test_no_session_of_gates_own_making_is_taken_for_a_sign_in(guarded: Guarded) -> None:
    """Gate hands a SESSION to strangers too: what we did not sign in with is never sent back."""
    seen: list[str] = []

    class Noting(authentication.Authentication):
        def user(self, headers: Mapping[str, str], certificate: str | None) -> str:
            seen.append(headers.get("cookie", ""))
            return "anonymous"

        def opens(self, request: Request) -> Answer | None:
            if request.path != "/health":
                return None
            return Answer(headers={"Set-Cookie": "SESSION=stranger; Path=/"})

    transport = Transport(guarded(Noting()).url, GateAuth(), timeout=5, clock=SystemClock())
    for path in ("/health", "/auth/user"):
        transport.exchange(Question(method="GET", path=path, what="say how it is"))

    assert [""] == seen


def test_the_environments_own_variables_change_nothing(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "REQUESTS_CA_BUNDLE", "/nowhere.pem")

    assert "anonymous" == Gate(guarded(authentication.Authentication()).url).user()
