"""The step before a version: a pipeline that runs once over all regions, before the first wave."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field

from adapters.gate.settings_words import Closed, PathSegment
from desired_state.durations import Duration
from desired_state.model import Fleet

Ours = Literal["version", "commit", "config", "fairleadKey"]


class BeforeSettings(Closed):
    """A pipeline that runs once for a version, before its first wave."""

    pipeline: PathSegment = Field(
        min_length=1, max_length=250, description="The pipeline's name or id, in the same application."
    )
    parameters: dict[Ours, str] = Field(
        description="What it is told, under its own parameter names: `ours: theirs`. `version` is needed."
    )
    constants: dict[str, str] = Field(
        default_factory=dict, description="Parameters of the pipeline that are always the same: `theirs: value`."
    )
    once: Literal["target"] = Field(
        default="target", description="How often: once for what is to run, whatever becomes of the rollout."
    )
    irreversible: bool = Field(
        default=False, description="Nothing goes back by itself once it has begun: the fleet stays where it stands."
    )
    deadline: Duration = Field(
        default=timedelta(hours=1), description="How long its execution may take before it is failed."
    )


def before_problems(fleet: Fleet, before: BeforeSettings, application: str) -> Iterator[str]:
    """What is wrong with it, as `dotted.path: sentence`."""
    if "version" not in before.parameters:
        yield (
            'deploy.before.parameters: "version" is missing; the pipeline must be told what comes; '
            "add `version: THE_PIPELINES_PARAMETER`"
        )
    yield from twice_problems("deploy.before", before.parameters, before.constants)
    for path, text in (("deploy.before.pipeline", before.pipeline), ("deploy.application", application)):
        if "{region}" in text:
            yield f"{path}: it holds {{region}}, and the before step runs once over all regions; write the name itself"
    if "config" in before.parameters and fleet.config is None:
        yield 'deploy.before.parameters.config: "config" is mapped, and the fleet has no configuration; remove it'


def twice_problems(path: str, parameters: Mapping[Any, str], constants: Mapping[str, str]) -> Iterator[str]:
    """A parameter of theirs that is given two values."""
    theirs = [*parameters.values(), *constants]
    for name in sorted({name for name in theirs if theirs.count(name) > 1}):
        place = f"{path}.constants" if name in constants else f"{path}.parameters"
        yield f"{place}: two parameters go to the pipeline's {name}; give each its own"
