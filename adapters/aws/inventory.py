"""What an account runs in a region: server groups with instances and images, and hosts by their tags.

Read in bulk, or for some clusters, or for some tags.

A bulk read costs as many calls as there are pages. It is canonical: two reads of an unchanged world are equal.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of, readable
from adapters.aws.hosts import Host, Hosts, Tags, host_of, instances, read_hosts
from adapters.aws.launch_images import Group, LaunchImages
from adapters.aws.names import cluster_of, neighbours, sequence_of
from adapters.aws.sessions import Sessions

GROUP_TAG = "aws:autoscaling:groupName"
OUR_TAGS = "fairlead:"
PUSHES_AROUND = 40  # a narrow read asks for the groups this many pushes around the newest: all in one call


def inventory_feed(account: str, region: str) -> str:
    """The name of a region's feed."""
    return f"inventory/{account}/{region}"


class Place(NamedTuple):
    """One account and region, and the role that reads it (None: the controller's own identity)."""

    account: str
    region: str
    role: str | None

    def __str__(self) -> str:
        return f"account {self.account} in {self.region}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """Server groups by cluster, the images that they name, and hosts. All of it is plain JSON.

    A group: `{name, region, created, enabled, capacity: {min, max, desired}, tags, launch_image, instances}`, oldest
    first; an instance: `{id, image, lifecycle, health}`; an image: `{name, tags}`, by image id. Of tags, only those
    that are ours (`fairlead:*`) and an image's `appversion` are kept. Hosts are as `hosts` says, with all their tags.
    """

    clusters: Mapping[str, tuple[Mapping[str, Any], ...]]
    images: Mapping[str, Mapping[str, Any]]
    hosts: Hosts = field(default_factory=Hosts)

    def part(self, clusters: Collection[str]) -> dict[str, Any]:
        """What belongs to these clusters, as a snapshot's body: `{"server_groups": [...], "images": {...}}`."""
        groups = [group for cluster in sorted(set(clusters)) for group in self.clusters.get(cluster, ())]
        ids = sorted({image for group in groups for image in images_of(group)})
        return {"server_groups": groups, "images": {image: self.images[image] for image in ids if image in self.images}}


def images_of(group: Mapping[str, Any]) -> Iterator[str]:
    """Every image id that a group runs or would launch."""
    if group["launch_image"]:
        yield group["launch_image"]
    yield from (instance["image"] for instance in group["instances"] if instance["image"])


class InventoryReader:
    """Reads inventories through AWS's Describe calls. Every method raises `Unreadable` on trouble."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._launch_images = LaunchImages()

    def read_region(self, place: Place) -> Inventory:
        """Everything in the account and region. One read of the instances serves groups and hosts."""
        autoscaling, ec2 = self._clients(place)
        with readable(f"the Auto Scaling groups of {place}", "autoscaling"):
            groups = list(_groups(autoscaling))
        with readable(f"the instances of {place}", "ec2"):
            images, hosts = _images_and_hosts(instances(ec2))
        with readable(f"the launch templates of {place}", "ec2"):
            launch = self._launch_images.of_region(ec2, autoscaling, groups)
        return replace(self._assemble(ec2, place, groups, images, launch), hosts=hosts)

    def read_hosts(self, place: Place, tags: Tags) -> tuple[Host, ...]:
        """The hosts that have all of these tags."""
        ec2 = self._sessions.client("ec2", place.region, role=place.role, account=place.account)
        with readable(f"the instances of {place}", "ec2"):
            return read_hosts(ec2, tags)

    def read_clusters(self, place: Place, clusters: Collection[str]) -> Inventory:
        """These clusters only. Reads the whole region's groups where a cluster shows no instance to find it by."""
        autoscaling, ec2 = self._clients(place)
        groups: list[Group] = []
        with readable(f"the Auto Scaling groups of {place}", "autoscaling"):
            for cluster in sorted(set(clusters)):
                groups += self._groups_of(autoscaling, ec2, cluster)
        ids = [instance["InstanceId"] for group in groups for instance in group["Instances"]]
        with readable(f"the instances of {place}", "ec2"):
            images = dict(_images_by_instance(ec2, "instance-id", ids))
        with readable(f"the launch templates of {place}", "ec2"):
            launch = self._launch_images.of_groups(ec2, autoscaling, groups)
        return self._assemble(ec2, place, groups, images, launch)

    def _clients(self, place: Place) -> tuple[Any, Any]:
        def client(service: str) -> Any:
            return self._sessions.client(service, place.region, role=place.role, account=place.account)

        return client("autoscaling"), client("ec2")

    def _groups_of(self, autoscaling: Any, ec2: Any, cluster: str) -> list[Group]:
        """The groups of one cluster. No AWS filter takes a name's beginning, but instances carry their group's name."""
        names = _group_names(ec2, cluster)
        if not names:
            return [group for group in _groups(autoscaling) if cluster_of(group["AutoScalingGroupName"]) == cluster]
        known = list(_groups(autoscaling, sorted({cluster, *names})))
        newest = max(known, key=lambda group: group["CreatedTime"], default=None)
        sequence = sequence_of(newest["AutoScalingGroupName"]) if newest else None
        around = set() if sequence is None else set(neighbours(cluster, sequence, PUSHES_AROUND))
        found = {group["AutoScalingGroupName"]: group for group in known}
        missing = sorted(around - set(found))
        found.update((group["AutoScalingGroupName"], group) for group in _groups(autoscaling, missing) if missing)
        return list(found.values())

    def _assemble(
        self, ec2: Any, place: Place, groups: Sequence[Group], images: Mapping[str, str], launch: Mapping[str, str]
    ) -> Inventory:
        clusters: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for group in groups:
            name = group["AutoScalingGroupName"]
            clusters[cluster_of(name)].append(_server_group(group, place.region, launch.get(name, ""), images))
        ids = {image for found in clusters.values() for group in found for image in images_of(group)}
        with readable(f"the images of {place}", "ec2"):
            described = _describe_images(ec2, sorted(ids))
        ordered = {
            cluster: tuple(sorted(found, key=lambda group: (group["created"], group["name"])))
            for cluster, found in clusters.items()
        }
        return Inventory(clusters=ordered, images=described)


