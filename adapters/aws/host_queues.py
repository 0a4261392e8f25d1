"""An instance's queue and its subscriptions: laid as one, and removed as one. By `plumbing` and `upkeep` alike."""

from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from adapters.agent_protocol.addresses import (
    agent_queue_name,
    dead_reports_queue_name,
    reports_queue_name,
    topic_name,
)
from adapters.aws.gone import Gone
from adapters.aws.laying import Did, Layer
from adapters.aws.topics import queue_arn, topic_arn
from desired_state.model import FleetName
from reconciler.ports import Clock

FOR_AGENTS = {"MessageRetentionPeriod": "3600", "ReceiveMessageWaitTimeSeconds": "20"}  # a stale hint has no value
FOR_REPORTS = {"MessageRetentionPeriod": "86400", "ReceiveMessageWaitTimeSeconds": "20"}
FOR_THE_DEAD = {"MessageRetentionPeriod": "1209600"}  # the longest that SQS keeps anything: for people to look at
READ_AT_MOST = 5  # times; what is in the reports queue still is nothing that anybody can read
MANAGED, ENVIRONMENT, FLEET, HOST = (f"fairlead:{word}" for word in ("managed", "environment", "fleet", "host"))
OURS = "setup"  # the value of `fairlead:managed`
NAMED_AT_MOST = 20  # topics in a policy, which may have 8 KB; more are named by their environment
OLD = timedelta(hours=1)  # a queue: EC2 has known for long whose it is

Subscribed = MutableMapping[FleetName, dict[str, str]]  # subscription by the queue that it leads to, by fleet


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
class Listener:
    """An instance, the fleets of it that are to be laid now, and those that others lay."""

    host: str
    mine: Sequence[FleetName]
    others: Sequence[FleetName] = ()

    @property
    def environment(self) -> str:
        """Whose its queue is said to be."""
        return self.mine[0].partition("/")[0]


