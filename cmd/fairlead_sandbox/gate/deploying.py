"""What a bake and a deploy do to AWS, one step at a time: a canceled execution takes no further step.

Sources of the rules: Orca's `BakeStage` and `RedBlackStrategy`, Clouddriver's server group names. Each generator yields
while it waits, and raises `StageFailed` with the sentences that Orca keeps in `context.exception.details.errors`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead_sandbox import server_groups
from fairlead_sandbox.gate.faults import FaultKind, Faults
from fairlead_sandbox.gate.ground import Ground
from fairlead_sandbox.images import Image
from fairlead_sandbox.server_groups import ServerGroup
from reconciler.ports import Clock

_PACKAGE = re.compile(r"^(?P<name>[^_]+)_(?P<version>.+)_[^_]+$")  # a Debian file name without its ending


class StageFailed(Exception):
    """A stage that ends TERMINAL."""

    def __init__(self, *errors: str) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the stages work, and how long they take (seconds)."""

    ground: Ground
    clock: Clock
    faults: Faults
    bake_seconds: float
    deploy_seconds: float
    health_seconds: float

    def pause(self, seconds: float) -> Iterator[None]:
        """Yield until so many seconds are over; at least once."""
        until = self.clock.monotonic() + seconds
        yield
        while self.clock.monotonic() < until:
            yield


def bake(site: Site, context: Mapping[str, Any], *, rebake: bool) -> Iterator[None]:
    """Bake one image a region; its outputs go to `context["deploymentDetails"]`."""
    yield from site.pause(site.bake_seconds)
    package, version = package_of(context["package"])
    if site.faults.take(FaultKind.FAIL_BAKE, version=version):
        raise StageFailed(
            f"Unable to locate package {package} (version {version}) in the repository of the base image."
        )
    for region in context["regions"]:
        found = None if rebake else site.ground.find_image(region, package, version)
        image = found or site.ground.register_image(region, package, version, site.clock.now())
        details = {"region": region, "ami": image.id, "imageId": image.id, "imageName": image.name}
        context["deploymentDetails"].append({**details, "cloudProviderType": "aws"})
        yield


def package_of(text: str) -> tuple[str, str]:
    """Name and version out of `checkout_1.4.1_all`. Raises `StageFailed` when there is no version."""
    found = _PACKAGE.match(text)
    if found is None:
        raise StageFailed(f"{text} names no version; a fully qualified package is name_version_architecture.")
    return found["name"], found["version"]


def red_black(site: Site, cluster: Mapping[str, Any], region: str, image_id: str, made: list[str]) -> Iterator[None]:
    """Bring up a new group beside the old ones, wait for its health, then disable, scale down and shrink.

    The new group's name is put into `made`. When it never gets healthy it stays, enabled, beside the old ones: only
    `rollback.onFailure` disables it, and nothing deletes it.
    """
    image = site.ground.image(region, image_id)
    if site.faults.take(FaultKind.DEPLOYS_NOTHING, region=region, version=image.version) is not None:
        yield from site.pause(site.deploy_seconds)
        return
    before = site.ground.groups_of(region, cluster_name(cluster))
    group = _create(site, cluster, before, region, image)
    made.append(group.name)
    yield from site.pause(site.deploy_seconds)
    yield from _wait_for_health(site, cluster, group)
    for old in [each for each in before if each.enabled]:
        site.ground.disable(old)
        yield
        if cluster.get("scaleDown"):
            site.ground.scale_down(old)
    yield
    _shrink(site.ground, before, int(cluster.get("maxRemainingAsgs") or 0))


def cluster_name(cluster: Mapping[str, Any]) -> str:
    """Frigga's name: `app[-stack[-detail]]`, with a double hyphen for a detail without a stack."""
    app, stack, detail = cluster["application"], cluster.get("stack") or "", cluster.get("freeFormDetails") or ""
    return "-".join([app, stack, detail] if detail else [app, stack] if stack else [app])


def _create(
    site: Site, cluster: Mapping[str, Any], before: Sequence[ServerGroup], region: str, image: Image
) -> ServerGroup:
    facts = {"version": image.version, "region": region, "application": cluster["application"]}
    facts["cluster"] = cluster_name(cluster)
    if site.faults.take(FaultKind.UNHEALTHY_VERSION, **facts) is not None:
        site.ground.make_sick(image.id)
    else:
        site.ground.make_well(image.id)
    tags = {key: str(value) for key, value in cluster.get("tags", {}).items() if value}
    name = server_groups.next_name(cluster_name(cluster), list(before))
    return site.ground.create(region, name, image.id, _capacity(cluster, before), tags)


def _capacity(cluster: Mapping[str, Any], before: Sequence[ServerGroup]) -> tuple[int, int, int]:
    """That of the newest enabled group, if the cluster says so; else what the pipeline says."""
    source = next((each for each in reversed(before) if each.enabled), None)
    if source is not None and cluster.get("useSourceCapacity"):
        return source.minimum, source.maximum, source.desired
    said = cluster["capacity"]
    return said["min"], said["max"], said["desired"]


def _wait_for_health(site: Site, cluster: Mapping[str, Any], group: ServerGroup) -> Iterator[None]:
    until = site.clock.monotonic() + site.health_seconds
    while True:
        now = site.ground.group(group.region, group.name)
        if now is None:
            raise StageFailed(f"{group.name} in {group.region} was deleted while it was deployed.")
        if now.healthy >= now.desired:
            return
        if site.clock.monotonic() >= until:
            break
        yield
    if cluster.get("rollback", {}).get("onFailure"):
        site.ground.disable(group)
    raise StageFailed(
        f"waitForUpInstances timed out after {site.health_seconds:g} s: {now.healthy} of {now.desired} instances of "
        f"{group.name} are up in {group.region}."
    )


def _shrink(ground: Ground, before: Sequence[ServerGroup], remaining: int) -> None:
    """Delete the oldest of the groups that were there before, so that `remaining` are left with the new one."""
    if remaining > 0:
        for old in before[: max(0, len(before) + 1 - remaining)]:
            ground.delete(old)
