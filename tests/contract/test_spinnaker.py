"""The Spinnaker deployer against a Gate that bakes and deploys onto a real AWS API (moto)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
import yaml

from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from desired_state.model import Config, Environment, Fleet, Package
from fairlead_sandbox import server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline
from fairlead_sandbox.world import seed_cluster
from reconciler.drift import detect_drift
from reconciler.observed import Unit
from reconciler.ports import LeaseLost, Unreadable
from reconciler.reasons import Reason
from reconciler.work import Failure, Intent, Kind, Outcome, Phase, Release

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
        return self.deployer.start(intent, self.lease)

    def look(self, outcome: Outcome, at: datetime | None = None) -> Outcome:
        """A narrow read, and where the outcome stands by it."""
        snapshots = self.deployer.refresh(outcome.intent.fleet, [outcome])
        return self.deployer.check(outcome, snapshots, at or self.clock.now())

    def until_ended(self, outcome: Outcome) -> Outcome:
        for _ in range(100):
            self.gate.tick()
            outcome = self.look(outcome)
            if outcome.phase.ended:
                return outcome
        raise AssertionError(f"did not end in 100 steps: {outcome.phase} {outcome.message}")

    def unit(self, fleet: Fleet, region: str = EAST) -> Unit:
        observed = self.deployer.observe(fleet, self.deployer.refresh(fleet, ()))
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


def test_what_runs_is_observed_in_every_region(rig: Rig) -> None:
    fleet = rig.fleet()

    observed = rig.deployer.observe(fleet, rig.deployer.refresh(fleet, ()))

    assert [Unit(id=region, components={"package/checkout": "1.4.1"}, healthy=True) for region in (EAST, WEST)] == list(
        observed.units
    )
    assert detect_drift(Release(fleet=fleet, setting_commit="a" * 40), observed).units == {EAST, WEST}
    assert observed.missing == ()


def test_a_region_that_was_not_read_is_missing(rig: Rig) -> None:
    fleet = rig.fleet()
    snapshots = dict(rig.deployer.refresh(fleet, ()))
    snapshots.pop(f"inventory/{ACCOUNT}/{WEST}")

    assert rig.deployer.observe(fleet, snapshots).missing == (f"inventory/{ACCOUNT}/{WEST}",)


def test_a_deploy_bakes_deploys_and_is_done_when_the_group_is_healthy(rig: Rig) -> None:
    outcome = rig.start(rig.intent())
    assert (outcome.phase, [outcome.ticket]) == (Phase.RUNNING, rig.executions)

    ended = rig.until_ended(outcome)

    assert (ended.phase, ended.message) == (Phase.SUCCEEDED, f"{EAST} runs 1.4.2 and is healthy")
    assert rig.unit(rig.fleet()) == Unit(id=EAST, components={"package/checkout": "1.4.2"}, healthy=True)
    assert rig.unit(rig.fleet(), WEST).components == {"package/checkout": "1.4.1"}
    assert rig.lease.asked == 1


def test_the_pipeline_is_called_as_documented(rig: Rig) -> None:
    intent = rig.intent()
    rig.start(intent)

    (sent,) = rig.gate.access_log.triggers()

    assert sent["path"] == f"/pipelines/checkout/deploy-{EAST}"
    assert sent["body"]["parameters"] == {
        "PKG_VERSION": "1.4.2",
        "REGION": EAST,
        "COMMIT": "a" * 40,
        "WAVE": "1",
        "FAIRLEAD_KEY": intent.key,
    }
    assert (sent["body"]["type"], sent["body"]["user"]) == ("manual", "fairlead")
    assert sent["body"]["correlationId"] == intent.key
    assert sent["body"]["fairlead"] == {
        "fleet": "prod/checkout",
        "commit": "a" * 40,
        "target": intent.fleet.target_digest,
        "unit": EAST,
        "wave": 1,
        "attempt": 1,
    }


# -- at most once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["error_after_accepting", "drop_after_accepting"])
def test_a_start_whose_answer_is_lost_is_found_and_not_repeated(rig: Rig, fault: str) -> None:
    rig.gate.faults.on(fault, times=1)

    outcome = rig.start(rig.intent())

    assert (outcome.phase, [outcome.ticket]) == (Phase.RUNNING, rig.executions)
    assert len(rig.gate.access_log.triggers()) == 1


@pytest.mark.parametrize("fault", ["unavailable", "too_many_requests", "html", "drop_before_accepting"])
def test_trouble_leaves_the_intent_intended_and_a_later_start_does_it_once(rig: Rig, fault: str) -> None:
    intent = rig.intent()
    rig.gate.faults.on(fault)
    first = rig.start(intent)
    rig.gate.faults.clear()

    second = rig.start(replace(intent, starts=2))

    assert (first.phase, first.ticket, first.reason) == (Phase.INTENDED, None, Reason.GATE_UNREACHABLE)
    assert (second.phase, [second.ticket]) == (Phase.RUNNING, rig.executions)


def test_the_same_key_again_while_it_runs_is_the_same_execution(rig: Rig) -> None:
    intent = rig.intent()
    first = rig.start(intent)

    again = rig.start(intent)

    assert (again.phase, again.ticket) == (Phase.RUNNING, first.ticket)
    assert again.message == f"adopted execution {first.ticket}, which was started for this key already"
    assert len(rig.executions) == 1


def test_the_same_key_again_after_its_end_starts_nothing(rig: Rig) -> None:
    intent = rig.intent()
    ended = rig.until_ended(rig.start(intent))

    again = rig.start(intent)

    assert (again.phase, again.ticket) == (Phase.RUNNING, ended.ticket)
    assert rig.look(again).phase is Phase.SUCCEEDED
    assert len(rig.executions) == 1


def test_an_earlier_lifes_attempt_only_uses_up_its_number(rig: Rig) -> None:
    intent = rig.intent()
    rig.until_ended(rig.start(intent))
    reborn = replace(intent, created_at=intent.created_at + timedelta(minutes=10))

    outcome = rig.start(reborn)

    assert outcome.phase is Phase.USED_UP
    assert len(rig.executions) == 1
    assert rig.start(rig.intent(attempt=2)).phase is Phase.RUNNING
    assert len(rig.executions) == 2


def test_of_two_at_once_the_earlier_is_kept_and_the_later_cancelled(rig: Rig) -> None:
    intent = rig.intent()
    rig.gate.faults.on("accept_slowly", seconds=0.2)
    racers = [Thread(target=rig.start, args=(intent,)) for _ in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(rig.executions) == 2

    outcome = rig.start(intent)

    kept, later = sorted(rig.executions)
    assert outcome.ticket == kept
    assert [(f"/pipelines/{later}/cancel")] == [entry["path"] for entry in rig.gate.access_log.entries(method="PUT")]
    assert rig.until_ended(outcome).phase is Phase.SUCCEEDED


def test_an_intent_without_a_ticket_finds_its_execution_by_a_look(rig: Rig) -> None:
    intent = rig.intent()
    started = rig.start(intent)

    seen = rig.look(Outcome(intent=intent, phase=Phase.INTENDED))
    unseen = rig.look(Outcome(intent=rig.intent(attempt=7), phase=Phase.INTENDED))

    assert (seen.phase, seen.ticket) == (Phase.RUNNING, started.ticket)
    assert (unseen.phase, unseen.ticket) == (Phase.INTENDED, None)


def test_a_lost_lease_sends_nothing(rig: Rig) -> None:
    rig.lease.lost_at = 1

    with pytest.raises(LeaseLost):
        rig.start(rig.intent())

    assert rig.gate.access_log.triggers() == []


# -- refusals --------------------------------------------------------------------------------------------------------


def test_a_pipeline_that_does_not_exist_is_refused(rig: Rig) -> None:
    outcome = rig.start(rig.intent(rig.fleet(deploy={"pipeline": "nowhere"})))

    assert (outcome.phase, outcome.failure, outcome.reason) == (Phase.FAILED, Failure.REFUSED, Reason.DEPLOY_REFUSED)
    assert "404" in outcome.message


def test_a_disabled_pipeline_is_refused_and_its_recorded_execution_named(rig: Rig) -> None:
    config = rig.gate.pipelines.find("checkout", f"deploy-{EAST}")
    assert config is not None
    rig.gate.pipelines.change(config["id"], disabled=True)

    outcome = rig.start(rig.intent())

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.REFUSED)
    assert "Pipeline is disabled" in outcome.message
    assert outcome.ticket is not None


def test_a_pipeline_may_be_named_by_its_id(rig: Rig) -> None:
    config = rig.gate.pipelines.find("checkout", f"deploy-{EAST}")
    assert config is not None
    intent = rig.intent(rig.fleet(deploy={"pipeline": config["id"]}))

    first, again = rig.start(intent), rig.start(intent)

    assert (first.ticket, first.phase) == (again.ticket, Phase.RUNNING)


def test_an_expression_is_refused_before_anything_is_sent(rig: Rig) -> None:
    outcome = rig.start(rig.intent(rig.fleet("${1+1}", target_digest="d" * 64)))

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.REFUSED)
    assert rig.gate.access_log.triggers() == []


# -- ends ------------------------------------------------------------------------------------------------------------


def test_a_version_that_never_gets_healthy_fails_with_the_stages_words(rig: Rig) -> None:
    rig.gate.faults.on("unhealthy_version", version="1.4.2")

    ended = rig.until_ended(rig.start(rig.intent()))

    assert (ended.phase, ended.failure, ended.reason) == (Phase.FAILED, Failure.UNHEALTHY, Reason.PIPELINE_FAILED)
    assert "0 of 2 instances of checkout-prod-v001 are up" in ended.message
    assert rig.unit(rig.fleet()) == Unit(
        id=EAST,
        components={},
        healthy=False,
        message="checkout-prod-v000 and checkout-prod-v001 are both in service: checkout 1.4.1 and 1.4.2 at once; "
        "checkout-prod-v001: 0 of 2 instances healthy",
    )


def test_a_pipeline_that_succeeds_and_deploys_nothing_is_not_believed(rig: Rig) -> None:
    rig.gate.faults.on("deploys_nothing")

    ended = rig.until_ended(rig.start(rig.intent()))

    assert (ended.phase, ended.failure, ended.reason) == (Phase.FAILED, Failure.UNHEALTHY, Reason.UNHEALTHY)
    assert "SUCCEEDED but us-east-1 is not at it: package/checkout is 1.4.1" in ended.message


def test_a_run_that_never_started_is_the_roads_fault(rig: Rig) -> None:
    rig.gate.faults.on("terminal_at_once", times=1)

    ended = rig.until_ended(rig.start(rig.intent()))

    assert (ended.phase, ended.failure) == (Phase.FAILED, Failure.TRANSIENT)


def test_a_fresh_execution_that_gate_does_not_show_yet_is_waited_for(rig: Rig) -> None:
    rig.gate.faults.on("late_reads", reads=4, times=1)
    outcome = rig.start(rig.intent())

    assert rig.look(outcome).phase is Phase.RUNNING
    assert rig.until_ended(outcome).phase is Phase.SUCCEEDED


def test_an_abort_is_over_when_the_execution_is_seen_ended(rig: Rig) -> None:
    outcome = rig.start(rig.intent())
    aborting = rig.deployer.abort(outcome, rig.lease)
    assert (aborting.phase, rig.look(aborting).phase) == (Phase.ABORTING, Phase.ABORTING)

    assert rig.until_ended(aborting).phase is Phase.ABORTED
    (cancel,) = rig.gate.access_log.entries(method="PUT")
    assert cancel["query"]["reason"].startswith("fairlead: ")


def test_an_abort_that_does_nothing_is_found_stuck_at_the_deadline(rig: Rig) -> None:
    rig.gate.faults.on("zombie")
    outcome = rig.start(rig.intent())
    rig.gate.tick()
    aborting = rig.deployer.abort(outcome, rig.lease)

    late = rig.look(aborting, at=outcome.intent.created_at + timedelta(hours=1))

    assert (late.phase, late.reason) == (Phase.ABORTING, Reason.EXECUTION_STUCK)


def test_an_abort_looks_for_what_an_unanswered_start_may_have_started(rig: Rig) -> None:
    intent = rig.intent()
    rig.start(intent)

    aborting = rig.deployer.abort(Outcome(intent=intent, phase=Phase.INTENDED), rig.lease)

    assert (aborting.phase, [aborting.ticket]) == (Phase.ABORTING, rig.executions)
    assert rig.until_ended(aborting).phase is Phase.ABORTED


def test_an_abort_that_gate_does_not_hear_is_not_said_to_have_happened(rig: Rig) -> None:
    outcome = rig.start(rig.intent())
    rig.gate.faults.on("unavailable")

    unheard = rig.deployer.abort(outcome, rig.lease)

    assert (unheard.phase, unheard.reason) == (Phase.RUNNING, Reason.GATE_UNREACHABLE)


def test_a_superseded_run_is_the_roads_fault(rig: Rig) -> None:
    config = rig.gate.pipelines.find("checkout", f"deploy-{EAST}")
    assert config is not None
    rig.gate.pipelines.change(config["id"], limitConcurrent=True)
    rig.start(rig.intent(attempt=1))
    rig.gate.tick()
    queued = rig.start(rig.intent(attempt=2))
    rig.gate.tick()
    rig.start(rig.intent(attempt=3))

    ended = rig.until_ended(queued)

    assert (ended.failure, ended.reason) == (Failure.TRANSIENT, Reason.EXECUTION_SUPERSEDED)


def test_a_gate_that_is_down_makes_a_look_unreadable(rig: Rig) -> None:
    outcome = rig.start(rig.intent())
    rig.gate.faults.on("unavailable")

    with pytest.raises(Unreadable, match="Gate failed when asked to show the executions under way"):
        rig.look(outcome)


# -- what an image cannot show ---------------------------------------------------------------------------------------


def test_configuration_goes_to_s3_by_digest_and_is_observed_back_by_tag(rig: Rig) -> None:
    config = Config(destination="checkout.yaml", format="yaml", values={"mode": "on", "size": 3}, digest="e" * 64)
    components = {"package/checkout": "1.4.2", "config/checkout": config.digest, "redeploy": "again"}
    fleet = rig.fleet(config=config, components=components)

    rig.aws.client("s3").create_bucket(Bucket=rig.bucket)

    ended = rig.until_ended(rig.start(rig.intent(fleet)))

    (sent,) = rig.gate.access_log.triggers()
    address = f"s3://{rig.bucket}/config/checkout/{config.digest}.yaml"
    assert sent["body"]["parameters"]["CONFIG"] == address
    stored = (
        rig.aws.client("s3").get_object(Bucket=rig.bucket, Key=f"config/checkout/{config.digest}.yaml")["Body"].read()
    )
    assert yaml.safe_load(stored) == {"mode": "on", "size": 3}
    assert ended.phase is Phase.SUCCEEDED
    assert rig.unit(fleet).components == components


def test_a_bucket_that_is_not_there_fails_the_start_before_the_pipeline(rig: Rig) -> None:
    config = Config(destination="checkout.yaml", format="yaml", values={}, digest="e" * 64)
    fleet = rig.fleet(config=config)
    fleet = replace(fleet, environment=replace(fleet.environment, trigger={"bucket": "no-such-bucket"}))

    outcome = rig.start(rig.intent(fleet))

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.TRANSIENT)
    assert "s3://no-such-bucket/config/checkout" in outcome.message
    assert rig.gate.access_log.triggers() == []


def test_drift_by_hand_is_seen_by_a_narrow_look(rig: Rig) -> None:
    fleet = rig.fleet("1.4.1")
    assert rig.unit(fleet).components == {"package/checkout": "1.4.1"}
    other = seed_cluster(rig.aws, "other-prod", EAST, "checkout", "6.6.6")
    image = server_groups.read(rig.aws, EAST, other)
    assert image is not None
    ids = [one["InstanceId"] for one in image.instances]
    reservation = rig.aws.client("ec2", EAST).describe_instances(InstanceIds=ids)["Reservations"][0]
    group = server_groups.groups_of(rig.aws, EAST, CLUSTER)[0]
    server_groups.replace_image(rig.aws, group, reservation["Instances"][0]["ImageId"])

    assert rig.unit(fleet).components == {"package/checkout": "6.6.6"}


def test_a_pipeline_without_a_region_makes_the_fleet_one_unit(rig: Rig) -> None:
    names = {"version": "PKG_VERSION", "fairleadKey": "FAIRLEAD_KEY"}
    rig.gate.pipelines.save(
        deploy_pipeline("checkout", "everywhere", CLUSTER, "checkout", regions=[EAST, WEST], parameters=names)
    )
    fleet = rig.fleet(deploy={"pipeline": "everywhere", "parameters": names})
    assert list(rig.deployer.validate(fleet)) == []

    ended = rig.until_ended(rig.start(rig.intent(fleet, unit="all")))

    assert ended.phase is Phase.SUCCEEDED
    assert rig.unit(fleet) == Unit(id="all", components={"package/checkout": "1.4.2"}, healthy=True)
    assert "REGION" not in rig.gate.access_log.triggers()[0]["body"]["parameters"]


def test_what_the_fleet_claims_is_named_by_account_region_and_cluster(rig: Rig) -> None:
    assert rig.deployer.selection(rig.fleet()) == (f"{ACCOUNT}/{EAST}/{CLUSTER}", f"{ACCOUNT}/{WEST}/{CLUSTER}")
