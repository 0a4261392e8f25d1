"""A place that is read again and again: what is asked once, and that nothing else is ever old."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.aws.instances import TRUSTED, Instances
from adapters.aws.inventory import Inventory, InventoryReader, Place
from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.bulk.aws import BulkAws
from fairlead_sandbox.bulk.estate import Estate, Group, Instance
from reconciler.ports import Unreadable

EAST = "us-east-1"
HERE = Place(ACCOUNT, EAST, None)
NOW = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
CLUSTER = "checkout-prod"
MM = {"service": "mm", "environment": "prod"}


class Look:
    """One place, read again by one process."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.reader = InventoryReader(Sessions(max_attempts=1))
        self.known = Instances(self.clock)

    def again(self, *tags: Mapping[str, str]) -> Inventory:
        return self.reader.read_again(HERE, self.known, tags)

    def running(self) -> dict[str, str]:
        """Images by instance id, of the one cluster."""
        return running(self.again())

    def hosts(self, *tags: Mapping[str, str]) -> list[str]:
        return [str(host["id"]) for host in self.again(*tags).hosts.all]


def running(inventory: Inventory) -> dict[str, str]:
    return {one["id"]: one["image"] for group in inventory.clusters[CLUSTER] for one in group["instances"]}


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> Iterator[BulkAws]:
    with BulkAws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        yield aws


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with Aws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        yield aws


@pytest.fixture
def look() -> Look:
    return Look()


@pytest.fixture
def estate(bulk: BulkAws) -> Estate:
    return bulk.estate(EAST)


@pytest.fixture
def group(bulk: BulkAws) -> Group:
    return bulk.seed_cluster(CLUSTER, EAST, "checkout", "1.4.1", capacity=3)


def add_host(bulk: BulkAws, **tags: str) -> Instance:
    return bulk.estate(EAST).add_host(bulk.image(EAST, "agent", "1").id, tags, 0, NOW)


def asked(aws: BulkAws | Aws) -> int:
    """How often EC2 was asked for instances since the last question."""
    count = aws.calls["ec2:DescribeInstances"]
    aws.calls["ec2:DescribeInstances"] = 0
    return int(count)


# -- what is asked once ---------------------------------------------------------------------------------------------


def test_instances_that_are_known_are_not_asked_for_again(bulk: BulkAws, group: Group, look: Look) -> None:
    first = look.again()
    assert asked(bulk) == 1

    again = look.again()

    assert asked(bulk) == 0
    assert again.part([CLUSTER]) == first.part([CLUSTER])
    assert running(again) == {one.id: group.template.images[0] for one in group.instances}


def test_a_read_again_shows_what_a_read_of_everything_shows(bulk: BulkAws, group: Group, look: Look) -> None:
    add_host(bulk, **MM)
    for _ in range(2):
        whole, again = look.reader.read_region(HERE), look.again(MM)

        assert again.part([CLUSTER]) == whole.part([CLUSTER])
        assert again.hosts.tagged(MM) == whole.hosts.tagged(MM)


def test_only_new_instances_are_asked_for_and_by_their_ids(bulk: BulkAws, look: Look) -> None:
    for number in range(250):
        bulk.seed_cluster(f"svc{number:04d}-prod", EAST, "svc", "1.0.0", capacity=10)
    look.again()
    assert asked(bulk) == 3
    bulk.seed_cluster(CLUSTER, EAST, "checkout", "1.4.1", capacity=201)

    found = look.running()

    assert asked(bulk) == 2
    assert len(found) == 201
    assert "" not in found.values()


def test_where_nearly_everything_is_new_everything_is_read_in_fewer_calls(bulk: BulkAws, look: Look) -> None:
    look.again()
    asked(bulk)
    for number in range(100):
        bulk.seed_cluster(f"svc{number:04d}-prod", EAST, "svc", "1.0.0", capacity=10)

    inventory = look.again()

    assert asked(bulk) == 1
    assert {""} & {one["image"] for found in inventory.clusters.values() for one in found[0]["instances"]} == set()


# -- what changes is seen at once -----------------------------------------------------------------------------------


def test_instances_that_were_replaced_in_a_group_of_the_same_size_are_seen(
    bulk: BulkAws, group: Group, look: Look
) -> None:
    before = look.running()

    bulk.set_version(CLUSTER, EAST, "9.9.9")

    after = look.running()
    assert len(after) == len(before)
    assert set(after) & set(before) == set()
    assert set(after.values()) == {group.template.images[-1]} != set(before.values())


