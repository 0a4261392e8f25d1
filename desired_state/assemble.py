"""One fleet out of its files: layers merged, placeholders filled, everything that depends on several files checked."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from desired_state import digests, layers
from desired_state.documents import Finding, MapNode, Node, Position, ScalarNode, leaves, plain
from desired_state.formats import POLICY_KEYS, EffectivePackage, EffectiveService, FleetFile
from desired_state.model import Component, Config, Environment, Fleet, Package, Policy, Severity, Source, Version
from desired_state.placeholders import fill
from desired_state.problems import check, nearest
from desired_state.syntax import shown

DeploySettings = Mapping[str, type[BaseModel]]
Checks = Mapping[str, Callable[[Fleet], Iterable[str]]]
SPINNAKER = "spinnaker"  # the one type whose values are evaluated as expressions by the other side


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that one fleet is made of, each file sound by itself."""

    name: str  # prod/checkout
    environment: Environment
    service: str
    fleet: FleetFile
    fleet_root: MapNode
    service_root: MapNode
    defaults: MapNode | None
    override: MapNode | None
    service_config: MapNode | None
    fleet_config: MapNode | None

    def settings(self) -> MapNode:
        """The merged settings with `{environment}` and `{service}` filled in."""
        service = self.service_root
        own = MapNode(items={k: v for k, v in service.items.items() if k != "in"}, keys=service.keys, at=service.at)
        inside = _map(_map(service, "in"), self.environment.name)
        merged = layers.settings((self.defaults, own, self.override, inside), service)
        named = {"environment": self.environment.name, "service": self.name.partition("/")[2]}
        filled = fill(merged, named)
        return filled if isinstance(filled, MapNode) else merged

    def configuration(self) -> MapNode | None:
        """The merged configuration values; None where no file has any."""
        return layers.configuration((self.service_config, self.fleet_config))


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """A fleet, or what keeps it from being one. `clash` is equal for fleets that select the same machines."""

    fleet: Fleet | None = None
    findings: tuple[Finding, ...] = ()
    clash: str | None = None
    on_hosts: bool = False  # selected by tags: several fleets may share a host
    select_at: Position | None = None


def assemble(parts: Parts, deploy_settings: DeploySettings, checks: Checks) -> Assembled:
    """The effective fleet, with everything that is wrong with it."""
    merged = parts.settings()
    service, found = check(EffectiveService, merged)
    if service is None:
        return Assembled(findings=tuple(found))
    deploy = _Deploy(merged.items["deploy"])
    findings = [*_coverage(parts, service), *deploy.findings(deploy_settings), *_config_findings(parts, service)]
    if deploy.type == SPINNAKER:
        findings += [*_expressions(merged), *_expressions(parts.configuration())]
    if any(finding.severity is Severity.ERROR for finding in findings):
        return Assembled(findings=tuple(findings))
    fleet = _fleet(parts, service, deploy)
    told = list(_told(deploy.node, checks[deploy.type](fleet))) if deploy.type in checks else []
    told += _untagged(merged, fleet)
    stopped = any(finding.severity is Severity.ERROR for finding in told)
    return _selected(None if stopped else fleet, (*findings, *told), deploy)


def explained(parts: Parts) -> dict[str, tuple[Any, Position]]:
    """Every effective value by its dotted path, and where it was written."""
    found: dict[str, tuple[Any, Position]] = {}
    for prefix, root in (
        ((), parts.settings()),
        (("config", "values"), parts.configuration()),
        ((), parts.fleet_root),
    ):
        if root is not None:
            found |= {".".join((*prefix, *path)): (plain(node), node.at) for path, node in leaves(root) if path}
    return dict(sorted(found.items()))


class _Deploy:
    """The effective `deploy`: opaque but for its type, and for `select` and `waves` in the digests."""

    def __init__(self, node: Node) -> None:
        assert isinstance(node, MapNode)  # noqa: S101 EffectiveService has checked it
        kind = node.items["type"]
        self.type = str(kind.value) if isinstance(kind, ScalarNode) else ""
        self.type_at = kind.at
        items = {key: child for key, child in node.items.items() if key != "type"}
        self.node = MapNode(items=items, keys=node.keys, at=node.at)
        self.values: dict[str, Any] = plain(self.node)

    def findings(self, known: DeploySettings) -> list[Finding]:
        """What the type's own model says."""
        if self.type in known:
            return check(known[self.type], self.node)[1]
        near = nearest(self.type, list(known))
        right = f'did you mean "{near}"?' if near else f"the known ones are {', '.join(sorted(known))}"
        return [Finding(self.type_at, f'unknown deploy type "{shown(self.type)}"; {right}')]


def _coverage(parts: Parts, service: EffectiveService) -> Iterator[Finding]:
    """Versions cover exactly the packages; pins name packages."""
    known = ", ".join(service.packages)
    for key in ("versions", "sha256"):
        node = parts.fleet_root.items.get(key)
        if not isinstance(node, MapNode):
            continue
        for name in node.items:
            if name not in service.packages:
                told = f'{parts.service} has no package "{shown(name)}"; its packages are {known}'
                yield Finding(node.keys[name], told)
        missing = [name for name in service.packages if key == "versions" and name not in node.items]
        if missing:
            yield Finding(node.at, f'"versions" lacks {", ".join(missing)}; add {missing[0]}: "1.2.3"')


