"""Aborts, configuration, and what is seen of a fleet."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml

from desired_state.model import Config
from fairlead_sandbox import server_groups
from fairlead_sandbox.aws import ACCOUNT
from fairlead_sandbox.gate import deploy_pipeline
from fairlead_sandbox.world import seed_cluster
from reconciler.observed import Unit
from reconciler.ports import Unreadable
from reconciler.reasons import Reason
from reconciler.work import Failure, Outcome, Phase

EAST, WEST = "us-east-1", "eu-west-1"
CLUSTER = "checkout-prod"


def test_an_abort_is_over_when_the_execution_is_seen_ended(rig: Any) -> None:
    outcome = rig.start(rig.intent())
    rig.gate.tick()
    aborting = rig.abort(outcome)
    assert Phase.ABORTING is aborting.phase

    assert rig.until_ended(aborting).phase is Phase.ABORTED
    (cancel,) = rig.gate.access_log.entries(method="PUT")
    assert cancel["query"]["reason"].startswith("fairlead: ")


def test_an_abort_that_does_nothing_is_found_stuck_at_the_deadline(rig: Any) -> None:
    rig.gate.faults.on("zombie")
    outcome = rig.start(rig.intent())
    rig.gate.tick()
    aborting = rig.abort(outcome)

    late = rig.look(aborting, at=outcome.intent.created_at + timedelta(hours=1))

    assert (late.phase, late.reason) == (Phase.ABORTING, Reason.EXECUTION_STUCK)


def test_an_abort_looks_for_what_an_unanswered_start_may_have_started(rig: Any) -> None:
    intent = rig.intent()
    rig.start(intent)

    aborting = rig.abort(Outcome(intent=intent, phase=Phase.INTENDED))

    assert (aborting.phase, [aborting.ticket]) == (Phase.ABORTING, rig.executions)
    assert rig.until_ended(aborting).phase is Phase.ABORTED


def test_an_abort_that_gate_does_not_hear_is_not_said_to_have_happened(rig: Any) -> None:
    outcome = rig.start(rig.intent())
    rig.gate.faults.on("unavailable")

    unheard = rig.abort(outcome)

    assert (unheard.phase, unheard.reason) == (Phase.RUNNING, Reason.GATE_UNREACHABLE)


def test_a_superseded_run_is_the_roads_fault(rig: Any) -> None:
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


def test_a_gate_that_is_down_makes_a_look_unreadable(rig: Any) -> None:
    outcome = rig.start(rig.intent())
    rig.gate.faults.on("unavailable")

    with pytest.raises(Unreadable, match="Gate failed when asked to show the executions under way"):
        rig.look(outcome)


def test_configuration_goes_to_s3_by_digest_and_is_observed_back_by_tag(rig: Any) -> None:
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


def test_a_bucket_that_is_not_there_fails_the_start_before_the_pipeline(rig: Any) -> None:
    config = Config(destination="checkout.yaml", format="yaml", values={}, digest="e" * 64)
    fleet = rig.fleet(config=config)
    fleet = replace(fleet, environment=replace(fleet.environment, trigger={"bucket": "no-such-bucket"}))

    outcome = rig.start(rig.intent(fleet))

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.TRANSIENT)
    assert "s3://no-such-bucket/config/checkout" in outcome.message
    assert rig.gate.access_log.triggers() == []


def test_drift_by_hand_is_seen_by_a_narrow_look(rig: Any) -> None:
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


def test_a_pipeline_without_a_region_makes_the_fleet_one_unit(rig: Any) -> None:
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


def test_what_the_fleet_claims_is_named_by_account_region_and_cluster(rig: Any) -> None:
    assert rig.deployer.selection(rig.fleet()) == (f"{ACCOUNT}/{EAST}/{CLUSTER}", f"{ACCOUNT}/{WEST}/{CLUSTER}")