def test_one_instance_that_was_replaced_is_seen_in_a_real_aws(moto: Aws, look: Look) -> None:
    image = images.register(moto, EAST, "checkout", "1.4.1", NOW)
    made = server_groups.create(moto, EAST, f"{CLUSTER}-v000", image.id, (2, 2, 2), {})
    before = look.running()
    other = images.register(moto, EAST, "checkout", "9.9.9", NOW)
    server_groups.replace_image(moto, made, other.id)

    after = look.running()

    assert (set(before.values()), set(after.values())) == ({image.id}, {other.id})
    assert look.again().part([CLUSTER]) == look.reader.read_region(HERE).part([CLUSTER])


def test_an_instance_whose_root_volume_was_replaced_runs_the_image_that_auto_scaling_tells(
    bulk: BulkAws, group: Group, look: Look
) -> None:
    look.again()
    other = bulk.image(EAST, "checkout", "1.4.2").id
    group.instances[0].new_root = other

    inventory = look.again()

    assert running(inventory)[group.instances[0].id] == other
    assert inventory.part([CLUSTER])["images"][other]["tags"]["fairlead:package/checkout"] == "1.4.2"
    assert running(look.reader.read_clusters(HERE, [CLUSTER])) == running(inventory)


def test_an_instance_that_left_its_group_is_gone_and_its_successor_is_known(
    bulk: BulkAws, group: Group, estate: Estate, look: Look
) -> None:
    look.again()
    left = group.instances[0]
    estate.remove_instance(left)
    estate.fill(group, NOW)

    found = look.running()

    assert left.id not in found
    assert left.id not in look.known.images
    assert found == {one.id: one.image for one in group.instances}


def test_health_lifecycle_and_tags_of_groups_are_read_each_time(bulk: BulkAws, group: Group, look: Look) -> None:
    look.again()
    group.instances[0].healthy, group.instances[1].lifecycle = False, "Terminating"
    group.tags, group.enabled, group.desired = {"fairlead:key": "k"}, False, 2

    (seen,) = look.again().clusters[CLUSTER]

    ills = {one["id"]: (one["health"], one["lifecycle"]) for one in seen["instances"]}
    assert ills[group.instances[0].id] == ("Unhealthy", "InService")
    assert ills[group.instances[1].id] == ("Healthy", "Terminating")
    assert (seen["tags"], seen["enabled"], seen["capacity"]["desired"]) == ({"fairlead:key": "k"}, False, 2)


def test_an_instance_that_ec2_does_not_know_yet_is_asked_for_again(
    bulk: BulkAws, group: Group, estate: Estate, look: Look
) -> None:
    look.again()
    group.desired = 4
    estate.fill(group, NOW)
    late = estate.instances.pop(group.instances[-1].id)
    assert look.running()[late.id] == ""

    estate.instances[late.id] = late

    assert look.running()[late.id] == late.image


def test_what_is_held_to_be_unchanging_is_read_anew_after_an_hour(bulk: BulkAws, group: Group, look: Look) -> None:
    look.again()
    group.instances[0].image = other = bulk.image(EAST, "checkout", "6.6.6").id
    look.clock.advance(TRUSTED - timedelta(seconds=1))
    assert other not in look.running().values()
    assert other in running(look.reader.read_clusters(HERE, [CLUSTER])).values()  # who is about to act asks EC2

    look.clock.advance(timedelta(seconds=1))

    assert look.running()[group.instances[0].id] == other


def test_a_read_that_failed_half_way_is_made_good_by_the_next(bulk: BulkAws, group: Group, look: Look) -> None:
    look.again()
    bulk.set_version(CLUSTER, EAST, "9.9.9")
    bulk.fail("ec2:DescribeInstances", "RequestLimitExceeded", status=503)

    with pytest.raises(Unreadable, match="AWS throttled ec2:DescribeInstances"):
        look.again()

    assert set(look.running().values()) == {group.template.images[-1]}


def test_a_first_read_that_failed_is_a_first_read_again(bulk: BulkAws, group: Group, look: Look) -> None:
    bulk.fail("ec2:DescribeInstances", "UnauthorizedOperation", status=403)
    with pytest.raises(Unreadable, match="access to ec2:DescribeInstances is denied"):
        look.again()

    assert look.running() == {one.id: one.image for one in group.instances}


# -- hosts ----------------------------------------------------------------------------------------------------------