def _config_findings(parts: Parts, service: EffectiveService) -> Iterator[Finding]:
    values = parts.fleet_config or parts.service_config
    if values is not None and service.config is None:
        service_file = f"services/{parts.service}.yaml"
        told = f"{service_file} does not say where configuration goes; add config: {{to: ..., format: yaml}}"
        yield Finding(values.at, told)
    if values is None and service.config is not None and (at := parts.service_root.keys.get("config")):
        told = f"no file holds configuration values; add services/{parts.service}.config.yaml or remove config"
        yield Finding(at, told, Severity.WARNING)


def _expressions(root: MapNode | None) -> Iterator[Finding]:
    """`${` in anything that Spinnaker would evaluate."""
    for path, node in leaves(root) if root is not None else ():
        if isinstance(node, ScalarNode) and ("${" in str(node.value) or any("${" in part for part in path)):
            told = f'"{shown(path[-1])}" must not hold ${{, because Spinnaker would evaluate it; write the value itself'
            yield Finding(node.at, told)


def _fleet(parts: Parts, service: EffectiveService, deploy: _Deploy) -> Fleet:
    packages = tuple(_package(parts.fleet, name, keys) for name, keys in service.packages.items())
    config = _config(parts, service)
    components = _components(parts, packages, config)
    target = digests.target_digest(components)
    given = {key: value for key in POLICY_KEYS if (value := getattr(service, key)) is not None}
    return Fleet(
        name=parts.name,
        environment=parts.environment,
        service=parts.service,
        components=components,
        packages=packages,
        deploy_type=deploy.type,
        deploy=deploy.values,
        target_digest=target,
        spec_digest=digests.spec_digest(target, deploy.type, deploy.values, packages),
        identity_digest=digests.identity_digest(parts.environment, deploy.type, deploy.values.get("select")),
        owner=service.owner or "",
        config=config,
        redeploy=parts.fleet.redeploy or None,
        policy=Policy(**given),
        source=Source(repository=service.source.repository, tag=service.source.tag) if service.source else None,
    )


def _package(fleet: FleetFile, name: str, keys: EffectivePackage) -> Package:
    return Package(
        name=name,
        version=fleet.version or fleet.versions[name],
        format=keys.format or "deb",
        source=keys.from_,
        destination=keys.to,
        sha256=fleet.sha256.get(name) or keys.sha256,
    )


def _config(parts: Parts, service: EffectiveService) -> Config | None:
    root = parts.configuration()
    if root is None or service.config is None:
        return None
    values, to, written = plain(root), service.config.to, service.config.format
    return Config(destination=to, format=written, values=values, digest=digests.config_digest(values, to, written))


def _components(parts: Parts, packages: tuple[Package, ...], config: Config | None) -> dict[Component, Version]:
    components = {f"package/{package.name}": package.version for package in packages}
    components |= {f"sha256/{package.name}": package.sha256 for package in packages if package.sha256}
    if config is not None:
        components[f"config/{parts.service}"] = config.digest
    if parts.fleet.redeploy:
        components["redeploy"] = digests.redeploy_version(parts.fleet.redeploy)
    return components


def _untagged(merged: MapNode, fleet: Fleet) -> Iterator[Finding]:
    """A version that no tag can be named after: it deploys as well, and its own commit hears nothing of it."""
    tag = _map(merged, "source")
    if fleet.source is None or tag is None or fleet.tag:
        return
    several = len({package.version for package in fleet.packages}) > 1
    why = "its packages have different versions" if several else "git allows no such name"
    told = f"no tag can be named after {shown(fleet.version)}, because {why}: its own commit is told nothing"
    yield Finding(tag.items["tag"].at, told, Severity.WARNING)


def _told(deploy: MapNode, sentences: Iterable[str]) -> Iterator[Finding]:
    """A deployer's `dotted.path: sentence` at the place that the path names, as deep as it exists."""
    for said in sentences:
        severity = Severity.WARNING if said.startswith("warning: ") else Severity.ERROR
        sentence = said.removeprefix("warning: ")
        path, colon, message = sentence.partition(": ")
        if not colon or " " in path:
            yield Finding(deploy.at, sentence, severity)
            continue
        node: Node = deploy
        for part in path.removeprefix("deploy.").split("."):
            node = _child(node, part) or node
        yield Finding(node.at, message, severity)


def _child(node: Node, part: str) -> Node | None:
    if isinstance(node, MapNode):
        return node.items.get(part)
    if isinstance(node, ScalarNode) or not part.isdecimal() or int(part) >= len(node.items):
        return None
    return node.items[int(part)]


def _selected(fleet: Fleet | None, findings: tuple[Finding, ...], deploy: _Deploy) -> Assembled:
    select = deploy.node.items.get("select")
    if fleet is None or not isinstance(select, MapNode):
        return Assembled(fleet=fleet, findings=findings)
    return Assembled(
        fleet=fleet,
        findings=findings,
        clash=digests.clash_digest(fleet.environment, plain(select.items.get("cluster", select))),
        on_hosts="tags" in select.items,
        select_at=select.at,
    )


def _map(node: MapNode | None, key: str) -> MapNode | None:
    child = node.items.get(key) if node is not None else None
    return child if isinstance(child, MapNode) else None
