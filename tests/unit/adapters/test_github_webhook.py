"""GitHub's webhooks: what is believed, what is only a hint, and that nothing else than `Refused` ever comes out."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.clock import ManualClock
from adapters.forges.github.webhook import GitHubHooks
from adapters.forges.hooks import Hint, Ignored, Place, Refused, Webhook
from adapters.forges.hooks.places import address
from adapters.forges.hooks.webhook import LARGEST

PUBLISHED = json.loads((Path(__file__).parents[2] / "data" / "github" / "webhooks.json").read_text())
SECRET = "It's a Secret to Everybody"
PUSH = {
    "ref": "refs/heads/main",
    "repository": {"full_name": "acme/desired", "clone_url": "https://github.com/acme/desired.git"},
}


def place(name: str = "main", repository: str = "acme/desired", **more: Any) -> Place:
    given = {"url": "git@github.com:acme/desired.git", "branch": "main", "plans": True} | more
    own = given.pop("secrets", (SECRET,))
    return Place(name=name, repository=repository, secrets=lambda: own, **given)


def signature(body: bytes, secret: str = SECRET) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def headers(body: bytes, event: str = "push", secret: str = SECRET, **more: str) -> dict[str, str]:
    return {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature-256": signature(body, secret),
        "Content-Type": "application/json",
    } | more


def webhook(*places: Place) -> Webhook:
    return Webhook(GitHubHooks(), places or (place(),), ManualClock(datetime(2026, 11, 23, tzinfo=UTC)))


def received(payload: Any, *places: Place, event: str = "push") -> Hint | Ignored:
    body = json.dumps(payload).encode()
    return webhook(*places).receive(body, headers(body, event))


# ── what GitHub publishes ────────────────────────────────────────────────────────────────────────────────────────


def test_the_published_vector_of_a_signature_is_taken() -> None:
    """docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation"."""
    said = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    given = {"X-Hub-Signature-256": said, "X-GitHub-Event": "ping"}

    assert "ping: the secret is right" == webhook().receive(b"Hello, World!", given).why  # type: ignore[union-attr]
    assert (401, "the signature is not of a secret that is known here") == refused(b"Hello, World.", given)


@pytest.mark.parametrize("payload", PUBLISHED["push"])
def test_every_published_push_is_a_hint_to_look_there(payload: dict[str, Any]) -> None:
    name = payload["repository"]["full_name"]
    here = place("ours", name.upper(), branch=payload["ref"].removeprefix("refs/heads/"))

    answer = received(payload, here)

    if payload["ref"].startswith("refs/heads/"):
        assert isinstance(answer, Hint)
        assert (("repository:ours", "pulls:ours"), name, payload["ref"]) == (answer.keys, answer.repository, answer.ref)
    else:
        assert isinstance(answer, Ignored)


@pytest.mark.parametrize("payload", PUBLISHED["push"])
def test_every_published_push_is_known_by_its_clone_urls(payload: dict[str, Any]) -> None:
    branch = payload["ref"].removeprefix("refs/heads/")
    repository = payload["repository"]

    for url in (repository["clone_url"], repository["ssh_url"], repository["html_url"]):
        answer = received(payload, place("ours", "", url=url, branch=branch))
        assert isinstance(answer, Hint) == payload["ref"].startswith("refs/heads/")


@pytest.mark.parametrize("payload", PUBLISHED["ping"])
def test_every_published_ping_is_answered(payload: dict[str, Any]) -> None:
    assert "ping: the secret is right" == received(payload, event="ping").why  # type: ignore[union-attr]


def test_a_published_pull_request_is_a_hint_to_look_at_pull_requests() -> None:
    payload = PUBLISHED["others"]["pull_request"]
    name = payload["repository"]["full_name"]

    answer = received(payload, place("ours", name), place("unplanned", name, plans=False), event="pull_request")

    assert ("pulls:ours",) == answer.keys  # type: ignore[union-attr]


def test_where_no_plans_are_wanted_a_pull_request_is_ignored() -> None:
    payload = PUBLISHED["others"]["pull_request"]
    here = place("ours", payload["repository"]["full_name"], plans=False)

    assert "pull requests get no plans here" == received(payload, here, event="pull_request").why  # type: ignore[union-attr]


@pytest.mark.parametrize("event", sorted(set(PUBLISHED["others"]) - {"pull_request"}))
def test_every_other_published_event_is_ignored_politely(event: str) -> None:
    assert f"nothing to do on {event}" == received(PUBLISHED["others"][event], event=event).why  # type: ignore[union-attr]


