"""A rollout that gets nowhere ends; what holds it from outside does not count."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.deployers.memory import Place
from desired_state.model import Suspension
from reconciler.memory import ConditionType
from reconciler.plan import Pace
from reconciler.reasons import Reason
from reconciler.record import Ask, State

HOSTS = [f"i-{number}" for number in range(6)]
OLD, NEW = {"package/checkout": "1.4.1"}, {"package/checkout": "1.4.2"}


@pytest.fixture
def hosts(rig):
    rig.world_of_units.places = {host: Place() for host in HOSTS}
    rig.world = replace(rig.world, pace=Pace(active=timedelta(minutes=1), settle=timedelta(seconds=35)))
    rig.deployed("1.4.1")
    return rig


def bump(rig, build, **deploy):
    rig.fleet = build.fleet("1.4.2", deploy={"at_once": 2, "deadline": "30m", **deploy})
    rig.setting = rig.commit(rig.fleet)
    rig.settle()


def silence(rig, *units, components=OLD):
    for unit in units:
        rig.world_of_units.run(unit, components, healthy=False, unheard=True)


def live(rig, minutes):
    """Passes as often as they are called for, until so much time is gone."""
    end = rig.clock.now().timestamp() + 60 * minutes
    while (now := rig.clock.now()).timestamp() < end:
        again_at = rig.once()
        left = end - now.timestamp()
        wait = left if again_at is None else min(left, (again_at - now).total_seconds())
        rig.wait(seconds=max(wait, 0.001))
    rig.settle()


def test_half_a_silent_fleet_leaves_no_room_and_is_not_waited_for_for_ever(hosts, build):
    silence(hosts, *HOSTS[3:])
    bump(hosts, build)
    hosts.once()
    assert hosts.record.memory.status.reason is Reason.MAX_UNAVAILABLE
    live(hosts, 29)
    assert hosts.said(hosts.setting).state is State.PENDING
    live(hosts, 2)

    failed = hosts.record.memory.quarantines[0]
    assert failed.reason is Reason.DEADLINE_EXCEEDED
    assert failed.message == ("no progress for 30 min; waits for i-0, i-1, i-2 +3; 3 of 6 units are out of service")
    assert hosts.said(hosts.setting).state is State.FAILURE


def test_progress_begins_the_clock_anew(hosts, build):
    bump(hosts, build)
    live(hosts, 25)
    hosts.world_of_units.finish()
    hosts.settle()
    live(hosts, 25)

    assert hosts.record.memory.quarantines == ()
    live(hosts, 6)
    assert hosts.record.memory.quarantines[0].reason is Reason.DEADLINE_EXCEEDED


def test_a_suspension_halts_and_its_end_goes_on_in_the_same_wave(hosts, build):
    waves = (("i-0", "i-1"), tuple(HOSTS))
    bump(hosts, build, waves=waves)
    hosts.world_of_units.finish()
    hosts.settle()
    before = hosts.record.memory.rollout
    hosts.commit(replace(hosts.fleet, suspension=Suspension(reason="rest")), name="rest", keeps=hosts.setting)
    hosts.settle()
    started = len(hosts.started)
    hosts.world_of_units.finish()  # what was under way is let end
    live(hosts, 120)

    assert (hosts.record.memory.status.reason, len(hosts.started)) == (Reason.SUSPENDED, started)
    hosts.commit(hosts.fleet, name="on", keeps=hosts.setting)
    hosts.settle()
    rollout = hosts.record.memory.rollout
    assert (rollout.wave, rollout.members, rollout.started_at) == (before.wave, before.members, before.started_at)
    assert len(hosts.started) == started + 2
    live(hosts, 29)
    assert hosts.record.memory.quarantines == ()


def test_a_wave_that_falls_ill_while_suspended_has_not_soaked(hosts, build):
    bump(hosts, build, waves=(("i-0",), tuple(HOSTS)), soak="5m")
    hosts.world_of_units.finish()
    hosts.settle()
    hosts.commit(replace(hosts.fleet, suspension=Suspension(reason="rest")), name="rest", keeps=hosts.setting)
    hosts.wait(minutes=1)
    hosts.world_of_units.run("i-0", NEW, healthy=False)
    hosts.settle()
    hosts.wait(minutes=1)
    hosts.world_of_units.run("i-0", NEW)
    hosts.settle()
    hosts.commit(hosts.fleet, name="on", keeps=hosts.setting)
    hosts.wait(minutes=4)
    hosts.settle()

    assert (hosts.record.memory.rollout.wave, len(hosts.started)) == (1, 1)


def test_a_soak_longer_than_the_deadline_is_waited_out(hosts, build):
    bump(hosts, build, at_once=6, soak="2h")
    hosts.world_of_units.finish()
    live(hosts, 125)

    assert hosts.record.memory.status.ready


def test_a_soak_that_is_broken_again_and_again_does_not_last_for_ever(hosts, build):
    bump(hosts, build, at_once=6, soak="5m")
    hosts.world_of_units.finish()
    for _ in range(40):
        hosts.world_of_units.run("i-0", NEW)
        live(hosts, 1)
        hosts.world_of_units.run("i-0", NEW, healthy=False)
        live(hosts, 1)

    assert hosts.record.memory.quarantines[0].reason is Reason.DEADLINE_EXCEEDED


def test_a_world_that_cannot_be_read_uses_nothing_up(hosts, build):
    silence(hosts, *HOSTS[3:])
    bump(hosts, build)
    live(hosts, 20)
    hosts.world_of_units.unreadable = "EC2 does not answer"
    live(hosts, 20)
    hosts.world_of_units.unreadable = ""
    live(hosts, 9)

    assert hosts.record.memory.quarantines == ()
    live(hosts, 3)
    assert hosts.record.memory.quarantines[0].reason is Reason.DEADLINE_EXCEEDED


def test_a_read_that_fails_now_and_then_does_not_keep_a_rollout_for_ever(hosts, build):
    silence(hosts, *HOSTS[3:])
    bump(hosts, build)
    for _ in range(6):
        live(hosts, 7)
        hosts.world_of_units.unreadable = "EC2 was throttled"
        hosts.once()
        hosts.world_of_units.unreadable = ""

    assert hosts.record.memory.quarantines[0].reason is Reason.DEADLINE_EXCEEDED


def test_a_controller_that_was_away_for_as_long_saw_nothing(hosts, build):
    silence(hosts, *HOSTS[3:])
    bump(hosts, build)
    live(hosts, 1)
    hosts.wait(hours=3)
    hosts.settle()

    assert hosts.record.memory.quarantines == ()
    live(hosts, 31)
    assert hosts.record.memory.quarantines[0].reason is Reason.DEADLINE_EXCEEDED


def test_units_that_never_came_are_left_behind_where_so_many_may_be(hosts, build):
    silence(hosts, "i-4", "i-5")
    bump(hosts, build, at_once=1, tolerated=2)
    for _ in range(4):
        hosts.world_of_units.run("i-0", NEW)
        hosts.world_of_units.run("i-1", NEW)
        hosts.world_of_units.run("i-2", NEW)
        hosts.world_of_units.run("i-3", NEW)
        hosts.settle()
    live(hosts, 31)

    word = hosts.said(hosts.setting)
    assert (word.state, word.description) == (
        State.SUCCESS,
        "1.4.2 on 4/6 units; i-4, i-5 failed and are left behind (2 allowed): did not come to 1.4.2 in time",
    )


def test_healing_that_gets_nowhere_blames_no_version(hosts, build):
    bump(hosts, build, at_once=6)
    hosts.world_of_units.finish()
    hosts.settle()
    silence(hosts, *HOSTS[3:], components=NEW)
    hosts.world_of_units.run("i-0", OLD)
    hosts.commit(build.fleet("1.4.2", deploy={"at_once": 2, "deadline": "30m"}), name="slow", keeps=hosts.setting)
    hosts.settle()
    hosts.once()
    assert hosts.record.memory.status.reason is Reason.MAX_UNAVAILABLE
    live(hosts, 34)

    memory = hosts.record.memory
    assert (memory.quarantines, memory.rollout) == ((), None)
    assert [(rest.unit, rest.reason) for rest in memory.rests] == [("i-0", Reason.DEADLINE_EXCEEDED)]


def test_a_rollout_whose_units_are_all_gone_says_so_and_waits(hosts, build):
    bump(hosts, build)
    for host in HOSTS:
        hosts.world_of_units.lose(host)
    live(hosts, 60)

    memory = hosts.record.memory
    assert (memory.quarantines, memory.status.reason) == ((), Reason.NO_UNITS)
    assert hosts.said(hosts.setting).state is State.FAILURE
    hosts.world_of_units.run("i-9", OLD)
    hosts.settle()
    hosts.world_of_units.finish()
    hosts.settle()
    assert hosts.said(hosts.setting).state is State.SUCCESS


# ── units that join ──


def joins(rig, *units):
    for unit in units:
        rig.world_of_units.places[unit] = Place(running=False, healthy=False, joining=True)


def test_units_that_boot_are_in_no_wave_no_budget_and_no_count(hosts, build):
    joins(hosts, "i-8", "i-9")
    bump(hosts, build)
    word = hosts.said(hosts.setting)
    assert word.description == "wave 1/1: 1.4.2 on 0/6 units (+2 joining)"
    for _ in range(3):
        hosts.world_of_units.finish()
        hosts.settle()

    assert {key.split(":")[5] for key in hosts.started} == set(HOSTS)
    assert hosts.said(hosts.setting).description.startswith("1.4.2 on 6/6 units")


def test_a_unit_that_has_joined_is_deployed_to_like_any_other(hosts, build):
    bump(hosts, build)
    joins(hosts, "i-9")
    hosts.world_of_units.finish()
    hosts.settle()
    hosts.world_of_units.run("i-9", OLD)  # it is healthy and serves
    for _ in range(4):
        hosts.world_of_units.finish()
        hosts.settle()

    assert set(hosts.runs().values()) == {"1.4.2"}


def test_where_nothing_was_ever_good_units_that_boot_are_ordinary_ones(rig, build):
    rig.world_of_units.places = {}
    joins(rig, "i-0", "i-1")
    commit = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    assert set(rig.runs().values()) == {"1.4.2"}
    assert rig.said(commit).state is State.SUCCESS


def test_where_all_units_still_boot_nothing_is_finished(hosts, build):
    for host in HOSTS:
        hosts.world_of_units.lose(host)
    joins(hosts, "i-8", "i-9")
    bump(hosts, build)
    live(hosts, 60)

    word = hosts.said(hosts.setting)
    assert (word.state, word.description) == (State.PENDING, "no unit serves yet: 2 are joining (i-8, i-9)")
    ready = hosts.record.memory.status.condition(ConditionType.READY)
    assert ready is not None
    assert ready.status is False


def test_a_retry_in_mid_rollout_forgets_failures_and_neither_the_wave_nor_its_soak(hosts, build):
    bump(hosts, build, at_once=6, soak="5m")
    hosts.world_of_units.finish()
    hosts.settle()
    soaks = hosts.record.memory.rollout.soak_until
    hosts.ask(Ask.RETRY)
    hosts.settle()

    assert hosts.record.memory.rollout.soak_until == soaks
    assert hosts.said(hosts.setting).state is State.PENDING
