"""How a version came about is told; what it waits for is told; a way that did half of it goes on at once."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from desired_state.model import Policy, Suspension
from reconciler.memory import ConditionType
from reconciler.reasons import Reason
from reconciler.record import State
from reconciler.rollout import LACKING_CAP
from reconciler.speech import LONGEST
from reconciler.work import Failure, Kind, Outcome, Phase

LACKS = "staging has not baked checkout 1.4.2 in us-east-1 (account 123456789012) yet; deploy it there first"


@dataclass
class Ways:
    """The rig, its deployer as one that goes several ways."""

    rig: Any
    missing: str = ""  # what keeps it from starting
    note: str = ""  # of a success; `{unit}` is filled in
    halves: int = 0  # so many attempts do half of it

    def __post_init__(self) -> None:
        deployer = self.rig.world_of_units
        self._start, self._check = deployer.start, deployer.check
        deployer.start, deployer.check = self.start, self.check
        self.intents: list[Any] = []

    def start(self, intents: Any, standing: Any, snapshots: Any, lease: Any) -> Any:
        for intent in intents:
            self.intents.append(intent)
            if not self.missing:
                yield from self._start([intent], standing, snapshots, lease)
                continue
            reason = Reason.IMAGE_MISSING
            yield Outcome(
                intent=intent, phase=Phase.FAILED, failure=Failure.TRANSIENT, reason=reason, message=self.missing
            )

    def check(self, outcome: Outcome, snapshots: Any, now: Any) -> Outcome:
        found: Outcome = self._check(outcome, snapshots, now)
        if found.phase is not Phase.SUCCEEDED:
            return found
        if self.halves:
            self.halves -= 1
            self.rig.world_of_units.places[found.intent.unit].components = {}
            half = {"failure": Failure.TRANSIENT, "reason": Reason.ROLLING_BACK, "message": "half of it"}
            return replace(found, phase=Phase.FAILED, **half)
        return replace(found, note=self.note.format(unit=found.intent.unit))


@pytest.fixture
def ways(rig: Any) -> Ways:
    return Ways(rig)


def test_what_it_waits_for_is_said_and_asked_again_within_a_minute(ways: Ways, build: Any) -> None:
    rig = ways.rig
    rig.deployed("1.4.1")
    ways.missing = LACKS
    bump = rig.commit(build.fleet("1.4.2"))
    for _ in range(12):
        rig.settle()
        rig.wait(seconds=LACKING_CAP.total_seconds())
    rig.settle()

    status = rig.record.memory.status
    assert (State.PENDING, f"ImageMissing: {LACKS}") == (rig.said(bump).state, rig.said(bump).description)
    assert (Reason.IMAGE_MISSING, LACKS) == (status.reason, status.message)
    assert status.until is not None
    assert status.until - rig.clock.now() <= LACKING_CAP
    assert status.condition(ConditionType.HELD) is not None
    assert 12 < len(ways.intents)
    assert rig.record.memory.quarantines == ()
    assert len(rig.said(bump).description) <= LONGEST


def test_a_step_that_waits_for_an_image_has_not_begun_and_says_what_it_waits_for(ways: Ways, build: Any) -> None:
    rig = ways.rig
    rig.deployed("1.4.1")
    ways.missing = LACKS
    bump = rig.commit(build.fleet("1.4.2", deploy={"before": {"irreversible": True}}, policy=Policy(retries=0)))
    for _ in range(4):
        rig.settle()
        rig.wait(seconds=LACKING_CAP.total_seconds())
    rig.settle()

    assert f"ImageMissing: {LACKS}" == rig.said(bump).description
    assert ((), "") == (rig.record.memory.quarantines, rig.record.memory.irreversible)
    assert {"before"} == {intent.unit for intent in ways.intents}


def test_it_goes_on_when_it_is_there(ways: Ways, build: Any) -> None:
    rig = ways.rig
    rig.deployed("1.4.1")
    ways.missing = LACKS
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    ways.missing, ways.note = "", "as ami-0abc baked in staging"
    rig.wait(minutes=1)
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    assert "1.4.2 as ami-0abc baked in staging on 2/2 units in 1 min" == rig.said(bump).description
    assert rig.record.memory.status.ready


def test_a_newer_commit_does_not_wait_for_what_the_older_one_lacks(ways: Ways, build: Any) -> None:
    rig = ways.rig
    rig.deployed("1.4.1")
    ways.missing = LACKS
    old = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    ways.missing = ""
    new = rig.commit(build.fleet("1.4.3"))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    assert "1.4.3 on 2/2 units in 0 s" == rig.said(new).description
    assert f"superseded by {new[:7]} (1.4.3)" == rig.said(old).description


def test_of_several_ways_the_first_is_told_and_the_others_counted(ways: Ways, build: Any) -> None:
    rig = ways.rig
    rig.deployed("1.4.1")
    ways.note = "as ami-{unit} baked in staging"
    bump = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    assert "1.4.2 as ami-eu-west-1 baked in staging (+1) on 2/2 units in 0 s" == rig.said(bump).description


def test_a_revert_and_a_rollback_say_how_they_came_back(ways: Ways, build: Any) -> None:
    rig = ways.rig
    first = rig.deployed("1.4.1")
    bad = rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()
    ways.note = "by enabling v041"
    back = rig.commit(build.fleet("1.4.1"), "back", reverts=(bad,))
    rig.settle()
    rig.world_of_units.finish()
    rig.settle()

    assert first != back
    assert Kind.REVERT is ways.intents[-1].kind
    assert (
        f"rolled back to 1.4.1 by enabling v041 (reverts {bad[:7]}) on 2/2 units in 0 s" == rig.said(back).description
    )


def test_half_of_the_way_is_no_setback_and_goes_on_at_once(ways: Ways, build: Any) -> None:
    rig = ways.rig
    rig.deployed("1.4.1")
    ways.halves = 4
    rig.commit(build.fleet("1.4.2"))
    began = rig.clock.now()
    for _ in range(4):
        rig.settle()
        rig.world_of_units.finish()
    rig.settle()

    assert began == rig.clock.now()
    assert {"us-east-1": "1.4.2", "eu-west-1": "1.4.2"} == rig.runs()
    assert {0} == {intent.failed for intent in ways.intents}
    assert 6 == len(ways.intents)


def test_an_intent_knows_how_often_its_unit_failed_on_this_way(ways: Ways, build: Any) -> None:
    rig = ways.rig
    rig.deployed("1.4.1")
    rig.commit(build.fleet("1.4.2"))
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()
    rig.wait(minutes=5)
    rig.settle()
    rig.world_of_units.fail()
    rig.settle()

    told = [(intent.kind, intent.fleet.version, intent.failed) for intent in ways.intents if intent.unit == "us-east-1"]
    assert [(Kind.DEPLOY, "1.4.2", 0), (Kind.DEPLOY, "1.4.2", 1), (Kind.ROLLBACK, "1.4.1", 0)] == told


def test_however_much_there_is_to_tell_a_failure_says_why_and_what_became_of_it(ways: Ways, build: Any) -> None:
    rig, policy = ways.rig, Policy(retries=0)
    asleep = ("ap-northeast-3", "ap-southeast-2", "us-gov-west-1", "eu-west-1")
    for unit in (*asleep, "us-east-1"):
        rig.world_of_units.run(unit, {"package/checkout": "1.4.1-20261120.1f0c2ab"})
    rig.deployed("1.4.1-20261120.1f0c2ab")
    regional = (Suspension(reason="moves", regions=asleep),)
    bad = rig.commit(build.fleet("1.4.2-20261124.9d3e7f1", policy=policy, regional=regional))
    rig.settle()
    ways.note = "as ami-0123456789abcdef0 baked in staging"
    rig.world_of_units.fail("2 of 2 instances are unhealthy; the load balancer says that they answer 503 to /healthz")
    rig.settle()
    rig.wait(minutes=3, seconds=10)
    rig.world_of_units.finish()
    rig.settle()

    said = rig.said(bad).description
    assert len(said) <= LONGEST
    assert said.startswith("1.4.2-20261124.9d3e7f1 failed: 2 of 2 instances are unhealthy")
    assert said.endswith("; rolled back to 1.4.1-20261120.1f0c2ab on 1 of 5 regions in 3 min 10 s")
