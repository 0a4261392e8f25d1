"""The sandbox's forge is as strict as GitHub: who may, how often, and what happens when it is out."""

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.clock import ManualClock
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.forge import App, Forge, Limits, Outage
from fairlead_sandbox.git_server import GitServer

NAME = "sandbox/main"
NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public(key: rsa.RSAPrivateKey) -> str:
    pem, info = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(pem, info).decode()


class Api:
    """The forge's API with one repository of one commit, asked with any `Authorization`."""

    def __init__(self, forge: Forge, folder: Path, clock: ManualClock) -> None:
        self.forge = forge
        self.clock = clock
        self.hosted = forge.create(NAME)
        self.token = forge.identities.add_person("ada")
        self.app = forge.identities.add_app(public(KEY))
        checkout = Checkout(folder / "ada", forge.git.url(NAME))
        checkout.commit("first", {"fleet.yaml": "version: 1\n"})
        self.commit = checkout.push()

    def __call__(
        self, method: str, path: str, authorization: str | None = None, body: Mapping[str, Any] | None = None
    ) -> requests.Response:
        header = f"Bearer {self.token}" if authorization is None else authorization
        return requests.request(
            method,
            self.forge.addresses.api + path,
            json=body,
            headers={"Authorization": header} if header else {},
            timeout=10,
            allow_redirects=False,
        )

    def say(self, authorization: str | None = None, context: str = "fairlead/prod") -> requests.Response:
        body = {"state": "success", "context": context}
        return self("POST", f"/repos/{NAME}/statuses/{self.commit}", authorization, body)

    def said(self) -> list[str]:
        return [status.context for status in self.hosted.statuses.all(self.commit)]

    def signed(self, key: rsa.RSAPrivateKey = KEY, **claims: Any) -> str:
        """A JWT of the app as it should be, but for these claims; None leaves one out."""
        now = self.clock.now()
        sound = {"iat": now - MINUTE, "exp": now + 9 * MINUTE, "iss": str(self.app.app_id)}
        said = {name: value for name, value in {**sound, **claims}.items() if value is not None}
        return "Bearer " + jwt.encode(said, key, algorithm="RS256")

    def token_for(self, authorization: str, app: App | None = None) -> requests.Response:
        installation = (app or self.app).installation_id
        return self("POST", f"/app/installations/{installation}/access_tokens", authorization)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def api(tmp_path: Path, clock: ManualClock) -> Iterator[Api]:
    with GitServer(tmp_path / "git") as git, Forge(git, clock) as forge:
        yield Api(forge, tmp_path, clock)


def refused(answer: requests.Response) -> tuple[int, str]:
    assert "documentation_url" in answer.json()
    return answer.status_code, answer.json()["message"]


# ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("form", ["Bearer {}", "token {}", "basic"])
def test_a_token_signs_in_as_its_person(api: Api, form: str) -> None:
    basic = "Basic " + base64.b64encode(f"x:{api.token}".encode()).decode()

    assert "ada" == api("GET", "/user", basic if form == "basic" else form.format(api.token)).json()["login"]


@pytest.mark.parametrize(
    ("authorization", "message"),
    [("", "Requires authentication"), ("Bearer ghp_nobody", "Bad credentials"), ("Basic ?", "Bad credentials")],
)
def test_nobody_is_let_in_without_a_good_token(api: Api, authorization: str, message: str) -> None:
    assert (401, message) == refused(api("GET", f"/repos/{NAME}", authorization))
    assert (401, message) == refused(api.say(authorization))
    assert [] == api.said()


def test_a_revoked_token_is_good_for_nothing(api: Api) -> None:
    api.forge.identities.revoke(api.token)

    assert (401, "Bad credentials") == refused(api("GET", "/user"))


def test_an_app_gets_a_token_for_an_hour(api: Api) -> None:
    answer = api.token_for(api.signed())
    token = f"token {answer.json()['token']}"

    assert (201, "2026-11-24T07:00:00Z") == (answer.status_code, answer.json()["expires_at"])
    assert "fairlead[bot]" == api.say(token).json()["creator"]["login"]
    api.clock.advance(timedelta(minutes=59, seconds=59))
    assert 201 == api.say(token).status_code
    api.clock.advance(timedelta(seconds=1))
    assert (401, "Bad credentials") == refused(api.say(token))


