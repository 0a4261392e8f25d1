"""What fails while a fleet is healed to a release that it runs well is the unit's, not the release's. Pure.

Such a unit is left alone for a while and tried again; a person sees which one it is. Nothing is quarantined for it, and
the others are healed all the same. The same goes for units that a rollout left behind. A unit that leaves takes its
failures with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.drift import at_release
from reconciler.memory import Memory, Rest, Rollout
from reconciler.observed import Observed, Unit, UnitId
from reconciler.quarantine import NEEDS_A_PERSON
from reconciler.reasons import Reason
from reconciler.work import BEFORE, Failure, Kind, Outcome, Release

SHOWN = 2  # names in a sentence
LONG = timedelta(hours=1)  # after as many failures as a version may have, or what a person must mend


def heals(memory: Memory, rollout: Rollout) -> bool:
    """True where the fleet was ready at the release before the rollout began: drift is healed, nothing is proven."""
    if rollout.kind is Kind.HEAL:
        return True
    last, release = memory.finished, rollout.release
    if rollout.kind is not Kind.ROLLBACK or last is None:
        return False
    return (last.target_digest, last.setting_commit) == (release.target_digest, release.setting_commit)


def rest(
    memory: Memory, rollout: Rollout, outcome: Outcome, reason: Reason, now: datetime, wait: Callable[[int], timedelta]
) -> Memory:
    """Leave the outcome's unit alone for a while; a repair that failed is none that came back."""
    unit, digest = outcome.intent.unit, rollout.release.target_digest
    known = next((entry for entry in memory.rests if (entry.unit, entry.target_digest) == (unit, digest)), None)
    tries = (known.tries if known else 0) + 1
    person = outcome.failure is Failure.REFUSED or reason in NEEDS_A_PERSON
    given_up = person or tries > rollout.release.fleet.policy.retries
    entry = Rest(
        unit=unit,
        target_digest=digest,
        tries=tries,
        until=now + (LONG if given_up else wait(tries)),
        given_up=given_up,
        reason=reason,
        message=outcome.message,
    )
    repairs = tuple(each for each in memory.repairs if each.unit != unit or each.at < rollout.started_at)
    return put(replace(memory, repairs=repairs), entry)


def put(memory: Memory, entry: Rest) -> Memory:
    """Remember the rest in place of the unit's earlier one. That it was left behind is told until it is there."""
    same = [each for each in memory.rests if (each.unit, each.target_digest) == (entry.unit, entry.target_digest)]
    entry = replace(entry, allowed=max([entry.allowed, *(each.allowed for each in same)]))
    return replace(memory, rests=(*(each for each in memory.rests if each not in same), entry))


def resting(memory: Memory, release: Release | None, now: datetime) -> frozenset[UnitId]:
    """The units that are left alone now, on the way to that release."""
    digest = release.target_digest if release is not None else None
    return frozenset(entry.unit for entry in memory.rests if entry.target_digest == digest and now < entry.until)


def tries_of(memory: Memory, release: Release, unit: UnitId) -> int:
    """How often the unit could not be healed to that release."""
    known = (entry for entry in memory.rests if (entry.unit, entry.target_digest) == (unit, release.target_digest))
    return next((entry.tries for entry in known), 0)


def left_behind_text(memory: Memory, target: Release | None, units: Sequence[Unit]) -> str:
    """`2.3.1 on 11/12 units; i-0a failed and is left behind (1 allowed): why`.

    Empty unless a rollout left units behind, all others are at the target and well, and that is at least one.
    """
    if target is None:
        return ""
    there = {unit.id for unit in units if unit.healthy and at_release(unit, target)}
    off = {unit.id for unit in units} - there
    known = {
        entry.unit: entry for entry in memory.rests if entry.allowed and entry.target_digest == target.target_digest
    }
    if not there or not off or not off <= known.keys():
        return ""
    entries = [known[unit] for unit in sorted(off)]
    names = ", ".join(entry.unit for entry in entries[:SHOWN])
    more = f" +{len(entries) - SHOWN}" if len(entries) > SHOWN else ""
    verb = "is" if len(entries) == 1 else "are"
    where = f"{target.fleet.version} on {len(there)}/{len(units)} units"
    return f"{where}; {names}{more} failed and {verb} left behind ({entries[0].allowed} allowed): {entries[0].message}"


def well_again(memory: Memory, target: Release | None, observed: Observed) -> Memory:
    """Drop what was kept of units that came to the target after all, and of targets that are none any more."""
    if target is None or not memory.rests:
        return memory
    off = {unit.id for unit in observed.units if not (unit.healthy and at_release(unit, target))}
    kept = tuple(entry for entry in memory.rests if entry.target_digest == target.target_digest and entry.unit in off)
    return replace(memory, rests=kept)


def without_the_gone(memory: Memory, observed: Observed) -> Memory:
    """Units that left take their failures with them."""
    units = {unit.id for unit in observed.units}
    memory = replace(memory, rests=tuple(entry for entry in memory.rests if entry.unit in units))
    rollout = memory.rollout
    counted = {*units, BEFORE}
    if rollout is None or rollout.failures.keys() <= counted:
        return memory
    failures = {unit: number for unit, number in rollout.failures.items() if unit in counted}
    waits = rollout.retry_at if failures or rollout.setbacks else None
    return replace(memory, rollout=replace(rollout, failures=failures, retry_at=waits))
