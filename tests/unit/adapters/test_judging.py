"""Where an intent stands, as a table: the outcome before, what Gate and AWS showed, the outcome after."""

from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.aws.sessions import Sessions
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from reconciler.reasons import Reason
from reconciler.work import Failure, Outcome, Phase

KEY_FEED = "executions/https://gate.example.com"
FEEDS = [f"inventory/123456789012/{region}" for region in ("us-east-1", "eu-west-1")]
MINUTE = timedelta(minutes=1)


class FixedClock:
    """Nothing in `check` may ask it."""

    def now(self) -> datetime:
        raise AssertionError("check is pure and was given its time")

    def monotonic(self) -> float:
        raise AssertionError("check is pure and was given its time")


DEPLOYER = Spinnaker(sessions=Sessions(clock=FixedClock()), gates=Gates({}), clock=FixedClock())


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def check(
    made: SimpleNamespace,
    execution: dict[str, Any] | None,
    *,
    phase: Phase = Phase.RUNNING,
    ticket: str | None = "01ABC",
    runs: str = "1.4.2",
    after: timedelta = 2 * MINUTE,
    inventory_read_at: datetime | None = None,
    part: dict[str, Any] | None = None,
    before: Outcome | None = None,
) -> Outcome:
    """The outcome `after` the intent was written; `execution` None: the feed was never read."""
    now = made.NOW + after
    intent = made.intent()
    outcome = before or Outcome(intent=intent, phase=phase, ticket=ticket, since=made.NOW)
    snapshots = {feed: made.snapshot(feed, part or made.running(runs), inventory_read_at or now) for feed in FEEDS}
    if execution is not None:
        snapshots[KEY_FEED] = made.snapshot(KEY_FEED, {intent.key: execution}, now)
    return DEPLOYER.check(outcome, snapshots, now)


def found(made: SimpleNamespace, status: str, **changes: Any) -> dict[str, Any]:
    end = milliseconds(made.NOW + MINUTE) if status in {"SUCCEEDED", "TERMINAL", "CANCELED"} else None
    built = milliseconds(made.NOW + timedelta(seconds=1))
    return {
        "found": True,
        "id": "01ABC",
        "status": status,
        "canceled": False,
        "canceled_by": "",
        "cancellation_reason": "",
        "build_time": built,
        "start_time": built,
        "end_time": end,
        "error": "",
        **changes,
    }


@pytest.mark.parametrize(
    "status", ["NOT_STARTED", "RUNNING", "PAUSED", "SUSPENDED", "BUFFERED", "REDIRECT", "REFLECTING"]
)
def test_what_is_not_complete_is_running(made: SimpleNamespace, status: str) -> None:
    outcome = check(made, found(made, status))

    assert (outcome.phase, outcome.message) == (Phase.RUNNING, f"execution 01ABC is {status}")


@pytest.mark.parametrize("status", ["RUNNING", "NOT_STARTED", "REFLECTING"])
def test_aborting_lasts_until_the_end_is_seen(made: SimpleNamespace, status: str) -> None:
    assert check(made, found(made, status), phase=Phase.ABORTING).phase is Phase.ABORTING


@pytest.mark.parametrize("status", ["CANCELED", "SUCCEEDED", "TERMINAL"])
def test_aborting_ends_with_the_execution_however_it_ended(made: SimpleNamespace, status: str) -> None:
    assert check(made, found(made, status), phase=Phase.ABORTING).phase is Phase.ABORTED


def test_succeeded_is_done_when_the_group_runs_the_version_and_is_healthy(made: SimpleNamespace) -> None:
    outcome = check(made, found(made, "SUCCEEDED"))

    assert (outcome.phase, outcome.message) == (Phase.SUCCEEDED, "us-east-1 runs 1.4.2 and is healthy")


def test_succeeded_without_the_version_waits(made: SimpleNamespace) -> None:
    outcome = check(made, found(made, "SUCCEEDED"), runs="1.4.1")

    assert outcome.phase is Phase.RUNNING
    assert outcome.message == "execution 01ABC SUCCEEDED but us-east-1 is not at it: package/checkout is 1.4.1"


def test_succeeded_is_not_judged_while_nobody_can_tell_what_serves(made: SimpleNamespace) -> None:
    part = made.running("1.4.2")
    part["images"]["ami-1.4.2"] = {"name": "", "tags": {}, "unasked": "cannot read the AMIs of account 222222222222"}

    outcome = check(made, found(made, "SUCCEEDED"), part=part, after=timedelta(hours=1))

    assert outcome.phase is Phase.RUNNING
    assert outcome.message == "execution 01ABC SUCCEEDED; waiting for a fresh read of its server groups"


