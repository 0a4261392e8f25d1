"""The Terraform modules make what controller and agents look for, and allow the calls that they make."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from adapters.agent_protocol import addresses
from adapters.aws import buckets, host_queues
from fairlead_agent.clock import SPREAD
from fairlead_agent.waiting import BEAT

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "terraform"
TRIGGER, IAM = FOLDER / "trigger", FOLDER / "iam"
TEMPLATES = sorted([*FOLDER.rglob("*.tftpl")])
VALUES: dict[str, Any] = {
    "account": "123456789012",
    "partition": "aws",
    "environment": "prod",
    "bucket": "example-fairlead-prod",
    "artifacts": ["arn:aws:s3:::builds/*"],
    "orders": ["arn:aws:s3:::example-fairlead-prod/orders/prod/matchmaker.json"],
    "target_groups": ["arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/mm/1"],
    "secrets": ["arn:aws:secretsmanager:us-east-1:123456789012:secret:prod/mm-??????"],
    "groups": ["arn:aws:autoscaling:*:123456789012:autoScalingGroup:*:autoScalingGroupName/matchmaker-prod"],
    "queue_arn": "arn:aws:sqs:us-east-1:123456789012:fairlead-agent-i-0123456789abcdef0",
    "topics": ["arn:aws:sns:us-east-1:123456789012:fairlead-prod_matchmaker"],
}
SERVICES = {"elasticloadbalancing": "elbv2"}  # how IAM calls a service, and botocore
PERMISSIONS = {  # S3 names these otherwise than the calls that need them
    "s3:ListBucket": "ListObjectsV2",
    "s3:GetBucketPublicAccessBlock": "GetPublicAccessBlock",
    "s3:PutBucketPublicAccessBlock": "PutPublicAccessBlock",
    "s3:PutLifecycleConfiguration": "PutBucketLifecycleConfiguration",
}


def rendered(template: Path, **values: Any) -> Any:
    """The template as Terraform's `templatefile` renders it: `${x}`, `${jsonencode(x)}`, and `$${` for `${`."""
    given = VALUES | values

    def fill(found: re.Match[str]) -> str:
        encoded = re.fullmatch(r"jsonencode\((\w+)\)", found[1])
        return json.dumps(given[encoded[1]]) if encoded else str(given[found[1]])

    text = re.sub(r"(?<!\$)\$\{([^}]*)\}", fill, template.read_text())
    return json.loads(text.replace("$${", "${"))


def statements(template: Path) -> list[dict[str, Any]]:
    return list(rendered(template)["Statement"])


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def actions(template: Path) -> list[str]:
    return [action for statement in statements(template) for action in listed(statement["Action"])]


def local(name: str) -> str:
    """A template of names.tf, with `<...>` for what Terraform fills in."""
    text = (TRIGGER / "names.tf").read_text()
    found = re.search(rf'^\s*{name}\s*= (?:\{{.*=> )?"([^"]*)"', text, re.M)
    assert found, name
    return re.sub(r"\$\{(?:var\.)?(\w+)\}", r"<\1>", found[1])


def test_names_are_those_that_controller_and_agents_derive() -> None:
    assert addresses.topic_name("<environment>/<service>") == local("topic_names")
    assert addresses.agent_queue_name("<host>") == local("agent_queues")
    assert addresses.reports_queue_name("<environment>") == local("reports_queue")
    assert addresses.dead_reports_queue_name("<environment>") == local("dead_reports")
    assert addresses.order_key("<environment>/x").startswith(local("order_prefix"))


def arns(template: Path, service: str) -> list[str]:
    found = [arn for statement in statements(template) for arn in listed(statement["Resource"])]
    return [arn for arn in found if arn.startswith(f"arn:aws:{service}:")]


def covers(arn: str, names: Iterator[str] | list[str]) -> bool:
    """The pattern of the policy takes each name."""
    pattern = ".*".join(re.escape(part) for part in arn.split("*"))
    return all(re.fullmatch(pattern, name) for name in names)


