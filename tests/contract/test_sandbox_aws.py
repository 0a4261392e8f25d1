"""The sandbox's AWS answers as the real one where moto alone does not, and two of them share nothing."""

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from adapters.clock import SystemClock
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.world import seed_cluster

REGION = "us-east-1"
THEN = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


def test_a_seeded_cluster_runs_its_version_healthy(aws: Aws) -> None:
    name = seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.4.1", capacity=3)

    group = server_groups.read(aws, REGION, name)
    assert group is not None
    assert (name, 3, 3, True) == ("checkout-prod-v000", group.desired, group.healthy, group.enabled)
    ids = [each["InstanceId"] for each in group.instances]
    described = aws.client("ec2", REGION).describe_instances(InstanceIds=ids)["Reservations"]
    found = {instance["ImageId"] for reservation in described for instance in reservation["Instances"]}
    assert ["1.4.1"] == [images.by_id(aws, REGION, each).version for each in found]


def test_an_image_has_the_tags_it_was_registered_with(aws: Aws) -> None:
    image = images.register(aws, REGION, "checkout", "1.4.1", THEN)

    described = aws.client("ec2", REGION).describe_images(ImageIds=[image.id])["Images"][0]
    tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
    assert described["Name"] == "checkout-all-20261101093000-jammy"
    assert tags["appversion"] == "checkout-1.4.1-h1.abc1234"
    assert tags["fairlead:package/checkout"] == "1.4.1"


def test_one_unknown_image_id_among_known_ones_is_an_error(aws: Aws) -> None:
    image = images.register(aws, REGION, "checkout", "1.4.1", THEN)

    with pytest.raises(ClientError, match=r"InvalidAMIID\.NotFound"):
        aws.client("ec2", REGION).describe_images(ImageIds=[image.id, "ami-0123456789abcdef0"])


def test_a_group_of_an_image_that_does_not_exist_is_refused(aws: Aws) -> None:
    with pytest.raises(ClientError, match="ami-0123456789abcdef0"):
        server_groups.create(aws, REGION, "checkout-prod-v000", "ami-0123456789abcdef0", (1, 1, 1), {})

    assert server_groups.groups_of(aws, REGION, "checkout-prod") == []


def test_instances_are_spread_over_the_zones(aws: Aws) -> None:
    name = seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.4.1", capacity=6)

    group = server_groups.read(aws, REGION, name)
    assert group is not None
    assert len({each["AvailabilityZone"] for each in group.instances}) == 6


def test_a_replaced_instance_names_the_template_version_that_launched_it(aws: Aws) -> None:
    seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.4.1")
    other = images.register(aws, REGION, "checkout", "1.4.2", THEN)
    group = server_groups.groups_of(aws, REGION, "checkout-prod")[0]

    server_groups.replace_image(aws, group, other.id)

    changed = server_groups.groups_of(aws, REGION, "checkout-prod")[0]
    assert ["2", "2"] == [each["LaunchTemplate"]["Version"] for each in changed.instances]


def test_instances_of_a_sick_image_never_show_as_healthy(aws: Aws) -> None:
    image = images.register(aws, REGION, "checkout", "1.5.0", THEN)
    aws.make_sick(image.id)

    group = server_groups.create(aws, REGION, "checkout-prod-v000", image.id, (2, 2, 2), {})

    assert ["Unhealthy", "Unhealthy"] == [each["HealthStatus"] for each in group.instances]


def test_a_new_instance_is_pending_until_it_has_booted() -> None:
    with Aws(boot_seconds=3600) as slow:
        seed_cluster(slow, "checkout-prod", REGION, "checkout", "1.4.1")
        group = server_groups.groups_of(slow, REGION, "checkout-prod")[0]

        assert ({"Pending"}, 0) == ({each["LifecycleState"] for each in group.instances}, group.healthy)


def test_a_disabled_group_shows_its_suspended_process_and_tags_reach_instances(aws: Aws) -> None:
    image = images.register(aws, REGION, "checkout", "1.4.1", THEN)
    tags = {server_groups.KEY_TAG: "a-key"}
    group = server_groups.create(aws, REGION, "checkout-prod-v000", image.id, (1, 1, 1), tags)

    server_groups.disable(aws, group)

    now = server_groups.read(aws, REGION, group.name)
    assert now is not None
    assert (False, tags) == (now.enabled, dict(now.tags))
    instance = aws.client("ec2", REGION).describe_tags(
        Filters=[{"Name": "resource-id", "Values": [group.instances[0]["InstanceId"]]}]
    )["Tags"]
    assert ("fairlead:key", "a-key") in {(tag["Key"], tag["Value"]) for tag in instance}


def test_a_group_says_when_it_was_created_in_utc(aws: Aws) -> None:
    before = SystemClock().now()
    seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.4.1")

    created = server_groups.groups_of(aws, REGION, "checkout-prod")[0].created
    assert before <= created <= SystemClock().now()


def test_a_role_of_the_account_can_be_assumed_and_sees_the_fleet(aws: Aws) -> None:
    seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.4.1")

    answer = aws.client("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/fairlead", RoleSessionName="fairlead")

    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/fairlead/fairlead"


def test_calls_are_counted_by_action(aws: Aws) -> None:
    seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.4.1")
    aws.reset_calls()

    aws.client("autoscaling", REGION).describe_auto_scaling_groups()
    aws.client("autoscaling", REGION).describe_auto_scaling_groups()

    assert dict(aws.calls) == {"autoscaling:DescribeAutoScalingGroups": 2}


def test_two_sandboxes_share_nothing(aws: Aws) -> None:
    seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.4.1")

    with Aws() as other:
        assert server_groups.groups_of(other, REGION, "checkout-prod") == []
        seed_cluster(other, "checkout-prod", REGION, "checkout", "9.9.9")
        assert images.find(aws, REGION, "checkout", "9.9.9") is None

    assert len(server_groups.groups_of(aws, REGION, "checkout-prod")) == 1


def test_regions_share_nothing(aws: Aws) -> None:
    seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.4.1")

    assert server_groups.groups_of(aws, "eu-west-1", "checkout-prod") == []


def test_v999_is_followed_by_v000_and_taken_names_are_skipped(aws: Aws) -> None:
    image = images.register(aws, REGION, "checkout", "1.4.1", THEN)
    for name in ("checkout-prod-v000", "checkout-prod-v999"):
        server_groups.create(aws, REGION, name, image.id, (0, 0, 0), {})

    existing = server_groups.groups_of(aws, REGION, "checkout-prod")

    assert ["checkout-prod-v000", "checkout-prod-v999"] == [each.name for each in existing]
    assert server_groups.next_name("checkout-prod", existing) == "checkout-prod-v001"


def test_the_environment_of_a_child_points_at_this_aws_alone(aws: Aws) -> None:
    environment = aws.environment()

    assert environment["AWS_ENDPOINT_URL"] == aws.endpoint_url
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"


def test_a_stopped_aws_leaves_no_socket_open() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Aws() as aws:
            aws.client("ec2", REGION).describe_regions()
        aws.stop()

    with pytest.raises(RuntimeError, match="not running"):
        _ = aws.endpoint_url
