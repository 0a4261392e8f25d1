"""The Describe calls of Auto Scaling and EC2, with AWS's page limits. Nothing is kept written out."""

from collections.abc import Iterable
from datetime import datetime

from fairlead_sandbox.bulk import filters
from fairlead_sandbox.bulk.estate import Estate, Group, Image, Instance, Template
from fairlead_sandbox.bulk.wire import Answer, Asked, Fault, ec2_answer, query_answer, stamp, tag_items, xml

FILTER_VALUES = 200
_AUTOSCALING = "http://autoscaling.amazonaws.com/doc/2011-01-01/"
_SUSPENDED = (
    "<member><ProcessName>AddToLoadBalancer</ProcessName><SuspensionReason>User suspended</SuspensionReason></member>"
)
_STATES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


def describe_groups(estate: Estate, asked: Asked) -> Answer:
    """DescribeAutoScalingGroups: at most 100 a page; names that are not there are passed over."""
    size = asked.page_size("MaxRecords", 50, 1, 100)
    names = asked.listed("AutoScalingGroupNames.member")
    with estate.lock:
        if names:
            known = sorted(name for name in set(names) if name in estate.groups)
            found, rest = [estate.groups[name] for name in known if name > asked.said.get("NextToken", "")], ""
            found, rest = found[:size], found[size - 1].name if len(found) > size else ""
        else:
            found, rest = estate.groups_after(asked.said.get("NextToken", ""), size)
        body = "".join(map(group_xml, found))
    more = f"<NextToken>{xml(rest)}</NextToken>" if rest else ""
    return query_answer(asked, _AUTOSCALING, f"<AutoScalingGroups>{body}</AutoScalingGroups>{more}")


def describe_configurations(estate: Estate, asked: Asked) -> Answer:
    """DescribeLaunchConfigurations: nobody makes them any more."""
    del estate
    return query_answer(asked, _AUTOSCALING, "<LaunchConfigurations/>")


def describe_instances(estate: Estate, asked: Asked) -> Answer:
    """DescribeInstances: at most 1,000 a page, by ids or filters."""
    ids, wanted, last = asked.listed("InstanceId"), asked.filters(), asked.said.get("NextToken", "")
    size = asked.page_size("MaxResults", 1000, 5, 1000)
    if sum(len(values) for _, values in wanted) > FILTER_VALUES:
        said = f"The maximum number of filter values specified on a single call is {FILTER_VALUES}"
        raise Fault("FilterLimitExceeded", said)
    with estate.lock:
        if ids:
            _check_ids(ids, estate.instances, "InvalidInstanceID.NotFound", "The instance ID '{}' does not exist")
            found, rest = filters.matching_instances(estate, [("instance-id", ids), *wanted]), ""
        elif wanted:
            found = [one for one in filters.matching_instances(estate, wanted) if one.id > last]
            found, rest = found[:size], found[size - 1].id if len(found) > size else ""
        else:
            found, rest = estate.instances_after(last, size)
        body = "".join(instances_xml(estate, found))
    return ec2_answer(asked, f"<reservationSet>{body}</reservationSet>{_more(rest)}")


def describe_images(estate: Estate, asked: Asked) -> Answer:
    """DescribeImages: by ids, of which each must be there, or by filters."""
    ids, wanted = asked.listed("ImageId"), asked.filters()
    if ids:
        _check_ids(ids, estate.images, "InvalidAMIID.NotFound", "The image id '[{}]' does not exist")
        wanted = [("image-id", ids), *wanted]
    with estate.lock:
        body = "".join(_image_xml(estate, one) for one in filters.matching_images(estate, wanted))
    return ec2_answer(asked, f"<imagesSet>{body}</imagesSet>")


