"""One process of the floor: what a host asks of AWS for a deploy, with no logic around it.

    python -m tests.benchmarks.floor_host HOST ENVIRONMENT BUCKET KEY FOLDER

The order is JSON: `{"round", "artifact": {"bucket", "key"}, "admitted": [ids]}`. A host that it admits gets the
artifact, puts it into a file, and says so, once a round.
"""

import json
import sys
from pathlib import Path
from typing import Any

import boto3

from adapters.agent_protocol.addresses import agent_queue_name, reports_queue_name

SAID = "x" * 900  # what a report says takes about as much


def main(host: str, environment: str, bucket: str, key: str, folder: str) -> None:
    """Until it is killed."""
    sqs, s3 = boto3.client("sqs"), boto3.client("s3")
    queue = sqs.get_queue_url(QueueName=agent_queue_name(host))["QueueUrl"]
    reports = sqs.get_queue_url(QueueName=reports_queue_name(environment))["QueueUrl"]
    done, file = 0, Path(folder, host)
    s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    sqs.send_message(QueueUrl=reports, MessageBody=json.dumps({"host": host, "round": 0, "said": SAID}))
    while True:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=20)
        messages: list[Any] = answer.get("Messages", [])
        if not messages:
            continue
        order = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=queue, Entries=entries)
        if order["round"] == done or host not in order["admitted"]:
            continue
        done = order["round"]
        artifact = order["artifact"]
        file.write_bytes(s3.get_object(Bucket=artifact["bucket"], Key=artifact["key"])["Body"].read())
        sqs.send_message(QueueUrl=reports, MessageBody=json.dumps({"host": host, "round": done, "said": SAID}))


if __name__ == "__main__":
    main(*sys.argv[1:])
