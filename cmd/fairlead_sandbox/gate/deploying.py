"""What a bake does to AWS, and the steps of every deploy, one at a time: a canceled execution takes no further step.

Sources of the rules: Orca's `BakeStage`, Clouddriver's server group names. Each generator yields while it waits, and
raises `StageFailed` with the sentences that Orca keeps in `context.exception.details.errors`.
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


def exception_of(error: Exception, operation: str) -> dict[str, Any] | None:
    """What Orca keeps of an error in a stage's `context.exception`; nothing where there are no words for it."""
    errors = list(error.errors) if isinstance(error, StageFailed) else [str(error)]
    if not errors:
        return None
    return {
        "exceptionType": type(error).__name__,
        "operation": operation,
        "shouldRetry": False,
        "details": {"error": "Unexpected Task Failure", "errors": errors},
    }


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


def milliseconds(site: Site) -> int:
    """Now, as Orca writes times."""
    return int(site.clock.now().timestamp() * 1000)


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


def cluster_name(cluster: Mapping[str, Any]) -> str:
    """Frigga's name: `app[-stack[-detail]]`, with a double hyphen for a detail without a stack."""
    app, stack, detail = cluster["application"], cluster.get("stack") or "", cluster.get("freeFormDetails") or ""
    return "-".join([app, stack, detail] if detail else [app, stack] if stack else [app])


def create(
    site: Site,
    cluster: Mapping[str, Any],
    before: Sequence[ServerGroup],
    region: str,
    image: Image,
    capacity: tuple[int, int, int],
) -> ServerGroup:
    """A new group beside those that were there before."""
    facts = {"version": image.version, "region": region, "application": cluster["application"]}
    facts["cluster"] = cluster_name(cluster)
    if site.faults.take(FaultKind.UNHEALTHY_VERSION, **facts) is not None:
        site.ground.make_sick(image.id)
    else:
        site.ground.make_well(image.id)
    tags = {key: str(value) for key, value in cluster.get("tags", {}).items() if value}
    name = server_groups.next_name(cluster_name(cluster), list(before))
    return site.ground.create(region, name, image.id, capacity, tags)


def source_of(before: Sequence[ServerGroup]) -> ServerGroup | None:
    """The newest enabled group: Orca's ancestor, whose capacity may be taken over."""
    return next((each for each in reversed(before) if each.enabled), None)


def capacity_of(cluster: Mapping[str, Any], before: Sequence[ServerGroup]) -> tuple[int, int, int]:
    """That of the source, if the cluster says so; else what the pipeline says. Raises `StageFailed` for a new cluster.

    `preferSourceCapacity` takes what it says there (Orca's `DetermineSourceServerGroupTask`).
    """
    source = source_of(before)
    if source is not None and cluster.get("useSourceCapacity"):
        return source.minimum, source.maximum, source.desired
    if not before and cluster.get("useSourceCapacity") and not cluster.get("preferSourceCapacity"):
        where = f"{cluster.get('account')}/{next(iter(cluster['availabilityZones']))}"
        raise StageFailed(
            "Cluster is configured to copy capacity from the current server group, but no server group was found for "
            f"the cluster '{cluster_name(cluster)}' in {where}. If this is a new cluster, you must explicitly specify "
            "the capacity in your cluster configuration for the first deployment."
        )
    said = cluster["capacity"]
    return said["min"], said["max"], said["desired"]


def wait_for_health(site: Site, group: ServerGroup) -> Iterator[None]:
    """Until every instance is up. Raises `StageFailed` when it is gone, or not healthy in time."""
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
    raise StageFailed(
        f"waitForUpInstances timed out after {site.health_seconds:g} s: {now.healthy} of {now.desired} instances of "
        f"{group.name} are up in {group.region}."
    )
