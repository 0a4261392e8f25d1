"""An AWS that is quick: fleets in memory behind a small HTTP server, one port for all services, regions and accounts.

It serves what Fairlead's controller asks, in AWS's own protocols, and refuses the rest by name. What a request is for
is told by its signature's scope, and whose it is by its access key; signatures are not checked.
"""

import os
import select
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from adapters.aws.topics import topic_arn
from adapters.clock import SystemClock
from fairlead_sandbox import images
from fairlead_sandbox.aws import ACCOUNT, REGIONS
from fairlead_sandbox.bulk.compute import ACTIONS
from fairlead_sandbox.bulk.estate import Estate, Group, Image
from fairlead_sandbox.bulk.identities import Caller, Identities
from fairlead_sandbox.bulk.keeping import Keeping, Limits
from fairlead_sandbox.bulk.objects import Objects
from fairlead_sandbox.bulk.queues import Queue, Queues
from fairlead_sandbox.bulk.server import Server
from fairlead_sandbox.bulk.topics import TargetGroups, Topics
from fairlead_sandbox.bulk.wire import Answer, Asked, Fault, fault_answer, understood
from reconciler.ports import Clock

_CREDENTIALS = {"aws_access_key_id": "AKIASANDBOXSANDBOX00", "aws_secret_access_key": "sandbox"}


@dataclass(slots=True, kw_only=True)
class Trouble:
    """An action that fails: so many more times."""

    code: str
    status: int
    times: int


