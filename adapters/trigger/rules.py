"""What is wrong with a fleet of type trigger, beyond what its settings model says.

A sentence begins with its `dotted.path: `; one that begins with `warning: ` stops nothing.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.fields import Malformed
from adapters.agent_protocol.orders import Order
from adapters.agent_protocol.places import AGENT_ROOT, AGENT_UNIT, inner_path, is_agents, is_one_in_the_other
from adapters.agent_protocol.reading import LARGEST, parse_order
from adapters.agent_protocol.refusals import Refused
from adapters.aws.targets import region_of_group
from adapters.trigger.releases import TOP, before_of, release_with
from adapters.trigger.settings import DRAIN_WITHIN, HEALTHY_WITHIN, STOP_WITHIN, TriggerSettings, settings_of
from desired_state.model import Fleet, Package

LARGEST_RELEASE = LARGEST // 3  # bytes: two releases and thousands of instance ids fit into one order
SOON = timedelta(seconds=150)  # two and a half times the heartbeat that agents have unless they are told otherwise
_ANY = "0" * 64
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def problems_of(fleet: Fleet) -> Iterator[str]:
    """Everything that is wrong with the fleet."""
    try:
        settings = settings_of(fleet)
    except ValidationError as error:
        detail = error.errors()[0]
        path = ".".join(["deploy", *map(str, detail["loc"])])
        yield f"{path}: {str(detail['msg']).removeprefix('Value error, ')}"
        return
    found = [*_environment(fleet), *_packages(fleet), *_config(fleet), *_regions("deploy", fleet.deploy)]
    found += [*_waves(settings), *_pace(settings), *_hearing(settings), *_groups(fleet, settings)]
    found += _root(settings)
    if fleet.regional:
        found.append("suspend.regions: hosts of a trigger fleet are suspended in all regions at once; remove regions")
    yield from found
    if all(said.startswith("warning: ") for said in found):
        yield from _as_hosts_read_it(fleet)


def _environment(fleet: Fleet) -> Iterator[str]:
    if not fleet.environment.trigger.get("bucket"):
        where = f"environments/{fleet.environment.name}/environment.yaml"
        yield f'deploy: "trigger.bucket" is missing in {where}; the order that hosts read lies in that bucket'


def _packages(fleet: Fleet) -> Iterator[str]:
    for package in fleet.packages:
        where = f"deploy: package {package.name}"
        if package.source is not None:
            yield from (f"{where}: {said}" for said in _source(package.source))
        elif package.format != "deb":
            yield f'{where} needs "from", like s3://builds/{package.name}/{{version}}/{package.name}'
        elif package.sha256 is None:
            yield (
                f'{where} is a deb without "from", so nobody but you knows its bytes; add '
                f'sha256: {{{package.name}: "<64 hexadecimal digits>"}} to environments/{fleet.name}.yaml, or "from"'
            )
        yield from (f"{where}: {said}" for said in _destination(package))


def _source(source: str) -> Iterator[str]:
    if not source.startswith("s3://"):
        yield f'"from" must be like s3://bucket/path/{{version}}, not {source[:80]}'
    elif "{version}" not in source.removeprefix("s3://").partition("/")[2]:
        yield '"from" must hold {version} after the bucket, or every version would be the same object'
    if "{region}" in source:
        yield '"from" must not hold {region}: all regions of a fleet follow one order; name one bucket'


def _destination(package: Package) -> Iterator[str]:
    to = package.destination
    if package.format == "deb":
        if to is not None:
            yield 'a deb knows where it goes; remove "to"'
    elif to is None:
        yield f'needs "to", the place below deploy.root, like {package.name}'
    elif not (package.format == "archive" and to in TOP):
        yield from _relative(to)


def _relative(to: str) -> Iterator[str]:
    """A place that is not below the release's folder cannot be switched with it, nor taken back."""
    try:
        inner_path(to)
    except Malformed:
        yield f'"to" must be a place below deploy.root, like {to.rstrip("/").rpartition("/")[2] or "name"}, not {to}'


