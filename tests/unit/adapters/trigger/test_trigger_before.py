"""The host that runs a step before a version: what its silence, its end and its leaving mean."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.agent_protocol.orders import step_key
from adapters.trigger.feeds import inventories
from adapters.trigger.preparing import case_of, judge_before, lasts
from adapters.trigger.settings import settings_of
from reconciler.work import BEFORE, Failure, Outcome, Phase

STEP = {"before": {"command": "./migrate", "within": "30m", "irreversible": True}}
MINUTE = timedelta(minutes=1)


def judged(made: SimpleNamespace, asked: timedelta, gone: bool = False, step: str = "", **report: Any) -> Outcome:
    """What is made of a host that was asked so long ago. `step` is what it says of it."""
    fleet = made.fleet(deploy=STEP)
    outcome = made.outcome(ticket="7@i-1", unit=BEFORE, fleet=fleet, created_at=made.NOW - asked)
    outcome = replace(outcome, since=made.NOW - asked)
    if step:
        key = step_key(outcome.intent.setting_commit, fleet.target_digest, 1)
        report["before"] = {"key": key, "state": "working", "message": step}
    snapshots = made.snapshots({"i-1": made.report("2.2.0", **report)})
    if gone:
        for feed in inventories(fleet.environment):
            snapshots[feed] = replace(snapshots[feed], body={"hosts": {}})
    return judge_before(case_of(outcome, settings_of(fleet), fleet, snapshots, made.NOW))


@pytest.mark.parametrize("step", ["running", "staging", ""])
def test_a_silent_host_may_still_be_at_it_and_no_other_is_asked_in_its_time(made: SimpleNamespace, step: str) -> None:
    found = judged(made, 4 * MINUTE, age=230, step=step)

    assert (Phase.RUNNING, True) == (found.phase, "is silent since" in found.message)


@pytest.mark.parametrize(
    ("step", "failure"), [("running", Failure.UNHEALTHY), ("", Failure.UNHEALTHY), ("staging", Failure.TRANSIENT)]
)
def test_a_silent_host_fails_when_the_time_of_the_step_is_over(
    made: SimpleNamespace, step: str, failure: Failure
) -> None:
    allowed = lasts(settings_of(made.fleet(deploy=STEP)))

    found = judged(made, allowed, age=230, step=step)

    assert (Phase.FAILED, failure) == (found.phase, found.failure)


@pytest.mark.parametrize(("step", "failure"), [("running", Failure.UNHEALTHY), ("staging", Failure.TRANSIENT)])
def test_a_host_that_is_gone_fails_it_at_once_and_without_blame_before_it_began(
    made: SimpleNamespace, step: str, failure: Failure
) -> None:
    found = judged(made, MINUTE, gone=True, step=step)

    assert (Phase.FAILED, failure, True) == (found.phase, found.failure, "i-1 is gone" in found.message)


@pytest.mark.parametrize(
    ("step", "phase"), [("", Phase.ABORTED), ("staging", Phase.ABORTED), ("running", Phase.RUNNING)]
)
def test_a_host_that_leaves_is_waited_for_only_while_its_command_runs(
    made: SimpleNamespace, step: str, phase: Phase
) -> None:
    found = judged(made, MINUTE, leaving="a spot notice", step=step)

    assert (phase, Failure.NONE) == (found.phase, found.failure)
