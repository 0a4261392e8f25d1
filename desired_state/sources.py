"""One fleet at a time: which files it is made of, and what they make together. Remembered by blob id."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from desired_state.assemble import Assembled, Checks, DeploySettings, Parts, assemble, explained
from desired_state.cache import Cache
from desired_state.documents import Finding, ListNode, MapNode, Position, plain
from desired_state.files import Checked, Files
from desired_state.formats import EnvironmentFile, FairleadFile, FleetFile
from desired_state.layout import ROOT, Kind, environment_path, fleet_path, place, service_path
from desired_state.model import Environment, Fleet, FleetName
from desired_state.problems import nearest
from desired_state.syntax import shown
from desired_state.trees import Entry, Tree

_FLEETS = 65_536
V = TypeVar("V", bound=BaseModel)


class Sources:
    """Reads the fleets of any number of trees."""

    def __init__(self, deploy_settings: DeploySettings, checks: Checks, below: "Sources | None" = None) -> None:
        self._deploy_settings = deploy_settings
        self._checks = checks
        self._files: Files = Files(below._files if below else None)
        self._fleets: Cache[tuple[str, ...], Assembled] = Cache(_FLEETS, below._fleets if below else None)
        self._services: Cache[tuple[str, ...], tuple[Finding, ...]] = Cache(_FLEETS, below._services if below else None)
        self._listed: tuple[Mapping[str, Entry], Sequence[str]] | None = None  # the services of the tree asked last

    def aside(self) -> "Sources":
        """One that knows what this one knows, and whose own finds are gone with it."""
        return Sources(self._deploy_settings, self._checks, self)

    @staticmethod
    def declares(tree: Tree, name: FleetName) -> bool:
        """The fleet has a file."""
        path = fleet_path(name)
        found = place(path)
        return found.kind is Kind.FLEET and not found.fault and path in tree.entries()

    def checked(self, tree: Tree, path: str) -> Checked | None:
        """One file by itself; None where it is not there."""
        entry = tree.entries().get(path)
        return None if entry is None else self._files.checked(tree, path, entry)

    def assembled(self, tree: Tree, name: FleetName, service: str | None = None) -> Assembled:
        """The fleet out of its files, each of which may be broken or missing; `service` where it is known already."""
        service = self.service(tree, name) if service is None else service
        key = (name, service, *_blobs(tree, _paths(name, service)))
        return self._fleets.get(key, lambda: self._assemble(tree, name))

    def service(self, tree: Tree, name: FleetName) -> str:
        """The service file that says how: what `service:` names, else the fleet's short name."""
        checked = self.checked(tree, fleet_path(name))
        if checked is not None and isinstance(checked.value, FleetFile) and checked.value.service:
            return checked.value.service
        return name.partition("/")[2]

    def explained(self, tree: Tree, name: FleetName) -> Mapping[str, tuple[Any, Position]]:
        """Every effective value and where it was written; empty where the fleet's files are not all sound."""
        parts = self._parts(tree, name)
        return explained(parts) if isinstance(parts, Parts) else {}

    def scope(self, tree: Tree, path: str, key: str) -> dict[str, Position]:
        """The names in a list of a file that may be broken elsewhere, and where each stands."""
        root = self._files.root(tree, path)
        node = root.items.get(key) if root is not None else None
        return {str(plain(item)): item.at for item in node.items} if isinstance(node, ListNode) else {}

    def refusals(self, fleet: Fleet, path: str) -> Iterator[str]:
        """What the fleet's deployer says against what stands at that dotted path, as sentences."""
        for said in self._checks[fleet.deploy_type](fleet) if fleet.deploy_type in self._checks else ():
            where, colon, sentence = said.partition(": ")
            if colon and where == path:
                yield sentence

    def environments_of(self, tree: Tree, service: str) -> tuple[Finding, ...]:
        """Environments that a service's `in` names and `fairlead.yaml` does not."""
        key = (service, *_blobs(tree, (ROOT, service_path(service))))
        return self._services.get(key, lambda: tuple(self._unknown_environments(tree, service)))

    def paths(self, tree: Tree, name: FleetName) -> tuple[str, ...]:
        """The paths, there or not, that the fleet is made of."""
        return _paths(name, self.service(tree, name))

    def _assemble(self, tree: Tree, name: FleetName) -> Assembled:
        parts = self._parts(tree, name)
        if isinstance(parts, Parts):
            return assemble(parts, self._deploy_settings, self._checks)
        return Assembled(findings=parts)

    def _parts(self, tree: Tree, name: FleetName) -> Parts | tuple[Finding, ...]:
        """All files of a fleet, or the findings about files that are missing; a broken file gives no finding here."""
        findings = tuple(self._missing(tree, name))
        files = [self.checked(tree, path) for path in self.paths(tree, name)]
        service = self.service(tree, name)
        broken = any(checked is not None and not checked.sound for checked in files)
        if findings or broken or self.environments_of(tree, service):
            return findings
        return self._sound_parts(tree, name, service)

    def _sound_parts(self, tree: Tree, name: FleetName, service: str) -> Parts:
        root = self._files.root
        environment_root = _there(root(tree, environment_path(name.partition("/")[0])))
        return Parts(
            name=name,
            environment=self._environment(tree, name.partition("/")[0]),
            service=service,
            fleet=self._value(tree, fleet_path(name), FleetFile),
            fleet_root=_there(root(tree, fleet_path(name))),
            service_root=_there(root(tree, service_path(service))),
            defaults=_submap(_there(root(tree, ROOT)), "defaults"),
            override=_submap(environment_root, "override"),
            service_config=root(tree, service_path(service, ".config")),
            fleet_config=root(tree, fleet_path(name, ".config")),
        )

    def _missing(self, tree: Tree, name: FleetName) -> Iterator[Finding]:
        environment = name.partition("/")[0]
        yield from self.missing_environment(tree, environment)
        service = self.service(tree, name)
        if service_path(service) in tree.entries():
            return
        root = self._files.root(tree, fleet_path(name))
        node = root.items.get("service") if root is not None else None
        at = node.at if node is not None else Position(fleet_path(name), 1, 1)
        near = nearest(service, self._services_in(tree))
        right = f"did you mean service: {near}?" if near else "add it, or name another with service:"
        yield Finding(at, f"there is no {service_path(service)}; {right}")

    def _services_in(self, tree: Tree) -> Sequence[str]:
        """Listed once a tree: a tree may have lost all its service files, and each of its fleets asks."""
        entries, listed = tree.entries(), self._listed
        if listed is None or listed[0] is not entries:
            names = [place(path).name for path in entries if place(path).kind is Kind.SERVICE]
            self._listed = listed = (entries, names)
        return listed[1]

    def missing_environment(self, tree: Tree, environment: str) -> Iterator[Finding]:
        """What keeps an environment from being one: no file, or not listed in `fairlead.yaml`."""
        path = environment_path(environment)
        if ROOT not in tree.entries():
            told = "the file is missing; add it with apiVersion: fairlead/v1 and environments"
            yield Finding(Position(ROOT, 1, 1), told)
            return
        if path not in tree.entries():
            yield Finding(Position(path, 1, 1), "the file is missing; add it with account and regions")
        checked = self.checked(tree, ROOT)
        value = checked.value if checked is not None else None
        if isinstance(value, FairleadFile) and environment not in value.environments:
            told = (
                f'the environment "{shown(environment)}" is not listed in fairlead.yaml; add it to environments there'
            )
            yield Finding(Position(path, 1, 1), told)

    def _unknown_environments(self, tree: Tree, service: str) -> Iterator[Finding]:
        checked, root = self.checked(tree, ROOT), self._files.root(tree, service_path(service))
        inside = _submap(root, "in") if root is not None else None
        if inside is None or checked is None or not isinstance(checked.value, FairleadFile):
            return
        known = checked.value.environments
        for name, at in inside.keys.items():
            if name not in known:
                right = nearest(name, known)
                told = f'did you mean "{right}"?' if right else f"fairlead.yaml lists {', '.join(known)}"
                yield Finding(at, f'unknown environment "{shown(name)}"; {told}')

    def environment(self, tree: Tree, name: str) -> Environment:
        """An environment by itself; without account and regions where its file is missing or cannot be read."""
        checked = self.checked(tree, environment_path(name))
        if checked is None or not isinstance(checked.value, EnvironmentFile):
            return Environment(name=name, account="", regions=())
        return self._environment(tree, name)

    def _environment(self, tree: Tree, name: str) -> Environment:
        file = self._value(tree, environment_path(name), EnvironmentFile)
        return Environment(
            name=name,
            account=file.account,
            regions=file.regions,
            role=file.role,
            spinnaker=file.spinnaker.model_dump() if file.spinnaker else {},
            trigger=file.trigger.model_dump(exclude_defaults=True) if file.trigger else {},
        )

    def _value(self, tree: Tree, path: str, model: type[V]) -> V:
        checked = self.checked(tree, path)
        assert checked is not None and isinstance(checked.value, model)  # noqa: S101, PT018 `_parts` has looked
        return checked.value


def _paths(name: FleetName, service: str) -> tuple[str, ...]:
    return (
        ROOT,
        environment_path(name.partition("/")[0]),
        service_path(service),
        service_path(service, ".config"),
        fleet_path(name),
        fleet_path(name, ".config"),
    )


def _blobs(tree: Tree, paths: tuple[str, ...]) -> list[str]:
    entries = tree.entries()
    return [f"{entry.mode}{entry.blob}" if (entry := entries.get(path)) else "" for path in paths]


def _there(root: MapNode | None) -> MapNode:
    assert root is not None  # noqa: S101 a sound file has a root
    return root


def _submap(node: MapNode | None, key: str) -> MapNode | None:
    child = node.items.get(key) if node is not None else None
    return child if isinstance(child, MapNode) else None
