"""Fleets of type trigger, out of instances' tags and what agents reported of them. Pure.

Which instances belong together their tags say; what runs on them only their agents can. Where no agent has spoken there
is no version to write down, and the fleet is left out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from adapters.aws.hosts import Host
from adapters.aws.instances import GROUP_TAG
from adapters.importing.clusters import is_pushed
from adapters.importing.facts import Draft, Findings, LeftOut, Question, Rules, Site, Told
from adapters.importing.majority import Running, majority, others, some
from adapters.importing.naming import is_fleet, slug

SERVICE_TAGS = ("service", "Service", "app", "App", "application", "Application")
ENVIRONMENT_TAGS = ("environment", "Environment", "env", "Env", "stage", "Stage")
PACKAGE, PIN = "package/", "sha256/"
_FORMATS = ((".deb", "deb"), (".tar.gz", "archive"), (".tgz", "archive"), (".tar", "archive"), (".zip", "archive"))


class Member(NamedTuple):
    """An instance, and where it is."""

    host: Host
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Instances that the same tags select."""

    environment: str
    service: str
    tags: Mapping[str, str]
    members: Sequence[Member]

    @property
    def what(self) -> str:
        """For people."""
        return f"instances tagged {', '.join(f'{key}={value}' for key, value in sorted(self.tags.items()))}"


def read_hosts(site: Site, rules: Rules) -> Findings:
    """The fleets that the account's long-lived instances are."""
    drafts: list[Draft] = []
    left: list[LeftOut] = []
    for group in _groups(site, rules):
        found = _read(group, site, rules)
        if isinstance(found, Draft):
            drafts.append(found)
        else:
            left.append(LeftOut(what=group.what, why=found))
    return Findings(drafts=tuple(drafts), left_out=(*left, *_nameless(site, rules), *_untagged(site, rules)))


def environments_of(site: Site, rules: Rules) -> set[str]:
    """The environments that instances tell: agents report by environment."""
    return {group.environment for group in _groups(site, rules) if group.environment}


def _groups(site: Site, rules: Rules) -> Iterator[Group]:
    found: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[Member]] = defaultdict(list)
    for region, inventory in site.inventories.items():
        for host in inventory.hosts.all:
            known = _known(host, site, rules)
            if known is not None and not is_pushed(host["tags"].get(GROUP_TAG, "")):
                found[known].append(Member(host, region))
    for (environment, service, tags), members in sorted(found.items()):
        yield Group(environment=environment, service=service, tags=dict(tags), members=members)


def _known(host: Host, site: Site, rules: Rules) -> tuple[str, str, tuple[tuple[str, str], ...]] | None:
    """Environment, service and the tags that say so; None for a machine that tells no service."""
    services = (rules.service_tag,) if rules.service_tag else SERVICE_TAGS
    environments = (rules.environment_tag,) if rules.environment_tag else ENVIRONMENT_TAGS
    service = next((key for key in services if host["tags"].get(key)), "")
    if not service:
        return None
    place = next((key for key in environments if host["tags"].get(key)), "")
    said = host["tags"].get(place, "")
    tags = {service: host["tags"][service], **({place: said} if place else {})}
    environment = rules.environments.get(said) or slug(said) or site.account.environment
    return environment, slug(host["tags"][service]), tuple(sorted(tags.items()))