def _groups(autoscaling: Any, names: Sequence[str] | None = None) -> Iterator[Group]:
    paginator = autoscaling.get_paginator("describe_auto_scaling_groups")
    batches = [{}] if names is None else [{"AutoScalingGroupNames": batch} for batch in _batches(names, 100)]
    for batch in batches:
        for page in paginator.paginate(**batch, PaginationConfig={"PageSize": 100}):
            yield from page["AutoScalingGroups"]


def _images_and_hosts(found: Iterable[Mapping[str, Any]]) -> tuple[dict[str, str], Hosts]:
    """One by one: what EC2 tells of an instance is ten times what is kept of it."""
    images: dict[str, str] = {}
    hosts: list[Host] = []
    for instance in found:
        if _group_of(instance):
            images[instance["InstanceId"]] = instance["ImageId"]
        if (host := host_of(instance)) is not None:
            hosts.append(host)
    return images, Hosts(hosts)


def _images_by_instance(ec2: Any, filter_name: str, values: Sequence[str]) -> Iterator[tuple[str, str]]:
    for instance in _instances(ec2, filter_name, values):
        yield instance["InstanceId"], instance["ImageId"]


def _group_names(ec2: Any, cluster: str) -> set[str]:
    found = _instances(ec2, f"tag:{GROUP_TAG}", [cluster, f"{cluster}-v*"])
    return {name for instance in found if (name := _group_of(instance)) and cluster_of(name) == cluster}


def _group_of(instance: Mapping[str, Any]) -> str:
    """The Auto Scaling group that launched it, or an empty text."""
    return next((str(tag["Value"]) for tag in instance.get("Tags", []) if tag["Key"] == GROUP_TAG), "")


def _instances(ec2: Any, filter_name: str, values: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for batch in _batches(values, 200):
        yield from instances(ec2, [{"Name": filter_name, "Values": batch}])


def _server_group(group: Group, region: str, launch_image: str, images: Mapping[str, str]) -> dict[str, Any]:
    suspended = {process["ProcessName"] for process in group.get("SuspendedProcesses", [])}
    instances = [
        {
            "id": instance["InstanceId"],
            "image": images.get(instance["InstanceId"], ""),
            "lifecycle": instance["LifecycleState"],
            "health": instance["HealthStatus"],
        }
        for instance in group["Instances"]
    ]
    return {
        "name": group["AutoScalingGroupName"],
        "region": region,
        "created": group["CreatedTime"].isoformat(),
        "enabled": "AddToLoadBalancer" not in suspended,  # as Spinnaker itself tells enabled from disabled
        "capacity": {"min": group["MinSize"], "max": group["MaxSize"], "desired": group["DesiredCapacity"]},
        "tags": _our_tags(group.get("Tags", [])),
        "launch_image": launch_image,
        "instances": sorted(instances, key=lambda instance: str(instance["id"])),
    }


def _our_tags(tags: Iterable[Mapping[str, Any]], also: str = "") -> dict[str, str]:
    ours = [(tag["Key"], tag["Value"]) for tag in tags if tag["Key"].startswith(OUR_TAGS) or tag["Key"] == also]
    return dict(sorted(ours))


def _describe_images(ec2: Any, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for batch in _batches([image for image in ids if image.startswith("ami-")], 200):
        for image in _image_batch(ec2, batch):
            tags = _our_tags(image.get("Tags", []), also="appversion")
            found[image["ImageId"]] = {"name": image.get("Name", ""), "tags": tags}
    return found


def _image_batch(ec2: Any, ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """One id that was deregistered fails a call by ids; a filter, slower, passes over it."""
    try:
        return list(ec2.describe_images(ImageIds=ids)["Images"])
    except ClientError as error:
        if not code_of(error).startswith("InvalidAMIID"):
            raise
    return list(ec2.describe_images(Filters=[{"Name": "image-id", "Values": ids}])["Images"])


def _batches(values: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(values), size):
        yield list(values[start : start + size])
