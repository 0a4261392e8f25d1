"""Addresses of topics and target groups, and which checksums of S3 are over an object's bytes."""

import base64
import hashlib
from typing import Any

import pytest

from adapters.aws.checksums import Checksums
from adapters.aws.targets import region_of_group
from adapters.aws.topics import topic_arn

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/mm/6d0ecf831eec9f09"
TOLD = base64.b64encode(hashlib.sha256(b"jar").digest()).decode()


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_the_partition_of_a_topic_is_its_regions(region: str, partition: str) -> None:
    assert topic_arn("123456789012", region, "fairlead-prod_mm") == (
        f"arn:{partition}:sns:{region}:123456789012:fairlead-prod_mm"
    )


@pytest.mark.parametrize(
    ("arn", "region"),
    [
        (GROUP, "us-east-1"),
        (GROUP.replace("arn:aws:", "arn:aws-cn:").replace("us-east-1", "cn-north-1"), "cn-north-1"),
        (GROUP.replace("123456789012", "999999999999"), None),
        (GROUP.replace("targetgroup", "loadbalancer"), None),
        (f"{GROUP} --x", None),
        ("", None),
    ],
)
def test_a_target_group_of_the_account_tells_its_region(arn: str, region: str | None) -> None:
    assert region_of_group(arn, "123456789012") == region


class Store:
    """An S3 that says of an object what a test says, and notes whether it was read."""

    def __init__(self, **head: str) -> None:
        self.head = {"ETag": '"e"', **head}
        self.read = 0

    def head_object(self, **_: Any) -> dict[str, str]:
        return self.head

    def get_object(self, **asked: str) -> dict[str, Any]:
        assert asked["IfMatch"] == self.head["ETag"]
        self.read += 1
        return {"Body": Body()}


class Body:
    def iter_chunks(self, size: int) -> list[bytes]:
        assert size > 0
        return [b"j", b"ar"]

    def close(self) -> None:
        """Ends."""


@pytest.mark.parametrize(
    ("head", "read"),
    [
        ({"ChecksumSHA256": TOLD}, 0),
        ({"ChecksumSHA256": TOLD, "ChecksumType": "FULL_OBJECT"}, 0),
        ({"ChecksumSHA256": "b3RoZXI=", "ChecksumType": "COMPOSITE"}, 1),
        ({"ChecksumSHA256": "b3RoZXI=-2"}, 1),
        ({"ChecksumSHA256": "b3RoZXI=", "ETag": '"e-2"'}, 1),  # of parts, by a store that does not say so
        ({"ChecksumCRC64NVME": "b3RoZXI="}, 1),
        ({}, 1),
    ],
    ids=str,
)
def test_only_a_checksum_over_the_bytes_saves_reading_them(head: dict[str, str], read: int) -> None:
    store, checksums = Store(**head), Checksums()

    found = [checksums.sha256(store, "s3://builds/mm/2.3.1/mm.jar") for _ in range(2)]

    assert (found, store.read) == ([hashlib.sha256(b"jar").hexdigest()] * 2, read)