def describe_template_versions(estate: Estate, asked: Asked) -> Answer:
    """DescribeLaunchTemplateVersions: of one template, or the newest of all, at most 200 a page."""
    versions = asked.listed("LaunchTemplateVersion")
    size = asked.page_size("MaxResults", 200, 1, 200)
    with estate.lock:
        if one := asked.said.get("LaunchTemplateId"):
            _check_ids([one], estate.templates, "InvalidLaunchTemplateId.NotFound", "The template {} does not exist")
            found, rest = [estate.templates[one]], ""
        else:
            found, rest = estate.templates_after(asked.said.get("NextToken", ""), size)
        body = "".join(_template_xml(each, number) for each in found for number in _numbers(each, versions))
    return ec2_answer(asked, f"<launchTemplateVersionSet>{body}</launchTemplateVersionSet>{_more(rest)}")


def _check_ids(ids: Iterable[str], known: Iterable[str], code: str, message: str) -> None:
    missing = [one for one in ids if one not in known]
    if missing:
        raise Fault(code, message.format(", ".join(missing)))


def _more(rest: str) -> str:
    return f"<nextToken>{xml(rest)}</nextToken>" if rest else ""


def _numbers(template: Template, versions: list[str]) -> list[int]:
    """`$Latest` and `$Default` are the newest here. Raises `Fault` for a number that is not there."""
    newest = len(template.images)
    numbers = {newest if version.startswith("$") else int(version) for version in versions or ["$Latest"]}
    if any(not 1 <= number <= newest for number in numbers):
        said = f"Could not find launch template version for template {template.id}"
        raise Fault("InvalidLaunchTemplateId.VersionNotFound", said)
    return sorted(numbers)


def group_xml(group: Group) -> str:
    """One group, as Auto Scaling tells it."""
    name, template = xml(group.name), group.template
    tags = "".join(_group_tag(name, key, value) for key, value in sorted(group.tags.items()))
    used = (
        f"<LaunchTemplate><LaunchTemplateId>{template.id}</LaunchTemplateId><LaunchTemplateName>{name}"
        f"</LaunchTemplateName><Version>{group.template_version}</Version></LaunchTemplate>"
    )
    return (
        f"<member><AutoScalingGroupName>{name}</AutoScalingGroupName><AutoScalingGroupARN>arn:aws:autoscaling:"
        f"{group.region}:000000000000:autoScalingGroup:{template.id}:autoScalingGroupName/{name}</AutoScalingGroupARN>"
        f"{used}<MinSize>{group.minimum}</MinSize><MaxSize>{group.maximum}</MaxSize><DesiredCapacity>{group.desired}"
        f"</DesiredCapacity><DefaultCooldown>300</DefaultCooldown><AvailabilityZones><member>{group.region}a</member>"
        f"<member>{group.region}b</member><member>{group.region}c</member></AvailabilityZones><LoadBalancerNames/>"
        "<TargetGroupARNs/><HealthCheckType>EC2</HealthCheckType><HealthCheckGracePeriod>0</HealthCheckGracePeriod>"
        f"<Instances>{''.join(_member_xml(one, used) for one in group.instances)}</Instances>"
        f"<CreatedTime>{stamp(group.created)}</CreatedTime>"
        f"<SuspendedProcesses>{'' if group.enabled else _SUSPENDED}</SuspendedProcesses>"
        "<VPCZoneIdentifier>subnet-0a,subnet-0b,subnet-0c</VPCZoneIdentifier><EnabledMetrics/>"
        f"<Tags>{tags}</Tags><TerminationPolicies><member>Default</member></TerminationPolicies>"
        "<NewInstancesProtectedFromScaleIn>false</NewInstancesProtectedFromScaleIn></member>"
    )


def _group_tag(name: str, key: str, value: str) -> str:
    return (
        f"<member><ResourceId>{name}</ResourceId><ResourceType>auto-scaling-group</ResourceType><Key>{xml(key)}</Key>"
        f"<Value>{xml(value)}</Value><PropagateAtLaunch>true</PropagateAtLaunch></member>"
    )


def _member_xml(one: Instance, used: str) -> str:
    return (
        f"<member><InstanceId>{one.id}</InstanceId><InstanceType>t3.micro</InstanceType><AvailabilityZone>{one.zone}"
        f"</AvailabilityZone><LifecycleState>{one.lifecycle}</LifecycleState><HealthStatus>"
        f"{'Healthy' if one.healthy else 'Unhealthy'}</HealthStatus>{used}"
        f"{f'<ImageId>{one.new_root}</ImageId>' if one.new_root else ''}"
        "<ProtectedFromScaleIn>false</ProtectedFromScaleIn></member>"
    )


