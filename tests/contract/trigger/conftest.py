"""The trigger deployer against a real AWS API (moto), with hosts played by a few lines and a road that can break."""

import hashlib
import http.client
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.agent_protocol.fields import moment_text
from adapters.agent_protocol.orders import Assignment, Order, assignment_of
from adapters.agent_protocol.reading import Trust, own_order, read_order
from adapters.agent_protocol.refusals import Refused
from adapters.agent_protocol.reports import Blame, Refusal, Report, Step, Work, WorkState
from adapters.agent_protocol.signing import SigningKey, new_key
from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock, SystemClock
from adapters.deployers.trigger import Trigger
from adapters.ledger.store import open_ledger
from adapters.trigger.feeds import reports_feed
from desired_state.model import DesiredState, Environment, Fleet, Package, Policy, Revision, Setting
from fairlead_sandbox import images, plumbing
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.aws_state import AwsState
from fairlead_sandbox.example import TriggerFleet
from reconciler.observed import Observed, Snapshot, Snapshots, Unit
from reconciler.ports import LeaseLost, RevisionChange
from reconciler.reconcile import reconcile
from reconciler.record import Ask, Record
from reconciler.work import Intent, Kind, Outcome, Phase, Release, Standing
from reconciler.world import World

EAST, WEST = "us-east-1", "eu-west-1"
NAME, BUCKET, KEY = "prod/mm", "example-fairlead-prod", "orders/prod/mm.json"
TAGS = {"service": "mm", "environment": "prod"}
DEPLOY = {
    "root": "/srv/mm",
    "select": {"tags": TAGS},
    "run": {"unit": "mm.service", "stop_within": "30s"},
    "health": {"http": "http://localhost:8080/health", "within": "1m"},
}
_SCOPE = re.compile(r"Credential=[^/]+/\d+/[^/]+/(?P<service>[^/]+)/aws4_request")


