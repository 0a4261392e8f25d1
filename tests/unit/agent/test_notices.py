"""What the metadata service says of the instance, as it is read."""

from collections.abc import Iterator
from typing import Any

import pytest

from fairlead_agent.metadata import Metadata, Silent
from fairlead_agent.notices import Notice, read_notice
from fairlead_sandbox.imds import MetadataService

HOST = "i-0123456789abcdef0"
SPOT = '{"action": "terminate", "time": "2026-11-26T08:22:00Z"}'
TARGET = "autoscaling/target-lifecycle-state"


@pytest.fixture
def service(aws: Any, clock: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataService]:
    with MetadataService(aws, clock) as made:
        made.add(HOST, "eu-west-1", "eu-west-1a")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", made.endpoint(HOST))
        yield made


@pytest.mark.parametrize(
    ("said", "notice"),
    [
        ({}, Notice()),
        (
            {"spot/instance-action": SPOT},
            Notice(leaving="a spot notice: AWS is to terminate it at 2026-11-26T08:22:00Z"),
        ),
        ({"spot/instance-action": "{"}, Notice(leaving="a spot notice: AWS is to end it at any moment")),
        ({TARGET: "InService"}, Notice(target="InService")),
        ({TARGET: "Standby"}, Notice(target="Standby")),
        ({TARGET: "Detached"}, Notice(target="Detached")),
        ({TARGET: "Terminated"}, Notice(target="Terminated", leaving="its Auto Scaling group ends it")),
        (
            {"events/recommendations/rebalance": '{"noticeTime": "2026-11-26T08:22:00Z"}'},
            Notice(advice="AWS recommends since 2026-11-26T08:22:00Z to replace it: it may get a spot notice"),
        ),
    ],
    ids=str,
)
def test_what_the_metadata_service_says(service: MetadataService, said: dict[str, str], notice: Notice) -> None:
    for path, body in said.items():
        service.put_notice(HOST, path, body)

    assert notice == read_notice(Metadata())


def test_a_token_that_ended_is_asked_for_again(service: MetadataService) -> None:
    metadata = Metadata()
    assert HOST == metadata.get("latest/meta-data/instance-id")
    service._instances[HOST].tokens.clear()

    assert HOST == metadata.get("latest/meta-data/instance-id")


def test_nobody_there_is_no_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")

    with pytest.raises(Silent, match="latest/api/token: "):
        read_notice(Metadata())
