"""What an account runs, read from a real AWS API over HTTP (moto): in bulk and for one cluster."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from adapters.agent_protocol.config_text import render
from adapters.aws.inventory import InventoryReader, Place
from adapters.aws.objects import put_if_absent
from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.world import seed_cluster
from reconciler.ports import Unreadable

EAST = "us-east-1"
HERE = Place(ACCOUNT, EAST, None)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/fairlead"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with Aws() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def reader(aws: Aws) -> InventoryReader:
    return InventoryReader(Sessions(max_attempts=1))


def test_a_part_holds_groups_instances_and_images(aws: Aws, reader: InventoryReader) -> None:
    seed_cluster(aws, "checkout-prod", EAST, "checkout", "1.4.1", capacity=2)
    seed_cluster(aws, "cart-prod", EAST, "cart", "7.0.0", capacity=1)

    part = reader.read_region(HERE).part(["checkout-prod"])

    (group,) = part["server_groups"]
    ((image, described),) = part["images"].items()
    assert group["name"] == "checkout-prod-v000"
    assert (group["enabled"], group["region"], group["launch_image"]) == (True, EAST, image)
    assert group["capacity"] == {"min": 2, "max": 2, "desired": 2}
    assert [(image, "InService", "Healthy")] * 2 == [
        (one["image"], one["lifecycle"], one["health"]) for one in group["instances"]
    ]
    assert described["tags"] == {"appversion": "checkout-1.4.1-h1.abc1234", "fairlead:package/checkout": "1.4.1"}


def test_an_unchanged_world_reads_the_same_and_a_narrow_read_as_the_bulk(aws: Aws, reader: InventoryReader) -> None:
    for version in ("1.4.1", "1.4.2"):
        seed_cluster(aws, "checkout-prod", EAST, "checkout", version)
    seed_cluster(aws, "cart-prod", EAST, "cart", "7.0.0")

    bulk = reader.read_region(HERE).part(["checkout-prod"])

    assert bulk == reader.read_region(HERE).part(["checkout-prod"])
    assert bulk == reader.read_clusters(HERE, ["checkout-prod"]).part(["checkout-prod"])
    assert ["checkout-prod-v000", "checkout-prod-v001"] == [group["name"] for group in bulk["server_groups"]]


def test_a_change_by_hand_is_seen_by_the_instances_images(aws: Aws, reader: InventoryReader) -> None:
    seed_cluster(aws, "checkout-prod", EAST, "checkout", "1.4.1")
    before = reader.read_region(HERE).part(["checkout-prod"])
    other = images.register(aws, EAST, "checkout", "9.9.9", NOW)
    server_groups.replace_image(aws, server_groups.groups_of(aws, EAST, "checkout-prod")[0], other.id)

    after = reader.read_region(HERE).part(["checkout-prod"])

    assert before != after
    (group,) = after["server_groups"]
    assert {other.id} == {one["image"] for one in group["instances"]}
    assert group["launch_image"] == other.id


def test_a_disabled_group_is_told_by_its_suspended_process(aws: Aws, reader: InventoryReader) -> None:
    seed_cluster(aws, "checkout-prod", EAST, "checkout", "1.4.1")
    server_groups.disable(aws, server_groups.groups_of(aws, EAST, "checkout-prod")[0])

    (group,) = reader.read_clusters(HERE, ["checkout-prod"]).part(["checkout-prod"])["server_groups"]

    assert group["enabled"] is False


def test_a_cluster_without_instances_is_found_all_the_same(aws: Aws, reader: InventoryReader) -> None:
    seed_cluster(aws, "checkout-prod", EAST, "checkout", "1.4.1", capacity=0)

    (group,) = reader.read_clusters(HERE, ["checkout-prod"]).part(["checkout-prod"])["server_groups"]

    assert (group["name"], group["instances"]) == ("checkout-prod-v000", [])


def test_a_fresh_group_without_instances_is_found_beside_an_old_one(aws: Aws, reader: InventoryReader) -> None:
    seed_cluster(aws, "checkout-prod", EAST, "checkout", "1.4.1")
    seed_cluster(aws, "checkout-prod", EAST, "checkout", "1.4.2", capacity=0)

    part = reader.read_clusters(HERE, ["checkout-prod"]).part(["checkout-prod"])

    assert ["checkout-prod-v000", "checkout-prod-v001"] == [group["name"] for group in part["server_groups"]]


def test_a_group_without_a_push_is_its_own_cluster(aws: Aws, reader: InventoryReader) -> None:
    image = images.register(aws, EAST, "checkout", "1.4.1", NOW)
    server_groups.create(aws, EAST, "checkout-prod", image.id, (1, 1, 1), {"fairlead:key": "k", "team": "payments"})
    server_groups.create(aws, EAST, "checkout-prod-eu-v003", image.id, (1, 1, 1), {})

    part = reader.read_clusters(HERE, ["checkout-prod"]).part(["checkout-prod"])

    assert [("checkout-prod", {"fairlead:key": "k"})] == [(one["name"], one["tags"]) for one in part["server_groups"]]


def test_an_image_that_was_deregistered_does_not_hide_the_others(aws: Aws, reader: InventoryReader) -> None:
    for package in ("checkout", "cart"):
        seed_cluster(aws, f"{package}-prod", EAST, package, "1.0.0")
    (group,) = reader.read_region(HERE).part(["cart-prod"])["server_groups"]
    aws.client("ec2").deregister_image(ImageId=group["launch_image"])

    inventory = reader.read_region(HERE)

    assert inventory.part(["cart-prod"])["images"] == {}
    assert len(inventory.part(["checkout-prod"])["images"]) == 1
    assert len(inventory.part(["cart-prod"])["server_groups"]) == 1


def test_a_bulk_read_costs_pages_and_not_fleets(aws: Aws, reader: InventoryReader) -> None:
    seed_cluster(aws, "one-prod", EAST, "one", "1.0.0")
    reader.read_region(HERE)
    aws.reset_calls()
    reader.read_region(HERE)
    for_one = dict(aws.calls)
    for number in range(5):
        seed_cluster(aws, f"more{number}-prod", EAST, f"more{number}", "1.0.0", capacity=1)
    aws.reset_calls()

    reader.read_region(HERE)

    assert for_one == dict(aws.calls)
    assert sum(for_one.values()) == 4


def test_more_groups_than_a_page_are_all_read(aws: Aws, reader: InventoryReader) -> None:
    image = images.register(aws, EAST, "many", "1.0.0", NOW)
    for number in range(103):
        server_groups.create(aws, EAST, f"many{number}-prod-v000", image.id, (0, 0, 0), {})

    inventory = reader.read_region(HERE)

    assert len(inventory.clusters) == 103
    assert {image.id} == {group["launch_image"] for groups in inventory.clusters.values() for group in groups}


def test_an_assumed_role_reads_as_itself_and_once_verified_asks_no_more(aws: Aws) -> None:
    seed_cluster(aws, "checkout-prod", EAST, "checkout", "1.4.1")
    reader = InventoryReader(Sessions(max_attempts=1))
    place = Place(ACCOUNT, EAST, ROLE)

    for _ in range(2):
        assert len(reader.read_region(place).part(["checkout-prod"])["server_groups"]) == 1

    assert (aws.calls["sts:AssumeRole"], aws.calls["sts:GetCallerIdentity"]) == (1, 1)


def test_a_role_is_assumed_again_before_its_credentials_expire(aws: Aws) -> None:
    clock = ManualClock(datetime.now(UTC))  # noqa: TID251 - moto dates its credentials by this machine's clock
    sessions = Sessions(clock=clock, max_attempts=1)
    client = sessions.client("sts", EAST, role=ROLE)
    client.get_caller_identity()
    clock.advance(timedelta(minutes=30))
    client.get_caller_identity()
    assert aws.calls["sts:AssumeRole"] == 1

    clock.advance(timedelta(minutes=25))
    client.get_caller_identity()

    assert aws.calls["sts:AssumeRole"] == 2


def test_a_role_of_another_account_is_refused_by_name(aws: Aws) -> None:
    place = Place(ACCOUNT, EAST, "arn:aws:iam::999999999999:role/fairlead")

    with pytest.raises(Unreadable, match=r"role/fairlead reaches account 999999999999, and the environment names 1234"):
        InventoryReader(Sessions(max_attempts=1)).read_region(place)


def test_an_endpoint_that_is_gone_is_a_sentence(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    with pytest.raises(Unreadable, match="the AWS endpoint cannot be reached; check the network, the proxy"):
        InventoryReader(Sessions(max_attempts=1)).read_region(HERE)


def test_no_credentials_is_a_sentence(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    with pytest.raises(Unreadable, match="there are no AWS credentials; give the controller an instance profile"):
        InventoryReader(Sessions(max_attempts=1)).read_region(HERE)


def test_an_object_is_written_once(aws: Aws) -> None:
    s3: Any = Sessions(max_attempts=1).client("s3", EAST)
    bucket = f"example-fairlead-{uuid4().hex}"  # moto shares names between servers
    s3.create_bucket(Bucket=bucket)

    for text in (render({"a": "yes"}, "yaml"), "something else"):
        address = put_if_absent(s3, bucket, "config/checkout/d.yaml", text)

    assert address == f"s3://{bucket}/config/checkout/d.yaml"
    assert s3.get_object(Bucket=bucket, Key="config/checkout/d.yaml")["Body"].read() == b'a: "yes"\n'


def test_a_bucket_that_is_not_there_is_a_sentence(aws: Aws) -> None:
    s3 = Sessions(max_attempts=1).client("s3", EAST)

    with pytest.raises(Unreadable, match=r"s3://nowhere-at-all/config/d.yaml.*NoSuchBucket"):
        put_if_absent(s3, "nowhere-at-all", "config/d.yaml", "x")
