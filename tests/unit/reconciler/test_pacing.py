"""No more units are taken out of service at once than the wave allows."""

from __future__ import annotations

import pytest

from adapters.deployers.memory import Place
from reconciler.reasons import Reason

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
