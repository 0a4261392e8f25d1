"""The feeds of inventories and executions, from a real AWS API and the sandbox's Gate into a real ledger."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.aws.sessions import Sessions
from adapters.clock import ManualClock
from adapters.deployers.spinnaker import Spinnaker
from adapters.deployers.trigger import Trigger
from adapters.feeds.executions import Executions
from adapters.feeds.inventories import Inventories
from adapters.feeds.pacing import Pacing
from adapters.gate.client import Gates
from adapters.ledger.store import Store, open_ledger
from desired_state.model import DesiredState, Environment, Fleet, Package, Revision, Setting
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline
from fairlead_sandbox.world import seed_cluster
from reconciler.ports import Lease, RevisionChange
from reconciler.record import Pass, Record
from reconciler.work import Intent, Kind, Outcome, Phase, Release, Standing

EAST = "us-east-1"
HERE = f"{ACCOUNT}/{EAST}"
FEED = f"inventory/{HERE}"
INTERVAL = timedelta(seconds=60)
MM = {"service": "mm", "environment": "prod"}
PARAMETERS = {"version": "PKG_VERSION", "region": "REGION", "fairleadKey": "FAIRLEAD_KEY"}


@dataclass
class Rig:
    """A ledger, a world, and the two feeds."""

    aws: Aws
    gate: Gate
    ledger: Store
    clock: ManualClock

    def __post_init__(self) -> None:
        sessions, gates = Sessions(max_attempts=1), Gates({}, timeout=5)
        self.deployer = Spinnaker(sessions=sessions, gates=gates, clock=self.clock)
        self.trigger = Trigger(sessions=sessions, clock=self.clock, signing=None)
        deployers = {"spinnaker": self.deployer, "trigger": self.trigger}
        self.inventories = Inventories(self.ledger, sessions, deployers, self.clock, INTERVAL)
        self.executions = Executions(self.ledger, gates, self.clock, INTERVAL)

    def fleet(self, name: str = "prod/checkout", role: str | None = None) -> Fleet:
        service = name.partition("/")[2]
        return Fleet(
            name=name,
            environment=Environment(
                name="prod", account=ACCOUNT, regions=(EAST,), role=role, spinnaker={"url": self.gate.url}
            ),
            service=service,
            components={f"package/{service}": "1.4.2"},
            packages=(Package(name=service, version="1.4.2"),),
            deploy_type="spinnaker",
            deploy={
                "application": service,
                "pipeline": "deploy",
                "parameters": PARAMETERS,
                "select": {"cluster": f"{service}-prod"},
            },
            target_digest="a" * 64,
            spec_digest="b" * 64,
            identity_digest="c" * 64,
        )

    def hosts_fleet(self) -> Fleet:
        """A fleet whose hosts are told by their tags, in the same region and with the same role."""
        deploy = {
            "root": "/srv/mm",
            "select": {"tags": MM},
            "run": {"unit": "mm.service"},
            "health": {"tcp": "localhost:8080"},
        }
        return replace(self.fleet("prod/mm"), deploy_type="trigger", deploy=deploy)

    def launch(self, tags: Mapping[str, str]) -> str:
        """An instance of no group; gives its id."""
        ec2, written = self.aws.client("ec2"), [{"Key": key, "Value": value} for key, value in tags.items()]
        made = ec2.run_instances(
            ImageId=images.register(self.aws, EAST, "agent", "1", self.clock.now()).id,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": written}],
        )
        return str(made["Instances"][0]["InstanceId"])

    def lease(self, key: str) -> Lease:
        """A claim of the queue's own; names that came due meanwhile are left there."""
        self.ledger.add([key])
        (due,) = self.ledger.claim(key.partition(":")[0], 1, timedelta(hours=2))
        return due.lease

    def declare(self, *fleets: Fleet) -> None:
        """Let Git declare these fleets."""
        commit = "d" * 40
        head = Revision(sha=commit, parents=(), author="Ada", committed_at=self.clock.now(), subject="set")
        named = {fleet.name: fleet for fleet in fleets}
        desired = DesiredState(environments=("prod",), fleets=named, declared=frozenset(named))
        settings = {name: Setting(commit=commit, target_digest=fleet.target_digest) for name, fleet in named.items()}
        change = RevisionChange(repository="main", head=head, desired=desired, settings=settings, at=self.clock.now())
        self.ledger.record_revision(self.lease("repository:main"), change)

    def record(self, name: str = "prod/checkout") -> Record:
        record = self.ledger.load(name)
        assert record is not None
        return record

    def due(self) -> set[str]:
        """The fleets that are due now, which takes them."""
        return {due.key for due in self.ledger.claim("fleet", 100, timedelta(seconds=1))}

    def in_flight(self, fleet: Fleet) -> Outcome:
        """An intent of the fleet, written down and started."""
        now = self.clock.now()
        intent = Intent(
            key=f"fairlead:main:{fleet.name}:{'d' * 12}:{'a' * 12}:{EAST}:w1:a1",
            fleet=fleet,
            repository="main",
            setting_commit="d" * 40,
            unit=EAST,
            wave=1,
            attempt=1,
            kind=Kind.DEPLOY,
            created_at=now,
            settle_at=now,
            deadline=now + timedelta(hours=1),
            starts=1,
        )
        self.ledger.add([f"fleet:{fleet.name}"])
        dues = {due.key: due for due in self.ledger.claim("fleet", 100, timedelta(hours=2))}
        lease = dues.pop(f"fleet:{fleet.name}").lease
        for other in dues.values():
            self.ledger.finish(other)
        standing = Standing(target=Release(fleet=intent.fleet, setting_commit=intent.setting_commit))
        (outcome,) = self.deployer.start([intent], standing, {}, lease)
        record = self.record(fleet.name)
        self.ledger.save(lease, record, self._pass(record, outcome))
        return outcome

    def _pass(self, record: Record, outcome: Outcome) -> Pass:
        return Pass(record=record, memory=record.memory, work=(outcome,), statuses=(), events=())


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Rig]:
    settings = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)
    clock = ManualClock(datetime.now(UTC))  # noqa: TID251 - the sandbox's servers run on this machine's clock
    with Aws() as aws, Gate(aws, settings) as gate:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        for service in ("checkout", "cart"):
            seed_cluster(aws, f"{service}-prod", EAST, service, "1.4.1", capacity=1)
            gate.pipelines.save(deploy_pipeline(service, "deploy", f"{service}-prod", service, regions=[EAST]))
        ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock)
        yield Rig(aws, gate, ledger, clock)
        ledger.close()


