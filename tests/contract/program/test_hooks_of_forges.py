"""Every forge's webhooks at a controller's own server: whatever comes, they only say where to look."""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from fairlead.settings import ForgeSettings, RepositorySettings, Settings
from fairlead.wiring.hooks import hooks
from tests.contract.hooked import Hooked, hooked

DATA = Path(__file__).parents[2] / "data"
SECRET = "a secret that forges share with us"
SIGNING = "whsec_" + b64encode(b"k" * 32).decode()
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a forge sends, as it is on the wire."""

    forge: str
    body: bytes
    headers: Mapping[str, str]


def github(payload: Any, event: str = "push", secret: str = SECRET) -> Delivery:
    body = json.dumps(payload).encode()
    said = f"sha256={hmac.new(secret.encode(), body, sha256).hexdigest()}"
    return Delivery(forge="github", body=body, headers={"X-GitHub-Event": event, "X-Hub-Signature-256": said, **JSON})


def gitea(payload: Any, event: str = "push", secret: str = SECRET) -> Delivery:
    body = json.dumps(payload).encode()
    said = hmac.new(secret.encode(), body, sha256).hexdigest()
    return Delivery(forge="gitea", body=body, headers={"X-Gitea-Event": event, "X-Gitea-Signature": said, **JSON})


def gitlab(payload: Any, event: str = "push", secret: str = SECRET) -> Delivery:
    body = json.dumps(payload).encode()
    headers = {"X-Gitlab-Event": event, "X-Gitlab-Token": secret, "Idempotency-Key": "1", **JSON}
    return Delivery(forge="gitlab", body=body, headers=headers)


def gitlab_signed(payload: Any, event: str = "push", secret: str = SIGNING) -> Delivery:
    body, stamp = json.dumps(payload).encode(), str(int(SystemClock().now().timestamp()))
    one = sha256(body).hexdigest()
    key = b64decode(secret.removeprefix("whsec_")) if secret == SIGNING else secret.encode()
    said = b64encode(hmac.new(key, f"{one}.{stamp}.".encode() + body, sha256).digest()).decode()
    headers = {"webhook-id": one, "webhook-timestamp": stamp, "webhook-signature": f"v1,{said}", **JSON}
    return Delivery(forge="gitlab", body=body, headers=headers)


WAYS: Mapping[str, Callable[..., Delivery]] = {
    "github": github, "gitea": gitea, "gitlab": gitlab, "gitlab, signed": gitlab_signed
}  # fmt: skip
every_way = pytest.mark.parametrize("way", WAYS)


def pushed(way: str, number: int = 0, ref: str = "refs/heads/main") -> dict[str, Any]:
    if way.startswith("gitlab"):
        return {"object_kind": "push", "ref": ref, "project": {"path_with_namespace": "acme/desired"}, "number": number}
    return {"ref": ref, "repository": {"full_name": "acme/desired"}, "number": number}


def opened(way: str, number: int = 0) -> Delivery:
    if way.startswith("gitlab"):
        project = {"path_with_namespace": "acme/desired"}
        return WAYS[way]({"object_kind": "merge_request", "project": project, "number": number}, "Merge Request Hook")
    return WAYS[way](
        {"action": "opened", "number": number, "repository": {"full_name": "acme/desired"}}, "pull_request"
    )


class Site(Hooked):
    """With a client."""

    def send(self, delivery: Delivery) -> requests.Response:
        return requests.post(f"{self.url}/{delivery.forge}", delivery.body, headers=delivery.headers, timeout=20)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Store]:
    store = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", SystemClock())
    yield store
    store.close()


def repository(kind: str) -> RepositorySettings:
    forge = ForgeSettings(repository="acme/desired", webhook_secrets=("env:SECRET", "env:SIGNING"))
    return RepositorySettings(name=kind, url="https://git.example.com/x", forge=forge.model_copy(update={"type": kind}))


@pytest.fixture
def site(ledger: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("SECRET", SECRET)
    monkeypatch.setenv("SIGNING", SIGNING)
    receivers = hooks(Settings(repositories=tuple(map(repository, ("github", "gitlab", "gitea")))), SystemClock())
    with hooked(ledger, receivers) as found:
        yield Site(found.place, ledger, found.log)


@every_way
def test_a_push_makes_the_repository_and_its_pull_requests_due(site: Site, way: str) -> None:
    name = way.partition(",")[0]

    assert 202 == site.send(WAYS[way](pushed(way))).status_code
    assert {f"repository:{name}", f"pulls:{name}"} == site.queued()


@every_way
def test_a_pull_request_makes_pull_requests_due(site: Site, way: str) -> None:
    assert 202 == site.send(opened(way)).status_code
    assert {f"pulls:{way.partition(',')[0]}"} == site.queued()


@every_way
def test_who_does_not_know_the_secret_moves_nothing(site: Site, way: str) -> None:
    answer = site.send(WAYS[way](pushed(way), secret="another"))

    assert (401, "refused") == (answer.status_code, answer.json()["result"])
    assert set() == site.queued()


@every_way
def test_what_is_not_signed_is_refused_before_its_body_is_read(site: Site, way: str) -> None:
    delivery = WAYS[way](pushed(way))
    client = HTTPConnection(site.place, timeout=20)
    client.putrequest("POST", f"/hooks/{delivery.forge}")
    client.putheader("Content-Type", "application/json")
    client.putheader("Content-Length", str(len(delivery.body)))
    client.endheaders()  # and no body follows

    assert 401 == client.getresponse().status
    client.close()


@every_way
def test_a_flood_is_answered_and_becomes_two_names(site: Site, way: str) -> None:
    with ThreadPoolExecutor(16) as many:
        codes = set(many.map(lambda number: site.send(WAYS[way](pushed(way, number))).status_code, range(60)))

    assert {202} == codes
    assert 2 == len(site.queued())


def published(forge: str) -> Mapping[str, Any]:
    return dict(json.loads((DATA / forge / "webhooks.json").read_text())["others"])


PUBLISHED = [
    *(github(payload, event) for event, payload in published("github").items()),
    *(gitlab(payload) for payload in published("gitlab").values()),
]


def test_every_published_payload_of_another_event_is_answered_kindly(site: Site) -> None:
    assert {(200, "ignored")} == {(said.status_code, said.json()["result"]) for said in map(site.send, PUBLISHED)}
    assert set() == site.queued()


def forged(delivery: Delivery, part: str) -> Delivery:
    """The same with something changed on the way."""
    if part == "body":
        return replace(delivery, body=delivery.body.replace(b"desired", b"another"))
    if part == "forge":
        return replace(delivery, forge="gitea" if delivery.forge == "github" else "github")
    kept = {name: value for name, value in delivery.headers.items() if part not in name.lower()}
    return replace(delivery, headers=kept)


deliveries = st.builds(
    lambda way, number, what: opened(way, number) if what == "pull" else WAYS[way](
        pushed(way, number, f"refs/heads/{what}")
    ),
    st.sampled_from(sorted(WAYS)), st.integers(0, 2), st.sampled_from(["main", "topic", "pull"]),
)  # fmt: skip
troubled = st.one_of(
    deliveries,
    st.builds(forged, deliveries, st.sampled_from(["body", "forge", "signature", "event", "token", "content"])),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(troubled, max_size=8), doubled=st.booleans())
def test_lost_doubled_reordered_and_forged_webhooks_only_say_where_to_look(
    site: Site, history: list[Delivery], doubled: bool
) -> None:
    before = site.ledger.figures(), site.ledger.heads()
    answers = [site.send(each) for each in (history * 2 if doubled else history)]

    assert {answer.status_code for answer in answers} <= {200, 202, 400, 401, 415}
    queued = site.queued()
    assert queued <= {
        f"{family}:{name}" for family in ("repository", "pulls") for name in ("github", "gitlab", "gitea")
    }
    assert bool(queued) == any(answer.status_code == 202 for answer in answers)
    assert before == (site.ledger.figures(), site.ledger.heads())
    assert "Traceback" not in str(site.log.lines)
