"""A fleet that may be empty, and is: nothing is proven on nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.deployers.memory import Place
from reconciler.observed import Unit
from reconciler.record import State

HOSTS = [f"i-{number}" for number in range(6)]
WAVES = {"at_once": 1, "soak": "1h", "waves": (("i-0",), tuple(HOSTS))}


@pytest.fixture
def hosts(rig):
    rig.world_of_units.places = {host: Place() for host in HOSTS}
    return rig


def empties(rig):
    """No instance is there, which is allowed. Gives what brings them back."""
    world = rig.world_of_units
    real = world.observe
    for execution in world.executions.values():
        if execution.status == "RUNNING":
            execution.status = "CANCELED"

    def nobody(fleet, snapshots):
        unit = Unit(id="none", components=fleet.components, healthy=True, running=False)
        return replace(real(fleet, snapshots), units=(unit,))

    world.observe = nobody
    return lambda: setattr(world, "observe", real)


def test_a_rollout_whose_hosts_are_scaled_away_proves_nothing_and_begins_anew_when_they_are_back(hosts, build):
    hosts.deployed("1.4.1")
    proven = hosts.record.memory.proven
    commit = hosts.commit(build.fleet("1.4.2", deploy=WAVES))
    hosts.settle()
    back = empties(hosts)
    hosts.settle()

    memory = hosts.record.memory
    assert (None, "1.4.1", proven) == (memory.rollout, memory.last_good.fleet.version, memory.proven)
    word = hosts.said(commit)
    assert (State.SUCCESS, "1.4.2 for whoever comes: no unit runs, which is allowed") == (word.state, word.description)

    back()
    hosts.settle()
    assert ("wave 1/2", {"i-0"}) == (
        hosts.said(commit).description[:8],
        hosts.world_of_units.standing.admitted,
    )


def test_a_version_that_was_set_while_nobody_was_there_goes_through_its_waves(hosts, build):
    hosts.deployed("1.4.1")
    back = empties(hosts)
    commit = hosts.commit(build.fleet("1.4.2", deploy=WAVES))
    hosts.settle()
    assert "1.4.1" == hosts.record.memory.last_good.fleet.version
    assert hosts.record.memory.status.ready

    back()
    hosts.settle()
    assert "wave 1/2: 1.4.2 on 0/6 units" == hosts.said(commit).description


def test_where_nothing_was_ever_good_who_comes_first_is_told_the_version(hosts, build):
    empties(hosts)
    hosts.commit(build.fleet("1.4.2"))
    hosts.settle()

    assert hosts.record.memory.last_good is None
    standing = hosts.world_of_units.standing
    assert ("1.4.2", None) == (standing.target.fleet.version, standing.admitted)
