"""What stands: every server group of a fleet in a region, which one is current, and what is left of earlier deploys.

To be shown. Nothing here is a reason to act, and nothing that is left is ever destroyed. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.aws.clusters import PACKAGE, Group, components_of, groups_in, is_at, is_going, is_staffed
from adapters.aws.names import push_of
from desired_state.model import Fleet

CURRENT, CANARY, LEFT, OLD, GOING = "current", "canary", "left over", "old", "being deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One server group, and why it is left over; empty: it is not."""

    group: Group
    version: str  # empty: nobody can tell
    part: str  # CURRENT, CANARY, LEFT, OLD or GOING
    leftover: str = ""

    def as_json(self, images: Mapping[str, Any]) -> dict[str, Any]:
        """For people and scripts. `images` are those of the inventory part."""
        group = self.group
        serving = [one for one in group["instances"] if one["lifecycle"] == "InService"]
        image = group["launch_image"]
        return {
            "region": group["region"],
            "name": group["name"],
            "version": self.version,
            "ami": image,
            "image_name": images.get(image, {}).get("name", ""),
            "created": group["created"],
            "enabled": group["enabled"],
            "in_service": len(serving),
            "healthy": sum(one["health"].casefold() == "healthy" for one in serving),
            "desired": group["capacity"]["desired"],
            "part": self.part,
            "leftover": self.leftover,
        }


def standing(region: str, body: Mapping[str, Any], cluster: str, canary: str | None, fleet: Fleet) -> list[Standing]:
    """The fleet's groups in a region, the youngest first, then those of its canary cluster."""
    groups = groups_in(body, cluster)
    current = _current(fleet, body, groups)
    found = [_judged(region, fleet, body, group, current) for group in reversed(groups)]
    trials = groups_in(body, canary) if canary is not None else []
    return [*found, *(_trial(region, fleet, body, group) for group in reversed(trials))]


def leftovers(region: str, body: Mapping[str, Any], cluster: str, canary: str | None, fleet: Fleet) -> tuple[str, ...]:
    """What of it is left over, as sentences. Costs next to nothing where one group runs alone."""
    suspects = [each for each in groups_in(body, cluster) if each["enabled"] or is_staffed(each)]
    trials = canary is not None and groups_in(body, canary)
    if len(suspects) < 2 and not trials:
        return ()
    return tuple(each.leftover for each in standing(region, body, cluster, canary, fleet) if each.leftover)


def _current(fleet: Fleet, body: Mapping[str, Any], groups: Sequence[Group]) -> Group | None:
    """The youngest that is enabled and at the version, else the youngest that is enabled."""
    enabled = [group for group in reversed(groups) if group["enabled"] and not is_going(group)]
    return next((group for group in enabled if is_at(fleet, body, group)), next(iter(enabled), None))


def _judged(region: str, fleet: Fleet, body: Mapping[str, Any], group: Group, current: Group | None) -> Standing:
    version = _version(fleet, body, group)
    if is_going(group):
        return Standing(group=group, version=version, part=GOING)
    if current is None or group["name"] == current["name"]:
        return Standing(group=group, version=version, part=OLD if current is None else CURRENT)
    why = _why_left(region, group, current, version, _version(fleet, body, current))
    return Standing(group=group, version=version, part=LEFT if why else OLD, leftover=why)


def _why_left(region: str, group: Group, current: Group, version: str, serves: str) -> str:
    count, runs = _instances(group), version or "an unknown version"
    if group["enabled"] and version != serves:
        return f"{group['name']} in {region} is enabled beside {push_of(current['name'])}: {count} of {runs}"
    younger = str(group["created"]) > str(current["created"])
    if not group["enabled"] and is_staffed(group) and younger:
        return f"{group['name']} in {region} is left of a deploy that failed: disabled, with {count} of {runs}"
    return ""


def _trial(region: str, fleet: Fleet, body: Mapping[str, Any], group: Group) -> Standing:
    version = _version(fleet, body, group)
    if is_going(group):
        return Standing(group=group, version=version, part=GOING)
    why = ""
    if is_staffed(group):
        why = f"canary {group['name']} in {region} still runs: {_instances(group)} of {version or 'an unknown version'}"
    return Standing(group=group, version=version, part=CANARY, leftover=why)


def _instances(group: Group) -> str:
    number = max(len(group["instances"]), int(group["capacity"]["desired"]))
    return f"{number} instance" if number == 1 else f"{number} instances"


def _version(fleet: Fleet, body: Mapping[str, Any], group: Group) -> str:
    """The packages' versions; one where they are the same."""
    known: Iterator[str] = (
        version for name, version in sorted(components_of(fleet, body, group).items()) if name.startswith(PACKAGE)
    )
    return ", ".join(dict.fromkeys(known))
