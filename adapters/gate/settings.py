"""A fleet's `deploy` map of type spinnaker: the model that becomes its JSON Schema, its rules, and its waves."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, ValidationError

from adapters.aws.names import is_cluster
from adapters.gate.client import url_problem
from adapters.gate.settings_before import BeforeSettings, before_problems, twice_problems
from adapters.gate.settings_generate import Generate, generate_problems
from adapters.gate.settings_words import Closed as _Closed
from adapters.gate.settings_words import PathSegment
from desired_state.durations import Duration
from desired_state.model import Fleet
from reconciler.observed import UnitId, Wave

WHOLE = "all"  # the one unit of a fleet whose pipeline takes no region
CLUSTER_AT_MOST = 200

Ours = Literal["version", "region", "ami", "commit", "config", "canary", "wave", "fairleadKey"]


class Select(_Closed):
    """Which Auto Scaling groups are the fleet's."""

    cluster: str = Field(
        min_length=1,
        max_length=CLUSTER_AT_MOST,
        description="The cluster's name, `app[-stack[-detail]]`: its server groups are `<cluster>-vNNN`.",
    )
    canary: str | None = Field(
        default=None,
        max_length=CLUSTER_AT_MOST,
        description="The cluster that a canary of this fleet runs in; it is never counted as the fleet's own.",
    )


class WaveSettings(_Closed):
    """One wave: the regions that are converged together."""

    regions: list[str] | Literal["rest", "all"] = Field(
        description="Regions of the environment, `rest` for those that no earlier wave names, or `all`."
    )
    soak: Duration | None = Field(
        default=None,
        description="How long the finished wave must stay healthy before the next; the fleet's `soak` if left out.",
    )


class Health(_Closed):
    """When a deployed unit counts as healthy."""

    within: Duration = Field(
        default=timedelta(minutes=10),
        description="How long after the pipeline's end every instance may take to be in service and healthy.",
    )


class Image(_Closed):
    """Where the AMI comes from in an environment that does not bake; with `ami` in `parameters`."""

    missing: Literal["hold", "bake"] = Field(
        default="hold",
        description="What is done while the first environment has baked no AMI of the version for here: "
        "`hold` waits for it, `bake` lets this environment's pipeline bake one of its own.",
    )
    shared: Literal["required", "by_deploy"] = Field(
        default="required",
        description="What is asked of an AMI of another account: `required`, that this account may launch it already; "
        "`by_deploy`, nothing, because Spinnaker's deploy stage shares it. With `generate` it is `by_deploy`.",
    )


class Rollback(_Closed):
    """The pipeline that goes back to a server group which still stands."""

    pipeline: PathSegment = Field(min_length=1, max_length=250, description="Its name or id, as Spinnaker writes it.")
    parameters: dict[Literal["restore", "disable", "region", "fairleadKey"], str] = Field(
        description="What it is told, `ours: theirs`: the server group to enable (`restore`) and the one to disable."
    )


class SpinnakerSettings(_Closed):
    """How a fleet is converged through a Spinnaker pipeline."""

    type: Literal["spinnaker"] = Field(default="spinnaker", description="The deployment type.")
    application: PathSegment = Field(min_length=1, max_length=250, description="The Spinnaker application.")
    pipeline: PathSegment = Field(
        min_length=1, max_length=250, description="The pipeline's name or id, as Spinnaker writes it (case counts)."
    )
    parameters: dict[Ours, str] = Field(
        description="What the pipeline is told, under the pipeline's own parameter names: `ours: theirs`. "
        "`version` and `fairleadKey` are needed; without `region` the pipeline deploys all regions at once."
    )
    select: Select = Field(description="Which Auto Scaling groups are the fleet's.")
    waves: list[WaveSettings] = Field(
        default_factory=list,
        max_length=50,
        description="Regions in the order they are converged; left out: all at once.",
    )
    soak: Duration = Field(
        default=timedelta(0), description="How long a wave that names no soak of its own must stay healthy."
    )
    deadline: Duration = Field(
        default=timedelta(hours=1), description="How long one execution of the pipeline may take before it is failed."
    )
    health: Health = Field(default_factory=Health, description="When a deployed unit counts as healthy.")
    image: Image = Field(default_factory=Image, description="Where the AMI comes from; with `ami` in `parameters`.")
    rollback: Rollback | None = Field(
        default=None, description="How to go back to what still stands; left out: by deploying it again."
    )
    generate: Generate | None = Field(
        default=None,
        description="What the pipelines hold where Fairlead writes them (`fairlead spinnaker pipelines apply`).",
    )
    constants: dict[str, str] = Field(
        default_factory=dict, description="Parameters of the pipeline that are always the same: `theirs: value`."
    )
    before: BeforeSettings | None = Field(
        default=None, description="A pipeline that runs once for a version, before its first wave."
    )


def shared_by_deploy(fleet: Fleet) -> bool:
    """Whether the deploy stage lets the account launch an AMI of another, as Orca's does for AWS."""
    settings = settings_of(fleet)
    return settings.image.shared == "by_deploy" or settings.generate is not None


