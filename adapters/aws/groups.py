"""Auto Scaling groups in our own words, page by page, and the images that they name."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from sys import intern
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of
from adapters.aws.launch_images import Group, Launch, launch_of

OUR_TAGS = "fairlead:"
PAGE = 100  # groups, the most that Auto Scaling gives in one answer and takes names of


class ServerGroup(NamedTuple):
    """A group as `inventory.Inventory` tells it, but for the images, which Auto Scaling does not know of all."""

    name: str
    created: datetime
    launch: Launch
    body: dict[str, Any]

    def unnamed(self) -> Iterator[str]:
        """The ids of its instances whose image Auto Scaling does not tell."""
        return (one["id"] for one in self.body["instances"] if not one["image"])

    def with_images(self, images: Mapping[str, str], launch_image: str) -> dict[str, Any]:
        """The whole, with these images by instance id where Auto Scaling tells none."""
        for one in self.body["instances"]:
            one["image"] = one["image"] or images.get(one["id"], "")
        self.body["launch_image"] = launch_image
        return self.body


def server_groups(autoscaling: Any, region: str) -> Iterator[ServerGroup]:
    """All groups of the region."""
    return _read(autoscaling, region)


def groups_named(autoscaling: Any, region: str, names: Sequence[str]) -> Iterator[ServerGroup]:
    """Those of these names that there are."""
    for start in range(0, len(names), PAGE):
        yield from _read(autoscaling, region, AutoScalingGroupNames=list(names[start : start + PAGE]))


def _read(autoscaling: Any, region: str, **asked: Any) -> Iterator[ServerGroup]:
    pages = autoscaling.get_paginator("describe_auto_scaling_groups").paginate(
        **asked, PaginationConfig={"PageSize": PAGE}
    )
    for page in pages:
        yield from (_server_group(group, region) for group in page["AutoScalingGroups"])


def _server_group(group: Group, region: str) -> ServerGroup:
    suspended = {process["ProcessName"] for process in group.get("SuspendedProcesses", [])}
    body = {
        "name": group["AutoScalingGroupName"],
        "region": region,
        "created": group["CreatedTime"].isoformat(),
        "enabled": "AddToLoadBalancer" not in suspended,  # as Spinnaker itself tells enabled from disabled
        "capacity": {"min": group["MinSize"], "max": group["MaxSize"], "desired": group["DesiredCapacity"]},
        "tags": our_tags(group.get("Tags", [])),
        "launch_image": "",
        "instances": sorted(map(_instance, group["Instances"]), key=lambda instance: str(instance["id"])),
    }
    if group.get("Status"):  # only while it is being deleted, says Auto Scaling's API reference
        body["status"] = group["Status"]
    return ServerGroup(group["AutoScalingGroupName"], group["CreatedTime"], launch_of(group), body)


def _instance(instance: Mapping[str, Any]) -> dict[str, str]:
    """The image is that of the root volume that it has now, which Auto Scaling tells of those where that may be another
    than it was launched from (its API reference, data type Instance, ImageId); of all others EC2 tells it.
    """
    return {
        "id": instance["InstanceId"],
        "image": intern(instance.get("ImageId", "")),
        "lifecycle": intern(instance["LifecycleState"]),
        "health": intern(instance["HealthStatus"]),
    }


def our_tags(tags: Iterable[Mapping[str, Any]], also: str = "") -> dict[str, str]:
    """Those that are Fairlead's own, and the one called `also`."""
    ours = [(tag["Key"], tag["Value"]) for tag in tags if tag["Key"].startswith(OUR_TAGS) or tag["Key"] == also]
    return dict(sorted(ours))


def described_images(ec2: Any, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Name and tags of the images that there are, by id."""
    found = {}
    known = [image for image in ids if image.startswith("ami-")]
    for start in range(0, len(known), 200):
        for image in image_batch(ec2, known[start : start + 200]):
            tags = our_tags(image.get("Tags", []), also="appversion")
            found[image["ImageId"]] = {"name": image.get("Name", ""), "tags": tags}
    return found


def image_batch(ec2: Any, ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """One id that was deregistered fails a call by ids; a filter, slower, passes over it."""
    try:
        return list(ec2.describe_images(ImageIds=ids)["Images"])
    except ClientError as error:
        if not code_of(error).startswith("InvalidAMIID"):
            raise
    return list(ec2.describe_images(Filters=[{"Name": "image-id", "Values": ids}])["Images"])
