"""The bulk AWS answers the controller's calls as moto does, and carries numbers that moto cannot."""

import json
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from botocore.exceptions import ClientError

from adapters.aws.errors import code_of
from adapters.aws.inventory import Inventory, InventoryReader, Place
from adapters.aws.objects import get_small, put_if_same
from adapters.aws.queues import SqsQueue
from adapters.aws.sessions import Sessions
from adapters.aws.targets import unhealthy_targets
from adapters.aws.topics import publish, queue_arn, topic_arn
from adapters.clock import SystemClock
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.bulk.aws import BulkAws

EAST = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/fairlead"
HERE = Place(ACCOUNT, EAST, None)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
World = Aws | BulkAws


@pytest.fixture(params=["moto", "bulk"])
def aws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Aws() if request.param == "moto" else BulkAws() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> Iterator[BulkAws]:
    with BulkAws() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def seed(aws: World, cluster: str, version: str, capacity: int = 2) -> None:
    if isinstance(aws, BulkAws):
        aws.seed_cluster(cluster, EAST, "checkout", version, capacity=capacity)
        return
    image = images.register(aws, EAST, "checkout", version, NOW)
    server_groups.create(aws, EAST, f"{cluster}-v000", image.id, (capacity,) * 3, {"fairlead:seeded": "true"})


def make_bucket(aws: World, name: str) -> None:
    aws.client("s3").create_bucket(Bucket=name)


def reader() -> InventoryReader:
    return InventoryReader(Sessions(clock=SystemClock()))


def facts(inventory: Inventory, cluster: str) -> dict[str, object]:
    """What both tell alike: everything but ids and times."""
    (group,) = inventory.clusters[cluster]
    same = {key: group[key] for key in ("name", "region", "enabled", "capacity", "tags")}
    ills = [(one["lifecycle"], one["health"], one["image"] == group["launch_image"]) for one in group["instances"]]
    return {**same, "instances": ills, "image": inventory.images[group["launch_image"]]["tags"]}


# -- the same of moto and of the bulk AWS ---------------------------------------------------------------------------


def test_a_region_is_read_alike(aws: World) -> None:
    seed(aws, "checkout-prod", "1.4.1")

    assert {
        "name": "checkout-prod-v000",
        "region": EAST,
        "enabled": True,
        "capacity": {"min": 2, "max": 2, "desired": 2},
        "tags": {"fairlead:seeded": "true"},
        "instances": [("InService", "Healthy", True)] * 2,
        "image": {"appversion": "checkout-1.4.1-h1.abc1234", "fairlead:package/checkout": "1.4.1"},
    } == facts(reader().read_region(HERE), "checkout-prod")


def test_some_clusters_are_read_alike(aws: World) -> None:
    seed(aws, "checkout-prod", "1.4.1")
    seed(aws, "checkout-prod-eu", "1.4.2")
    whole = reader().read_region(HERE)

    found = reader().read_clusters(HERE, ["checkout-prod"])

    assert {"checkout-prod"} == set(found.clusters)
    assert found.clusters["checkout-prod"] == whole.clusters["checkout-prod"]


def test_a_role_reaches_its_own_account(aws: World) -> None:
    sessions = Sessions(clock=SystemClock())
    other = "arn:aws:iam::210987654321:role/fairlead"

    sessions.client("ec2", EAST, role=other, account="210987654321")
    assert {} == InventoryReader(sessions).read_region(Place("210987654321", EAST, other)).clusters


def test_an_unknown_image_is_an_error_by_id_and_nothing_by_filter(aws: World) -> None:
    ec2, gone = aws.client("ec2"), "ami-0123456789abcdef0"

    with pytest.raises(ClientError) as said:
        ec2.describe_images(ImageIds=[gone])

    assert code_of(said.value).startswith("InvalidAMIID")
    assert [] == ec2.describe_images(Filters=[{"Name": "image-id", "Values": [gone]}])["Images"]


def test_an_unknown_template_is_an_error(aws: World) -> None:
    with pytest.raises(ClientError) as said:
        aws.client("ec2").describe_launch_template_versions(LaunchTemplateId="lt-0123456789abcdef0", Versions=["1"])

    assert code_of(said.value).startswith("InvalidLaunchTemplate")


def test_an_object_is_written_where_there_is_none_and_replaced_by_who_saw_it(aws: World) -> None:
    make_bucket(aws, "orders")
    s3 = aws.client("s3")

    first = put_if_same(s3, "orders", "orders/prod/mm.json", b"one", None)
    late = put_if_same(s3, "orders", "orders/prod/mm.json", b"late", None)
    second = put_if_same(s3, "orders", "orders/prod/mm.json", b"two", first)
    stale = put_if_same(s3, "orders", "orders/prod/mm.json", b"stale", first)

    stored = get_small(s3, "orders", "orders/prod/mm.json", 100)
    assert (None, None) == (late, stale)
    assert stored is not None
    assert (second, 3, b"two") == stored


