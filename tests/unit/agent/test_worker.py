"""One fleet's rounds: looks that interrupt, what is reported, and what is left alone."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.agent_protocol.reports import Blame, WorkState
from fairlead_agent.orders import Look
from fairlead_agent.trouble import Trouble
from tests.unit.agent.workplace import AWAY, NOBODY, Workplace, during, lost

DONE, FAILED, WORKING = WorkState.DONE, WorkState.FAILED, WorkState.WORKING


@pytest.fixture
def place(field: Any, make_order: Any, clock: Any) -> Workplace:
    return Workplace(field, make_order, clock)


def test_a_round_brings_the_host_to_its_order_and_says_each_stage(place: Workplace) -> None:
    release = place.field.release("1.0")
    place.order(release, 1)

    last = place.round()

    assert place.field.runs(release)
    assert (release.components, True, True, "1.0", "") == (
        last.components,
        last.healthy,
        last.running,
        last.last_good,
        last.message,
    )
    assert ["staging", "draining", "activating", "restarting", "checking", "registering", ""] == [
        each.work.stage for each in place.reports if each.work
    ]
    assert place.worker.is_settled


def test_a_touched_host_claims_no_version_until_it_was_looked_at(place: Workplace) -> None:
    place.order(place.field.release("1.0"), 1)
    place.round()
    place.reports.clear()
    place.order(place.field.release("1.1"), 2)
    place.round()

    claimed = {each.work.stage: bool(each.components) for each in place.reports if each.work}
    assert {"staging": True, "draining": True, "": True} == {stage: said for stage, said in claimed.items() if said}
    assert not claimed["restarting"]


def test_the_sequence_is_written_before_anything_is_done_for_it(place: Workplace) -> None:
    found = []
    place.field.at = lambda stage: found.append(place.field.journal._written.sequence)
    place.order(place.field.release("1.0"), 41)

    place.round()

    assert {41} == set(found)


def test_an_order_that_was_only_read_is_already_the_least_that_is_believed(place: Workplace) -> None:
    place.order(place.field.release("1.0"), 41)
    place.worker.look()
    place.worker.look()

    assert [0, 41] == [sequence for sequence, _ in place.orders.known]
    assert place.orders.known[1][1] == place.orders.look_at.order.meaning  # type: ignore[union-attr]


@pytest.mark.parametrize("stage", ["staging", "restarting", "checking"])
def test_an_order_for_another_assignment_interrupts_and_is_converged_to(place: Workplace, stage: str) -> None:
    first, second = place.field.release("1.0"), place.field.release("1.1")
    place.field.unit.sick.add(first.id)
    first = replace(first, lifecycle=replace(first.lifecycle, health=replace(first.lifecycle.health, within=3600.0)))
    during(place, stage, lambda: (place.order(second, 2), place.worker.look()))  # type: ignore[func-returns-value]
    place.order(first, 1)

    last = place.round()

    assert "interrupted" in place.field.said.events
    assert place.field.runs(second)
    assert (2, DONE) == (last.sequence, last.work.state)  # type: ignore[union-attr]


def test_an_order_that_asks_for_the_same_interrupts_nothing(place: Workplace) -> None:
    release = place.field.release("1.0")
    during(place, "restarting", lambda: (place.order(release, 2), place.worker.look()))  # type: ignore[func-returns-value]
    place.order(release, 1)

    last = place.round()

    assert "interrupted" not in place.field.said.events
    assert (2, DONE) == (last.sequence, last.work.state)  # type: ignore[union-attr]
    assert 1 == place.field.said.events.count("staging")


@pytest.mark.parametrize("look", [AWAY, Look(trouble="there is no order yet")])
def test_a_look_that_finds_nothing_interrupts_nothing(place: Workplace, look: Look) -> None:
    def lose() -> None:
        place.orders.look_at = look
        place.worker.look()

    during(place, "restarting", lose)
    place.order(place.field.release("1.0"), 1)

    assert DONE == place.round().work.state  # type: ignore[union-attr]


def test_a_withdrawal_is_interrupted_by_an_order_that_asks_for_something(place: Workplace) -> None:
    old, new, newer = (place.field.release(version) for version in ("1.0", "1.1", "1.2"))
    place.order(old, 1)
    place.round()
    place.field.unit.sick.update({old.id, new.id})
    waits = replace(new, lifecycle=replace(new.lifecycle, health=replace(new.lifecycle.health, within=3600.0)))

    def ask_for_nothing() -> None:
        place.order(waits, 3, admitted=NOBODY)
        place.worker.look()
        during(place, "rolling-back", ask_for_more)

    def ask_for_more() -> None:
        place.order(newer, 4)
        place.worker.look()

    during(place, "checking", ask_for_nothing)
    place.order(waits, 2)

    assert DONE == place.round().work.state  # type: ignore[union-attr]
    assert place.field.runs(newer)


def test_who_ends_the_agent_interrupts_and_the_next_one_goes_on(place: Workplace) -> None:
    release = place.field.release("1.0")
    during(place, "draining", place.worker.end)
    place.order(replace(release, lifecycle=replace(release.lifecycle)), 1)
    place.worker.look()
    place.worker.work()
    place.worker.work()
    assert (WORKING, None) == (place.field.work.state, place.field.unit.runs)
    place.hire()

    assert DONE == place.round().work.state  # type: ignore[union-attr]
    assert "resumed" in place.field.said.events


# AWS away, memory lost


def test_while_s3_is_away_a_host_stays_and_says_what_runs(place: Workplace) -> None:
    release = place.field.release("1.0")
    place.order(release, 1)
    place.round()
    place.orders.look_at = AWAY

    last = place.round()

    assert (release.components, True, AWAY.trouble) == (last.components, last.healthy, last.message)
    assert place.field.runs(release)


def test_a_host_that_lost_its_memory_and_is_well_is_left_alone_and_says_so(place: Workplace) -> None:
    release = place.field.release("1.0")
    place.order(release, 1)
    place.round()
    lost(place)
    place.order(place.field.release("1.1"), 2, base=release, admitted=NOBODY)

    last = place.round()

    assert ([], []) == (place.field.unit.asked, place.field.groups.asked)
    assert (True, "1.0", release.components) == (last.healthy, last.last_good, last.components)
    assert "cannot be read" in last.message
    assert place.worker.is_settled


def test_such_a_host_says_what_runs_also_while_s3_is_away(place: Workplace) -> None:
    release = place.field.release("1.0")
    place.order(release, 1)
    place.round()
    lost(place)
    place.order(place.field.release("1.1"), 2, base=release, admitted=NOBODY)
    place.round()
    place.orders.look_at = AWAY
    assert release.components == place.round().components
    place.hire()

    assert (release.components, True) == (place.round().components, place.reports[-1].healthy)


def test_one_that_is_not_well_says_what_it_has_while_s3_is_away(place: Workplace) -> None:
    release = place.field.release("1.0")
    place.order(release, 1)
    place.round()
    lost(place)
    place.field.unit.sick.add(release.id)
    place.order(place.field.release("1.1"), 2, admitted=NOBODY)
    place.round()
    place.orders.look_at = AWAY

    last = place.round()

    assert (release.components, False) == (last.components, last.healthy)
    assert "no route to the database" in last.message


def test_a_base_that_the_road_failed_is_tried_at_each_look_and_a_healthy_host_is_not_restarted(
    place: Workplace,
) -> None:
    base = place.field.release("1.0")
    place.order(place.field.release("1.1"), 1, base=base, admitted=NOBODY)
    place.field.groups.away.add("RegisterTargets")
    first = place.round()
    assert (FAILED, Blame.TRANSIENT) == (first.work.state, first.work.blame)  # type: ignore[union-attr]
    place.field.unit.asked.clear()
    again = place.round()
    assert (FAILED, []) == (again.work.state, place.field.unit.asked)  # type: ignore[union-attr]
    place.field.groups.away.clear()

    last = place.round()

    assert (DONE, []) == (last.work.state, place.field.unit.asked)  # type: ignore[union-attr]
    assert place.field.groups.inside


def test_groups_that_were_left_are_entered_again_also_where_what_runs_is_not_ours(place: Workplace) -> None:
    """The first deploy to a host that others deployed to fails while it drains, and AWS is away for the way back."""
    groups = place.field.groups

    def leave(**_: Any) -> None:
        groups.inside.clear()
        groups.away = {"DescribeTargetHealth", "RegisterTargets"}

    groups.deregister_targets = leave
    place.order(place.field.release("1.0"), 1)
    assert FAILED == place.round().work.state  # type: ignore[union-attr]
    assert not groups.inside
    groups.away.clear()

    place.round()

    assert groups.inside
    assert {} == place.field.journal.memory.left


def test_a_host_between_two_releases_claims_none(place: Workplace) -> None:
    """Activating switched the link and then failed; nothing to go back to. The process is what it was."""
    install, release = place.field.hands.installation, place.field.release("1.0")
    activate = install.activate

    def half(name: str) -> None:
        activate(name)
        place.field.unit.runs = "older"
        raise Trouble(Blame.TRANSIENT, "the disk is full")

    install.activate = half
    place.order(release, 1)
    last = place.round()
    assert (FAILED, {}, False) == (last.work.state, last.components, last.healthy)  # type: ignore[union-attr]
    del install.activate
    place.order(release, 2, attempts={"i-1": 2})

    last = place.round()

    assert (DONE, release.components) == (last.work.state, last.components)  # type: ignore[union-attr]
    assert place.field.runs(release)


def test_what_others_installed_is_told_by_the_command_until_something_of_ours_is_there(place: Workplace) -> None:
    place.command = "version"
    place.hire()
    place.orders.look_at = AWAY
    first = place.round()
    place.order(place.field.release("1.0"), 1, admitted=frozenset({"i-1"}))

    assert ({"package/matchmaker": "6.6"}, True) == (first.components, first.healthy)
    assert "1.0" == place.round().components["package/matchmaker"]


def test_what_failed_in_the_fleet_is_not_gone_back_to_while_s3_is_away(place: Workplace) -> None:
    old, new, newer = (place.field.release(version) for version in ("1.0", "1.1", "1.2"))
    place.order(old, 1)
    place.round()
    place.field.unit.sick.add(new.id)
    waits = replace(new, lifecycle=replace(new.lifecycle, health=replace(new.lifecycle.health, within=3600.0)))

    def lose() -> None:
        place.order(newer, 3)
        place.worker.look()  # interrupts
        place.orders.look_at = AWAY
        place.worker.look()
        place.field.unit.runs = None
        place.field.unit.never_start.add(new.id)

    during(place, "checking", lose)
    place.order(waits, 2, rejected=(old.digest,))
    place.worker.look()
    place.worker.work()
    assert "interrupted" in place.field.said.events
    place.worker.work()

    work = place.reports[-1].work
    assert work is not None
    assert (FAILED, "") == (work.state, work.rolled_back_to)
    assert "nothing to go back to" in work.message
