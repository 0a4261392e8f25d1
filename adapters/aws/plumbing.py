"""What trigger deploys need in an account: bucket, topics, queues and subscriptions, made where they are missing.

The same as `deploy/terraform/trigger` makes. Everything may be repeated: what is there and right is kept. Only queues
that carry our tag are ever removed, and only of instances that EC2 says are gone.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from adapters.agent_protocol.addresses import agent_queue_name
from adapters.aws.buckets import Bucket
from adapters.aws.errors import readable
from adapters.aws.gone import gone
from adapters.aws.host_queues import ENVIRONMENT, MANAGED, OURS, HostQueues, Kind, Listener, Step, Subscribed
from adapters.aws.hosts import Hosts, host_of, instances
from adapters.aws.laying import Layer
from adapters.aws.sessions import Sessions
from desired_state.model import Environment, FleetName
from reconciler.ports import Clock

AT_ONCE = 8  # instances


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A trigger fleet, and the tags that its instances have."""

    name: FleetName
    environment: Environment
    tags: Mapping[str, str]


def ensure(
    sessions: Sessions,
    fleets: Sequence[Served],
    environments: Collection[str],
    clock: Clock,
    *,
    as_controller: bool = False,
    dry_run: bool = False,
    declared: Collection[FleetName] | None = None,
) -> Iterator[Step]:
    """Make what these environments lack, and remove what their gone instances left; gives every step as it is done.

    `fleets` are all that are known, also those of other environments: an instance may be of both. `as_controller`: each
    environment with its own role, else all with the identity that runs this. `dry_run`: only look.
    `declared`: remove topics of ours that belong to none of these; None: leave them. Raises `Unreadable`.
    """
    for environment in {fleet.environment.name: fleet.environment for fleet in fleets}.values():
        if environment.name in environments:
            yield _bucket(sessions, environment, environment.role if as_controller else None, dry_run)
    for (account, region), those in sorted(_by_place(fleets).items()):
        for role, names in sorted(_by_role(those, environments, as_controller).items(), key=str):
            yield from _Region(sessions, account, region, role, those, names, dry_run).ensure(clock, declared)


def _by_place(fleets: Iterable[Served]) -> dict[tuple[str, str], list[Served]]:
    found: dict[tuple[str, str], list[Served]] = defaultdict(list)
    for fleet in fleets:
        for region in fleet.environment.regions:
            found[fleet.environment.account, region].append(fleet)
    return found


def _by_role(
    fleets: Iterable[Served], environments: Collection[str], as_controller: bool
) -> dict[str | None, set[str]]:
    """The environments that each identity is to act on."""
    found: dict[str | None, set[str]] = defaultdict(set)
    for place in (fleet.environment for fleet in fleets):
        if place.name in environments:
            found[place.role if as_controller else None].add(place.name)
    return found


def _bucket(sessions: Sessions, environment: Environment, role: str | None, dry_run: bool) -> Step:
    region, name = environment.regions[0], environment.trigger["bucket"]
    s3 = sessions.client("s3", region, role=role, account=environment.account)
    tags = {MANAGED: OURS, ENVIRONMENT: environment.name}
    did, note = Bucket(s3, name, region, tags, dry_run=dry_run).ensure()
    return Step(kind=Kind.BUCKET, name=name, region=region, did=did, note=note)


class _Region:
    """One account and region, seen by one identity. It acts on its environments, and knows the fleets of all."""

    def __init__(
        self,
        sessions: Sessions,
        account: str,
        region: str,
        role: str | None,
        fleets: Sequence[Served],
        environments: Collection[str],
        dry_run: bool,
    ) -> None:
        sns, sqs, self._ec2 = (
            sessions.client(service, region, role=role, account=account) for service in ("sns", "sqs", "ec2")
        )
        self._layer = Layer(sns, sqs, dry_run=dry_run)
        self._where = f"account {account} in {region}"
        self._fleets = fleets
        self._environments = sorted({fleet.environment.name for fleet in fleets} & set(environments))
        self._subscribed: Subscribed = {}
        self._queues = HostQueues(self._layer, account, region, self._subscribed)

    def ensure(self, clock: Clock, declared: Collection[FleetName] | None) -> Iterator[Step]:
        """Topics and queues before subscriptions, which need both; removing comes last."""
        for fleet in self._fleets:
            if self._is_acted_on(fleet):
                yield self._queues.topic(fleet.name)
        for name in self._environments:
            yield from self._queues.reports(name)
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            for steps in pool.map(self._queues.lay, self._members):
                yield from steps
        yield from self._remove_leftovers(clock)
        for name in self._environments if declared is not None else ():
            yield from self._queues.remove_topics(name, declared or ())

    @cached_property
    def _hosts(self) -> Hosts:
        with readable(f"the instances of {self._where}", "ec2"):
            found = (host_of(instance) for instance in instances(self._ec2))
            return Hosts(host for host in found if host is not None)

    @property
    def _members(self) -> Iterator[Listener]:
        """The instances that are to have a queue, and the fleets of each."""
        found: dict[str, list[Served]] = defaultdict(list)
        for fleet in self._fleets:
            for host in self._hosts.tagged(fleet.tags):
                found[host["id"]].append(fleet)
        for instance, fleets in sorted(found.items()):
            mine = [fleet.name for fleet in fleets if self._is_acted_on(fleet)]
            others = [fleet.name for fleet in fleets if not self._is_acted_on(fleet)]
            if mine:
                yield Listener(host=instance, mine=mine, others=others)

    def _remove_leftovers(self, clock: Clock) -> Iterator[Step]:
        """Queues of ours whose instance is gone."""
        prefix = agent_queue_name("")
        alive = {host["id"] for host in self._hosts.all}
        queues = {name.removeprefix(prefix): url for name, url in self._layer.queues(prefix)}
        known = gone(self._ec2, set(queues) - alive, self._where)
        for host in sorted(known.ended | known.unknown):
            if self._queues.is_removable(host, queues[host], known, self._environments, clock):
                yield from self._queues.remove(host, queues[host])

    def _is_acted_on(self, fleet: Served) -> bool:
        return fleet.environment.name in self._environments
