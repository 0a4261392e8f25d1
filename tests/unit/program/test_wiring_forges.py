"""Forges out of settings: what works is made, what could never work is one sentence at the start."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.forges.git_notes import GitNotes
from adapters.forges.hosted import HostedForge
from fairlead import wiring
from fairlead.commands.setup import needs
from fairlead.settings import Settings, SettingsError

TOKEN = {"mode": "token", "token": "env:CANARY_TOKEN"}
ONE_LINE = "it must be one line of ASCII letters, digits and signs"
APP = {"mode": "app", "app_id": "12345", "installation_id": "678", "private_key": "env:CANARY_KEY"}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    values = {
        "CANARY_TOKEN": "ghp_CANARYCANARY",
        "CANARY_KEY": key.decode(),
        "CANARY_NO_KEY": "-----BEGIN RSA PRIVATE KEY-----\nCANARYCANARY\n-----END RSA PRIVATE KEY-----",
        "CANARY_TWO_LINES": "CANARY\nCANARY",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def settings(state: Path, *forges: dict[str, Any]) -> Settings:
    repositories = [
        {"name": f"r{number}", "url": f"https://github.com/acme/r{number}.git", "forge": forge}
        for number, forge in enumerate(forges)
    ]
    return Settings(state=state, repositories=repositories)  # type: ignore[arg-type]


def github(**changes: Any) -> dict[str, Any]:
    return {"type": "github", "repository": "acme/desired", "auth": TOKEN} | changes


def gitlab(**changes: Any) -> dict[str, Any]:
    return {"type": "gitlab", "repository": "acme/platform/desired", "auth": TOKEN} | changes


def gitea(**changes: Any) -> dict[str, Any]:
    return {
        "type": "gitea",
        "repository": "acme/desired",
        "api": "https://git.example.com/api/v1",
        "auth": TOKEN,
    } | changes


def test_each_repository_gets_the_forge_that_its_settings_name(tmp_path: Path) -> None:
    enterprise = github(api="https://ghe.example.com/api/v3", auth=APP)
    parts = wiring.assemble(settings(tmp_path, {}, github(), enterprise, gitlab(), gitea()))
    parts.close()

    hosted = {name: each.dialect.title for name, each in parts.forges.items() if isinstance(each, HostedForge)}
    assert isinstance(parts.forges["r0"], GitNotes)
    assert {"r1": "GitHub", "r2": "GitHub", "r3": "GitLab", "r4": "Gitea"} == hosted


@pytest.mark.parametrize(
    ("forge", "address"),
    [
        (github(), "https://api.github.com"),
        (gitlab(), "https://gitlab.com/api/v4"),
        (gitlab(api="https://git.example.com/api/v4"), "https://git.example.com/api/v4"),
        (gitea(), "https://git.example.com/api/v1"),
    ],
)
def test_an_api_that_is_left_out_is_that_of_the_forge_s_own_site(
    forge: dict[str, Any], address: str, tmp_path: Path
) -> None:
    assert address == settings(tmp_path, forge).repositories[0].forge.address


@pytest.mark.parametrize(
    ("forge", "sentence"),
    [
        (github(repository=""), "forge.repository is needed: write owner/name"),
        (github(repository="https://github.com/a/b"), "forge.repository is needed: write owner/name"),
        (
            github(api="http://ghe.example.com/api/v3"),
            "forge.api is http, where the token would travel in clear: write https",
        ),
        (github(api="ghe.example.com"), "forge.api is no address: write https://api.github.com or https://HOST/api/v3"),
        (
            github(auth={}),
            "forge.auth: token is needed with mode token: write a reference, env:NAME or file:/path",
        ),
        (
            github(auth={"token": "env:NOT_THERE"}),
            "forge.auth: the secret env:NOT_THERE is not there: set that variable, or write that file",
        ),
        (
            github(auth={"token": "env:CANARY_TWO_LINES"}),
            f"forge.auth: the secret env:CANARY_TWO_LINES is no token: {ONE_LINE}",
        ),
        (
            github(auth=APP | {"private_key": None}),
            "forge.auth: private_key is needed with mode app: write a reference, env:NAME or file:/path",
        ),
        (
            github(auth=APP | {"app_id": ""}),
            "forge.auth: app_id is needed with mode app: write the number that GitHub shows",
        ),
        (
            github(auth=APP | {"installation_id": "../1"}),
            "forge.auth: installation_id is a number: it ends the address of the installation's page",
        ),
        (gitlab(repository="desired"), "forge.repository is needed: write group/project, or group/subgroup/project"),
        (
            gitlab(repository="acme/../desired"),
            "forge.repository is needed: write group/project, or group/subgroup/project",
        ),
        (gitlab(auth=APP), 'forge.auth: mode app is for GitHub alone: write mode = "token"'),
        (gitea(api=""), "forge.api is no address: write https://HOST/api/v1"),
        (gitea(repository="acme/team/desired"), "forge.repository is needed: write owner/name"),
        (
            github(auth=APP | {"private_key": "env:CANARY_NO_KEY"}),
            "forge.auth: the App's private key is no RSA key in PEM: use the file that GitHub gave",
        ),
    ],
)
def test_a_forge_that_could_never_work_is_one_sentence_at_the_start(
    tmp_path: Path, forge: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        wiring.assemble(settings(tmp_path, forge))

    assert f"repository r0: {sentence}" == str(refused.value)
    assert refused.value.__cause__ is None
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize(
    ("forge", "wanted"),
    [
        (github(), ["Commit statuses: read and write", "Contents: read, Commit statuses: read and write, in acme/*"]),
        (
            gitlab(),
            ["scope api, role Developer, or Maintainer where the branch is protected", "role Developer in acme/*"],
        ),
        (gitea(), ["scope write:repository, of a user with write access", "write access to acme/*"]),
    ],
)
def test_setup_says_what_each_forge_s_token_needs(forge: dict[str, Any], wanted: list[str], tmp_path: Path) -> None:
    found = settings(tmp_path, forge | {"sources": ["acme/*"], "deployments": True})

    (said,) = needs(found, [], "arn:aws:iam::1:role/x", {})["repositories"]

    assert (forge["type"], forge["repository"]) == (said["forge"], said["repository"])
    assert [] == [each for each in wanted if f"{each} (`forge.auth`)" not in said["permissions"]]
    assert (forge["type"] != "gitea") is any("eploy" in each.replace("Developer", "") for each in said["permissions"])
