"""`deploy.generate`: what a pipeline that Fairlead writes itself is made of, and what may be wrong with it.

The words of Spinnaker's JSON that each field becomes are in `adapters.pipelines.stages`.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from desired_state.durations import Duration
from desired_state.model import Fleet

if TYPE_CHECKING:
    from adapters.gate.settings import Rollback, SpinnakerSettings

OURS = frozenset(  # keys of a deploy stage's cluster that Fairlead writes itself
    {
        *("account", "application", "stack", "freeFormDetails", "provider", "cloudProvider", "moniker", "credentials"),
        *("strategy", "maxRemainingAsgs", "scaleDown", "delayBeforeDisableSec", "delayBeforeScaleDownSec"),
        *("targetPercentages", "rollback", "availabilityZones", "capacity", "amiName", "imageId"),
    }
)
_TAG = "fairlead:"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what `${parameters.NAME}` can say


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bake(_Closed):
    """How Spinnaker's bakery makes the image."""

    base_os: str = Field(min_length=1, max_length=100, description="The bakery's name of the base image.")
    base_label: str = Field(default="release", max_length=100, description="The bakery's label of the base image.")
    architecture: str = Field(default="all", max_length=20, description="That of the Debian package.")
    account: str | None = Field(
        default=None, max_length=100, description="The Spinnaker account that bakes; left out: the bakery's own."
    )


class Judgment(_Closed):
    """A person is asked before every deploy."""

    roles: list[str] = Field(default_factory=list, max_length=50, description="Who may answer; left out: anybody.")
    instructions: str = Field(default="", max_length=2000, description="What the person is told.")
    within: Duration = Field(
        default=timedelta(minutes=30), description="How long an answer may take; less than `deadline`."
    )


class Canary(_Closed):
    """An analysis by Kayenta of two scopes that run already; Fairlead's pipeline starts neither."""

    config: str = Field(min_length=1, max_length=200, description="The id of Kayenta's canary configuration.")
    metrics: str = Field(min_length=1, max_length=200, description="Kayenta's account for metrics.")
    storage: str = Field(min_length=1, max_length=200, description="Kayenta's account for storage.")
    control: str = Field(min_length=1, max_length=200, description="The scope to compare with, such as a cluster.")
    experiment: str = Field(min_length=1, max_length=200, description="The scope that is judged.")
    lifetime: Duration = Field(default=timedelta(minutes=30), description="How long both are looked at.")
    marginal: int = Field(default=50, ge=0, le=100, description="A score below it fails at once.")
    passing: int = Field(default=75, ge=0, le=100, description="The score that the end must reach.")


class Capacity(_Closed):
    """The size of the first server group; a later one takes over the size of the one in service."""

    min: int = Field(ge=0, le=10000, description="At least so many instances.")
    max: int = Field(ge=0, le=10000, description="At most so many instances.")
    desired: int = Field(ge=0, le=10000, description="So many instances.")


class Generate(_Closed):
    """What the pipelines of a fleet hold that Fairlead writes."""

    bake: Bake | None = Field(
        default=None, description="Bake the image; left out: find the one that is tagged with the version."
    )
    groups_at_most: int | None = Field(
        default=None, ge=1, le=999, description="Deploy only while the cluster has no more server groups than this."
    )
    judgment: Judgment | None = Field(default=None, description="Ask a person before the deploy.")
    canary: Canary | None = Field(default=None, description="Ask Kayenta before the deploy.")
    strategy: Literal["none", "redblack", "rollingredblack", "highlander"] = Field(
        default="redblack", description="What becomes of the server groups before."
    )
    max_remaining: int | None = Field(
        default=None, ge=1, le=100, description="`redblack`: so many groups are kept; left out: 2."
    )
    scale_down: bool | None = Field(
        default=None, description="`redblack`, `rollingredblack`: disabled groups are scaled to nothing; left out: yes."
    )
    disable_after: Duration | None = Field(
        default=None, description="`redblack`: how long the old groups stay in service beside the new one."
    )
    scale_down_after: Duration | None = Field(
        default=None, description="`redblack`, `rollingredblack`: how long the old groups keep their instances."
    )
    percentages: list[int] | None = Field(
        default=None, max_length=20, description="`rollingredblack`: the steps; left out: 50, 100."
    )
    zones: dict[str, list[str]] = Field(description="The availability zones of each region.")
    capacity: Capacity = Field(description="The size of the first server group.")
    cluster: dict[str, Any] = Field(
        default_factory=dict,
        description="All else that Spinnaker's deploy stage takes for a cluster, in its own words: instance type, "
        "security groups, load balancers, subnets.",
    )


