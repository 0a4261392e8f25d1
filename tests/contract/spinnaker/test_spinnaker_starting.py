"""At most one execution for a key, whatever Gate answers."""

from dataclasses import replace
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from adapters.gate.starting import UNSENT
from fairlead_sandbox.aws import ACCOUNT
from reconciler.drift import detect_drift
from reconciler.observed import Unit
from reconciler.ports import LeaseLost
from reconciler.reasons import Reason
from reconciler.work import Outcome, Phase, Release

EAST, WEST = "us-east-1", "eu-west-1"


def test_what_runs_is_observed_in_every_region(rig: Any) -> None:
    fleet = rig.fleet()

    observed = rig.deployer.observe(fleet, rig.deployer.refresh(fleet, (), {}))

    assert [Unit(id=region, components={"package/checkout": "1.4.1"}, healthy=True) for region in (EAST, WEST)] == list(
        observed.units
    )
    assert detect_drift(Release(fleet=fleet, setting_commit="a" * 40), observed).units == {EAST, WEST}
    assert observed.missing == ()


def test_a_region_that_was_not_read_is_missing(rig: Any) -> None:
    fleet = rig.fleet()
    snapshots = dict(rig.deployer.refresh(fleet, (), {}))
    snapshots.pop(f"inventory/{ACCOUNT}/{WEST}")

    assert rig.deployer.observe(fleet, snapshots).missing == (f"inventory/{ACCOUNT}/{WEST}",)


def test_a_deploy_bakes_deploys_and_is_done_when_the_group_is_healthy(rig: Any) -> None:
    outcome = rig.start(rig.intent())
    assert (outcome.phase, [outcome.ticket]) == (Phase.RUNNING, rig.executions)

    ended = rig.until_ended(outcome)

    assert (ended.phase, ended.message) == (Phase.SUCCEEDED, f"{EAST} runs 1.4.2 and is healthy")
    assert rig.unit(rig.fleet()) == Unit(id=EAST, components={"package/checkout": "1.4.2"}, healthy=True)
    assert rig.unit(rig.fleet(), WEST).components == {"package/checkout": "1.4.1"}
    assert rig.lease.asked == 1


def test_the_pipeline_is_called_as_documented(rig: Any) -> None:
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


@pytest.mark.parametrize("fault", ["error_after_accepting", "drop_after_accepting"])
def test_a_start_whose_answer_is_lost_is_found_and_not_repeated(rig: Any, fault: str) -> None:
    rig.gate.faults.on(fault, times=1)

    outcome = rig.start(rig.intent())

    assert (outcome.phase, [outcome.ticket]) == (Phase.RUNNING, rig.executions)
    assert len(rig.gate.access_log.triggers()) == 1


@pytest.mark.parametrize(
    ("fault", "options"),
    [("unavailable", {}), ("too_many_requests", {"reset": 1}), ("html", {}), ("drop_before_accepting", {})],
)
def test_trouble_leaves_the_intent_intended_and_a_later_start_does_it_once(
    rig: Any, fault: str, options: dict[str, int]
) -> None:
    intent = rig.intent()
    rig.gate.faults.on(fault, **options)
    first = rig.start(intent)
    rig.gate.faults.clear()

    second = rig.start(replace(intent, starts=2))

    assert (first.phase, first.ticket, first.reason) == (Phase.INTENDED, None, Reason.GATE_UNREACHABLE)
    assert (second.phase, [second.ticket]) == (Phase.RUNNING, rig.executions)


def test_the_same_key_again_while_it_runs_is_the_same_execution(rig: Any) -> None:
    intent = rig.intent()
    first = rig.start(intent)

    again = rig.start(intent)

    assert (again.phase, again.ticket) == (Phase.RUNNING, first.ticket)
    assert again.message == f"adopted execution {first.ticket}, which was started for this key already"
    assert len(rig.executions) == 1


def test_the_same_key_again_after_its_end_starts_nothing(rig: Any) -> None:
    intent = rig.intent()
    ended = rig.until_ended(rig.start(intent))

    again = rig.start(intent)

    assert (again.phase, again.ticket) == (Phase.RUNNING, ended.ticket)
    assert rig.look(again).phase is Phase.SUCCEEDED
    assert len(rig.executions) == 1


def test_an_earlier_lifes_attempt_only_uses_up_its_number(rig: Any) -> None:
    intent = rig.intent()
    rig.until_ended(rig.start(intent))
    reborn = replace(intent, created_at=intent.created_at + timedelta(minutes=10))

    outcome = rig.start(reborn)

    assert outcome.phase is Phase.USED_UP
    assert len(rig.executions) == 1
    assert rig.start(rig.intent(attempt=2)).phase is Phase.RUNNING
    assert len(rig.executions) == 2


def test_of_two_at_once_the_earlier_is_kept_and_the_later_cancelled(rig: Any) -> None:
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


def test_an_intent_without_a_ticket_finds_its_execution_by_a_look(rig: Any) -> None:
    intent = rig.intent()
    started = rig.start(intent)

    seen = rig.look(Outcome(intent=intent, phase=Phase.INTENDED))
    unseen = rig.look(Outcome(intent=rig.intent(attempt=7), phase=Phase.INTENDED))

    assert (seen.phase, seen.ticket) == (Phase.RUNNING, started.ticket)
    assert (unseen.phase, unseen.ticket) == (Phase.INTENDED, None)


def test_a_lost_lease_sends_nothing(rig: Any) -> None:
    rig.lease.lost_at = 1

    with pytest.raises(LeaseLost):
        rig.start(rig.intent())

    assert rig.gate.access_log.triggers() == []


def test_what_an_earlier_ledger_started_is_found_by_the_fleets_keys(rig: Any) -> None:
    intent = rig.intent()
    prefix = "fairlead:main:prod/checkout:"
    assert rig.deployer.running(intent.fleet, prefix) == {}

    started = rig.start(intent)
    assert rig.deployer.running(intent.fleet, prefix) == {intent.key: started.ticket}
    assert rig.deployer.running(intent.fleet, "fairlead:main:prod/other:") == {}

    rig.until_ended(started)
    assert rig.deployer.running(intent.fleet, prefix) == {}


def test_what_never_reached_gate_may_be_sent_again_soon_and_what_may_be_in_it_may_not(rig: Any) -> None:
    intent = rig.intent(settle_at=rig.clock.now() + timedelta(minutes=3))
    rig.gate.faults.on("unavailable", operation="search")
    unsent = rig.start(intent)
    rig.gate.faults.clear()
    rig.gate.faults.on("drop_before_accepting")
    in_doubt = rig.start(intent)

    assert (Phase.INTENDED, Phase.INTENDED) == (unsent.phase, in_doubt.phase)
    assert unsent.intent.settle_at <= rig.clock.now() + UNSENT < intent.settle_at
    assert intent.settle_at == in_doubt.intent.settle_at
