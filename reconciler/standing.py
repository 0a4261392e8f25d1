"""What the fleet's units are to run as of this pass, whoever asks: for deployers whose units look for themselves. Pure.

While a rollout is in progress its release is the target for the units on which it was started, and the last good
release the base for all others. A settled fleet has one release for all, joiners too. In every other situation the
word that was given before stands: nothing is said.
"""

from collections.abc import Collection
from dataclasses import replace

from reconciler.before import standing_step
from reconciler.keys import base_key
from reconciler.memory import Memory, Rollout
from reconciler.observed import UnitId
from reconciler.record import Situation
from reconciler.rests import left_behind_text
from reconciler.work import Intent, Outcome, Phase, Release, Standing


def standing_of(
    situation: Situation, memory: Memory, aborts: Collection[Outcome] = (), starts: Collection[Intent] = ()
) -> Standing | None:
    """The standing that goes with this memory, in which the units of `aborts` are not admitted any more.

    None: what units run is left to what was said before (not adopted, only observing, drift under a hold).
    """
    if not memory.adopted or situation.observe_only or situation.trouble or situation.observed.missing:
        return None
    gone = not situation.record.present  # nobody more is admitted, only those of `aborts` are left out
    if gone and not _ending(situation, aborts):
        return None
    if memory.rollout is not None:
        if memory.rollout.release.fleet.identity_digest != situation.desired.fleet.identity_digest:
            return None  # it began on other machines
        return _rolling(situation, memory, memory.rollout, aborts, starts)
    ending = _ending(situation, aborts)
    if ending:
        release = situation.target or memory.last_good or _release_of(ending[0])
        return _standing(situation, memory, release, frozenset())
    return _settled(situation, memory)


def _rolling(
    situation: Situation, memory: Memory, rollout: Rollout, aborts: Collection[Outcome], starts: Collection[Intent]
) -> Standing:
    ended = {outcome.intent.unit for outcome in _ending(situation, aborts)}
    step = standing_step(situation, starts, aborts)
    release = rollout.release
    if step is not None:  # as it was begun: a newer commit of the same target does not make it another piece of work
        release = Release(fleet=step.intent.fleet, setting_commit=step.intent.setting_commit)
    return replace(_standing(situation, memory, release, frozenset(rollout.moved) - ended), before=step)


def _settled(situation: Situation, memory: Memory) -> Standing | None:
    units, target = situation.observed.units, situation.target
    good = memory.last_good
    if good is None and units and not any(unit.running for unit in units):
        good = target  # it is meant to be empty, and who comes first has nothing to lose
    if good is None or target is None or not situation.record.present or situation.in_flight:
        return None
    if good.target_digest != target.target_digest:
        return None
    if situation.drift and not left_behind_text(memory, target, units):
        return None
    # units that were left behind are told what they were told, so that they try nothing; joiners run the target
    admitted = frozenset(unit.id for unit in units) if situation.drift else None
    # the newest spec of the same target: how it is run may have changed, what runs has not
    return _standing(situation, memory, Release(fleet=target.fleet, setting_commit=good.setting_commit), admitted)


def _standing(situation: Situation, memory: Memory, target: Release, admitted: frozenset[UnitId] | None) -> Standing:
    base = memory.last_good if admitted is not None else target
    spoken_for = {target.target_digest, base.target_digest if base else ""}
    units = [unit.id for unit in situation.observed.units]
    numbers = {unit: memory.attempts.get(base_key(situation.record.repository, target, unit), 1) for unit in units}
    return Standing(
        target=target,
        base=base,
        admitted=admitted,
        attempts={
            unit: number for unit, number in numbers.items() if number > 1 and (admitted is None or unit in admitted)
        },
        rejected=tuple(
            sorted({entry.target_digest for entry in memory.quarantines if entry.target_digest not in spoken_for})
        ),
    )


def _ending(situation: Situation, aborts: Collection[Outcome]) -> list[Outcome]:
    asked = [outcome for outcome in situation.in_flight if outcome.phase is Phase.ABORTING]
    return [outcome for outcome in (*asked, *aborts) if situation.is_here(outcome)]


def _release_of(outcome: Outcome) -> Release:
    return Release(fleet=outcome.intent.fleet, setting_commit=outcome.intent.setting_commit)
