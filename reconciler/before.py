"""The step before a version: once for a target, before its first wave, as an intent of its own. Pure.

A database migration is the usual one. Its intent has the unit id `before` and wave 0, and is written down, started,
checked and aborted like any other. No observed unit has that id, and nothing else is started until it has succeeded.
What was done once for a target is not done again for it, whatever becomes of the rollout.
"""

from collections.abc import Iterable
from dataclasses import replace

from reconciler.memory import Memory, Rollout
from reconciler.record import Situation
from reconciler.rollout import is_proven
from reconciler.work import Before, Intent, Kind, Outcome, Phase, Step

WAVE = 0  # of the step's intent: it comes before the first


def is_due(step: Before | None, memory: Memory, rollout: Rollout) -> bool:
    """The rollout's target still needs its step.

    Only a deploy has one: a revert, a way back and a healing bring what was there before, and what finished here once
    has no need of it.
    """
    if step is None or rollout.kind is not Kind.DEPLOY or is_proven(memory, rollout.release):
        return False
    return rollout.release.target_digest not in memory.prepared


def under_way(outcomes: Iterable[Outcome]) -> Outcome | None:
    """The step that can still act on the world."""
    return next((outcome for outcome in outcomes if outcome.intent.is_before and not outcome.phase.ended), None)


def units_of(intents: Iterable[Intent]) -> tuple[str, ...]:
    """The units of the intents, without the step."""
    return tuple(intent.unit for intent in intents if not intent.is_before)


def noted(memory: Memory, starts: Iterable[Intent], before: Before | None) -> Memory:
    """Remember that a step which cannot be undone may begin from here on; `rollout.count` forgets it where none did."""
    begun = next((intent for intent in starts if intent.is_before), None)
    if begun is None or before is None or not before.irreversible or memory.irreversible:
        return memory
    return replace(memory, irreversible=begun.fleet.version, unbegun=True)


def standing_step(situation: Situation, starts: Iterable[Intent], aborts: Iterable[Outcome]) -> Step | None:
    """The step that the fleet is told of: one that is about to start, or is under way and is not to end."""
    ending = {outcome.intent.key for outcome in aborts}
    known = under_way(situation.in_flight)
    if known is not None:
        is_over = known.phase is Phase.ABORTING or known.intent.key in ending or not situation.is_here(known)
        return None if is_over else Step(intent=known.intent, ticket=known.ticket)
    begun = next((intent for intent in starts if intent.is_before), None)
    return Step(intent=begun) if begun is not None else None


def progress(situation: Situation) -> str:
    """What is said while the step is under way; empty: it is not."""
    step = under_way(situation.in_flight)
    if step is None:
        return ""
    where = step.message if step.phase is Phase.RUNNING else ""
    return f"{step.intent.fleet.version} waits: {where or 'its before step is to begin'}"
