"""Work that was cut off: by a crash, by a newer order, by the end of the agent. It goes on, and nobody is left down."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.agent_protocol.orders import Assignment
from adapters.agent_protocol.reports import Blame, WorkState
from fairlead_agent.returning import Refuge
from fairlead_agent.trouble import Interrupted

STAGES = ["staging", "draining", "activating", "restarting", "checking", "registering"]
DONE, FAILED, WORKING = WorkState.DONE, WorkState.FAILED, WorkState.WORKING


class Killed(BaseException):
    """SIGKILL, as it looks from within."""


def killed_at(field: Any, stage: str) -> None:
    def at(now: str) -> None:
        if now == stage:
            raise Killed

    field.at = at


def crashed(field: Any, release: Any, stage: str) -> None:
    """The agent is killed as the stage begins, and started again."""
    killed_at(field, stage)
    with pytest.raises(Killed):
        field.begin(release)
    field.at = lambda _: None
    field.restart_agent()
    assert (WORKING, stage) == (field.work.state, field.work.stage)


def interrupted(field: Any, release: Any, stage: str) -> None:
    """A newer order interrupts as the stage begins. Stages that take no time end before they notice."""
    field.at = lambda now: field.stop.set() if now == stage else None
    with pytest.raises(Interrupted):
        field.begin(release)
    field.at = lambda _: None
    field.stop.clear()


def in_traffic(field: Any) -> bool:
    return bool(field.groups.inside)


@pytest.mark.parametrize("stage", STAGES)
def test_after_a_crash_it_goes_on_at_the_stage_where_it_was(field: Any, stage: str) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    crashed(field, new, stage)
    field.said.clear()

    work = field.resume(new)

    assert (DONE, "") == (work.state, work.message)
    assert field.runs(new)
    assert in_traffic(field)
    assert {} == field.journal.memory.left
    # Stages that cost nothing when they were done are done again; a crash may have been a reboot, so health is too.
    first = {"draining": "staging", "restarting": "activating", "registering": "checking"}.get(stage, stage)
    assert STAGES[STAGES.index(first) :] == [event for event in field.said.events if event in STAGES]


@pytest.mark.parametrize("stage", ["activating", "restarting", "checking", "registering"])
def test_a_service_that_is_down_after_a_crash_comes_up_though_aws_is_away(field: Any, stage: str) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    crashed(field, new, stage)
    field.unit.runs = None
    (field.host.s3.folder / "matchmaker/1.1/matchmaker.jar").unlink()
    field.groups.away = {"DescribeTargetHealth", "DescribeTargetGroups", "RegisterTargets", "DeregisterTargets"}

    work = field.resume(new)

    assert field.runs(new)
    assert (FAILED, "registering", Blame.TRANSIENT) == (work.state, work.stage, work.blame)


@pytest.mark.parametrize("stage", ["activating", "restarting", "checking", "registering"])
def test_a_release_that_went_from_the_disk_meanwhile_is_staged_again_or_gone_back_from(field: Any, stage: str) -> None:
    old = field.deployed("1.0")
    new = field.release("1.1")
    crashed(field, new, stage)
    field.hands.installation._take_away(field.host.root / "releases" / new.id)
    (field.host.s3.folder / "matchmaker/1.1/matchmaker.jar").unlink()
    field.unit.runs = None

    work = field.resume(new)

    assert (FAILED, "staging", Blame.REFUSED, "1.0") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert field.runs(old)
    assert in_traffic(field)


@pytest.mark.parametrize("reason", ["restarting", "checking"])
def test_a_crash_on_the_way_back_goes_on_back_and_keeps_why(field: Any, reason: str) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")
    (field.unit.never_start if reason == "restarting" else field.unit.sick).add(new.id)
    crashed(field, new, "rolling-back")
    assert reason == field.journal.memory.failed_at

    work = field.resume(new)

    assert (FAILED, reason, Blame.UNHEALTHY, "1.0") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert work.message
    assert field.runs(old)
    assert in_traffic(field)


def test_a_crash_while_entering_after_the_way_back_is_mended_by_a_later_look(field: Any) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    field.unit.sick.add(new.id)
    field.groups.away.add("RegisterTargets")
    field.begin(new)
    assert not in_traffic(field)
    field.restart_agent()
    field.groups.away.clear()

    field.deploy.reenter(field.hands)

    assert in_traffic(field)
    assert {} == field.journal.memory.left


# Another assignment takes the place of one that was interrupted


@pytest.mark.parametrize("stage", ["draining", "restarting", "checking", "registering"])
def test_the_newer_one_is_converged_to(field: Any, stage: str) -> None:
    field.deployed("1.0")
    field.groups.sick = stage in {"draining", "registering"}  # so that there is something to wait for
    waits = replace(field.release("1.1").lifecycle, drain=replace(field.release("1.1").lifecycle.drain, within=60.0))
    first, second = replace(field.release("1.1"), lifecycle=waits), field.release("1.2")
    field.unit.sick.add(first.id)
    first = replace(first, lifecycle=replace(first.lifecycle, health=replace(first.lifecycle.health, within=60.0)))
    if stage == "registering":
        field.unit.sick.clear()
    if stage == "draining":
        field.groups.deregister_targets = lambda **_: None  # it never gets out
    interrupted(field, first, stage)
    field.groups.sick = False

    assert DONE == field.begin(second).state
    assert field.runs(second)
    assert in_traffic(field)
    assert "" == field.journal.memory.touched


@pytest.mark.parametrize("stage", ["restarting", "checking"])
def test_where_the_newer_one_fails_before_it_touches_anything_the_host_is_not_left_with_half_of_the_older(
    field: Any, stage: str
) -> None:
    old = field.deployed("1.0")
    first, second = field.release("1.1"), field.release("1.2")
    crashed(field, first, stage)
    (field.host.s3.folder / "matchmaker/1.2/matchmaker.jar").unlink()

    work = field.begin(second)

    assert (FAILED, "staging", Blame.REFUSED, "1.0") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert field.runs(old)
    assert in_traffic(field)


def test_an_interrupted_restart_does_not_leave_the_service_stopped(field: Any) -> None:
    field.deployed("1.0")
    new = field.release("1.1")

    interrupted(field, new, "restarting")

    assert field.unit.runs is not None
    assert (WORKING, "restarting") == (field.work.state, field.work.stage)


def test_the_agent_s_end_is_no_failure(field: Any) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    waits = replace(new, lifecycle=replace(new.lifecycle, health=replace(new.lifecycle.health, within=60.0)))
    field.unit.sick.add(new.id)
    interrupted(field, waits, "checking")
    field.restart_agent()
    field.unit.sick.clear()

    assert DONE == field.resume(waits).state


# Nobody asks for it any more


def withdraw(field: Any) -> Any:
    field.deploy.withdraw(field.hands, field.stop, Refuge())
    return field.work


@pytest.mark.parametrize("stage", ["staging", "draining"])
def test_what_touched_nothing_is_withdrawn_without_touching_anything(field: Any, stage: str) -> None:
    old = field.deployed("1.0")
    crashed(field, field.release("1.1"), stage)

    work = withdraw(field)

    assert (FAILED, stage, Blame.TRANSIENT, "") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert "the order no longer asks for it" == work.message
    assert field.runs(old)
    assert [] == field.unit.asked
    assert in_traffic(field)


@pytest.mark.parametrize("stage", ["activating", "restarting", "checking", "registering"])
def test_what_touched_something_goes_back(field: Any, stage: str) -> None:
    old = field.deployed("1.0")
    crashed(field, field.release("1.1"), stage)

    work = withdraw(field)

    assert (FAILED, stage, "1.0") == (work.state, work.stage, work.rolled_back_to)
    assert field.runs(old)
    assert in_traffic(field)


def test_what_was_on_its_way_back_keeps_why(field: Any) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    field.unit.sick.add(new.id)
    crashed(field, new, "rolling-back")

    work = withdraw(field)

    assert (FAILED, "checking", Blame.UNHEALTHY, "1.0") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert "not healthy" in work.message


def test_a_crash_while_settling_goes_on(field: Any) -> None:
    old = field.deployed("1.0")
    again = Assignment(release=old, attempt=2)
    patience = field.groups.describe_target_groups

    def killed(**_: Any) -> Any:
        raise Killed

    field.groups.describe_target_groups = killed
    with pytest.raises(Killed):
        field.deploy.settle(again, field.hands, field.stop)
    field.groups.describe_target_groups = patience
    field.restart_agent()
    assert (again.key, WORKING, "registering") == (field.work.key, field.work.state, field.work.stage)

    assert DONE == field.resume(old).state
    assert [] == field.unit.asked
