"""Topics, queues and subscriptions one by one: looked at, and made or mended where they are not as they should be.

Every method raises `Unreadable` where AWS refuses, with the sentence that says what to do.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from adapters.agent_protocol.addresses import topic_name
from adapters.aws.errors import code_of, readable
from reconciler.ports import Unreadable

_NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "NonExistentQueue"})
_NO_TOPIC = frozenset({"NotFound", "NotFoundException"})
_EXISTS = frozenset({"QueueAlreadyExists", "QueueNameExists"})  # with other attributes
_TOO_SOON = frozenset({"AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently"})


class Did(StrEnum):
    """What was done to a thing, or would be."""

    MADE = "made"
    CHANGED = "changed"
    REMOVED = "removed"
    KEPT = "kept"


class Layer:
    """Lays the plumbing of one account and region. With `dry_run` it says what it would do, and does nothing."""

    def __init__(self, sns: Any, sqs: Any, *, dry_run: bool) -> None:
        self._sns = sns
        self._sqs = sqs
        self._acts = not dry_run

    def topic(self, arn: str, tags: Mapping[str, str]) -> Did:
        """A topic. One that is there is kept as it is."""
        name = arn.rpartition(":")[2]
        with readable(f"the topic {name} (to make it)", "sns"):
            try:
                self._sns.get_topic_attributes(TopicArn=arn)
            except ClientError as error:
                if code_of(error) not in _NO_TOPIC:
                    raise
            else:
                return Did.KEPT
            if self._acts:
                self._sns.create_topic(Name=name, Tags=[{"Key": key, "Value": tags[key]} for key in sorted(tags)])
        return Did.MADE

    def topics(self, environment: str) -> list[str]:
        """The addresses of the environment's topics."""
        with readable("the topics", "sns"):
            found = [each["TopicArn"] for page in _pages(self._sns.list_topics) for each in page["Topics"]]
        return sorted(arn for arn in found if arn.rpartition(":")[2].startswith(topic_name(f"{environment}/")))

    def remove_topic(self, arn: str, mark: tuple[str, str]) -> Did:
        """It goes, with its subscriptions, where it has the tag `mark`."""
        name = arn.rpartition(":")[2]
        with readable(f"the topic {name} (to remove it)", "sns"):
            tags = {each["Key"]: each["Value"] for each in self._sns.list_tags_for_resource(ResourceArn=arn)["Tags"]}
            if tags.get(mark[0]) != mark[1]:
                return Did.KEPT
            if self._acts:
                self._sns.delete_topic(TopicArn=arn)
        return Did.REMOVED

    def subscriptions(self, arn: str) -> dict[str, str]:
        """The subscriptions of a topic by where they lead to; none where there is no topic yet."""
        with readable(f"the subscriptions of {arn}", "sns"):
            pages = _pages(self._sns.list_subscriptions_by_topic, TopicArn=arn)
            try:
                return {one["Endpoint"]: one["SubscriptionArn"] for page in pages for one in page["Subscriptions"]}
            except ClientError as error:
                if code_of(error) not in _NO_TOPIC:
                    raise
                return {}

    def subscribe(self, topic: str, queue: str) -> str:
        """Raw, so that a hint arrives as it was sent; without a filter, of which an account has few.

        Gives the subscription's address. One that is there is kept: SNS knows it by topic, protocol and endpoint.
        """
        if not self._acts:
            return ""
        with readable(f"the subscriptions of {topic} (to add one)", "sns"):
            made = self._sns.subscribe(
                TopicArn=topic,
                Protocol="sqs",
                Endpoint=queue,
                Attributes={"RawMessageDelivery": "true"},
                ReturnSubscriptionArn=True,
            )
        return str(made["SubscriptionArn"])

    def unsubscribe(self, subscription: str) -> Did:
        """It goes."""
        if self._acts:
            with readable(f"the subscription {subscription} (to remove it)", "sns"):
                self._sns.unsubscribe(SubscriptionArn=subscription)
        return Did.REMOVED

    def queue(
        self,
        name: str,
        attributes: Mapping[str, str],
        tags: Mapping[str, str],
        policy: Mapping[str, Any] | None = None,
        *,
        mark: tuple[str, str],
        is_new: bool = False,
    ) -> tuple[Did, str]:
        """A queue with these attributes and this policy.

        Of one that is there and has the tag `mark`, what differs is set. Of another a sentence tells it: its maker
        looks after it. `is_new`: there is none as far as is known, so it is made without a look first.
        """
        wanted = {**attributes, **({"Policy": json.dumps(policy)} if policy is not None else {})}
        with self._making(name):
            if is_new and self._make(name, wanted, tags):
                return Did.MADE, ""
            url = self._url(name)
            if url is None:
                self._make(name, wanted, tags)
                return Did.MADE, ""
            return self._mend(name, url, wanted, mark)

    def _make(self, name: str, wanted: Mapping[str, str], tags: Mapping[str, str]) -> bool:
        """False where there is one that is not so."""
        if not self._acts:
            return True
        try:
            encrypted = {**wanted, "SqsManagedSseEnabled": "true"}
            self._sqs.create_queue(QueueName=name, Attributes=encrypted, tags=dict(tags))
        except ClientError as error:
            if code_of(error) not in _EXISTS:
                raise
            return False
        return True

    def _mend(self, name: str, url: str, wanted: Mapping[str, str], mark: tuple[str, str]) -> tuple[Did, str]:
        asked = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=sorted(wanted))
        other = {key: wanted[key] for key in wanted if not _same(key, wanted[key], asked.get("Attributes", {}))}
        if other and self.tags(url).get(mark[0]) != mark[1]:
            return Did.KEPT, _left(name, mark, other)
        if other and self._acts:
            self._sqs.set_queue_attributes(QueueUrl=url, Attributes=other)
        return (Did.CHANGED if other else Did.KEPT), ""

    def made_at(self, url: str) -> datetime | None:
        """When the queue was made, by SQS's clock; None where it has gone meanwhile."""
        with readable(f"the queue {url.rpartition('/')[2]}", "sqs"):
            try:
                asked = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["CreatedTimestamp"])
            except ClientError as error:
                if code_of(error) not in _NO_QUEUE:
                    raise
                return None
        return datetime.fromtimestamp(float(asked["Attributes"]["CreatedTimestamp"]), UTC)

    def address(self, name: str) -> str | None:
        """The queue's address; None where there is none."""
        with readable(f"the queue {name}", "sqs"):
            return self._url(name)

    def policy(self, name: str) -> Mapping[str, Any]:
        """Who may send to the queue, as its policy says; empty where there is none, or no queue."""
        with readable(f"the queue {name}", "sqs"):
            url = self._url(name)
            if url is None:
                return {}
            asked = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
        found: Mapping[str, Any] = json.loads(asked.get("Attributes", {}).get("Policy") or "{}")
        return found

    def queues(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Name and address of every queue whose name begins so."""
        with readable(f"the queues {prefix}*", "sqs"):
            pages = _pages(self._sqs.list_queues, QueueNamePrefix=prefix, MaxResults=1000)
            found = [url for page in pages for url in page.get("QueueUrls", ())]
        yield from ((url.rpartition("/")[2], url) for url in found)

    def tags(self, url: str) -> Mapping[str, str]:
        """The queue's tags; none where it has gone meanwhile."""
        with readable(f"the tags of {url.rpartition('/')[2]}", "sqs"):
            try:
                found: Mapping[str, str] = self._sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
            except ClientError as error:
                if code_of(error) not in _NO_QUEUE:
                    raise
                return {}
        return found

    def remove_queue(self, url: str) -> Did:
        """It goes, with what is in it."""
        if self._acts:
            with readable(f"the queue {url.rpartition('/')[2]} (to remove it)", "sqs"):
                self._sqs.delete_queue(QueueUrl=url)
        return Did.REMOVED

    def _url(self, name: str) -> str | None:
        try:
            return str(self._sqs.get_queue_url(QueueName=name)["QueueUrl"])
        except ClientError as error:
            if code_of(error) not in _NO_QUEUE:
                raise
            return None

    @contextmanager
    def _making(self, name: str) -> Iterator[None]:
        with readable(f"the queue {name} (to make it)", "sqs"):
            try:
                yield
            except ClientError as error:
                if code_of(error) not in _TOO_SOON:
                    raise
                said = (
                    f"the queue {name} was deleted a moment ago, and SQS makes no new one for a minute; run this again"
                )
                raise Unreadable(said) from error


def _pages(method: Callable[..., Mapping[str, Any]], **asked: Any) -> Iterator[Mapping[str, Any]]:
    """By hand, so that each page is a request of its own to who paces them: one that is refused loses no other."""
    token: dict[str, str] = {}
    while True:
        page = method(**asked, **token)
        yield page
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _left(name: str, mark: tuple[str, str], other: Mapping[str, str]) -> str:
    return (
        f"the queue {name} has no tag {'='.join(mark)} and is left as it is, though its {' and '.join(sorted(other))} "
        "should be otherwise; mend it where it was made, or delete it and run this again"
    )


def _same(key: str, wanted: str, has: Mapping[str, str]) -> bool:
    if key == "Policy":
        return bool(json.loads(has.get(key) or "{}") == json.loads(wanted))
    if key == "RedrivePolicy":  # SQS gives numbers as they were written, which may have been as text
        return _texts(has.get(key) or "{}") == _texts(wanted)
    return has.get(key) == wanted


def _texts(document: str) -> dict[str, str]:
    return {key: str(value) for key, value in json.loads(document).items()}