def _read(group: Group, site: Site, rules: Rules) -> Draft | str:
    """The fleet, or why it is none."""
    heard = _heard(group, site)
    fleet, told = _agreed(group, heard)
    why = _unfit(group, site, rules) or _unheard(fleet, heard, told)
    if why:
        return why
    packages = sorted(
        {name.removeprefix(PACKAGE) for one in told for name in one.components if name.startswith(PACKAGE)}
    )
    versions, doubts = {}, []
    for package in packages:
        running = _running(group, told, PACKAGE + package)
        versions[package] = majority(running)
        mixed = others(running, versions[package], "instances")
        path = ("version",) if len(packages) == 1 else ("versions", package)
        doubts += [Question(text=mixed, path=path, in_fleet=True)] if mixed else []
        doubts += _rare(package, running, told)
    doubts += _silent(group, told)
    service = fleet.partition("/")[2]
    return Draft(
        environment=group.environment,
        service=service,
        account=site.account,
        regions=tuple(sorted({member.region for member in group.members})),
        packages={package: _artifact(package, service, rules) for package in packages},
        deploy=_deploy(service, group, told),
        versions=versions,
        found=f"{len(group.members)} {group.what}",
        units=len(group.members),
        sha256=_pins(told, versions),
        questions=(*doubts, *_questions(service, packages, told, rules)),
    )


def _heard(group: Group, site: Site) -> list[Told]:
    """What was reported of its instances, of whatever fleet."""
    ids = {member.host["id"] for member in group.members}
    return [one for one in site.reports if one.host in ids]


def _agreed(group: Group, heard: Sequence[Told]) -> tuple[str, list[Told]]:
    """The fleet's name: as the agents call it where they agree on one of this environment, else as the tags do.

    It becomes a path, a unit and a command: what no fleet can be called is taken from nobody.
    """
    named = f"{group.environment}/{group.service}"
    called = {one.fleet for one in heard if is_fleet(one.fleet) and one.fleet.partition("/")[0] == group.environment}
    fleet = called.pop() if len(called) == 1 else named
    return fleet, [one for one in heard if one.fleet == fleet]


def _unfit(group: Group, site: Site, rules: Rules) -> str:
    if not group.environment:
        return "no tag tells the environment: say --environment NAME, or --environment-tag KEY"
    if not group.service:
        return "its service tag cannot be a service's name; write its files by hand"
    for region, inventory in site.inventories.items():
        for host in inventory.hosts.tagged(group.tags):
            if is_pushed(host["tags"].get(GROUP_TAG, "")):
                return f"{host['id']} in {region} has these tags and is Spinnaker's: give one of both kinds other tags"
    if not rules.bucket:
        return "orders need a bucket: say --bucket NAME"
    return ""


def _unheard(fleet: str, heard: Sequence[Told], told: Sequence[Told]) -> str:
    if any(name.startswith("config/") for one in told for name in one.components):
        return "Fairlead gave them configuration whose values stand in another repository: take its files from there"
    if any(name.startswith(PACKAGE) for one in told for name in one.components):
        return ""
    if heard and not told:
        return (
            f"their agents speak of {', '.join(sorted({one.fleet for one in heard}))}: name {fleet} in their agent.yaml"
        )
    return (
        f"no agent told a version: run it with --report-only and `fleets: {{{fleet}: {{observe: ...}}}}`, stop a "
        f"controller that reads its reports, import again"
    )


def _running(group: Group, told: Sequence[Told], component: str) -> list[Running]:
    launched = {member.host["id"]: str(member.host["launched"]) for member in group.members}
    return [
        Running(id=one.host, since=launched[one.host], version=one.components[component])
        for one in told
        if component in one.components
    ]


def _rare(package: str, running: Sequence[Running], told: Sequence[Told]) -> Iterator[Question]:
    """What is deployed goes to every host of a fleet: one host's word is too little for that."""
    speaking = [one for one in told if any(name.startswith(PACKAGE) for name in one.components)]
    if len(running) < len(speaking):
        named = some(one.id for one in running)
        text = f"does {package} belong to it? Only {len(running)} of {len(speaking)} instances told of it: {named}."
        yield Question(text=text, path=("packages", package))


def _silent(group: Group, told: Sequence[Told]) -> Iterator[Question]:
    speaking = {one.host for one in told if any(name.startswith(PACKAGE) for name in one.components)}
    silent = sorted(str(member.host["id"]) for member in group.members if member.host["id"] not in speaking)
    if silent:
        text = f"what runs on {some(silent)}? No agent told a version there; it waits until one does."
        yield Question(text=text, in_fleet=True)


