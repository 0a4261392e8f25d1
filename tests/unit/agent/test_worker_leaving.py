"""A fleet on a host that is about to go: nothing is begun, what was touched is ended, no traffic comes any more."""

from typing import Any

import pytest

from adapters.agent_protocol.reports import Blame, WorkState
from fairlead_agent.deciding import Readiness
from fairlead_agent.orders import Look
from tests.unit.agent.played import GROUP
from tests.unit.agent.workplace import AWAY, NOBODY, Workplace, during


@pytest.fixture
def place(field: Any, make_order: Any, clock: Any) -> Workplace:
    """It runs 1.0, and is in its target group."""
    made = Workplace(field, make_order, clock)
    made.order(field.release("1.0"), 1)
    made.round()
    field.groups.asked.clear()
    made.reports.clear()
    return made


def versions(place: Workplace) -> set[str]:
    return {each.work.version for each in place.reports if each.work}


def test_at_rest_it_leaves_its_target_groups_once_and_stays_healthy(place: Workplace) -> None:
    place.worker.leave(leaving=True)
    assert not place.worker.is_away

    last = place.round()
    place.round()

    assert place.worker.is_away
    assert (["leave"], set()) == (place.field.groups.asked, place.field.groups.inside)
    assert (True, {GROUP}) == (last.healthy, set(place.field.journal.memory.left))


def test_a_new_order_begins_nothing(place: Workplace) -> None:
    place.worker.leave(leaving=True)
    place.order(place.field.release("1.1"), 2)

    last = place.round()

    assert ({"1.0"}, 2) == (versions(place), last.sequence)
    assert place.field.runs(place.field.release("1.0"))


@pytest.mark.parametrize("stage", ["staging", "draining"])
def test_work_that_has_touched_nothing_is_given_up(place: Workplace, stage: str) -> None:
    during(place, stage, lambda: place.worker.leave(leaving=True))
    place.order(place.field.release("1.1"), 2)

    place.round()

    assert place.field.runs(place.field.release("1.0"))
    assert place.worker.is_away
    assert set() == place.field.groups.inside
    assert "activating" not in {each.work.stage for each in place.reports if each.work}


@pytest.mark.parametrize("stage", ["activating", "restarting", "checking", "registering"])
def test_work_that_has_touched_the_host_goes_on_and_enters_no_group(place: Workplace, stage: str) -> None:
    second = place.field.release("1.1")
    during(place, stage, lambda: place.worker.leave(leaving=True))
    place.order(second, 2)

    last = place.round()

    assert place.field.runs(second)
    assert WorkState.DONE == last.work.state  # type: ignore[union-attr]
    assert "enter" not in place.field.groups.asked
    assert place.worker.is_away


def test_a_failure_of_that_work_still_leads_back(place: Workplace) -> None:
    second = place.field.release("1.1")
    place.field.unit.sick.add(second.id)
    during(place, "restarting", lambda: place.worker.leave(leaving=True))
    place.order(second, 2)

    last = place.round()

    assert place.field.runs(place.field.release("1.0"))
    assert "1.0" == last.work.rolled_back_to  # type: ignore[union-attr]
    assert set() == place.field.groups.inside


def test_a_host_that_stays_after_all_enters_again_and_converges(place: Workplace) -> None:
    second = place.field.release("1.1")
    place.worker.leave(leaving=True)
    place.order(second, 2)
    place.round()

    place.worker.leave(leaving=False)
    place.round()

    assert place.field.runs(second)
    assert {GROUP} == place.field.groups.inside
    assert not place.worker.is_away


def test_one_that_was_stopped_and_started_enters_again(place: Workplace) -> None:
    place.worker.leave(leaving=True)
    place.round()

    place.hire()
    place.round()

    assert {GROUP} == place.field.groups.inside


def test_target_groups_that_do_not_answer_are_asked_again(place: Workplace) -> None:
    place.field.groups.away.add("DeregisterTargets")
    place.worker.leave(leaving=True)
    place.round()
    assert not place.worker.is_away

    place.field.groups.away.clear()
    place.round()

    assert place.worker.is_away


def test_a_host_on_which_nothing_was_ever_installed_is_away_at_once(field: Any, make_order: Any, clock: Any) -> None:
    place = Workplace(field, make_order, clock)
    place.worker.leave(leaving=True)

    place.round()

    assert place.worker.is_away


# ── what a launch hook waits for ──


def fresh(field: Any, make_order: Any, clock: Any) -> Workplace:
    return Workplace(field, make_order, clock)


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (AWAY, Readiness.WORKING),
        (Look(trouble="there is no order yet", absent=True), Readiness.EMPTY),
    ],
)
def test_no_order_is_nothing_to_run_and_one_that_cannot_be_read_is_waited_for(
    field: Any, make_order: Any, clock: Any, look: Look, expected: Readiness
) -> None:
    place = fresh(field, make_order, clock)
    assert Readiness.WORKING == place.worker.readiness
    place.orders.look_at = look

    place.round()

    assert expected == place.worker.readiness


def test_an_order_that_asks_nothing_of_an_empty_host_is_no_leave_to_serve(
    field: Any, make_order: Any, clock: Any
) -> None:
    place = fresh(field, make_order, clock)
    place.order(field.release("1.0"), 1, admitted=NOBODY)

    place.round()

    assert Readiness.WORKING == place.worker.readiness


def test_the_base_of_a_rollout_is_where_a_joiner_has_to_be(field: Any, make_order: Any, clock: Any) -> None:
    place, good = fresh(field, make_order, clock), field.release("1.0")
    place.order(field.release("1.1"), 1, base=good, admitted=NOBODY)
    place.worker.look()
    assert Readiness.WORKING == place.worker.readiness

    place.round()

    assert field.runs(good)
    assert Readiness.THERE == place.worker.readiness


def test_what_others_baked_into_the_image_is_replaced_before_anybody_is_served(
    field: Any, make_order: Any, clock: Any
) -> None:
    place, release = fresh(field, make_order, clock), field.release("1.1")
    place.command = "cat VERSION"
    place.hire()
    place.order(release, 1)
    place.round()
    assert (Readiness.WORKING, None) == (place.worker.readiness, place.reports[-1].work)

    place.worker.launch(waits=True)
    assert place.worker.wake.is_set()
    place.round()

    assert field.runs(release)
    assert Readiness.THERE == place.worker.readiness


@pytest.mark.parametrize(
    ("blame", "expected"), [(Blame.UNHEALTHY, Readiness.FAILED), (Blame.TRANSIENT, Readiness.WORKING)]
)
def test_a_release_that_fails_is_failed_for_good_but_not_a_bad_road(
    field: Any, make_order: Any, clock: Any, blame: Blame, expected: Readiness
) -> None:
    place, release = fresh(field, make_order, clock), field.release("1.0")
    if blame is Blame.UNHEALTHY:
        field.unit.sick.add(release.id)
    else:
        field.groups.away.add("DescribeTargetHealth")
    place.order(release, 1)

    last = place.round()

    assert blame == last.work.blame  # type: ignore[union-attr]
    assert expected == place.worker.readiness