def _config(fleet: Fleet) -> Iterator[str]:
    if fleet.config is not None:
        yield from (f"deploy: config: {said}" for said in _relative(fleet.config.destination))


def _regions(path: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _regions(f"{path}.{key}", inner)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            yield from _regions(f"{path}.{place}", inner)
    elif isinstance(value, str) and "{region}" in value:
        yield f"{path}: {{region}} is not filled in for type trigger: all regions follow one order; write the text"


def _waves(settings: TriggerSettings) -> Iterator[str]:
    waves = settings.waves or []
    if waves and waves[-1].hosts != "100%":
        last = len(waves) - 1
        yield f"deploy.waves.{last}.hosts: the last wave must be everything; end with {{hosts: 100%}}"
    early = next((place for place, wave in enumerate(waves[:-1]) if wave.hosts == "100%"), None)
    if early is not None:
        yield f"warning: deploy.waves.{early}.hosts: this wave covers everything; those after it do nothing"


def _pace(settings: TriggerSettings) -> Iterator[str]:
    if settings.min_healthy == "100%":
        yield "deploy.min_healthy: no host could ever be changed; say less than 100%"
    if settings.failure_threshold == "100%":
        yield "deploy.failure_threshold: with 100% no failure would ever stop a rollout; say less than 100%"
    longest = (settings.drain.within or DRAIN_WITHIN) if settings.drain is not None else timedelta(0)
    longest += (settings.run.stop_within or STOP_WITHIN) + (settings.health.within or HEALTHY_WITHIN)
    if settings.progress_deadline < longest:
        said = f"one host may take {longest.total_seconds():g}s to drain, stop and get healthy"
        yield f"warning: deploy.progress_deadline: {said}; say more than that"


def _hearing(settings: TriggerSettings) -> Iterator[str]:
    """Agents of their own accord speak every minute, and one word may be lost."""
    if settings.silent_after < SOON:
        said = f"{settings.silent_after.total_seconds():g}s is short beside the agents' heartbeat of a minute"
        yield f"warning: deploy.silent_after: {said}; set `heartbeat` in agent.yaml to a third of it or less"


def _groups(fleet: Fleet, settings: TriggerSettings) -> Iterator[str]:
    groups = settings.drain.target_groups if settings.drain is not None else "attached"
    for place, arn in enumerate([] if groups == "attached" else groups):
        if region_of_group(arn, fleet.environment.account) not in fleet.environment.regions:
            yield (
                f"deploy.drain.target_groups.{place}: {arn[:120]} is no target group of account "
                f"{fleet.environment.account} in {', '.join(fleet.environment.regions)}; write its full ARN"
            )


def _root(settings: TriggerSettings) -> Iterator[str]:
    """Another service there would take the place of the agent that deploys it."""
    if not is_agents(settings.run.unit) and is_one_in_the_other(settings.root, AGENT_ROOT):
        yield (
            f"deploy.root: {settings.root} is the agent's own; give a folder like /srv/checkout, "
            f"or upgrade the agent itself with run: {{unit: {AGENT_UNIT}}}"
        )


def _as_hosts_read_it(fleet: Fleet) -> Iterator[str]:
    """The last look: an order for this fleet, read as an agent reads it."""
    pins = {package.name: package.sha256 or _ANY for package in fleet.packages}
    release = release_with(fleet, "0" * 40, pins)
    order = Order(
        fleet=fleet.name,
        sequence=1,
        target=release,
        issued=_SOME_TIME,
        expires=_SOME_TIME,
        before=before_of(settings_of(fleet), "i-0", 1),
    )
    try:
        body = canonical(order.document())
        parse_order(body)
    except (Refused, ValueError) as error:
        yield f"deploy: hosts would refuse this fleet: {error}"
        return
    if len(body) > LARGEST_RELEASE:
        yield f"deploy: its order takes {len(body)} bytes, and {LARGEST_RELEASE} is the most; shorten the configuration"
