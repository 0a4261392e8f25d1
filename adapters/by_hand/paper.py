"""The whole paper for a fleet: which version, what to do in each region, and the suspend file that goes with it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from adapters.aws.inventory import Place
from adapters.aws.owners import owner_of
from adapters.by_hand.making import making
from adapters.by_hand.standing import Cluster, Group, Standing, Versions
from adapters.by_hand.steps import Step, aws, enabling
from desired_state.layout import fleet_path
from desired_state.model import Fleet
from reconciler.ports import Unreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """What to do in one region; without steps `note` says why there are none."""

    region: str
    note: str
    steps: tuple[Step, ...] = ()
    reached: bool = True  # after the steps it is at the version


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """What a person reads and runs. `suspend` is the file that keeps Fairlead from acting meanwhile: path and text."""

    fleet: str
    version: str
    why: str  # why this version
    regions: tuple[Region, ...]
    suspend: tuple[str, str]
    account: Step | None  # how to see that one is in the account that the lines are for; None: there are no lines


def write_paper(
    fleet: Fleet,
    clusters: Mapping[str, str],
    standing: Standing,
    to: str | None,
    last_good: Versions | None,
    known: Mapping[str, Mapping[str, Any]],
) -> Paper:
    """The paper for the fleet, whose `clusters` are named by region. A region that cannot be read says so.

    `known` is what Fairlead last read of the regions, as inventory parts.

    Raises `LookupError` with a sentence where there is nothing to go back to, and `Unreadable` where nothing can be
    read.
    """
    read, unread = _read(fleet, clusters, standing, known)
    packages = [package.name for package in fleet.packages]
    wanted, why = chosen(list(read.values()), packages, to, last_good)
    version = " ".join(dict.fromkeys(wanted.values()))
    regions = [_region(fleet, cluster, standing, wanted, version) for name, cluster in read.items()]
    regions += [
        Region(region=name, note=f"nothing is known of it: {said}", reached=False) for name, said in unread.items()
    ]
    suspend = f"reason: {json.dumps(f'rolled back by hand to {version}')}\n"
    return Paper(
        fleet=fleet.name,
        version=version,
        why=why,
        regions=tuple(regions),
        suspend=(fleet_path(fleet.name, ".suspend"), suspend),
        account=_account(fleet, regions),
    )


def _account(fleet: Fleet, regions: Sequence[Region]) -> Step | None:
    region = next((each.region for each in regions if each.steps), None)
    if region is None:
        return None
    look = aws("sts", "get-caller-identity", region, query="Account", output="text")
    account = fleet.environment.account
    return Step(does=f"be in account {account} ({fleet.environment.name})", check=(look,), expect=account)


def _read(
    fleet: Fleet, clusters: Mapping[str, str], standing: Standing, known: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Cluster], dict[str, str]]:
    read: dict[str, Cluster] = {}
    unread: dict[str, str] = {}
    for region, name in clusters.items():
        try:
            read[region] = standing.cluster(_place(fleet, region), name, owner_of(fleet, region), known.get(region, {}))
        except Unreadable as trouble:
            unread[region] = str(trouble)
    if not read:
        raise Unreadable(next(iter(unread.values()), "the fleet has no region"))
    return read, unread


def chosen(
    clusters: Sequence[Cluster], packages: Sequence[str], to: str | None, last_good: Versions | None
) -> tuple[Versions, str]:
    """The versions to go back to, and why these. Raises `LookupError` with a sentence."""
    if to is not None:
        return dict.fromkeys(packages, to), "as asked for"
    if last_good is not None and not all(_serves(cluster, last_good) for cluster in clusters):
        return last_good, "the last good release"
    others = [
        (group.created, version)
        for cluster in clusters
        for group in cluster.groups
        if not group.enabled
        and not group.raw.get("Status")
        and (version := group.version(packages))
        and version not in _served(cluster, packages)
    ]
    if others:
        return dict.fromkeys(packages, max(others)[1]), "the newest version that stands beside what runs"
    raise LookupError("no server group of another version stands; say which one with --to VERSION")


def _serves(cluster: Cluster, wanted: Versions) -> bool:
    return bool(cluster.serving) and all(group.runs(wanted) for group in cluster.serving)


def _served(cluster: Cluster, packages: Sequence[str]) -> set[str]:
    return {group.version(packages) for group in cluster.serving}


def _region(fleet: Fleet, cluster: Cluster, standing: Standing, wanted: Versions, version: str) -> Region:
    """The steps that enable what stands, else those that make it."""
    good = next((group for group in _by_use(cluster) if group.runs(wanted)), None)
    bad = [group for group in cluster.serving if not group.runs(wanted)]
    if good is None:
        return _made(fleet, cluster, standing, wanted, version)
    if good.enabled and not bad and good.healthy >= max(good.sizes[2], 1):
        return Region(region=cluster.region, note=f"{good.name} serves {version} already; there is nothing to do")
    stands = "is in service" if good.enabled else "stands, and is disabled"
    note = f"{good.name} is {version}, and {stands}"
    return Region(region=cluster.region, note=note, steps=tuple(enabling(good, bad, cluster.region)))


def _by_use(cluster: Cluster) -> list[Group]:
    """Enabled ones first, then the newest. Of those that are being deleted nothing can be made."""
    groups = [group for group in cluster.groups if not group.raw.get("Status")]
    return sorted(groups, key=lambda group: (group.enabled, group.created), reverse=True)


def _made(fleet: Fleet, cluster: Cluster, standing: Standing, wanted: Versions, version: str) -> Region:
    unknown = [said for group in cluster.groups if (said := group.unknown(list(wanted)))]
    none = f"no server group is known to be {version}" if unknown else f"no server group of {version} stands"
    none = "; ".join([none, *unknown])
    try:
        image = standing.image(fleet, cluster, wanted)
        place = _place(fleet, cluster.region)
        template = standing.template(place, cluster.serving[-1]) if cluster.serving else None
        steps = tuple(making(replace(cluster, image=image, template=template), version))
    except (LookupError, Unreadable) as trouble:
        return Region(region=cluster.region, note=f"{none}; {trouble}", reached=False)
    return Region(region=cluster.region, note=f"{none}; one is made", steps=steps)


def _place(fleet: Fleet, region: str) -> Place:
    return Place(fleet.environment.account, region, fleet.environment.role)
