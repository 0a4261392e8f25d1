"""Whatever happens and in whatever order: a step before a version runs alone, and once for its target."""

import pytest

from reconciler.work import BEFORE
from tests.unit.reconciler.test_invariants import DEPLOYS, LIVE, STEPS, Life

WITH_STEP = [{**deploy, "before": {"irreversible": forever}} for deploy in DEPLOYS for forever in (False, True)]


class Prepared(Life):
    """A life in which most versions have a step."""

    deploys = (*DEPLOYS, *WITH_STEP)

    def __init__(self, rig, build, seed):
        super().__init__(rig, build, seed)
        self.known = set()  # executions of a memory that was lost since, or of a fleet that was gone

    def a_unit_has_one_execution_at_most(self):
        super().a_unit_has_one_execution_at_most()
        runs = self.units.executions
        live = [run.intent for run in runs.values() if run.status in LIVE]
        preparing = {intent.fleet.target_digest for intent in live if intent.unit == BEFORE}
        assert [] == [each.key for each in live if each.unit != BEFORE and each.fleet.target_digest in preparing]
        done = [
            run.intent.fleet.target_digest
            for key, run in runs.items()
            if run.intent.unit == BEFORE and run.status == "SUCCEEDED" and key not in self.known
        ]
        assert sorted(set(done)) == sorted(done)

    def the_ledger_is_lost(self):
        if self.only_wanted_work():
            self.known |= set(self.units.executions)
        super().the_ledger_is_lost()

    def its_file_goes_or_breaks(self):
        super().its_file_goes_or_breaks()
        if not self.present:
            self.known |= set(self.units.executions)


@pytest.mark.parametrize("seed", range(16))
def test_what_must_hold_of_steps_holds_in_whatever_order_things_happen(rig, build, seed):
    life = Prepared(rig, build, seed)
    try:
        life.live(STEPS)
    except AssertionError as broken:
        broken.add_note("\n".join(life.story))
        raise