class BulkAws:
    """Use it as a context manager, or call `start` and `stop`. What is in it may be changed at any time, by any thread.

    `latency` is in seconds, before every answer. `calls` counts "ec2:DescribeInstances".
    """

    def __init__(self, *, clock: Clock | None = None, latency: float = 0.0, port: int = 0) -> None:
        self.clock = clock or SystemClock()
        self.latency = latency
        self.calls: Counter[str] = Counter()
        self.troubles: dict[str, Trouble] = {}  # by action
        self.server = Server(self._respond, port)
        self.identities = Identities.new(self.clock)
        self.objects = Objects(self.clock)
        self.queues = Queues(self.clock, lambda: self.endpoint_url)
        self.topics = Topics(self.clock, self.queues)
        self.keeping, self.limits = Keeping(self.queues, self.topics), Limits()
        self.target_groups = TargetGroups()
        self.sick_images: set[str] = set()  # instances that launch from these are unhealthy
        self._estates: dict[tuple[str, str], Estate] = {}
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = Lock()

    def start(self) -> Self:
        """Begin to answer. Gives itself."""
        self.server.start()
        return self

    def stop(self) -> None:
        """End the server and close the clients."""
        self.queues.close()
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self.server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """Where it answers, as `AWS_ENDPOINT_URL` wants it."""
        return self.server.url

    def environment(self) -> dict[str, str]:
        """What a child process needs to use this AWS and no other."""
        return environment(self.endpoint_url)

    def client(self, service: str, region: str = REGIONS[0]) -> Any:
        """A boto3 client; kept, and closed by `stop`."""
        with self._lock:
            if (service, region) not in self._clients:
                config = Config(retries={"total_max_attempts": 1}, max_pool_connections=20)
                self._clients[service, region] = boto3.client(
                    service, region_name=region, endpoint_url=self.endpoint_url, config=config, **_CREDENTIALS
                )
            return self._clients[service, region]

    # -- what there is -----------------------------------------------------------------------------------------------

    def estate(self, region: str, account: str = ACCOUNT) -> Estate:
        """What an account has in a region."""
        with self._lock:
            if (account, region) not in self._estates:
                self._estates[account, region] = Estate(account, region, self.sick_images)
            return self._estates[account, region]

    def image(self, region: str, package: str, version: str, *, account: str = ACCOUNT) -> Image:
        """The AMI of a version, baked where there is none."""
        estate = self.estate(region, account)
        with estate.lock:
            known = estate.images_of.get((package, version))
            if known:
                return known[-1]
            name = images.image_name(package, self.clock.now())
            return estate.add_image(package, version, name, images.tags_of(package, version))

    def seed_cluster(
        self,
        cluster: str,
        region: str,
        package: str,
        version: str,
        *,
        capacity: int = 2,
        account: str = ACCOUNT,
    ) -> Group:
        """Let a cluster run a version as if it had been deployed long ago, in a group `<cluster>-v000`."""
        image = self.image(region, package, version, account=account)
        estate = self.estate(region, account)
        name, size = f"{cluster}-v000", (capacity, capacity, capacity)
        return estate.add_group(name, image.id, size, {"fairlead:seeded": "true"}, self.clock.now())

    def set_version(self, cluster: str, region: str, version: str, *, account: str = ACCOUNT) -> None:
        """Somebody replaced the image and all instances of the cluster's newest enabled group, outside any pipeline."""
        estate = self.estate(region, account)
        with estate.lock:
            enabled = [group for group in estate.clusters[cluster].values() if group.enabled]
            group = max(enabled, key=lambda one: (one.created, one.name))
            package = estate.images[group.template.images[-1]].package
            group.template.images.append(self.image(region, package, version, account=account).id)
            group.template_version = len(group.template.images)
            for one in list(group.instances):
                estate.remove_instance(one)
            estate.fill(group, self.clock.now())

    def make_topic(self, region: str, name: str, *, account: str = ACCOUNT) -> str:
        """A topic; gives its ARN."""
        arn = topic_arn(account, region, name)
        self.topics.make(arn)
        return arn

    def make_queue(self, region: str, name: str, *, account: str = ACCOUNT, topics: tuple[str, ...] = ()) -> Queue:
        """A queue that listens to these topics, given by ARN."""
        queue = self.queues.make(account, region, name)
        for arn in topics:
            self.topics.subscribe(arn, queue)
        return queue

    def fail(self, action: str, code: str, *, status: int = 400, times: int = 1) -> None:
        """Answer the next requests for an action ("ec2:DescribeInstances") with an error."""
        self.troubles[action] = Trouble(code=code, status=status, times=times)

    # -- answering ---------------------------------------------------------------------------------------------------

    def _respond(
        self, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes, connection: socket.socket
    ) -> Answer:
        asked = understood(method, path, query, headers, body)
        if self.latency:
            time.sleep(self.latency)
        try:
            self._count(f"{asked.service or 'unsigned'}:{asked.action}")
            self.limits.take(f"{asked.service}:{asked.action}")
            return self._answer(asked, connection)
        except Fault as fault:
            return fault_answer(asked, fault)
        except Exception as error:  # noqa: BLE001  a defect here shall be read in the client's error, not hang it
            return fault_answer(asked, Fault("InternalFailure", f"the sandbox stumbled: {error!r}", 500))

    def _count(self, action: str) -> None:
        with self._lock:
            self.calls[action] += 1
            trouble = self.troubles.get(action)
            if trouble is None or trouble.times <= 0:
                return
            trouble.times -= 1
        raise Fault(trouble.code, f"{trouble.code} was asked of the sandbox", trouble.status)

    def _answer(self, asked: Asked, connection: socket.socket) -> Answer:
        caller = self.identities.caller(asked.access_key)
        if (known := ACTIONS.get((asked.service, asked.action))) is not None:
            return known(self.estate(asked.region, caller.account), asked)
        if asked.service == "s3":
            return self.objects.answer(asked, caller)
        if asked.service in {"sns", "sqs"}:
            return self._answer_messaging(asked, caller, connection)
        if asked.service == "sts":
            return self.identities.answer(asked)
        if asked.service == "elasticloadbalancing":
            return self.target_groups.answer(asked)
        raise Fault("InvalidAction", f"The action {asked.action} is not valid for this web service.")

    def _answer_messaging(self, asked: Asked, caller: Caller, connection: socket.socket) -> Answer:
        if (kept := self.keeping.answer(asked, caller)) is not None:
            return kept
        if asked.service == "sns":
            return self.topics.answer(asked, caller)
        return self.queues.answer(asked, caller, lambda: _is_gone(connection))


def environment(endpoint: str) -> dict[str, str]:
    """What a process needs to use the AWS at this address and no other."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": _CREDENTIALS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": _CREDENTIALS["aws_secret_access_key"],
        "AWS_DEFAULT_REGION": REGIONS[0],
        "AWS_REGION": REGIONS[0],
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def _is_gone(connection: socket.socket) -> bool:
    """The client closed its end. By poll: select knows no more than 1,024 files."""
    try:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