def settings_of(fleet: Fleet) -> SpinnakerSettings:
    """The fleet's settings. Raises pydantic's `ValidationError` where `validate` was not asked before."""
    return SpinnakerSettings.model_validate(dict(fleet.deploy))


def before_of(settings: SpinnakerSettings) -> BeforeSettings:
    """The step of a spec that has one. Raises `ValueError` where it has none: no intent of such a spec is a step."""
    if settings.before is None:
        raise ValueError("the fleet has no before step")
    return settings.before


def filled(text: str, fleet: Fleet, region: str) -> str:
    """Replace the placeholders that the parser leaves to us, `{region}` above all."""
    values = {"environment": fleet.environment.name, "service": fleet.short_name, "region": region}
    return re.sub(r"\{(environment|service|region)\}", lambda match: values[match.group(1)], text)


def cluster_in(fleet: Fleet, settings: SpinnakerSettings, region: str) -> str:
    """The cluster that the fleet selects in a region."""
    return filled(settings.select.cluster, fleet, region)


def clusters_in(fleet: Fleet, settings: SpinnakerSettings, region: str) -> list[str]:
    """That cluster, and the one that the fleet's canary runs in, if it has one."""
    canary = settings.select.canary
    return [cluster_in(fleet, settings, region), *([filled(canary, fleet, region)] if canary is not None else [])]


def unit_ids(fleet: Fleet, settings: SpinnakerSettings) -> tuple[UnitId, ...]:
    """One unit a region; one for all of them where the pipeline takes no region."""
    return fleet.environment.regions if "region" in settings.parameters else (WHOLE,)


def pipelines_of(settings: SpinnakerSettings) -> tuple[str, ...]:
    """Every pipeline that acts on the fleet, as the settings write it."""
    others = (settings.before, settings.rollback)
    return (settings.pipeline, *(one.pipeline for one in others if one is not None))


def waves_of(fleet: Fleet, settings: SpinnakerSettings) -> tuple[Wave, ...]:
    """The waves by unit id, disjoint and together everything."""
    units = unit_ids(fleet, settings)
    if units == (WHOLE,) or not settings.waves:
        soak = settings.waves[-1].soak if settings.waves else None
        return (Wave(units=units, soak=settings.soak if soak is None else soak),)
    slices = list(_slices(settings.waves, units))
    soaks = [settings.soak if wave.soak is None else wave.soak for wave in settings.waves]
    return tuple(Wave(units=members, soak=soak) for members, soak in zip(slices, soaks, strict=True) if members)


def _slices(waves: Iterable[WaveSettings], units: Sequence[UnitId]) -> Iterator[tuple[UnitId, ...]]:
    done: set[UnitId] = set()
    for wave in waves:
        wanted = units if isinstance(wave.regions, str) else wave.regions
        members = tuple(unit for unit in units if unit in wanted and unit not in done)
        done.update(members)
        yield members


def problems_of(fleet: Fleet) -> Iterator[str]:
    """What is wrong with a fleet of type spinnaker, as `dotted.path: sentence`; a warning begins with `warning: `.

    The path says where, the sentence alone says what: it is shown beside file, line and column.
    """
    yield from _environment_problems(fleet)
    try:
        settings = settings_of(fleet)
    except ValidationError as error:
        yield from (_said(detail) for detail in error.errors(include_url=False, include_input=False))
        return
    yield from _expression_problems("deploy", fleet.deploy)
    yield from _parameter_problems(fleet, settings)
    yield from _select_problems(fleet, settings)
    yield from _config_problems(fleet, settings)
    yield from _wave_problems(fleet, settings)
    yield from _lane_problems(fleet, settings)
    yield from generate_problems(fleet, settings)
    if fleet.regional and unit_ids(fleet, settings) == (WHOLE,):
        yield (
            "suspend.regions: its pipeline takes no region, so it is suspended in all of them at once; "
            "map `region` in parameters, or remove regions"
        )
    if settings.before is not None:
        yield from before_problems(fleet, settings.before, settings.application)


def _said(detail: Mapping[str, Any]) -> str:
    path = [str(part) for part in detail["loc"] if part != "[key]"]
    message = {
        "missing": "is missing",
        "extra_forbidden": "is not a setting of type spinnaker",
    }.get(detail["type"], str(detail["msg"]).removeprefix("Value error, "))
    return f'{".".join(["deploy", *path])}: "{path[-1] if path else "deploy"}" {message}'


def _environment_problems(fleet: Fleet) -> Iterator[str]:
    url = fleet.environment.spinnaker.get("url", "")
    where = f"environments/{fleet.environment.name}/environment.yaml"
    if not url:
        yield f'deploy: "spinnaker.url" is missing in {where}; a fleet of type spinnaker needs its Gate'
    elif why := url_problem(url):
        yield f'deploy: "spinnaker.url" in {where} {why}'


