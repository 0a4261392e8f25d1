"""Regions fall asleep and wake up in mid-rollout, others deploy, and Gate is away: what must hold all the same."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desired_state.model import Environment, Heal, Suspension
from reconciler.aside import in_force
from reconciler.reasons import Reason
from tests.unit.reconciler.test_invariants import POLICIES, STEPS, Life

REGIONS = ("us-east-1", "eu-west-1", "ap-southeast-2")
ENVIRONMENT = Environment(name="prod", account="123456789012", regions=REGIONS)
CANARY = {"waves": [[REGIONS[0]], REGIONS[1:]], "soak": "5m"}
AWAY = "Gate does not answer"


class Restless(Life):
    """A life in three regions. Where drift is only reported, nobody but Fairlead changes a unit."""

    deploys = ({}, CANARY, {"waves": [[each] for each in REGIONS]})
    also = (*["a_region_falls_asleep_or_wakes_up"] * 6, *["others_begin_or_end"] * 3, *["gate_goes_or_comes_back"] * 3)

    def __init__(self, rig, build, seed):
        self.regional, self.known = (), 0
        rig.world_of_units.run(REGIONS[2], {"package/checkout": "1.4.1"})
        super().__init__(rig, build, seed)
        self.quiet = bool(seed % 2)
        self.policies = tuple(replace(each, heal=Heal.OFF) for each in POLICIES) if self.quiet else POLICIES

    def merge(self, fleet, **how):
        fleet = replace(fleet, environment=ENVIRONMENT, regional=self.regional) if fleet is not None else None
        super().merge(fleet, **how)

    def a_region_falls_asleep_or_wakes_up(self):
        region, minutes = self.pick(REGIONS), self.pick((None, 1, 10))
        others = tuple(one for one in self.regional if one.regions != (region,))
        if len(others) == len(self.regional):
            until = self.rig.clock.now() + timedelta(minutes=minutes) if minutes else None
            others += (Suspension(reason="it moves", regions=(region,), until=until),)
        self.regional = others
        if self.present and self.sound:
            self.merge(self.fleet, keeps=self.setting)

    def others_begin_or_end(self):
        self.units.foreign = "" if self.units.foreign else "ada started deploy"

    def gate_goes_or_comes_back(self):
        seconds = self.pick((None, 0, 8))
        wait = timedelta(seconds=seconds) if seconds is not None else None
        self.units.away = None if self.units.away else (AWAY, wait)

    def someone_changes_a_unit(self):
        if not self.quiet:
            super().someone_changes_a_unit()

    def the_ledger_is_lost(self):
        if not self.quiet:
            super().the_ledger_is_lost()

    def a_unit_has_one_execution_at_most(self):
        """Asked after everything that happens: what began since the last time was to begin."""
        super().a_unit_has_one_execution_at_most()
        begun = {key.split(":")[5] for key in self.units.started[self.known :]}
        self.known = len(self.units.started)
        fleet = in_force(self.fleet, self.rig.clock.now())
        assert begun.isdisjoint(fleet.asleep), begun
        assert not (begun and (fleet.suspension or self.units.foreign or self.units.away)), begun

    def at_version_and_healthy(self, word):
        asleep = in_force(self.fleet, self.rig.clock.now()).asleep
        places = [place for unit, place in self.units.places.items() if unit not in asleep]
        assert all(place.components == self.fleet.components and place.healthy for place in places), word.description

    def a_last_version_comes_while_a_region_sleeps(self):
        """Whatever became of the others: this one is new, and the region wakes up in its midst."""
        self.regional = (Suspension(reason="it moves", regions=(self.pick(REGIONS),)),)
        self.merge(self.build.fleet("2.0.0", policy=self.fleet.policy, deploy=self.pick(self.deploys)))
        for _ in range(self.pick(range(12))):
            self.units.end_canceled()
            self.units.finish()
            self.tell(self.a_pass)
            self.a_unit_has_one_execution_at_most()
            self.rig.wait(seconds=self.pick((10, 400)))

    def come_to_rest(self):
        self.units.foreign, self.units.away = "", None
        self.units.unreadable = self.units.unreachable = ""
        if self.present:
            self.a_last_version_comes_while_a_region_sleeps()
            self.regional = ()
            self.merge(self.fleet, keeps=self.setting)
        super().come_to_rest()
        record = self.rig.ledger.load("prod/checkout")
        assert record is None or record.memory.status.reason not in {Reason.HEAL_OFF, Reason.FOREIGN_EXECUTION}


@pytest.mark.parametrize("seed", range(146, 162))
def test_what_must_hold_of_regions_and_others_holds_in_whatever_order_things_happen(rig, build, seed):
    life = Restless(rig, build, seed)
    try:
        life.live(STEPS)
    except AssertionError as broken:
        broken.add_note("\n".join(life.story))
        raise