def test_policies_speak_of_the_same_names() -> None:
    account, region = "123456789012", "us-east-1"
    topic = f"arn:aws:sns:{region}:{account}:{addresses.topic_name('prod/matchmaker')}"
    reports = f"arn:aws:sqs:{region}:{account}:{addresses.reports_queue_name('prod')}"
    own = f"arn:aws:sqs:{region}:{account}:{addresses.agent_queue_name('i-0123456789abcdef0')}"
    order = f"arn:aws:s3:::example-fairlead-prod/{addresses.order_key('prod/matchmaker')}"
    policies = IAM / "policies"

    assert covers(arns(policies / "controller.json.tftpl", "sns")[0], [topic])
    assert covers(arns(policies / "controller.json.tftpl", "sqs")[0], [reports])
    assert covers(arns(policies / "controller.json.tftpl", "s3")[0], [order])
    assert not covers(arns(policies / "controller.json.tftpl", "sqs")[0], [own])
    assert covers(arns(policies / "host.json.tftpl", "sqs")[0], [reports])
    assert covers(arns(policies / "host-queue-by-name.json.tftpl", "sqs")[0], [own])
    assert not covers(arns(policies / "host-queue-by-name.json.tftpl", "sqs")[0], [reports])
    assert '/orders/${var.environment}/${service}.json"' in (IAM / "main.tf").read_text()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_policy_is_a_policy(template: Path) -> None:
    policy = rendered(template)

    assert {"Version", "Statement"} == set(policy)
    assert policy["Version"] == "2012-10-17"
    for statement in policy["Statement"]:
        assert {"Sid", "Effect", "Action", "Resource"} <= set(statement)
        assert statement["Effect"] == "Allow"
        assert re.fullmatch(r"[A-Za-z0-9]+", statement["Sid"])


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_action_exists(template: Path) -> None:
    session = botocore.session.get_session()

    for action in actions(template):
        service, name = action.split(":")
        model = session.get_service_model(SERVICES.get(service, service))
        assert PERMISSIONS.get(action, name) in model.operation_names, action


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_only_looking_is_allowed_on_everything(template: Path) -> None:
    unnamed = {
        "sns:ListSubscriptionsByTopic",
        "sns:ListTopics",
        "sns:Unsubscribe",
        "sqs:ListQueues",
    }  # IAM takes no name for these
    for statement in statements(template):
        if statement["Resource"] == "*":
            looking = [action for action in listed(statement["Action"]) if ":Describe" in action]
            assert set(listed(statement["Action"])) - set(looking) <= unnamed


def test_what_a_host_must_never_be_allowed() -> None:
    allowed = {action for template in TEMPLATES if template.name.startswith("host") for action in actions(template)}

    assert not any(action.startswith("sns:") for action in allowed)
    assert {"s3:PutObject", "sqs:CreateQueue", "sqs:SetQueueAttributes"}.isdisjoint(allowed)
    senders = [
        statement
        for template in TEMPLATES
        if template.name.startswith("host")
        for statement in statements(template)
        if "sqs:SendMessage" in listed(statement["Action"])
    ]
    assert [addresses.reports_queue_name("prod")] == [one["Resource"].rpartition(":")[2] for one in senders]


def test_a_queue_takes_hints_from_the_topics_of_its_fleets_only() -> None:
    (statement,) = statements(TRIGGER / "agent-queue.json.tftpl")

    assert statement["Principal"] == {"Service": "sns.amazonaws.com"}
    assert listed(statement["Action"]) == ["sqs:SendMessage"]
    assert statement["Resource"] == VALUES["queue_arn"]
    assert statement["Condition"]["ArnEquals"] == {"aws:SourceArn": VALUES["topics"]}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def test_a_host_answers_the_hooks_of_its_own_groups_and_describes_none() -> None:
    (statement,) = statements(IAM / "policies" / "host-hooks.json.tftpl")
    named = re.search(r'groups\s+= \[for name in var.groups : "([^"]*)"', (IAM / "main.tf").read_text())
    group = "arn:aws:autoscaling:eu-west-1:123456789012:autoScalingGroup:6e2f:autoScalingGroupName/matchmaker-prod"

    assert {"autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"} == set(
        statement["Action"]
    )
    assert named is not None
    written = named[1].replace("${var.partition}", "aws").replace("${var.account}", "123456789012")
    assert [written.replace("${name}", "matchmaker-prod")] == VALUES["groups"] == statement["Resource"]
    assert covers(statement["Resource"][0], [group])
    assert not covers(statement["Resource"][0], [f"{group}-2"])


