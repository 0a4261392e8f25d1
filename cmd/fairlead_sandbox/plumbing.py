"""What `fairlead trigger setup` makes for trigger deploys, made by hand: topics, queues, subscriptions, the bucket.

For worlds only: that the command makes the same is tested with the command.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from adapters.agent_protocol import addresses
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.builds import make_bucket
from fairlead_sandbox.example import TriggerFleet

_RETENTION = {"agent": "3600", "reports": "86400"}  # seconds: a stale hint has no value


def lay(aws: Aws, fleets: Iterable[TriggerFleet]) -> None:
    """Buckets, and in each region every fleet's topic and every environment's reports queue. May be called again."""
    for fleet in fleets:
        make_bucket(aws, fleet.bucket)
        for region in fleet.regions:
            aws.client("sns", region).create_topic(
                Name=addresses.topic_name(fleet.name), Tags=_tags_of(fleet.environment)
            )
            _queue(aws, region, addresses.reports_queue_name(fleet.environment), "reports", fleet.environment, {})


def connect(aws: Aws, region: str, instance: str, fleets: Iterable[TriggerFleet]) -> str:
    """The instance's own queue, subscribed to the topics of its fleets; gives its URL. May be called again."""
    known = tuple(fleets)
    topics = [topic_arn(region, fleet.name) for fleet in known]
    name = addresses.agent_queue_name(instance)
    policy = {"Policy": json.dumps(_policy(queue_arn(region, name), topics))}
    url = _queue(aws, region, name, "agent", known[0].environment, policy)
    for topic in topics:
        aws.client("sns", region).subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=queue_arn(region, name),
            Attributes={"RawMessageDelivery": "true"},
            ReturnSubscriptionArn=True,
        )
    return url


def disconnect(aws: Aws, region: str, instance: str) -> None:
    """Take the instance's subscriptions and its queue away."""
    sns, sqs = aws.client("sns", region), aws.client("sqs", region)
    name = addresses.agent_queue_name(instance)
    for page in sns.get_paginator("list_subscriptions").paginate():
        for each in page["Subscriptions"]:
            if each["Endpoint"] == queue_arn(region, name):
                sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])


def topic_arn(region: str, fleet: str) -> str:
    """The topic of a fleet in a region."""
    return f"arn:aws:sns:{region}:{ACCOUNT}:{addresses.topic_name(fleet)}"


def queue_arn(region: str, name: str) -> str:
    """A queue of the account."""
    return f"arn:aws:sqs:{region}:{ACCOUNT}:{name}"


def _queue(aws: Aws, region: str, name: str, kind: str, environment: str, more: Mapping[str, str]) -> str:
    client = aws.client("sqs", region)
    attributes = {"MessageRetentionPeriod": _RETENTION[kind], **more}
    tags = {each["Key"]: each["Value"] for each in _tags_of(environment)}
    made: str = client.create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"]
    return made


def _tags_of(environment: str) -> list[dict[str, str]]:
    return [{"Key": "fairlead:environment", "Value": environment}]


def _policy(queue: str, topics: list[str]) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": topics}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}
