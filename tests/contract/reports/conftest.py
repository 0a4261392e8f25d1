"""A reports queue on the sandbox's AWS, hosts that send into it as themselves, and a ledger that keeps their words."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from adapters.agent_protocol.reports import Report
from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock, SystemClock
from adapters.feeds.reports import Reports
from adapters.ledger.store import Store, open_ledger
from desired_state.model import DesiredState, Environment, Fleet, Package, Revision, Setting
from fairlead_sandbox.aws import ACCOUNT, Aws
from reconciler.ports import Due, RevisionChange
from reconciler.record import Record

EAST = "us-east-1"
NAME = f"{ACCOUNT}/{EAST}/prod"
FEED = f"reports/{NAME}"
QUEUE = "fairlead-reports-prod"
HOST, OTHER = "i-0123456789abcdef0", "i-0123456789abcdef1"
WAIT = timedelta(0)  # the sandbox has no servers to be asked all of
LEASE = timedelta(days=30)


class Log:
    """What was logged, as (event, values)."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Mapping[str, object]]] = []

    def info(self, event: str, **values: object) -> None:
        self.lines.append((event, values))

    warning = exception = info


def fleet(name: str = "prod/mm", deploy_type: str = "trigger", **deploy: Any) -> Fleet:
    return Fleet(
        name=name,
        environment=Environment(
            name=name.partition("/")[0], account=ACCOUNT, regions=(EAST,), trigger={"bucket": "example-fairlead-prod"}
        ),
        service=name.partition("/")[2],
        components={"package/mm": "1.0.0"},
        packages=(Package(name="mm", version="1.0.0"),),
        deploy_type=deploy_type,
        deploy={
            "root": "/srv/mm",
            "select": {"tags": {"service": "mm"}},
            "run": {"unit": "mm.service"},
            "health": {"tcp": "localhost:80"},
            **deploy,
        },
        target_digest="a" * 64,
        spec_digest="b" * 64,
        identity_digest="c" * 64,
    )


