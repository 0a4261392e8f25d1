"""Fleets of type spinnaker, out of server groups, images and pipelines. Pure.

The version is told by the same evidence as the inventory's (`adapters.aws.versions`), so that what is written down is
what a controller then sees.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.aws.inventory import Inventory
from adapters.aws.names import cluster_of, is_cluster, sequence_of
from adapters.aws.versions import PACKAGE_TAG, evidence, version_in
from adapters.importing.facts import Draft, Findings, LeftOut, Question, Rules, Site
from adapters.importing.majority import Running, majority, others
from adapters.importing.naming import Parts, parts_of, slug
from adapters.importing.pipelines import choose

_LEADING = re.compile(r"^(.+?)-\d")  # of an appversion: a Debian version begins with a digit
_CANARY = re.compile(r"(?:^|-)(?:canary|baseline)$")
Group = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One cluster's enabled groups by region, oldest first, and the images of the account."""

    name: str
    groups: Mapping[str, Sequence[Group]]
    images: Mapping[str, Mapping[str, Any]]

    @property
    def regions(self) -> tuple[str, ...]:
        """Where it is in service."""
        return tuple(sorted(self.groups))


def is_pushed(group: str) -> bool:
    """Whether the name is that of a server group as Spinnaker makes them."""
    return sequence_of(group) is not None and is_cluster(cluster_of(group))


def clusters_of(site: Site) -> tuple[list[Cluster], list[LeftOut]]:
    """Every cluster that is in service anywhere, and those that are not."""
    groups: dict[str, dict[str, list[Group]]] = defaultdict(lambda: defaultdict(list))
    images: dict[str, Mapping[str, Any]] = {}
    for region, inventory in site.inventories.items():
        images.update(inventory.images)
        for name, group in _pushed(inventory):
            groups[name][region].append(group)
    found, left = [], []
    for name, by_region in sorted(groups.items()):
        enabled = {region: [one for one in those if one["enabled"]] for region, those in by_region.items()}
        serving = {region: those for region, those in enabled.items() if those}
        if serving:
            found.append(Cluster(name=name, groups=serving, images=images))
        else:
            left.append(LeftOut(what=f"cluster {name}", why="every server group of it is disabled"))
    return found, left


def _pushed(inventory: Inventory) -> Iterator[tuple[str, Group]]:
    for name, groups in inventory.clusters.items():
        yield from ((name, group) for group in groups if is_pushed(str(group["name"])))


def read_clusters(site: Site, rules: Rules) -> Findings:
    """The fleets that the account's clusters are."""
    clusters, left = clusters_of(site)
    drafts: list[Draft] = []
    for cluster in clusters:
        found = _read(cluster, site, rules)
        drafts += [found] if isinstance(found, Draft) else []
        left += [LeftOut(what=f"cluster {cluster.name}", why=found)] if isinstance(found, str) else []
    return Findings(drafts=tuple(drafts), left_out=tuple(left))


def _read(cluster: Cluster, site: Site, rules: Rules) -> Draft | str:
    """The fleet, or why it is none."""
    parts = parts_of(cluster.name, rules.environments)
    environment = _environment(parts, site, rules)
    why = _unfit(cluster, parts, environment, rules)
    if why:
        return why
    choice = choose(site.pipelines.get(parts.application, ()), parts.application, cluster.name, cluster.regions)
    running, empty = _running(cluster)
    package = _package(cluster, running, (*choice.packages, parts.service, parts.application, cluster.name))
    if not package:
        return f"no image of it tells a version: tag the AMIs {PACKAGE_TAG}<package> or appversion, and import again"
    told = [one for each in running if (one := _version_on(cluster, each, package)) is not None]
    if not told:
        return f"no image of it tells the version of {package}: tag the AMIs {PACKAGE_TAG}{package}"
    version = majority(told)
    return Draft(
        environment=environment,
        service=parts.service,
        account=site.account,
        regions=cluster.regions,
        packages={package: {}},
        deploy={
            "type": "spinnaker",
            "application": parts.application,
            "pipeline": choice.pipeline,
            "parameters": dict(choice.parameters),
            "select": {"cluster": cluster.name},
        },
        versions={package: version},
        found=f"cluster {cluster.name} in {', '.join(cluster.regions)}",
        units=0 if empty else len(running),
        questions=(*choice.questions, *_doubts(cluster, running, told, package, version)),
        spinnaker_account=choice.account,
        zero_units=empty,
    )


