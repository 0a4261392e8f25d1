"""SNS topics: publishing, which may fail without harm."""

from typing import Any

from botocore.exceptions import ClientError

from adapters.aws.errors import READ_ERRORS, code_of, sentence


def topic_arn(account: str, region: str, name: str) -> str:
    """The address of a topic."""
    return f"arn:{partition_of(region)}:sns:{region}:{account}:{name}"


def queue_arn(account: str, region: str, name: str) -> str:
    """The address of a queue that a topic sends to."""
    return f"arn:{partition_of(region)}:sqs:{region}:{account}:{name}"


def partition_of(region: str) -> str:
    """Told by the region's name (AWS General Reference, ARNs)."""
    partitions = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((known for start, known in partitions.items() if region.startswith(start)), "aws")


def publish(sns: Any, arn: str, text: str) -> str:
    """Send the message to the topic; gives a sentence where that did not work, else nothing."""
    try:
        sns.publish(TopicArn=arn, Message=text)
    except READ_ERRORS as error:
        if isinstance(error, ClientError) and code_of(error) in {"NotFound", "NotFoundException"}:
            return f"there is no topic {arn}; make it with `fairlead trigger setup`"
        return sentence(error, f"{arn} (to publish to it)", "sns")
    return ""
