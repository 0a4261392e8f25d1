"""AWS clients, and the log: what they survive."""

import io
import os
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from adapters.agent_protocol.reports import Blame
from fairlead_agent.cloud import Cloud, reaching
from fairlead_agent.commands import run
from fairlead_agent.installation import Installation, Means
from fairlead_agent.log import Lines
from fairlead_agent.trouble import Trouble
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.imds import MetadataService

INSTANCE = "i-0123456789abcdef0"


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials anywhere."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "1")


def test_credentials_that_come_late_are_used(
    nobody: None, aws: Aws, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At boot the metadata service may answer later than the agent asks: a client made before would never have any."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
    cloud = Cloud("us-east-1")
    with pytest.raises(NoCredentialsError):
        cloud.client("sqs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASANDBOXSANDBOX00")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sandbox")

    assert cloud.client("sqs") is cloud.client("sqs")
    assert [] == cloud.client("sqs").list_queues().get("QueueUrls", [])


def test_credentials_are_those_of_the_instance(
    nobody: None, aws: Aws, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint_url)
    with MetadataService(aws, clock) as service:
        service.add(INSTANCE, "us-east-1", "us-east-1a")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.endpoint(INSTANCE))
        found = Cloud("us-east-1").client("sqs").list_queues()

    assert [] == found.get("QueueUrls", [])


def test_an_artifact_that_nobody_may_ask_for_is_the_road(nobody: None, host: Any, tmp_path: Path) -> None:
    release = host.release(host.file("1.0"))
    cloud = Cloud("us-east-1")
    means = Means(s3=lambda: cloud.client("s3"), secrets=lambda: cloud.client("secretsmanager"), run=run)
    stop = Event()
    installation = Installation(tmp_path / "srv", means)

    with pytest.raises(Trouble, match="NoCredentialsError") as told:
        installation.stage(release, stop)

    assert Blame.TRANSIENT == told.value.blame


@pytest.mark.parametrize(
    ("code", "blame"),
    [
        ("AccessDenied", Blame.REFUSED),
        ("AccessDeniedException", Blame.REFUSED),
        ("UnauthorizedOperation", Blame.REFUSED),
        ("Throttling", Blame.TRANSIENT),
        ("500", Blame.TRANSIENT),
        ("ExpiredToken", Blame.TRANSIENT),
    ],
)
def test_whose_fault_an_answer_is(code: str, blame: Blame) -> None:
    with pytest.raises(Trouble) as told, reaching("enter the group"):
        raise ClientError({"Error": {"Code": code, "Message": "x\n" * 900}}, "RegisterTargets")

    assert blame == told.value.blame
    assert told.value.message.startswith("cannot enter the group: ")
    assert "\n" not in told.value.message
    assert len(told.value.message) < 600


# The log


def test_a_line_an_event(clock: Any) -> None:
    out = io.StringIO()
    Lines(clock, out)("staging", fleet="prod/lobby", version="2.3.1", why='a "b"\nc', empty="", odd="größe \ud800")

    (line,) = out.getvalue().splitlines()
    said = 'staging fleet=prod/lobby version=2.3.1 why="a \\"b\\"\\nc" empty="" odd="gr\\u00f6\\u00dfe \\ud800"'
    assert f"2026-11-24T07:00:00.000Z {said}" == line


def test_an_output_that_takes_no_more_or_not_everything_ends_nothing(clock: Any) -> None:
    closed = io.StringIO()
    closed.close()
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    Lines(clock, closed)("staging")
    Lines(clock, narrow)("staging", version="größe")

    narrow.seek(0)
    assert "gr\\u00f6\\u00dfe" in narrow.read()