def test_a_client_id_may_stand_for_the_apps_id(api: Api) -> None:
    assert 201 == api.token_for(api.signed(iss=api.app.client_id)).status_code
    assert "fairlead" == api("GET", "/app", api.signed()).json()["slug"]


@pytest.mark.parametrize(
    ("claims", "status", "words"),
    [
        ({"exp": NOW + timedelta(minutes=10, seconds=1)}, 401, "'exp') is too far in the future"),
        ({"exp": NOW}, 401, "'exp') must be a numeric value"),
        ({"exp": None}, 401, "'exp') must be a numeric value"),
        ({"iat": NOW + timedelta(seconds=1)}, 401, "'iat') must be an Integer"),
        ({"iat": None}, 401, "'iat') must be an Integer"),
        ({"iss": "999"}, 404, "Integration not found"),
        ({"iss": None}, 404, "Integration not found"),
    ],
)
def test_a_jwt_with_wrong_claims_is_refused_by_name(api: Api, claims: dict[str, Any], status: int, words: str) -> None:
    found, message = refused(api.token_for(api.signed(**claims)))

    assert (status, True) == (found, words in message), message


def test_a_jwt_must_be_signed_by_the_apps_own_key_with_rs256(api: Api) -> None:
    claims = {"iat": NOW, "exp": NOW + MINUTE, "iss": str(api.app.app_id)}
    forged = ["Bearer " + jwt.encode(claims, "x" * 32, algorithm="HS256"), "Bearer no.jwt", api.signed(OTHER_KEY)]

    for authorization in forged:
        assert (401, "A JSON web token could not be decoded") == refused(api.token_for(authorization))


def test_an_app_has_no_token_of_another_apps_installation(api: Api) -> None:
    other = api.forge.identities.add_app(public(OTHER_KEY), "other")

    assert 404 == api.token_for(api.signed(), other).status_code


def test_an_apps_token_may_be_limited_to_a_repository_and_a_permission(api: Api) -> None:
    api.forge.create("sandbox/other")

    def token(**body: Any) -> requests.Response:
        path = f"/app/installations/{api.app.installation_id}/access_tokens"
        return api("POST", path, api.signed(), body)

    limited = token(repositories=["main"], permissions={"statuses": "write"})

    header = f"token {limited.json()['token']}"
    assert ({"statuses": "write"}, "selected") == tuple(
        limited.json()[name] for name in ("permissions", "repository_selection")
    )
    assert 201 == api.say(header).status_code
    assert (404, "Not Found") == refused(api("GET", "/repos/sandbox/other", header))
    assert 422 == token(repositories=["nowhere"]).status_code
    assert (422, "The permissions requested are not granted to this installation.") == refused(
        token(permissions={"contents": "write"})
    )


def test_who_may_not_write_is_told_so(api: Api) -> None:
    reader = api.forge.identities.add_person("grace", {"contents": "read"})
    app = api.forge.identities.add_app(public(KEY), "reader", {"contents": "read"})
    bot = api.token_for(api.signed(iss=str(app.app_id)), app).json()["token"]

    assert (403, "Resource not accessible by personal access token") == refused(api.say(f"token {reader}"))
    assert (403, "Resource not accessible by integration") == refused(api.say(f"token {bot}"))
    hook = {"config": {"url": "http://127.0.0.1:9/"}}
    assert 403 == api("POST", f"/repos/{NAME}/hooks", f"token {reader}", hook).status_code
    assert [] == api.said()


# ── how often ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [403, 429])
def test_more_than_eighty_writes_a_minute_have_to_wait(api: Api, status: int) -> None:
    api.forge.meter.limits = Limits(status=status)
    answers = [api.say(context=f"c{number}").status_code for number in range(80)]
    api.clock.advance(timedelta(seconds=45))
    blocked = api.say()

    assert {201} == set(answers)
    found, message = refused(blocked)
    assert (status, True) == (found, message.startswith("You have exceeded a secondary rate limit"))
    assert "15" == blocked.headers["Retry-After"]
    assert 200 == api("GET", f"/repos/{NAME}").status_code
    api.clock.advance(timedelta(seconds=15))
    assert 201 == api.say().status_code
    assert 1 == api.forge.meter.refused


