"""The commands that make a server group of a version from its image, where none stands. Pure.

It is like the group that serves, launched from a copy of its launch template with the other image.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

from adapters.aws.names import sequence_of
from adapters.by_hand.standing import Cluster, Group, Template
from adapters.by_hand.steps import Step, aws, disabling, healthy, sizes_for

UNKEPT = ("aws:", "fairlead:")  # tags that AWS keeps for itself, and those that say what another deploy was told


def making(cluster: Cluster, version: str) -> Iterator[Step]:
    """Bring up a group of the version from `cluster.image`, then take the others out of service.

    Raises `LookupError` with a sentence where there is nothing that it could be made from.
    """
    source, template = _source(cluster), cluster.template
    if source is None:
        raise LookupError(f"{cluster.name} has no server group in service in {cluster.region} to make one like it")
    if template is None:
        raise LookupError(
            f"{source.name} launches from no template of its own; make a group of {cluster.image} as that one was made"
        )
    name, number = next_name(cluster), template.newest + 1
    yield from _pinned(cluster, template)
    yield Step(
        does=f"copy version {template.used} of launch template {template.id}, with the image {cluster.image}",
        commands=(_copied(cluster, template, version),),
        expect=f"it answers {number}; if it answers another number, say that one in the next command",
    )
    low, high, desired = sizes_for(replace(source, sizes=(0, 0, 0)), cluster.serving)
    yield Step(
        does=f"make {name} from it, like {source.name}; its user data is that of {source.name}",
        commands=(_created(cluster, source, template, name, number, (low, high, desired)),),
    )
    yield _unlike(source, name, cluster.region)
    yield healthy(name, desired, source.target_groups, cluster.region)
    yield from disabling(cluster.serving, name, cluster.region)


def _pinned(cluster: Cluster, template: Template) -> Iterator[Step]:
    """A new version of a template is at once that of every group that follows the newest."""
    followers = [group.name for group in cluster.groups if group.follows == template.id and not group.raw.get("Status")]
    version = f"LaunchTemplateId={template.id},Version={template.newest}"
    if followers:
        yield Step(
            does=f"keep {' and '.join(followers)} at version {template.newest} of launch template {template.id}: "
            "launching $Latest, they would launch the other image from the next step on. "
            "Other clusters that launch its $Latest must be kept likewise",
            commands=tuple(
                aws(
                    "autoscaling",
                    "update-auto-scaling-group",
                    cluster.region,
                    auto_scaling_group_name=name,
                    launch_template=version,
                )
                for name in followers
            ),
        )


def _unlike(source: Group, name: str, region: str) -> Step:
    """What a group has beside what `_created` says."""
    looks = ("describe-policies", "describe-lifecycle-hooks", "describe-scheduled-actions")
    return Step(
        does=f"give {name} what the line before does not copy and you need: scaling policies, scheduled actions, "
        "lifecycle hooks, notifications, termination policies, metrics collection, protection of instances "
        f"from scale-in, a warm pool; {source.name} has",
        check=tuple(aws("autoscaling", look, region, auto_scaling_group_name=source.name) for look in looks),
    )


def _source(cluster: Cluster) -> Group | None:
    """The newest group in service."""
    return cluster.serving[-1] if cluster.serving else None


def next_name(cluster: Cluster) -> str:
    """The name after the newest group's, as Spinnaker counts: modulo 1000, without those that are taken."""
    taken = {group.name for group in cluster.groups}
    last = sequence_of(cluster.groups[-1].name) if cluster.groups else None
    numbers = ((0 if last is None else last + 1) + step for step in range(1000))
    return next(name for number in numbers if (name := f"{cluster.name}-v{number % 1000:03d}") not in taken)


def _copied(cluster: Cluster, template: Template, version: str) -> str:
    return aws(
        "ec2",
        "create-launch-template-version",
        cluster.region,
        launch_template_id=template.id,
        source_version=template.used,
        version_description=f"back to {version} by hand",
        launch_template_data=json.dumps({"ImageId": cluster.image}),
        query="LaunchTemplateVersion.VersionNumber",
    )


def _created(
    cluster: Cluster, source: Group, template: Template, name: str, number: int, sizes: tuple[int, int, int]
) -> str:
    raw = source.raw
    options: dict[str, str | list[str]] = {
        "auto_scaling_group_name": name,
        "launch_template": f"LaunchTemplateId={template.id},Version={number}",
        "min_size": str(sizes[0]),
        "max_size": str(sizes[1]),
        "desired_capacity": str(sizes[2]),
    }
    if subnets := raw.get("VPCZoneIdentifier"):
        options["vpc_zone_identifier"] = str(subnets)
    elif zones := raw.get("AvailabilityZones"):
        options["availability_zones"] = [str(zone) for zone in zones]
    if source.target_groups:
        options["target_group_arns"] = list(source.target_groups)
    if source.balancers:
        options["load_balancer_names"] = list(source.balancers)
    options["health_check_type"] = str(raw.get("HealthCheckType") or "EC2")
    options["health_check_grace_period"] = str(raw.get("HealthCheckGracePeriod") or 0)
    if tags := [_tag(tag) for tag in raw.get("Tags", []) if not str(tag["Key"]).startswith(UNKEPT)]:
        options["tags"] = tags
    return aws("autoscaling", "create-auto-scaling-group", cluster.region, **options)


def _tag(tag: dict[str, object]) -> str:
    return json.dumps({key: tag[key] for key in ("Key", "Value", "PropagateAtLaunch") if key in tag})
