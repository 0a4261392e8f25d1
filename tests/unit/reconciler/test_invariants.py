"""Whatever is merged, breaks, crashes or gets lost, and in whatever order: what must hold of a fleet all the same."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from random import Random

import pytest

from desired_state.model import Adopt, OnFailure, Policy, Problem, Suspension
from reconciler.reasons import Reason
from reconciler.record import Ask, State
from reconciler.world import World
from tests.unit.reconciler.mortal import Crash, Mortal

UNITS = ("eu-west-1", "us-east-1")
VERSIONS = ("1.4.1", "1.4.2", "1.4.3")
POLICIES = (Policy(retries=0), Policy(retries=1, adopt=Adopt.AUTO), Policy(retries=0, on_failure=OnFailure.HOLD))
DEPLOYS = ({}, {"waves": [["us-east-1"], ["eu-west-1"]], "soak": "5m"})
STEPS = 60
LIVE = {"RUNNING", "CANCELING", "STUCK"}
WAITS_FOR_A_PERSON = {
    Reason.FIRST_SIGHT,
    Reason.QUARANTINED,
    Reason.BEFORE_IRREVERSIBLE,
    Reason.DRIFT_RECURS,
    Reason.SUSPENDED,
    Reason.INVALID_SPEC,
}
PROBLEM = Problem(file="environments/prod/checkout.yaml", line=1, column=1, message="not so", fleets=("prod/checkout",))


class Life:
    """One fleet through a random life. `story` is what happened, for whoever reads a failure."""

    deploys = DEPLOYS
    policies = POLICIES
    also = ()  # names of what happens besides

    def __init__(self, rig, build, seed):
        self.rig, self.build, self.random = rig, build, Random(seed)
        self.story = []
        self.number = 0
        self.setting, self.fleet = rig.deployed("1.4.1"), build.fleet("1.4.1")
        self.sound = self.present = True

    def live(self, steps):
        """Passes are as frequent as all that happens between them."""
        happenings = [
            *[self.a_bump_is_merged] * 2,
            self.a_revert_is_merged,
            self.the_way_there_changes,
            self.it_is_suspended_or_resumed,
            self.its_file_goes_or_breaks,
            *[self.executions_succeed] * 3,
            *[self.executions_fail] * 2,
            self.executions_stick,
            self.cancelled_executions_end,
            self.someone_changes_a_unit,
            self.reads_fail,
            self.starts_get_no_answer,
            *[self.time_passes] * 4,
            self.someone_asks,
            self.a_pass_crashes,
            self.the_ledger_is_lost,
            *[self.a_pass] * 16,
            *[getattr(self, name) for name in self.also],
        ]
        for _ in range(steps):
            self.tell(self.random.choice(happenings))
            self.a_unit_has_one_execution_at_most()
        self.come_to_rest()

    def tell(self, happening):
        self.story.append(happening.__name__)
        happening()

    def pick(self, values):
        chosen = self.random.choice(values)
        self.story.append(f"  {chosen!r}"[:80])
        return chosen

    # ── Git ──

    def merge(self, fleet, *, keeps="", reverts=(), problems=()):
        self.number += 1
        commit = self.rig.commit(fleet, str(self.number), keeps=keeps, reverts=reverts, problems=problems)
        self.present, self.sound = fleet is not None, not problems
        if fleet is not None and not problems:
            self.fleet, self.setting = fleet, keeps or commit

    def a_bump_is_merged(self):
        version, policy, deploy = self.pick(VERSIONS), self.pick(self.policies), self.pick(self.deploys)
        if not self.present or version != self.fleet.version:
            self.merge(self.build.fleet(version, policy=policy, deploy=deploy))

    def a_revert_is_merged(self):
        version = self.pick(VERSIONS)
        if self.present and self.sound and version != self.fleet.version:
            fleet = self.build.fleet(version, policy=self.fleet.policy, deploy=self.fleet.deploy)
            self.merge(fleet, reverts=(self.setting,))

    def the_way_there_changes(self):
        spec, deploy = self.pick(("", "other")), self.pick(self.deploys)
        if self.present:
            changed = self.build.fleet(self.fleet.version, spec=spec, policy=self.fleet.policy, deploy=deploy)
            self.merge(changed, keeps=self.setting)

    def it_is_suspended_or_resumed(self):
        if self.present and self.sound:
            suspension = None if self.fleet.suspension else Suspension(reason="rest")
            self.merge(replace(self.fleet, suspension=suspension), keeps=self.setting)

    def its_file_goes_or_breaks(self):
        if self.present:
            broken = self.pick((True, False))
            self.merge(self.fleet if broken else None, problems=(PROBLEM,) if broken else ())

    # ── the world ──

    @property
    def units(self):
        return self.rig.world_of_units

    def executions_succeed(self):
        self.units.finish(healthy=self.pick((True, True, False)))

    def executions_fail(self):
        self.units.fail()

    def executions_stick(self):
        self.units.stick()

    def cancelled_executions_end(self):
        self.units.end_canceled()

    def someone_changes_a_unit(self):
        unit, version, healthy = self.pick(UNITS), self.pick(VERSIONS), self.pick((True, False))
        self.units.run(unit, {"package/checkout": version}, healthy=healthy)
        self.rig.ask(Ask.APPROVE)  # makes the next pass look, as a changed inventory would

    def reads_fail(self):
        self.units.unreadable = "" if self.units.unreadable else "AWS refuses"

    def starts_get_no_answer(self):
        self.units.unreachable = "" if self.units.unreachable else "Gate does not answer"

    def time_passes(self):
        self.rig.wait(seconds=self.pick((1, 10, 60, 400)))

    # ── Fairlead ──

    def someone_asks(self):
        self.rig.ask(self.pick(list(Ask)))

    def a_pass(self):
        before = self.word()
        self.rig.once()
        after = self.word()
        if after is not None and after.state is State.SUCCESS and after != before:
            self.at_version_and_healthy(after)

    def a_pass_crashes(self):
        whole = self.rig.world
        mortal = Mortal(whole.ledger, self.pick((1, 2)))
        self.rig.world = World(ledger=mortal, deployers=whole.deployers, clock=whole.clock, pace=whole.pace)
        with suppress(Crash):
            self.rig.once()
        self.rig.world = whole
        self.rig.wait(seconds=31)  # its lease runs out

    def the_ledger_is_lost(self):
        if self.only_wanted_work():
            self.rig.lose_ledger()
            fleet = self.fleet if self.present else None
            self.rig.commit(fleet, "lost", keeps=self.setting, problems=() if self.sound else (PROBLEM,))
            self.units.unreadable = ""
            self.rig.once()

    def only_wanted_work(self):
        """A limit: after a loss, work is known again towards the present target alone, and where a unit drifts."""
        wanted = (self.setting, self.fleet.target_digest)
        intents = [execution.intent for execution in self.units.executions.values() if execution.status in LIVE]
        known = all((intent.setting_commit, intent.fleet.target_digest) == wanted for intent in intents)
        drifts = {self.fleet.version} != set(self.rig.runs().values())
        return not intents or (known and drifts and self.sound and self.present)

    # ── what must hold ──

    def a_unit_has_one_execution_at_most(self):
        live = Counter(run.intent.unit for run in self.units.executions.values() if run.status in LIVE)
        assert [] == [unit for unit, count in live.items() if count > 1]

    def word(self):
        context = "fairlead/prod/checkout"
        found = self.rig.ledger.statuses("main", commits=[self.setting], context_prefix=context)
        return found[0] if found else None

    def at_version_and_healthy(self, word):
        assert {self.fleet.version} == set(self.rig.runs().values()), word.description
        assert all(place.healthy for place in self.units.places.values()), word.description

    def come_to_rest(self):
        """Everything that is under way ends well; then every commit but the newest has its last word."""
        self.story.append("come_to_rest")
        self.units.unreadable = self.units.unreachable = ""
        for place in self.units.places.values():
            place.healthy = True
        for _ in range(120):
            for execution in self.units.executions.values():
                execution.status = "CANCELED" if execution.status == "STUCK" else execution.status
            self.units.end_canceled()
            self.units.finish()
            again_at = self.rig.once()
            self.a_unit_has_one_execution_at_most()
            if again_at is None:
                break
            self.rig.clock.advance(max(again_at, self.rig.clock.now()) - self.rig.clock.now())
        self.rests()

    def rests(self):
        record = self.rig.ledger.load("prod/checkout")
        if record is None or not self.present:
            assert [] == self.rig.pending()
            return
        status = record.memory.status
        assert () == record.work or status.reason in {Reason.SUSPENDED, Reason.INVALID_SPEC}
        if not self.sound or status.reason in WAITS_FOR_A_PERSON or status.diverted:
            assert set(self.rig.pending()) <= {self.setting}
        else:
            assert [] == self.rig.pending(), f"{status.reason}: {status.message}"
            assert record.memory.rollout is None
            assert {self.fleet.version} == set(self.rig.runs().values())


@pytest.mark.parametrize("seed", range(12, 28))
def test_what_must_hold_holds_in_whatever_order_things_happen(rig, build, seed):
    life = Life(rig, build, seed)
    try:
        life.live(STEPS)
    except AssertionError as broken:
        broken.add_note("\n".join(life.story))
        raise
