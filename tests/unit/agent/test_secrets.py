"""Secrets, read from a real Secrets Manager API: both ways to name a version, and nothing that leaks."""

import json
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from adapters.agent_protocol.reports import Blame
from fairlead_agent.secrets import Secrets
from fairlead_agent.trouble import Trouble
from fairlead_sandbox.aws import Aws

PASSWORD = "hunter2-hunter2"
NAME = "prod/mm/db"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with Aws() as aws:
        yield aws.client("secretsmanager", "us-east-1")


@pytest.fixture(scope="module")
def versions(client: Any) -> Mapping[str, str]:
    """Version ids by label: an old version, the current one, and one with a label of 40 characters."""
    first = client.create_secret(Name=NAME, SecretString=json.dumps({"password": "first", "port": 5432}))["VersionId"]
    said = json.dumps({"password": PASSWORD, "port": 5433, "nested": {"a": ["b"]}})
    second = client.put_secret_value(SecretId=NAME, SecretString=said)["VersionId"]
    client.update_secret_version_stage(SecretId=NAME, VersionStage="7", MoveToVersionId=first)
    long = "a-label-of-forty-characters-in-all-12345"
    client.update_secret_version_stage(SecretId=NAME, VersionStage=long, MoveToVersionId=first)
    client.create_secret(Name="plain", SecretString=PASSWORD)
    client.create_secret(Name="binary", SecretBinary=b"\x00\x01")
    return {"first": first, "second": second, "long": long}


def secret(reference: str, version: str | None = None) -> dict[str, str]:
    return {"$secret": reference} | ({"version": version} if version is not None else {})


def test_a_version_is_named_by_its_id_or_by_a_label(client: Any, versions: Mapping[str, str]) -> None:
    read = Secrets(lambda: client).resolved

    assert PASSWORD == read(secret(f"aws-sm:{NAME}#password"))
    assert PASSWORD == read(secret(f"aws-sm:{NAME}#password", "AWSCURRENT"))
    assert PASSWORD == read(secret(f"aws-sm:{NAME}#password", versions["second"]))
    for named in ("7", versions["first"], versions["long"]):
        assert "first" == read(secret(f"aws-sm:{NAME}#password", named))


def test_the_whole_text_or_any_value_of_its_json(client: Any, versions: Mapping[str, str]) -> None:
    values = {
        "db": {"port": secret(f"aws-sm:{NAME}#port"), "nested": [secret(f"aws-sm:{NAME}#nested"), 1]},
        "plain": secret("aws-sm:plain"),
        "other": [None, True, 1.5, "text"],
    }

    found = Secrets(lambda: client).resolved(values)

    assert {
        "db": {"port": 5433, "nested": [{"a": ["b"]}, 1]},
        "plain": PASSWORD,
        "other": [None, True, 1.5, "text"],
    } == found


@pytest.mark.parametrize(
    ("reference", "version", "sentence"),
    [
        ("aws-ssm:prod/mm", None, "in a store that the agent does not read; write aws-sm:"),
        ("prod/mm", None, "in a store that the agent does not read"),
        (f"aws-sm:{NAME}#password", "8", f"no secret {NAME} with a version or label 8 "),
        (f"aws-sm:{NAME}", "0" * 36, "no secret"),
        ("aws-sm:nothing-such", None, "no secret nothing-such"),
        (f"aws-sm:{NAME}#user", None, f"{NAME} is no JSON object with the key user"),
        ("aws-sm:plain#password", None, "plain is no JSON object with the key password"),
        ("aws-sm:binary", None, "is binary"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name_and_tells_no_secret(
    client: Any, versions: Mapping[str, str], reference: str, version: str | None, sentence: str
) -> None:
    with pytest.raises(Trouble) as caught:
        Secrets(lambda: client).resolved({"a": secret(reference, version)})

    assert sentence in caught.value.message
    assert Blame.REFUSED == caught.value.blame
    assert PASSWORD not in "".join(traceback.format_exception(caught.value, chain=True))
    error: BaseException | None = caught.value
    while error is not None:  # whatever hangs on it, said or not
        assert PASSWORD not in repr(vars(error)) + repr(error.args) + str(getattr(error, "doc", ""))
        error = error.__context__


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetSecretValue"), Blame.REFUSED),
        (ClientError({"Error": {"Code": "DecryptionFailure"}}, "GetSecretValue"), Blame.REFUSED),
        (ClientError({"Error": {"Code": "ThrottlingException"}}, "GetSecretValue"), Blame.TRANSIENT),
        (ClientError({"Error": {"Code": "InternalServiceError"}}, "GetSecretValue"), Blame.TRANSIENT),
        (EndpointConnectionError(endpoint_url="https://secretsmanager.example.com"), Blame.TRANSIENT),
    ],
)
def test_denied_is_refused_and_not_reached_is_the_roads(error: Exception, blame: Blame) -> None:
    class Failing:
        def get_secret_value(self, **asked: str) -> None:
            raise error

    with pytest.raises(Trouble, match=f"cannot read the secret {NAME}") as caught:
        Secrets(Failing).resolved(secret(f"aws-sm:{NAME}"))

    assert blame == caught.value.blame


def test_without_a_secret_nobody_is_asked() -> None:
    values = {"a": [1, {"b": None}], "c": "$secret"}

    assert values == Secrets(lambda: pytest.fail("asked")).resolved(values)


def test_two_keys_of_one_version_are_one_call() -> None:
    calls = []

    class Counting:
        def get_secret_value(self, **asked: str) -> dict[str, str]:
            calls.append(asked)
            return {"SecretString": '{"a": "1", "b": "2"}'}

    found = Secrets(Counting).resolved([secret("aws-sm:x#a", "7"), secret("aws-sm:x#b", "7")])

    assert (["1", "2"], [{"SecretId": "x", "VersionStage": "7"}]) == (found, calls)
