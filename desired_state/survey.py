"""The whole tree at once: which fleets there are, which problem harms which of them, and what holds for several.

What one fleet's file gets wrong harms that fleet alone; a service's file harms its fleets, `environment.yaml` its
environment, `fairlead.yaml` all. A freeze that cannot be read harms the fleets it may be meant for, so that nothing
moves in it by accident.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from desired_state.assemble import Assembled
from desired_state.documents import Finding, Position
from desired_state.formats import EnvironmentFile, FairleadFile, FreezeFile, SuspendFile
from desired_state.layout import ROOT, Kind, Place, environment_path, fleet_path, place, service_path, suspend_path
from desired_state.model import DesiredState, Environment, Fleet, FleetName, Freeze, Problem, Severity, Suspension
from desired_state.problems import nearest
from desired_state.resume import Seen
from desired_state.sources import Sources
from desired_state.syntax import shown
from desired_state.trees import Tree

_NEIGHBOURS = frozenset({Kind.FLEET_CONFIG, Kind.FLEET_SUSPEND, Kind.SERVICE_CONFIG})
_SUSPENDS = frozenset({Kind.FLEET_SUSPEND, Kind.ENVIRONMENT_SUSPEND})


def survey(tree: Tree, sources: Sources) -> Seen:
    """Everything that the tree declares."""
    return _Survey(tree, sources).seen()


class _Survey:
    """One pass over one tree."""

    def __init__(self, tree: Tree, sources: Sources) -> None:
        self._tree = tree
        self._sources = sources
        self._harm: dict[Finding, set[FleetName]] = {}
        self._places = {path: place(path) for path in tree.entries()}
        self._declared = frozenset(
            f"{found.environment}/{found.name}"
            for found in self._places.values()
            if found.kind is Kind.FLEET and not found.fault
        )
        self._suspends = [path for path, found in self._places.items() if found.kind in _SUSPENDS]
        self._service_of = {name: sources.service(tree, name) for name in self._declared}
        self._by_service: dict[str, set[FleetName]] = defaultdict(set)
        self._by_environment: dict[str, set[FleetName]] = defaultdict(set)
        for name, service in self._service_of.items():
            self._by_service[service].add(name)
            self._by_environment[name.partition("/")[0]].add(name)

    def seen(self) -> Seen:
        assembled = self._assembled()
        self._files()
        self._environments()
        for service in [found.name for found in self._places.values() if found.kind is Kind.SERVICE]:
            self._find(self._sources.environments_of(self._tree, service), self._by_service[service])
        for name, each in assembled.items():
            self._find(each.findings, {name})
        self._clashes(assembled)
        self._regional(assembled)
        problems = self._problems()
        harmed = {name for problem in problems for name in problem.fleets}
        sound = {name: each.fleet for name, each in assembled.items() if each.fleet and name not in harmed}
        state = DesiredState(
            environments=self._listed(),
            fleets=dict(self._finished(sound)),
            declared=self._declared,
            problems=problems,
        )
        noted = frozenset(name for name, each in assembled.items() if each.findings)
        return Seen(entries=dict(self._tree.entries()), state=state, services=self._service_of, noted=noted)

    def _assembled(self) -> dict[FleetName, Assembled]:
        """Service by service, so that each file is read once although few documents are kept."""
        found = {
            name: self._sources.assembled(self._tree, name, service)
            for name, service in sorted(self._service_of.items(), key=lambda item: item[1])
        }
        return dict(sorted(found.items()))

    def _find(self, findings: Iterable[Finding], harmed: Iterable[FleetName]) -> None:
        for finding in findings:
            self._harm.setdefault(finding, set()).update(harmed)

    def _problems(self) -> tuple[Problem, ...]:
        return tuple(
            sorted(
                Problem(
                    file=shown(finding.at.file) if not finding.at.file.isprintable() else finding.at.file,
                    line=finding.at.line,
                    column=finding.at.column,
                    message=finding.message,
                    severity=finding.severity,
                    fleets=tuple(sorted(harmed)) if finding.severity is Severity.ERROR else (),
                )
                for finding, harmed in self._harm.items()
            )
        )

    def _files(self) -> None:
        """Every file by itself, the ones that nothing reads, and the ones in the way."""
        for path, found in self._places.items():
            if found.kind is Kind.OTHER:
                self._in_the_way(path)
            elif found.kind is Kind.STRAY:
                self._stray(path)
            elif found.fault:
                harmed = self._meant(path) if found.kind is Kind.FREEZE else ()
                self._find([Finding(Position(path, 1, 1), f"{found.fault}; rename it")], harmed)
            else:
                if findings := self._findings(path, found):
                    self._find(findings, self._reach(path, found))
                if found.kind in _NEIGHBOURS:
                    self._orphan(path, found)

    def _findings(self, path: str, found: Place) -> tuple[Finding, ...]:
        checked = self._sources.checked(self._tree, path)
        if checked is not None and checked.findings:
            return checked.findings
        if found.kind is Kind.FREEZE:
            return tuple(self._freeze_scope(path))
        return tuple(self._suspend_scope(path, found.environment)) if found.kind in _SUSPENDS else ()

    def _in_the_way(self, path: str) -> None:
        if path in {"services", "environments", "freezes"}:
            told = f"{path} must be a folder of files, and it is not; links and submodules are not followed"
            self._find([Finding(Position(path, 1, 1), told)], self._declared)

    def _stray(self, path: str) -> None:
        entry = self._tree.entries()[path]
        if not entry.readable:
            told = "a symbolic link or submodule stands here and is not followed; commit the files themselves"
            self._find([Finding(Position(path, 1, 1), told)], ())
            return
        told = (
            "nothing reads this file; rename it to end in .yaml" if path.endswith(".yml") else "nothing reads this file"
        )
        right = "" if path.endswith(".yml") else "; remove it, or see where files belong"
        held = self._meant_to_hold(path)
        severity = Severity.ERROR if held else Severity.WARNING
        self._find([Finding(Position(path, 1, 1), told + right, severity)], held)

    def _meant_to_hold(self, path: str) -> Iterable[FleetName]:
        """The fleets that a freeze or suspension under a name that nothing reads would leave moving."""
        folder, _, file = path.rpartition("/")
        if not file.endswith(".yml"):
            return ()
        if folder == "freezes":
            return self._meant(path)
        environment, stem = folder.removeprefix("environments/"), file.removesuffix(".yml")
        if stem == "suspend":
            return {name for name in self._declared if name.startswith(f"{environment}/")}
        if stem.endswith(".suspend"):
            return {f"{environment}/{stem.removesuffix('.suspend')}"} & self._declared
        return ()

    def _orphan(self, path: str, found: Place) -> None:
        """A neighbour of a fleet or service that is not there."""
        owner = fleet_path(f"{found.environment}/{found.name}")
        if found.kind is Kind.SERVICE_CONFIG:
            owner = service_path(found.name)
        if owner not in self._tree.entries():
            told = f"there is no {owner} for this file; add it, or remove this file"
            self._find([Finding(Position(path, 1, 1), told, Severity.WARNING)], ())

    def _reach(self, path: str, found: Place) -> Iterable[FleetName]:
        """The fleets that a broken file harms."""
        match found.kind:
            case Kind.ROOT:
                return self._declared
            case Kind.SERVICE | Kind.SERVICE_CONFIG:
                return self._by_service[found.name]
            case Kind.ENVIRONMENT | Kind.ENVIRONMENT_SUSPEND:
                return self._by_environment[found.environment]
            case Kind.FREEZE:
                return self._meant(path)
        return {f"{found.environment}/{found.name}"} & self._declared

    def _meant(self, path: str) -> set[FleetName]:
        """The fleets that a broken freeze may be meant for: all, but for scopes that it does say in known names."""
        environments = set(self._sources.scope(self._tree, path, "environments"))
        services = set(self._sources.scope(self._tree, path, "services"))
        if not environments <= set(self._listed()):
            environments = set()
        if not services <= set(self._by_service):
            services = set()
        return {
            name
            for name in self._declared
            if (not environments or name.partition("/")[0] in environments)
            and (not services or self._service_of[name] in services)
        }

    def _freeze_scope(self, path: str) -> Iterator[Finding]:
        """A misspelt scope would freeze nothing, and nobody would see it."""
        if not self._listed():
            return
        services = [found.name for found in self._places.values() if found.kind is Kind.SERVICE]
        known = {"environments": self._listed(), "services": services}
        for key, names in known.items():
            for name, at in self._sources.scope(self._tree, path, key).items():
                if name not in names:
                    near = nearest(name, names)
                    right = f'did you mean "{near}"?' if near else f"the known ones are {', '.join(sorted(names))}"
                    yield Finding(at, f'unknown name "{shown(name)}" in "{key}"; {right}')

    def _suspend_scope(self, path: str, environment: str) -> Iterator[Finding]:
        """A misspelt region would suspend nothing, and nobody would see it."""
        checked = self._sources.checked(self._tree, environment_path(environment))
        known = checked.value.regions if checked is not None and isinstance(checked.value, EnvironmentFile) else ()
        for name, at in self._sources.scope(self._tree, path, "regions").items() if known else ():
            if name not in known:
                near = nearest(name, known)
                right = f'did you mean "{near}"?' if near else f"{environment} has {', '.join(known)}"
                yield Finding(at, f'"{shown(name)}" is not a region of {environment}; {right}')

    def _regional(self, assembled: dict[FleetName, Assembled]) -> None:
        """Fleets that cannot leave out a region are told so where the suspension stands."""
        for name, each in assembled.items() if self._suspends else ():
            regional = tuple(self._suspensions(each.fleet, whole=False)) if each.fleet is not None else ()
            if each.fleet is None or not regional:
                continue
            said = list(self._sources.refusals(replace(each.fleet, regional=regional), "suspend.regions"))
            for path in {one.file for one in regional} if said else ():
                at = next(iter(self._sources.scope(self._tree, path, "regions").values()), Position(path, 1, 1))
                self._find([Finding(at, f"{name}: {sentence}") for sentence in said], {name})

    def _environments(self) -> None:
        """Environments that are listed and not there, or there and not listed."""
        there = {found.environment for found in self._places.values() if found.environment and not found.fault}
        if ROOT not in self._places:
            self._find(self._sources.missing_environment(self._tree, ""), self._declared)
        for environment in there | set(self._listed()):
            findings = self._sources.missing_environment(self._tree, environment)
            self._find(findings, self._by_environment[environment])

    def _listed(self) -> tuple[str, ...]:
        checked = self._sources.checked(self._tree, ROOT)
        value = checked.value if checked is not None else None
        return value.environments if isinstance(value, FairleadFile) else ()

    def _clashes(self, assembled: dict[FleetName, Assembled]) -> None:
        """Two fleets that select one cluster harm each other: nobody knows which one is meant.

        Each of many is told of the first alone: all pairs of a few thousand fleets would be millions.
        """
        owners: dict[tuple[str, ...], FleetName] = {}
        for name, each in assembled.items():
            others = {owners.setdefault(claim, name) for claim in _claims(each)} - {name}
            for other in sorted(others):
                told = _clash(assembled[other], each)
                if told is not None:
                    self._find([told], (other, name))

    def _finished(self, fleets: dict[FleetName, Fleet]) -> Iterator[tuple[FleetName, Fleet]]:
        """The fleets by name, each with what suspends or freezes it."""
        freezes = list(self._freezes())
        bakers = self._bakers()
        for name in sorted(fleets):
            fleet = fleets[name]
            suspension = self._suspension(fleet) if self._suspends else None
            regional = tuple(self._suspensions(fleet, whole=False)) if self._suspends else ()
            matching = tuple(freeze for freeze in freezes if _freezes(freeze, fleet))
            bakes = bakers.get(fleet.service)
            bakes = None if bakes is None or bakes.name == fleet.environment.name else bakes
            if suspension is not None or matching or regional or bakes is not None:
                fleet = replace(fleet, suspension=suspension, freezes=matching, regional=regional, bakes=bakes)
            yield name, fleet

    def _bakers(self) -> dict[str, Environment]:
        """By service, the environment that a version comes to first. Broken fleets count: nobody takes their place."""
        found: dict[str, Environment] = {}
        for environment in self._listed():
            known = self._sources.environment(self._tree, environment)
            for name in self._by_environment.get(environment, ()):
                found.setdefault(self._service_of[name], known)
        return found

    def _freezes(self) -> Iterator[Freeze]:
        for path, found in sorted(self._places.items()):
            if found.kind is not Kind.FREEZE or found.fault:
                continue
            checked = self._sources.checked(self._tree, path)
            if checked is not None and isinstance(checked.value, FreezeFile):
                yield _freeze(found.name, checked.value)

    def _suspension(self, fleet: Fleet) -> Suspension | None:
        """Of the fleet's own and its environment's, the one that lasts longest."""
        found = list(self._suspensions(fleet, whole=True))
        endless = [each for each in found if each.until is None]
        if endless or not found:
            return endless[0] if endless else None
        return max(found, key=lambda each: each.until.timestamp() if each.until else 0.0)

    def _suspensions(self, fleet: Fleet, *, whole: bool) -> Iterator[Suspension]:
        """The fleet's own and its environment's, of all regions or of some."""
        for path in (fleet_path(fleet.name, ".suspend"), suspend_path(fleet.environment.name)):
            checked = self._sources.checked(self._tree, path)
            file = checked.value if checked is not None else None
            if isinstance(file, SuspendFile) and bool(file.regions) is not whole:
                yield Suspension(reason=file.reason, until=file.until, file=path, regions=file.regions)


def _freeze(name: str, file: FreezeFile) -> Freeze:
    return Freeze(
        name=name,
        reason=file.reason,
        begins=file.from_,
        ends=file.until,
        environments=file.environments,
        services=file.services,
    )


def _freezes(freeze: Freeze, fleet: Fleet) -> bool:
    return (not freeze.environments or fleet.environment.name in freeze.environments) and (
        not freeze.services or fleet.service in freeze.services
    )


def _claims(each: Assembled) -> Iterator[tuple[str, ...]]:
    """What no other fleet may have too: a cluster in a region; on hosts, a package there."""
    if each.clash is None or each.fleet is None:
        return
    for region in each.fleet.environment.regions:
        if not each.on_hosts:
            yield each.clash, region
            continue
        for package in each.fleet.packages:
            yield each.clash, region, package.name


def _clash(first: Assembled, second: Assembled) -> Finding | None:
    one, two = first.fleet, second.fleet
    if one is None or two is None or second.select_at is None:
        return None
    if not set(one.environment.regions) & set(two.environment.regions):
        return None
    shared = {package.name for package in one.packages} & {package.name for package in two.packages}
    if first.on_hosts and second.on_hosts:
        if not shared:
            return None
        told = f"select the same hosts and share {', '.join(sorted(shared))}"
    else:
        told = "select the same cluster"
    return Finding(second.select_at, f"{one.name} and {two.name} {told}; give each its own select")
