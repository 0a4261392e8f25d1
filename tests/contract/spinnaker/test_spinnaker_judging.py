"""What an execution came to: refused, unhealthy, not believed, never started."""

from typing import Any

from reconciler.observed import Unit
from reconciler.reasons import Reason
from reconciler.work import Failure, Phase

EAST, WEST = "us-east-1", "eu-west-1"


def test_a_pipeline_that_does_not_exist_is_refused(rig: Any) -> None:
    outcome = rig.start(rig.intent(rig.fleet(deploy={"pipeline": "nowhere"})))

    assert (outcome.phase, outcome.failure, outcome.reason) == (Phase.FAILED, Failure.REFUSED, Reason.DEPLOY_REFUSED)
    assert "404" in outcome.message


def test_a_disabled_pipeline_is_refused_and_its_recorded_execution_named(rig: Any) -> None:
    config = rig.gate.pipelines.find("checkout", f"deploy-{EAST}")
    assert config is not None
    rig.gate.pipelines.change(config["id"], disabled=True)

    outcome = rig.start(rig.intent())

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.REFUSED)
    assert "Pipeline is disabled" in outcome.message
    assert outcome.ticket is not None


def test_a_pipeline_may_be_named_by_its_id(rig: Any) -> None:
    config = rig.gate.pipelines.find("checkout", f"deploy-{EAST}")
    assert config is not None
    intent = rig.intent(rig.fleet(deploy={"pipeline": config["id"]}))

    first, again = rig.start(intent), rig.start(intent)

    assert (first.ticket, first.phase) == (again.ticket, Phase.RUNNING)


def test_an_expression_is_refused_before_anything_is_sent(rig: Any) -> None:
    outcome = rig.start(rig.intent(rig.fleet("${1+1}", target_digest="d" * 64)))

    assert (outcome.phase, outcome.failure) == (Phase.FAILED, Failure.REFUSED)
    assert rig.gate.access_log.triggers() == []


def test_a_version_that_never_gets_healthy_fails_with_the_stages_words(rig: Any) -> None:
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


def test_a_pipeline_that_succeeds_and_deploys_nothing_is_not_believed(rig: Any) -> None:
    rig.gate.faults.on("deploys_nothing")

    ended = rig.until_ended(rig.start(rig.intent()))

    assert (ended.phase, ended.failure, ended.reason) == (Phase.FAILED, Failure.UNHEALTHY, Reason.UNHEALTHY)
    assert "SUCCEEDED but us-east-1 is not at it: package/checkout is 1.4.1" in ended.message


def test_a_run_that_never_started_is_the_roads_fault(rig: Any) -> None:
    rig.gate.faults.on("terminal_at_once", times=1)

    ended = rig.until_ended(rig.start(rig.intent()))

    assert (ended.phase, ended.failure) == (Phase.FAILED, Failure.TRANSIENT)


def test_a_fresh_execution_that_gate_does_not_show_yet_is_waited_for(rig: Any) -> None:
    rig.gate.faults.on("late_reads", reads=4, times=1)
    outcome = rig.start(rig.intent())

    assert rig.look(outcome).phase is Phase.RUNNING
    assert rig.until_ended(outcome).phase is Phase.SUCCEEDED