class Road:
    """The road to AWS: hands every request on, and does to some what a test asks for.

    `faults` are by action ("s3:PUT", "sns:Publish", "ec2:DescribeInstances"): `error` and `drop` before AWS hears of
    it, `error_after` and `drop_after` when it did, `half` in the middle of the answer; anything else is called before
    the request is handed on.
    """

    def __init__(self, aws: Aws) -> None:
        self.faults: dict[str, str | Callable[[], None]] = {}
        self.times: Counter[str] = Counter()  # how often a fault still happens; not there: always
        self.went: list[str] = []
        road, port = self, urlsplit(aws.endpoint_url).port

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Says nothing."""

            def handle_one_request(self) -> None:
                self.requestline = ""
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                action = _action(self.command, self.headers.get("Authorization", ""), body)
                road.went.append(action)
                self._answer(road.fault(action), body)

            def _answer(self, fault: str | Callable[[], None] | None, body: bytes) -> None:
                if callable(fault):
                    fault()
                told = None if fault in {"error", "drop"} else self._handed_on(body)
                if fault in {"drop", "drop_after"}:
                    self.close_connection = True
                    return
                status, headers, text = told if told is not None and fault != "error_after" else (500, [], b"")
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                        self.send_header(name, value)
                length = dict(headers).get("Content-Length", "0") if self.command == "HEAD" else str(len(text))
                self.send_header("Content-Length", length)
                self.end_headers()
                with suppress(BrokenPipeError, ConnectionResetError):  # who asked may have given up
                    self.wfile.write(text[: len(text) // 2] if fault == "half" else text)
                self.close_connection = fault == "half"

            def _handed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                text = answer.read()
                connection.close()
                return answer.status, answer.getheaders(), text

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def breaks(self, action: str, fault: str | Callable[[], None], times: int = 0) -> None:
        """Every such request from now on, or the next `times`."""
        self.faults[action] = fault
        self.times.pop(action, None)
        if times:
            self.times[action] = times

    def fault(self, action: str) -> str | Callable[[], None] | None:
        found = self.faults.get(action)
        if found is not None and action in self.times:
            self.times[action] -= 1
            if self.times[action] == 0:
                self.mended(action)
        return found

    def mended(self, action: str) -> None:
        self.faults.pop(action, None)
        self.times.pop(action, None)

    def clear(self) -> None:
        self.faults.clear()
        self.times.clear()
        self.went.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _action(method: str, authorization: str, body: bytes) -> str:
    scope = _SCOPE.search(authorization)
    service = scope["service"] if scope else "unsigned"
    asked = parse_qs(body.decode("utf-8", "replace")).get("Action", [method]) if service != "s3" else [method]
    return f"{service}:{asked[0]}"


@dataclass
class Lease:
    """A lease that counts how often it was asked, and can be lost before the nth time."""

    key: str = f"fleet:{NAME}"
    asked: int = 0
    lost_at: int | None = None

    def check(self) -> None:
        self.asked += 1
        if self.lost_at is not None and self.asked >= self.lost_at:
            raise LeaseLost("another owner")


@dataclass
class Played:
    """One host's agent: believes orders as an agent does, and says what it observes."""

    rig: "Rig"
    id: str
    region: str
    components: Mapping[str, str] = field(default_factory=lambda: {"package/mm": "2.3.0"})
    running: bool = True
    healthy: bool = True
    report_only: bool = False
    silent: bool = False
    groups: tuple[str, ...] = ()
    order: Order | None = None
    work: Work | None = None
    refused: Refusal | None = None
    number: int = 0
    last_good: str = "2.3.0"  # empty: nothing of ours was ever healthy there
    before: Step | None = None

    def reads(self) -> Assignment | None:
        """Look at the order. Gives what it asks of this host, where that was not ended before."""
        if not self.rig.s3.list_objects_v2(Bucket=BUCKET)["KeyCount"]:
            return None
        body = self.rig.body()
        trust = Trust(fleet=NAME, keys={self.rig.key.key_id: self.rig.key.public})
        known = self.order
        try:
            self.order = read_order(
                body,
                trust,
                self.rig.clock.now(),
                at_least=known.sequence if known else 0,
                known_meaning=known.meaning if known else "",
            )
        except Refused as refused:
            self.refused = Refusal(reason=refused.reason, message=refused.message, sequence=refused.sequence)
            return None
        self.refused = None
        asked = assignment_of(self.order, self.id)
        ended = self.work if self.work is not None and self.work.state is not WorkState.WORKING else None
        return None if asked is None or (ended is not None and ended.key == asked.key) else asked

    def says(self) -> None:
        """Report to the queue."""
        self.number += 1
        report = Report(
            host=self.id,
            fleet=NAME,
            agent="0.2.0",
            number=self.number,
            at=self.rig.clock.now(),
            sequence=self.order.sequence if self.order else 0,
            expires=self.order.expires if self.order else None,
            components=self.components,
            running=self.running,
            healthy=self.healthy,
            message="" if self.healthy else "http://localhost:8080/health answered 503",
            report_only=self.report_only,
            last_good=self.last_good,
            target_groups=self.groups,
            work=self.work,
            refused=self.refused,
            before=self.before,
        )
        said = {**json.loads(report.text()), "sent": moment_text(self.rig.clock.now())}
        self.rig.reports.setdefault(self.region, {})[self.id] = said

    def begins(self, stage: str = "staging") -> None:
        """Take on what the order asks for."""
        asked = self.reads()
        if asked is not None:
            self._is_at(asked, WorkState.WORKING, stage)
        self.says()

    def does(self) -> None:
        """Carry out what the order asks for, if that is new, and report."""
        asked = self.reads()
        if asked is not None:
            self._is_at(asked, WorkState.DONE)
            self.components, self.running, self.healthy = asked.release.components, True, True
        self.says()

    def fails(self, blame: Blame = Blame.UNHEALTHY, message: str = "it answers 503", back: str = "2.3.0") -> None:
        """Try what the order asks for, and go back."""
        asked = self.reads()
        if asked is not None:
            self._is_at(asked, WorkState.FAILED, message=message, blame=blame, rolled_back_to=back)
        self.says()

    def _is_at(self, asked: Assignment, state: WorkState, stage: str = "", **more: Any) -> None:
        self.work = Work(
            key=asked.key, version=asked.release.version, attempt=asked.attempt, state=state, stage=stage, **more
        )


