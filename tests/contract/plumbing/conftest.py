"""A ledger that was told what Git and EC2 say, the sandbox's AWS, and what keeps queues between them."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock, SystemClock
from adapters.feeds.plumbing import Plumbing
from adapters.ledger.store import Store, open_ledger
from desired_state.model import DesiredState, Environment, Fleet, Package, Revision, Setting
from fairlead_sandbox import images
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.bulk.wire import Asked, Fault, fault_answer
from reconciler.ports import RevisionChange

EAST = "us-east-1"
NAME = f"{ACCOUNT}/{EAST}/prod"
LEASE = timedelta(days=30)
WITHIN = timedelta(minutes=5)


def fleet(name: str = "prod/mm", queues: str = "controller", **tags: str) -> Fleet:
    environment, _, service = name.partition("/")
    return Fleet(
        name=name,
        environment=Environment(
            name=environment, account=ACCOUNT, regions=(EAST,), trigger={"bucket": "b", "queues": queues}
        ),
        service=service,
        components={f"package/{service}": "1.0.0"},
        packages=(Package(name=service, version="1.0.0"),),
        deploy_type="trigger",
        deploy={
            "root": f"/srv/{service}",
            "select": {"tags": tags or {"service": service}},
            "run": {"unit": "mm.service"},
            "health": {"tcp": "localhost:80"},
        },
        target_digest="a" * 64,
        spec_digest="b" * 64,
        identity_digest="c" * 64,
    )


class Log:
    """What was logged, as (event, values)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Mapping[str, object]]] = []

    def info(self, event: str, **values: object) -> None:
        self.lines.append((event, values))

    warning = exception = info


