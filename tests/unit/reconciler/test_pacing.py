"""No more units are taken out of service at once than the wave allows."""

from __future__ import annotations

import pytest

from adapters.deployers.memory import Place
from reconciler.memory import Rollout
from reconciler.pacing import by_urgency
from reconciler.reasons import Reason
from reconciler.work import Kind, Release

HOSTS = [f"i-{number}" for number in range(6)]


@pytest.fixture
def hosts(rig):
    rig.world_of_units.places = {host: Place() for host in HOSTS}
    rig.deployed("1.4.1")
    return rig


def bump(rig, build, at_once=2, **changes):
    rig.commit(build.fleet("1.4.2", deploy={"at_once": at_once}, **changes))
    rig.settle()


def units_started(rig):
    return [key.split(":")[5] for key in rig.started]


def test_as_many_as_may_be_out_are_started_and_the_rest_wait(hosts, build):
    bump(hosts, build)

    assert units_started(hosts) == ["i-0", "i-1"]


def test_the_next_ones_follow_as_soon_as_the_first_are_back(hosts, build):
    bump(hosts, build)
    hosts.world_of_units.finish()
    hosts.settle()
    assert units_started(hosts) == HOSTS[:4]
    hosts.world_of_units.finish()
    hosts.settle()
    hosts.world_of_units.finish()
    hosts.settle()

    assert sorted(units_started(hosts)) == HOSTS
    assert hosts.record.memory.status.ready


def test_broken_units_cost_nothing_and_go_first(hosts, build):
    hosts.world_of_units.run("i-4", {"package/checkout": "1.4.1"}, healthy=False)
    bump(hosts, build, at_once=1)

    assert units_started(hosts) == ["i-4"]


def test_units_that_nobody_hears_from_may_serve_and_are_not_all_taken_out_at_once(hosts, build):
    """A region's hosts read their orders and cannot report: they serve on, and the limit holds for them too."""
    for host in HOSTS[2:]:
        hosts.world_of_units.run(host, {"package/checkout": "1.4.1"}, healthy=False, unheard=True)
    bump(hosts, build, at_once=2)
    hosts.settle()

    assert units_started(hosts) == []
    assert hosts.record.memory.status.reason is Reason.MAX_UNAVAILABLE


def test_as_long_as_no_more_are_silent_than_may_be_out_they_are_tried_too(hosts, build):
    hosts.world_of_units.run("i-4", {"package/checkout": "1.4.1"}, healthy=False, unheard=True)
    bump(hosts, build, at_once=2)

    assert sorted(units_started(hosts)) == ["i-0", "i-4"]


def test_where_too_many_are_out_already_the_fleet_says_which_and_waits(hosts, build):
    bump(hosts, build, at_once=2)
    hosts.world_of_units.finish()  # i-0 and i-1 are there, and fall ill
    for host in ("i-0", "i-1"):
        hosts.world_of_units.run(host, {"package/checkout": "1.4.2"}, healthy=False)
    hosts.settle()

    status = hosts.record.memory.status
    assert status.reason is Reason.MAX_UNAVAILABLE
    assert status.message == "2 of 6 units are out of service (i-0, i-1); at most 2 may be"
    assert units_started(hosts) == ["i-0", "i-1"]
    hosts.world_of_units.run("i-0", {"package/checkout": "1.4.2"})
    hosts.settle()
    assert units_started(hosts) == ["i-0", "i-1", "i-2"]


def test_healing_keeps_within_the_limit_too(hosts, build):
    bump(hosts, build, at_once=2)
    for _ in range(3):
        hosts.world_of_units.finish()
        hosts.settle()
    before = len(hosts.started)
    for host in HOSTS:
        hosts.world_of_units.run(host, {"package/checkout": "1.3.0"})
    hosts.settle()

    assert len(hosts.started) - before == 2


def test_who_joins_in_the_last_wave_belongs_to_it(hosts, build):
    bump(hosts, build, at_once=3)
    hosts.world_of_units.run("i-9", {"package/checkout": "1.4.1"})
    for _ in range(3):
        hosts.world_of_units.finish()
        hosts.settle()

    assert "i-9" in units_started(hosts)
    assert hosts.record.memory.finished.units == 7


def test_where_a_broken_unit_leaves_no_room_for_the_wave_it_joins_it(hosts, build):
    """The version may be what mends it: to wait for it would be to wait for ever."""
    hosts.world_of_units.run("i-4", {"package/checkout": "1.4.1"}, healthy=False)
    hosts.commit(build.fleet("1.4.2", deploy={"waves": (("i-0",), HOSTS), "at_once": 1}))
    hosts.settle()

    assert units_started(hosts) == ["i-4"]
    hosts.world_of_units.finish()
    hosts.settle()
    assert units_started(hosts) == ["i-4", "i-0"]


def test_after_a_failure_nobody_more_is_taken_until_that_unit_is_there(hosts, build):
    bump(hosts, build, at_once=3)
    failed = next(iter(hosts.world_of_units.executions.values()))
    failed.status = "FAILED"
    hosts.world_of_units.finish()
    hosts.settle()
    hosts.wait(minutes=1)
    hosts.settle()

    assert units_started(hosts) == ["i-0", "i-1", "i-2", "i-0"]
    hosts.world_of_units.finish()
    hosts.settle()
    assert units_started(hosts)[4:] == ["i-3", "i-4", "i-5"]


def test_a_start_that_nobody_answered_is_not_made_again_where_others_went_out_meanwhile(hosts, build):
    hosts.world_of_units.unreachable = "S3 does not answer"
    bump(hosts, build, at_once=2)
    hosts.world_of_units.unreachable = ""
    for host in HOSTS[4:]:
        hosts.world_of_units.run(host, {"package/checkout": "1.4.1"}, healthy=False, unheard=True)
    hosts.wait(minutes=1)
    hosts.settle()
    assert units_started(hosts) == []

    hosts.world_of_units.run("i-4", {"package/checkout": "1.4.1"})
    hosts.world_of_units.run("i-5", {"package/checkout": "1.4.1"})
    hosts.settle()
    assert units_started(hosts) == ["i-0", "i-1"]


def test_waves_take_moved_units_first_then_broken_ones_and_silent_ones_last(build):
    seen = (
        build.unit("silent", "1.4.1", healthy=False, unheard=True),
        build.unit("well", "1.4.1"),
        build.unit("new", None, healthy=False),
        build.unit("broken", "1.4.1", healthy=False),
        build.unit("moved", "1.4.2"),
    )
    release = Release(fleet=build.fleet("1.4.2"), setting_commit=build.sha("now"))
    rollout = Rollout(release=release, kind=Kind.DEPLOY, started_at=build.now, moved=("moved",))

    assert [unit.id for unit in by_urgency(seen, rollout)] == ["moved", "broken", "well", "new", "silent"]
    assert [unit.id for unit in by_urgency(seen, None)] == ["broken", "well", "new", "moved", "silent"]
