"""The sandbox's Auto Scaling lets instances wait for lifecycle hooks as AWS does; and the controller reads it."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.autoscaling.models import autoscaling_backends

from adapters.aws.instances import Instances
from adapters.aws.inventory import InventoryReader, Place
from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.trigger.feeds import hosts_body
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.aws_state import state_in_use

EAST, GROUP, TAGS = "us-east-1", "mm-prod", {"service": "mm"}
HERE = Place(ACCOUNT, EAST, None)
LAUNCH, TERMINATE = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """A group of one instance with both hooks, which the instance is older than."""
    with Aws() as made:
        for name, value in made.environment().items():
            monkeypatch.setenv(name, value)
        image = images.register(made, EAST, "mm", "1", SystemClock().now())
        server_groups.create(made, EAST, GROUP, image.id, (0, 9, 1), TAGS)
        for hook, transition in (("launch", LAUNCH), ("end", TERMINATE)):
            made.client("autoscaling").put_lifecycle_hook(
                AutoScalingGroupName=GROUP,
                LifecycleHookName=hook,
                LifecycleTransition=transition,
                HeartbeatTimeout=30,
            )
        yield made


def states(aws: Aws) -> dict[str, str]:
    found = aws.client("autoscaling").describe_auto_scaling_instances()["AutoScalingInstances"]
    return {each["InstanceId"]: each["LifecycleState"] for each in found}


def scale(aws: Aws, to: int) -> None:
    aws.client("autoscaling").set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=to)


def new_one(aws: Aws) -> str:
    before = set(states(aws))
    scale(aws, len(before) + 1)
    (found,) = set(states(aws)) - before
    return found


def asked(instance: str, hook: str) -> dict[str, Any]:
    return {"AutoScalingGroupName": GROUP, "LifecycleHookName": hook, "InstanceId": instance}


def test_a_launched_instance_waits_until_its_hook_is_answered(aws: Aws) -> None:
    instance, client = new_one(aws), aws.client("autoscaling")
    client.record_lifecycle_action_heartbeat(**asked(instance, "launch"))
    assert "Pending:Wait" == states(aws)[instance]

    client.complete_lifecycle_action(**asked(instance, "launch"), LifecycleActionResult="CONTINUE")

    assert ["InService", "InService"] == list(states(aws).values())


def test_who_waits_for_nothing_is_told_so(aws: Aws) -> None:
    (instance,) = states(aws)

    for call in ("record_lifecycle_action_heartbeat", "complete_lifecycle_action"):
        more = {"LifecycleActionResult": "CONTINUE"} if call.startswith("complete") else {}
        with pytest.raises(ClientError, match=f"No active Lifecycle Action found with instance ID {instance}") as no:
            getattr(aws.client("autoscaling"), call)(**asked(instance, "launch"), **more)
        assert "ValidationError" == no.value.response["Error"]["Code"]


def test_an_abandoned_instance_is_replaced(aws: Aws) -> None:
    instance = new_one(aws)

    aws.client("autoscaling").complete_lifecycle_action(**asked(instance, "launch"), LifecycleActionResult="ABANDON")

    assert instance not in states(aws)
    assert ["InService", "Pending:Wait"] == sorted(states(aws).values())


def test_whose_time_is_over_is_answered_by_the_default(aws: Aws) -> None:
    instance = new_one(aws)
    with state_in_use(aws.state):
        for each in autoscaling_backends[ACCOUNT][EAST].autoscaling_groups[GROUP].instance_states:
            each.waits_until = 0.0

    assert instance not in states(aws)


def running(aws: Aws) -> list[Any]:
    found = aws.client("ec2").describe_instances()["Reservations"]
    return [instance for reservation in found for instance in reservation["Instances"]]


def test_an_instance_that_is_ended_waits_and_is_no_capacity(aws: Aws) -> None:
    (old,) = states(aws)
    client = aws.client("autoscaling")

    client.terminate_instance_in_auto_scaling_group(InstanceId=old, ShouldDecrementDesiredCapacity=False)

    assert ["Pending:Wait", "Terminating:Wait"] == sorted(states(aws).values())
    assert "Terminated" == aws.target_lifecycle_state(EAST, old)
    client.complete_lifecycle_action(**asked(old, "end"), LifecycleActionResult="CONTINUE")
    assert ["Pending:Wait"] == list(states(aws).values())
    assert aws.target_lifecycle_state(EAST, old) is None


def test_the_controller_reads_the_states_with_the_groups_that_it_reads_anyway(aws: Aws) -> None:
    instance, (old, *_) = new_one(aws), states(aws)
    alone = aws.client("ec2").run_instances(
        ImageId=running(aws)[0]["ImageId"],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "service", "Value": "mm"}]}],
    )["Instances"][0]["InstanceId"]
    expected = {instance: "Pending:Wait", old: "InService", alone: ""}
    reader = InventoryReader(Sessions(max_attempts=1))
    aws.reset_calls()

    bulk = reader.read_again(HERE, Instances(SystemClock()), [TAGS])
    calls_of_groups = aws.calls["autoscaling:DescribeAutoScalingGroups"]
    hosts = reader.read_hosts(HERE, TAGS)
    narrow = hosts_body(hosts, reader.read_lifecycles(HERE, hosts))

    assert expected == {name: each["lifecycle"] for name, each in narrow["hosts"].items()}
    assert narrow == hosts_body(bulk.hosts.tagged(TAGS), bulk.lifecycles)
    assert (1, 2) == (calls_of_groups, aws.calls["autoscaling:DescribeAutoScalingGroups"])
    assert "autoscaling:DescribeAutoScalingInstances" not in aws.calls


def test_hosts_that_are_in_no_group_cost_no_further_call(aws: Aws) -> None:
    reader = InventoryReader(Sessions(max_attempts=1))
    host = {"id": "i-1", "state": "running", "zone": "a", "launched": "", "tags": TAGS}
    aws.reset_calls()

    assert {} == reader.read_lifecycles(HERE, [host])
    assert {} == dict(aws.calls)
