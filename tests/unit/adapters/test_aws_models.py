"""Clients that read less are told by what botocore's own would read."""

import gc
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.parsers import ResponseParserError, create_parser
from botocore.utils import parse_timestamp

from adapters.aws.groups import server_groups
from adapters.aws.models import READ, lean_session, models
from adapters.aws.parsing import Parsers, timestamp

EC2 = "http://ec2.amazonaws.com/doc/2016-11-15/"
INSTANCES = f"""<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="{EC2}"><requestId>r-1</requestId><reservationSet>
<item><reservationId>r-0</reservationId><groupSet/><instancesSet>
  <item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name>
   </instanceState><launchTime>2026-11-26T08:00:00.000Z</launchTime><placement><availabilityZone>us-east-1a
   </availabilityZone><tenancy>default</tenancy></placement><blockDeviceMapping><item><deviceName>/dev/sda1</deviceName>
   <ebs><attachTime>not a time</attachTime></ebs></item></blockDeviceMapping>
   <tagSet><item><key>Name</key><value/></item><item><key>a&amp;b</key><value>&lt;x&gt; ü</value></item></tagSet></item>
  <item><instanceId>i-2</instanceId><imageId>ami-2</imageId><instanceState><code>80</code><name>stopped</name>
   </instanceState><launchTime>2026-11-26T08:00:01Z</launchTime><neverHeardOf><item/></neverHeardOf></item>
</instancesSet></item><item><reservationId>r-3</reservationId><instancesSet/></item></reservationSet>
<nextToken>more</nextToken></DescribeInstancesResponse>"""
GROUPS = """<DescribeAutoScalingGroupsResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/">
<DescribeAutoScalingGroupsResult><NextToken>t</NextToken><AutoScalingGroups><member>
<AutoScalingGroupName>a-v000</AutoScalingGroupName><CreatedTime>2026-11-26T08:00:00.123Z</CreatedTime>
<MinSize>0</MinSize><MaxSize>2</MaxSize><DesiredCapacity>1</DesiredCapacity><Instances><member>
<InstanceId>i-1</InstanceId><LifecycleState>InService</LifecycleState><HealthStatus>Healthy</HealthStatus>
<LaunchTemplate><Version>1</Version></LaunchTemplate><ImageId>ami-9</ImageId></member></Instances>
<MixedInstancesPolicy><LaunchTemplate><LaunchTemplateSpecification><LaunchTemplateId>lt-1</LaunchTemplateId>
<Version>$Latest</Version></LaunchTemplateSpecification></LaunchTemplate></MixedInstancesPolicy>
<Tags><member><Key>k</Key><Value>v</Value><PropagateAtLaunch>true</PropagateAtLaunch></member></Tags>
<SuspendedProcesses><member><ProcessName>AddToLoadBalancer</ProcessName></member></SuspendedProcesses>
<Status>Delete in progress</Status></member></AutoScalingGroups></DescribeAutoScalingGroupsResult>
<ResponseMetadata><RequestId>r-2</RequestId></ResponseMetadata></DescribeAutoScalingGroupsResponse>"""
DENIED = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>"
ANSWERS = [
    ("ec2", "ec2", "DescribeInstances", INSTANCES),
    ("autoscaling", "query", "DescribeAutoScalingGroups", GROUPS),
]


def answered(body: str, status: int = 200) -> dict[str, Any]:
    return {"body": body.encode(), "headers": {}, "status_code": status}


def lean(service: str, protocol: str, operation: str, answer: Mapping[str, Any]) -> Any:
    shape = lean_session().get_service_model(service).operation_model(operation).output_shape
    return Parsers().create_parser(protocol).parse(answer, shape)


def of_read_members(service: str, shape: Any, said: Any) -> Any:
    """What botocore reads, without the members that are left out."""
    if shape.type_name == "list":
        return [of_read_members(service, shape.member, each) for each in said]
    if shape.type_name != "structure":
        return said
    kept = READ[service].get(shape.name, shape.members)
    return {name: of_read_members(service, shape.members[name], each) for name, each in said.items() if name in kept}


