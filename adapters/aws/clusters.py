"""Server groups of one cluster in one region as a unit: what is in service on it, and is it healthy. Pure.

A group counts while it is enabled. An instance counts by its own image: what its launch template has become since says
nothing of what it runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from adapters.aws.names import cluster_of
from adapters.aws.versions import UNASKED, Evidence, evidence
from desired_state.model import Component, Fleet, Version, ZeroUnits
from reconciler.observed import Unit, UnitId

KEY_TAG = "fairlead:key"
CONFIG_TAG = "fairlead:config"
PACKAGE = "package/"
CONFIG = "config/"
AMI = "ami"
DIGEST_SHOWN = 12  # characters of a target digest in an intent's key

Group = Mapping[str, Any]


def unit_in(region: str, body: Mapping[str, Any], cluster: str, fleet: Fleet) -> Unit:
    """The fleet's unit in one region, out of that region's inventory part (`inventory.Inventory.part`)."""
    groups = groups_in(body, cluster)
    enabled = [group for group in groups if group["enabled"]]
    if not enabled:
        why = f"every server group of {cluster} is disabled" if groups else f"there is no server group of {cluster}"
        return Unit(id=region, components={}, healthy=False, running=False, message=f"{why} in {region}")
    staffed = [group for group in enabled if is_staffed(group)]
    if not staffed:
        return _empty(region, body, enabled[-1], fleet)
    return _staffed(region, body, staffed, enabled[-1], fleet)


def untellable(body: Mapping[str, Any], cluster: str) -> tuple[str, ...]:
    """Of images in service whose owner never said what they are and cannot be asked now: a sentence each."""
    enabled = [group for group in groups_in(body, cluster) if group["enabled"]]
    staffed = [group for group in enabled if is_staffed(group)]
    images = _images_in_service(staffed) if staffed else {str(group["launch_image"]) for group in enabled[-1:]}
    said = ((image, body["images"].get(image, {}).get(UNASKED)) for image in sorted(images))
    return tuple(f"the version of {image}: {why}" for image, why in said if why)


def groups_in(body: Mapping[str, Any], cluster: str) -> list[Group]:
    """The cluster's groups, oldest first: by creation, never by their number."""
    groups = [group for group in body["server_groups"] if cluster_of(group["name"]) == cluster]
    return sorted(groups, key=lambda group: (str(group["created"]), str(group["name"])))


def is_staffed(group: Group) -> bool:
    """It has instances, or is to have some."""
    return bool(group["capacity"]["desired"] > 0 or _present(group))


def is_going(group: Group) -> bool:
    """It is being deleted: nothing can be done with it any more."""
    return bool(group.get("status"))


def components_of(fleet: Fleet, body: Mapping[str, Any], group: Group) -> dict[Component, Version]:
    """What one group runs and would launch, of what the fleet is to run."""
    images = {group["launch_image"], *(str(one["image"]) for one in _present(group))}
    return _components(fleet, body, group, images)[0]


def is_at(fleet: Fleet, body: Mapping[str, Any], group: Group) -> bool:
    """Whether the group is what the fleet is to run, in all components."""
    return components_of(fleet, body, group) == dict(fleet.components)


def merged(unit: UnitId, parts: Sequence[Unit]) -> Unit:
    """Several regions as one unit: at a version only when every region is at it."""
    shared = dict(parts[0].components)
    for part in parts[1:]:
        shared = {name: version for name, version in shared.items() if part.components.get(name) == version}
    said = [part.message for part in parts if part.message] or _apart(parts, shared)
    return Unit(
        id=unit,
        components=shared,
        healthy=all(part.healthy for part in parts),
        running=any(part.running for part in parts),
        message="; ".join(said),
        conflict="; ".join(part.conflict for part in parts if part.conflict),
    )


def _apart(parts: Sequence[Unit], shared: Mapping[Component, Version]) -> list[str]:
    """What the regions run where they do not run the same."""
    names = sorted({name for part in parts for name in part.components} - set(shared))
    return [
        ", ".join(
            f"{part.id} runs {name.removeprefix(PACKAGE)} {part.components.get(name, 'nothing known')}"
            for part in parts
        )
        for name in names[:1]
    ]


def _empty(region: str, body: Mapping[str, Any], newest: Group, fleet: Fleet) -> Unit:
    """No capacity anywhere: what the newest enabled group would launch."""
    components, conflict, doubt = _components(fleet, body, newest, {newest["launch_image"]})
    return Unit(
        id=region,
        components=components,
        healthy=fleet.policy.zero_units is ZeroUnits.ALLOWED,
        running=False,
        message=doubt or f"{newest['name']} has no capacity",
        conflict=conflict,
    )