def test_succeeded_that_never_gets_there_is_unhealthy(made: SimpleNamespace) -> None:
    outcome = check(made, found(made, "SUCCEEDED"), runs="1.4.1", after=11 * MINUTE)

    assert (outcome.phase, outcome.failure, outcome.reason) == (Phase.FAILED, Failure.UNHEALTHY, Reason.UNHEALTHY)


def test_succeeded_with_sick_instances_names_them(made: SimpleNamespace) -> None:
    sick = made.body(
        made.group(42, made.instance(1, "ami-1.4.2"), made.instance(2, "ami-1.4.2", health="Unhealthy"))
        | {"created": "2026-11-23T00:00:00+00:00"}
    )
    outcome = check(made, found(made, "SUCCEEDED"), part=sick, after=11 * MINUTE)

    assert outcome.failure is Failure.UNHEALTHY
    assert outcome.message == (
        "execution 01ABC SUCCEEDED but us-east-1 is not healthy: checkout-prod-v042: 1 of 2 instances healthy"
    )


def test_succeeded_is_not_judged_by_an_old_look_at_the_world(made: SimpleNamespace) -> None:
    before = made.NOW + timedelta(seconds=30)

    good = check(made, found(made, "SUCCEEDED"), inventory_read_at=before)
    bad = check(made, found(made, "SUCCEEDED"), runs="1.4.1", inventory_read_at=before, after=20 * MINUTE)

    assert [Phase.RUNNING, Phase.RUNNING] == [good.phase, bad.phase]
    assert good.message == "execution 01ABC SUCCEEDED; waiting for a fresh read of its server groups"


@pytest.mark.parametrize(
    ("changes", "failure", "reason", "message"),
    [
        (
            {"error": "No AMI found for us-east-1."},
            Failure.UNHEALTHY,
            Reason.PIPELINE_FAILED,
            "No AMI found for us-east-1. (execution 01ABC ended TERMINAL)",
        ),
        ({}, Failure.UNHEALTHY, Reason.PIPELINE_FAILED, "Spinnaker names no error (execution 01ABC ended TERMINAL)"),
        (
            {"cancellation_reason": "Failed on startup: the queue refused the message", "canceled": True},
            Failure.TRANSIENT,
            Reason.PIPELINE_FAILED,
            "execution 01ABC never started: Failed on startup: the queue refused the message",
        ),
        (
            {"status": "STOPPED"},
            Failure.UNHEALTHY,
            Reason.PIPELINE_FAILED,
            "Spinnaker names no error (execution 01ABC ended STOPPED)",
        ),
        (
            {"status": "CANCELED", "cancellation_reason": "... a newer queued execution superceded it. ..."},
            Failure.TRANSIENT,
            Reason.EXECUTION_SUPERSEDED,
            "execution 01ABC waited in Spinnaker's queue and a newer one took its place",
        ),
        (
            {"status": "CANCELED", "canceled_by": "ada@example.com", "cancellation_reason": "not today"},
            Failure.TRANSIENT,
            Reason.PIPELINE_FAILED,
            "ada@example.com cancelled execution 01ABC: not today",
        ),
    ],
)
def test_an_end_without_success_says_why(
    made: SimpleNamespace, changes: dict[str, Any], failure: Failure, reason: Reason, message: str
) -> None:
    outcome = check(made, found(made, **{"status": "TERMINAL", **changes}))

    assert outcome.phase is Phase.FAILED
    assert (outcome.failure, outcome.reason, outcome.message) == (failure, reason, message)


def test_our_own_cancel_is_an_abort_even_when_it_was_forgotten(made: SimpleNamespace) -> None:
    outcome = check(
        made, found(made, "CANCELED", cancellation_reason="fairlead: prod/checkout is to run something else")
    )

    assert outcome.phase is Phase.ABORTED


def test_a_failure_without_a_word_names_its_stage(made: SimpleNamespace) -> None:
    outcome = check(made, found(made, "TERMINAL", failed='stage "Guard" ended TERMINAL'))

    assert 'stage "Guard" ended TERMINAL (execution 01ABC ended TERMINAL)' == outcome.message


def test_what_an_execution_waits_for_is_told_and_ends_with_it(made: SimpleNamespace) -> None:
    waits = 'waits for a manual judgment "Approve" in Spinnaker'
    outcome = check(made, found(made, "RUNNING", waits=waits))
    stuck = check(made, found(made, "RUNNING", waits=waits), after=61 * MINUTE)
    later = check(made, found(made, "RUNNING"), before=outcome)

    assert (waits, f"execution 01ABC is RUNNING: {waits}") == (outcome.waits, outcome.message)
    assert f"it is still RUNNING and {waits}; end it in Spinnaker" in stuck.message
    assert "" == later.waits


