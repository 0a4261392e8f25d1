"""The Spinnaker deployer against a Gate that bakes and deploys onto a real AWS API (moto)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from desired_state.model import Environment, Fleet, Package
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline
from fairlead_sandbox.world import seed_cluster
from reconciler.observed import Unit
from reconciler.ports import LeaseLost
from reconciler.work import Intent, Kind, Outcome, Release, Standing

EAST, WEST = "us-east-1", "eu-west-1"
CLUSTER = "checkout-prod"
PARAMETERS = {
    "version": "PKG_VERSION",
    "region": "REGION",
    "commit": "COMMIT",
    "config": "CONFIG",
    "wave": "WAVE",
    "fairleadKey": "FAIRLEAD_KEY",
}
DEPLOY = {
    "application": "checkout",
    "pipeline": "deploy-{region}",
    "parameters": PARAMETERS,
    "select": {"cluster": CLUSTER},
    "health": {"within": "0s"},
}


@dataclass
class Lease:
    """A lease that counts how often it was asked, and can be lost before the nth time."""

    key: str = "fleet:prod/checkout"
    asked: int = 0
    lost_at: int | None = None

    def check(self) -> None:
        self.asked += 1
        if self.lost_at is not None and self.asked >= self.lost_at:
            raise LeaseLost("another owner")


@dataclass
class Rig:
    """One fleet in two regions, its pipelines, and the deployer."""

    aws: Aws
    gate: Gate
    lease: Lease = field(default_factory=Lease)
    bucket: str = field(default_factory=lambda: f"example-fairlead-{uuid4().hex}")  # moto shares names between servers

    def __post_init__(self) -> None:
        self.clock = SystemClock()
        self.deployer = Spinnaker(sessions=Sessions(max_attempts=1), gates=Gates({}, timeout=5), clock=self.clock)

    def fleet(self, version: str = "1.4.2", deploy: Mapping[str, Any] | None = None, **changes: Any) -> Fleet:
        fleet = Fleet(
            name="prod/checkout",
            environment=Environment(
                name="prod",
                account=ACCOUNT,
                regions=(EAST, WEST),
                spinnaker={"url": self.gate.url},
                trigger={"bucket": self.bucket},
            ),
            service="checkout",
            components={"package/checkout": version},
            packages=(Package(name="checkout", version=version),),
            deploy_type="spinnaker",
            deploy={**DEPLOY, **(deploy or {})},
            target_digest=f"{version:0<64}".replace(".", "0"),
            spec_digest="b" * 64,
            identity_digest="c" * 64,
        )
        return replace(fleet, **changes)

    def intent(self, fleet: Fleet | None = None, unit: str = EAST, attempt: int = 1, **changes: Any) -> Intent:
        fleet, now = fleet or self.fleet(), self.clock.now()
        intent = Intent(
            key=f"fairlead:main:prod/checkout:{'a' * 12}:{fleet.target_digest[:12]}:{unit}:w1:a{attempt}",
            fleet=fleet,
            repository="main",
            setting_commit="a" * 40,
            unit=unit,
            wave=1,
            attempt=attempt,
            kind=Kind.DEPLOY,
            created_at=now,
            settle_at=now + timedelta(seconds=35),
            deadline=now + timedelta(hours=1),
            starts=1,
        )
        return replace(intent, **changes)

    def start(self, intent: Intent) -> Outcome:
        standing = Standing(target=Release(fleet=intent.fleet, setting_commit=intent.setting_commit))
        return next(iter(self.deployer.start([intent], standing, {}, self.lease)))

    def abort(self, outcome: Outcome) -> Outcome:
        return next(iter(self.deployer.abort([outcome], None, {}, self.lease)))

    def look(self, outcome: Outcome, at: datetime | None = None) -> Outcome:
        """A narrow read, and where the outcome stands by it."""
        snapshots = self.deployer.refresh(outcome.intent.fleet, [outcome], {})
        return self.deployer.check(outcome, snapshots, at or self.clock.now())

    def until_ended(self, outcome: Outcome) -> Outcome:
        for _ in range(100):
            self.gate.tick()
            outcome = self.look(outcome)
            if outcome.phase.ended:
                return outcome
        raise AssertionError(f"did not end in 100 steps: {outcome.phase} {outcome.message}")

    def unit(self, fleet: Fleet, region: str = EAST) -> Unit:
        observed = self.deployer.observe(fleet, self.deployer.refresh(fleet, (), {}))
        return next(unit for unit in observed.units if unit.id in {region, "all"})

    @property
    def executions(self) -> list[str]:
        """The ids of all executions that came into being, through starts and refusals."""
        return [entry["execution"] for entry in self.gate.access_log.starts()]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    settings = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)
    with Aws() as aws, Gate(aws, settings) as gate:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        for region in (EAST, WEST):
            seed_cluster(aws, CLUSTER, region, "checkout", "1.4.1")
            gate.pipelines.save(
                deploy_pipeline(
                    "checkout", f"deploy-{region}", CLUSTER, "checkout", regions=[region], parameters=PARAMETERS
                )
            )
        yield Rig(aws, gate)
