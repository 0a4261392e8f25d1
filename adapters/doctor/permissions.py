"""The IAM policies of these accounts: the controller's in two tiers, the hosts', and what lets a role be assumed.

The same actions as `deploy/terraform/iam`, cut down to what these fleets need; a test compares them.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.agent_protocol.addresses import (
    agent_queue_name,
    dead_reports_queue_name,
    order_key,
    reports_queue_name,
    topic_name,
)
from adapters.aws.topics import partition_of, queue_arn, topic_arn
from adapters.trigger.settings import settings_of
from desired_state.model import Environment, Fleet

Policy = dict[str, Any]
LARGEST = 6144  # characters of a managed policy, spaces not counted (IAM quotas)
READS = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeLaunchConfigurations",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplateVersions",
)
READS_OF_TARGETS = "elasticloadbalancing:DescribeTargetHealth"
KEEPS_TOPICS = ("sns:CreateTopic", "sns:GetTopicAttributes", "sns:TagResource", "sns:Subscribe")
KEEPS_SUBSCRIPTIONS = ("sns:ListSubscriptionsByTopic", "sns:Unsubscribe")  # IAM takes no name for these
KEEPS_QUEUES = (
    "sqs:CreateQueue",
    "sqs:GetQueueUrl",
    "sqs:GetQueueAttributes",
    "sqs:SetQueueAttributes",
    "sqs:ListQueueTags",
    "sqs:TagQueue",
    "sqs:DeleteQueue",
)
TAKES_FROM_A_QUEUE = ("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:DeleteMessage")
READS_A_QUEUE = (*TAKES_FROM_A_QUEUE, "sqs:GetQueueAttributes")


def reading(fleets: Sequence[Fleet]) -> Policy:
    """What `--observe-only` needs. A report that was read is deleted: that is how a queue is read."""
    agents = with_agents(fleets)
    looks = sorted([*READS, READS_OF_TARGETS] if agents else READS)
    return _policy(
        _statement("WhatReallyRuns", looks, ["*"]),
        _statement("OrdersAsTheyLie", ["s3:GetObject"], _orders(agents)),
        _statement("TellMissingFromForbidden", ["s3:ListBucket"], [_object(fleet) for fleet in agents]),
        _statement("Reports", READS_A_QUEUE, _reports(agents)),
    )


def acting(fleets: Sequence[Fleet]) -> Policy:
    """What acting needs on top of reading. It is empty for Spinnaker fleets without configuration: Gate acts."""
    agents = with_agents(fleets)
    configured = [fleet for fleet in fleets if fleet.deploy_type != "trigger" and fleet.config is not None]
    kept = [fleet for fleet in agents if fleet.environment.trigger.get("queues") == "controller"]
    return _policy(
        _statement("Orders", ["s3:PutObject"], _orders(agents)),
        _statement("ArtifactsForTheirChecksums", ["s3:GetObject"], artifacts(agents)),
        _statement("Hints", ["sns:Publish"], _topics(agents)),
        _statement(
            "Configuration",
            ["s3:PutObject"],
            [_object(fleet, f"config/{fleet.service}/*") for fleet in configured if fleet.environment.trigger],
        ),
        *_keeping(kept),
    )


def _keeping(fleets: Sequence[Fleet]) -> Iterator[Policy | None]:
    """Where topics and queues are left to the controller."""
    agents = [arn for fleet in fleets for arn in _each_region(fleet, queue_arn, agent_queue_name("*"))]
    yield _statement("KeepTopics", KEEPS_TOPICS, _topics(fleets))
    yield _statement("KeepSubscriptions", KEEPS_SUBSCRIPTIONS, ["*"] if fleets else [])
    yield _statement("KeepQueues", KEEPS_QUEUES, [*agents, *_reports(fleets), *_dead_reports(fleets)])
    yield _statement("WhichQueues", ["sqs:ListQueues"], ["*"] if fleets else [])


def looking(fleets: Sequence[Fleet], principals: Collection[str]) -> Policy:
    """What `fairlead doctor` can also make use of, and does without."""
    agents = with_agents(fleets)
    return _policy(
        _statement("AskWhatIsAllowed", ["iam:SimulatePrincipalPolicy"], principals),
        _statement("IsTheTopicThere", ["sns:GetTopicAttributes"], _topics(agents)),
        _statement("IsAnythingUnreadable", ["sqs:GetQueueUrl", "sqs:GetQueueAttributes"], _dead_reports(agents)),
        _statement("DoesTheBucketKeepVersions", ["s3:GetBucketVersioning"], [_object(fleet) for fleet in agents]),
    )


def importing(fleets: Sequence[Fleet]) -> Policy:
    """What `fairlead import` needs, by itself: a report that it read is put back, never deleted."""
    puts_back = ("sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:ChangeMessageVisibility")
    return _policy(
        _statement("WhatReallyRuns", READS, ["*"]),
        _statement("ReportsAreReadAndPutBack", puts_back, _reports(with_agents(fleets))),
    )


def hosts(fleets: Sequence[Fleet]) -> Policy:
    """What the instance profile of an environment's hosts needs; all of these fleets are of that environment."""
    agents = with_agents(fleets)
    groups, secrets = list(target_groups(agents)), list(secret_arns(agents))
    queues = [_each_region(fleet, queue_arn, agent_queue_name("*")) for fleet in agents]
    return _policy(
        _statement("OrdersOfItsFleets", ["s3:GetObject"], [_object(fleet, order_key(fleet.name)) for fleet in agents]),
        _statement("TellMissingFromForbidden", ["s3:ListBucket"], [_object(fleet) for fleet in agents]),
        _statement("Artifacts", ["s3:GetObject"], artifacts(agents)),
        _statement("Report", ["sqs:GetQueueUrl", "sqs:SendMessage"], _reports(agents)),
        _statement("AgentQueues", TAKES_FROM_A_QUEUE, [arn for arns in queues for arn in arns]),
        _statement(
            "FindTargetGroups",
            ["elasticloadbalancing:DescribeTargetGroups", READS_OF_TARGETS],
            ["*"] if groups else [],
        ),
        _statement(
            "LeaveAndEnter",
            ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"],
            groups,
        ),
        _statement("SecretsOfItsConfiguration", ["secretsmanager:GetSecretValue"], secrets),
    )


