"""From a fleet to the pipeline configurations that its service file asks for. Pure, and the same every time."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid5

from adapters.gate.settings import Rollback, SpinnakerSettings, filled, settings_of
from adapters.gate.settings_generate import Generate
from adapters.pipelines.contents import MARK, Mark, content_of, digest_of, mark_of, without_nulls
from adapters.pipelines.stages import Place, deploy_stages, rollback_stages
from desired_state.model import Digest, Fleet, FleetName

Name = tuple[str, str]  # application, pipeline
DEPLOY = "deploy"
ROLLBACK = "rollback"
_NAMESPACE = UUID("0b8b6e0e-1f0b-5c0f-8f57-0d7b8a3f6c51")  # never changes: two who create at once make one pipeline
_DESCRIBED = {
    "version": "The version to deploy.",
    "fairleadKey": "The identity of this attempt.",
    "region": "The region to deploy to.",
    "ami": "An image to deploy instead of the one that is made or found for the version.",
    "commit": "The commit that set the version.",
    "config": "Where the configuration lies.",
    "canary": "The step of a canary.",
    "wave": "The number of the wave.",
    "restore": "The server group to enable.",
    "disable": "The server group to disable.",
}
_REQUIRED = frozenset({"version", "region", "restore", "disable"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One pipeline as the service file asks for it."""

    repository: str  # whose mark is written; empty: nobody says, and any will do (for looking alone)
    fleet: FleetName
    purpose: str
    gate: str
    application: str
    name: str
    content: Mapping[str, Any]

    @property
    def digest(self) -> Digest:
        """Over the content."""
        return digest_of(self.content)

    @property
    def id(self) -> str:
        """The id that it is made with."""
        return str(uuid5(_NAMESPACE, f"{self.application}/{self.name}"))

    def config(self, config_id: str, updated: str | None = None) -> dict[str, Any]:
        """What is saved. `updated`: the `updateTs` of what it replaces."""
        mark = Mark(
            repository=self.repository, fleet=self.fleet, purpose=self.purpose, id=config_id, digest=self.digest
        )
        stamped = {"updateTs": updated} if updated else {}
        return {**self.content, "id": config_id, **stamped, MARK: mark.as_json()}

    def owns(self, mark: Mark) -> bool:
        """Whether a mark is that of this pipeline, as it is now or as it was."""
        same = (mark.fleet, mark.purpose) == (self.fleet, self.purpose)
        return same and self.repository in {"", mark.repository}

    def is_in(self, config: Mapping[str, Any]) -> bool:
        """Whether a configuration is this one, marked as ours."""
        mark = mark_of(config)
        marked = mark is not None and self.owns(mark) and mark.digest == self.digest
        return marked and content_of(config) == content_of(self.content)


def wanted_of(fleet: Fleet, bakes_for: Iterable[str] = (), repository: str = "") -> tuple[Wanted, ...]:
    """The pipelines of a fleet: none where it has no `generate`; one a purpose, or more where names hold {region}.

    `bakes_for` are the regions of all who take what it bakes, itself included. `repository` is whose they are, where
    they are to be written.
    """
    if fleet.deploy_type != "spinnaker":
        return ()
    settings = settings_of(fleet)
    if settings.generate is None:
        return ()
    places = _places(fleet, settings, settings.generate, settings.pipeline)
    found = [_deploy((name, replace(place, bakes_for=tuple(bakes_for)))) for name, place in places]
    if settings.rollback is not None:
        places = _places(fleet, settings, settings.generate, settings.rollback.pipeline)
        found += [_rollback(place, settings.rollback) for place in places]
    return tuple(replace(each, repository=repository) for each in found)


def regions_to_bake(fleet: Fleet, fleets: Collection[Fleet], broken: Iterable[FleetName] = ()) -> tuple[str, ...]:
    """The regions of all of these fleets that are of its service, where it bakes for others; else none.

    Of a fleet whose files are wrong the service is not known: it is taken for one of the same short name.
    """
    if fleet.bakes is not None or fleet.deploy_type != "spinnaker" or "ami" not in settings_of(fleet).parameters:
        return ()
    environments = {each.environment.name: each.environment for each in fleets}
    near = {name.partition("/")[0] for name in broken if name.partition("/")[2] == fleet.short_name}
    near |= {each.environment.name for each in fleets if each.service == fleet.service}
    others = [environments[name] for name in near - {fleet.environment.name} if name in environments]
    if not others:
        return ()
    return tuple(sorted({region for each in (fleet.environment, *others) for region in each.regions}))


def _deploy(named: tuple[Name, Place]) -> Wanted:
    name, place = named
    told = dict[str, str](place.settings.parameters.items())
    return _wanted(place.fleet, DEPLOY, _content(name, told, deploy_stages(place)))


def _rollback(named: tuple[Name, Place], rollback: Rollback) -> Wanted:
    name, place = named
    told = dict[str, str](rollback.parameters.items())
    return _wanted(place.fleet, ROLLBACK, _content(name, told, rollback_stages(place, told)))


def _places(
    fleet: Fleet, settings: SpinnakerSettings, generate: Generate, pipeline: str
) -> Iterator[tuple[Name, Place]]:
    """The regions of the fleet, together where they have the same pipeline."""
    by_name: dict[Name, list[str]] = {}
    for region in fleet.environment.regions:
        key = (filled(settings.application, fleet, region), filled(pipeline, fleet, region))
        by_name.setdefault(key, []).append(region)
    for key, regions in by_name.items():
        yield key, Place(fleet=fleet, settings=settings, generate=generate, regions=tuple(regions))


def _content(named: Name, parameters: Mapping[str, str], stages: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    application, name = named
    words = [word for word in _DESCRIBED if word in parameters]
    return {
        "application": application,
        "name": name,
        "schema": "1",
        "spelEvaluator": "v4",
        "description": "Written by Fairlead from the service's file in Git; edits made here are reported, not kept.",
        "disabled": False,
        "limitConcurrent": False,
        "keepWaitingPipelines": True,
        "parameterConfig": [_parameter(word, parameters[word]) for word in words],
        "triggers": [],
        "notifications": [],
        "stages": list(stages),
    }


def _parameter(word: str, name: str) -> dict[str, Any]:
    required = word in _REQUIRED
    return {
        "name": name,
        "label": name,
        "description": _DESCRIBED[word],
        "required": required,
        **({} if required else {"default": ""}),
        "hasOptions": False,
        "options": [],
        "pinned": required,
    }


def _wanted(fleet: Fleet, purpose: str, content: Mapping[str, Any]) -> Wanted:
    return Wanted(
        repository="",
        fleet=fleet.name,
        purpose=purpose,
        gate=fleet.environment.spinnaker["url"].rstrip("/"),
        application=content["application"],
        name=content["name"],
        content=without_nulls(content),
    )