def names(part: Mapping[str, Any]) -> list[str]:
    return [group["name"] for group in part["server_groups"]]


def test_one_read_is_cut_into_the_fleets_that_live_there(rig: Rig) -> None:
    rig.declare(rig.fleet(), rig.fleet("prod/cart"))
    rig.due()

    again = rig.inventories.run(HERE, rig.lease(f"inventory:{HERE}"))

    assert again == rig.clock.now() + INTERVAL
    assert rig.inventories.names() == {HERE}
    for service in ("checkout", "cart"):
        snapshot = rig.record(f"prod/{service}").snapshots[FEED]
        assert names(snapshot.body) == [f"{service}-prod-v000"]
        observed = rig.deployer.observe(rig.fleet(f"prod/{service}"), {FEED: snapshot})
        assert [{f"package/{service}": "1.4.1"}] == [unit.components for unit in observed.units]


def hosts(rig: Rig) -> list[str]:
    return list(rig.record("prod/mm").snapshots[FEED].body["hosts"])


def test_fleets_of_both_types_are_cut_out_of_the_same_read_again_and_again(rig: Rig) -> None:
    rig.declare(rig.fleet(), rig.hosts_fleet())
    first, lease = rig.launch(MM), rig.lease(f"inventory:{HERE}")
    rig.launch({**MM, "service": "other"})
    rig.inventories.run(HERE, lease)
    assert (hosts(rig), names(rig.record().snapshots[FEED].body)) == ([first], ["checkout-prod-v000"])
    second = rig.launch(MM)
    seed_cluster(rig.aws, "checkout-prod", EAST, "checkout", "1.4.2", capacity=1)
    rig.aws.client("ec2").create_tags(Resources=[first], Tags=[{"Key": "environment", "Value": "dev"}])
    rig.due()

    rig.clock.advance(INTERVAL)
    rig.inventories.run(HERE, lease)

    assert hosts(rig) == [second]
    assert names(rig.record().snapshots[FEED].body) == ["checkout-prod-v000", "checkout-prod-v001"]
    (unit,) = rig.deployer.observe(rig.fleet(), {FEED: rig.record().snapshots[FEED]}).units
    assert (
        unit.message
        == "checkout-prod-v000 and checkout-prod-v001 are both in service: checkout 1.4.1 and 1.4.2 at once"
    )
    assert rig.due() == {"fleet:prod/checkout", "fleet:prod/mm"}