def instances_xml(estate: Estate, found: Iterable[Instance]) -> Iterable[str]:
    """Each in a reservation of its own. What all of a group have in common is written once."""
    kept: tuple[object, ...] = ()
    before = after = ""
    for one in found:
        alike = (one.group, one.own_tags, one.image, one.state, one.launched)
        if alike != kept:
            kept, (before, after) = alike, _instance_around(estate, one)
        unique = one.id[2:]
        yield (
            f"<item><reservationId>r-{unique}</reservationId>{before}<instanceId>{one.id}</instanceId><placement>"
            f"<availabilityZone>{one.zone}</availabilityZone><groupName/><tenancy>default</tenancy></placement>"
            f"<networkInterfaceSet><item><networkInterfaceId>eni-{unique}</networkInterfaceId><status>in-use</status>"
            f"<attachment><attachmentId>eni-attach-{unique}</attachmentId><deviceIndex>0</deviceIndex>"
            f"<status>attached</status></attachment></item></networkInterfaceSet>{after}"
        )


def _instance_around(estate: Estate, one: Instance) -> tuple[str, str]:
    launched: datetime = one.launched
    before = (
        f"<ownerId>{estate.account}</ownerId><groupSet/><instancesSet><item><imageId>{one.image}</imageId>"
        f"<instanceState><code>{_STATES[one.state]}</code><name>{one.state}</name></instanceState><reason/>"
        "<amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>t3.micro</instanceType>"
        f"<launchTime>{stamp(launched)}</launchTime><monitoring><state>disabled</state></monitoring>"
        "<subnetId>subnet-0a</subnetId><vpcId>vpc-0a</vpcId><sourceDestCheck>true</sourceDestCheck>"
        "<groupSet><item><groupId>sg-0a</groupId><groupName>default</groupName></item></groupSet>"
        "<architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType>"
        "<rootDeviceName>/dev/sda1</rootDeviceName><virtualizationType>hvm</virtualizationType>"
        "<hypervisor>xen</hypervisor><ebsOptimized>true</ebsOptimized><enaSupport>true</enaSupport>"
        "<metadataOptions><state>applied</state><httpTokens>required</httpTokens><httpEndpoint>enabled</httpEndpoint>"
        "<httpPutResponseHopLimit>2</httpPutResponseHopLimit></metadataOptions>"
    )
    tags = tag_items(sorted(one.tags.items()))
    return before, f"<tagSet>{tags}</tagSet></item></instancesSet></item>"


def _image_xml(estate: Estate, image: Image) -> str:
    return (
        f"<item><imageId>{image.id}</imageId><name>{xml(image.name)}</name><imageState>available</imageState>"
        f"<imageOwnerId>{estate.account}</imageOwnerId><isPublic>false</isPublic><architecture>x86_64</architecture>"
        "<imageType>machine</imageType><rootDeviceType>ebs</rootDeviceType><virtualizationType>hvm</virtualizationType>"
        f"<tagSet>{tag_items(sorted(image.tags.items()))}</tagSet></item>"
    )


def _template_xml(template: Template, number: int) -> str:
    return (
        f"<item><launchTemplateId>{template.id}</launchTemplateId><launchTemplateName>{xml(template.name)}"
        f"</launchTemplateName><versionNumber>{number}</versionNumber>"
        f"<defaultVersion>{'true' if number == len(template.images) else 'false'}</defaultVersion>"
        f"<launchTemplateData><imageId>{template.images[number - 1]}</imageId><instanceType>t3.micro</instanceType>"
        "</launchTemplateData></item>"
    )


ACTIONS = {
    ("autoscaling", "DescribeAutoScalingGroups"): describe_groups,
    ("autoscaling", "DescribeLaunchConfigurations"): describe_configurations,
    ("ec2", "DescribeInstances"): describe_instances,
    ("ec2", "DescribeImages"): describe_images,
    ("ec2", "DescribeLaunchTemplateVersions"): describe_template_versions,
}