def _environment(parts: Parts, site: Site, rules: Rules) -> str:
    named = rules.environments.get(parts.word, slug(parts.word))
    return named or site.account.environment


def _unfit(cluster: Cluster, parts: Parts, environment: str, rules: Rules) -> str:
    if _CANARY.search(cluster.name):
        return "it looks like the canary of another cluster; name it in `deploy.select.canary` there"
    if not environment:
        return "its name tells no environment: say --environment NAME, or --map STACK=NAME"
    if not parts.service:
        return "its name cannot be a service's; write its files by hand"
    if not rules.gate:
        return "Spinnaker deploys it: say --gate URL"
    return ""


def _running(cluster: Cluster) -> tuple[list[Running], bool]:
    """The machines, their image in the version's place; True where there is none: then what newest groups launch."""
    found = [
        Running(id=str(one["id"]), since=str(group["created"]), version=str(one["image"]))
        for groups in cluster.groups.values()
        for group in groups
        for one in _serving(group)
    ]
    if found:
        return found, False
    newest = [groups[-1] for groups in cluster.groups.values()]
    return [
        Running(id=str(one["name"]), since=str(one["created"]), version=str(one["launch_image"])) for one in newest
    ], True


def _serving(group: Group) -> list[Mapping[str, Any]]:
    serving = [one for one in group["instances"] if one["lifecycle"] == "InService"]
    return serving or [one for one in group["instances"] if one["lifecycle"].startswith("Pending")]


def _package(cluster: Cluster, running: Sequence[Running], likely: Sequence[str]) -> str:
    """The package whose version counts: by our tag, else the one that the images' appversion begins with."""
    tags = [cluster.images.get(one.version, {}).get("tags", {}) for one in running]
    ours = sorted({key.removeprefix(PACKAGE_TAG) for each in tags for key in each if key.startswith(PACKAGE_TAG)})
    if ours:
        return next((name for name in likely if name in ours), ours[0])
    texts = [str(each["appversion"]) for each in tags if "appversion" in each]
    known = [name for name in likely if any(version_in(text, name, "") for text in texts)]
    led = (match[1] for text in texts if (match := _LEADING.match(text)))
    return max(known, key=len) if known else next(led, "")


def _version_on(cluster: Cluster, one: Running, package: str) -> Running | None:
    """The machine with its version; None where its image says nothing."""
    version = evidence(cluster.images.get(one.version), one.version, package, "").version
    return one._replace(version=version) if version else None


def _doubts(
    cluster: Cluster, running: Sequence[Running], told: Sequence[Running], package: str, version: str
) -> Iterator[Question]:
    mixed = others(told, version, "instances")
    if mixed:
        yield Question(text=mixed, path=("version",), in_fleet=True)
    images = sorted({one.version for one in running} - {""})
    said = {image: evidence(cluster.images.get(image), image, package, "") for image in images}
    for image, one in said.items():
        if one.conflict:
            yield Question(text=f"{one.conflict}: which is right?", path=("version",), in_fleet=True)
        elif one.version is None:
            silent = f"image {image} tells no version of {package}: which one is it? Tag it {PACKAGE_TAG}{package}."
            yield Question(text=silent, path=("version",), in_fleet=True)
    if not any(PACKAGE_TAG + package in cluster.images.get(image, {}).get("tags", {}) for image in images):
        asked = f"is {package} the package whose version counts? It was read out of the images' appversion."
        yield Question(text=asked, path=("package",))
