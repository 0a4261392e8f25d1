"""Which keys an order may be signed with: as the settings, files, the environment and Secrets Manager say now."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters.agent_protocol.signing import new_key
from fairlead_agent.cloud import Cloud
from fairlead_agent.keyring import ASKED_EVERY, Keyring
from fairlead_sandbox.aws import Aws

OLD, NEW = (new_key(name)[0].public for name in ("2026-11", "2027-05"))


@pytest.fixture
def ring(clock: Any, said: Any) -> Any:
    def make(keys: Mapping[str, str] | str) -> Keyring:
        return Keyring(keys, Cloud("us-east-1"), clock, said)

    return make


def whys(said: Any) -> list[str]:
    return [facts["why"] for event, facts in said if event == "key-unusable"]


def test_two_keys_are_valid_at_once(ring: Any) -> None:
    assert {"2026-11": OLD, "2027-05": NEW} == ring({"2026-11": OLD, "2027-05": NEW})()


def test_a_file_is_read_again_at_every_look(ring: Any, tmp_path: Path, said: Any) -> None:
    file = tmp_path / "2026-11.pub"
    file.write_text(f"{OLD}\n")
    keys = ring({"2026-11": f"file:{file}", "2027-05": NEW})
    assert {"2026-11": OLD, "2027-05": NEW} == keys()

    file.write_text(NEW)
    assert NEW == keys()["2026-11"]

    file.unlink()
    assert {"2027-05": NEW} == keys() == keys()
    assert [f"file:{file} cannot be read: No such file or directory"] == whys(said)


def test_one_file_of_all_keys_adds_and_takes_away(ring: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    keys = ring(f"file:{file}")
    assert {} == keys()

    file.write_text(f'"2026-11": {OLD}\n')
    assert {"2026-11": OLD} == keys()
    file.write_text(f'"2026-11": {OLD}\n"2027-05": {NEW}\n')
    assert {"2026-11": OLD, "2027-05": NEW} == keys()
    file.write_text(f'"2027-05": {NEW}\n')
    assert {"2027-05": NEW} == keys()


def test_the_environment(ring: Any, monkeypatch: pytest.MonkeyPatch, said: Any) -> None:
    monkeypatch.setenv("FAIRLEAD_TEST_KEY", OLD)

    assert {"a": OLD} == ring({"a": "env:FAIRLEAD_TEST_KEY", "b": "env:FAIRLEAD_TEST_NO_KEY"})()
    assert ["env:FAIRLEAD_TEST_NO_KEY is not there"] == whys(said)


@pytest.mark.parametrize("content", ["- a", "just words", "{", "", "a: {b: c}", "a: c2hvcnQ="])
def test_a_file_that_is_no_map_of_keys_gives_none_and_says_so(
    ring: Any, tmp_path: Path, said: Any, content: str
) -> None:
    (tmp_path / "keys").write_text(content)

    assert {} == ring(f"file:{tmp_path / 'keys'}")()
    assert 1 == len(whys(said))


@pytest.fixture
def store(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    return aws.client("secretsmanager")


def test_secrets_manager_is_asked_every_few_minutes(ring: Any, store: Any, aws: Aws, clock: Any) -> None:
    store.create_secret(Name="prod/keys", SecretString=json.dumps({"2026-11": OLD}))
    keys = ring("aws-sm:prod/keys")
    assert {"2026-11": OLD} == keys() == keys()
    assert 1 == aws.calls["secretsmanager:GetSecretValue"]

    store.put_secret_value(SecretId="prod/keys", SecretString=json.dumps({"2027-05": NEW}))
    clock.advance(1.3 * ASKED_EVERY)

    assert {"2027-05": NEW} == keys()


def test_one_key_of_a_secret(ring: Any, store: Any) -> None:
    store.create_secret(Name="prod/keys", SecretString=json.dumps({"current": OLD}))

    assert {"k": OLD} == ring({"k": "aws-sm:prod/keys#current"})()


def test_a_secret_that_was_deleted_is_trusted_no_more(ring: Any, store: Any, clock: Any, said: Any) -> None:
    store.create_secret(Name="prod/keys", SecretString=json.dumps({"2026-11": OLD}))
    keys = ring("aws-sm:prod/keys")
    keys()
    store.delete_secret(SecretId="prod/keys", ForceDeleteWithoutRecovery=True)
    clock.advance(1.3 * ASKED_EVERY)

    assert {} == keys()
    assert "there is no secret prod/keys" in whys(said)[0]


def test_while_secrets_manager_does_not_answer_its_last_word_counts(
    ring: Any, store: Any, aws: Aws, clock: Any
) -> None:
    store.create_secret(Name="prod/keys", SecretString=json.dumps({"2026-11": OLD}))
    keys = ring("aws-sm:prod/keys")
    keys()
    aws.stop()
    for days in (0, 365):
        clock.advance(86400 * days + 1.3 * ASKED_EVERY)
        assert {"2026-11": OLD} == keys()


def test_a_source_that_cannot_be_read_is_told_apart_from_a_key_that_nobody_trusts(ring: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    keys = ring(f"file:{file}")
    for content, is_read in ((f"a: {OLD}", True), ("", False), ("a:", False), (f"a: {NEW}", True)):
        file.write_text(content)
        keys()
        assert is_read == (keys.trouble == "")
    file.unlink()
    keys()

    assert f"file:{file} cannot be read: No such file or directory" == keys.trouble


def test_a_first_read_that_fails_is_made_again_at_the_next_look(ring: Any, store: Any, aws: Aws) -> None:
    store.create_secret(Name="prod/keys", SecretString=json.dumps({"2026-11": OLD}))
    keys = ring("aws-sm:prod/keys")
    aws.go_away()
    assert ({}, True) == (keys(), bool(keys.trouble))
    aws.come_back()

    assert ({"2026-11": OLD}, "") == (keys(), keys.trouble)
