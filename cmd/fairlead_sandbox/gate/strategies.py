"""What each deploy strategy does with the new server group and the old ones.

Sources of the rules: Orca's `CreateServerGroupStage`, `RedBlackStrategy`, `RollingRedBlackStrategy`,
`HighlanderStrategy`, `ShrinkClusterStage`. The key is compared without regard to case; an unknown one means none. Add a
strategy: one generator, and its row in `_STRATEGIES`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead_sandbox.gate.deploying import (
    Site,
    StageFailed,
    capacity_of,
    cluster_name,
    create,
    source_of,
    wait_for_health,
)
from fairlead_sandbox.gate.faults import FaultKind
from fairlead_sandbox.images import Image
from fairlead_sandbox.server_groups import ServerGroup

ROLLS_BACK = frozenset({"redblack", "rollingredblack"})  # the strategies that heed `rollback.onFailure`
NOT_PLAYED = frozenset({"custom", "monitored", "rollingpush"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """One new group in one region, and those that were there before. Its name is put into `made`."""

    site: Site
    cluster: Mapping[str, Any]
    region: str
    image: Image
    before: Sequence[ServerGroup]
    made: list[str]

    def bring_up(self, capacity: tuple[int, int, int]) -> Iterator[None]:
        """The new group, until it is healthy. When it never is, it stays; only `rollback.onFailure` disables it."""
        group = create(self.site, self.cluster, self.before, self.region, self.image, capacity)
        self.made.append(group.name)
        yield from self.site.pause(self.site.deploy_seconds)
        yield from wait_for_health(self.site, group)

    @property
    def group(self) -> ServerGroup:
        """The new group as it stands. Raises `StageFailed` when it is gone."""
        found = self.site.ground.group(self.region, self.made[-1])
        if found is None:
            raise StageFailed(f"{self.made[-1]} in {self.region} was deleted while it was deployed.")
        return found

    def seconds(self, field: str) -> float:
        """A delay of the cluster's settings."""
        return float(self.cluster.get(field) or 0)


def deploy(site: Site, cluster: Mapping[str, Any], region: str, image_id: str, made: list[str]) -> Iterator[None]:
    """Deploy an image to a cluster by its strategy. The new group's name is put into `made`."""
    key = str(cluster.get("strategy") or "none").lower()
    if key in NOT_PLAYED:
        raise StageFailed(f"the strategy {key} is not played by the sandbox; it plays {', '.join(sorted(_STRATEGIES))}")
    image = site.ground.image(region, image_id)
    if site.faults.take(FaultKind.DEPLOYS_NOTHING, region=region, version=image.version) is not None:
        yield from site.pause(site.deploy_seconds)
        return
    before = site.ground.groups_of(region, cluster_name(cluster))
    step = Deploy(site=site, cluster=cluster, region=region, image=image, before=before, made=made)
    try:
        yield from _STRATEGIES.get(key, none)(step)
    except StageFailed:
        new = site.ground.group(region, made[-1]) if made else None
        if new is not None and key in ROLLS_BACK and cluster.get("rollback", {}).get("onFailure"):
            site.ground.disable(new)
        raise


def none(step: Deploy) -> Iterator[None]:
    """The new group beside the old ones, all of them in service."""
    yield from step.bring_up(capacity_of(step.cluster, step.before))


def red_black(step: Deploy) -> Iterator[None]:
    """Up with the new, delete what is too many of the disabled ones, then disable and scale down the rest."""
    yield from step.bring_up(capacity_of(step.cluster, step.before))
    if source_of(step.before) is None:
        return
    remaining = int(step.cluster.get("maxRemainingAsgs") or 0)
    if remaining > 0:
        _shrink(step, remaining, active_too=bool(step.cluster.get("allowDeleteActive")))
    yield from step.site.pause(step.seconds("delayBeforeDisableSec"))
    for old in [each for each in _still_there(step) if each.enabled]:
        step.site.ground.disable(old)
        yield
    if step.cluster.get("scaleDown"):
        yield from step.site.pause(step.seconds("delayBeforeScaleDownSec"))
        _scale_down(step)


def rolling_red_black(step: Deploy) -> Iterator[None]:
    """From nothing, by the percentages, to the source's size; then the source alone is disabled.

    Between the steps Orca takes as many of the source's instances out of the load balancer as the new ones can stand in
    for; a group as a whole, which is all that is played here, is disabled with the last step.
    """
    source = source_of(step.before)
    final = capacity_of({**step.cluster, "useSourceCapacity": True, "preferSourceCapacity": True}, step.before)
    yield from step.bring_up((0, 0, 0))
    percentages = [int(each) for each in step.cluster.get("targetPercentages") or []]
    for percentage in [*percentages, *([] if percentages[-1:] == [100] else [100])]:
        wanted = math.ceil(final[2] * percentage / 100)
        step.site.ground.resize(step.group, final if percentage == 100 else (wanted, wanted, wanted))
        yield from wait_for_health(step.site, step.group)
    if source is None:
        return
    step.site.ground.disable(source)
    yield
    if step.cluster.get("scaleDown"):
        yield from step.site.pause(step.seconds("delayBeforeScaleDownSec"))
        _scale_down(step)


def highlander(step: Deploy) -> Iterator[None]:
    """Up with the new, then every other group is destroyed, in service or not."""
    yield from step.bring_up(capacity_of(step.cluster, step.before))
    _shrink(step, 1, active_too=True)


def _still_there(step: Deploy) -> list[ServerGroup]:
    """The groups other than the new one, oldest first."""
    now = step.site.ground.groups_of(step.region, cluster_name(step.cluster))
    return [each for each in now if each.name not in step.made]


def _shrink(step: Deploy, to_size: int, *, active_too: bool) -> None:
    """Delete the oldest so that `to_size` groups are left with the new one; those in service only where told to."""
    others = _still_there(step)
    too_many = max(0, len(others) + 1 - to_size)
    for old in [each for each in others if active_too or not each.enabled][:too_many]:
        step.site.ground.delete(old)


def _scale_down(step: Deploy) -> None:
    """`allowScaleDownActive` is false: a group in service keeps its size."""
    for old in _still_there(step):
        if not old.enabled:
            step.site.ground.scale_down(old)


_STRATEGIES: Mapping[str, Callable[[Deploy], Iterator[None]]] = {
    "none": none,
    "redblack": red_black,
    "rollingredblack": rolling_red_black,
    "highlander": highlander,
}
