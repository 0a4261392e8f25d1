"""What stands of a cluster in one region, read with everything that the commands of a person need."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from adapters.aws.baked import ImageMissing, Images
from adapters.aws.errors import readable
from adapters.aws.inventory import InventoryReader, Place
from adapters.aws.owners import OwnersWords, untold, with_words
from adapters.aws.sessions import Sessions
from adapters.aws.versions import UNASKED, evidence
from desired_state.model import Fleet, Package, Version

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
    def follows(self) -> str:
        """The launch template of which it always launches the newest version; empty: it does not."""
        used = self.raw.get("LaunchTemplate") or {}
        return str(used.get("LaunchTemplateId", "")) if used.get("Version") == "$Latest" else ""

    @property
    def enabled(self) -> bool:
        """As Spinnaker itself tells it."""
        return "AddToLoadBalancer" not in self.suspended

    def unknown(self, packages: Sequence[str]) -> str:
        """A sentence where its images say nothing of one of these packages; else nothing."""
        silent = [image for image in self.images if any(_said(image, package) is None for package in packages)]
        why = next((f": {image[UNASKED]}" for image in silent if UNASKED in image), "")
        return f"{self.name} stands, and its version is unknown{why}" if silent else ""

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
    image: str = ""  # of the wanted version, to make one from
    template: Template | None = None  # of the newest enabled group; None: it launches from none by itself

    @property
    def serving(self) -> tuple[Group, ...]:
        """The groups in service, but for those that are being deleted."""
        return tuple(group for group in self.groups if group.enabled and not group.raw.get("Status"))


def is_of(image: Mapping[str, Any], wanted: Versions) -> bool:
    """The image's evidence names each of these versions."""
    return all(evidence(image, image["id"], package, version).version == version for package, version in wanted.items())


class Standing:
    """Reads clusters. Every method raises `Unreadable`. `sessions` must give whole answers."""

    def __init__(self, sessions: Sessions, owners: OwnersWords) -> None:
        self._sessions = sessions
        self._reader = InventoryReader(sessions)
        self._owners = owners
        self._images = Images(sessions)

    def cluster(self, place: Place, name: str, owner: Place | None, known: Mapping[str, Any]) -> Cluster:
        """The cluster's groups. `owner` is who else may know what they run; `known` the inventory part of before."""
        part: Mapping[str, Any] = self._reader.read_clusters(place, [name]).part([name])
        if owner is not None and (silent := untold(part)):
            part = with_words(part, self._owners.ask(owner, silent), known)
        names = [group["name"] for group in part["server_groups"]]
        with readable(f"the Auto Scaling groups of {place}", "autoscaling"):
            raws = list(_described(self._client("autoscaling", place), names)) if names else []
        by_name = {raw["AutoScalingGroupName"]: raw for raw in raws}
        groups = (
            _group(each, by_name[each["name"]], part) for each in part["server_groups"] if each["name"] in by_name
        )
        return Cluster(name=name, region=place.region, groups=tuple(sorted(groups, key=lambda one: one.created)))

    def image(self, fleet: Fleet, cluster: Cluster, wanted: Versions) -> str:
        """The AMI of these versions, as a deploy would find it. Raises `LookupError` with a sentence."""
        packages = tuple(Package(name=name, version=version) for name, version in wanted.items())
        try:
            return self._images.find(replace(fleet, packages=packages), cluster.region, cluster.name).image
        except ImageMissing as missing:
            raise LookupError(f"no image of it can be launched: {missing}") from missing

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