def _pins(told: Sequence[Told], versions: Mapping[str, str]) -> dict[str, str]:
    """The SHA-256 of packages where every host has the version and tells the same."""
    pins = {}
    for package in versions:
        said = {(one.components.get(PACKAGE + package), one.components.get(PIN + package, "")) for one in told}
        if len(said) == 1 and (pin := next(iter(said))[1]):
            pins[package] = pin
    return pins


# -- what only people know -------------------------------------------------------------------------------------------


def _artifact(package: str, service: str, rules: Rules) -> dict[str, str]:
    """Where an artifact comes from; without `--artifacts` a place that is not there, so that a deploy is refused."""
    pattern = rules.artifacts or f"s3://name-me/{package}/{{version}}/{package}.jar"
    source = pattern.replace("{service}", service).replace("{package}", package)
    kind = next((kind for end, kind in _FORMATS if source.endswith(end)), "file")
    name = PurePosixPath(source).name.replace("-{version}", "").replace("{version}", package)
    if kind == "deb":
        return {"format": kind, "from": source}
    return {"format": kind, "from": source, "to": "app" if kind == "archive" else name}


def _deploy(service: str, group: Group, told: Sequence[Told]) -> dict[str, Any]:
    drain = {"drain": {"target_groups": "attached"}} if any(one.target_groups for one in told) else {}
    return {
        "type": "trigger",
        "root": f"/srv/{service}",
        "select": {"tags": dict(group.tags)},
        "run": {"unit": f"{service}.service"},
        **drain,
        "health": {"command": f"systemctl is-active --quiet {service}.service"},
    }


def _questions(service: str, packages: Sequence[str], told: Sequence[Told], rules: Rules) -> Iterator[Question]:
    if not rules.artifacts:
        text = (
            "where does CI put this artifact? While this address is not there a deploy is refused, and what runs is "
            "left alone. The version that runs now must lie there too: a failed deploy goes back to it."
        )
        yield from (Question(text=text, path=("packages", package, "from")) for package in packages)
    root = "which folder may Fairlead own on the hosts? It must be empty, not where the service lies now."
    yield Question(text=root, path=("deploy", "root"))
    unit = f"which systemd unit runs it? It must start what lies below /srv/{service}/current."
    yield Question(text=unit, path=("deploy", "run"))
    health = "what tells that it is healthy? Better than this is an address, such as http: http://localhost:8080/health"
    yield Question(text=health, path=("deploy", "health"))
    if not any(one.target_groups for one in told):
        yield Question(
            text="is it behind a load balancer? Then say: drain: {target_groups: attached, within: 5m}",
            path=("deploy",),
        )


def _nameless(site: Site, rules: Rules) -> Iterator[LeftOut]:
    """Instances of which no tag names a service."""
    hosts = [host for inventory in site.inventories.values() for host in inventory.hosts.all]
    alone = [host for host in hosts if not is_pushed(host["tags"].get(GROUP_TAG, ""))]
    unnamed = sorted(str(host["id"]) for host in alone if _known(host, site, rules) is None)
    if unnamed:
        wanted = rules.service_tag or "service"
        yield LeftOut(
            what=f"instances {some(unnamed)}", why=f"they have no tag {wanted}: tag them, or say --service-tag KEY"
        )


def _untagged(site: Site, rules: Rules) -> Iterator[LeftOut]:
    """Fleets that agents speak of, on instances that no tags select for them."""
    expected = {_agreed(group, _heard(group, site))[0] for group in _groups(site, rules)}
    for fleet in sorted({one.fleet for one in site.reports} - expected):
        hosts = some({one.host for one in site.reports if one.fleet == fleet})
        if is_fleet(fleet):
            why = f"no tags say which instances it has; agents on {hosts} speak of it: write its files by hand"
        else:
            why = f"no fleet can have this name: correct it in agent.yaml on {hosts}"
        yield LeftOut(what=f"fleet {fleet}", why=why)