def test_the_published_examples_are_there() -> None:
    assert (8, 4, 56) == tuple(len(PUBLISHED[kind]) for kind in ("push", "ping", "others"))


# ── trust ────────────────────────────────────────────────────────────────────────────────────────────────────────


def refused(body: bytes, given: Mapping[str, str], *places: Place) -> tuple[int, str]:
    with pytest.raises(Refused) as refusal:
        webhook(*places).receive(body, given)
    return refusal.value.status, str(refusal.value)


@pytest.mark.parametrize(
    "said",
    [
        "", "sha256=", "sha256=" + "0" * 63, "sha256=" + "0" * 65, "SHA256=" + "0" * 64, "sha256=" + "é" * 64,
        "sha1=" + hmac.new(SECRET.encode(), b"{}", "sha1").hexdigest(), signature(b"{}").upper(),
        signature(b"{}") + "\n", signature(b"{}").removeprefix("sha256="),
    ],
)  # fmt: skip
def test_what_is_not_signed_with_sha256_is_refused(said: str) -> None:
    given = headers(b"{}") | {"X-Hub-Signature-256": said}

    assert 401 == refused(b"{}", given)[0]


def test_a_sha1_signature_alone_is_refused() -> None:
    given = headers(b"{}") | {"X-Hub-Signature": "sha1=" + hmac.new(SECRET.encode(), b"{}", "sha1").hexdigest()}
    del given["X-Hub-Signature-256"]

    assert (401, "not signed: set a secret at the webhook, so that it sends X-Hub-Signature-256") == refused(
        b"{}", given
    )


def test_a_body_is_not_read_before_its_signature_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []
    monkeypatch.setattr("adapters.forges.github.webhook.parsed", read.append)
    body = json.dumps(PUSH).encode()

    refused(body, headers(body, secret="wrong"))

    assert [] == read


def test_a_changed_body_is_refused() -> None:
    body = json.dumps(PUSH).encode()

    assert (401, "the signature is not of a secret that is known here") == refused(body + b" ", headers(body))


def test_either_of_two_secrets_signs_while_one_replaces_the_other() -> None:
    body = json.dumps(PUSH).encode()
    here = place(secrets=("new", "old"))

    for secret in ("new", "old"):
        assert isinstance(webhook(here).receive(body, headers(body, secret=secret)), Hint)


def test_the_secret_of_one_repository_does_not_speak_for_another() -> None:
    other = place("other", "acme/other", secrets=("theirs",))
    body = json.dumps(PUSH).encode()

    answer = webhook(place(), other).receive(body, headers(body, secret="theirs"))

    assert Ignored(why="a repository that is not in the settings with this secret", delivery=answer.delivery) == answer


def test_two_fleets_of_files_in_one_repository_are_both_named() -> None:
    answer = received(PUSH, place("one", plans=False), place("two", plans=False), place("three", branch="next"))

    assert ("repository:one", "repository:two") == answer.keys  # type: ignore[union-attr]


@pytest.mark.parametrize("secrets", [(), ("",), ("", "")])
def test_where_no_secret_can_be_read_nothing_is_believed_and_the_sender_may_try_again(secrets: tuple[str, ...]) -> None:
    body = json.dumps(PUSH).encode()

    assert (503, "no webhook secret can be read now: see forge.webhook_secrets") == refused(
        body, headers(body, secret=""), place(secrets=secrets)
    )


def test_an_empty_secret_signs_nothing() -> None:
    body = json.dumps(PUSH).encode()

    assert 401 == refused(body, headers(body, secret=""), place(secrets=("x", "")))[0]


def test_no_secret_is_shown() -> None:
    assert "CANARY" not in repr(place(secrets=("CANARY",)))
    assert "CANARY" not in str(refused(b"CANARY", headers(b"x"), place(secrets=("CANARY",))))


# ── replay ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_repeat_is_ignored_for_a_while_whatever_id_it_carries() -> None:
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    hook = Webhook(GitHubHooks(), [place()], clock)
    body = json.dumps(PUSH).encode()
    assert isinstance(hook.receive(body, headers(body)), Hint)

    again = hook.receive(body, headers(body) | {"X-GitHub-Delivery": "another"})
    assert Ignored(why="seen a moment ago", delivery="another") == again
    clock.advance(timedelta(minutes=5))

    assert isinstance(hook.receive(body, headers(body)), Hint)


def test_what_is_remembered_is_bounded() -> None:
    hook = webhook()
    for number in range(1100):
        body = json.dumps(PUSH | {"after": number}).encode()
        hook.receive(body, headers(body))

    assert 1000 == len(hook._replays)