def test_the_hooks_wait_longer_than_an_agent_is_quiet_and_let_nobody_unready_serve() -> None:
    text = (FOLDER / "hooks" / "main.tf").read_text()
    least = [int(found) for found in re.findall(r"_timeout >= (\d+)", (FOLDER / "hooks" / "variables.tf").read_text())]
    hooks = dict(zip(re.findall(r'_hook" "(\w+)"', text), re.findall(r'default_result += "(\w+)"', text), strict=True))

    assert {"launch": "ABANDON", "terminating": "CONTINUE"} == hooks
    assert ["EC2_INSTANCE_LAUNCHING", "EC2_INSTANCE_TERMINATING"] == re.findall(r'"autoscaling:(\w+)"', text)
    assert 2 == len(least)
    assert min(least) >= 2 * BEAT * (1 + SPREAD)


def test_setup_makes_the_same_queues() -> None:
    queue, account, topics = VALUES["queue_arn"], VALUES["account"], VALUES["topics"]
    text = (TRIGGER / "main.tf").read_text()
    agent, reports, dead = (
        text[text.index(f'"aws_sqs_queue" "{name}"') :].partition("\n}")[0] for name in ("agent", "reports", "dead")
    )

    assert rendered(TRIGGER / "agent-queue.json.tftpl") == host_queues.queue_policy(queue, account, topics)
    for made, attributes in ((agent, host_queues.FOR_AGENTS), (reports, host_queues.FOR_REPORTS)):
        assert f"message_retention_seconds = {attributes['MessageRetentionPeriod']}" in made
        assert f"receive_wait_time_seconds = {attributes['ReceiveMessageWaitTimeSeconds']}" in made
    assert f"message_retention_seconds = {host_queues.FOR_THE_DEAD['MessageRetentionPeriod']}" in dead
    assert f"maxReceiveCount     = {host_queues.READ_AT_MOST}" in reports
    assert f"noncurrent_days = {buckets.KEPT_DAYS}" in text
    assert host_queues.OURS not in re.findall(r'"fairlead:managed" += "(\w+)"', (TRIGGER / "names.tf").read_text())
    tags = set(re.findall(r'"(fairlead:\w+)"', text + (TRIGGER / "names.tf").read_text()))
    assert tags == {host_queues.MANAGED, host_queues.ENVIRONMENT, host_queues.FLEET, host_queues.HOST}


def test_the_bucket_is_private_and_keeps_what_it_held() -> None:
    text = (TRIGGER / "main.tf").read_text()
    block = text[text.index('"aws_s3_bucket_public_access_block"') :].partition("\n}")[0]

    assert 4 == len(re.findall(r"^  (?:block|ignore|restrict)_public_\w+\s+= true$", block, re.M))
    assert re.search(r'status = "Enabled"', text[text.index('"aws_s3_bucket_versioning"') :])


def test_subscriptions_are_raw_and_unfiltered() -> None:
    text = (TRIGGER / "main.tf").read_text()

    assert "raw_message_delivery = true" in text
    assert "filter_policy" not in text
    assert text.count('resource "aws_sns_topic_subscription"') == 1


def test_every_value_of_a_template_is_given_to_it() -> None:
    given = {"trigger": (TRIGGER / "main.tf").read_text(), "iam": (IAM / "main.tf").read_text()}
    for template in TEMPLATES:
        names = re.findall(r"(?<!\$)\$\{(?:jsonencode\()?(\w+)\)?\}", template.read_text())
        text = given[template.relative_to(FOLDER).parts[0]]
        assert [] == [name for name in names if not re.search(rf"^\s+{name}\s+= ", text, re.M)], template.name


# ── what the code calls ──────────────────────────────────────────────────────────────────────────────────────────

