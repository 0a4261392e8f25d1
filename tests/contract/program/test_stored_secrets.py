"""The controller's own secrets: from a file, the environment, and AWS Secrets Manager as moto plays it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead import wiring
from fairlead.settings import SecretReference, SettingsError, load
from fairlead_sandbox.aws import Aws


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def store(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    return aws.client("secretsmanager")


@pytest.mark.parametrize("kind", ["file", "env", "aws-sm", "aws-sm by its ARN", "aws-sm in JSON"])
def test_the_key_that_orders_are_signed_with(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    public, private = wiring.new_keys("2026-11")
    name = f"fairlead/{kind.replace(' ', '-')}"
    (tmp_path / "2026-11.key").write_text(f"{private}\n")
    monkeypatch.setenv("FAIRLEAD_TEST_KEY", private)
    arn = store.create_secret(Name=name, SecretString=f"{private}\n")["ARN"]
    store.create_secret(Name=f"{name}/json", SecretString=json.dumps({"key": private}))
    reference = {
        "file": f"file:{tmp_path / '2026-11.key'}",
        "env": "env:FAIRLEAD_TEST_KEY",
        "aws-sm": f"aws-sm:{name}",
        "aws-sm by its ARN": f"aws-sm:{arn}",
        "aws-sm in JSON": f"aws-sm:{name}/json#key",
    }[kind]
    config = tmp_path / "fairlead.toml"
    config.write_text(f'[signing]\nkey_id = "2026-11"\nkey = "{reference}"\n')

    key = wiring.signing(load(config))

    assert key is not None
    assert ("2026-11", public) == (key.key_id, key.public)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "cannot read the secret nowhere: AWS answered ResourceNotFoundException"),
        ("words#key", "the secret words is no JSON object with a text under key"),
        ("object#other", "the secret object is no JSON object with a text under other"),
        ("bytes", "the secret bytes is binary; store a text"),
    ],
)
def test_what_is_wrong_is_said_and_the_secret_is_not(store: Any, name: str, said: str) -> None:
    for secret, text in (("words", "hush-hush"), ("object", json.dumps({"key": "hush-hush"}))):
        if not store.list_secrets(Filters=[{"Key": "name", "Values": [secret]}])["SecretList"]:
            store.create_secret(Name=secret, SecretString=text)
    if not store.list_secrets(Filters=[{"Key": "name", "Values": ["bytes"]}])["SecretList"]:
        store.create_secret(Name="bytes", SecretBinary=b"hush-hush")

    with pytest.raises(SettingsError) as refused:
        SecretReference(f"aws-sm:{name}").reveal()

    assert said in str(refused.value)
    assert "hush" not in str(refused.value)