def assuming(roles: Collection[str]) -> Policy:
    """What the controller's own identity needs: to become each environment's role."""
    return _policy(_statement("BecomeTheRolesOfEnvironments", ["sts:AssumeRole"], roles))


def trusting(controller: str) -> Policy:
    """The trust policy of such a role: the controller, and nobody else."""
    statement = {
        "Sid": "TheControllerOfFairlead",
        "Effect": "Allow",
        "Principal": {"AWS": controller},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def with_agents(fleets: Iterable[Fleet]) -> list[Fleet]:
    """The fleets of type trigger."""
    return [fleet for fleet in fleets if fleet.deploy_type == "trigger"]


def artifacts(fleets: Iterable[Fleet]) -> Iterator[str]:
    """Where artifacts lie in S3: the part of each source that does not change with the version."""
    for fleet in fleets:
        for source in (package.source or "" for package in fleet.packages):
            if source.startswith("s3://"):
                fixed, versioned, _ = source.removeprefix("s3://").partition("{version}")
                yield f"arn:{_partition(fleet.environment)}:s3:::{fixed}{'*' if versioned else ''}"


def target_groups(fleets: Iterable[Fleet]) -> Iterator[str]:
    """The target groups that hosts leave and enter: those that are named, or any where `attached` finds them."""
    for fleet in fleets:
        drain = settings_of(fleet).drain
        if drain is None:
            continue
        if drain.target_groups == "attached":
            yield from (f"{arn}/*" for arn in _each_region(fleet, _elb_arn, "targetgroup"))
        else:
            yield from drain.target_groups


def secret_arns(fleets: Iterable[Fleet]) -> Iterator[str]:
    """The secrets that configurations name; Secrets Manager adds six characters to each name."""
    for fleet in fleets:
        for reference in _secrets(fleet.config.values if fleet.config else None):
            name = reference.removeprefix("aws-sm:").partition("#")[0]
            yield from (f"{arn}-??????" for arn in _each_region(fleet, _secret_arn, name))


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$secret"), str):
            yield str(value["$secret"])
        for inner in value.values():
            yield from _secrets(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)


def _each_region(fleet: Fleet, arn: Any, name: str) -> list[str]:
    environment = fleet.environment
    return [arn(environment.account, region, name) for region in environment.regions]


def _elb_arn(account: str, region: str, name: str) -> str:
    return f"arn:{partition_of(region)}:elasticloadbalancing:{region}:{account}:{name}"


def _secret_arn(account: str, region: str, name: str) -> str:
    return f"arn:{partition_of(region)}:secretsmanager:{region}:{account}:secret:{name}"


def _reports(fleets: Iterable[Fleet]) -> list[str]:
    found = [_each_region(fleet, queue_arn, reports_queue_name(fleet.environment.name)) for fleet in fleets]
    return [arn for arns in found for arn in arns]


def _dead_reports(fleets: Iterable[Fleet]) -> list[str]:
    found = [_each_region(fleet, queue_arn, dead_reports_queue_name(fleet.environment.name)) for fleet in fleets]
    return [arn for arns in found for arn in arns]


def _orders(fleets: Iterable[Fleet]) -> list[str]:
    """An environment's orders: by name they would soon be more than a policy may hold."""
    return [_object(fleet, order_key(f"{fleet.environment.name}/*").removesuffix(".json")) for fleet in fleets]


def _topics(fleets: Iterable[Fleet]) -> list[str]:
    found = [_each_region(fleet, topic_arn, topic_name(f"{fleet.environment.name}/*")) for fleet in fleets]
    return [arn for arns in found for arn in arns]


def _object(fleet: Fleet, key: str = "") -> str:
    """An object of the environment's bucket, or the bucket itself."""
    bucket = fleet.environment.trigger.get("bucket", "")
    return f"arn:{_partition(fleet.environment)}:s3:::{bucket}{'/' if key else ''}{key}"


def _partition(environment: Environment) -> str:
    return partition_of(environment.regions[0])


def _statement(sid: str, actions: Collection[str], resources: Iterable[str]) -> Policy | None:
    """None where it is about nothing: IAM refuses an empty list."""
    found = sorted(set(resources))
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": found} if found else None


def _policy(*statements: Policy | None) -> Policy:
    return {"Version": "2012-10-17", "Statement": [each for each in statements if each]}
