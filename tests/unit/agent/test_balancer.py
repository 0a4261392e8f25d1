"""Target groups, against moto: out of them, into them, and what happens when they are gone or say no."""

import re
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from adapters.agent_protocol.orders import Drain
from adapters.agent_protocol.reports import Blame
from fairlead_agent.balancer import Balancer
from fairlead_agent.trouble import Interrupted, Trouble
from fairlead_sandbox import images
from fairlead_sandbox.aws import Aws

ATTACHED = Drain(groups=None)
ELSEWHERE = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/far/0123456789abcdef"
SOON = 10.0  # seconds, far more than moto needs


class Cloud:
    """An instance, and target groups behind a listener."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.elb, ec2 = aws.client("elbv2"), aws.client("ec2")
        image = images.register(aws, "us-east-1", "mm", "1.0", datetime(2026, 11, 24, tzinfo=UTC)).id
        self.vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]][:2]
        self.host, self.other = (
            each["InstanceId"] for each in ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2)["Instances"]
        )
        self.lb = self.elb.create_load_balancer(Name="lb", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
        self.ports = iter(range(1000, 2000))

    def group(self, name: str, *ports: int, kind: str = "instance", listened: bool = True) -> str:
        """A target group with our host at these ports."""
        made = self.elb.create_target_group(
            Name=name,
            Protocol="HTTP",
            Port=80,
            VpcId=self.vpc,
            TargetType=kind,
            HealthCheckIntervalSeconds=10,
            HealthyThresholdCount=3,
        )
        arn: str = made["TargetGroups"][0]["TargetGroupArn"]
        if listened:
            action = {"Type": "forward", "TargetGroupArn": arn}
            self.elb.create_listener(
                LoadBalancerArn=self.lb, Protocol="HTTP", Port=next(self.ports), DefaultActions=[action]
            )
        for port in ports:
            self.elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": self.host, "Port": port}])
        return arn

    def remove(self, arn: str) -> None:
        for listener in self.elb.describe_listeners(LoadBalancerArn=self.lb)["Listeners"]:
            if listener["DefaultActions"][0]["TargetGroupArn"] == arn:
                self.elb.delete_listener(ListenerArn=listener["ListenerArn"])
        self.elb.delete_target_group(TargetGroupArn=arn)


@pytest.fixture
def cloud(aws: Aws) -> Cloud:
    aws.state.draining_seconds = aws.state.registering_seconds = 0.2
    return Cloud(aws)


@pytest.fixture
def balancer(cloud: Cloud) -> Balancer:
    return Balancer(lambda: cloud.elb, cloud.host, "us-east-1", pause=0.02)


@pytest.fixture
def stop() -> Event:
    return Event()


def test_only_the_groups_that_the_host_is_in(cloud: Cloud, balancer: Balancer) -> None:
    mine, other = cloud.group("mine", 80), cloud.group("other")
    cloud.elb.register_targets(TargetGroupArn=other, Targets=[{"Id": cloud.other}])
    cloud.group("by-address", kind="ip")

    assert {mine: (80,)} == balancer.attached(ATTACHED)
    assert {} == balancer.attached(None)


def test_of_groups_that_are_named_only_those_of_this_region(cloud: Cloud, balancer: Balancer) -> None:
    mine, also, empty = cloud.group("mine", 80), cloud.group("also", 80), cloud.group("empty")
    drain = Drain(groups=(mine, empty, ELSEWHERE, "nonsense"))

    assert {mine: (80,)} == balancer.attached(drain)
    assert {mine: (80,), empty: ()} == balancer.named(drain)
    assert {} == balancer.named(ATTACHED) == balancer.named(None)
    assert also not in balancer.attached(drain)


def test_draining_waits_until_the_host_is_out(cloud: Cloud, balancer: Balancer, stop: Event) -> None:
    cloud.aws.state.draining_seconds = 0.5
    groups = balancer.attached(Drain(groups=(cloud.group("mine", 80),)))

    balancer.leave(groups)

    assert {} == balancer.attached(ATTACHED)
    assert not balancer.wait_drained(groups, 0.0, stop)
    assert balancer.wait_drained(groups, SOON, stop)
    balancer.leave(groups)


def test_entering_waits_until_the_host_is_healthy(cloud: Cloud, balancer: Balancer, stop: Event) -> None:
    arn = cloud.group("mine")
    cloud.aws.make_target_sick(cloud.host)

    balancer.enter({arn: ()})
    balancer.enter({arn: ()})
    assert not balancer.wait_healthy({arn: ()}, 0.3, stop)
    cloud.aws.make_target_well(cloud.host)

    assert balancer.wait_healthy({arn: ()}, SOON, stop)
    assert {arn: (80,)} == balancer.attached(ATTACHED)


def test_a_group_that_no_listener_leads_to_is_not_waited_for(cloud: Cloud, balancer: Balancer, stop: Event) -> None:
    arn = cloud.group("unused", 80, listened=False)

    assert balancer.wait_healthy({arn: (80,)}, SOON, stop)


def test_ports_are_passed_on_as_they_were_found(cloud: Cloud) -> None:
    """moto keeps one port of a target; here is what is asked of the API."""
    asked: list[tuple[str, Any]] = []

    class Api:
        exceptions = cloud.elb.exceptions

        def describe_target_health(self, **said: Any) -> Any:
            asked.append(("describe", said.get("Targets")))
            found = [(cloud.host, 8081, "healthy"), (cloud.host, 8080, "initial"), (cloud.other, 9, "healthy")]
            found.append((cloud.host, 8082, "draining"))
            return {
                "TargetHealthDescriptions": [
                    {"Target": {"Id": host, "Port": port}, "TargetHealth": {"State": state}}
                    for host, port, state in found
                ]
            }

        def deregister_targets(self, **said: Any) -> None:
            asked.append(("leave", said["Targets"]))

        def register_targets(self, **said: Any) -> None:
            asked.append(("enter", said["Targets"]))

    api = Api()
    balancer = Balancer(lambda: api, cloud.host, "us-east-1")
    arn = ELSEWHERE.replace("eu-west-1", "us-east-1")
    groups = balancer.attached(Drain(groups=(arn,)))
    balancer.leave(groups)
    balancer.enter(groups)

    both = [{"Id": cloud.host, "Port": 8080}, {"Id": cloud.host, "Port": 8081}]
    assert {arn: (8080, 8081)} == groups == balancer.named(Drain(groups=(arn,)))
    assert [("describe", None), ("leave", both), ("enter", both), ("describe", None)] == asked


def test_a_group_that_was_deleted_holds_nobody_up(cloud: Cloud, balancer: Balancer, stop: Event) -> None:
    gone, stays = cloud.group("gone", 80), cloud.group("stays", 80)
    groups = {gone: (80,), stays: (80,)}
    cloud.remove(gone)

    assert {stays: (80,)} == balancer.attached(Drain(groups=(gone, stays)))
    balancer.leave(groups)
    assert balancer.wait_drained(groups, SOON, stop)
    balancer.enter(groups)
    assert balancer.wait_healthy(groups, SOON, stop)
    assert 50.0 == balancer.patience(groups)
    assert 0.0 == balancer.patience({gone: ()}) == balancer.patience({})


def test_patience_is_that_of_the_slowest_group(cloud: Cloud, balancer: Balancer) -> None:
    slow, quick = cloud.group("slow"), cloud.group("quick")
    cloud.elb.modify_target_group(TargetGroupArn=slow, HealthCheckIntervalSeconds=30, HealthyThresholdCount=5)

    assert (3 + 2) * 10.0 == balancer.patience({quick: ()})
    assert (5 + 2) * 30.0 == balancer.patience({slow: (), quick: ()})


@contextmanager
def answering(cloud: Cloud, operation: str, *errors: Exception) -> Any:
    """These errors instead of answers, one after the other; then answers again."""
    left = list(errors)

    def answer(**_: Any) -> None:
        if left:
            raise left.pop(0)

    cloud.elb.meta.events.register(f"before-call.elastic-load-balancing-v2.{operation}", answer)
    try:
        yield left
    finally:
        cloud.elb.meta.events.unregister(f"before-call.elastic-load-balancing-v2.{operation}", answer)


def denied(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, operation)


def throttled(operation: str) -> ClientError:
    return ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, operation)


Act = Callable[[Balancer, str], object]
ACTS: list[tuple[str, Act]] = [
    ("DescribeTargetHealth", lambda balancer, arn: balancer.attached(Drain(groups=(arn,)))),
    ("DescribeTargetHealth", lambda balancer, arn: balancer.named(Drain(groups=(arn,)))),
    ("DescribeTargetGroups", lambda balancer, arn: balancer.attached(ATTACHED)),
    ("DeregisterTargets", lambda balancer, arn: balancer.leave({arn: (80,)})),
    ("RegisterTargets", lambda balancer, arn: balancer.enter({arn: (80,)})),
    ("DescribeTargetGroups", lambda balancer, arn: balancer.patience({arn: (80,)})),
    ("DescribeTargetHealth", lambda balancer, arn: balancer.wait_healthy({arn: (80,)}, 0.0, Event())),
]


@pytest.mark.parametrize(("operation", "act"), ACTS)
def test_where_the_role_may_not_the_sentence_names_the_permission(
    cloud: Cloud, balancer: Balancer, operation: str, act: Act
) -> None:
    arn = cloud.group("mine", 80)

    with answering(cloud, operation, denied(operation)), pytest.raises(Trouble) as told:
        act(balancer, arn)

    assert Blame.REFUSED == told.value.blame
    assert re.search(
        rf"\(elasticloadbalancing:.*{operation}\)|\(elasticloadbalancing:{operation}, ", told.value.message
    )
    assert told.value.message.endswith("look at the policy of the instance's role")


@pytest.mark.parametrize(("operation", "act"), ACTS)
def test_where_aws_is_away_it_is_the_road(cloud: Cloud, balancer: Balancer, operation: str, act: Act) -> None:
    arn = cloud.group("mine", 80)
    away = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    with answering(cloud, operation, away), pytest.raises(Trouble) as told:
        act(balancer, arn)

    assert Blame.TRANSIENT == told.value.blame


def test_an_answer_that_did_not_come_while_waiting_is_asked_for_again(
    cloud: Cloud, balancer: Balancer, stop: Event
) -> None:
    arn = cloud.group("mine", 80)
    away = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    with answering(cloud, "DescribeTargetHealth", throttled("DescribeTargetHealth"), away, away) as left:
        assert balancer.wait_healthy({arn: (80,)}, SOON, stop)

    assert [] == left


def test_where_the_role_may_not_look_nobody_waits(cloud: Cloud, balancer: Balancer, stop: Event) -> None:
    arn = cloud.group("mine", 80)

    with answering(cloud, "DescribeTargetHealth", denied("DescribeTargetHealth")), pytest.raises(Trouble):
        balancer.wait_healthy({arn: (80,)}, 3600.0, stop)


def test_who_interrupts_does_not_wait(cloud: Cloud, balancer: Balancer, stop: Event) -> None:
    arn = cloud.group("mine", 80)
    stop.set()

    with pytest.raises(Interrupted):
        balancer.wait_drained({arn: (80,)}, 3600.0, stop)