def test_only_a_fleet_whose_part_changed_becomes_due(rig: Rig) -> None:
    rig.declare(rig.fleet(), rig.fleet("prod/cart"))
    lease = rig.lease(f"inventory:{HERE}")
    rig.inventories.run(HERE, lease)
    rig.due()
    rig.clock.advance(INTERVAL)
    rig.inventories.run(HERE, lease)
    unchanged = rig.due() - {"fleet:prod/cart", "fleet:prod/checkout"}
    rig.clock.advance(timedelta(seconds=2))
    for due in rig.ledger.claim("fleet", 100, timedelta(seconds=1)):
        rig.ledger.finish(due)

    seed_cluster(rig.aws, "checkout-prod", EAST, "checkout", "1.4.2", capacity=1)
    rig.inventories.run(HERE, lease)

    assert unchanged == set()
    assert rig.due() == {"fleet:prod/checkout"}


def test_a_role_that_fails_harms_only_the_fleets_that_it_reads(rig: Rig) -> None:
    broken = "arn:aws:iam::999999999999:role/other"
    rig.declare(rig.fleet(), rig.fleet("prod/cart", role=broken))

    again = rig.inventories.run(HERE, rig.lease(f"inventory:{HERE}"))

    assert again is not None
    assert names(rig.record().snapshots[FEED].body) == ["checkout-prod-v000"]
    assert FEED not in rig.record("prod/cart").snapshots


