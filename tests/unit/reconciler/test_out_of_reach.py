"""What starts things does not answer: fleets are held, nothing is intended, and what goes back looks again first."""

from datetime import timedelta

import pytest

from reconciler.memory import ConditionType
from reconciler.reasons import Reason
from reconciler.record import State

SENTENCE = "Gate at gate.example.com does not answer since 02:50 UTC: the connection failed; nothing is started there"
SOON = timedelta(seconds=8)


def test_a_fleet_that_has_something_to_do_is_held_and_intends_nothing(rig, build):
    rig.deployed("1.4.1")
    rig.world_of_units.away = (SENTENCE, SOON)
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()

    status = rig.record.memory.status
    assert (Reason.GATE_UNREACHABLE, SENTENCE) == (status.reason, status.message)
    assert status.condition(ConditionType.HELD) is not None
    assert "GateUnreachable: Gate at gate.example.com" in rig.said(bump).description
    assert ([], ()) == (rig.started, rig.record.work)

    rig.world_of_units.away = None
    rig.settle()

    assert 2 == len(rig.started)


def test_what_is_under_way_stays_under_way(rig, build):
    rig.deployed("1.4.1")
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    before = rig.record.work
    rig.world_of_units.away = (SENTENCE, SOON)
    rig.wait(seconds=10)
    rig.settle()

    assert (SENTENCE, before) == (rig.record.memory.status.message, rig.record.work)
    assert State.PENDING is rig.said(bump).state
    rig.wait(minutes=2)
    rig.settle()
    assert State.ERROR is rig.said(bump).state

    rig.world_of_units.away = None
    rig.world_of_units.finish()
    rig.settle()
    assert State.SUCCESS is rig.said(bump).state


@pytest.mark.parametrize("under_way", [False, True])
def test_what_goes_back_looks_again_first(rig, build, under_way):
    good = rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    if not under_way:
        rig.world_of_units.finish()
        rig.settle()
    rig.world_of_units.away = (SENTENCE, SOON)

    bump = rig.commit(build.fleet("1.4.3"), name="bump")
    later = rig.once() - rig.clock.now()
    revert = rig.commit(build.fleet("1.4.1"), name="revert", reverts=(bad,))
    first = rig.once() - rig.clock.now()

    assert good != bump != revert
    assert first == SOON < later <= SOON + timedelta(seconds=5)


@pytest.mark.parametrize("under_way", [False, True])
def test_nobody_looks_without_a_pause_where_nobody_knows_when_it_is_back(rig, build, under_way):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    if not under_way:
        rig.world_of_units.finish()
        rig.settle()
    rig.world_of_units.away = (SENTENCE, None)
    rig.commit(build.fleet("1.4.1"), name="revert", reverts=(bad,))

    pauses = []
    for _ in range(12):
        pauses.append(rig.once() - rig.clock.now())
        rig.clock.advance(pauses[-1])

    assert min(pauses) >= rig.pace.active / 2
    assert under_way or max(pauses) > timedelta(minutes=2)


@pytest.mark.parametrize("soon", [timedelta(0), timedelta(milliseconds=5)])
def test_what_goes_back_does_not_ask_again_at_once_either(rig, build, soon):
    rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    rig.world_of_units.away = (SENTENCE, soon)
    rig.commit(build.fleet("1.4.1"), name="revert", reverts=(bad,))

    assert timedelta(seconds=1) == rig.once() - rig.clock.now()


def test_a_fleet_at_its_version_needs_nothing(rig):
    rig.deployed("1.4.1")
    rig.world_of_units.away = (SENTENCE, SOON)

    assert rig.once() is None
    assert rig.record.memory.status.ready


def test_what_an_execution_waits_for_is_said_on_the_commit(rig, build):
    rig.deployed("1.4.1")
    rig.world_of_units.waits = 'waits for a manual judgment "Approve" in Spinnaker'
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.wait(seconds=10)
    rig.settle()

    assert (
        'wave 1/1: 1.4.2 on 0/2 units; waits for a manual judgment "Approve" in Spinnaker' == rig.said(bump).description
    )
