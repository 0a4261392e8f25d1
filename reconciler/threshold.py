"""Units that a rollout gives up: set aside within what a wave tolerates, and its end above that. Pure.

A unit that was given up went back to the last good release by itself, or nobody hears from it. It stays in every count
as one that is not at the release.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from reconciler.drift import at_release
from reconciler.memory import Memory, Rest, Rollout
from reconciler.observed import Unit, UnitId, Wave
from reconciler.quarantine import quarantine
from reconciler.reasons import Reason
from reconciler.rests import LONG
from reconciler.work import Kind, Release

NAMED = 3  # units in a sentence; the others are counted


def left_behind(rollout: Rollout) -> frozenset[UnitId]:
    """The units that the rollout gave up."""
    return frozenset(entry.unit for entry in rollout.left_behind)


def tolerated(rollout: Rollout, waves: Sequence[Wave]) -> int:
    """How many units the wave in work may lose for good."""
    return waves[min(rollout.wave, len(waves)) - 1].tolerated if waves else 0


def give_up(rollout: Rollout, unit: UnitId, reason: Reason, message: str, now: datetime) -> Rollout:
    """The rollout goes on without the unit. Whether it may is `judge`'s to say."""
    entry = Rest(
        unit=unit,
        target_digest=rollout.release.target_digest,
        tries=rollout.failures.get(unit, 0),
        until=now + LONG,
        given_up=True,
        reason=reason,
        message=message,
    )
    others = tuple(each for each in rollout.left_behind if each.unit != unit)
    return replace(rollout, left_behind=(*others, entry))


def judge(memory: Memory, waves: Sequence[Wave], desired: Release, now: datetime) -> Memory:
    """The release has failed where more units were given up than are tolerated; the first beyond them says why.

    What was tolerated once stays so: of a fleet that shrinks a share tolerates less, which stops further losses only.
    """
    rollout = memory.rollout
    if rollout is None or all(entry.allowed for entry in rollout.left_behind):
        return memory
    allowed = tolerated(rollout, waves)
    if len(rollout.left_behind) <= allowed:
        entries = tuple(replace(entry, allowed=max(entry.allowed, allowed)) for entry in rollout.left_behind)
        return replace(memory, rollout=replace(rollout, left_behind=entries))
    why, lost = rollout.left_behind[allowed], [entry.unit for entry in rollout.left_behind]
    message = f"{len(lost)} units failed, {allowed} allowed ({some(lost)}): {named(why)}" if allowed else why.message
    return quarantine(memory, rollout.release, desired, reason=why.reason, message=message, now=now)


def stops_others(rollout: Rollout, units: Iterable[Unit], allowed: int) -> bool:
    """As many units are failing or given up as are not tolerated any more. Going back stops for nobody."""
    lost = left_behind(rollout)
    failing = {
        unit.id for unit in units if unit.id in rollout.failures and not at_release(unit, rollout.release)
    } - lost
    return rollout.kind is Kind.DEPLOY and bool(failing) and len(failing) + len(lost) > allowed


def without_the_returned(memory: Memory, units: Iterable[Unit]) -> Memory:
    """A unit that came to the release after all was not lost; one that is terminated is none of the fleet's."""
    rollout = memory.rollout
    if rollout is None or not rollout.left_behind:
        return memory
    release = rollout.release
    off = {unit.id for unit in units if not (unit.healthy and at_release(unit, release))}
    kept = tuple(entry for entry in rollout.left_behind if entry.unit in off)
    return replace(memory, rollout=replace(rollout, left_behind=kept))


def named(entry: Rest) -> str:
    """What became of the unit, with its name."""
    return entry.message if entry.unit in entry.message else f"{entry.unit}: {entry.message}"


def some(units: Collection[UnitId]) -> str:
    """A few names, and how many more there are."""
    shown = sorted(units)[:NAMED]
    return ", ".join(shown) + (f" +{len(units) - len(shown)}" if len(units) > len(shown) else "")
