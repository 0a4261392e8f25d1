"""What trigger deploys need in an account: bucket, topics, queues and subscriptions, made where they are missing.

The same as `deploy/terraform/trigger` makes. Everything may be repeated: what is there and right is kept. Only queues
that carry our tag are ever removed, and only of instances that EC2 says are gone.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from adapters.agent_protocol.addresses import agent_queue_name, reports_queue_name, topic_name
from adapters.aws.buckets import Bucket
from adapters.aws.errors import readable
from adapters.aws.hosts import Hosts, host_of, instances
from adapters.aws.laying import Did, Layer
from adapters.aws.sessions import Sessions
from adapters.aws.topics import queue_arn, topic_arn
from desired_state.model import Environment, FleetName

AT_ONCE = 8  # instances
FOR_AGENTS = {"MessageRetentionPeriod": "3600", "ReceiveMessageWaitTimeSeconds": "20"}  # a stale hint has no value
FOR_REPORTS = {"MessageRetentionPeriod": "86400", "ReceiveMessageWaitTimeSeconds": "20"}
MANAGED, ENVIRONMENT, FLEET, HOST = (f"fairlead:{word}" for word in ("managed", "environment", "fleet", "host"))
OURS = "setup"  # the value of `fairlead:managed`


class Kind(StrEnum):
    """What a step is about."""

    BUCKET = "bucket"
    TOPIC = "topic"
    QUEUE = "queue"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing and what was done to it, or would be."""

    kind: Kind
    name: str
    region: str
    did: Did
    note: str = ""  # a sentence on what was left as it is though it should be otherwise


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
    *,
    as_controller: bool = False,
    dry_run: bool = False,
) -> Iterator[Step]:
    """Make what these environments lack, and remove what their gone instances left; gives every step as it is done.

    `fleets` are all that are known, also those of other environments: an instance may be of both. `as_controller`: each
    environment with its own role, else all with the identity that runs this. `dry_run`: only look. Raises `Unreadable`.
    """
    for environment in {fleet.environment.name: fleet.environment for fleet in fleets}.values():
        if environment.name in environments:
            yield _bucket(sessions, environment, environment.role if as_controller else None, dry_run)
    for (account, region), those in sorted(_by_place(fleets).items()):
        for role, names in sorted(_by_role(those, environments, as_controller).items(), key=str):
            yield from _Region(sessions, account, region, role, those, names, dry_run).ensure()


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
        self._account, self._region = account, region
        self._fleets = fleets
        self._environments = sorted({fleet.environment.name for fleet in fleets} & set(environments))
        self._acted_on = [fleet for fleet in fleets if self._is_acted_on(fleet)]
        self._subscribed: dict[str, Mapping[str, str]] = {}

    def ensure(self) -> Iterator[Step]:
        """Topics and queues before subscriptions, which need both; removing comes last."""
        for fleet in self._acted_on:
            tags = {MANAGED: OURS, ENVIRONMENT: fleet.environment.name, FLEET: fleet.name}
            did = self._layer.topic(self._topic(fleet), tags)
            yield self._step(Kind.TOPIC, topic_name(fleet.name), did)
            self._subscribed[fleet.name] = self._layer.subscriptions(self._topic(fleet))
        for name in self._environments:
            queue = reports_queue_name(name)
            yield self._queue(queue, FOR_REPORTS, {MANAGED: OURS, ENVIRONMENT: name})
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            for steps in pool.map(self._connect, *self._members):
                yield from steps
        yield from self._remove_leftovers()

    @cached_property
    def _hosts(self) -> Hosts:
        with readable(f"the instances of account {self._account} in {self._region}", "ec2"):
            found = (host_of(instance) for instance in instances(self._ec2))
            return Hosts(host for host in found if host is not None)

    @property
    def _members(self) -> tuple[list[str], list[list[Served]]]:
        """The instances that are to have a queue, and the fleets of each."""
        found: dict[str, list[Served]] = defaultdict(list)
        for fleet in self._fleets:
            for host in self._hosts.tagged(fleet.tags):
                found[host["id"]].append(fleet)
        wanted = {host: those for host, those in sorted(found.items()) if any(self._is_acted_on(one) for one in those)}
        return list(wanted), list(wanted.values())

    def _connect(self, host: str, fleets: Sequence[Served]) -> list[Step]:
        """The instance's queue, which takes messages from its fleets' topics, and the subscriptions."""
        name = agent_queue_name(host)
        address = queue_arn(self._account, self._region, name)
        topics = {self._topic(fleet) for fleet in fleets} | self._known_topics(name)
        policy = queue_policy(address, self._account, sorted(topics))
        mine = [fleet for fleet in fleets if self._is_acted_on(fleet)]
        tags = {MANAGED: OURS, ENVIRONMENT: mine[0].environment.name, HOST: host}
        steps = [self._queue(name, FOR_AGENTS, tags, policy)]
        for fleet in mine:
            known = address in self._subscribed[fleet.name]
            did = Did.KEPT if known else self._layer.subscribe(self._topic(fleet), address)
            steps.append(self._step(Kind.SUBSCRIPTION, f"{topic_name(fleet.name)} to {name}", did))
        return steps

    def _known_topics(self, queue: str) -> set[str]:
        """Topics of fleets that the queue listens to already: of another repository, or of a file that is wrong now."""
        ours = self._topic_named(topic_name(""))
        statements = self._layer.policy(queue).get("Statement", ())
        sources = [one.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn", ()) for one in statements]
        named = {arn for source in sources for arn in ([source] if isinstance(source, str) else source)}
        return {arn for arn in named if arn.startswith(ours)}

    def _queue(
        self, name: str, attributes: Mapping[str, str], tags: Mapping[str, str], policy: Mapping[str, Any] | None = None
    ) -> Step:
        did, note = self._layer.queue(name, attributes, tags, policy, mark=(MANAGED, OURS))
        return Step(kind=Kind.QUEUE, name=name, region=self._region, did=did, note=note)

    def _remove_leftovers(self) -> Iterator[Step]:
        """Queues of ours whose instance is gone. Subscriptions go first: those of a queue that is gone would stay."""
        prefix = agent_queue_name("")
        alive = {host["id"] for host in self._hosts.all}
        queues = {name.removeprefix(prefix): url for name, url in self._layer.queues(prefix)}
        for host in self._gone(sorted(set(queues) - alive)):
            if not self._is_ours(queues[host], host):
                continue
            address = queue_arn(self._account, self._region, f"{prefix}{host}")
            for fleet in self._acted_on:
                if address in self._subscribed[fleet.name]:
                    did = self._layer.unsubscribe(self._subscribed[fleet.name][address])
                    yield self._step(Kind.SUBSCRIPTION, f"{topic_name(fleet.name)} to {prefix}{host}", did)
            yield self._step(Kind.QUEUE, f"{prefix}{host}", self._layer.remove_queue(queues[host]))

    def _gone(self, hosts: Sequence[str]) -> Iterator[str]:
        """Those that EC2, asked for them by name, does not show or calls terminated. A stopped one comes back."""
        for start in range(0, len(hosts), 200):
            batch = list(hosts[start : start + 200])
            with readable(f"the instances of account {self._account} in {self._region}", "ec2"):
                found = list(instances(self._ec2, [{"Name": "instance-id", "Values": batch}]))
            there = {one["InstanceId"] for one in found if one["State"]["Name"] != "terminated"}
            yield from (host for host in batch if host not in there)

    def _is_ours(self, url: str, host: str) -> bool:
        tags = self._layer.tags(url)
        return tags.get(MANAGED) == OURS and tags.get(HOST) == host and tags.get(ENVIRONMENT) in self._environments

    def _is_acted_on(self, fleet: Served) -> bool:
        return fleet.environment.name in self._environments

    def _topic(self, fleet: Served) -> str:
        return self._topic_named(topic_name(fleet.name))

    def _topic_named(self, name: str) -> str:
        return topic_arn(self._account, self._region, name)

    def _step(self, kind: Kind, name: str, did: Did) -> Step:
        return Step(kind=kind, name=name, region=self._region, did=did)


def queue_policy(queue: str, account: str, topics: Sequence[str]) -> dict[str, Any]:
    """Only these topics may send."""
    statement = {
        "Sid": "HintsOfItsFleets",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": list(topics)},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