def test_what_is_not_there_is_none_and_a_condition_on_it_fails(aws: World) -> None:
    make_bucket(aws, "orders")
    s3 = aws.client("s3")

    assert get_small(s3, "orders", "orders/none.json", 100) is None
    assert put_if_same(s3, "orders", "orders/none.json", b"x", '"0"') is None


def test_a_checksum_is_told_where_it_is_asked_for(aws: World) -> None:
    make_bucket(aws, "builds")
    aws.client("s3").put_object(Bucket="builds", Key="mm.jar", Body=b"jar", ChecksumAlgorithm="SHA256")

    head = aws.client("s3").head_object(Bucket="builds", Key="mm.jar", ChecksumMode="ENABLED")

    assert b64encode(sha256(b"jar").digest()).decode() == head["ChecksumSHA256"]
    assert 3 == head["ContentLength"]


def test_a_missing_head_is_a_404(aws: World) -> None:
    make_bucket(aws, "builds")
    with pytest.raises(ClientError) as said:
        aws.client("s3").head_object(Bucket="builds", Key="none")

    assert "404" == code_of(said.value)


def test_a_message_comes_once_says_who_sent_it_and_comes_again_until_it_is_deleted(aws: World) -> None:
    sqs = aws.client("sqs")
    url = sqs.create_queue(QueueName="reports")["QueueUrl"]
    sessions = Sessions(clock=SystemClock())
    as_role = sessions.client("sqs", EAST, role=ROLE)
    as_role.send_message(QueueUrl=url, MessageBody="well")
    asked = {"QueueUrl": url, "MessageSystemAttributeNames": ["SenderId", "SentTimestamp"], "WaitTimeSeconds": 1}

    (first,) = sqs.receive_message(**asked, VisibilityTimeout=0)["Messages"]
    (again,) = sqs.receive_message(**asked)["Messages"]
    hidden = sqs.receive_message(QueueUrl=url)
    done = sqs.delete_message_batch(QueueUrl=url, Entries=[{"Id": "0", "ReceiptHandle": again["ReceiptHandle"]}])

    assert ("well", "well") == (first["Body"], again["Body"])
    assert first["Attributes"]["SenderId"].startswith("AROA")
    assert "fairlead" == first["Attributes"]["SenderId"].partition(":")[2]
    assert "Messages" not in hidden
    assert ["0"] == [one["Id"] for one in done["Successful"]]


def test_there_is_no_such_queue(aws: World) -> None:
    with pytest.raises(ClientError) as said:
        aws.client("sqs").get_queue_url(QueueName="none")

    assert "AWS.SimpleQueueService.NonExistentQueue" == code_of(said.value)


def test_there_is_no_such_topic(aws: World) -> None:
    said = publish(aws.client("sns"), topic_arn(ACCOUNT, EAST, "none"), "hello")

    assert "there is no topic" in said


