"""`rollbackServerGroup` of type EXPLICIT: one server group back into service, the one in its place out of it.

Sources of the rules: Orca's `RollbackServerGroupStage` and `ExplicitRollback`. Both groups are looked up first, and a
group that is gone ends the stage. The restored one is enabled and grows to the larger capacity of the two; when enough
of it is healthy the other is disabled, and neither scaled down nor destroyed. One that never gets healthy stays as it
is, enabled.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import ceil
from typing import Any

from fairlead_sandbox.gate.deploying import Site, StageFailed
from fairlead_sandbox.gate.faults import FaultKind
from fairlead_sandbox.server_groups import ServerGroup, cluster_of

PARAMETERS = {"restore": "RESTORE", "disable": "DISABLE", "region": "REGION", "fairleadKey": "FAIRLEAD_KEY"}


def roll_back(site: Site, context: Mapping[str, Any]) -> Iterator[None]:
    """Go through the stage. Raises `StageFailed`."""
    if context.get("rollbackType") != "EXPLICIT":
        raise StageFailed(
            f"Missing `rollbackType`, or one that the sandbox does not know: {context.get('rollbackType')}."
        )
    asked, region = context["rollbackContext"], context["region"]
    bad = _look_up(site, region, asked.get("rollbackServerGroupName", ""))
    restored = _look_up(site, region, asked.get("restoreServerGroupName", ""))
    if site.faults.take(FaultKind.DEPLOYS_NOTHING, region=region) is not None:
        yield from site.pause(site.deploy_seconds)
        return
    site.ground.enable(restored)
    yield
    _grow(site, restored, bad)
    yield from _wait(site, restored, float(asked.get("targetHealthyRollbackPercentage", 100)))
    yield from site.pause(float(asked.get("delayBeforeDisableSeconds", 0)))
    site.ground.disable(bad)
    grown = _look_up(site, region, restored.name)
    site.ground.resize(grown, (bad.minimum, grown.maximum, grown.desired))


def rollback_pipeline(
    application: str, name: str, regions: Iterable[str], parameters: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """A pipeline with that stage for the server groups and the region that it is told."""
    names = dict(PARAMETERS if parameters is None else parameters)
    first = next(iter(regions))
    required = ("restore", "disable")
    return {
        "application": application,
        "name": name,
        "schema": "1",
        "spelEvaluator": "v4",
        "limitConcurrent": False,
        "keepWaitingPipelines": True,
        "parameterConfig": [
            {"name": own, "required": word in required, "default": None if word in required else ""}
            for word, own in names.items()
        ],
        "stages": [
            {
                "refId": "rollback",
                "requisiteStageRefIds": [],
                "type": "rollbackServerGroup",
                "name": "Roll back",
                "cloudProvider": "aws",
                "credentials": "prod",
                "region": f"${{parameters.{names['region']}}}" if "region" in names else first,
                "rollbackType": "EXPLICIT",
                "rollbackContext": {
                    "restoreServerGroupName": f"${{parameters.{names['restore']}}}",
                    "rollbackServerGroupName": f"${{parameters.{names['disable']}}}",
                    "targetHealthyRollbackPercentage": 100,
                    "delayBeforeDisableSeconds": 0,
                },
            }
        ],
    }


def _look_up(site: Site, region: str, name: str) -> ServerGroup:
    found = site.ground.group(region, name)
    if found is None:
        raise StageFailed(f"failed to look up {name}")
    return found


def _grow(site: Site, restored: ServerGroup, bad: ServerGroup) -> None:
    image = site.ground.image(restored.region, site.ground.launch_image(restored))
    facts = {"version": image.version, "region": restored.region, "cluster": cluster_of(restored.name)}
    if site.faults.take(FaultKind.UNHEALTHY_VERSION, **facts) is not None:
        site.ground.make_sick(image.id)
    desired = max(restored.desired, bad.desired)
    site.ground.resize(restored, (desired, max(restored.maximum, bad.maximum), desired))


def _wait(site: Site, restored: ServerGroup, percentage: float) -> Iterator[None]:
    until = site.clock.monotonic() + site.health_seconds
    while True:
        now = _look_up(site, restored.region, restored.name)
        if now.healthy >= ceil(now.desired * percentage / 100):
            return
        if site.clock.monotonic() >= until:
            raise StageFailed(
                f"waitForUpInstances timed out after {site.health_seconds:g} s: {now.healthy} of {now.desired} "
                f"instances of {now.name} are up in {now.region}."
            )
        yield
