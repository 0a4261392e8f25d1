"""The floor of a deploy: the AWS calls that it cannot do without, by as many processes, with no logic around them."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from adapters.agent_protocol.addresses import reports_queue_name, topic_name
from adapters.aws.topics import topic_arn
from fairlead_sandbox.aws import ACCOUNT, REGIONS
from fairlead_sandbox.bulk.fleets import BUILDS
from fairlead_sandbox.bulk.process import BulkProcess
from tests.benchmarks.real_agents import identities, processes

KEY = "floor/order.json"


class Floor:
    """The publisher, who reads the reports as well. `rounds` counts what was published."""

    def __init__(self, world: BulkProcess, fleet: str, bucket: str) -> None:
        own = world.environment
        said: dict[str, Any] = {
            "region_name": REGIONS[0],
            "endpoint_url": world.endpoint_url,
            "aws_access_key_id": own["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": own["AWS_SECRET_ACCESS_KEY"],
        }
        self._sqs, self._s3, self._sns = (boto3.client(name, **said) for name in ("sqs", "s3", "sns"))
        environment, _, self._service = fleet.partition("/")
        self._reports = self._sqs.get_queue_url(QueueName=reports_queue_name(environment))["QueueUrl"]
        self._topic = topic_arn(ACCOUNT, REGIONS[0], topic_name(fleet))
        self._bucket = bucket
        self.hosts: Sequence[str] = world.ask("launched", fleet=fleet)
        self.round = 0
        self.pids: Sequence[int] = ()

    def lay(self) -> None:
        """An order that admits nobody, for the hosts to find when they begin."""
        self._put(())

    def wait_started(self) -> None:
        """Every host has said its first word."""
        self._hear(len(self.hosts), 0)

    def deploy(self, shares: Sequence[float]) -> list[float]:
        """Waves of cumulative shares of the hosts, one after the other; gives when each report came, in seconds."""
        began, came = time.perf_counter(), list[float]()
        before = 0
        for share in shares:
            upto = max(1, round(share * len(self.hosts)))
            self.round += 1
            self._put(self.hosts[before:upto])
            self._sns.publish(TopicArn=self._topic, Message=json.dumps({"round": self.round, "said": "x" * 200}))
            came += [at - began for at in self._hear(upto - before, self.round)]
            before = upto
        return came

    def _put(self, admitted: Sequence[str]) -> None:
        artifact = {"bucket": BUILDS, "key": f"{self._service}/9.0.{self.round}/{self._service}.jar"}
        order = {"round": self.round, "artifact": artifact, "admitted": list(admitted), "said": "x" * 1500}
        self._s3.put_object(Bucket=self._bucket, Key=KEY, Body=json.dumps(order).encode())

    def _hear(self, count: int, number: int) -> list[float]:
        came: list[float] = []
        while len(came) < count:
            answer = self._sqs.receive_message(QueueUrl=self._reports, MaxNumberOfMessages=10, WaitTimeSeconds=20)
            messages = answer.get("Messages", [])
            came += [time.perf_counter() for each in messages if json.loads(each["Body"]).get("round") == number]
            if messages:
                entries = [{"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)]
                self._sqs.delete_message_batch(QueueUrl=self._reports, Entries=entries)
        return came


@contextmanager
def floor(world: BulkProcess, fleet: str, bucket: str, folder: Path) -> Iterator[Floor]:
    """The floor's processes on the fleet's instances, started and idle. Nobody else may read their queues."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Floor(world, fleet, bucket)
    made.lay()
    environment = fleet.partition("/")[0]
    commands = {
        host: (
            [sys.executable, "-m", "tests.benchmarks.floor_host", host, environment, bucket, KEY, str(folder)],
            own,
        )
        for host, own in identities(world, made.hosts)
    }
    with processes(commands, folder / "logs") as pids:
        made.pids = pids
        made.wait_started()
        yield made