def test_what_is_published_reaches_who_listens(aws: World) -> None:
    arn, sqs = topic_arn(ACCOUNT, EAST, "fairlead-prod_mm"), aws.client("sqs")
    if isinstance(aws, BulkAws):
        aws.make_queue(EAST, "fairlead-agent-i-1", topics=(aws.make_topic(EAST, "fairlead-prod_mm"),))
    else:
        statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
        policy = {"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}
        sqs.create_queue(QueueName="fairlead-agent-i-1", Attributes=policy)
        aws.client("sns").create_topic(Name="fairlead-prod_mm")
        endpoint = queue_arn(ACCOUNT, EAST, "fairlead-agent-i-1")
        raw = {"RawMessageDelivery": "true"}
        aws.client("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=endpoint, Attributes=raw)

    said = publish(aws.client("sns"), arn, "look again")

    look = SqsQueue(sqs, "fairlead-agent-i-1", "none").look(timedelta(seconds=2), SystemClock())
    assert ("", ["look again"]) == (said, [one.body for one in look.messages])


def test_a_target_group_that_is_not_there_has_no_sick_targets(aws: World) -> None:
    arn = f"arn:aws:elasticloadbalancing:{EAST}:{ACCOUNT}:targetgroup/none/0123456789abcdef"

    assert {} == unhealthy_targets(aws.client("elbv2"), arn)


# -- the bulk AWS alone ---------------------------------------------------------------------------------------------


def test_three_thousand_instances_are_read_exactly_once_each(bulk: BulkAws) -> None:
    for number in range(300):
        bulk.seed_cluster(f"svc{number:04d}-prod", EAST, f"svc-{number % 20}", "1.0.0", capacity=10)

    inventory = reader().read_region(HERE)

    ids = [one["id"] for groups in inventory.clusters.values() for group in groups for one in group["instances"]]
    assert (300, 3000, 3000) == (len(inventory.clusters), len(ids), len(set(ids)))
    assert 3000 == len(inventory.hosts.all)
    assert (3, 3, 2) == tuple(
        bulk.calls[action]
        for action in (
            "autoscaling:DescribeAutoScalingGroups",
            "ec2:DescribeInstances",
            "ec2:DescribeLaunchTemplateVersions",
        )
    )


def test_pages_that_change_meanwhile_give_the_rest_exactly_once(bulk: BulkAws) -> None:
    for number in range(250):
        bulk.seed_cluster(f"svc{number:04d}-prod", EAST, "svc", "1.0.0", capacity=1)
    asked = bulk.client("autoscaling")
    first = asked.describe_auto_scaling_groups(MaxRecords=100)
    estate = bulk.estate(EAST)
    estate.remove_group(estate.groups["svc0050-prod-v000"])

    rest = asked.get_paginator("describe_auto_scaling_groups").paginate(
        PaginationConfig={"PageSize": 100, "StartingToken": None}
    )

    left = asked.describe_auto_scaling_groups(MaxRecords=100, NextToken=first["NextToken"])
    assert "svc0100-prod-v000" == left["AutoScalingGroups"][0]["AutoScalingGroupName"]
    assert 249 == sum(len(page["AutoScalingGroups"]) for page in rest)


def test_a_page_larger_than_aws_gives_is_refused(bulk: BulkAws) -> None:
    with pytest.raises(ClientError) as said:
        bulk.client("autoscaling").describe_auto_scaling_groups(MaxRecords=101)

    assert "ValidationError" == code_of(said.value)


def test_one_of_many_writers_at_once_wins(bulk: BulkAws) -> None:
    make_bucket(bulk, "orders")
    s3 = bulk.client("s3")
    before = put_if_same(s3, "orders", "one", b"0", None)

    with ThreadPoolExecutor(max_workers=8) as pool:
        done = list(pool.map(lambda n: put_if_same(s3, "orders", "one", str(n).encode(), before), range(1, 33)))

    assert 1 == sum(etag is not None for etag in done)
    assert 2 == len(bulk.objects.versions("orders", "one"))


def test_an_error_on_demand_is_told_in_the_words_of_the_service(bulk: BulkAws) -> None:
    bulk.fail("ec2:DescribeInstances", "UnauthorizedOperation", status=403)

    with pytest.raises(ClientError) as said:
        bulk.client("ec2").describe_instances()

    assert "UnauthorizedOperation" == code_of(said.value)
    assert [] == bulk.client("ec2").describe_instances()["Reservations"]


def test_an_action_that_nobody_serves_is_refused_by_name(bulk: BulkAws) -> None:
    with pytest.raises(ClientError, match="RunInstances"):
        bulk.client("ec2").run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)


def test_a_version_set_by_hand_shows_in_the_inventory(bulk: BulkAws) -> None:
    bulk.seed_cluster("checkout-prod", EAST, "checkout", "1.4.1")

    bulk.set_version("checkout-prod", EAST, "9.9.9")

    said = facts(reader().read_region(HERE), "checkout-prod")
    assert "9.9.9" == said["image"]["fairlead:package/checkout"]  # type: ignore[index]
    assert [("InService", "Healthy", True)] * 2 == said["instances"]


def test_a_host_is_found_by_its_tags(bulk: BulkAws) -> None:
    estate = bulk.estate(EAST)
    image = bulk.image(EAST, "agent", "1").id
    hosts = [estate.add_host(image, {"service": "mm*", "number": str(n % 2)}, n, NOW) for n in range(4)]
    bulk.seed_cluster("checkout-prod", EAST, "checkout", "1.4.1")

    found = reader().read_hosts(HERE, {"service": "mm*", "number": "1"})

    assert [hosts[1].id, hosts[3].id] == [one["id"] for one in found]
    assert [] == list(reader().read_hosts(HERE, {"service": "mmx"}))


def test_who_waits_for_a_message_is_woken_by_it(bulk: BulkAws) -> None:
    queue = bulk.make_queue(EAST, "hints")
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(
            lambda: SqsQueue(bulk.client("sqs"), "hints", "none").look(timedelta(seconds=20), SystemClock())
        )
        bulk.queues.put(queue, "look", "AROA:i-1")

        assert [("look", "i-1")] == [(one.body, one.session) for one in waiting.result(10).messages]
