"""A fleet whose deploy type or selector changes while work is in flight: that work is its own deployer's to the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.deployers.memory import InMemory
from reconciler.reasons import Reason
from reconciler.record import Ask
from reconciler.work import Phase


class Choosy(InMemory):
    """Understands fleets of its own type alone, as real deployers do."""

    kind = "memory"

    def _mine(self, *fleets):
        assert {self.kind} >= {fleet.deploy_type for fleet in fleets}

    def refresh(self, fleet, work, known):
        self._mine(fleet, *(outcome.intent.fleet for outcome in work))
        return super().refresh(fleet, work, known)

    def waves(self, fleet, observed):
        self._mine(fleet)
        return super().waves(fleet, observed)

    def check(self, outcome, snapshots, now):
        self._mine(outcome.intent.fleet)
        return super().check(outcome, snapshots, now)

    def abort(self, outcomes, standing, snapshots, lease):
        self._mine(*(outcome.intent.fleet for outcome in outcomes))
        return super().abort(outcomes, standing, snapshots, lease)


class Other(Choosy):
    kind = "other"


@pytest.fixture
def moved(rig, build):
    """A rollout in flight, and a commit that has the same version deployed by another type, elsewhere."""
    rig.world_of_units = Choosy(rig.clock, ["eu-west-1", "us-east-1"])
    rig.elsewhere = Other(rig.clock, ["i-1", "i-2"])
    rig.world = replace(rig.world, deployers={"memory": rig.world_of_units, "other": rig.elsewhere})
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    for unit in rig.elsewhere.places:
        rig.elsewhere.run(unit, {"package/checkout": "1.4.1"})
    rig.commit(build.fleet("1.4.2", deploy_type="other", identity="there"), name="moves")
    return rig


def statuses(deployer):
    return {execution.status for execution in deployer.executions.values()}


def test_it_is_held_and_its_work_is_let_be(moved):
    moved.settle()

    assert moved.record.memory.status.reason is Reason.IDENTITY_CHANGED
    assert (statuses(moved.world_of_units), moved.elsewhere.started) == ({"RUNNING"}, [])
    assert moved.elsewhere.standing is None


def test_its_work_may_finish_and_proves_nothing_of_where_the_fleet_is_now(moved):
    moved.settle()
    moved.world_of_units.finish()
    moved.settle()

    memory = moved.record.memory
    assert (moved.record.work, memory.status.reason) == ((), Reason.IDENTITY_CHANGED)
    assert (memory.finished.version, memory.last_good.fleet.version) == ("1.4.1", "1.4.1")


def test_once_approved_it_is_ended_where_it_runs_before_anything_starts(moved):
    moved.ask(Ask.APPROVE)
    moved.settle()

    assert (statuses(moved.world_of_units), moved.elsewhere.started) == ({"CANCELING"}, [])
    assert moved.record.memory.status.reason is Reason.ABORTING
    assert {outcome.phase for outcome in moved.record.work} == {Phase.ABORTING}
    moved.world_of_units.end_canceled()
    moved.settle()
    assert len(moved.elsewhere.started) == 2
    moved.elsewhere.finish()
    moved.settle()
    assert moved.record.memory.status.ready


def test_a_fleet_that_moves_back_goes_on_where_it_was(moved, build):
    moved.settle()
    moved.commit(build.fleet("1.4.2"), name="back")
    moved.settle()
    moved.world_of_units.finish()
    moved.settle()

    assert moved.record.memory.status.ready
    assert moved.elsewhere.started == []


def test_a_fleet_that_moved_and_is_gone_ends_its_work_where_it_runs(moved):
    moved.commit(None)
    moved.settle()

    assert statuses(moved.world_of_units) == {"CANCELING"}
    moved.world_of_units.end_canceled()
    moved.settle()
    assert (moved.record.work, moved.record.memory.status.reason) == ((), Reason.REMOVED)