def test_what_is_not_signed_is_not_remembered() -> None:
    hook = webhook()
    body = json.dumps(PUSH).encode()
    with pytest.raises(Refused):
        hook.receive(body, headers(body, secret="wrong"))

    assert isinstance(hook.receive(body, headers(body)), Hint)


# ── shapes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_form_is_understood_and_signed_as_it_came() -> None:
    body = urlencode({"payload": json.dumps(PUSH)}).encode()
    given = headers(body) | {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}

    assert isinstance(webhook().receive(body, given), Hint)


def test_header_names_are_read_in_any_case() -> None:
    body = json.dumps(PUSH).encode()

    assert isinstance(webhook().receive(body, {name.upper(): value for name, value in headers(body).items()}), Hint)


def test_another_branch_and_a_tag_are_ignored() -> None:
    for ref in ("refs/heads/topic", "refs/tags/main", "refs/heads/main/more"):
        assert "another branch than the one that is watched" == received(PUSH | {"ref": ref}).why  # type: ignore[union-attr]


def test_what_is_too_large_is_refused_before_anything_else() -> None:
    assert (413, "over 1 MiB: the next poll sees what it tells of") == refused(b"x" * (LARGEST + 1), {})


@pytest.mark.parametrize("kind", ["", "text/plain", "application/xml", "multipart/form-data; boundary=x"])
def test_another_content_type_is_refused(kind: str) -> None:
    body = json.dumps(PUSH).encode()

    assert 415 == refused(body, headers(body) | {"Content-Type": kind})[0]


HOSTILE = [
    b"", b"null", b"[]", b"3", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000, b"{}",
    b'{"ref": null, "repository": {}}', b'{"ref": "refs/heads/main"}',
    b'{"ref": ["refs/heads/main"], "repository": []}',
    b'{"ref": "refs/heads/main", "repository": "acme/desired"}', b'{"ref": "refs/heads/a\\u0000b", "repository": {}}',
    b'{"ref": "refs/heads/main", "repository": {"full_name": {"x": 1}}}',
    b'{"ref": "refs/heads/main", "repository": {"full_name": "a/../../b"}}',
    b'{"ref": "refs/heads/\\ud800", "repository": {"full_name": "acme/desired"}}',
    json.dumps(PUSH | {"ref": "refs/heads/" + "x" * 10_000}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_a_signed_body_that_makes_no_sense_is_refused_in_a_sentence(body: bytes, kind: str) -> None:
    status, sentence = refused(body, headers(body) | {"Content-Type": kind})

    assert (400, True) == (
        status,
        sentence.startswith(("the body is no JSON", "a push without a", "a webhook without a")),
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
names = st.sampled_from(["ref", "repository", "full_name", "clone_url", "ssh_url", "html_url", "deleted", "after"])
pushes = st.dictionaries(names, values | st.dictionaries(names, values | st.text("a/.:@", max_size=20)))


def outcome(call: Callable[[], Any]) -> Any:
    """What it gives, or the status that it refuses with."""
    try:
        return call()
    except Refused as refusal:
        return refusal.status


@settings(max_examples=50, deadline=None)
@given(payload=pushes, address_too=st.booleans())
def test_nothing_but_its_own_refusal_comes_out_of_any_payload(payload: dict[str, Any], address_too: bool) -> None:
    whole = PUSH | payload if address_too else payload
    body = json.dumps(whole).encode()
    hook = webhook(place(repository="" if address_too else "acme/desired"))

    answer = outcome(lambda: hook.receive(body, headers(body)))

    assert answer == 400 or isinstance(answer, Hint | Ignored)


@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=200), given=st.dictionaries(st.sampled_from(list(headers(b""))), st.text(max_size=80)))
def test_nothing_but_its_own_refusal_comes_out_of_any_request(body: bytes, given: dict[str, str]) -> None:
    with pytest.raises(Refused):
        webhook().receive(body, given)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/acme/desired", "https://github.com/Acme/Desired.git", "https://me:pw@github.com/acme/desired/",
        "git@github.com:acme/desired.git", "ssh://git@github.com/acme/desired.git", "git://github.com/acme/desired.git",
        "ssh://git@github.com:22/acme/desired", "https://github.com:443/acme/desired",
    ],
)  # fmt: skip
def test_a_repository_is_one_however_its_url_is_spelt(url: str) -> None:
    assert "github.com/acme/desired" == address(url)


def test_an_event_without_a_known_name_is_ignored_without_repeating_it() -> None:
    assert "nothing to do on an event without a name" == received(PUSH, event="<script>").why  # type: ignore[union-attr]