@dataclass
class Bench:
    """One queue and one ledger, and a feed between them."""

    aws: Aws
    url: str
    log: Log = field(default_factory=Log)
    senders: dict[str, Any] = field(default_factory=dict)
    numbers: int = 0
    commits: int = 0

    def __post_init__(self) -> None:
        self.clock = ManualClock(SystemClock().now())
        self.ledger = self.another()
        self.feed = self.reader()

    def another(self) -> Store:
        """The ledger, as another process holds it."""
        return open_ledger(self.url, self.clock)

    def reader(self, ledger: Store | None = None, wait: timedelta = WAIT, sessions: Any = None) -> Reports:
        return Reports(ledger or self.ledger, sessions or Sessions(max_attempts=1), self.clock, wait, self.log)

    # ── the queue ──

    def make_queue(self) -> None:
        self.aws.client("sqs").create_queue(QueueName=QUEUE)

    @property
    def address(self) -> str:
        found: str = self.aws.client("sqs").get_queue_url(QueueName=QUEUE)["QueueUrl"]
        return found

    def left(self) -> int:
        """Messages in the queue, hidden or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        asked = self.aws.client("sqs").get_queue_attributes(QueueUrl=self.address, AttributeNames=names)
        return sum(int(asked["Attributes"][name]) for name in names)

    def sender(self, session: str) -> Any:
        """SQS as somebody who assumed the hosts' role under that name."""
        if session not in self.senders:
            role = f"arn:aws:iam::{ACCOUNT}:role/fairlead-host"
            made = self.aws.client("sts").assume_role(RoleArn=role, RoleSessionName=session)["Credentials"]
            self.senders[session] = boto3.client(
                "sqs",
                region_name=EAST,
                endpoint_url=self.aws.endpoint_url,
                aws_access_key_id=made["AccessKeyId"],
                aws_secret_access_key=made["SecretAccessKey"],
                aws_session_token=made["SessionToken"],
            )
        return self.senders[session]

    def report(self, host: str = HOST, fleet: str = "prod/mm", version: str = "1.0.0", **more: Any) -> Report:
        self.numbers += 1
        said = Report(
            host=host,
            fleet=fleet,
            agent="0.1.0",
            number=self.numbers,
            at=self.clock.now(),
            components={"package/mm": version},
            running=True,
            healthy=True,
        )
        return replace(said, **more)

    def send(self, *reports: Report | str, by: str = "") -> None:
        """Each from its own host, or all by that session."""
        for report in reports:
            body = report if isinstance(report, str) else report.text()
            session = by or (report.host if isinstance(report, Report) else HOST)
            self.sender(session).send_message(QueueUrl=self.address, MessageBody=body)

    def send_many(self, host: str, reports: Sequence[Report]) -> None:
        for start in range(0, len(reports), 10):
            entries = [
                {"Id": str(place), "MessageBody": each.text()} for place, each in enumerate(reports[start : start + 10])
            ]
            self.sender(host).send_message_batch(QueueUrl=self.address, Entries=entries)

    def until_visible(self) -> None:
        """Return when what somebody had taken and did not delete can be read again."""
        names = ["ApproximateNumberOfMessagesNotVisible"]
        until = time.monotonic() + 60
        while (
            self.aws.client("sqs").get_queue_attributes(QueueUrl=self.address, AttributeNames=names)["Attributes"][
                names[0]
            ]
            != "0"
        ):
            assert time.monotonic() < until, "still hidden"
            time.sleep(0.05)

    # ── the ledger ──

    def claim(self, key: str = f"reports:{NAME}", lease: timedelta = LEASE, ledger: Store | None = None) -> Due:
        store = ledger or self.ledger
        store.add([key])
        (due,) = store.claim(key.partition(":")[0], 1, lease)
        return due

    def declare(self, *fleets: Fleet) -> None:
        """Let Git declare these fleets, and nothing be due."""
        self.commits += 1
        commit = f"{self.commits:040x}"
        head = Revision(sha=commit, parents=(), author="Ada", committed_at=self.clock.now(), subject="set")
        named = {one.name: one for one in fleets}
        desired = DesiredState(environments=("prod",), fleets=named, declared=frozenset(named))
        settings = {name: Setting(commit=commit, target_digest=one.target_digest) for name, one in named.items()}
        change = RevisionChange(repository="main", head=head, desired=desired, settings=settings, at=self.clock.now())
        due = self.claim("repository:main")
        self.ledger.record_revision(due.lease, change)
        self.ledger.finish(due)
        self.due()

    def due(self) -> set[str]:
        """The fleets that are due; then none is."""
        dues = self.ledger.claim("fleet", 1000, LEASE)
        for each in dues:
            self.ledger.finish(each)
        return {each.key.partition(":")[2] for each in dues}

    def run(self, feed: Reports | None = None) -> set[str]:
        """One look, and the fleets that it made due."""
        due = self.claim()
        (feed or self.feed).run(NAME, due.lease)
        self.ledger.finish(due)
        return self.due()

    def record(self, name: str = "prod/mm") -> Record:
        record = self.ledger.load(name)
        assert record is not None
        return record

    def hosts(self, name: str = "prod/mm") -> dict[str, Any]:
        """What the fleet's part holds, by host."""
        found: dict[str, Any] = dict(self.record(name).snapshots[FEED].body["hosts"])
        return found

    def versions(self, name: str = "prod/mm") -> dict[str, str]:
        return {host: said["components"]["package/mm"] for host, said in self.hosts(name).items()}

    def told(self) -> list[str]:
        return [event for event, _ in self.log.lines]


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bench]:
    """No queue, no fleet."""
    with Aws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        bench = Bench(aws, f"sqlite:///{tmp_path / 'ledger.db'}")
        yield bench
        bench.ledger.close()
        for client in bench.senders.values():
            client.close()


@pytest.fixture
def bench(empty: Bench) -> Bench:
    """A queue, and one fleet; it was read once, so nothing is due."""
    empty.make_queue()
    empty.declare(fleet())
    empty.run()
    return empty


class Build:
    """The builders and names, handed to tests as one fixture."""

    fleet = staticmethod(fleet)
    host, other, feed, name, queue = HOST, OTHER, FEED, NAME, QUEUE

    @staticmethod
    def document(report: Report) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(report.text())
        return found


@pytest.fixture
def build() -> type[Build]:
    return Build