def test_trouble_is_recorded_keeps_what_was_known_and_ends(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.declare(rig.fleet())
    lease = rig.lease(f"inventory:{HERE}")
    rig.inventories.run(HERE, lease)
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        away = Inventories(rig.ledger, Sessions(max_attempts=1), {"spinnaker": rig.deployer}, rig.clock, INTERVAL)

        again = away.run(HERE, lease)

    assert again is not None
    assert again >= rig.clock.now() + INTERVAL
    assert "the AWS endpoint cannot be reached" in rig.record().trouble[FEED]
    assert names(rig.record().snapshots[FEED].body) == ["checkout-prod-v000"]

    rig.inventories.run(HERE, lease)

    assert rig.record().trouble == {}


def test_a_place_where_no_fleet_lives_is_not_read_again(rig: Rig) -> None:
    rig.declare(rig.fleet())
    rig.aws.reset_calls()

    assert rig.inventories.run(f"{ACCOUNT}/ap-south-1", rig.lease("inventory:elsewhere")) is None
    assert sum(rig.aws.calls.values()) == 0


def test_executions_under_way_are_polled_in_one_call_and_kept_by_key(rig: Rig) -> None:
    rig.declare(rig.fleet(), rig.fleet("prod/cart"))
    outcomes = [rig.in_flight(rig.fleet()), rig.in_flight(rig.fleet("prod/cart"))]
    asked = len(rig.gate.access_log)
    assert rig.executions.names() == {rig.gate.url}

    again = rig.executions.run(rig.gate.url, rig.lease(f"executions:{rig.gate.url}"))

    assert again == rig.clock.now() + INTERVAL
    assert len(rig.gate.access_log) == asked + 1
    feed = f"executions/{rig.gate.url}"
    for outcome in outcomes:
        snapshot = rig.record(outcome.intent.fleet.name).snapshots[feed]
        assert {outcome.intent.key} == set(snapshot.body)
        assert snapshot.body[outcome.intent.key]["id"] == outcome.ticket
        assert rig.deployer.check(outcome, {feed: snapshot}, rig.clock.now()).phase is Phase.RUNNING


def test_without_work_in_flight_there_is_nothing_to_poll(rig: Rig) -> None:
    rig.declare(rig.fleet())

    assert rig.executions.run(rig.gate.url, rig.lease("executions:gate")) is None
    assert rig.executions.names() == frozenset()
    assert len(rig.gate.access_log) == 0


def test_a_gate_that_is_down_is_trouble_of_its_fleets(rig: Rig) -> None:
    rig.declare(rig.fleet())
    rig.in_flight(rig.fleet())
    rig.gate.faults.on("unavailable")

    again = rig.executions.run(rig.gate.url, rig.lease("executions:gate"))

    assert again is not None
    assert again >= rig.clock.now() + INTERVAL


def test_reads_that_fail_come_later_and_later_and_at_once_after_a_good_one() -> None:
    clock = ManualClock(datetime(2026, 11, 23, 9, 0, tzinfo=UTC))
    pacing = Pacing(clock, timedelta(seconds=10), jitter=lambda: 1.0)

    waits = [(pacing.failed("x") - clock.now()).total_seconds() for _ in range(7)]

    assert waits == [20, 40, 80, 160, 300, 300, 300]
    assert pacing.succeeded("x") == clock.now() + timedelta(seconds=10)
    assert pacing.failed("x") == clock.now() + timedelta(seconds=20)


# ── AMIs of another account ──────────────────────────────────────────────────────────────────────────────────────

BAKER = Environment(
    name="staging", account="222222222222", regions=(EAST,), role="arn:aws:iam::222222222222:role/fairlead"
)


def run_what_staging_baked(rig: Rig, *names: str) -> list[Fleet]:
    """Fleets whose groups run AMIs that the account of staging owns and shares; their tags are seen there alone."""
    ec2 = Sessions(max_attempts=1).client("ec2", EAST, role=BAKER.role, account=BAKER.account)
    for name in names:
        tags = [{"Key": f"fairlead:package/{name}", "Value": "1.4.2"}]
        image = ec2.register_image(Name=name, TagSpecifications=[{"ResourceType": "image", "Tags": tags}])["ImageId"]
        ec2.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": ACCOUNT}]})
        server_groups.create(rig.aws, EAST, f"{name}-prod-v000", image, (1, 1, 1), {})
    return [replace(rig.fleet(f"prod/{name}"), bakes=BAKER) for name in names]


def test_what_runs_is_known_by_what_the_owner_of_its_image_says(rig: Rig) -> None:
    fleets = run_what_staging_baked(rig, *(f"service{number}" for number in range(12)))
    rig.declare(*fleets)
    rig.aws.reset_calls()

    rig.inventories.run(HERE, rig.lease("inventory:one"))

    for fleet in fleets:
        (unit,) = rig.deployer.observe(fleet, rig.record(fleet.name).snapshots).units
        assert ({f"package/{fleet.service}": "1.4.2"}, True) == (unit.components, unit.healthy)
        assert unit == rig.deployer.observe(fleet, rig.deployer.refresh(fleet, (), {})).units[0]


def test_owners_are_asked_once_for_all_fleets(rig: Rig) -> None:
    rig.declare(*run_what_staging_baked(rig, *(f"service{number}" for number in range(12))))
    rig.aws.reset_calls()

    rig.inventories.run(HERE, rig.lease("inventory:one"))

    assert 2 == rig.aws.calls["ec2:DescribeImages"]  # of the region, and of who owns the images


def test_while_an_owner_cannot_be_asked_what_it_said_before_is_so(rig: Rig) -> None:
    (shared,) = run_what_staging_baked(rig, "lobby")
    rig.declare(shared)
    rig.inventories.run(HERE, rig.lease("inventory:one"))
    unreached = replace(shared, bakes=replace(BAKER, role="arn:aws:iam::333333333333:role/fairlead"))
    rig.clock.advance(timedelta(hours=3))  # the leases that were taken above run out
    rig.declare(unreached)
    fresh = Rig(rig.aws, rig.gate, rig.ledger, rig.clock)  # another process, which was told nothing yet

    fresh.inventories.run(HERE, rig.lease("inventory:again"))

    record = rig.record("prod/lobby")
    for snapshots in (record.snapshots, fresh.deployer.refresh(unreached, (), record.snapshots)):
        observed = fresh.deployer.observe(unreached, snapshots)
        assert [{"package/lobby": "1.4.2"}] == [unit.components for unit in observed.units]
        assert () == observed.missing
    assert {} == record.trouble


def test_an_image_whose_owner_never_said_anything_is_unknown_and_nothing_is_concluded_from_it(rig: Rig) -> None:
    (shared,) = run_what_staging_baked(rig, "lobby")
    seed_cluster(rig.aws, "checkout-prod", EAST, "checkout", "1.4.2")
    unreached = replace(BAKER, role="arn:aws:iam::333333333333:role/fairlead")
    lobby, own = replace(shared, bakes=unreached), replace(rig.fleet(), bakes=unreached)
    rig.declare(lobby, own)

    rig.inventories.run(HERE, rig.lease("inventory:one"))

    assert () == rig.deployer.observe(own, rig.record().snapshots).missing
    for snapshots in (rig.record("prod/lobby").snapshots, rig.deployer.refresh(lobby, (), {})):
        observed = rig.deployer.observe(lobby, snapshots)
        (unit,) = observed.units
        assert {} == unit.components
        assert re.search("the version of ami-.* is unknown: .* reaches account 333333333333", unit.message)
        assert re.search("the version of ami-.* reaches account 333333333333", *observed.missing)