def test_an_hour_has_its_own_limit_of_writes(api: Api) -> None:
    api.forge.meter.limits = Limits(writes_per_minute=3, writes_per_hour=5)
    for _ in range(5):
        assert 201 == api.say().status_code
        api.clock.advance(MINUTE)

    blocked = api.say()

    assert (403, str(55 * 60)) == (blocked.status_code, blocked.headers["Retry-After"])
    api.clock.advance(timedelta(minutes=55))
    assert [201, 403] == [api.say().status_code, api.say().status_code]


def test_accounts_are_counted_apart(api: Api) -> None:
    api.forge.meter.limits = Limits(writes_per_minute=1)
    grace = api.forge.identities.add_person("grace")

    assert [201, 403, 201] == [api.say().status_code, api.say().status_code, api.say(f"token {grace}").status_code]


def test_the_primary_limit_is_told_and_kept(api: Api) -> None:
    api.forge.meter.limits = Limits(requests_per_hour=2)
    first = api("GET", "/user")
    api("GET", "/user")
    blocked = api("GET", "/user")
    rate = api("GET", "/rate_limit").json()["rate"]

    reset = int((NOW + timedelta(hours=1)).timestamp())
    told = [first.headers[f"x-ratelimit-{name}"] for name in ("limit", "remaining", "used", "reset")]
    assert ["2", "1", "1", str(reset)] == told
    assert (403, "0") == (blocked.status_code, blocked.headers["x-ratelimit-remaining"])
    assert {"limit": 2, "used": 3, "remaining": 0, "reset": reset} == rate
    api.clock.advance(timedelta(hours=1))
    assert 200 == api("GET", "/user").status_code


def test_an_enterprise_server_has_no_limits(api: Api) -> None:
    answers = [api.say() for _ in range(100)]

    assert {201} == {answer.status_code for answer in answers}
    assert "x-ratelimit-limit" not in answers[0].headers
    assert (404, "Rate limiting is not enabled.") == refused(api("GET", "/rate_limit"))


# ── when it is out ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_outage_cuts_connections_and_git_goes_on(api: Api, tmp_path: Path) -> None:
    api.forge.faults.outage = Outage.RESET
    with pytest.raises(requests.ConnectionError):
        api.say()

    assert api.commit == Checkout(tmp_path / "clone", api.forge.git.url(NAME)).pull()
    assert [] == api.said()
    api.forge.faults.outage = Outage.NONE
    assert 201 == api.say().status_code


@pytest.mark.parametrize(
    ("outage", "status", "words"),
    [(Outage.BAD_GATEWAY, 502, "502 Bad Gateway"), (Outage.LOGIN_PAGE, 302, "Sign in")],
)
def test_a_proxy_answers_pages_instead(api: Api, outage: Outage, status: int, words: str) -> None:
    api.forge.faults.outage = outage
    answer = api.say()

    assert (status, True) == (answer.status_code, words in answer.text)
    assert "text/html; charset=utf-8" == answer.headers["Content-Type"]
    assert [] == api.said()
    if outage is Outage.LOGIN_PAGE:
        page = requests.get(api.forge.addresses.web + answer.headers["Location"], timeout=10)
        assert (200, True) == (page.status_code, words in page.text)


def test_a_lost_answer_took_effect(api: Api) -> None:
    api.forge.faults.lost_answers = 1
    with pytest.raises(requests.ConnectionError):
        api.say()
    api.say(context="fairlead/staging")

    assert ["fairlead/staging", "fairlead/prod"] == api.said()
    assert [(201, True), (201, False)] == [(each.status, each.cut) for each in api.forge.log.successes()]


def test_a_stalled_forge_answers_when_it_goes_on(api: Api, wait_for: Callable[[Callable[[], bool]], None]) -> None:
    api.forge.faults.stall = True
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(api.say().status_code))
    asking.start()
    wait_for(lambda: len(api.forge.log.all(method="POST")) == 1)

    assert ([], []) == (answers, api.said())
    api.forge.faults.stall = False
    asking.join(10)
    assert [201] == answers


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Waits for a condition, on an event that is never set."""
    never = threading.Event()

    def wait(so: Callable[[], bool]) -> None:
        for _ in range(1000):
            if so():
                return
            never.wait(0.01)
        raise TimeoutError

    return wait
