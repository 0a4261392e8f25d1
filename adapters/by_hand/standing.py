"""What stands of a cluster in one region, read with everything that the commands of a person need."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.aws.errors import readable
from adapters.aws.groups import our_tags
from adapters.aws.inventory import InventoryReader, Place
from adapters.aws.sessions import Sessions
from adapters.aws.versions import PACKAGE_TAG, evidence
from desired_state.model import Version

Versions = Mapping[str, Version]  # by package


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One server group. `raw` is what DescribeAutoScalingGroups says of it."""

    name: str
    created: datetime
    suspended: frozenset[str]  # processes
    sizes: tuple[int, int, int]  # minimum, maximum, desired
    instances: tuple[str, ...]  # ids of those that serve or are about to
    healthy: int  # of these, in service and healthy
    images: tuple[Mapping[str, Any], ...]  # `{id, name, tags}` of what it runs, or would launch
    target_groups: tuple[str, ...]
    balancers: tuple[str, ...]  # classic ones
    raw: Mapping[str, Any]

    @property
    def enabled(self) -> bool:
        """As Spinnaker itself tells it."""
        return "AddToLoadBalancer" not in self.suspended

    def runs(self, wanted: Versions) -> bool:
        """Every image of it is of these versions."""
        return bool(self.images) and all(is_of(image, wanted) for image in self.images)

    def version(self, packages: Sequence[str]) -> str:
        """What its images say, for people; empty where they say nothing, or not the same."""
        said = {tuple(_said(image, package) for package in packages) for image in self.images}
        only = next(iter(said)) if len(said) == 1 else ()
        return " ".join(dict.fromkeys(version for version in only if version)) if None not in only else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A launch template, by the version that a group uses, and its newest version."""

    id: str
    used: str
    newest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The groups of a cluster in one region, oldest first by creation, and what one could be made from."""

    name: str
    region: str
    groups: tuple[Group, ...]
    image: str = ""  # the newest of the wanted version; empty: there is none
    template: Template | None = None  # of the newest enabled group; None: it launches from none by itself

    @property
    def serving(self) -> tuple[Group, ...]:
        """The groups in service."""
        return tuple(group for group in self.groups if group.enabled)


def is_of(image: Mapping[str, Any], wanted: Versions) -> bool:
    """The image's evidence names each of these versions."""
    return all(evidence(image, image["id"], package, version).version == version for package, version in wanted.items())


class Standing:
    """Reads clusters. Every method raises `Unreadable`. `sessions` must give whole answers."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._reader = InventoryReader(sessions)

    def cluster(self, place: Place, name: str) -> Cluster:
        """The cluster's groups."""
        part = self._reader.read_clusters(place, [name]).part([name])
        names = [group["name"] for group in part["server_groups"]]
        with readable(f"the Auto Scaling groups of {place}", "autoscaling"):
            raws = list(_described(self._client("autoscaling", place), names)) if names else []
        by_name = {raw["AutoScalingGroupName"]: raw for raw in raws}
        groups = (
            _group(each, by_name[each["name"]], part) for each in part["server_groups"] if each["name"] in by_name
        )
        return Cluster(name=name, region=place.region, groups=tuple(sorted(groups, key=lambda one: one.created)))

    def image(self, place: Place, wanted: Versions) -> str:
        """The newest image of these versions that the account sees in the region; empty: there is none."""
        found = {image["id"]: image for image in self._tagged(place, wanted) if is_of(image, wanted)}
        newest = max(found.values(), key=lambda image: (image["created"], image["id"]), default=None)
        return str(newest["id"]) if newest is not None else ""

    def template(self, place: Place, group: Group) -> Template | None:
        """What the group launches from, where that is a template alone."""
        used = group.raw.get("LaunchTemplate") or {}
        if "LaunchTemplateId" not in used:
            return None
        with readable(f"the launch templates of {place}", "ec2"):
            ec2 = self._client("ec2", place)
            answer = ec2.describe_launch_template_versions(
                LaunchTemplateId=used["LaunchTemplateId"], Versions=["$Latest"]
            )
        newest = max((each["VersionNumber"] for each in answer["LaunchTemplateVersions"]), default=0)
        return Template(id=used["LaunchTemplateId"], used=str(used.get("Version") or "$Default"), newest=newest)

    def _tagged(self, place: Place, wanted: Versions) -> Iterator[Mapping[str, Any]]:
        package, version = next(iter(wanted.items()))
        for tag, value in ((PACKAGE_TAG + package, version), ("appversion", f"{package}-{version}*")):
            with readable(f"the images of {place}", "ec2"):
                ec2 = self._client("ec2", place)
                answer = ec2.describe_images(Filters=[{"Name": f"tag:{tag}", "Values": [value]}])
            for image in answer["Images"]:
                tags = our_tags(image.get("Tags", []), also="appversion")
                yield {"id": image["ImageId"], "tags": tags, "created": image.get("CreationDate", "")}

    def _client(self, service: str, place: Place) -> Any:
        return self._sessions.client(service, place.region, role=place.role, account=place.account)


def _described(autoscaling: Any, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for start in range(0, len(names), 100):
        pages = autoscaling.get_paginator("describe_auto_scaling_groups").paginate(
            AutoScalingGroupNames=list(names[start : start + 100])
        )
        yield from (group for page in pages for group in page["AutoScalingGroups"])


def _group(body: Mapping[str, Any], raw: Mapping[str, Any], part: Mapping[str, Any]) -> Group:
    present = [one for one in body["instances"] if one["lifecycle"].startswith(("InService", "Pending"))]
    well = [one for one in present if one["lifecycle"] == "InService" and one["health"].casefold() == "healthy"]
    images = sorted({one["image"] for one in present} or {body["launch_image"]})
    return Group(
        name=body["name"],
        created=raw["CreatedTime"],
        suspended=frozenset(each["ProcessName"] for each in raw.get("SuspendedProcesses", [])),
        sizes=(raw["MinSize"], raw["MaxSize"], raw["DesiredCapacity"]),
        instances=tuple(one["id"] for one in present),
        healthy=len(well),
        images=tuple({"id": image, **part["images"].get(image, {"tags": {}})} for image in images),
        target_groups=tuple(raw.get("TargetGroupARNs", [])),
        balancers=tuple(raw.get("LoadBalancerNames", [])),
        raw=raw,
    )


def _said(image: Mapping[str, Any], package: str) -> Version | None:
    return evidence(image, image["id"], package, "").version