SAME = {  # calls that IAM knows under another action (Service Authorization Reference)
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
LOOKED_AT = ["autoscaling", "ec2", "elasticloadbalancing", "s3", "secretsmanager", "sns", "sqs"]


def operations() -> dict[str, set[str]]:
    """Every action of these services by the name of boto's method for it."""
    session = botocore.session.get_session()
    found: dict[str, set[str]] = {}
    for service in LOOKED_AT:
        for operation in session.get_service_model(SERVICES.get(service, service)).operation_names:
            found.setdefault(xform_name(operation), set()).add(f"{service}:{operation}")
    return found


def calls(*folders: str) -> dict[str, set[str]]:
    """What sources call, as actions: `client.put_object(`, `_pages(client.list_queues` and `get_paginator("...")`."""
    known, found = operations(), {}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        names = re.findall(r"\.([a-z]+_\w+|publish|subscribe|unsubscribe)\(", text := path.read_text())
        paged = re.findall(r"get_paginator\(\"(\w+)\"\)|_pages\([\w.]+\.(\w+)", text)
        for name in {*names, *(each for pair in paged for each in pair)} & set(known):
            found[f"{path.relative_to(ROOT)}: {name}"] = {SAME.get(action, action) for action in known[name]}
    return found


def forbidden(called: dict[str, set[str]], templates: list[Path]) -> list[str]:
    allowed = {action for template in templates for action in actions(template)}
    return sorted(where for where, names in called.items() if not names & allowed)


def test_the_controller_and_setup_may_make_every_call_that_they_make() -> None:
    called = calls("adapters/aws", "adapters/trigger", "adapters/deployers", "adapters/feeds", "cmd/fairlead")
    policies = IAM / "policies"

    assert any(where.endswith("put_object") for where in called)
    only_import = {where: called.pop(where) for where in [*called] if where.endswith("change_message_visibility_batch")}
    made_of = {path.stem.partition(".")[0]: path for path in policies.iterdir()}
    stored = {where: called.pop(where) for where in [*called] if where.endswith("get_secret_value")}
    assert ["adapters/aws/stored_secrets.py: get_secret_value"] == [*stored], (
        "its own: nobody's policy but the person's"
    )
    assert [] == forbidden(called, [made_of["controller"], made_of["controller-queues"], made_of["setup"]])
    by_setup = ("buckets.py", "plumbing.py")
    own = {where: names for where, names in called.items() if not where.partition(":")[0].endswith(by_setup)}
    of_setup = ["delete_topic", "list_tags_for_resource", "list_topics"]
    lacking = forbidden(own, [made_of["controller"], made_of["controller-queues"]])
    assert of_setup == sorted({where.rpartition(" ")[2] for where in lacking})
    assert len(only_import) == 1
    assert [] == forbidden(only_import, [policies / "import.json.tftpl"])


def test_a_host_may_make_every_call_that_the_agent_makes() -> None:
    called = calls("cmd/fairlead_agent")

    assert any(where.endswith("get_object") for where in called)
    assert [] == forbidden(called, [path for path in TEMPLATES if path.name.startswith("host")])


@pytest.mark.parametrize(
    ("folders", "granted"),
    [
        (["cmd/fairlead_agent"], "host"),
        (["adapters/aws", "adapters/trigger", "adapters/deployers", "adapters/feeds"], "controller"),
    ],
    ids=["host", "controller"],
)
def test_nothing_is_allowed_that_is_not_called(folders: list[str], granted: str) -> None:
    """Least privilege is also this: an action that no line of code needs is not granted."""
    needed = set().union(*calls(*folders).values())
    needed |= {"s3:ListBucket"}  # tells a missing object from a forbidden one
    needed |= {"sns:TagResource", "sqs:TagQueue"}  # who makes something with tags needs both
    templates = [each for each in TEMPLATES if each.name.startswith(granted)]

    assert templates
    assert set() == {action for template in templates for action in actions(template)} - needed


@pytest.mark.skipif(
    shutil.which("terraform") is None, reason="there is no terraform here: nothing but text was checked"
)
def test_terraform_reads_every_file_and_finds_it_well_formed() -> None:
    """`fmt` parses; `validate` would need the AWS provider, which comes from a registry and is not fetched."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "CHECKPOINT_DISABLE": "1"}
    command = ["terraform", f"-chdir={FOLDER}", "fmt", "-check", "-recursive", "-no-color"]

    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (0, "") == (ended.returncode, ended.stdout), ended.stderr
