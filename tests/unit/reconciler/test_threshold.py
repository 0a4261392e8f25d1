"""A rollout may lose as many units as are tolerated: they are named, tried again later, and never a success."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.deployers.memory import InMemory, Place
from desired_state.model import Policy
from reconciler.reasons import Reason
from reconciler.record import Ask, State

HOSTS = [f"i-{number}" for number in range(6)]
ONE_BY_ONE = (("i-0",), tuple(HOSTS))


class Sharing(InMemory):
    """A third of the units may be lost, rounded down."""

    def waves(self, fleet, observed):
        tolerated = len(observed.units) // 3
        return tuple(replace(wave, tolerated=tolerated) for wave in super().waves(fleet, observed))


@pytest.fixture
def hosts(rig):
    rig.world_of_units.places = {host: Place() for host in HOSTS}
    rig.deployed("1.4.1")
    return rig


def bump(rig, build, **deploy):
    rig.setting = rig.commit(build.fleet("1.4.2", deploy=deploy, policy=Policy(retries=0)))
    rig.settle()


def units_started(rig):
    return [key.split(":")[5] for key in rig.started]


def fails(rig, *units, back_to="1.4.1", healthy=True):
    """Those fail and go back by themselves; all else that is under way succeeds."""
    for execution in rig.world_of_units.executions.values():
        if execution.status == "RUNNING" and execution.intent.unit in units:
            execution.status, execution.message = "FAILED", "it answers 503"
            rig.world_of_units.run(execution.intent.unit, {"package/checkout": back_to}, healthy=healthy)
    rig.world_of_units.finish()
    rig.settle()


def test_a_unit_within_the_threshold_is_left_behind_and_the_rollout_ends(hosts, build):
    bump(hosts, build, at_once=6, tolerated=1)
    fails(hosts, "i-3")

    word = hosts.said(hosts.setting)
    assert word.description == "1.4.2 on 5/6 units; i-3 failed and is left behind (1 allowed): it answers 503"
    assert word.state is State.SUCCESS
    memory = hosts.record.memory
    assert (memory.rollout, memory.last_good.fleet.version, memory.quarantines) == (None, "1.4.2", ())
    assert ([rest.unit for rest in memory.rests], memory.finished.units, memory.finished.behind) == (["i-3"], 5, 1)
    assert not memory.status.ready
    assert memory.status.reason is Reason.HEALTH_CHECK_FAILED


def test_one_more_than_is_tolerated_ends_it_and_names_how_many(hosts, build):
    bump(hosts, build, at_once=6, tolerated=1)
    fails(hosts, "i-3", "i-5")

    memory = hosts.record.memory
    assert memory.quarantines[0].message == "2 units failed, 1 allowed (i-3, i-5): i-5: it answers 503"
    assert hosts.said(hosts.setting).state is State.FAILURE
    hosts.world_of_units.finish()
    hosts.settle()
    assert set(hosts.runs().values()) == {"1.4.1"}


def test_it_is_tried_again_within_the_hour_and_forgotten_once_it_is_there(hosts, build):
    bump(hosts, build, at_once=6, tolerated=1)
    fails(hosts, "i-3")
    before = len(hosts.started)
    hosts.wait(minutes=61)
    hosts.settle()

    assert units_started(hosts)[before:] == ["i-3"]
    assert hosts.said(hosts.setting).state is State.SUCCESS  # that it is tried again is no news
    hosts.world_of_units.finish()
    hosts.settle()
    assert (hosts.record.memory.rests, hosts.record.memory.status.ready) == ((), True)


def test_what_fails_again_after_an_hour_is_still_left_behind(hosts, build):
    bump(hosts, build, at_once=6, tolerated=1)
    fails(hosts, "i-3")
    hosts.wait(minutes=61)
    hosts.settle()
    fails(hosts, "i-3")

    assert hosts.said(hosts.setting).description.startswith("1.4.2 on 5/6 units; i-3 failed and is left behind (1 all")
    assert hosts.record.memory.quarantines == ()


def test_a_first_wave_that_lost_its_unit_takes_another_before_the_second_begins(hosts, build):
    bump(hosts, build, waves=ONE_BY_ONE, at_once=6, tolerated=1)
    fails(hosts, "i-0")

    assert units_started(hosts) == ["i-0", "i-1"]
    fails(hosts)
    assert sorted(units_started(hosts)) == HOSTS


def test_where_every_unit_may_be_lost_a_release_that_came_to_none_has_failed(hosts, build):
    bump(hosts, build, at_once=6, tolerated=6)
    fails(hosts, *HOSTS)

    assert hosts.said(hosts.setting).state is State.FAILURE
    assert hosts.record.memory.last_good.fleet.version == "1.4.1"
    assert hosts.record.memory.quarantines[0].message == "it came to none of 6 units: it answers 503"


def test_others_go_on_only_while_the_failing_ones_are_tolerated(hosts, build):
    hosts.setting = hosts.commit(build.fleet("1.4.2", deploy={"at_once": 2, "tolerated": 1}, policy=Policy(retries=1)))
    hosts.settle()
    fails(hosts, "i-0")
    hosts.wait(minutes=1)
    hosts.settle()

    assert units_started(hosts) == ["i-0", "i-1", "i-0", "i-2"]  # one is failing, one is tolerated: i-2 may go
    fails(hosts, "i-0", "i-2")  # i-0 is given up; with i-2 one too many is failing
    hosts.wait(minutes=1)
    hosts.settle()
    assert units_started(hosts)[4:] == ["i-2"]


def test_a_unit_that_stays_ill_at_the_release_is_left_behind_too(hosts, build):
    bump(hosts, build, at_once=6, tolerated=1)
    hosts.world_of_units.finish()
    hosts.world_of_units.run("i-2", {"package/checkout": "1.4.2"}, healthy=False, unheard=True)
    hosts.settle()
    hosts.wait(minutes=3)
    hosts.settle()
    hosts.wait(seconds=10)
    hosts.settle()

    word = hosts.said(hosts.setting)
    assert (word.state, word.description[:53]) == (
        State.SUCCESS,
        "1.4.2 on 5/6 units; i-2 failed and is left behind (1 ",
    )
    assert not hosts.record.memory.status.ready
    hosts.world_of_units.run("i-2", {"package/checkout": "1.4.2"})
    hosts.settle()
    assert (hosts.record.memory.rests, hosts.record.memory.status.ready) == ((), True)


def test_a_unit_that_is_terminated_leaves_both_sides_with_its_failures(hosts, build):
    bump(hosts, build, waves=ONE_BY_ONE, at_once=6, tolerated=1)
    fails(hosts, "i-0")
    hosts.world_of_units.lose("i-0")
    fails(hosts)
    fails(hosts, "i-4")  # the first that counts

    assert hosts.said(hosts.setting).description.startswith("1.4.2 on 4/5 units; i-4 failed and is left behind (1 all")


def test_a_unit_left_behind_that_is_ill_takes_room(hosts, build):
    bump(hosts, build, waves=ONE_BY_ONE, at_once=1, tolerated=1)
    fails(hosts, "i-0", healthy=False)

    assert units_started(hosts) == ["i-0"]
    assert hosts.record.memory.status.reason is Reason.MAX_UNAVAILABLE


def test_who_is_left_behind_is_told_nothing_new_and_who_joins_runs_the_new_version(hosts, build):
    bump(hosts, build, at_once=6, tolerated=1)
    fails(hosts, "i-3")

    standing = hosts.world_of_units.standing
    assert (standing.target.fleet.version, standing.base.fleet.version) == ("1.4.2", "1.4.2")
    assert standing.admitted == frozenset(HOSTS)


def test_who_was_left_behind_is_no_failure_once_the_fleet_has_another_region(hosts, build):
    deploy = {"waves": ONE_BY_ONE, "at_once": 1, "tolerated": 1}
    bump(hosts, build, **deploy)
    fails(hosts, "i-0")
    assert [entry.unit for entry in hosts.record.memory.rollout.left_behind] == ["i-0"]

    fleet = build.fleet("1.4.2", deploy=deploy, policy=Policy(retries=0), identity="two regions")
    hosts.commit(fleet, "region")
    hosts.settle()
    assert hosts.record.memory.status.reason is Reason.IDENTITY_CHANGED
    hosts.ask(Ask.APPROVE)
    for _ in range(12):
        hosts.settle()
        hosts.world_of_units.finish()
        hosts.world_of_units.end_canceled()
        hosts.wait(minutes=1)

    assert hosts.record.memory.quarantines == ()
    assert set(hosts.runs().values()) == {"1.4.2"}


@pytest.fixture
def shrinks(rig, build):
    """Two of six were lost, as a share allows; then two that were well are terminated, and one may be lost."""
    rig.world_of_units = Sharing(rig.clock)
    rig.world = replace(rig.world, deployers={"memory": rig.world_of_units})
    rig.world_of_units.places = {host: Place() for host in HOSTS}
    rig.deployed("1.4.1")
    bump(rig, build, waves=(("i-0", "i-1"), tuple(HOSTS)), at_once=6)
    fails(rig, "i-0", "i-1")
    for unit in ("i-4", "i-5"):
        rig.world_of_units.lose(unit)
    return rig


def test_a_fleet_that_shrinks_does_not_fail_by_what_was_lost_before(shrinks):
    fails(shrinks)
    fails(shrinks)

    word = shrinks.said(shrinks.setting)
    assert word.state is State.SUCCESS
    assert word.description.startswith("1.4.2 on 2/4 units; i-0, i-1 failed and are left behind (2 allowed)")


def test_a_fleet_that_shrinks_may_lose_no_more(shrinks):
    fails(shrinks, "i-2")
    fails(shrinks, "i-3")

    assert shrinks.record.memory.quarantines[0].message.startswith("3 units failed, 1 allowed")
