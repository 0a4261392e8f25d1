"""Which instances EC2 calls gone: only whole ids are asked about, and only whole ids are heard in its answer."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from adapters.aws.gone import gone

SHORT, LONG = "i-0a1b2c3d", "i-0a1b2c3d4e5f60718"


class Ec2:
    """Shows nobody, and refuses one id by name."""

    def __init__(self, refused: str) -> None:
        self.refused, self.asked = refused, list[str]()

    def get_paginator(self, name: str) -> "Ec2":
        del name
        return self

    def paginate(self, **said: Any) -> list[dict[str, Any]]:
        self.asked += said["Filters"][0]["Values"]
        return [{"Reservations": []}]

    def describe_instances(self, **said: Any) -> None:
        del said
        error = {"Code": "InvalidInstanceID.NotFound", "Message": f"The instance ID '{self.refused}' does not exist"}
        raise ClientError({"Error": error}, "DescribeInstances")


@pytest.mark.parametrize("other", ["i-0a1b2c3d4", "i-0a1b2c3d4e5f6071", "i-0a1b2c3d4e5f607181", "i-0A1B2C3D"])
def test_what_is_no_id_of_an_instance_is_not_asked_about(other: str) -> None:
    ec2 = Ec2(LONG)

    assert {LONG} == gone(ec2, [LONG, other], "here").unknown
    assert [LONG] == ec2.asked


def test_a_short_id_is_not_heard_in_a_long_one() -> None:
    assert {LONG} == gone(Ec2(LONG), [SHORT, LONG], "here").unknown
