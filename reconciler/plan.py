"""What to start and what to end now: the next intents of the wave in work. Pure.

The next wave is computed, not remembered; the same situation gives the same plan.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from desired_state.model import Fleet
from reconciler.before import WAVE, is_due, noted, under_way, units_of
from reconciler.deadline import stand_still
from reconciler.guards import doomed, kind_of
from reconciler.keys import attempts_key, base_key
from reconciler.memory import Memory, Repair, Rollout
from reconciler.observed import UnitId
from reconciler.pacing import next_units, repeatable
from reconciler.reasons import Reason
from reconciler.record import Situation
from reconciler.rests import resting, tries_of
from reconciler.standing import standing_of
from reconciler.work import BEFORE, Hold, Intent, Kind, Outcome, Phase, Plan

ABORT_AGAIN_AFTER = 3  # looks; a cancel can answer 2xx and do nothing, or never be sent; it is then asked again
# under any other hold nothing is touched
STILL_ENDS = {
    *{None, Reason.ABORTING, Reason.EXECUTION_STUCK, Reason.QUARANTINED, Reason.REMOVED},
    Reason.FOREIGN_EXECUTION,  # it stops what would begin; what of ours is not wanted any more ends all the same
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The times that a controller works by."""

    active: timedelta = timedelta(seconds=10)  # between looks at a fleet with work in flight
    settle: timedelta = timedelta(seconds=45)  # before a start of unknown fate is repeated; longer than a lease
    deadline: timedelta = timedelta(hours=2)  # of one intent
    settle_of: Mapping[str, timedelta] = field(default_factory=dict)  # where a deploy type's own `settle` is another

    def settled(self, intended_at: datetime, fleet: Fleet) -> datetime:
        """When a start of the fleet that is written down now may be repeated."""
        return intended_at + self.settle_of.get(fleet.deploy_type, self.settle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A plan, and the memory that goes with it: a rollout begun, attempts counted."""

    plan: Plan
    memory: Memory


def decide(situation: Situation, hold: Hold | None, pace: Pace) -> Decision:
    """The plan of this pass."""
    aborts = due_aborts(situation, hold, pace)
    memory = begin(situation) if hold is None else stand_still(situation.memory, hold, situation.now)
    if hold is not None or memory.rollout is None:
        standing = standing_of(situation, memory, aborts)
        return Decision(plan=Plan(hold=hold, aborts=aborts, standing=standing), memory=memory)
    starts = (*repeated_starts(situation, memory.rollout, pace), *new_starts(situation, memory, memory.rollout, pace))
    attempts = {**memory.attempts, **{attempts_key(intent): intent.attempt for intent in starts}}
    memory = replace(memory, attempts=attempts, rollout=_with_started(memory.rollout, starts))
    memory = noted(memory, starts, situation.before)
    standing = standing_of(situation, memory, aborts, starts)
    return Decision(plan=Plan(starts=starts, aborts=aborts, standing=standing), memory=memory)


def _with_started(rollout: Rollout, starts: Iterable[Intent]) -> Rollout:
    """Units on which something is started are moved, and belong to the wave."""
    units = units_of(starts)
    moved, members = dict.fromkeys((*rollout.moved, *units)), dict.fromkeys((*rollout.members, *units))
    return replace(rollout, moved=tuple(moved), members=tuple(members))


def due_aborts(situation: Situation, hold: Hold | None, pace: Pace) -> tuple[Outcome, ...]:
    """Work in flight that must end now and was not asked to a moment ago."""
    if situation.observe_only or (hold.reason if hold else None) not in STILL_ENDS:
        return ()
    return tuple(outcome for outcome in doomed(situation) if not _asked_lately(situation, outcome, pace))


def _asked_lately(situation: Situation, outcome: Outcome, pace: Pace) -> bool:
    asked_at = outcome.since if outcome.phase is Phase.ABORTING else None
    return asked_at is not None and situation.now < asked_at + ABORT_AGAIN_AFTER * pace.active


def begin(situation: Situation) -> Memory:
    """The memory with a rollout in progress, where drift, or work that nobody follows, calls for one."""
    memory, target = situation.memory, situation.target
    urgent = situation.drift.units - resting(memory, target, situation.now)
    if memory.rollout is not None or target is None or not (urgent or situation.in_flight):
        return memory
    kind = kind_of(situation)
    rollout = Rollout(
        release=target,
        kind=kind,
        started_at=situation.now,
        members=_first_members(situation, kind),
        moved=units_of(outcome.intent for outcome in situation.in_flight),
    )
    if kind is not Kind.HEAL:
        return replace(memory, rollout=rollout, attempts=_attempts_of(situation, memory))
    repairs = tuple(
        Repair(unit=difference.unit, component=difference.component, have=difference.have, at=situation.now)
        for difference in situation.drift.differences
        if difference.unit in urgent
    )
    return replace(memory, rollout=rollout, repairs=(*memory.repairs, *repairs))


def _first_members(situation: Situation, kind: Kind) -> tuple[str, ...]:
    """The first wave with anything to do in it holds the first members; earlier ones pass by themselves."""
    if kind is Kind.DEPLOY and situation.waves:
        return situation.waves[0].units
    return tuple(unit.id for unit in situation.observed.units)


def _attempts_of(situation: Situation, memory: Memory) -> dict[str, int]:
    """Only the numbers of releases that can still come back are kept: the desired and the last good one."""
    digests = [situation.desired.target_digest[:12]]
    digests += [memory.last_good.target_digest[:12]] if memory.last_good else []
    return {key: number for key, number in memory.attempts.items() if any(digest in key for digest in digests)}


def repeated_starts(situation: Situation, rollout: Rollout, pace: Pace) -> tuple[Intent, ...]:
    """Intents whose fate stayed unknown past their settling time: the same key again, where there is still room."""
    unanswered = [
        outcome.intent
        for outcome in situation.in_flight
        if outcome.phase is Phase.INTENDED and outcome.ticket is None and situation.now >= outcome.intent.settle_at
    ]
    units = repeatable(situation, rollout, [intent.unit for intent in unanswered])
    return tuple(
        replace(intent, starts=intent.starts + 1, settle_at=pace.settled(situation.now, intent.fleet))
        for intent in unanswered
        if intent.unit in units or intent.is_before
    )


def new_starts(situation: Situation, memory: Memory, rollout: Rollout, pace: Pace) -> tuple[Intent, ...]:
    """One intent for each member that waits and may go now; the step before the version comes first, and alone."""
    if under_way(situation.in_flight) is not None:
        return ()
    if is_due(situation.before, memory, rollout):
        if situation.in_flight:
            return ()
        return (make_intent(situation, memory, rollout, BEFORE, pace, wave=WAVE),)
    units = next_units(situation, rollout)
    return tuple(make_intent(situation, memory, rollout, unit.id, pace, wave=rollout.wave) for unit in units)


def make_intent(
    situation: Situation, memory: Memory, rollout: Rollout, unit: UnitId, pace: Pace, *, wave: int
) -> Intent:
    """The next attempt on that unit."""
    base = base_key(situation.record.repository, rollout.release, unit)
    attempt = memory.attempts.get(base, 0) + 1
    return Intent(
        key=f"{base}:w{wave}:a{attempt}",
        fleet=rollout.release.fleet,
        repository=situation.record.repository,
        setting_commit=rollout.release.setting_commit,
        unit=unit,
        wave=wave,
        attempt=attempt,
        kind=rollout.kind,
        created_at=situation.now,
        settle_at=pace.settled(situation.now, rollout.release.fleet),
        deadline=situation.now + pace.deadline,
        starts=1,
        failed=rollout.failures.get(unit, 0) + tries_of(memory, rollout.release, unit),
    )
