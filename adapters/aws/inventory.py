"""What an account runs in a region: server groups with instances and images, and hosts by their tags.

Read in bulk, or for some clusters, or for some tags.

A bulk read costs as many calls as there are pages. It is canonical: two reads of an unchanged world are equal.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adapters.aws.errors import readable
from adapters.aws.groups import ServerGroup, described_images, groups_named, server_groups
from adapters.aws.hosts import Host, Hosts, Tags, read_hosts
from adapters.aws.instances import GROUP_TAG, Instances, filtered, group_of, images_of_ids, read_all
from adapters.aws.launch_images import Launch, LaunchImages
from adapters.aws.names import cluster_of, neighbours, sequence_of
from adapters.aws.sessions import Sessions

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
    first, with a `status` while it is being deleted; an instance: `{id, image, lifecycle, health}`; an image:
    `{name, tags}`, by image id. Of tags, only those that are ours (`fairlead:*`) and an image's `appversion` are kept.
    Hosts are as `hosts` says, with all their tags.
    """

    clusters: Mapping[str, tuple[Mapping[str, Any], ...]]
    images: Mapping[str, Mapping[str, Any]]
    hosts: Hosts = field(default_factory=Hosts)
    lifecycles: Mapping[str, str] = field(default_factory=dict)  # of the hosts that are in a group, by id

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
        groups = self._groups(autoscaling, place)
        with readable(f"the instances of {place}", "ec2"):
            images, hosts = read_all(ec2)
        return self._assemble_region(place, groups, images, hosts)

    def read_again(self, place: Place, known: Instances, tags: Collection[Tags]) -> Inventory:
        """The same, with those hosts only that have all tags of one of these. What `known` holds is not asked again."""
        autoscaling, ec2 = self._clients(place)
        groups = self._groups(autoscaling, place)
        with readable(f"the instances of {place}", "ec2"):
            hosts = known.read(ec2, [one for group in groups for one in group.unnamed()], tags)
        return self._assemble_region(place, groups, known.images, hosts)

    def read_hosts(self, place: Place, tags: Tags) -> tuple[Host, ...]:
        """The hosts that have all of these tags."""
        ec2 = self._sessions.client("ec2", place.region, role=place.role, account=place.account)
        with readable(f"the instances of {place}", "ec2"):
            return read_hosts(ec2, tags)

    def read_lifecycles(self, place: Place, hosts: Collection[Host]) -> Mapping[str, str]:
        """What Auto Scaling says of those of these hosts that are in a group, by id. A call for a hundred groups."""
        names = sorted({name for host in hosts if (name := host["tags"].get(GROUP_TAG))})
        if not names:
            return {}
        autoscaling, _ = self._clients(place)
        with readable(f"the Auto Scaling groups of {place}", "autoscaling"):
            return _lifecycles(groups_named(autoscaling, place.region, names), {host["id"] for host in hosts})

    def read_clusters(self, place: Place, clusters: Collection[str]) -> Inventory:
        """These clusters only. Reads the whole region's groups where a cluster shows no instance to find it by."""
        autoscaling, ec2 = self._clients(place)
        groups: list[ServerGroup] = []
        with readable(f"the Auto Scaling groups of {place}", "autoscaling"):
            for cluster in sorted(set(clusters)):
                groups += _of_cluster(autoscaling, ec2, place.region, cluster)
        with readable(f"the instances of {place}", "ec2"):
            images = images_of_ids(ec2, [one for group in groups for one in group.unnamed()])
        with readable(f"the launch templates of {place}", "ec2"):
            launch = self._launch_images.of_groups(ec2, autoscaling, _launches(groups))
        return _assembled(ec2, place, groups, images, launch, Hosts())

    def _clients(self, place: Place) -> tuple[Any, Any]:
        def client(service: str) -> Any:
            return self._sessions.client(service, place.region, role=place.role, account=place.account)

        return client("autoscaling"), client("ec2")

    def _groups(self, autoscaling: Any, place: Place) -> list[ServerGroup]:
        with readable(f"the Auto Scaling groups of {place}", "autoscaling"):
            return list(server_groups(autoscaling, place.region))

    def _assemble_region(
        self, place: Place, groups: Sequence[ServerGroup], images: Mapping[str, str], hosts: Hosts
    ) -> Inventory:
        autoscaling, ec2 = self._clients(place)
        with readable(f"the launch templates of {place}", "ec2"):
            launch = self._launch_images.of_region(ec2, autoscaling, _launches(groups))
        return _assembled(ec2, place, groups, images, launch, hosts)


def _launches(groups: Sequence[ServerGroup]) -> list[Launch]:
    return [group.launch for group in groups]


def _assembled(
    ec2: Any,
    place: Place,
    groups: Sequence[ServerGroup],
    images: Mapping[str, str],
    launch: Mapping[str, str],
    hosts: Hosts,
) -> Inventory:
    clusters: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for group in groups:
        clusters[cluster_of(group.name)].append(group.with_images(images, launch.get(group.name, "")))
    ids = {image for found in clusters.values() for group in found for image in images_of(group)}
    with readable(f"the images of {place}", "ec2"):
        described = described_images(ec2, sorted(ids))
    ordered = {
        cluster: tuple(sorted(found, key=lambda group: (group["created"], group["name"])))
        for cluster, found in clusters.items()
    }
    lifecycles = _lifecycles(groups, {host["id"] for host in hosts.all})
    return Inventory(clusters=ordered, images=described, hosts=hosts, lifecycles=lifecycles)


def _lifecycles(groups: Iterable[ServerGroup], hosts: Collection[str]) -> dict[str, str]:
    members = (one for group in groups for one in group.body["instances"])
    return {one["id"]: one["lifecycle"] for one in members if one["id"] in hosts}


def _of_cluster(autoscaling: Any, ec2: Any, region: str, cluster: str) -> list[ServerGroup]:
    """The groups of one cluster. No AWS filter takes a name's beginning, but instances carry their group's name."""
    names = _group_names(ec2, cluster)
    if not names:
        return [group for group in server_groups(autoscaling, region) if cluster_of(group.name) == cluster]
    known = list(groups_named(autoscaling, region, sorted({cluster, *names})))
    newest = max(known, key=lambda group: group.created, default=None)
    sequence = sequence_of(newest.name) if newest else None
    around = set() if sequence is None else set(neighbours(cluster, sequence, PUSHES_AROUND))
    found = {group.name: group for group in known}
    missing = sorted(around - set(found))
    found.update((group.name, group) for group in groups_named(autoscaling, region, missing))
    return list(found.values())


def _group_names(ec2: Any, cluster: str) -> set[str]:
    found = filtered(ec2, f"tag:{GROUP_TAG}", [cluster, f"{cluster}-v*"])
    return {name for instance in found if (name := group_of(instance)) and cluster_of(name) == cluster}