class HostQueues:
    """Of one account and region. Every method raises `Unreadable`. `subscribed` is kept true to what was done."""

    def __init__(self, layer: Layer, account: str, region: str, subscribed: Subscribed) -> None:
        self._layer = layer
        self._account, self._region = account, region
        self._subscribed = subscribed

    def topic(self, fleet: FleetName) -> Step:
        """The fleet's topic, and what is subscribed to it, which is remembered."""
        tags = {MANAGED: OURS, ENVIRONMENT: fleet.partition("/")[0], FLEET: fleet}
        did = self._layer.topic(self._topic(fleet), tags)
        self._subscribed[fleet] = self._layer.subscriptions(self._topic(fleet))
        return self._step(Kind.TOPIC, topic_name(fleet), did)

    def remove_topics(self, environment: str, declared: Collection[FleetName]) -> list[Step]:
        """Topics of ours in the environment that belong to none of these fleets, broken ones among them."""
        wanted = {self._topic(fleet) for fleet in declared}
        left = [arn for arn in self._layer.topics(environment) if arn not in wanted]
        return [
            self._step(Kind.TOPIC, arn.rpartition(":")[2], self._layer.remove_topic(arn, (MANAGED, OURS)))
            for arn in left
        ]

    def reports(self, environment: str) -> list[Step]:
        """The queue of reports, and the one before it where those end that nobody could read."""
        name, dead = reports_queue_name(environment), dead_reports_queue_name(environment)
        address = queue_arn(self._account, self._region, dead)
        redrive = f'{{"deadLetterTargetArn": "{address}", "maxReceiveCount": {READ_AT_MOST}}}'
        tags = {MANAGED: OURS, ENVIRONMENT: environment}
        return [
            self._queue(dead, FOR_THE_DEAD, tags),
            self._queue(name, {**FOR_REPORTS, "RedrivePolicy": redrive}, tags),
        ]

    def address(self, host: str) -> str:
        """The ARN of an instance's queue."""
        return queue_arn(self._account, self._region, agent_queue_name(host))

    def lay(self, listener: Listener, *, is_new: bool = False) -> list[Step]:
        """The queue, which takes messages from its fleets' topics, and then the subscriptions.

        So a subscription that is there says that the queue's policy once let it in. `is_new`: there is no such queue,
        as far as is known.
        """
        name, address = agent_queue_name(listener.host), self.address(listener.host)
        topics = {self._topic(fleet) for fleet in (*listener.mine, *listener.others)}
        topics |= set() if is_new else self._known_topics(name)
        policy = queue_policy(address, self._account, topics)
        tags = {MANAGED: OURS, ENVIRONMENT: listener.environment, HOST: listener.host}
        steps = [self._queue(name, FOR_AGENTS, tags, policy, is_new=is_new)]
        for fleet in listener.mine:
            did = Did.KEPT
            if address not in self._subscribed[fleet]:
                self._subscribed[fleet][address] = self._layer.subscribe(self._topic(fleet), address)
                did = Did.MADE
            steps.append(self._step(Kind.SUBSCRIPTION, f"{topic_name(fleet)} to {name}", did))
        return steps

    def remove(self, host: str, url: str | None) -> list[Step]:
        """Of an instance that is gone. Subscriptions go first: those of a queue that is gone would stay."""
        name, address, steps = agent_queue_name(host), self.address(host), list[Step]()
        for fleet, known in self._subscribed.items():
            if address in known:
                did = self._layer.unsubscribe(known.pop(address))
                steps.append(self._step(Kind.SUBSCRIPTION, f"{topic_name(fleet)} to {name}", did))
        if url is not None:
            steps.append(self._step(Kind.QUEUE, name, self._layer.remove_queue(url)))
        return steps

    def is_removable(self, host: str, url: str, known: Gone, environments: Collection[str], clock: Clock) -> bool:
        """Its instance is gone, we made it for one of these environments, and it is no new one where EC2 only does not
        know the instance."""
        tags = self._layer.tags(url)
        if tags.get(MANAGED) != OURS or tags.get(HOST) != host or tags.get(ENVIRONMENT) not in environments:
            return False
        if host in known.ended:
            return True
        made = self._layer.made_at(url) if host in known.unknown else None
        return made is not None and clock.now() - made >= OLD

    def _known_topics(self, queue: str) -> set[str]:
        """Topics of fleets that the queue listens to already: of another repository, or of a file that is wrong now."""
        ours = self._topic_named(topic_name(""))
        statements = self._layer.policy(queue).get("Statement", ())
        sources = [one.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn", ()) for one in statements]
        named = {arn for source in sources for arn in ([source] if isinstance(source, str) else source)}
        return {arn for arn in named if arn.startswith(ours)}

    def _queue(
        self,
        name: str,
        attributes: Mapping[str, str],
        tags: Mapping[str, str],
        policy: Mapping[str, Any] | None = None,
        *,
        is_new: bool = False,
    ) -> Step:
        did, note = self._layer.queue(name, attributes, tags, policy, mark=(MANAGED, OURS), is_new=is_new)
        return Step(kind=Kind.QUEUE, name=name, region=self._region, did=did, note=note)

    def _topic(self, fleet: FleetName) -> str:
        return self._topic_named(topic_name(fleet))

    def _topic_named(self, name: str) -> str:
        return topic_arn(self._account, self._region, name)

    def _step(self, kind: Kind, name: str, did: Did) -> Step:
        return Step(kind=kind, name=name, region=self._region, did=did)


def queue_policy(queue: str, account: str, topics: Iterable[str]) -> dict[str, Any]:
    """Only these topics may send; where they are many, all of their environments' topics.

    ArnEquals reads `*` as ArnLike does (IAM User Guide, ARN condition operators).
    """
    named = sorted(set(topics))
    if len(named) > NAMED_AT_MOST:
        named = sorted({f"{arn.rpartition('_')[0]}_*" for arn in named})
    statement = {
        "Sid": "HintsOfItsFleets",
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": named}, "StringEquals": {"aws:SourceAccount": account}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