@dataclass
class Rig:
    """One fleet in two regions, its hosts, its bucket, and a controller."""

    aws: Aws
    road: Road
    sessions: Sessions
    folder: Path
    lease: Lease = field(default_factory=Lease)
    clock: ManualClock = field(default_factory=lambda: ManualClock(SystemClock().now()))
    hosts: dict[str, Played] = field(default_factory=dict)
    reports: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)  # by region and host
    deaf_since: datetime | None = None  # since when the reports queues cannot be read

    def __post_init__(self) -> None:
        self.key, _ = new_key("2026-11")
        self.deployer = self.controller(self.key)
        self.s3 = self.aws.client("s3")
        self.s3.create_bucket(Bucket=BUCKET)
        self.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self.s3.create_bucket(Bucket="example-builds")
        for region in (EAST, WEST):
            self.aws.client("sns", region).create_topic(Name="fairlead-prod_mm")
        for version in ("2.3.0", "2.3.1", "2.3.2"):
            self.upload(version)

    def controller(self, key: SigningKey | None) -> Trigger:
        return Trigger(sessions=self.sessions, clock=self.clock, signing=key)

    # ── the world ──

    def upload(self, version: str, body: bytes = b"", *, checksum: bool = True) -> str:
        """Put a build into the bucket of builds; gives its SHA-256."""
        body = body or f"mm {version}".encode()
        told = {"ChecksumAlgorithm": "SHA256"} if checksum else {}
        self.s3.put_object(Bucket="example-builds", Key=f"mm/{version}/mm.jar", Body=body, **told)
        return hashlib.sha256(body).hexdigest()

    def launch(self, count: int = 1, region: str = EAST, **facts: Any) -> list[Played]:
        """Instances whose agents report what they found: 2.3.0, unless told otherwise."""
        made = self.aws.client("ec2", region).run_instances(
            ImageId=images.register(self.aws, region, "agent", "1", SystemClock().now()).id,
            InstanceType="t3.micro",
            MinCount=count,
            MaxCount=count,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()]}
            ],
        )["Instances"]
        hosts = [Played(self, each["InstanceId"], region, **facts) for each in made]
        self.hosts.update({host.id: host for host in hosts})
        for host in hosts:
            if not host.silent:
                host.says()
        return hosts

    def terminate(self, host: Played) -> None:
        self.aws.client("ec2", host.region).terminate_instances(InstanceIds=[host.id])
        del self.hosts[host.id]

    def balance(self, *hosts: Played) -> str:
        """Put the hosts behind a target group; gives its ARN."""
        region = hosts[0].region
        vpc = self.aws.client("ec2", region).describe_vpcs()["Vpcs"][0]["VpcId"]
        elb = self.aws.client("elbv2", region)
        made = elb.create_target_group(Name="mm", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="instance")
        arn: str = made["TargetGroups"][0]["TargetGroupArn"]
        self.aws.state.registering_seconds = 0.0
        elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": host.id} for host in hosts])
        for host in hosts:
            host.groups = (arn,)
            host.says()
        return arn

    def queue(self, host: Played) -> str:
        """Give the host its queue, subscribed to the fleet's topic; gives its URL."""
        nothing: dict[str, Any] = dict.fromkeys(TriggerFleet.__dataclass_fields__)
        return plumbing.connect(
            self.aws, host.region, host.id, [TriggerFleet(**{**nothing, "name": NAME, "regions": (EAST, WEST)})]
        )

    def pass_time(self, **span: float) -> None:
        """Time passes; hosts that are not silent say again what they said."""
        self.clock.advance(timedelta(**span))
        for host in self.hosts.values():
            if not host.silent:
                host.says()

    # ── S3 ──

    def body(self) -> bytes:
        """The order's object."""
        found: bytes = self.s3.get_object(Bucket=BUCKET, Key=KEY)["Body"].read()
        return found

    def order(self) -> Order:
        """The order, as the controller that signed it reads it."""
        return own_order(self.body(), self.key)

    def put(self, body: bytes) -> None:
        """Somebody writes there."""
        self.s3.put_object(Bucket=BUCKET, Key=KEY, Body=body)

    def written(self) -> list[dict[str, Any]]:
        """Everything that was ever written there, oldest first."""
        listed = self.s3.list_object_versions(Bucket=BUCKET, Prefix=KEY).get("Versions", [])
        bodies = [self.s3.get_object(Bucket=BUCKET, Key=KEY, VersionId=each["VersionId"])["Body"] for each in listed]
        return [json.loads(body.read()) for body in reversed(bodies)]

    # ── the reconciler's words ──

    def fleet(self, version: str = "2.3.1", deploy: Mapping[str, Any] | None = None, **changes: Any) -> Fleet:
        environment = Environment(name="prod", account=ACCOUNT, regions=(EAST, WEST), trigger={"bucket": BUCKET})
        jar = Package(
            name="mm", version=version, format="file", source="s3://example-builds/mm/{version}/mm.jar", destination="m"
        )
        how = {**DEPLOY, **(deploy or {})}
        fleet = Fleet(
            name=NAME,
            environment=environment,
            service="mm",
            components={"package/mm": version},
            packages=(jar,),
            deploy_type="trigger",
            deploy=how,
            target_digest=hashlib.sha256(version.encode()).hexdigest(),
            spec_digest=hashlib.sha256(json.dumps([version, how]).encode()).hexdigest(),
            identity_digest="d" * 64,
            policy=Policy(),
        )
        return replace(fleet, **changes)

    def intent(self, host: Played, fleet: Fleet | None = None, attempt: int = 1, **changes: Any) -> Intent:
        fleet, now = fleet or self.fleet(), self.clock.now()
        intent = Intent(
            key=f"fairlead:main:{NAME}:{'c' * 12}:{fleet.target_digest[:12]}:{host.id}:w1:a{attempt}",
            fleet=fleet,
            repository="main",
            setting_commit="c" * 40,
            unit=host.id,
            wave=1,
            attempt=attempt,
            kind=Kind.DEPLOY,
            created_at=now,
            settle_at=now + timedelta(seconds=45),
            deadline=now + timedelta(hours=2),
            starts=1,
        )
        return replace(intent, **changes)

    def standing(self, *admitted: Played, fleet: Fleet | None = None, **changes: Any) -> Standing:
        """These hosts run the fleet's version, all others 2.3.0."""
        standing = Standing(
            target=Release(fleet=fleet or self.fleet(), setting_commit="c" * 40),
            base=Release(fleet=self.fleet("2.3.0"), setting_commit="b" * 40),
            admitted=frozenset(host.id for host in admitted),
        )
        return replace(standing, **changes)

    def settled(self, version: str = "2.3.0") -> Standing:
        """All hosts run the version, joiners too."""
        release = Release(fleet=self.fleet(version), setting_commit="b" * 40)
        return Standing(target=release, base=release)

    def start(self, *intents: Intent, snapshots: Snapshots | None = None, by: Trigger | None = None) -> list[Outcome]:
        """Start them, after a look."""
        numbers = {intent.unit: intent.attempt for intent in intents if intent.attempt > 1}
        fleet = intents[0].fleet
        admitted = frozenset(intent.unit for intent in intents)
        standing = self.standing(fleet=fleet, admitted=admitted, attempts=numbers)
        seen = self.look(fleet, by) if snapshots is None else snapshots
        return list((by or self.deployer).start(intents, standing, seen, self.lease))

    def abort(self, *outcomes: Outcome, standing: Standing | None = None) -> list[Outcome]:
        """Ask for their end, after a look."""
        seen = self.look(outcomes[0].intent.fleet)
        return list(self.deployer.abort(outcomes, standing, seen, self.lease))

    def uphold(self, standing: Standing | None, by: Trigger | None = None) -> str:
        return (by or self.deployer).uphold(self.fleet(), standing, self.look(by=by), self.lease)

    def look(self, fleet: Fleet | None = None, by: Trigger | None = None) -> dict[str, Snapshot]:
        """A pass's look: what the feeds know, and a narrow read."""
        fresh = (by or self.deployer).refresh(fleet or self.fleet(), (), self.heard())
        return {**self.heard(), **fresh}

    def heard(self) -> dict[str, Snapshot]:
        """The reports feed's snapshots."""
        at = self.deaf_since or self.clock.now()
        names = {region: reports_feed(ACCOUNT, region, "prod") for region in self.reports}
        return {
            name: Snapshot(feed=name, body={"hosts": dict(self.reports[region])}, read_at=at)
            for region, name in names.items()
        }

    def check(self, outcome: Outcome) -> Outcome:
        """Where it stands."""
        fleet = outcome.intent.fleet
        return self.deployer.check(outcome, self.look(fleet), self.clock.now())

    def observed(self, fleet: Fleet | None = None) -> Observed:
        fleet = fleet or self.fleet()
        return self.deployer.observe(fleet, self.look(fleet))

    def unit(self, host: Played) -> Unit:
        return next(unit for unit in self.observed().units if unit.id == host.id)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Aws, Road, Sessions]]:
    """What takes long to make. Every test has an AWS with nothing in it all the same."""
    with pytest.MonkeyPatch.context() as patch, Aws() as aws:
        for name, value in aws.environment().items():
            patch.setenv(name, value)
        road = Road(aws)
        yield aws, road, Sessions(max_attempts=1, endpoint_url=road.url)
        road.close()


