"""A fleet's `deploy` map of type trigger: the model that becomes its JSON Schema. What else must hold is in `rules`."""

import re
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from adapters.agent_protocol.places import own_root
from desired_state.durations import Duration
from desired_state.model import Fleet

STOP_WITHIN = timedelta(seconds=90)  # what holds where the files say nothing
DRAIN_WITHIN = timedelta(minutes=5)
HEALTHY_WITHIN = timedelta(minutes=2)
HOOK_WITHIN = timedelta(minutes=5)
BEFORE_WITHIN = timedelta(minutes=30)
SILENT_AFTER = timedelta(minutes=3)
SHORTEST_SILENCE = timedelta(seconds=5)
PROGRESS_DEADLINE = timedelta(minutes=30)
SHORTEST_DEADLINE = timedelta(seconds=10)

_PERCENT = re.compile(r"[0-9]{1,3}%")


class _Settings(BaseModel):
    """Frozen; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _share(value: Any) -> int | str:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if whole or (isinstance(value, str) and _PERCENT.fullmatch(value) and 1 <= int(value[:-1]) <= 100):
        return value  # type: ignore[no-any-return]
    raise ValueError("must be a number of hosts from 1 or a share like 25%")


def _loss(value: Any) -> int | str:
    if value == "0%" or (type(value) is int and value == 0):
        return value  # type: ignore[no-any-return]
    try:
        return _share(value)
    except ValueError:
        raise ValueError("must be a number of hosts from 0 or a share like 10%") from None


def _own_root(value: str) -> str:
    try:
        return own_root(value)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("root ")) from None


def _audible(value: timedelta) -> timedelta:
    if value < SHORTEST_SILENCE:
        raise ValueError("must be at least 5s; agents report every minute unless they are told otherwise")
    return value


def _bearable(value: timedelta) -> timedelta:
    if value < SHORTEST_DEADLINE:
        raise ValueError("must be at least 10s; no host gets anywhere in less")
    return value


def _address(value: str) -> str:
    if re.fullmatch(r"https?://[^\s]+", value) is None:
        raise ValueError("must be an address like http://localhost:8080/health")
    return value


def _endpoint(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9.-]+:[0-9]{1,5}", value) is None:
        raise ValueError("must be a host and port like localhost:8080")
    return value


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("must hold something")
    return value


Share = Annotated[
    int | str,
    BeforeValidator(_share),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]{1,3}%$"}]}),
]
Loss = Annotated[
    int | str,
    BeforeValidator(_loss),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,3}%$"}]}),
]
OwnRoot = Annotated[str, AfterValidator(_own_root)]
Text = Annotated[str, AfterValidator(_filled)]


def _one_of(model: BaseModel, *keys: str) -> None:
    given = [key for key in keys if getattr(model, key) is not None]
    if len(given) != 1:
        told = f"{' and '.join(given)} are both there" if given else "none is there"
        raise ValueError(f"must have exactly one of {', '.join(keys)} ({told})")


class Select(_Settings):
    """Which instances belong to the fleet."""

    tags: dict[Text, Text] = Field(min_length=1, description="the tags that an instance must have, all of them")


class Run(_Settings):
    """What is started on the host."""

    unit: Text | None = Field(None, description="A systemd unit")
    command: Text | None = Field(None, description="A command, where there is no unit")
    stop_within: Duration | None = Field(None, description="How long stopping may take, like 90s")

    @model_validator(mode="after")
    def _one_way(self) -> "Run":
        _one_of(self, "unit", "command")
        return self


class Drain(_Settings):
    """How traffic leaves a host before it is changed."""

    target_groups: Literal["attached"] | list[Text] = Field(description="attached, or a list of target group ARNs")
    within: Duration | None = Field(None, description="How long draining may take, like 5m")


class Health(_Settings):
    """When a host counts as healthy."""

    http: Annotated[str, AfterValidator(_address)] | None = Field(None, description="An address that answers 2xx")
    tcp: Annotated[str, AfterValidator(_endpoint)] | None = Field(None, description="A host and port that accepts")
    command: Text | None = Field(None, description="A command that ends with 0")
    within: Duration | None = Field(None, description="How long it may take to get healthy, like 2m")

    @model_validator(mode="after")
    def _one_way(self) -> "Health":
        _one_of(self, "http", "tcp", "command")
        return self


class Hook(_Settings):
    """A command that each host runs with a new release, in that release's folder."""

    command: Text = Field(description="a command, like ./warm-up")
    within: Duration = Field(HOOK_WITHIN, description="How long it may take, like 5m")


class Hooks(_Settings):
    """Commands around the change of a host."""

    pre: Hook | None = Field(None, description="After staging, before draining: nothing was touched yet")
    post: Hook | None = Field(None, description="When the service is healthy, before it gets traffic again")


class Before(_Settings):
    """A command that one host runs, once for a target, before its first wave."""

    command: Text = Field(description="a command, like ./migrate")
    within: Duration = Field(BEFORE_WITHIN, description="How long it may take, like 30m")
    irreversible: bool = Field(False, description="true: nothing goes back by itself once it has begun")


class Wave(_Settings):
    """A slice of the hosts, cumulative, rounded up, at least one."""

    hosts: Share = Field(description="a number of hosts, or a share like 50%")
    soak: Duration | None = Field(None, description="How long the wave must stay healthy, like 2m")


class TriggerSettings(_Settings):
    """`deploy` of a fleet whose hosts run the agent."""

    root: OwnRoot = Field(description="the folder on the host that Fairlead owns, like /srv/checkout")
    select: Select = Field(description="which instances belong to the fleet, like {tags: {service: checkout}}")
    run: Run = Field(description="what is started, like {unit: checkout.service}")
    drain: Drain | None = Field(None, description="How traffic leaves a host first")
    health: Health = Field(description='when a host is healthy, like {http: "http://localhost:8080/health"}')
    max_unavailable: Share | None = Field(None, description="How many hosts may be out of service at once")
    min_healthy: Share | None = Field(None, description="How many hosts must stay healthy")
    silent_after: Annotated[Duration, AfterValidator(_audible)] = Field(
        SILENT_AFTER, description="A host without a report for that long counts as failed, like 3m"
    )
    waves: list[Wave] | None = Field(None, description="Slices in order; the last is everything")
    hooks: Hooks | None = Field(None, description="Commands around the change of each host")
    before: Before | None = Field(None, description="A command that one host runs before a version, once")
    failure_threshold: Loss = Field(0, description="How many hosts a rollout may lose and go on, like 1 or 10%")
    progress_deadline: Annotated[Duration, AfterValidator(_bearable)] = Field(
        PROGRESS_DEADLINE, description="A rollout that gets nowhere for so long has failed, like 30m"
    )

    @model_validator(mode="after")
    def _waves_grow(self) -> "TriggerSettings":
        for before, after in pairwise(self.waves or ()):
            if _smaller(after.hosts, before.hosts):
                raise ValueError(f"waves are cumulative and must grow, but {after.hosts} follows {before.hosts}")
        return self


def settings_of(fleet: Fleet) -> TriggerSettings:
    """The fleet's settings. Raises pydantic's `ValidationError` where `validate` was not asked before."""
    return TriggerSettings.model_validate(dict(fleet.deploy))


def _smaller(one: int | str, other: int | str) -> bool:
    """Only like is compared with like: how many hosts a share is, is known when there are hosts."""
    if isinstance(one, str) and isinstance(other, str):
        return int(one[:-1]) < int(other[:-1])
    return isinstance(one, int) and isinstance(other, int) and one < other
