"""The sandbox's AWS answers as the real one in all that trigger deploys rely on, asked with real boto3 clients."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import BotoCoreError, ClientError

from adapters.clock import SystemClock
from fairlead_sandbox import images
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.imds import MetadataService
from fairlead_sandbox.surroundings import inherited

REGION = "us-east-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:fairlead-prod_matchmaker"
ATTRIBUTES = ["SenderId", "SentTimestamp"]


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def queue(aws: Aws) -> str:
    url: str = aws.client("sqs").create_queue(QueueName="fairlead-agent-i-1")["QueueUrl"]
    return url


def code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    answer: Any = error.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def receive(aws: Aws, url: str, wait: int = 0, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        aws.client("sqs")
        .receive_message(
            QueueUrl=url, WaitTimeSeconds=wait, MaxNumberOfMessages=10, MessageSystemAttributeNames=ATTRIBUTES, **more
        )
        .get("Messages", [])
    )
    return found


def session(aws: Aws, name: str, service: str) -> Any:
    """A client with the credentials of a role session."""
    role = f"arn:aws:iam::{ACCOUNT}:role/fairlead-host"
    made = aws.client("sts").assume_role(RoleArn=role, RoleSessionName=name)["Credentials"]
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
        aws_session_token=made["SessionToken"],
    )


# -- SQS -------------------------------------------------------------------------------------------------------------


def test_who_waits_for_messages_keeps_nobody_else_waiting(aws: Aws, queue: str) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(receive, aws, queue, 20)
        began = time.monotonic()
        while not aws.calls["sqs:ReceiveMessage"]:
            assert time.monotonic() < began + 10
        aws.client("s3").list_buckets()
        aws.client("ec2").describe_instances()
        assert not waiting.done()

        aws.client("sqs").send_message(QueueUrl=queue, MessageBody="hint")

        assert ["hint"] == [each["Body"] for each in waiting.result(10)]
        assert time.monotonic() - began < 15


def test_who_waits_in_vain_is_told_so_at_the_end_of_the_time(aws: Aws, queue: str) -> None:
    began = time.monotonic()

    assert [] == receive(aws, queue, 1)
    assert 1 <= time.monotonic() - began < 10


def test_a_queues_own_waiting_time_holds_where_none_is_asked_for(aws: Aws) -> None:
    url = aws.client("sqs").create_queue(QueueName="q", Attributes={"ReceiveMessageWaitTimeSeconds": "1"})["QueueUrl"]
    began = time.monotonic()

    assert "Messages" not in aws.client("sqs").receive_message(QueueUrl=url)
    assert time.monotonic() - began >= 1


def test_a_message_that_becomes_visible_again_wakes_who_waits(aws: Aws, queue: str) -> None:
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="hint")
    assert receive(aws, queue, VisibilityTimeout=1)

    assert ["hint"] == [each["Body"] for each in receive(aws, queue, 10)]


def test_a_killed_process_that_waited_takes_no_message_along(aws: Aws, queue: str) -> None:
    asking = "import sys, boto3; boto3.client('sqs').receive_message(QueueUrl=sys.argv[1], WaitTimeSeconds=20)"
    environment = {**inherited(), **aws.environment()}
    process = subprocess.Popen([sys.executable, "-c", asking, queue], env=environment)
    until = time.monotonic() + 20
    while not aws.calls["sqs:ReceiveMessage"]:
        assert time.monotonic() < until
    process.kill()
    process.wait()

    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="hint")

    assert ["hint"] == [each["Body"] for each in receive(aws, queue, 5)]


def test_a_queue_that_is_deleted_while_somebody_waits_is_gone_for_them(aws: Aws, queue: str) -> None:
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(receive, aws, queue, 20)
        while not aws.calls["sqs:ReceiveMessage"]:
            assert not waiting.done()
        aws.client("sqs").delete_queue(QueueUrl=queue)

        with pytest.raises(ClientError, match="NonExistentQueue"):
            waiting.result(10)


def test_an_aws_that_stops_lets_who_waits_go() -> None:
    with ThreadPoolExecutor() as pool:
        with Aws() as aws:
            url = aws.client("sqs").create_queue(QueueName="q")["QueueUrl"]
            client = boto3.client("sqs", region_name=REGION, endpoint_url=aws.endpoint_url, **_KEYS)
            waiting = pool.submit(client.receive_message, QueueUrl=url, WaitTimeSeconds=20)
            while not aws.calls["sqs:ReceiveMessage"]:
                assert not waiting.done()
        assert "Messages" not in waiting.result(10)
        client.close()


_KEYS = {"aws_access_key_id": "AKIASANDBOXSANDBOX00", "aws_secret_access_key": "sandbox"}


def test_the_sender_of_a_message_is_the_role_session(aws: Aws, queue: str) -> None:
    for name in ("i-1", "i-2", "i-1"):
        session(aws, name, "sqs").send_message(QueueUrl=queue, MessageBody=name)

    found = {(each["Body"], each["Attributes"]["SenderId"].partition(":")[2]) for each in receive(aws, queue)}
    roles = {each["Attributes"]["SenderId"].partition(":")[0] for each in receive(aws, queue, VisibilityTimeout=0)}
    assert {("i-1", "i-1"), ("i-2", "i-2")} == found
    assert all(role.startswith("AROA") for role in roles)
    assert len(roles) <= 1


def test_the_sender_is_who_sts_says_it_is(aws: Aws, queue: str) -> None:
    session(aws, "i-1", "sqs").send_message(QueueUrl=queue, MessageBody="report")

    assert (
        receive(aws, queue)[0]["Attributes"]["SenderId"] == session(aws, "i-1", "sts").get_caller_identity()["UserId"]
    )


def test_a_message_that_came_without_a_role_or_through_sns_has_no_session(aws: Aws, queue: str) -> None:
    subscribed(aws, queue)
    session(aws, "i-1", "sns").publish(TopicArn=TOPIC, Message="hint")
    aws.client("sqs").send_message(QueueUrl=queue, MessageBody="by hand")

    assert [False, False] == [":" in each["Attributes"]["SenderId"] for each in receive(aws, queue)]


def test_sqs_refuses_characters_that_no_xml_holds(aws: Aws, queue: str) -> None:
    with pytest.raises(ClientError) as error:
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody="\x01")

    assert code(error)[0] == "InvalidMessageContents"


def test_a_queue_is_created_once_and_keeps_attributes_policy_and_tags(aws: Aws) -> None:
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    client, policy = aws.client("sqs"), json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    attributes = {"MessageRetentionPeriod": "3600", "Policy": policy}
    made = [client.create_queue(QueueName="q", Attributes=attributes, tags={"a": "b"})["QueueUrl"] for _ in range(2)]

    client.set_queue_attributes(QueueUrl=made[0], Attributes={"VisibilityTimeout": "60"})

    told = client.get_queue_attributes(QueueUrl=made[0], AttributeNames=["All"])["Attributes"]
    assert made[0] == made[1] == client.get_queue_url(QueueName="q")["QueueUrl"]
    assert ("3600", json.loads(policy)) == (told["MessageRetentionPeriod"], json.loads(told["Policy"]))
    assert f"arn:aws:sqs:{REGION}:{ACCOUNT}:q" == told["QueueArn"]
    assert {"a": "b"} == client.list_queue_tags(QueueUrl=made[0])["Tags"]


def test_a_queue_that_is_not_there_says_so(aws: Aws) -> None:
    with pytest.raises(ClientError) as error:
        aws.client("sqs").get_queue_url(QueueName="nobodys")

    assert code(error)[0] in {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}


# -- SNS -------------------------------------------------------------------------------------------------------------


def subscribed(aws: Aws, url: str, *, raw: bool = True, allowed: str = TOPIC) -> str:
    """Subscribe the queue to the topic; its policy lets `allowed` in."""
    aws.client("sns").create_topic(Name=TOPIC.rpartition(":")[2])
    arn = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": allowed}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    aws.client("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    attributes = {"RawMessageDelivery": "true"} if raw else {}
    made: str = aws.client("sns").subscribe(
        TopicArn=TOPIC, Protocol="sqs", Endpoint=arn, Attributes=attributes, ReturnSubscriptionArn=True
    )["SubscriptionArn"]
    return made


def test_raw_delivery_gives_the_message_as_it_was_published(aws: Aws, queue: str) -> None:
    subscribed(aws, queue)

    aws.client("sns").publish(TopicArn=TOPIC, Message='{"sequence": 7}')

    assert ['{"sequence": 7}'] == [each["Body"] for each in receive(aws, queue)]


def test_other_delivery_wraps_the_message(aws: Aws, queue: str) -> None:
    subscribed(aws, queue, raw=False)

    aws.client("sns").publish(TopicArn=TOPIC, Message="hint")

    envelope = json.loads(receive(aws, queue)[0]["Body"])
    assert ("Notification", TOPIC, "hint") == (envelope["Type"], envelope["TopicArn"], envelope["Message"])


def test_a_message_from_sns_wakes_who_waits(aws: Aws, queue: str) -> None:
    subscribed(aws, queue)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(receive, aws, queue, 20)
        while not aws.calls["sqs:ReceiveMessage"]:
            assert not waiting.done()
        aws.client("sns").publish(TopicArn=TOPIC, Message="hint")

        assert ["hint"] == [each["Body"] for each in waiting.result(10)]


def test_a_queue_whose_policy_does_not_name_the_topic_gets_nothing(aws: Aws, queue: str) -> None:
    subscribed(aws, queue, allowed=f"{TOPIC}-other")

    aws.client("sns").publish(TopicArn=TOPIC, Message="hint")

    assert [] == receive(aws, queue)


def test_publishing_to_a_queue_that_is_gone_harms_nobody(aws: Aws, queue: str) -> None:
    subscribed(aws, queue)
    aws.client("sqs").delete_queue(QueueUrl=queue)

    assert aws.client("sns").publish(TopicArn=TOPIC, Message="hint")["MessageId"]


def test_subscribing_again_gives_the_same_subscription(aws: Aws, queue: str) -> None:
    assert subscribed(aws, queue) == subscribed(aws, queue)

    listed = aws.client("sns").list_subscriptions_by_topic(TopicArn=TOPIC)["Subscriptions"]
    assert 1 == len(listed)


def test_a_topic_that_is_not_there_says_so(aws: Aws) -> None:
    with pytest.raises(ClientError) as error:
        aws.client("sns").publish(TopicArn=TOPIC, Message="hint")

    assert ("NotFound", 404) == code(error)


# -- S3 --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(aws: Aws) -> str:
    aws.client("s3").create_bucket(Bucket="example-orders")
    return "example-orders"


def put(aws: Aws, bucket: str, body: bytes, **condition: str) -> str:
    etag: str = aws.client("s3").put_object(Bucket=bucket, Key="orders/prod/mm.json", Body=body, **condition)["ETag"]
    return etag


def test_a_put_that_expects_nothing_there_fails_where_something_is(aws: Aws, bucket: str) -> None:
    put(aws, bucket, b"one", IfNoneMatch="*")

    with pytest.raises(ClientError) as error:
        put(aws, bucket, b"two", IfNoneMatch="*")

    assert ("PreconditionFailed", 412) == code(error)


def test_a_put_on_top_of_what_was_read_fails_where_another_came_first(aws: Aws, bucket: str) -> None:
    read = put(aws, bucket, b"one")
    put(aws, bucket, b"two", IfMatch=read)

    with pytest.raises(ClientError) as error:
        put(aws, bucket, b"three", IfMatch=read)

    body = aws.client("s3").get_object(Bucket=bucket, Key="orders/prod/mm.json")["Body"].read()
    assert (("PreconditionFailed", 412), b"two") == (code(error), body)


def test_a_put_on_top_of_what_is_gone_fails(aws: Aws, bucket: str) -> None:
    with pytest.raises(ClientError) as error:
        put(aws, bucket, b"one", IfMatch='"0123456789abcdef0123456789abcdef"')

    assert ("NoSuchKey", 404) == code(error)


def test_only_one_of_many_who_write_at_once_wins(aws: Aws, bucket: str) -> None:
    def race(number: int) -> str:
        try:
            return put(aws, bucket, b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(race, range(8)))

    assert 7 == ended.count("PreconditionFailed")


def test_a_read_of_what_is_known_already_is_not_modified(aws: Aws, bucket: str) -> None:
    etag = put(aws, bucket, b"one")

    with pytest.raises(ClientError) as error:
        aws.client("s3").get_object(Bucket=bucket, Key="orders/prod/mm.json", IfNoneMatch=etag)
    assert ("304", 304) == code(error)

    put(aws, bucket, b"two")
    answer = aws.client("s3").get_object(Bucket=bucket, Key="orders/prod/mm.json", IfNoneMatch=etag)
    assert answer["Body"].read() == b"two"


def test_it_is_known_who_read_which_object(aws: Aws, bucket: str) -> None:
    put(aws, bucket, b"one")
    for name in ("i-1", "i-2", "i-1"):
        session(aws, name, "s3").get_object(Bucket=bucket, Key="orders/prod/mm.json")
    aws.client("s3").get_object(Bucket=bucket, Key="orders/prod/mm.json")
    aws.client("s3").list_objects_v2(Bucket=bucket)

    assert {f"s3://{bucket}/orders/prod/mm.json"} == {address for _, address in aws.fetched}
    readers = Counter(aws.session_of(key) for key, _ in aws.fetched.elements())
    assert {"i-1": 2, "i-2": 1, "": 1} == readers


def test_the_checksum_of_an_upload_is_told_without_reading_it(aws: Aws, bucket: str) -> None:
    client = aws.client("s3")
    client.put_object(Bucket=bucket, Key="mm.jar", Body=b"jar", ChecksumAlgorithm="SHA256")
    client.put_object(Bucket=bucket, Key="plain.jar", Body=b"jar")

    told = client.head_object(Bucket=bucket, Key="mm.jar", ChecksumMode="ENABLED")
    assert base64.b64encode(hashlib.sha256(b"jar").digest()).decode() == told["ChecksumSHA256"]
    assert "ChecksumSHA256" not in client.head_object(Bucket=bucket, Key="plain.jar", ChecksumMode="ENABLED")


def test_what_is_not_there_says_so(aws: Aws, bucket: str) -> None:
    with pytest.raises(ClientError) as read:
        aws.client("s3").get_object(Bucket=bucket, Key="nothing")
    with pytest.raises(ClientError) as head:
        aws.client("s3").head_object(Bucket=bucket, Key="nothing")
    with pytest.raises(ClientError) as nowhere:
        aws.client("s3").get_object(Bucket="example-nowhere", Key="nothing")

    assert [("NoSuchKey", 404), ("404", 404), ("NoSuchBucket", 404)] == [code(read), code(head), code(nowhere)]


def test_two_sandboxes_may_have_buckets_of_one_name(aws: Aws, bucket: str) -> None:
    put(aws, bucket, b"one")

    with Aws() as other:
        other.client("s3").create_bucket(Bucket=bucket)
        assert "Contents" not in other.client("s3").list_objects_v2(Bucket=bucket)
        other.client("s3").delete_bucket(Bucket=bucket)

    assert 1 == aws.client("s3").list_objects_v2(Bucket=bucket)["KeyCount"]


# -- EC2 and target groups -------------------------------------------------------------------------------------------


def launch(aws: Aws, count: int, **tags: str) -> list[str]:
    image = images.register(aws, REGION, "agent", "1", SystemClock().now()).id
    said = [{"Key": key, "Value": value} for key, value in tags.items()]
    made = aws.client("ec2").run_instances(
        ImageId=image,
        InstanceType="t3.micro",
        MinCount=count,
        MaxCount=count,
        TagSpecifications=[{"ResourceType": "instance", "Tags": said}],
    )
    return sorted(each["InstanceId"] for each in made["Instances"])


def found(aws: Aws, **tags: str) -> list[str]:
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    filters.append({"Name": "instance-state-name", "Values": ["pending", "running"]})
    pages = aws.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    return sorted(each["InstanceId"] for page in pages for each in _instances(page))


def _instances(page: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for reservation in page["Reservations"]:
        yield from reservation["Instances"]


def test_instances_are_found_by_all_of_their_tags(aws: Aws) -> None:
    ours = launch(aws, 3, service="matchmaker", environment="prod")
    launch(aws, 1, service="matchmaker", environment="staging")
    launch(aws, 1, service="lobby", environment="prod")

    aws.client("ec2").terminate_instances(InstanceIds=ours[:1])

    assert ours[1:] == found(aws, service="matchmaker", environment="prod")


def target_group(aws: Aws) -> str:
    vpc = aws.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    made = aws.client("elbv2").create_target_group(
        Name="matchmaker", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="instance"
    )
    arn: str = made["TargetGroups"][0]["TargetGroupArn"]
    return arn


def health(aws: Aws, group: str, *targets: str) -> dict[str, str]:
    asked = {"Targets": [{"Id": each} for each in targets]} if targets else {}
    told = aws.client("elbv2").describe_target_health(TargetGroupArn=group, **asked)["TargetHealthDescriptions"]
    return {each["Target"]["Id"]: each["TargetHealth"]["State"] for each in told}


def becomes(aws: Aws, group: str, target: str, state: str) -> bool:
    until = time.monotonic() + 10
    while health(aws, group, target) != {target: state}:
        if time.monotonic() > until:
            return False
    return True


def test_a_target_is_initial_then_healthy_then_draining_then_unused(aws: Aws) -> None:
    aws.state.registering_seconds = aws.state.draining_seconds = 0.5
    group, (one, two) = target_group(aws), launch(aws, 2, service="mm")
    client, targets = aws.client("elbv2"), [{"Id": one}, {"Id": two}]

    client.register_targets(TargetGroupArn=group, Targets=targets)
    assert {one: "initial", two: "initial"} == health(aws, group)
    assert becomes(aws, group, one, "healthy")

    client.deregister_targets(TargetGroupArn=group, Targets=targets[:1])
    assert {one: "draining"} == health(aws, group, one)
    assert "draining" == health(aws, group)[one]
    assert becomes(aws, group, one, "unused")
    assert {two: "healthy"} == health(aws, group)

    client.register_targets(TargetGroupArn=group, Targets=targets[:1])
    assert becomes(aws, group, one, "healthy")


def test_registering_a_healthy_target_again_changes_nothing(aws: Aws) -> None:
    group, (one,) = target_group(aws), launch(aws, 1, service="mm")
    aws.client("elbv2").register_targets(TargetGroupArn=group, Targets=[{"Id": one}])
    assert becomes(aws, group, one, "healthy")

    aws.client("elbv2").register_targets(TargetGroupArn=group, Targets=[{"Id": one}])

    assert {one: "healthy"} == health(aws, group)


def test_deregistering_what_is_not_registered_succeeds(aws: Aws) -> None:
    group, (one,) = target_group(aws), launch(aws, 1, service="mm")

    aws.client("elbv2").deregister_targets(TargetGroupArn=group, Targets=[{"Id": one}])

    assert {one: "unused"} == health(aws, group, one)


def test_a_target_is_made_unhealthy_and_well(aws: Aws) -> None:
    group, (one,) = target_group(aws), launch(aws, 1, service="mm")
    aws.client("elbv2").register_targets(TargetGroupArn=group, Targets=[{"Id": one}])
    assert becomes(aws, group, one, "healthy")

    aws.make_target_sick(one)
    assert {one: "unhealthy"} == health(aws, group)

    aws.make_target_well(one)
    assert {one: "healthy"} == health(aws, group)


def test_a_target_group_that_is_not_there_says_so(aws: Aws) -> None:
    with pytest.raises(ClientError) as error:
        health(aws, f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/none/0123456789abcdef")

    assert ("TargetGroupNotFound", 400) == code(error)


# -- Secrets Manager -------------------------------------------------------------------------------------------------


def test_a_secret_is_read_by_version_id_by_label_and_as_it_is_now(aws: Aws) -> None:
    client = aws.client("secretsmanager")
    first = client.create_secret(Name="prod/mm/db", SecretString="one")["VersionId"]
    client.put_secret_value(SecretId="prod/mm/db", SecretString="two")
    client.put_secret_value(SecretId="prod/mm/db", SecretString="three", VersionStages=["7"])

    def read(**which: str) -> str:
        return str(client.get_secret_value(SecretId="prod/mm/db", **which)["SecretString"])

    assert ["one", "three", "two", "one"] == [
        read(VersionId=first),
        read(VersionStage="7"),
        read(),
        read(VersionStage="AWSPREVIOUS"),
    ]


@pytest.mark.parametrize(
    "which",
    [{"SecretId": "nothing"}, {"SecretId": "mm", "VersionStage": "8"}, {"SecretId": "mm", "VersionId": "0" * 32}],
)
def test_a_secret_or_version_that_is_not_there_says_so(aws: Aws, which: dict[str, str]) -> None:
    aws.client("secretsmanager").create_secret(Name="mm", SecretString="one")

    with pytest.raises(ClientError) as error:
        aws.client("secretsmanager").get_secret_value(**which)

    assert code(error)[0] == "ResourceNotFoundException"


# -- the instance metadata service -----------------------------------------------------------------------------------

_WHO = """
import boto3
from botocore.utils import InstanceMetadataRegionFetcher
import os
print(boto3.client("sts", region_name="us-east-1").get_caller_identity()["UserId"])
endpoint = os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
print(InstanceMetadataRegionFetcher(config={"ec2_metadata_service_endpoint": endpoint}).retrieve_region())
"""


@pytest.fixture
def imds(aws: Aws) -> Iterator[MetadataService]:
    with MetadataService(aws, SystemClock()) as running:
        running.add("i-1", "eu-west-1", "eu-west-1b")
        running.add("i-2", REGION, f"{REGION}a")
        yield running


@pytest.mark.parametrize(("instance", "region"), [("i-1", "eu-west-1"), ("i-2", "us-east-1")])
def test_a_process_on_a_host_is_that_instance(aws: Aws, imds: MetadataService, instance: str, region: str) -> None:
    environment = {
        **inherited(),
        "AWS_ENDPOINT_URL": aws.endpoint_url,
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.endpoint(instance),
        "AWS_METADATA_SERVICE_TIMEOUT": "10",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    done = subprocess.run([sys.executable, "-c", _WHO], env=environment, capture_output=True, text=True, check=False)

    assert ([instance, region], 0) == ([line.rpartition(":")[2] for line in done.stdout.split()], done.returncode)


def test_metadata_is_told_to_who_has_a_token(imds: MetadataService) -> None:
    endpoint = imds.endpoint("i-1")
    without = requests.get(f"{endpoint}/latest/meta-data/instance-id", timeout=10)
    token = requests.put(
        f"{endpoint}/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"}, timeout=10
    ).text

    def read(path: str) -> tuple[int, str]:
        answer = requests.get(f"{endpoint}/latest/{path}", headers={"X-aws-ec2-metadata-token": token}, timeout=10)
        return answer.status_code, answer.text

    assert 401 == without.status_code
    assert [(200, "i-1"), (200, "eu-west-1"), (200, "eu-west-1b"), (404, "")] == [
        read("meta-data/instance-id"),
        read("meta-data/placement/region"),
        read("meta-data/placement/availability-zone"),
        read("meta-data/nothing"),
    ]
    assert "i-1" == json.loads(read("dynamic/instance-identity/document")[1])["instanceId"]


def test_a_token_of_another_host_tells_nothing(imds: MetadataService) -> None:
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = requests.put(f"{imds.endpoint('i-1')}/latest/api/token", headers=headers, timeout=10).text

    answer = requests.get(
        f"{imds.endpoint('i-2')}/latest/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token}, timeout=10
    )

    assert 401 == answer.status_code


def test_credentials_are_kept_until_they_near_their_end(aws: Aws) -> None:
    with MetadataService(aws, SystemClock(), lifetime=timedelta(hours=1)) as lasting:
        lasting.add("i-1", REGION, f"{REGION}a")
        assert keys_of(lasting) == keys_of(lasting)
    with MetadataService(aws, SystemClock(), lifetime=timedelta(minutes=1)) as short:
        short.add("i-1", REGION, f"{REGION}a")
        assert keys_of(short) != keys_of(short)


def keys_of(imds: MetadataService) -> str:
    _, token = imds.put("/i-1/latest/api/token", "60")
    _, role = imds.get("/i-1/latest/meta-data/iam/security-credentials/", token)
    _, body = imds.get(f"/i-1/latest/meta-data/iam/security-credentials/{role}", token)
    return str(json.loads(body)["AccessKeyId"])


def test_a_stopped_metadata_service_listens_no_more(aws: Aws) -> None:
    with MetadataService(aws, SystemClock()) as imds:
        port = int(imds.endpoint("i-1").rpartition(":")[2].partition("/")[0])

    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_an_aws_that_is_away_answers_nobody_and_cuts_who_waits(aws: Aws, queue: str) -> None:
    sqs = aws.client("sqs")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(sqs.receive_message, QueueUrl=queue, WaitTimeSeconds=20)
        while not aws.calls["sqs:ReceiveMessage"]:
            time.sleep(0.01)
        aws.go_away()
        with pytest.raises(BotoCoreError):
            waiting.result(10)
        with pytest.raises(BotoCoreError):
            sqs.send_message(QueueUrl=queue, MessageBody="hello")
    aws.come_back()

    assert "MessageId" in sqs.send_message(QueueUrl=queue, MessageBody="hello")


def test_an_aws_that_lost_a_service_has_the_others_still(aws: Aws, queue: str) -> None:
    aws.client("s3").create_bucket(Bucket="kept")
    aws.client("s3").put_object(Bucket="kept", Key="order", Body=b"1")
    image = images.register(aws, REGION, "fairlead-agent", "1", SystemClock().now())
    aws.go_away()
    aws.come_back(lost=["s3", "sqs"])

    assert [] == aws.client("s3").list_buckets()["Buckets"]
    with pytest.raises(ClientError, match="does not exist"):
        aws.client("sqs").send_message(QueueUrl=queue, MessageBody="hello")
    assert image.id == images.by_id(aws, REGION, image.id).id
