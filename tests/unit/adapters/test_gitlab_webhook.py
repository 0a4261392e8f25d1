"""Webhooks of GitLab: signing token, secret token, what both vouch for, and what is made of payloads."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import ManualClock
from adapters.forges.gitlab.webhook import GitLabHooks, checked_secret
from adapters.forges.hooks import Hint, Ignored, Place, Refused, Webhook

PUBLISHED = json.loads((Path(__file__).parents[2] / "data" / "gitlab" / "webhooks.json").read_text())
TOKEN = "a token in clear"
SIGNING = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOW = datetime(2026, 11, 23, tzinfo=UTC)
PUSH = PUBLISHED["push"][0]


def with_token(token: str = TOKEN, once: str = "1") -> dict[str, str]:
    return {"X-Gitlab-Token": token, "Idempotency-Key": once, "Content-Type": "application/json"}


def with_signature(
    body: bytes, secret: str = SIGNING, one: str = "0197", at: datetime = NOW, stamp: str = ""
) -> dict[str, str]:
    written = stamp or str(int(at.timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{one}.{written}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": one,
        "webhook-timestamp": written,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
        "Content-Type": "application/json",
    }


def place(*secrets: str, name: str = "ours", **more: Any) -> Place:
    given = {"url": "x", "branch": "master", "repository": "mike/diaspora", "plans": True} | more
    return Place(name=name, secrets=lambda: secrets or (TOKEN, SIGNING), **given)


def webhook(*places: Place) -> Webhook:
    return Webhook(GitLabHooks(), places or [place()], ManualClock(NOW))


def received(payload: Any, *places: Place) -> Hint | Ignored:
    return webhook(*places).receive(json.dumps(payload).encode(), with_token())


def refused(body: bytes, given: dict[str, str], *places: Place) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        webhook(*places).receive(body, given)
    return refusal.value.status, str(refusal.value)


# ── what GitLab publishes ────────────────────────────────────────────────────────────────────────────────────────


def test_the_published_push_is_a_hint_to_look_there() -> None:
    answer = received(PUSH)

    assert isinstance(answer, Hint)
    assert (("repository:ours", "pulls:ours"), "refs/heads/master") == (answer.keys, answer.ref)


@pytest.mark.parametrize("key", ["web_url", "git_ssh_url", "git_http_url"])
def test_the_published_push_is_known_by_its_clone_urls(key: str) -> None:
    assert isinstance(received(PUSH, place(repository="", url=PUSH["project"][key])), Hint)


@pytest.mark.parametrize("payload", PUBLISHED["merge_request"])
def test_every_published_merge_request_is_a_hint_to_look_at_them(payload: dict[str, Any]) -> None:
    name = payload["project"]["path_with_namespace"]

    assert ("pulls:ours",) == received(payload, place(repository=name)).keys  # type: ignore[union-attr]


@pytest.mark.parametrize("event", sorted(PUBLISHED["others"]))
def test_every_other_published_event_is_ignored_politely(event: str) -> None:
    payload = PUBLISHED["others"][event]
    kind = payload.get("object_kind") or payload["event_name"]

    assert f"nothing to do on {kind}" == received(payload).why  # type: ignore[union-attr]


def test_a_system_hook_names_its_push_in_another_way() -> None:
    payload = {key: value for key, value in PUSH.items() if key != "object_kind"}

    assert isinstance(received(payload), Hint)


def test_a_project_in_groups_of_groups_is_known() -> None:
    payload = PUSH | {"project": {"path_with_namespace": "acme/ops/fleets/desired"}}

    assert isinstance(received(payload, place(repository="Acme/ops/fleets/desired")), Hint)


# ── a signing token ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_published_vector_of_standard_webhooks_is_taken() -> None:
    """standard-webhooks/standard-webhooks, libraries/javascript/src/webhook.test.ts, "sign function works"."""
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "Content-Type": "application/json",
    }
    here = place("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    hook = Webhook(GitLabHooks(), [here], ManualClock(datetime.fromtimestamp(1614265330 + 299, UTC)))

    answer = hook.receive(b'{"test": 2432232314}', given)

    assert Ignored(why="nothing to do on an event without a name") == answer
    with pytest.raises(Refused, match="not of a secret that is known here"):
        hook.receive(b'{"test": 2432232315}', given)


def test_one_of_several_signatures_is_enough() -> None:
    body = json.dumps(PUSH).encode()
    given = with_signature(body)
    wrong = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
    given["webhook-signature"] = f"{wrong} v2,x {given['webhook-signature']} {wrong}"

    assert isinstance(webhook().receive(body, given), Hint)


@pytest.mark.parametrize("off", [-301, 301])
def test_what_was_signed_too_long_ago_or_by_another_clock_is_refused(off: int) -> None:
    body = json.dumps(PUSH).encode()

    assert (401, "signed over five minutes ago, or by another clock: check the clock of this host") == refused(
        body, with_signature(body, at=NOW + timedelta(seconds=off))
    )


@pytest.mark.parametrize("stamp", ["hello", "-1", "1e9", " 1", "9" * 13, "٣"])
def test_a_time_that_is_none_is_refused(stamp: str) -> None:
    body = json.dumps(PUSH).encode()

    assert 401 == refused(body, with_signature(body, stamp=stamp))[0]


@pytest.mark.parametrize(
    "changed",
    [{"webhook-id": "0198"}, {"webhook-timestamp": "1"}, {"webhook-id": ""}, {"webhook-signature": "v1,"}]
    + [{"webhook-signature": said} for said in ("v1", "v1,AAAA", "v2,é", " ", "v1,\ud800")],
)
def test_what_is_signed_otherwise_is_refused(changed: dict[str, str]) -> None:
    body = json.dumps(PUSH).encode()

    assert (401, "the signature is not of a secret that is known here") == refused(body, with_signature(body) | changed)


def test_a_signature_that_is_wrong_is_not_made_good_by_a_token_in_clear() -> None:
    body = json.dumps(PUSH).encode()

    assert 401 == refused(body + b" ", with_signature(body) | with_token())[0]


def test_who_knows_only_the_token_takes_what_is_signed_as_well() -> None:
    body = json.dumps(PUSH).encode()

    assert isinstance(webhook(place(TOKEN)).receive(body, with_signature(body) | with_token()), Hint)


def test_a_repeat_of_what_is_signed_is_known_by_its_id_whatever_else_it_carries() -> None:
    hook, body = webhook(), json.dumps(PUSH).encode()
    assert isinstance(hook.receive(body, with_signature(body)), Hint)

    again = hook.receive(body, with_signature(body, at=NOW + timedelta(minutes=1)))

    assert "seen a moment ago" == again.why  # type: ignore[union-attr]
    assert isinstance(hook.receive(body, with_signature(body, one="0198")), Hint)


def test_either_of_two_signing_tokens_signs_while_one_replaces_the_other() -> None:
    other = "whsec_" + base64.b64encode(b"n" * 32).decode()
    body = json.dumps(PUSH).encode()

    for secret in (SIGNING, other):
        given = with_signature(body, secret)
        assert isinstance(webhook(place(SIGNING, other)).receive(body, given), Hint)


@pytest.mark.parametrize("secret", ["whsec_!", "whsec_abc", "whsec_ä", "whsec_", "whsec_c2hvcnQ="])
def test_a_signing_token_that_can_sign_nothing_is_a_sentence(secret: str) -> None:
    by_nothing = "whsec_"
    with pytest.raises(ValueError, match=r"^a signing token is whsec_ and base64, as GitLab shows it once$"):
        checked_secret(secret)
    assert 401 == refused(b"{}", with_signature(b"{}", by_nothing), place(secret))[0]
    assert (TOKEN, SIGNING) == (checked_secret(TOKEN), checked_secret(SIGNING))


# ── a secret token ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("token", ["", "another", TOKEN + " ", TOKEN[:-1], SIGNING, "é", "\ud800"])
def test_who_does_not_know_the_token_is_refused(token: str) -> None:
    assert 401 == refused(json.dumps(PUSH).encode(), with_token(token))[0]


def test_what_brings_neither_is_refused_unread() -> None:
    with pytest.raises(Refused, match=r"^not signed: set a signing token or a secret token at the webhook$"):
        webhook().glance({"X-Gitlab-Event": "Push Hook", "Content-Type": "application/json"})


def test_what_is_no_json_is_refused_unread() -> None:
    with pytest.raises(Refused, match=r"^a webhook of GitLab is application/json$"):
        webhook().glance(with_token() | {"Content-Type": "text/plain"})


def test_the_same_delivery_again_is_ignored_and_another_of_the_same_body_is_not() -> None:
    """A branch that goes back and forth makes two pushes of one body; only the key tells them apart."""
    hook, body = webhook(), json.dumps(PUSH).encode()
    assert isinstance(hook.receive(body, with_token(once="1")), Hint)

    assert "seen a moment ago" == hook.receive(body, with_token(once="1")).why  # type: ignore[union-attr]
    assert isinstance(hook.receive(body, with_token(once="2")), Hint)


def test_the_token_of_one_repository_does_not_speak_for_another() -> None:
    other = place("theirs", name="other", repository="acme/other")

    answer = webhook(place(TOKEN), other).receive(json.dumps(PUSH).encode(), with_token("theirs"))

    assert "a repository that is not in the settings with this secret" == answer.why  # type: ignore[union-attr]
