"""Auto Scaling groups as Spinnaker keeps them: `<cluster>-vNNN`, newest by creation, disabled by a suspended process.

Sources of the rules: Clouddriver's `AbstractServerGroupNameResolver` (the next name) and `AmazonServerGroup` (what
disabled means).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fairlead_sandbox.aws import Aws

_PUSH = re.compile(r"^(?P<cluster>.+)-v(?P<sequence>\d{3,6})$")
KEY_TAG = "fairlead:key"
CONFIG_TAG = "fairlead:config"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerGroup:
    """One Auto Scaling group as a read showed it."""

    name: str
    region: str
    created: datetime
    enabled: bool
    minimum: int
    maximum: int
    desired: int
    instances: tuple[Mapping[str, Any], ...]
    template: str  # the launch template's id
    tags: Mapping[str, str]

    @property
    def sequence(self) -> int:
        """The number of its name. Never order by it: v999 is followed by v000."""
        push = _PUSH.match(self.name)
        return int(push["sequence"]) if push else 0

    @property
    def healthy(self) -> int:
        """Instances in service and healthy."""
        return sum(
            each["LifecycleState"] == "InService" and each["HealthStatus"] == "Healthy" for each in self.instances
        )


def cluster_of(group_name: str) -> str:
    """The cluster's name: the part before `-vNNN`."""
    push = _PUSH.match(group_name)
    return push["cluster"] if push else group_name


def groups_of(aws: Aws, region: str, cluster: str) -> list[ServerGroup]:
    """All groups of a cluster in a region, oldest first by creation."""
    pages = aws.client("autoscaling", region).get_paginator("describe_auto_scaling_groups").paginate()
    described = (each for page in pages for each in page["AutoScalingGroups"])
    found = [_server_group(each, region) for each in described if cluster_of(each["AutoScalingGroupName"]) == cluster]
    return sorted(found, key=lambda group: group.created)


def read(aws: Aws, region: str, name: str) -> ServerGroup | None:
    """One group by name, None when it is gone."""
    answer = aws.client("autoscaling", region).describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    return next((_server_group(each, region) for each in answer["AutoScalingGroups"]), None)


def next_name(cluster: str, existing: list[ServerGroup]) -> str:
    """The name after the most recently created group's, modulo 1000, skipping those that are taken."""
    taken = {group.sequence for group in existing}
    sequence = (existing[-1].sequence + 1) % 1000 if existing else 0
    while sequence in taken:
        sequence = (sequence + 1) % 1000
    return f"{cluster}-v{sequence:03d}"


def create(
    aws: Aws, region: str, name: str, image_id: str, capacity: tuple[int, int, int], tags: Mapping[str, str]
) -> ServerGroup:
    """Make a launch template and a group of `capacity` (minimum, maximum, desired) from an image."""
    minimum, maximum, desired = capacity
    ec2 = aws.client("ec2", region)
    template = ec2.create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": image_id, "InstanceType": "t3.micro"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    aws.client("autoscaling", region).create_auto_scaling_group(
        AutoScalingGroupName=name,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        MinSize=minimum,
        MaxSize=maximum,
        DesiredCapacity=desired,
        VPCZoneIdentifier=",".join(sorted(each["SubnetId"] for each in ec2.describe_subnets()["Subnets"])),
        Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
    )
    made = read(aws, region, name)
    if made is None:
        raise RuntimeError(f"{name} was created in {region} and cannot be read")
    return made


def disable(aws: Aws, group: ServerGroup) -> None:
    """Take a group out of service as Clouddriver does: suspend AddToLoadBalancer."""
    aws.client("autoscaling", group.region).suspend_processes(
        AutoScalingGroupName=group.name, ScalingProcesses=["AddToLoadBalancer"]
    )


def enable(aws: Aws, group: ServerGroup) -> None:
    """Undo `disable`."""
    aws.client("autoscaling", group.region).resume_processes(
        AutoScalingGroupName=group.name, ScalingProcesses=["AddToLoadBalancer"]
    )


def scale_down(aws: Aws, group: ServerGroup) -> None:
    """Scale a group to nothing."""
    resize(aws, group, (0, 0, 0))


def resize(aws: Aws, group: ServerGroup, capacity: tuple[int, int, int]) -> None:
    """Another capacity (minimum, maximum, desired)."""
    minimum, maximum, desired = capacity
    aws.client("autoscaling", group.region).update_auto_scaling_group(
        AutoScalingGroupName=group.name, MinSize=minimum, MaxSize=maximum, DesiredCapacity=desired
    )


def launch_image(aws: Aws, group: ServerGroup) -> str:
    """The id of the AMI that a group launches."""
    asked = aws.client("ec2", group.region).describe_launch_template_versions(
        LaunchTemplateId=group.template, Versions=["$Latest"]
    )
    return str(asked["LaunchTemplateVersions"][0]["LaunchTemplateData"]["ImageId"])


def delete(aws: Aws, group: ServerGroup) -> None:
    """Destroy a group and its launch template."""
    aws.client("autoscaling", group.region).delete_auto_scaling_group(AutoScalingGroupName=group.name, ForceDelete=True)
    aws.client("ec2", group.region).delete_launch_template(LaunchTemplateId=group.template)


def replace_image(aws: Aws, group: ServerGroup, image_id: str) -> None:
    """Point a group at another image by hand and replace its instances, outside any pipeline."""
    autoscaling = aws.client("autoscaling", group.region)
    version = aws.client("ec2", group.region).create_launch_template_version(
        LaunchTemplateId=group.template, LaunchTemplateData={"ImageId": image_id, "InstanceType": "t3.micro"}
    )["LaunchTemplateVersion"]["VersionNumber"]
    autoscaling.update_auto_scaling_group(
        AutoScalingGroupName=group.name,
        LaunchTemplate={"LaunchTemplateId": group.template, "Version": str(version)},
    )
    for each in group.instances:
        autoscaling.terminate_instance_in_auto_scaling_group(
            InstanceId=each["InstanceId"], ShouldDecrementDesiredCapacity=False
        )


def set_health(aws: Aws, group: ServerGroup, *, healthy: bool) -> None:
    """Mark every instance of a group."""
    for each in group.instances:
        aws.client("autoscaling", group.region).set_instance_health(
            InstanceId=each["InstanceId"],
            HealthStatus="Healthy" if healthy else "Unhealthy",
            ShouldRespectGracePeriod=False,
        )


def _server_group(description: Mapping[str, Any], region: str) -> ServerGroup:
    suspended = {each["ProcessName"] for each in description.get("SuspendedProcesses", [])}
    return ServerGroup(
        name=description["AutoScalingGroupName"],
        region=region,
        created=description["CreatedTime"],
        enabled="AddToLoadBalancer" not in suspended,
        minimum=description["MinSize"],
        maximum=description["MaxSize"],
        desired=description["DesiredCapacity"],
        instances=tuple(description.get("Instances", [])),
        template=description.get("LaunchTemplate", {}).get("LaunchTemplateId", ""),
        tags={tag["Key"]: tag["Value"] for tag in description.get("Tags", [])},
    )
