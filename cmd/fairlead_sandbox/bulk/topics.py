"""SNS topics, which send what is published to the queues that listen, and a log of it; and target health of ELB."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from fairlead_sandbox.bulk.identities import Caller
from fairlead_sandbox.bulk.queues import Queue, Queues
from fairlead_sandbox.bulk.wire import Answer, Asked, Fault, query_answer, xml
from reconciler.ports import Clock

SNS = "http://sns.amazonaws.com/doc/2010-03-31/"
_ELB = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"
_SENDER = "AIDAITIUMAMKE7S6WTJQ4"  # of SNS itself, as a queue sees it


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One message that went to a topic."""

    topic: str  # its ARN
    text: str
    at: datetime
    publisher: Caller


class Topics:
    """All topics by ARN, with the queues that listen."""

    def __init__(self, clock: Clock, queues: Queues) -> None:
        self.published: list[Published] = []
        self.deaf = False  # True: what is published reaches nobody
        self._clock = clock
        self._queues = queues
        self._listening: dict[str, dict[str, Queue]] = {}  # by what they are called, in the order in which they came

    def make(self, arn: str) -> None:
        """A topic, where there is none."""
        self._listening.setdefault(arn, {})

    def has(self, arn: str) -> bool:
        """There is such a topic."""
        return arn in self._listening

    def subscribe(self, arn: str, queue: Queue, endpoint: str = "") -> None:
        """What is published goes to the queue from now on, raw. Once, however often it is said."""
        self._listening[arn][endpoint or queue.url] = queue

    def subscriptions(self, arn: str) -> list[tuple[str, str]]:
        """Their ARNs, and where they lead to."""
        return [(f"{arn}:{end.rpartition(':')[2]}", end) for end in list(self._listening[arn])]

    def unsubscribe(self, subscription: str) -> None:
        """It goes, where there is one."""
        arn, _, name = subscription.rpartition(":")
        for end in [end for end in self._listening.get(arn, {}) if end.rpartition(":")[2] == name]:
            del self._listening[arn][end]

    def answer(self, asked: Asked, caller: Caller) -> Answer:
        """Publish. Raises `Fault`."""
        if asked.action != "Publish":
            raise Fault("InvalidAction", f"this SNS does not know {asked.action}")
        arn, text = asked.said["TopicArn"], asked.said["Message"]
        if arn not in self._listening:
            raise Fault("NotFound", "Topic does not exist", 404)
        self.published.append(Published(topic=arn, text=text, at=self._clock.now(), publisher=caller))
        for queue in () if self.deaf else list(self._listening[arn].values()):
            self._queues.put(queue, text, _SENDER)
        return query_answer(asked, SNS, f"<MessageId>{len(self.published):036d}</MessageId>")


class TargetGroups:
    """Target groups by ARN: instances, and which of them are unhealthy for what reason."""

    def __init__(self) -> None:
        self.members: dict[str, set[str]] = defaultdict(set)
        self.sick: dict[str, str] = {}  # by instance

    def answer(self, asked: Asked) -> Answer:
        """DescribeTargetHealth. Raises `Fault`."""
        if asked.action != "DescribeTargetHealth":
            raise Fault("InvalidAction", f"this load balancer does not know {asked.action}")
        arn = asked.said["TargetGroupArn"]
        if arn not in self.members:
            raise Fault("TargetGroupNotFound", f"Target groups '{arn}' not found")
        body = "".join(self._member(one) for one in sorted(self.members[arn]))
        return query_answer(asked, _ELB, f"<TargetHealthDescriptions>{body}</TargetHealthDescriptions>")

    def _member(self, instance: str) -> str:
        why = self.sick.get(instance)
        health = (
            "<State>healthy</State>"
            if why is None
            else (
                f"<State>unhealthy</State><Reason>Target.FailedHealthChecks</Reason><Description>{xml(why)}</Description>"
            )
        )
        return (
            f"<member><Target><Id>{instance}</Id><Port>80</Port></Target><HealthCheckPort>80</HealthCheckPort>"
            f"<TargetHealth>{health}</TargetHealth></member>"
        )
