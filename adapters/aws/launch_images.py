"""Which image a group would launch next: its launch template's, or its launch configuration's.

A numbered template version never changes, so what was read of one is kept. `$Latest` and `$Default` move and are
read every time.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from adapters.aws.errors import code_of

Group = Mapping[str, Any]  # as describe_auto_scaling_groups gives it


class TemplateVersion(NamedTuple):
    """A launch template and the version that a group asks for: a number, `$Latest` or `$Default`."""

    template: str
    version: str


class Launch(NamedTuple):
    """What a group launches from: a template, else a launch configuration by name (empty: neither)."""

    group: str
    template: TemplateVersion | None
    configuration: str


class LaunchImages:
    """Reads launch images, with as few calls as the API allows."""

    def __init__(self) -> None:
        self._kept: dict[TemplateVersion, str] = {}

    def of_region(self, ec2: Any, autoscaling: Any, launches: Sequence[Launch]) -> dict[str, str]:
        """Image id by group name, with one paged sweep over all templates of the region."""
        found = self._sweep(ec2) if any(launch.template for launch in launches) else {}
        return self._resolve(ec2, autoscaling, launches, found)

    def of_groups(self, ec2: Any, autoscaling: Any, launches: Sequence[Launch]) -> dict[str, str]:
        """Image id by group name, with one call a template that is not known yet."""
        return self._resolve(ec2, autoscaling, launches, {})

    def _resolve(
        self, ec2: Any, autoscaling: Any, launches: Sequence[Launch], found: dict[TemplateVersion, str]
    ) -> dict[str, str]:
        configurations = _configurations(autoscaling, launches)
        images = {}
        for group, wanted, configuration in launches:
            if wanted is None:
                images[group] = configurations.get(configuration, "")
                continue
            if wanted not in found:
                found[wanted] = self._kept[wanted] if wanted in self._kept else self._read(ec2, wanted)
            images[group] = found[wanted]
        return images

    def _sweep(self, ec2: Any) -> dict[TemplateVersion, str]:
        """The latest and default versions of every template, under their words and their numbers."""
        pages = ec2.get_paginator("describe_launch_template_versions").paginate(
            Versions=["$Latest", "$Default"], PaginationConfig={"PageSize": 200}
        )
        found: dict[TemplateVersion, str] = {}
        latest: dict[str, int] = {}
        for entry in (entry for page in pages for entry in page["LaunchTemplateVersions"]):
            template, number, image = entry["LaunchTemplateId"], entry["VersionNumber"], _image(entry)
            found[TemplateVersion(template, str(number))] = image
            if entry["DefaultVersion"]:
                found[TemplateVersion(template, "$Default")] = image
            if number >= latest.get(template, 0):
                latest[template] = number
                found[TemplateVersion(template, "$Latest")] = image
        return found

    def _read(self, ec2: Any, wanted: TemplateVersion) -> str:
        try:
            answer = ec2.describe_launch_template_versions(LaunchTemplateId=wanted.template, Versions=[wanted.version])
        except ClientError as error:
            if code_of(error).startswith("InvalidLaunchTemplate"):
                return ""  # deleted under the group: it can launch nothing
            raise
        image = next((_image(entry) for entry in answer["LaunchTemplateVersions"]), "")
        if not wanted.version.startswith("$"):
            self._kept[wanted] = image
        return image


def launch_of(group: Group) -> Launch:
    """What a group launches from; a template is named directly or in its mixed instances policy."""
    return Launch(group["AutoScalingGroupName"], _template_of(group), group.get("LaunchConfigurationName", ""))


def _template_of(group: Group) -> TemplateVersion | None:
    policy = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
    named = group.get("LaunchTemplate") or policy.get("LaunchTemplateSpecification")
    if not named or "LaunchTemplateId" not in named:
        return None
    return TemplateVersion(named["LaunchTemplateId"], str(named.get("Version") or "$Default"))


def _image(entry: Mapping[str, Any]) -> str:
    return str(entry.get("LaunchTemplateData", {}).get("ImageId", ""))


def _configurations(autoscaling: Any, launches: Iterable[Launch]) -> dict[str, str]:
    names = sorted({launch.configuration for launch in launches if launch.configuration})
    found = {}
    for start in range(0, len(names), 50):
        pages = autoscaling.get_paginator("describe_launch_configurations").paginate(
            LaunchConfigurationNames=names[start : start + 50]
        )
        for entry in (entry for page in pages for entry in page["LaunchConfigurations"]):
            found[entry["LaunchConfigurationName"]] = str(entry["ImageId"])
    return found