class Body:
    """A body that was received."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._data


@dataclass
class Yard:
    """One account and region. Time of the lease and of the hourly look is the test's."""

    aws: Aws
    url: str
    log: Log = field(default_factory=Log)
    commits: int = 0

    def __post_init__(self) -> None:
        self.clock = ManualClock(SystemClock().now())
        self.ledger: Store = open_ledger(self.url, self.clock)
        self.plumbing = self.another()
        self.image = images.register(self.aws, EAST, "mm", "1.0.0", self.clock.now()).id

    def another(self, within: timedelta = WITHIN, *, acts: bool = True) -> Plumbing:
        """As another process does it: it remembers nothing."""
        sessions = Sessions(max_attempts=1)
        return Plumbing(self.ledger, sessions, self.clock, self.log, within=within, acts=acts, pause=lambda _: None)

    def launch(self, count: int = 1) -> list[str]:
        made = self.aws.client("ec2").run_instances(ImageId=self.image, MinCount=count, MaxCount=count)
        return [one["InstanceId"] for one in made["Instances"]]

    def end(self, *hosts: str) -> None:
        self.aws.client("ec2").terminate_instances(InstanceIds=list(hosts))

    def declare(self, *fleets: Fleet) -> None:
        self.commits += 1
        commit = f"{self.commits:040x}"
        head = Revision(sha=commit, parents=(), author="Ada", committed_at=self.clock.now(), subject="set")
        named = {one.name: one for one in fleets}
        desired = DesiredState(environments=("prod", "test"), fleets=named, declared=frozenset(named))
        settings = {name: Setting(commit=commit, target_digest=one.target_digest) for name, one in named.items()}
        change = RevisionChange(repository="main", head=head, desired=desired, settings=settings, at=self.clock.now())
        self.ledger.add(["repository:main"])
        (due,) = self.ledger.claim("repository", 1, LEASE)
        self.ledger.record_revision(due.lease, change)
        self.ledger.finish(due)

    def shows(self, **hosts: list[str]) -> None:
        """What the inventory says: the hosts of each fleet of prod, by service."""
        self.ledger.add([f"inventory:{ACCOUNT}/{EAST}"])
        (due,) = self.ledger.claim("inventory", 1, LEASE)
        parts = {
            (service if "/" in service else f"prod/{service}"): {
                "hosts": {host: {"state": "running"} for host in known}
            }
            for service, known in hosts.items()
        }
        self.ledger.record_snapshots(due.lease, f"inventory/{ACCOUNT}/{EAST}", parts, self.clock.now())
        self.ledger.finish(due)

    def client(self, service: str, plumbing: Plumbing | None = None) -> Any:
        """The one that a pass uses."""
        sessions = (plumbing or self.plumbing)._sessions
        return sessions.client(service, EAST, account=ACCOUNT, once=service != "ec2")

    def fail(self, call: str, code: str, times: int = 1, skip: int = 0) -> None:
        """So many of these calls are refused with this code, after the first `skip`."""
        service, _, action = call.partition(":")
        seen = [0]

        def refuse(**_: Any) -> Any:
            seen[0] += 1
            if not skip < seen[0] <= skip + times:
                return None
            answer = fault_answer(
                Asked(method="POST", path="/", query={}, headers={}, body=b"", service=service), Fault(code, "no")
            )
            return AWSResponse("http://x/", answer.status, dict(answer.headers), Body(answer.body))

        self.client(service).meta.events.register(f"before-send.{service}.{action}", refuse)

    def run(self, plumbing: Plumbing | None = None, name: str = NAME) -> datetime | None:
        self.ledger.add([f"plumbing:{name}"])
        (due,) = self.ledger.claim("plumbing", 1, LEASE)
        again_at = (plumbing or self.plumbing).run(name, due.lease)
        self.ledger.finish(due)
        return again_at

    def calls(self, plumbing: Plumbing | None = None) -> Counter[str]:
        """What one pass asked of AWS."""
        before = Counter(self.aws.calls)
        self.run(plumbing)
        return Counter(self.aws.calls) - before

    def queues(self) -> set[str]:
        """Of instances, by instance."""
        urls = self.aws.client("sqs").list_queues(QueueNamePrefix="fairlead-agent-").get("QueueUrls", [])
        return {url.rpartition("fairlead-agent-")[2] for url in urls}

    def heard(self) -> dict[str, list[str]]:
        """Fleets by instance, as SNS has them."""
        found: dict[str, list[str]] = {}
        for page in self.aws.client("sns").get_paginator("list_subscriptions").paginate():
            for one in page["Subscriptions"]:
                assert "true" == self.attributes(one["SubscriptionArn"])["RawMessageDelivery"]
                host = one["Endpoint"].rpartition("fairlead-agent-")[2]
                found.setdefault(host, []).append(one["TopicArn"].rpartition("fairlead-")[2].replace("_", "/"))
        return {host: sorted(fleets) for host, fleets in found.items()}

    def attributes(self, subscription: str) -> dict[str, str]:
        found: dict[str, str] = self.aws.client("sns").get_subscription_attributes(SubscriptionArn=subscription)[
            "Attributes"
        ]
        return found

    def sources(self, host: str) -> list[str]:
        """The topics that the instance's queue takes messages from, by name."""
        url = self.address(host)
        asked = self.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
        (statement,) = json.loads(asked["Attributes"]["Policy"])["Statement"]
        return [arn.rpartition(":")[2] for arn in statement["Condition"]["ArnEquals"]["aws:SourceArn"]]

    def address(self, host: str) -> str:
        found: str = self.aws.client("sqs").get_queue_url(QueueName=f"fairlead-agent-{host}")["QueueUrl"]
        return found

    def troubles(self) -> dict[str, str]:
        return dict(self.ledger.troubles())


@pytest.fixture
def yard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Yard]:
    with Aws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        made = Yard(aws, f"sqlite:///{tmp_path / 'ledger.db'}")
        yield made
        made.ledger.close()


class Build:
    """Builders and names, handed to tests as one fixture."""

    fleet = staticmethod(fleet)
    name, account, region = NAME, ACCOUNT, EAST


@pytest.fixture
def build() -> type[Build]:
    return Build
