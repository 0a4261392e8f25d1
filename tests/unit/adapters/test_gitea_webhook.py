"""Webhooks of Gitea and Forgejo: what is believed, and that nothing else than `Refused` ever comes out."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from adapters.clock import ManualClock
from adapters.forges.gitea.webhook import GiteaHooks
from adapters.forges.hooks import Hint, Ignored, Place, Refused, Webhook

PUBLISHED = json.loads((Path(__file__).parents[2] / "data" / "gitea" / "webhooks.json").read_text())
SECRET = "123"
PUSH = PUBLISHED["push"][0]
PULL = PUBLISHED["pull_request"][0]


def signed(body: bytes, event: str = "push", by: str = "Gitea", **more: str) -> dict[str, str]:
    """As services/webhook/deliver.go of Gitea writes headers; Forgejo adds the same under its own name."""
    return {
        f"X-{by}-Event": event,
        f"X-{by}-Delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473",
        f"X-{by}-Signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        "Content-Type": "application/json",
    } | more


def webhook(**more: Any) -> Webhook:
    given = {"name": "ours", "url": "x", "branch": "develop", "repository": "gitea/webhooks", "plans": True} | more
    return Webhook(GiteaHooks(), [Place(secrets=lambda: (SECRET,), **given)], ManualClock(datetime.now(UTC)))  # noqa: TID251


def received(payload: Any, event: str = "push", by: str = "Gitea", **more: Any) -> Hint | Ignored:
    body = json.dumps(payload).encode()
    return webhook(**more).receive(body, signed(body, event, by))


def refused(body: bytes, given: dict[str, str]) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        webhook().receive(body, given)
    return refusal.value.status, str(refusal.value)


@pytest.mark.parametrize("payload", PUBLISHED["push"])
@pytest.mark.parametrize("by", ["Gitea", "Forgejo"])
def test_every_published_push_is_a_hint_to_look_there(by: str, payload: dict[str, Any]) -> None:
    branch, name = payload["ref"].removeprefix("refs/heads/"), payload["repository"]["full_name"]

    answer = received(payload, by=by, branch=branch, repository=name)

    assert isinstance(answer, Hint)
    assert ("repository:ours", "pulls:ours") == answer.keys
    assert "f6266f16-1bf3-46a5-9ea4-602e06ead473" == answer.delivery


@pytest.mark.parametrize("key", ["clone_url", "ssh_url", "html_url"])
def test_the_published_push_is_known_by_its_clone_urls(key: str) -> None:
    assert isinstance(received(PUSH, repository="", url=PUSH["repository"][key]), Hint)


@pytest.mark.parametrize("payload", PUBLISHED["pull_request"])
def test_every_recorded_pull_request_is_a_hint_to_look_at_pull_requests(payload: dict[str, Any]) -> None:
    name = payload["repository"]["full_name"]

    assert ("pulls:ours",) == received(payload, "pull_request", repository=name).keys  # type: ignore[union-attr]


@pytest.mark.parametrize("event", ["issues", "issue_comment", "pull_request_comment", "release", "status", "create"])
def test_another_event_is_ignored_politely(event: str) -> None:
    assert f"nothing to do on {event}" == received(PULL, event).why  # type: ignore[union-attr]


def test_a_form_is_refused_unread_because_only_the_json_in_it_is_signed() -> None:
    said = json.dumps(PUSH).encode()
    given = signed(said) | {"Content-Type": "application/x-www-form-urlencoded"}

    assert (
        415, "write application/json as the webhook's content type: the signature of a form is not over it"
    ) == refused(urlencode({"payload": said}).encode(), given)  # fmt: skip
    with pytest.raises(Refused):
        webhook().glance(given)


@pytest.mark.parametrize("said", ["", "0" * 63, "0" * 65, "sha256=" + "0" * 64, "G" * 64])
def test_what_is_not_signed_is_refused_unread(said: str) -> None:
    with pytest.raises(Refused, match=r"^not signed: set a secret at the webhook, so that it sends X-Gitea-Signature$"):
        webhook().glance({"X-Gitea-Signature": said, "Content-Type": "application/json"})


def test_the_signature_of_another_dialect_is_not_enough() -> None:
    """Gitea sends GitHub's headers too; here only its own count."""
    body = json.dumps(PUSH).encode()
    given = {"X-Hub-Signature-256": f"sha256={signed(body)['X-Gitea-Signature']}", "Content-Type": "application/json"}

    assert 401 == refused(body, given)[0]


def test_a_changed_body_is_refused() -> None:
    body = json.dumps(PUSH).encode()

    assert (401, "the signature is not of a secret that is known here") == refused(body + b" ", signed(body))


def test_a_repeat_is_ignored_whatever_id_it_carries() -> None:
    hook, body = webhook(), json.dumps(PUSH).encode()
    assert isinstance(hook.receive(body, signed(body)), Hint)

    again = hook.receive(body, signed(body) | {"X-Gitea-Delivery": "another"})

    assert Ignored(why="seen a moment ago", delivery="another") == again
