"""What the credentials of one host allow: the policies of deploy/terraform evaluated, beside the page that tells it."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from adapters.agent_protocol.addresses import (
    agent_queue_name,
    dead_reports_queue_name,
    order_key,
    reports_queue_name,
    topic_name,
)
from tests.unit.test_terraform import IAM, rendered

PAGE = (Path(__file__).parents[2] / "docs" / "trigger-deploys.md").read_text()
ACCOUNT, REGION, HOST, OTHER = "123456789012", "us-east-1", "i-0123456789abcdef0", "i-0123456789abcdef1"
USER = f"AROAEXAMPLE:{HOST}"  # as `aws:userid` is on an instance
QUEUES = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:{topic_name('prod/matchmaker')}"
BUCKET = "arn:aws:s3:::example-fairlead-prod"
GROUP = f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:6e2f:autoScalingGroupName/matchmaker-prod"
TEMPLATES = sorted((IAM / "policies").glob("host*.json.tftpl"))  # all that a host's role may be given
LOOKS = {  # what tells that something is there, and nothing that a row would not give away too
    "sqs:GetQueueUrl",
    "s3:ListBucket",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
}


def allowed(action: str, resource: str, own_queue: str = "name", tags: dict[str, str] | None = None) -> bool:
    """IAM's answer to a host: some statement allows it, none of ours denies."""
    other = "host-queue-by-tag" if own_queue == "name" else "host-queue-by-name"
    parts = [path for path in TEMPLATES if path.name.partition(".")[0] != other]
    return any(allows(one, action, resource, tags or {}) for one in statements(parts))


def statements(templates: list[Path]) -> list[dict[str, Any]]:
    return [one for path in templates for one in rendered(path)["Statement"]]


def actions(statement: dict[str, Any]) -> set[str]:
    named = statement["Action"]
    return {named} if isinstance(named, str) else set(named)


def allows(statement: dict[str, Any], action: str, resource: str, tags: dict[str, str]) -> bool:
    return (
        statement["Effect"] == "Allow"
        and takes(statement["Action"], action)
        and takes(statement["Resource"], resource)
        and all(meets(*each, tags) for each in statement.get("Condition", {}).items())
    )


def takes(patterns: str | list[str], name: str) -> bool:
    return any(fnmatchcase(name, one) for one in ([patterns] if isinstance(patterns, str) else patterns))


def meets(operator: str, asked: dict[str, str], tags: dict[str, str]) -> bool:
    assert ("StringLike", ["aws:userid"]) == (operator, list(asked)), "this evaluator knows no other condition"
    name = re.fullmatch(r"\*:\$\{aws:ResourceTag/([\w:]+)\}", asked["aws:userid"])
    assert name is not None
    return name[1] in tags and fnmatchcase(USER, f"*:{tags[name[1]]}")


ROWS: dict[str, tuple[bool, list[tuple[str, str]]]] = {
    "send reports": (True, [("sqs:SendMessage", QUEUES + reports_queue_name("prod"))]),
    "read the orders of the fleets that its role names": (
        True,
        [("s3:GetObject", f"{BUCKET}/{order_key('prod/matchmaker')}")],
    ),
    "read artifacts, and the secrets that its role names": (
        True,
        [
            ("s3:GetObject", "arn:aws:s3:::builds/matchmaker/2.3.1.jar"),
            ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/mm-a1b2c3"),
        ],
    ),
    "read and delete hints": (
        True,
        [(f"sqs:{call}", QUEUES + agent_queue_name(HOST)) for call in ("ReceiveMessage", "DeleteMessage")],
    ),
    "take itself or others out of the target groups that its role names": (
        True,
        [
            (
                f"elasticloadbalancing:{call}",
                f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/mm/1",
            )
            for call in ("DeregisterTargets", "RegisterTargets")
        ],
    ),
    "answer the lifecycle hooks of any instance of the Auto Scaling groups that its role names": (
        True,
        [(f"autoscaling:{call}", GROUP) for call in ("CompleteLifecycleAction", "RecordLifecycleActionHeartbeat")],
    ),
    "change an Auto Scaling group, or end an instance": (
        False,
        [
            ("autoscaling:UpdateAutoScalingGroup", GROUP),
            ("autoscaling:TerminateInstanceInAutoScalingGroup", GROUP),
            ("ec2:TerminateInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{OTHER}"),
        ],
    ),
    "write or delete an order": (
        False,
        [(f"s3:{call}", f"{BUCKET}/{order_key('prod/matchmaker')}") for call in ("PutObject", "DeleteObject")],
    ),
    "read the orders of other fleets": (False, [("s3:GetObject", f"{BUCKET}/{order_key('prod/lobby')}")]),
    "write artifacts": (False, [("s3:PutObject", "arn:aws:s3:::builds/matchmaker/2.3.1.jar")]),
    "publish a hint": (False, [("sns:Publish", TOPIC)]),
    "subscribe to a topic, or unsubscribe another": (False, [("sns:Subscribe", TOPIC), ("sns:Unsubscribe", "*")]),
    "make, change or delete a queue": (
        False,
        [
            (f"sqs:{call}", QUEUES + name)
            for call in ("CreateQueue", "SetQueueAttributes", "DeleteQueue", "PurgeQueue")
            for name in (agent_queue_name(HOST), agent_queue_name(OTHER), reports_queue_name("prod"))
        ],
    ),
    "read or delete reports": (
        False,
        [
            (f"sqs:{call}", QUEUES + name)
            for call in ("ReceiveMessage", "DeleteMessage")
            for name in (reports_queue_name("prod"), dead_reports_queue_name("prod"))
        ],
    ),
    "send anything into another host's queue": (False, [("sqs:SendMessage", QUEUES + agent_queue_name(OTHER))]),
    "report into another environment": (False, [("sqs:SendMessage", QUEUES + reports_queue_name("staging"))]),
}


@pytest.mark.parametrize("what", ROWS)
@pytest.mark.parametrize("own_queue", ["name", "tag"])
def test_it_may_what_the_page_says_and_nothing_else(what: str, own_queue: str) -> None:
    is_allowed, asked = ROWS[what]

    for action, resource in asked:
        assert is_allowed == allowed(action, resource, own_queue, {"fairlead:host": HOST}), (action, resource)


def test_by_tag_it_hears_its_own_hints_only() -> None:
    other = QUEUES + agent_queue_name(OTHER)

    assert allowed("sqs:ReceiveMessage", other, "name")
    assert not allowed("sqs:ReceiveMessage", other, "tag", {"fairlead:host": OTHER})
    assert not allowed("sqs:ReceiveMessage", other, "tag")


def test_whatever_a_template_of_a_host_allows_is_in_a_row() -> None:
    named = {action for is_allowed, asked in ROWS.values() if is_allowed for action, _ in asked}
    given = {action for one in statements(TEMPLATES) for action in actions(one)}

    assert {"autoscaling:CompleteLifecycleAction"} <= given
    assert set() == given - named - LOOKS
    assert LOOKS <= given


def test_the_page_has_these_rows() -> None:
    table = PAGE.partition("| with the credentials of a host one may | by the policies |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([^|]+?) \| (yes|no)\b[^|]*\|", table, re.M)

    assert {what: "yes" if is_allowed else "no" for what, (is_allowed, _) in ROWS.items()} == dict(rows)