def _expression_problems(path: str, value: object) -> Iterator[str]:
    """Spinnaker evaluates `${...}` in everything that it is sent."""
    if isinstance(value, str) and "${" in value:
        yield f"{path}: Spinnaker would evaluate what stands in ${{...}}; write it without"
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _expression_problems(f"{path}.{name}", inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _expression_problems(f"{path}.{index}", inner)


def _parameter_problems(fleet: Fleet, settings: SpinnakerSettings) -> Iterator[str]:
    needed = {"version": "the pipeline must be told what to deploy", "fairleadKey": "an execution is found again by it"}
    for name, why in needed.items():
        if name not in settings.parameters:
            yield f'deploy.parameters: "{name}" is missing; {why}; add `{name}: THE_PIPELINES_PARAMETER`'
    yield from twice_problems("deploy", settings.parameters, settings.constants)
    for field in ("application", "pipeline"):
        if "region" not in settings.parameters and "{region}" in getattr(settings, field):
            yield f'deploy.{field}: "{field}" holds {{region}}, and the pipeline takes none; map `region` in parameters'
    if len({package.version for package in fleet.packages}) > 1:
        yield "deploy.parameters.version: a pipeline is told one version; give all packages of the fleet the same"


def _lane_problems(fleet: Fleet, settings: SpinnakerSettings) -> Iterator[str]:
    several = len(fleet.environment.regions) > 1
    if "ami" in settings.parameters and "region" not in settings.parameters and several:
        yield "warning: deploy.parameters.ami: an AMI is of one region, so none is sent; map `region` too"
    rollback = settings.rollback
    if rollback is None:
        return
    for name in ("restore", "disable"):
        if name not in rollback.parameters:
            yield (
                f'deploy.rollback.parameters: "{name}" is missing; the pipeline must be told which server group that '
                f"is; add `{name}: THE_PIPELINES_PARAMETER`"
            )
    theirs = list(rollback.parameters.values())
    for name in sorted({name for name in theirs if theirs.count(name) > 1}):
        yield f"deploy.rollback.parameters: two parameters go to the pipeline's {name}; give each its own"
    if several and "region" not in rollback.parameters and "{region}" not in rollback.pipeline:
        yield 'deploy.rollback.parameters: "region" is missing; add `region: THE_PIPELINES_PARAMETER`'
    if several and "region" not in settings.parameters:
        yield "warning: deploy.rollback: the pipeline deploys all regions at once, so nothing is enabled; map `region`"


def _select_problems(fleet: Fleet, settings: SpinnakerSettings) -> Iterator[str]:
    for field in ("cluster", "canary"):
        text = getattr(settings.select, field)
        names = {filled(text, fleet, region) for region in fleet.environment.regions} if text else set()
        for name in sorted(name for name in names if not is_cluster(name)):
            yield f'deploy.select.{field}: "{name}" is no cluster name; write app[-stack[-detail]] without -vNNN'
    if settings.select.canary is not None and settings.select.canary == settings.select.cluster:
        yield 'deploy.select.canary: "canary" is the fleet\'s own cluster; a canary needs one of its own'


def _config_problems(fleet: Fleet, settings: SpinnakerSettings) -> Iterator[str]:
    if fleet.config is None:
        return
    if "config" not in settings.parameters:
        yield (
            'deploy.parameters: "config" is missing, and the fleet has configuration; '
            "add `config: THE_PIPELINES_PARAMETER`, which is told where it lies"
        )
    if not fleet.environment.trigger.get("bucket"):
        where = f"environments/{fleet.environment.name}/environment.yaml"
        yield f'deploy: "trigger.bucket" is missing in {where}; configuration is put there for the instances'


def _wave_problems(fleet: Fleet, settings: SpinnakerSettings) -> Iterator[str]:
    if not settings.waves:
        return
    if unit_ids(fleet, settings) == (WHOLE,) and len(settings.waves) > 1:
        yield "deploy.waves: the pipeline takes no region, so there is one wave; map `region` in parameters"
        return
    yield from _region_problems(fleet, settings.waves)
    slices = list(_slices(settings.waves, fleet.environment.regions))
    covered = {region for members in slices for region in members}
    if missing := [region for region in fleet.environment.regions if region not in covered]:
        yield f"deploy.waves: no wave covers {', '.join(missing)}; end with `regions: rest`"
    elif len(slices) > 1 and not slices[-1]:
        early = next(index for index in range(len(slices)) if not any(slices[index + 1 :]))
        yield f"warning: deploy.waves.{early}.regions: this wave covers everything; those after it do nothing"


def _region_problems(fleet: Fleet, waves: Sequence[WaveSettings]) -> Iterator[str]:
    named: set[str] = set()
    for index, wave in enumerate(waves):
        path = f"deploy.waves.{index}.regions"
        regions = [] if isinstance(wave.regions, str) else wave.regions
        if not isinstance(wave.regions, str) and not regions:
            yield f"{path}: the wave names no region; name one, `rest` or `all`"
        for region in regions:
            if region not in fleet.environment.regions:
                known = ", ".join(fleet.environment.regions)
                yield f"{path}: {region} is not a region of {fleet.environment.name}, which has {known}"
            elif region in named:
                yield f"{path}: {region} is named twice; name each region once"
            named.add(region)
