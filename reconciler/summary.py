"""The only writer of conditions: from a situation, its plan and what came of it to all that a pass leaves behind."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from reconciler.aside import next_end
from reconciler.audience import spread
from reconciler.chronicle import chronicle
from reconciler.deadline import runs_out_at
from reconciler.guards import LOOK_FAILED, failing_for, goes_back
from reconciler.memory import Condition, ConditionType, Memory, Rollout, Status
from reconciler.observed import Unit
from reconciler.plan import Decision, Pace
from reconciler.quarantine import quarantined
from reconciler.reasons import Reason
from reconciler.record import Pass, Situation
from reconciler.rests import left_behind_text
from reconciler.rollout import count
from reconciler.speech import is_whole, joining_text, progress_text, road_block, speak, success_text
from reconciler.work import Hold, Kind, Outcome, Phase
from reconciler.world import World

LOOK_AGAIN_CAP = timedelta(minutes=5)
AWAITED = 3  # looks' worth of time between two at what nobody but its owner can end
LEAST_WAIT = timedelta(seconds=1)  # also where another look may succeed sooner; a shorter pace goes before it
OTHERS_WAIT = timedelta(seconds=5)  # at most: after what was away is back, what goes back has gone first
UNDER_WAY = frozenset({Reason.PROGRESSING, Reason.SOAKING, Reason.BACKING_OFF, Reason.ABORTING})


def promise(situation: Situation, decision: Decision, world: World) -> Pass:
    """T1: what is about to be done, written down before it is. Changes nothing where nothing is about to be done."""
    if not decision.plan.acts:
        record = situation.record
        return Pass(record=record, memory=record.memory, work=record.work, statuses=(), events=())
    started = [Outcome(intent=i, phase=Phase.INTENDED, since=situation.now) for i in decision.plan.starts]
    aborted = [replace(o, phase=Phase.ABORTING, since=situation.now) for o in decision.plan.aborts]
    return summarize(situation, decision, (*started, *aborted), world, closing=False)


def summarize(
    situation: Situation,
    decision: Decision,
    outcomes: Iterable[Outcome],
    world: World,
    *,
    closing: bool = True,
) -> Pass:
    """T2: everything that the pass learnt and did. `closing` consumes the requests that were heeded."""
    now, hold = situation.now, decision.plan.hold
    outcomes = tuple(replace(outcome, since=now) for outcome in outcomes)
    work = merge(situation.work, outcomes)
    fresh = [outcome for outcome in outcomes if outcome.phase.ended]
    memory = count(decision.memory, fresh, situation.desired, now)
    situation = replace(situation, work=work)
    status = make_status(situation, memory, hold)
    memory = replace(memory, status=status)
    own = speak(situation, memory, hold, world.public_url)
    heard = spread(situation, memory, hold, own, world.audience, world.public_url)
    memory = heard.memory if situation.record.present else forget(work, heard.memory)
    again_at = when_again(situation, memory, hold, work, world.pace)
    return Pass(
        record=situation.record,
        memory=memory,
        work=work,
        statuses=(*own, *heard.words),
        events=chronicle(situation, memory, hold, work) if closing else (),
        requests_done=tuple(request.id for request in situation.heeded) if closing else (),
        again_at=min((call for call in (again_at, heard.again_at) if call is not None), default=None),
    )


def merge(before: Iterable[Outcome], after: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """The newest word on each intent."""
    by_key = {outcome.intent.key: outcome for outcome in (*before, *after)}
    return tuple(by_key.values())


def forget(work: tuple[Outcome, ...], memory: Memory) -> Memory:
    """A fleet whose file is gone is forgotten once nothing of it is in flight."""
    if any(not outcome.phase.ended for outcome in work):
        return memory
    return Memory(status=memory.status)


def when_again(
    situation: Situation, memory: Memory, hold: Hold | None, work: tuple[Outcome, ...], pace: Pace
) -> datetime | None:
    """The next look that nobody else will ask for; None when only a change calls for one."""
    soon = situation.now + pace.active
    told_away = situation.retry_in is not None or bool(situation.observed.out_of_reach)
    away = told_away and hold is not None and hold.reason in LOOK_FAILED
    moving = any(not outcome.phase.ended for outcome in work) and not away
    lifted = [entry.until for entry in memory.quarantines if entry.until is not None]
    rollout = memory.rollout
    calls = [
        soon if moving else None,
        _look_again(situation, pace) if situation.trouble or away else None,
        hold.until if hold else None,
        next_end(situation.desired.fleet),
        situation.now + AWAITED * pace.active if hold and hold.reason is Reason.FOREIGN_EXECUTION else None,
        situation.now if any(outcome.phase.ended for outcome in work) else None,
        min(lifted, default=None),
        _rollout_calls(situation, memory, hold, soon) if rollout else None,
        _runs_out(situation, rollout) if rollout else None,
    ]
    return min((call for call in calls if call is not None), default=None)


def _look_again(situation: Situation, pace: Pace) -> datetime:
    """After a look that failed: the wait doubles with every one, up to a cap, with half of it jitter (DESIGN 3.5).

    Where it is known when another look may succeed, what goes back looks right then and everybody else a little later.
    """
    share = Random(f"{situation.record.name}/{situation.now}").uniform(0.5, 1.0)
    if situation.retry_in is not None:
        wait = max(situation.retry_in, min(LEAST_WAIT, pace.active))
        return situation.now + wait + (timedelta(0) if goes_back(situation) else OTHERS_WAIT * share)
    return situation.now + min(max(failing_for(situation), pace.active), LOOK_AGAIN_CAP) * share


def _rollout_calls(situation: Situation, memory: Memory, hold: Hold | None, soon: datetime) -> datetime | None:
    rollout = memory.rollout
    if rollout is None or (hold is not None and hold.reason not in UNDER_WAY):
        return None
    return rollout.soak_until or rollout.retry_at if _later(rollout.soak_until or rollout.retry_at, situation) else soon


def _runs_out(situation: Situation, rollout: Rollout) -> datetime | None:
    """A deadline that is past, and something keeps from ending the rollout, calls for nothing."""
    end = runs_out_at(rollout, situation.waves)
    return end if _later(end, situation) else None


def _later(moment: datetime | None, situation: Situation) -> bool:
    return moment is not None and moment > situation.now


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────────────


def make_status(situation: Situation, memory: Memory, hold: Hold | None) -> Status:
    """Where the fleet stands, as conditions with their reason and sentence."""
    reason, message = say_why(situation, memory, hold)
    target = situation.target
    return Status(
        conditions=tuple(_conditions(situation, memory, hold, reason, message)),
        target_digest=target.target_digest if target else None,
        setting_commit=situation.desired.setting_commit,
        version=target.fleet.version if target else "",
        diverted=situation.diverted,
        units=_shown(situation) if not situation.trouble else situation.record.memory.status.units,
        reason=reason,
        message=message,
        until=hold.until if hold else None,
        leftovers=() if situation.in_flight or memory.rollout else situation.observed.leftovers,
    )


def _shown(situation: Situation) -> tuple[Unit, ...]:
    return (*situation.observed.units, *situation.observed.aside)


def say_why(situation: Situation, memory: Memory, hold: Hold | None) -> tuple[Reason, str]:
    """The one reason that matters most, and its sentence."""
    if hold is not None:
        return hold.reason, hold.message
    blocked = road_block(situation)
    if blocked is not None and blocked.reason is not None:
        return blocked.reason, blocked.message
    if memory.rollout is not None and (situation.observed.units or situation.trouble):
        reasons = {Kind.ROLLBACK: Reason.ROLLING_BACK, Kind.HEAL: Reason.HEALING}
        return reasons.get(memory.rollout.kind, Reason.PROGRESSING), progress_text(situation, memory.rollout)
    if not is_whole(situation):
        return _unwell(situation, memory)
    return _arrived(situation, memory)


def _arrived(situation: Situation, memory: Memory) -> tuple[Reason, str]:
    failed = quarantined(memory, situation.desired.target_digest)
    if failed is not None:
        return Reason.ROLLED_BACK, f"{failed.version} failed: {failed.message}"
    reverts = situation.record.setting.reverts if situation.record.setting else ()
    return Reason.REVERTED if reverts else Reason.SUCCEEDED, success_text(situation, memory)


def _unwell(situation: Situation, memory: Memory) -> tuple[Reason, str]:
    if not situation.observed.units and situation.observed.joining:
        return Reason.PROGRESSING, joining_text(situation)
    if not situation.observed.units:
        return Reason.NO_UNITS, "no units: nothing runs it"
    if left := left_behind_text(memory, situation.target, situation.observed.units):
        return Reason.UNHEALTHY, left
    if situation.drift:
        return Reason.PROGRESSING, "drift is seen; the next pass acts on it"
    sick = next(unit for unit in situation.observed.units if not unit.healthy)
    empty = not any(unit.running for unit in situation.observed.units)
    return Reason.NO_UNITS if empty else Reason.UNHEALTHY, f"{sick.id}: {sick.message or 'not healthy'}"


def _conditions(
    situation: Situation, memory: Memory, hold: Hold | None, reason: Reason, message: str
) -> Iterable[Condition]:
    held = hold is not None and hold.reason not in UNDER_WAY
    moving = memory.rollout is not None or bool(situation.in_flight)
    ready = hold is None and memory.rollout is None and not situation.diverted and is_whole(situation)
    facts: list[tuple[ConditionType, bool | None]] = [(ConditionType.READY, ready)]
    facts += [(ConditionType.RECONCILING, True)] if moving and not held else []
    facts += [(ConditionType.HELD, True)] if held else []
    facts += [(ConditionType.STALLED, True)] if hold is not None and hold.stalled else []
    facts += [(ConditionType.HEALTHY, _healthy(situation))]
    for kind, value in facts:
        yield _condition(situation, kind, value, reason, message)


def _healthy(situation: Situation) -> bool | None:
    if situation.trouble or not situation.observed.units:
        return None
    return all(unit.healthy for unit in situation.observed.units)


def _condition(
    situation: Situation, kind: ConditionType, value: bool | None, reason: Reason, message: str
) -> Condition:
    before = situation.record.memory.status.condition(kind)
    same = before is not None and (before.status, before.reason) == (value, reason)
    since = before.since if before is not None and same else situation.now
    return Condition(type=kind, status=value, reason=reason, message=message, since=since)