def _staffed(region: str, body: Mapping[str, Any], staffed: Sequence[Group], newest: Group, fleet: Fleet) -> Unit:
    components, conflict, doubt = _components(fleet, body, newest, _images_in_service(staffed))
    ill = [said for said in map(illness, staffed) if said]
    serving = [group["name"] for group in staffed if _in_service(group)]
    if doubt and len(serving) > 1:
        doubt = f"{' and '.join(serving)} are both in service: {doubt}"
    return Unit(
        id=region,
        components=components,
        healthy=not ill and bool(serving),
        running=any(_present(group) for group in staffed),
        message="; ".join([*([doubt] if doubt else []), *ill]),
        conflict=conflict,
    )


def _images_in_service(groups: Sequence[Group]) -> set[str]:
    """Images in service; while nothing is in service yet, those that are on their way up."""
    serving = {str(instance["image"]) for group in groups for instance in _in_service(group)}
    return serving or {str(instance["image"]) for group in groups for instance in _present(group)}


def _present(group: Group) -> list[Mapping[str, Any]]:
    """Instances that serve or are about to: not leaving, not set aside by a person, not in a warm pool."""
    return [
        one for one in group["instances"] if one["lifecycle"] == "InService" or one["lifecycle"].startswith("Pending")
    ]


def _in_service(group: Group) -> list[Mapping[str, Any]]:
    return [one for one in group["instances"] if one["lifecycle"] == "InService"]


def illness(group: Group) -> str:
    """What keeps a group from being healthy, or an empty string."""
    present, desired = _present(group), int(group["capacity"]["desired"])
    good = [one for one in _in_service(group) if one["health"].casefold() == "healthy"]
    wanted = max(desired, len(present))
    return "" if len(good) >= wanted else f"{group['name']}: {len(good)} of {wanted} instances healthy"


def _components(
    fleet: Fleet, body: Mapping[str, Any], newest: Group, images: set[str]
) -> tuple[dict[Component, Version], str, str]:
    """The components that one version can be told of; a conflict; and what makes a package's version doubtful."""
    components = _hinted(fleet, newest)
    conflicts, doubts = [], []
    for name, expected in fleet.components.items():
        if not name.startswith(PACKAGE):
            continue
        found = {
            image: evidence(body["images"].get(image), image, name.removeprefix(PACKAGE), expected) for image in images
        }
        versions = {one.version for one in found.values()}
        if len(versions) == 1 and None not in versions:
            components[name] = str(versions.pop())
        conflicts += [one.conflict for one in found.values() if one.conflict]
        doubts += _doubt(name.removeprefix(PACKAGE), found, body)
    if AMI in fleet.components and len(images) == 1:
        components[AMI] = next(iter(images))
    return components, "; ".join(sorted(conflicts)), "; ".join(doubts)


def _doubt(package: str, found: Mapping[str, Evidence], body: Mapping[str, Any]) -> list[str]:
    versions = sorted({one.version for one in found.values() if one.version is not None})
    silent = sorted(image for image, one in found.items() if one.version is None and not one.conflict and image)
    unasked = {image: why for image in silent if (why := body["images"].get(image, {}).get(UNASKED))}
    untagged = [image for image in silent if image not in unasked]
    doubts = [f"{package} {' and '.join(versions)} at once"] if len(versions) > 1 else []
    if untagged:
        doubts.append(
            f"{_some(untagged)} shows no version of {package}: tag it fairlead:package/{package} or appversion"
        )
    if unasked:
        doubts.append(f"the version of {_some(unasked)} is unknown: {next(iter(unasked.values()))}")
    return doubts


def _some(names: Iterable[str]) -> str:
    known = list(names)
    return known[0] if len(known) == 1 else f"{known[0]} and {len(known) - 1} more"


def _hinted(fleet: Fleet, newest: Group) -> dict[Component, Version]:
    """What no image can show (config, redeploy, sha256), out of the tags that our pipeline put on the newest group.

    A tag only repeats the parameter that we sent: it is believed for these and never for a package's version.
    """
    others = {
        name: version for name, version in fleet.components.items() if not name.startswith(PACKAGE) and name != AMI
    }
    if target_of_key(newest["tags"].get(KEY_TAG, "")) == fleet.target_digest[:DIGEST_SHOWN]:
        return dict(others)
    digest = PurePosixPath(newest["tags"].get(CONFIG_TAG, "")).stem
    return {name: digest for name in others if name.startswith(CONFIG) and digest}


def target_of_key(key: str) -> str:
    """The target digest's beginning in an intent's key (`...:<target>:<unit>:w<wave>:a<attempt>`), or nothing."""
    parts = key.rsplit(":", 4)
    return parts[1] if len(parts) == 5 else ""
