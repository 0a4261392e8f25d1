"""What holds for the webhooks of every forge: nothing is read before it is vouched for, and nothing breaks them."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.clock import ManualClock
from adapters.forges.gitea.webhook import GiteaHooks
from adapters.forges.github.webhook import GitHubHooks
from adapters.forges.gitlab.webhook import GitLabHooks
from adapters.forges.hooks import Dialect, Hint, Ignored, Place, Refused, Webhook
from adapters.forges.hooks.webhook import LARGEST

SECRET = "a secret that forges share with us"
SIGNING = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOW = datetime(2026, 11, 23, tzinfo=UTC)
JSON = {"Content-Type": "application/json"}


def hexed(body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def by_github(body: bytes, event: str, secret: str = SECRET) -> dict[str, str]:
    return {"X-GitHub-Event": event, "X-Hub-Signature-256": f"sha256={hexed(body, secret)}", **JSON}


def by_gitea(body: bytes, event: str, secret: str = SECRET) -> dict[str, str]:
    return {"X-Gitea-Event": event, "X-Gitea-Signature": hexed(body, secret), **JSON}


def by_token(body: bytes, event: str, secret: str = SECRET) -> dict[str, str]:
    return {"X-Gitlab-Event": event, "X-Gitlab-Token": secret, **JSON}


def by_signing(body: bytes, event: str, secret: str = SIGNING) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    stamp = str(int(NOW.timestamp()))
    said = base64.b64encode(hmac.new(key, f"1.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
    return {"webhook-id": "1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{said}", **JSON}


@dataclass(frozen=True, slots=True)
class Sender:
    """One way to send a webhook, and what its payloads call things."""

    dialect: Dialect
    headers: Callable[..., dict[str, str]]
    repository: str
    name: str
    more: tuple[str, ...] = ()
    secret: str = SECRET

    def push(self) -> dict[str, Any]:
        return {"object_kind": "push", "ref": "refs/heads/main", self.repository: {self.name: "acme/desired"}}


SENDERS = {
    "github": Sender(GitHubHooks(), by_github, "repository", "full_name", ("clone_url", "ssh_url", "html_url")),
    "gitea": Sender(GiteaHooks(), by_gitea, "repository", "full_name", ("clone_url", "ssh_url", "html_url")),
    "gitlab, token": Sender(GitLabHooks(), by_token, "project", "path_with_namespace", ("git_http_url", "web_url")),
    "gitlab, signed": Sender(
        GitLabHooks(), by_signing, "project", "path_with_namespace", ("git_http_url", "web_url"), SIGNING
    ),
}
every_sender = pytest.mark.parametrize("sender", SENDERS.values(), ids=SENDERS)


def webhook(sender: Sender, repository: str = "acme/desired") -> Webhook:
    secrets = (sender.secret,)
    here = Place(
        name="main", url="https://git.example.com/acme/desired.git", branch="main", repository=repository, plans=True,
        secrets=lambda: secrets,
    )  # fmt: skip
    return Webhook(sender.dialect, [here], ManualClock(NOW))


def refused(sender: Sender, body: bytes, given: dict[str, str]) -> int:
    with pytest.raises(Refused) as refusal:
        webhook(sender).receive(body, given)
    return refusal.value.status


@every_sender
def test_a_push_is_a_hint(sender: Sender) -> None:
    body = json.dumps(sender.push()).encode()

    answer = webhook(sender).receive(body, sender.headers(body, "push"))

    assert ("repository:main", "pulls:main") == answer.keys  # type: ignore[union-attr]


@every_sender
def test_nothing_is_parsed_before_a_secret_vouches_for_it(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    monkeypatch.setattr(json, "loads", read.append)
    body = b'{"ref": "refs/heads/main"}'

    assert 401 == refused(sender, body, sender.headers(body, "push", "whsec_d3Jvbmc="))
    assert [] == read


@every_sender
def test_what_is_too_large_is_refused_before_anything_else(sender: Sender) -> None:
    assert 413 == refused(sender, b"x" * (LARGEST + 1), {})


@every_sender
def test_the_headers_alone_are_refused_where_nothing_signs(sender: Sender) -> None:
    with pytest.raises(Refused) as refusal:
        webhook(sender).glance(JSON)

    assert 401 == refusal.value.status


@every_sender
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"3", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000]
)
def test_a_vouched_body_that_is_no_json_is_refused_in_a_sentence(sender: Sender, body: bytes) -> None:
    assert 400 == refused(sender, body, sender.headers(body, "push"))


@every_sender
def test_no_secret_is_shown(sender: Sender) -> None:
    hook = webhook(sender)
    body = json.dumps(sender.push()).encode()
    answer = hook.receive(body, sender.headers(body, "push"))

    assert sender.secret not in repr(answer) + repr(hook._places)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
KEYS = ["ref", "repository", "project", "object_kind", "event_name", "full_name", "path_with_namespace", "clone_url",
        "git_http_url", "web_url", "pull_request", "object_attributes", "action"]  # fmt: skip
words = values | st.sampled_from(["push", "merge_request", "refs/heads/main", "acme/desired", "/", "a/../b"])
payloads = st.dictionaries(st.sampled_from(KEYS), words | st.dictionaries(st.sampled_from(KEYS), words))


@every_sender
@settings(max_examples=50, deadline=None)
@given(payload=payloads, begun=st.booleans(), by_url=st.booleans(), event=st.sampled_from(["push", "pull_request"]))
def test_nothing_but_a_hint_or_a_sentence_comes_of_any_payload(
    sender: Sender, payload: dict[str, Any], begun: bool, by_url: bool, event: str
) -> None:
    body = json.dumps((sender.push() if begun else {}) | payload).encode()
    hook = webhook(sender, "" if by_url else "acme/desired")

    try:
        answer = hook.receive(body, sender.headers(body, event))
    except Refused as refusal:
        outcome: Any = refusal.status
    else:
        outcome = set(answer.keys) - {"repository:main", "pulls:main"} if isinstance(answer, Hint) else answer.why

    assert outcome == 400 or not outcome or isinstance(outcome, str)


NAMES = sorted({name for sender in SENDERS.values() for name in sender.headers(b"", "")} | {"Idempotency-Key"})


@every_sender
@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=200), said=st.dictionaries(st.sampled_from(NAMES), st.text(max_size=80)))
def test_nothing_but_a_refusal_comes_of_any_request(sender: Sender, body: bytes, said: dict[str, str]) -> None:
    assert refused(sender, body, said) in {401, 415}


@every_sender
def test_a_hint_that_was_not_noted_is_heard_again(sender: Sender) -> None:
    hook, body = webhook(sender), json.dumps(sender.push()).encode()
    answer = hook.receive(body, sender.headers(body, "push"))
    assert isinstance(answer, Hint)
    assert isinstance(hook.receive(body, sender.headers(body, "push")), Ignored)

    hook.forget(answer.mark)

    assert isinstance(hook.receive(body, sender.headers(body, "push")), Hint)
