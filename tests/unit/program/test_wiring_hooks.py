"""Webhooks out of settings: which repositories speak where, and secrets that change while the controller runs."""

import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.clock import ManualClock, SystemClock
from adapters.forges.hooks import Hint, Refused, Webhook
from fairlead.http.pushes import Refusal
from fairlead.settings import ForgeSettings, RepositorySettings, Settings, SettingsError
from fairlead.wiring import storing
from fairlead.wiring.hooks import STORED_FOR, hooks, webhooks

BODY = json.dumps({"ref": "refs/heads/main", "repository": {"full_name": "acme/desired"}}).encode()


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOOK": "CANARYCANARY", "EMPTY": "", "SIGNING": "whsec_CANARY"}.items():
        monkeypatch.setenv(name, value)


def repository(kind: str, *references: str, name: str = "main") -> RepositorySettings:
    forge = ForgeSettings(repository="acme/desired", webhook_secrets=references)
    return RepositorySettings(name=name, url="https://git.example.com/x", forge=forge.model_copy(update={"type": kind}))


def made(*repositories: RepositorySettings, clock: Any = None) -> dict[str, Webhook]:
    return dict(webhooks(Settings(repositories=repositories), clock or SystemClock()))


def signed_with(secret: str, body: bytes = BODY) -> dict[str, str]:
    said = hmac.new(secret.encode(), body, "sha256").hexdigest()
    return {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={said}", "Content-Type": "application/json"}


def is_taken(receive: Callable[..., Any], secret: str) -> bool:
    try:
        receive(BODY, signed_with(secret))
    except Refused as refused:
        return refused.status != 401
    return True


def wait_until(is_so: Callable[[], bool]) -> None:
    patience = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < patience


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea"])
def test_a_repository_speaks_at_its_own_forge_s_route(kind: str) -> None:
    assert [kind] == list(made(repository(kind, "env:HOOK"), repository("github", name="other")))


def test_what_is_told_by_git_notes_may_be_hosted_anywhere() -> None:
    assert ["github", "gitlab", "gitea"] == list(made(repository("git_notes", "env:HOOK")))


def test_without_secrets_there_is_no_webhook() -> None:
    assert {} == made(repository("github"), repository("git_notes", name="other"))


def test_plans_are_hinted_only_where_a_forge_has_pull_requests() -> None:
    found = made(repository("github", "env:HOOK"), repository("git_notes", "env:HOOK", name="noted"))

    answer = found["github"].receive(BODY, signed_with("CANARYCANARY"))

    assert isinstance(answer, Hint)
    assert ("repository:main", "pulls:main", "repository:noted") == answer.keys


@pytest.mark.parametrize(
    ("kind", "reference", "sentence"),
    [
        ("github", "env:EMPTY", "repository main: a webhook needs a secret that is not empty"),
        ("github", "env:NOT_THERE", "the secret env:NOT_THERE is not there: set that variable, or write that file"),
        (
            "gitlab",
            "env:SIGNING",
            "repository main: forge.webhook_secrets: a signing token is whsec_ and base64, as GitLab shows it once",
        ),
    ],
)
def test_a_secret_that_could_never_work_is_one_sentence_at_the_start(kind: str, reference: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        made(repository(kind, "env:HOOK", reference))

    assert sentence == str(refused.value)
    assert "CANARY" not in sentence


def test_a_secret_in_a_file_is_read_for_each_webhook(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old\n")
    hook = made(repository("github", f"file:{file}"))["github"]
    assert (True, False) == (is_taken(hook.receive, "old"), is_taken(hook.receive, "new"))

    file.write_text("new\n")

    assert (False, True) == (is_taken(hook.receive, "old"), is_taken(hook.receive, "new"))


def test_a_secret_that_cannot_be_read_signs_nothing_and_the_others_do(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("mine")
    hook = made(repository("github", f"file:{file}", "env:HOOK"))["github"]

    for broken in (file.unlink, lambda: file.write_text(""), lambda: file.write_bytes(b"\xff")):
        broken()
        assert not is_taken(hook.receive, "")
        assert not is_taken(hook.receive, "mine")
        assert is_taken(hook.receive, "CANARYCANARY")


def test_where_no_secret_can_be_read_the_sender_may_try_again(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("mine")
    hook = hooks(Settings(repositories=(repository("github", f"file:{file}"),)), SystemClock())["github"]
    file.unlink()

    with pytest.raises(Refusal) as refused:
        hook.receive(BODY, signed_with("mine"))

    assert (503, "no webhook secret can be read now: see forge.webhook_secrets") == (
        refused.value.status,
        str(refused.value),
    )


def test_a_stored_secret_is_looked_up_again_beside_the_webhooks(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, asked = {"hook": "old"}, list[str]()

    def stored(reference: str) -> str:
        asked.append(reference)
        if reference not in kept:
            raise SettingsError("the secret hook cannot be read")
        return kept[reference]

    monkeypatch.setattr(storing, "stored", stored)
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    hook = made(repository("github", "aws-sm:hook"), clock=clock)["github"]
    assert is_taken(hook.receive, "old")
    count = len(asked)
    kept["hook"] = "new"
    assert not is_taken(hook.receive, "new")
    assert count == len(asked)

    clock.advance(timedelta(seconds=STORED_FOR))
    wait_until(lambda: is_taken(hook.receive, "new"))
    assert not is_taken(hook.receive, "old")

    del kept["hook"]
    clock.advance(timedelta(seconds=STORED_FOR))
    count = len(asked)
    assert is_taken(hook.receive, "new")
    wait_until(lambda: len(asked) > count)
    assert is_taken(hook.receive, "new")
