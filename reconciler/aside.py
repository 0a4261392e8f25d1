"""Regions that are suspended while the rest of the fleet goes on. Pure.

Their units are set aside: they are shown, and are in no drift, wave, start or success. Work that was under way there
goes on, as it does in a fleet that is suspended as a whole, and holds up nobody. When the suspension ends they come to
what the others were brought to meanwhile as to a deploy, not as to drift.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from desired_state.model import Fleet, Suspension
from reconciler.drift import at_release
from reconciler.memory import Memory, Rollout
from reconciler.observed import Observed, UnitId, Wave
from reconciler.record import Record
from reconciler.work import Outcome, Release


def awake(record: Record, now: datetime) -> Record:
    """The record with those suspensions of regions only that count now; a fleet that is gone has none."""
    if record.desired is None or not record.desired.regional:
        return record
    fleet = in_force(record.desired, now) if record.present else replace(record.desired, regional=())
    return replace(record, desired=fleet)


def in_force(fleet: Fleet, now: datetime) -> Fleet:
    """The fleet as it is suspended now. Where that is all of its regions it is suspended as a whole."""
    regional = tuple(one for one in fleet.regional if one.until is None or now < one.until)
    fleet = replace(fleet, regional=regional)
    if not regional or not fleet.asleep.keys() >= set(fleet.environment.regions):
        return fleet
    whole = fleet.suspension
    if whole is None or (whole.until is not None and whole.until <= now):
        whole = _together(regional)
    return replace(fleet, regional=(), suspension=whole)


def _together(regional: tuple[Suspension, ...]) -> Suspension:
    """Until the first of them ends."""
    ends = [one.until for one in regional if one.until is not None]
    reason = "; ".join(dict.fromkeys(one.reason for one in regional))
    return Suspension(reason=reason, until=min(ends, default=None), file=regional[0].file)


def next_end(fleet: Fleet) -> datetime | None:
    """When the first suspension of a region ends by itself."""
    return min((one.until for one in fleet.regional if one.until is not None), default=None)


def acting(work: Iterable[Outcome], observed: Observed) -> tuple[Outcome, ...]:
    """The work that can still act on units that are not set aside."""
    aside = {unit.id for unit in observed.aside}
    return tuple(outcome for outcome in work if not outcome.phase.ended and outcome.intent.unit not in aside)


def stand_in(
    rollout: Rollout, waves: Sequence[Wave], observed: Observed, lost: Collection[UnitId]
) -> tuple[UnitId, ...]:
    """One unit of the next wave, for the wave in work where that has only units set aside: it proves the release.

    Nobody where it would go alone next in any case, and be proven as well.
    """
    wave, aside = waves[rollout.wave - 1], {unit.id for unit in observed.aside}
    if aside.isdisjoint((*wave.units, *rollout.members)):
        return ()
    behind = {unit.id for unit in observed.units if unit.id not in lost and not at_release(unit, rollout.release)}
    if awake_again := tuple(unit for unit in wave.units if unit in behind):
        return awake_again
    later = [each for each in waves[rollout.wave :] if not behind.isdisjoint(each.units)]
    units = [unit for each in later[:1] for unit in each.units if unit in behind]
    alone = len(units) == 1 and (len(later) == 1 or later[0].soak >= wave.soak)
    return () if alone else tuple(units[:1])


def unreached(observed: Observed, release: Release, given_up: Collection[UnitId] = ()) -> tuple[UnitId, ...]:
    """Units that were left out when the others came to the release: set aside still, or awake since their wave was."""
    units = (*observed.units, *observed.aside)
    return tuple(unit.id for unit in units if unit.id not in given_up and not at_release(unit, release))


def reached(memory: Memory, target: Release | None, observed: Observed) -> Memory:
    """The units that have come to the target are no longer behind."""
    if target is None or not memory.unreached:
        return memory
    there = {unit.id for unit in (*observed.units, *observed.aside) if at_release(unit, target)}
    return replace(memory, unreached=tuple(unit for unit in memory.unreached if unit not in there))