@pytest.mark.parametrize(("service", "protocol", "operation", "body"), ANSWERS)
def test_what_is_read_is_what_botocore_reads(service: str, protocol: str, operation: str, body: str) -> None:
    shape = botocore.session.get_session().get_service_model(service).operation_model(operation).output_shape
    sound = answered(body.replace("not a time", "2026-11-26T07:00:00Z"))
    whole = create_parser(protocol).parse(sound, shape)
    metadata = whole.pop("ResponseMetadata")

    found = lean(service, protocol, operation, sound)

    assert found.pop("ResponseMetadata") == metadata
    assert found == of_read_members(service, shape, whole)


def test_a_group_that_is_being_deleted_says_so() -> None:
    answer = lean("autoscaling", "query", "DescribeAutoScalingGroups", answered(GROUPS))
    autoscaling = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=lambda **_: [answer]))

    (group,) = server_groups(autoscaling, "us-east-1")

    assert "Delete in progress" == group.body["status"]


def test_what_nobody_reads_is_not_looked_at() -> None:
    (first, second) = lean("ec2", "ec2", "DescribeInstances", answered(INSTANCES))["Reservations"][0]["Instances"]

    assert set(first) == READ["ec2"]["Instance"]
    assert first["Tags"] == [{"Key": "Name", "Value": ""}, {"Key": "a&b", "Value": "<x> ü"}]
    assert "Tags" not in second


def test_every_member_that_is_read_is_one_of_botocores() -> None:
    for service, shapes in READ.items():
        known = botocore.session.get_session().get_service_model(service)
        for name, members in shapes.items():
            assert members <= set(known.shape_for(name).members), name


def test_an_error_is_read_as_botocore_reads_it() -> None:
    found = lean("ec2", "ec2", "DescribeInstances", answered(DENIED, 403))

    assert found["Error"] == {"Code": "UnauthorizedOperation", "Message": "no"}


def test_what_is_not_xml_is_botocores_error_and_the_collector_works_on() -> None:
    with pytest.raises(ResponseParserError):
        lean("ec2", "ec2", "DescribeInstances", answered("<html>"))

    assert gc.isenabled()


def test_many_threads_that_parse_leave_the_collector_on() -> None:
    answer = answered(INSTANCES)
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(lambda _: lean("ec2", "ec2", "DescribeInstances", answer), range(64)))

    assert {len(each["Reservations"]) for each in found} == {2}
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        lean("ec2", "ec2", "DescribeInstances", answered(INSTANCES))
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_model_is_loaded_once_for_all_roles_and_stays_cut_down() -> None:
    first, second = (lean_session().get_component("data_loader") for _ in range(2))
    shapes = [each.load_service_model("ec2", "service-2")["shapes"] for each in (first, second)]

    assert first is second is models()
    assert set(shapes[0]["Instance"]["members"]) == READ["ec2"]["Instance"]
    assert shapes[0] is shapes[1]


@pytest.mark.parametrize(
    "said",
    [
        *(
            "2026-11-26T08:00:00.000Z",
            "2026-11-26T08:00:00Z",
            "2026-11-26T08:00:00.123456Z",
            "2026-11-26T08:00:00+01:00",
        ),
        *("Thu, 26 Nov 2026 08:00:00 GMT", "20261126T080000Z", "1795680000", 1795680000, 1795680000.5),
    ],
)
def test_a_time_is_read_as_botocore_reads_it(said: Any) -> None:
    assert timestamp(said) == parse_timestamp(said)


def test_a_time_is_written_the_same_as_ever() -> None:
    said = "2026-11-26T08:00:00.120Z"

    assert timestamp(said).isoformat() == parse_timestamp(said).isoformat() == "2026-11-26T08:00:00.120000+00:00"
    assert timestamp(said) == datetime(2026, 11, 26, 8, 0, 0, 120000, tzinfo=UTC)


def test_what_is_no_time_is_botocores_error() -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        timestamp("2026-11-26Tand so onZ")


def test_a_json_protocol_keeps_botocores_own_parser() -> None:
    shape = lean_session().get_service_model("sqs").operation_model("GetQueueUrl").output_shape

    found = Parsers().create_parser("json").parse(answered(json.dumps({"QueueUrl": "http://q"})), shape)

    assert found["QueueUrl"] == "http://q"