@pytest.fixture
def rig(shared: tuple[Aws, Road, Sessions], tmp_path: Path) -> Iterator[Rig]:
    aws, road, sessions = shared
    aws.state = AwsState()
    yield Rig(aws, road, sessions, tmp_path)
    road.clear()


@dataclass
class Passes:
    """Whole passes of the reconciler over the rig's fleet, with a real ledger."""

    rig: Rig
    observe_only: bool = False

    def __post_init__(self) -> None:
        self.deployer = self.rig.deployer
        self.open()

    def open(self) -> None:
        self.ledger = open_ledger(f"sqlite:///{self.rig.folder / 'ledger.db'}", self.rig.clock)

    def lose_ledger(self) -> None:
        self.ledger.close()
        for file in self.rig.folder.glob("ledger.db*"):
            file.unlink()
        self.open()

    def commit(self, fleet: Fleet | None, *, reverts: tuple[str, ...] = (), name: str = "") -> str:
        """A head that declares the fleet."""
        sha = hashlib.sha1((name or fleet.version if fleet else "gone").encode(), usedforsecurity=False).hexdigest()
        sound = {NAME: fleet} if fleet is not None else {}
        settings = {
            key: Setting(commit=sha, target_digest=each.target_digest, reverts=reverts) for key, each in sound.items()
        }
        head = Revision(sha=sha, parents=(), author="Ada", committed_at=self.rig.clock.now(), subject="set")
        state = DesiredState(environments=("prod",), fleets=sound, declared=frozenset(sound), problems=())
        change = RevisionChange(repository="main", head=head, desired=state, settings=settings, at=self.rig.clock.now())
        self._within("repository:main", lambda lease: self.ledger.record_revision(lease, change))
        return sha

    def once(self) -> datetime | None:
        """Feed the reports, then one pass."""
        for name, snapshot in self.rig.heard().items():
            parts = {NAME: snapshot.body}
            self._within(
                f"reports:{name}",
                lambda lease, name=name, parts=parts, at=snapshot.read_at: self.ledger.record_snapshots(
                    lease, name, parts, at
                ),
            )
        world = World(
            ledger=self.ledger,
            deployers={"trigger": self.deployer},
            clock=self.rig.clock,
            observe_only=self.observe_only,
        )
        again: datetime | None = self._within(f"fleet:{NAME}", lambda lease: reconcile(NAME, world, lease))
        return again

    def settle(self) -> None:
        """Passes until one asks for no other at once."""
        for _ in range(12):
            again = self.once()
            if again is None or again > self.rig.clock.now():
                return
        raise AssertionError("the fleet never came to rest")

    def ask(self, ask: Ask) -> None:
        self.ledger.request(NAME, ask, "ada", self.rig.clock.now())

    def _within(self, key: str, work: Callable[[Any], Any]) -> Any:
        self.ledger.add([key])
        due = next(
            each for each in self.ledger.claim(key.partition(":")[0], 9, timedelta(seconds=30)) if each.key == key
        )
        found = work(due.lease)
        self.ledger.finish(due)
        return found

    @property
    def record(self) -> Record:
        found = self.ledger.load(NAME)
        assert found is not None
        return found

    @property
    def said(self) -> tuple[str, str]:
        """The reason and sentence that the fleet stands under."""
        status = self.record.memory.status
        return status.reason, status.message

    @property
    def in_flight(self) -> set[str]:
        return {outcome.intent.unit for outcome in self.record.work if outcome.phase is not Phase.INTENDED}


@pytest.fixture
def passes(rig: Rig) -> Iterator[Passes]:
    found = Passes(rig)
    yield found
    found.ledger.close()