_ONLY_FOR = {
    "max_remaining": ("redblack",),
    "scale_down": ("redblack", "rollingredblack"),
    "disable_after": ("redblack",),
    "scale_down_after": ("redblack", "rollingredblack"),
    "percentages": ("rollingredblack",),
}


def generate_problems(fleet: Fleet, settings: "SpinnakerSettings") -> Iterator[str]:
    """What is wrong with a fleet's `deploy.generate`, as `dotted.path: sentence`; nothing where it has none."""
    generate = settings.generate
    if generate is None:
        return
    yield from _fleet_problems(fleet, settings)
    yield from _strategy_problems(generate)
    yield from _place_problems(fleet, generate)
    yield from _cluster_problems(generate)
    for path, within in _waits(generate):
        if within >= settings.deadline:
            yield f"{path}: the execution is failed before, by `deadline`; make that longer than this"


def _fleet_problems(fleet: Fleet, settings: "SpinnakerSettings") -> Iterator[str]:
    if len(fleet.packages) > 1:
        yield "deploy.generate: an image of one package is baked; write the pipeline of several by hand"
    yield from _name_problems("deploy.parameters", settings.parameters)
    for name in sorted(settings.constants):
        yield f'deploy.constants.{name}: a pipeline that Fairlead writes takes no "{name}"; take it out'
    if settings.rollback is not None:
        yield from _rollback_problems(settings.pipeline, settings.rollback)


def _name_problems(path: str, parameters: Mapping[Any, str]) -> Iterator[str]:
    """Names stand in expressions that guard a pipeline: one that is more than a name would be part of the guard."""
    for ours, theirs in sorted(parameters.items()):
        if _NAME.fullmatch(theirs) is None:
            yield f'{path}.{ours}: "{theirs}" cannot be written as an expression; use letters, digits and _'


def _rollback_problems(deploys: str, rollback: "Rollback") -> Iterator[str]:
    if rollback.pipeline == deploys:
        yield "deploy.rollback.pipeline: it is the pipeline that deploys; give it a name of its own"
    yield from _name_problems("deploy.rollback.parameters", rollback.parameters)


def _strategy_problems(generate: Generate) -> Iterator[str]:
    for field, strategies in _ONLY_FOR.items():
        if getattr(generate, field) is not None and generate.strategy not in strategies:
            said = f"it means nothing for {generate.strategy}; it is for {' and '.join(strategies)}"
            yield f"deploy.generate.{field}: {said}"
    steps = generate.percentages
    if steps is not None and (not steps or steps != sorted(set(steps)) or steps[0] < 1 or steps[-1] > 100):
        yield "deploy.generate.percentages: write growing numbers from 1 to 100, such as [25, 50, 100]"
    if generate.strategy == "none":
        yield (
            "warning: deploy.generate.strategy: the server groups before stay in service, so the fleet is at no "
            "version until a person disables them"
        )


def _place_problems(fleet: Fleet, generate: Generate) -> Iterator[str]:
    for region in fleet.environment.regions:
        if not generate.zones.get(region):
            yield f'deploy.generate.zones: "{region}" is missing; name its availability zones, `{region}: [{region}a]`'
    for region in generate.zones:
        if region not in fleet.environment.regions:
            known = ", ".join(fleet.environment.regions)
            yield f"deploy.generate.zones.{region}: {region} is no region of the environment, which has {known}"
    size = generate.capacity
    if not size.min <= size.desired <= size.max:
        yield "deploy.generate.capacity: `desired` must lie between `min` and `max`"
    canary = generate.canary
    if canary is not None and canary.marginal > canary.passing:
        yield "deploy.generate.canary.marginal: it must not be above `passing`"


def _cluster_problems(generate: Generate) -> Iterator[str]:
    for key in sorted(OURS & generate.cluster.keys()):
        yield f'deploy.generate.cluster.{key}: Fairlead writes "{key}" itself, from the fleet; take it out'
    tags = generate.cluster.get("tags", {})
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()):
        yield 'deploy.generate.cluster.tags: "tags" must be a map of texts'
    elif own := sorted(key for key in tags if str(key).startswith(_TAG)):
        yield f"deploy.generate.cluster.tags.{own[0]}: tags that begin with {_TAG} are Fairlead's; take it out"


def _waits(generate: Generate) -> Iterator[tuple[str, timedelta]]:
    if generate.judgment is not None:
        yield "deploy.generate.judgment.within", generate.judgment.within
    if generate.canary is not None:
        yield "deploy.generate.canary.lifetime", generate.canary.lifetime