@pytest.mark.parametrize(("phase", "word"), [(Phase.RUNNING, "it is"), (Phase.ABORTING, "it was cancelled and is")])
def test_past_the_deadline_a_running_execution_is_stuck(made: SimpleNamespace, phase: Phase, word: str) -> None:
    outcome = check(made, found(made, "RUNNING"), phase=phase, after=61 * MINUTE)

    assert (outcome.phase, outcome.reason) == (phase, Reason.EXECUTION_STUCK)
    assert outcome.message == f"execution 01ABC is past its deadline: {word} still RUNNING; end it in Spinnaker"


def test_an_execution_is_gone_only_when_gate_hides_it_for_minutes_and_not_at_one_look(made: SimpleNamespace) -> None:
    """One 404 after an hour's run must not start a second execution beside it."""
    hour = timedelta(hours=1)
    first = check(made, {"found": False}, after=hour)
    soon = check(made, {"found": False}, after=hour + MINUTE, before=first)
    late = check(made, {"found": False}, after=hour + 2 * MINUTE, before=first)

    assert (Phase.RUNNING, made.NOW + hour) == (first.phase, first.since)
    assert (Phase.RUNNING, Phase.FAILED, Failure.TRANSIENT) == (soon.phase, late.phase, late.failure)


def test_without_a_ticket_and_without_a_find_nothing_is_concluded(made: SimpleNamespace) -> None:
    outcome = check(made, {"found": False}, phase=Phase.INTENDED, ticket=None)

    assert (outcome.phase, outcome.ticket) == (Phase.INTENDED, None)


def test_without_a_ticket_what_is_found_is_adopted(made: SimpleNamespace) -> None:
    outcome = check(made, found(made, "RUNNING"), phase=Phase.INTENDED, ticket=None)

    assert (outcome.phase, outcome.ticket) == (Phase.RUNNING, "01ABC")


def test_an_earlier_lifes_finished_attempt_is_only_used_up(made: SimpleNamespace) -> None:
    long_ago = milliseconds(made.NOW - timedelta(hours=2))
    outcome = check(made, found(made, "SUCCEEDED", build_time=long_ago), phase=Phase.INTENDED, ticket=None)

    assert (outcome.phase, outcome.ticket) == (Phase.USED_UP, "01ABC")


def test_an_earlier_lifes_running_attempt_is_adopted(made: SimpleNamespace) -> None:
    long_ago = milliseconds(made.NOW - timedelta(hours=2))
    outcome = check(made, found(made, "RUNNING", build_time=long_ago), phase=Phase.INTENDED, ticket=None)

    assert (outcome.phase, outcome.ticket) == (Phase.RUNNING, "01ABC")


def test_an_unseen_start_fails_at_its_deadline_as_the_roads_fault(made: SimpleNamespace) -> None:
    outcome = check(made, {"found": False}, phase=Phase.INTENDED, ticket=None, after=61 * MINUTE)

    assert (outcome.failure, outcome.reason) == (Failure.TRANSIENT, Reason.DEADLINE_EXCEEDED)


def test_an_unseen_start_that_is_aborted_ends_after_its_settling_time(made: SimpleNamespace) -> None:
    early = check(made, {"found": False}, phase=Phase.ABORTING, ticket=None, after=timedelta(seconds=34))
    late = check(made, {"found": False}, phase=Phase.ABORTING, ticket=None, after=timedelta(seconds=36))

    assert (Phase.ABORTING, Phase.ABORTED) == (early.phase, late.phase)


def test_without_a_read_of_gate_nothing_changes_before_the_deadline(made: SimpleNamespace) -> None:
    early, late = check(made, None), check(made, None, after=61 * MINUTE)

    assert (Phase.RUNNING, None) == (early.phase, early.reason)
    assert (Phase.RUNNING, Reason.EXECUTION_STUCK) == (late.phase, late.reason)


def test_a_stuck_execution_that_somebody_ends_is_only_a_setback(made: SimpleNamespace) -> None:
    outcome = check(made, found(made, "CANCELED", canceled_by="ada"), after=61 * MINUTE)

    assert (Phase.FAILED, Failure.TRANSIENT) == (outcome.phase, outcome.failure)


def test_an_ended_outcome_stays_as_it_is(made: SimpleNamespace) -> None:
    ended = replace(check(made, found(made, "SUCCEEDED")), message="done")

    assert DEPLOYER.check(ended, {}, made.NOW) == ended
