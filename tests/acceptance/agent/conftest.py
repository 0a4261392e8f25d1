"""Real agents against moto, with no controller: the tests write the orders, signed by the world's key.

`bench` is a world with one host of prod/matchmaker that runs 2.3.1. Every wait is on a condition, with a deadline.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.agent_protocol.addresses import order_key, reports_queue_name
from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.hints import Hint
from adapters.agent_protocol.orders import LIFETIME, Order, Release
from adapters.agent_protocol.reading import parse_order
from adapters.agent_protocol.signing import SigningKey
from adapters.clock import SystemClock
from fairlead_sandbox.builds import Behaviour
from fairlead_sandbox.hosts import Host
from fairlead_sandbox.plumbing import topic_arn
from fairlead_sandbox.world import World, WorldSettings

FLEET = "prod/matchmaker"
REGION = "us-east-1"
PATIENCE = 30.0  # seconds; far more than anything here takes on a busy machine
POLL = "1s"


class Bench:
    """A world, its hosts, and the hand that writes orders."""

    def __init__(self, world: World, first: Release, fleet: str = FLEET) -> None:
        self.world, self.first, self.fleet = world, first, fleet
        self.sequence = 1  # of the order that the host began with
        self._reports: list[dict[str, Any]] = []

    @property
    def bucket(self) -> str:
        return self.world.trigger.fleets[self.fleet].bucket

    @property
    def host(self) -> Host:
        """The oldest host, of most tests the only one."""
        return next(iter(self.world.trigger.hosts.values()))

    # orders

    def release(
        self, version: str, behaviour: Behaviour = Behaviour.HEALTHY, after: float = 2.0, **lifecycle: Any
    ) -> Release:
        """A release of a version that is built and uploaded now. Its digest is made up, and its own."""
        service = self.fleet.partition("/")[2]
        build = self.world.build(service, version, behaviour, after)
        artifacts = tuple(
            replace(each, version=version, source=build.addresses[each.name], sha256=build.sha256[each.name])
            for each in self.first.artifacts
        )
        components = {**self.first.components, f"package/{service}": version}
        return replace(
            self.first,
            version=version,
            digest=hashlib.sha256(f"{version} {behaviour}".encode()).hexdigest(),
            commit=hashlib.sha1(version.encode()).hexdigest(),
            components=components,
            artifacts=artifacts,
            lifecycle=replace(self.first.lifecycle, **lifecycle),
        )

    def order(self, target: Release, sequence: int | None = None, **more: Any) -> Order:
        """An order of the next sequence, for all hosts, unless it says otherwise."""
        now = SystemClock().now()
        if sequence is None:
            self.sequence += 1
        said = {
            "fleet": self.fleet,
            "sequence": self.sequence if sequence is None else sequence,
            "target": target,
            "issued": now,
            "expires": now + LIFETIME,
            **more,
        }
        return Order(**said)

    def signed(self, order: Order, key: SigningKey | None = None) -> dict[str, Any]:
        return (key or self.world.trigger.key).sign(order.document())

    def put(self, document: Mapping[str, Any] | bytes) -> bytes:
        """Lay a document where the agents look; gives its bytes."""
        body = document if isinstance(document, bytes) else canonical(document)
        self.world.aws.client("s3").put_object(Bucket=self.bucket, Key=order_key(self.fleet), Body=body)
        return body

    def say(self, target: Release, *, hint: bool = True, **more: Any) -> Order:
        """Write an order as the controller would, with its hint."""
        order = self.order(target, **more)
        self.put(self.signed(order))
        if hint:
            self.hint(order.sequence)
        return order

    def hint(self, sequence: int, text: str = "") -> None:
        """Tell every host of the fleet to look again."""
        said = text or Hint(fleet=self.fleet, sequence=sequence, key=order_key(self.fleet), sha256="0" * 64).text()
        for region in self.world.trigger.fleets[self.fleet].regions:
            self.world.aws.client("sns", region).publish(TopicArn=topic_arn(region, self.fleet), Message=said)

    # what is seen

    def reports(self, host: Host | None = None, fleet: str = "") -> list[dict[str, Any]]:
        """Everything that the host said so far, oldest first."""
        whose = host or self.host
        sqs = self.world.aws.client("sqs", whose.region)
        url = sqs.get_queue_url(QueueName=reports_queue_name(self.fleet.partition("/")[0]))["QueueUrl"]
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            self._reports += [json.loads(each["Body"]) for each in found]
            for each in found:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
        mine = [each for each in self._reports if (each["host"], each["fleet"]) == (whose.id, fleet or self.fleet)]
        return sorted(mine, key=lambda each: each["number"])

    def report(self, host: Host | None = None) -> dict[str, Any]:
        """The newest report, `{"work": {}}` where there is none."""
        found = self.reports(host)
        return {**found[-1], "work": found[-1]["work"] or {}} if found else {"work": {}, "sequence": 0, "refused": None}

    def wait(self, condition: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
        """The first true value of the condition. Raises TimeoutError with `what` and the agents' last words."""
        until = time.monotonic() + timeout
        while not (found := condition()):
            if time.monotonic() > until:
                raise TimeoutError(f"{what}: not within {timeout:g} s\n{self.logs()}")
            time.sleep(0.02)
        return found

    def wait_reported(self, what: str, host: Host | None = None, **said: Any) -> dict[str, Any]:
        """The first report that says all of this; `work_state=...` looks into `work`, `refused=` at why."""

        def is_it(report: Mapping[str, Any]) -> bool:
            flat = {**report, **{f"work_{key}": value for key, value in (report["work"] or {}).items()}}
            flat["refused"] = (report["refused"] or {}).get("reason")
            return all(flat.get(key) == value for key, value in said.items())

        def found() -> dict[str, Any] | None:
            newest = self.report(host)
            return newest if is_it(newest) else None

        report: dict[str, Any] = self.wait(found, what)
        return report

    def wait_done(self, release: Release, host: Host | None = None) -> dict[str, Any]:
        """Wait for the report that the release runs and is healthy, by the newest order."""
        return self.wait_reported(
            f"{release.version} to be done",
            host,
            sequence=self.sequence,
            work_state="done",
            work_version=release.version,
            healthy=True,
            components=dict(release.components),
        )

    def events(self, name: str, host: Host | None = None) -> list[str]:
        """The lines of that event in the agent's log."""
        lines = (host or self.host).log().splitlines()
        return [line for line in lines if line.split(" ")[1:2] == [name]]

    def in_balancer(self, host: Host | None = None) -> str:
        """How the fleet's target group calls the host."""
        whose = host or self.host
        arn = self.world.trigger.target_group(self.fleet, whose.region)
        asked = self.world.aws.client("elbv2", whose.region).describe_target_health(
            TargetGroupArn=arn, Targets=[{"Id": whose.id}]
        )
        return str(asked["TargetHealthDescriptions"][0]["TargetHealth"]["State"])

    def logs(self) -> str:
        return "\n".join(f"── {host.id}\n{host.log()[-6000:]}" for host in self.world.hosts())

    def fresh_start(self) -> None:
        """Back to the beginning for the next test: one new host that runs the first release."""
        for host in self.world.hosts():
            self.world.terminate(host)
        self.sequence = 1
        self._reports.clear()
        self.world.build("matchmaker", self.first.version)  # a test may have taken it away
        self.put(self.signed(self.order(self.first, sequence=1)))
        host = self.world.add_host(self.fleet, region=REGION)
        self.wait(lambda: host.healthy() and host.version() == self.first.version, "the first version")
        self.wait_done(self.first)


@pytest.fixture(scope="module")
def agent_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of prod/matchmaker, for the tests of a module; each has a host of its own."""
    settings = WorldSettings(hosts={FLEET: 1}, pace={"poll": POLL, "heartbeat": "1s"})
    with World(tmp_path_factory.mktemp("agents"), settings) as world:
        yield world


@pytest.fixture(scope="module")
def first_release(agent_world: World) -> Release:
    """What the world's repository says: 2.3.1."""
    bucket = agent_world.trigger.fleets[FLEET].bucket
    body = agent_world.aws.client("s3").get_object(Bucket=bucket, Key=order_key(FLEET))["Body"].read()
    return parse_order(body).target


@pytest.fixture
def bench(agent_world: World, first_release: Release) -> Iterator[Bench]:
    """One fresh host that runs 2.3.1, and nothing that was said before."""
    made = Bench(agent_world, first_release)
    made.fresh_start()
    yield made
    print(made.logs())  # pytest shows it with a failure only


@pytest.fixture
def ago() -> Callable[[timedelta], datetime]:
    """`ago(span)`: a moment of the past."""
    return lambda span: SystemClock().now() - span
