"""Order, memory and observation to one decision: each row of the table, and what may never be decided."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.agent_protocol.orders import Assignment, Health, Lifecycle, Order, Release, Run, assignment_of
from adapters.agent_protocol.reports import Blame, Work, WorkState
from fairlead_agent.deciding import Begin, Observation, Resume, Stay, Withdraw, decide
from fairlead_agent.journal import Memory
from fairlead_agent.stages import ACTIVATING, BETWEEN, CHECKING, RESTARTING, ROLLING_BACK, STAGING

HOST = "i-1"
NOW = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
LIFECYCLE = Lifecycle(root="/srv/mm", run=Run(unit="mm.service"), health=Health(tcp="localhost:80"))


def release(version: str) -> Release:
    return Release(
        digest=version * 64, commit=version * 40, version=version, components={}, artifacts=(), lifecycle=LIFECYCLE
    )


NEW, OLD, OTHER = release("a"), release("b"), release("c")
ORDER = Order(fleet="prod/mm", sequence=5, target=NEW, base=OLD, issued=NOW, expires=NOW + timedelta(days=30))
ADMITTED, WAITS = replace(ORDER, admitted=frozenset({HOST})), replace(ORDER, admitted=frozenset())
NOBODY = replace(WAITS, base=None)
NOTHING = Observation(release=None, whole=False, running=False, healthy=False)

OTHERS = Observation(release=None, whole=False, running=True, healthy=True)


def well(at: Release) -> Observation:
    return Observation(release=at.id, whole=True, running=True, healthy=True)


def memory(of: Release, state: WorkState, attempt: int = 1, blame: Blame = Blame.NONE, **more: Any) -> Memory:
    key = Assignment(release=of, attempt=attempt).key
    work = Work(key=key, version=of.version, attempt=attempt, state=state, blame=blame)
    return Memory(work=work, release=of, **more)


WORKING, DONE, FAILED = WorkState.WORKING, WorkState.DONE, WorkState.FAILED
TO_NEW, TO_OLD = Assignment(release=NEW, attempt=1), Assignment(release=OLD, attempt=1)


@pytest.mark.parametrize(
    ("order", "known", "seen", "decision"),
    [
        # any, unfinished | the same
        (ADMITTED, memory(NEW, WORKING), well(OLD), Resume(assignment=TO_NEW)),
        (WAITS, memory(OLD, WORKING), NOTHING, Resume(assignment=TO_OLD)),
        # any, unfinished | another
        (ADMITTED, memory(OTHER, WORKING), well(OLD), Begin(assignment=TO_NEW, settled=False)),
        (WAITS, memory(NEW, WORKING), well(OLD), Begin(assignment=TO_OLD, settled=True)),
        # any, unfinished | nothing of this host
        (NOBODY, memory(NEW, WORKING), well(OLD), Withdraw()),
        # any, unfinished | (no order is believed)
        (None, memory(NEW, WORKING), NOTHING, Resume(assignment=TO_NEW)),
        (None, memory(NEW, WORKING, attempt=3), NOTHING, Resume(assignment=replace(TO_NEW, attempt=3))),
        # ended | the same
        (ADMITTED, memory(NEW, DONE), NOTHING, Stay()),
        (ADMITTED, memory(NEW, FAILED, blame=Blame.UNHEALTHY), well(OLD), Stay()),
        (ADMITTED, memory(NEW, FAILED, blame=Blame.TRANSIENT), well(OLD), Stay()),
        (WAITS, memory(OLD, FAILED, blame=Blame.UNHEALTHY), NOTHING, Stay()),
        (WAITS, memory(OLD, FAILED, blame=Blame.REFUSED), NOTHING, Stay()),
        # done | the base, as the host is not admitted
        (WAITS, memory(NEW, DONE), well(NEW), Stay()),
        (WAITS, memory(NEW, DONE), NOTHING, Stay()),
        # done, or none and it is whole and healthy | another, and the process is of another release
        (ADMITTED, memory(OTHER, DONE), replace(well(NEW), stale=True), Begin(assignment=TO_NEW, settled=False)),
        (WAITS, Memory(), replace(well(OLD), stale=True), Begin(assignment=TO_OLD, settled=False)),
        # the same release, in another place
        (ADMITTED, Memory(), replace(well(NEW), root="/srv/mm"), Begin(assignment=TO_NEW, settled=True)),
        (ADMITTED, Memory(), replace(well(NEW), root="/srv/old"), Begin(assignment=TO_NEW, settled=False)),
        # none, and others deployed what runs here | it, but not by its name
        (ORDER, Memory(), OTHERS, Stay()),
        (WAITS, Memory(), OTHERS, Stay()),
        (replace(ORDER, admitted=frozenset({"i-2"})), Memory(), OTHERS, Stay()),
        (replace(ORDER, base=None), Memory(), OTHERS, Stay()),
        (ADMITTED, Memory(), OTHERS, Begin(assignment=TO_NEW, settled=False)),
        (ORDER, memory(OLD, FAILED), OTHERS, Begin(assignment=TO_NEW, settled=False)),
        (ORDER, memory(OLD, DONE), OTHERS, Begin(assignment=TO_NEW, settled=False)),
        (ORDER, Memory(), replace(OTHERS, running=False), Begin(assignment=TO_NEW, settled=False)),
        # none | the base, and what is there is whole and healthy
        (WAITS, Memory(), well(NEW), Stay()),
        (WAITS, Memory(), well(OLD), Stay()),
        (WAITS, Memory(), replace(well(NEW), whole=False), Begin(assignment=TO_OLD, settled=False)),
        (WAITS, Memory(), replace(well(NEW), healthy=False), Begin(assignment=TO_OLD, settled=False)),
        # failed or none, or done and admitted | another
        (WAITS, memory(NEW, FAILED), well(NEW), Begin(assignment=TO_OLD, settled=False)),
        (WAITS, memory(NEW, FAILED), well(OLD), Begin(assignment=TO_OLD, settled=True)),
        (ADMITTED, Memory(), NOTHING, Begin(assignment=TO_NEW, settled=False)),
        (ADMITTED, Memory(), well(NEW), Begin(assignment=TO_NEW, settled=True)),
        (ADMITTED, memory(OLD, DONE), well(OLD), Begin(assignment=TO_NEW, settled=False)),
        # failed, as the road was bad | the same, and it is the base
        (WAITS, memory(OLD, FAILED, blame=Blame.TRANSIENT), NOTHING, Begin(assignment=TO_OLD, settled=False)),
        (WAITS, memory(OLD, FAILED, blame=Blame.TRANSIENT), well(OLD), Begin(assignment=TO_OLD, settled=True)),
        # nothing at all
        (None, Memory(), NOTHING, Stay()),
        (None, memory(NEW, DONE), NOTHING, Stay()),
        (NOBODY, Memory(), NOTHING, Stay()),
        (NOBODY, memory(NEW, DONE), NOTHING, Stay()),
    ],
)
def test_the_table(order: Order | None, known: Memory, seen: Observation, decision: object) -> None:
    assert decision == decide(order, HOST, known, seen)


def test_everybody_is_admitted_where_the_order_says_all() -> None:
    assert Begin(assignment=TO_NEW, settled=False) == decide(ORDER, HOST, Memory(), NOTHING)


@pytest.mark.parametrize(
    ("order", "decision"),
    [
        (ORDER, Begin(assignment=TO_NEW, settled=False)),
        (WAITS, Begin(assignment=TO_OLD, settled=False)),
        (NOBODY, Stay()),
    ],
)
def test_what_others_left_on_a_host_that_serves_nobody_yet_is_replaced_at_once(order: Order, decision: object) -> None:
    assert decision == decide(order, HOST, Memory(), OTHERS, serving=False)


def test_a_new_attempt_is_another_assignment() -> None:
    again = replace(ADMITTED, attempts={HOST: 2})

    found = decide(again, HOST, memory(NEW, FAILED), well(OLD))

    assert Begin(assignment=replace(TO_NEW, attempt=2), settled=False) == found


def test_what_was_interrupted_while_checking_is_settled_where_it_is_healthy() -> None:
    again = replace(ADMITTED, attempts={HOST: 2})

    found = decide(again, HOST, memory(NEW, WORKING, touched=CHECKING), well(NEW))

    assert Begin(assignment=replace(TO_NEW, attempt=2), settled=True) == found


@pytest.mark.parametrize("state", [WORKING, FAILED])
@pytest.mark.parametrize("touched", [ACTIVATING, RESTARTING, ROLLING_BACK])
def test_nothing_is_settled_while_files_and_process_may_be_of_two_releases(state: WorkState, touched: str) -> None:
    """Also when the assignment that left it so has ended, or another one was begun meanwhile and is staging."""
    again = replace(ADMITTED, attempts={HOST: 2})

    found = decide(again, HOST, memory(NEW, state, touched=touched), well(NEW))

    assert Begin(assignment=replace(TO_NEW, attempt=2), settled=False) == found


RELEASES = st.sampled_from([NEW, OLD, OTHER])
ATTEMPTS = st.integers(1, 3)
MEMORIES = st.one_of(
    st.just(Memory()),
    st.builds(
        memory,
        RELEASES,
        st.sampled_from(list(WorkState)),
        attempt=ATTEMPTS,
        blame=st.sampled_from(list(Blame)),
        touched=st.sampled_from(["", STAGING, *BETWEEN, CHECKING]),
    ),
)
SEEN = st.builds(
    Observation,
    release=st.sampled_from([None, NEW.id, OLD.id, OTHER.id]),
    whole=st.booleans(),
    running=st.booleans(),
    healthy=st.booleans(),
)
ORDERS = st.builds(
    lambda target, base, admitted, attempt: replace(
        ORDER, target=target, base=base, admitted=admitted, attempts={HOST: attempt}
    ),
    RELEASES,
    st.one_of(st.none(), RELEASES),
    st.sampled_from([None, frozenset({HOST}), frozenset({"i-2"})]),
    ATTEMPTS,
)


@given(ORDERS, MEMORIES, SEEN)
def test_what_ended_is_never_begun_again_but_a_base_that_the_road_failed(
    order: Order, known: Memory, seen: Observation
) -> None:
    decision = decide(order, HOST, known, seen)

    if isinstance(decision, Begin) and known.work is not None and decision.assignment.key == known.work.key:
        assert (FAILED, Blame.TRANSIENT) == (known.work.state, known.work.blame)
        assert not order.admits(HOST)
    if isinstance(decision, Resume):
        assert known.unfinished


@given(ORDERS, MEMORIES, SEEN)
def test_settled_means_found_there_and_nothing_half_done(order: Order, known: Memory, seen: Observation) -> None:
    decision = decide(order, HOST, known, seen)

    if isinstance(decision, Begin) and decision.settled:
        assert known.touched not in BETWEEN
        assert seen.is_at(decision.assignment.release.id)


@given(ORDERS, MEMORIES, SEEN)
def test_only_what_the_order_asks_of_this_host_is_begun(order: Order, known: Memory, seen: Observation) -> None:
    decision = decide(order, HOST, known, seen)

    if isinstance(decision, Begin | Resume):
        assert assignment_of(order, HOST) == decision.assignment


@given(MEMORIES, SEEN)
def test_without_an_order_nothing_is_begun_and_nothing_withdrawn(known: Memory, seen: Observation) -> None:
    decision = decide(None, HOST, known, seen)

    assert isinstance(decision, Resume) == known.unfinished
    assert isinstance(decision, Resume | Stay)
