"""Bringing a release onto a host: the stages, and where the failure of each one leads (docs/agent-protocol.md)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from adapters.agent_protocol.orders import Assignment, Release
from adapters.agent_protocol.reports import Blame, WorkState
from fairlead_agent.returning import Refuge
from fairlead_agent.stages import TOUCHED
from fairlead_agent.trouble import Trouble

STAGES = ["staging", "draining", "activating", "restarting", "checking", "registering"]
DONE, FAILED = WorkState.DONE, WorkState.FAILED


def stages(field: Any) -> list[str]:
    return [event for event in field.said.events if event in {*STAGES, "rolling-back"}]


def in_traffic(field: Any) -> bool:
    return bool(field.groups.inside)


def test_the_way_there(field: Any) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")

    work = field.begin(new, attempt=2)

    assert (DONE, "", Blame.NONE, 2, "") == (work.state, work.stage, work.blame, work.attempt, work.message)
    assert field.runs(new)
    assert in_traffic(field)
    assert STAGES == stages(field)
    assert ["stop", "reset-failed", "start"] == field.unit.asked
    assert ["leave", "enter"] == field.groups.asked
    memory = field.journal.memory
    assert (new.id, "1.1", {}, "", "") == (
        memory.last_good,
        memory.last_good_version,
        memory.left,
        memory.touched,
        memory.failed_at,
    )
    assert (old.id, new.id) == field.hands.installation.held()


def test_each_stage_is_on_the_disk_before_it_is_begun(field: Any) -> None:
    found = []

    def look(stage: str) -> None:
        found.append((stage, field.journal._written.work.stage, field.journal._written.touched))

    field.at = look
    field.begin(field.release("1.0"))

    assert [(stage, stage, stage if stage in TOUCHED else "") for stage in STAGES] == found


def test_the_artifacts_are_on_the_disk_before_the_host_leaves_its_groups(field: Any) -> None:
    release = field.release("1.0")
    field.at = lambda stage: found.append((stage, release.id in field.hands.installation.held(), in_traffic(field)))
    found: list[tuple[str, bool, bool]] = []

    field.begin(release)

    assert ("draining", True, True) == found[1]
    assert ("activating", True, False) == found[2]


def test_a_host_without_drain_touches_no_group(field: Any) -> None:
    field.begin(field.release("1.0", drain=None))

    assert [] == field.groups.asked


def test_a_fresh_host_enters_the_groups_that_the_settings_name(field: Any) -> None:
    field.groups.inside.clear()

    assert DONE == field.begin(field.release("1.0")).state
    assert in_traffic(field)


# Each stage's failure. A sabotage gets the field and the release that is about to be brought.


def no_artifact(field: Any, release: Release) -> None:
    (field.host.s3.folder / release.artifacts[0].source.removeprefix("s3://builds/")).unlink()  # type: ignore[union-attr]


def at(stage: str, deed: Callable[[Any, Release], Any]) -> Callable[[Any, Release], None]:
    def lay(field: Any, release: Release) -> None:
        field.at = lambda now: deed(field, release) if now == stage else None

    return lay


def lose_manifest(field: Any, release: Release) -> None:
    (field.host.root / "releases" / release.id / ".fairlead.json").unlink()


BEFORE = [
    ("staging", no_artifact, Blame.REFUSED),
    ("draining", lambda field, _: field.groups.away.add("DescribeTargetHealth"), Blame.TRANSIENT),
    ("draining", lambda field, _: field.groups.away.add("DeregisterTargets"), Blame.TRANSIENT),
]
AFTER = [
    ("activating", at("activating", lose_manifest), Blame.TRANSIENT),
    ("restarting", lambda field, release: field.unit.never_start.add(release.id), Blame.UNHEALTHY),
    ("checking", lambda field, release: field.unit.sick.add(release.id), Blame.UNHEALTHY),
    ("registering", at("registering", lambda field, _: setattr(field.groups, "sick", True)), Blame.UNHEALTHY),
]


@pytest.mark.parametrize(("stage", "sabotage", "blame"), BEFORE)
def test_a_failure_before_activating_touched_nothing(field: Any, stage: str, sabotage: Any, blame: Blame) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")
    sabotage(field, new)

    work = field.begin(new)

    assert (FAILED, stage, blame, "") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert field.runs(old)
    assert [] == field.unit.asked
    assert "" == field.journal.memory.touched
    assert in_traffic(field)


@pytest.mark.parametrize(("stage", "sabotage", "blame"), AFTER)
def test_a_failure_from_activating_on_leads_back(field: Any, stage: str, sabotage: Any, blame: Blame) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")
    downloads = len(field.host.s3.downloads)
    sabotage(field, new)

    work = field.begin(new)

    assert (FAILED, stage, blame, "1.0") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert field.runs(old)
    assert in_traffic(field)
    assert "rolling-back" == stages(field)[-1]
    assert downloads + 1 == len(field.host.s3.downloads)
    memory = field.journal.memory
    assert ("", "", {}, old.id) == (memory.touched, memory.failed_at, memory.left, memory.last_good)


@pytest.mark.parametrize(("stage", "sabotage", "blame"), AFTER)
def test_where_there_is_nothing_to_go_back_to(field: Any, stage: str, sabotage: Any, blame: Blame) -> None:
    new = field.release("1.0")
    sabotage(field, new)

    work = field.begin(new)

    assert (FAILED, stage, blame, "") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert work.message.endswith("; there is nothing to go back to")
    assert stage == field.journal.memory.touched


def test_where_going_back_fails_as_well_both_are_said(field: Any) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")
    field.unit.sick.update({old.id, new.id})

    work = field.begin(new)

    assert (FAILED, "checking", Blame.UNHEALTHY, "") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert "; going back to 1.0 failed as well: not healthy within 0 s: " in work.message
    assert "rolling-back" == field.journal.memory.touched
    assert not in_traffic(field)


def test_the_last_words_of_what_failed_are_told(field: Any) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    field.unit.never_start.add(new.id)

    work = field.begin(new)

    assert ("systemctl start matchmaker.service ended with 1", "exited at once") == (work.message, work.log)


@pytest.mark.parametrize("operation", ["RegisterTargets", "DescribeTargetGroups"])
def test_a_healthy_service_is_not_taken_back_because_aws_is_away(field: Any, operation: str) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    field.at = lambda stage: field.groups.away.add(operation) if stage == "registering" else None

    work = field.begin(new)

    assert (FAILED, "registering", Blame.TRANSIENT, "") == (work.state, work.stage, work.blame, work.rolled_back_to)
    assert field.runs(new)
    assert ["stop", "reset-failed", "start"] == field.unit.asked
    field.groups.away.clear()
    field.deploy.reenter(field.hands)
    assert in_traffic(field)
    assert {} == field.journal.memory.left


def test_an_untouched_fresh_host_is_not_put_into_groups_that_it_never_left(field: Any) -> None:
    field.groups.inside.clear()
    new = field.release("1.0")
    no_artifact(field, new)

    field.begin(new)

    assert not in_traffic(field)


def test_a_host_leaves_once_more_before_a_service_that_is_in_traffic_is_stopped(field: Any) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    at("registering", lambda here, _: setattr(here.groups, "sick", True))(field, new)

    field.begin(new)

    assert ["leave", "enter", "leave", "enter"] == field.groups.asked


# Where a host goes back to


def test_the_fleet_s_base_where_nothing_was_good_here(field: Any) -> None:
    base, new = field.release("1.0"), field.release("1.1")
    field.hands.installation.stage(base, field.stop)
    field.unit.sick.add(new.id)

    assert "1.0" == field.begin(new, refuge=Refuge(base=base.id)).rolled_back_to
    assert field.runs(base)


def test_never_a_release_that_failed_in_this_fleet(field: Any) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")
    field.unit.sick.add(new.id)

    work = field.begin(new, refuge=Refuge(rejected=(old.digest,)))

    assert ("", True) == (work.rolled_back_to, "nothing to go back to" in work.message)


def test_never_the_very_release_that_failed(field: Any) -> None:
    old = field.deployed("1.0")
    field.unit.sick.add(old.id)

    assert "" == field.begin(old, attempt=2).rolled_back_to


def test_a_last_good_release_whose_manifest_is_broken(field: Any) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")
    field.unit.sick.add(new.id)
    (field.host.root / "releases" / old.id / ".fairlead.json").write_text("{")

    assert "" == field.begin(new).rolled_back_to
    assert "unreadable-release" in field.said.events


# Being there already


def test_what_is_there_already_is_not_touched(field: Any) -> None:
    old = field.deployed("1.0")

    field.deploy.settle(Assignment(release=old, attempt=2), field.hands, field.stop)

    assert (DONE, 2, "it was there already") == (field.work.state, field.work.attempt, field.work.message)
    assert [] == field.unit.asked
    assert "leave" not in field.groups.asked


def test_what_is_there_already_and_cannot_enter_goes_on(field: Any) -> None:
    old = field.deployed("1.0")
    field.groups.away.add("RegisterTargets")

    field.deploy.settle(Assignment(release=old, attempt=2), field.hands, field.stop)

    assert (FAILED, "registering", Blame.TRANSIENT) == (field.work.state, field.work.stage, field.work.blame)
    assert field.runs(old)
    assert [] == field.unit.asked


# A disk that takes nothing


def full(field: Any, *steps: str) -> None:
    """The journal takes nothing while these stages are written; all of them where none is named."""
    write = field.journal.write

    def refuse(memory: Any) -> None:
        if not steps or (memory.work.stage in steps and memory.work.state is WorkState.WORKING):
            raise Trouble(Blame.TRANSIENT, "cannot write down the next step: No space left on device")
        write(memory)

    field.journal.write = refuse


@pytest.mark.parametrize("stage", ["staging", "draining", "activating"])
def test_what_cannot_be_written_down_is_not_touched(field: Any, stage: str) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")
    full(field, stage)

    work = field.begin(new)

    assert (FAILED, Blame.TRANSIENT, "") == (work.state, work.blame, work.rolled_back_to)
    assert "No space left" in work.message
    assert field.runs(old)
    assert [] == field.unit.asked
    assert in_traffic(field)


@pytest.mark.parametrize("stage", ["checking", "registering"])
def test_a_service_that_was_restarted_well_is_not_taken_back_for_a_full_disk(field: Any, stage: str) -> None:
    field.deployed("1.0")
    new = field.release("1.1")
    full(field, stage)

    assert DONE == field.begin(new).state
    assert field.runs(new)
    assert in_traffic(field)


def test_the_way_back_is_gone_though_nothing_can_be_written(field: Any) -> None:
    old, new = field.deployed("1.0"), field.release("1.1")
    field.unit.sick.add(new.id)
    field.at = lambda stage: full(field) if stage == "checking" else None

    assert "1.0" == field.begin(new).rolled_back_to
    assert field.runs(old)


def test_settling_where_nothing_can_be_written_says_nothing_wrong_of_the_assignment_before(field: Any) -> None:
    old = field.deployed("1.0")
    full(field)
    again = Assignment(release=replace(old, commit="d" * 40), attempt=1)

    field.deploy.settle(again, field.hands, field.stop)

    assert (again.key, DONE) == (field.work.key, field.work.state)