def test_hosts_are_read_by_their_tags_beside_instances_that_are_not_read(bulk: BulkAws, look: Look) -> None:
    host = add_host(bulk, **MM)
    for number in range(150):
        bulk.seed_cluster(f"svc{number:04d}-prod", EAST, "svc", "1.0.0", capacity=10)
    assert look.hosts(MM) == [host.id]
    assert asked(bulk) == 2

    assert look.hosts(MM) == [host.id]
    assert asked(bulk) == 1


def test_a_host_that_is_retagged_leaves_one_fleet_and_joins_another_at_once(moto: Aws, look: Look) -> None:
    image = images.register(moto, EAST, "agent", "1", NOW)
    made = server_groups.create(moto, EAST, "mm-prod", image.id, (1, 1, 1), MM)
    (host,) = [each["InstanceId"] for each in made.instances]
    other = {**MM, "service": "other"}
    assert (look.hosts(MM), look.hosts(other)) == ([host], [])

    moto.client("ec2", EAST).create_tags(Resources=[host], Tags=[{"Key": "service", "Value": "other"}])

    assert (look.hosts(MM), look.hosts(other)) == ([], [host])
    assert look.again(MM, other).hosts.tagged(other) == look.reader.read_hosts(HERE, other)


@pytest.mark.parametrize("end", ["stop_instances", "terminate_instances"])
def test_a_host_that_is_stopped_or_terminated_is_no_host_any_more(moto: Aws, look: Look, end: str) -> None:
    ec2, image = moto.client("ec2", EAST), images.register(moto, EAST, "agent", "1", NOW)
    tags = [{"Key": key, "Value": value} for key, value in MM.items()]
    spec: list[dict[str, Any]] = [{"ResourceType": "instance", "Tags": tags}]
    launched = ec2.run_instances(ImageId=image.id, MinCount=2, MaxCount=2, TagSpecifications=spec)["Instances"]
    first, second = sorted(each["InstanceId"] for each in launched)
    assert look.hosts(MM) == [first, second]

    getattr(ec2, end)(InstanceIds=[first])

    assert look.hosts(MM) == [second]


def test_a_fleet_that_is_new_finds_its_hosts_at_the_next_read(bulk: BulkAws, look: Look) -> None:
    one, two = add_host(bulk, **MM), add_host(bulk, service="cart", zone="b")
    assert look.hosts(MM) == [one.id]

    assert look.hosts(MM, {"service": "cart"}) == [one.id, two.id]


def test_many_fleets_share_calls_within_the_limit_of_filter_values(bulk: BulkAws, look: Look) -> None:
    tags = [{"service": f"mm-{number}", "environment": "prod"} for number in range(300)]
    hosts = [add_host(bulk, **each) for each in tags]
    for number in range(600):
        bulk.seed_cluster(f"svc{number:04d}-prod", EAST, "svc", "1.0.0", capacity=10)
    look.again(*tags)
    asked(bulk)

    found = look.hosts(*tags)

    assert asked(bulk) == 2
    assert found == [host.id for host in hosts]


def test_hosts_of_more_than_a_page_are_all_read(bulk: BulkAws, look: Look) -> None:
    hosts = [add_host(bulk, **MM).id for _ in range(1500)]
    for number in range(200):
        bulk.seed_cluster(f"svc{number:04d}-prod", EAST, "svc", "1.0.0", capacity=10)
    look.again(MM)
    asked(bulk)

    assert look.hosts(MM) == hosts
    assert asked(bulk) == 2


def test_values_of_different_fleets_do_not_mix(bulk: BulkAws, look: Look) -> None:
    asked_for = [{"service": "a", "environment": "prod"}, {"service": "b", "environment": "dev"}]
    wanted = [add_host(bulk, **each).id for each in asked_for]
    add_host(bulk, service="a", environment="dev")  # no fleet's, though each of its values is some fleet's

    for _ in range(2):
        assert look.hosts(*asked_for) == wanted


def test_a_star_in_a_tag_is_a_star(bulk: BulkAws, look: Look) -> None:
    host = add_host(bulk, service="mm*")
    add_host(bulk, service="mmx")
    for _ in range(1001):
        add_host(bulk, service="filler")

    for _ in range(2):
        assert look.hosts({"service": "mm*"}) == [host.id]


def test_tags_that_select_everything_read_everything(bulk: BulkAws, group: Group, look: Look) -> None:
    host = add_host(bulk, **MM)

    for _ in range(2):
        assert look.hosts({}) == sorted([host.id, *(one.id for one in group.instances)])
