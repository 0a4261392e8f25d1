"""A rollout that gets nowhere has failed: its clock, and what is said when it has run out. Pure.

Progress is a wave that is done, or one unit more at the release and healthy than there ever were. While a wave soaks
the clock stands, and so it does while the world cannot be read or the step before the version runs. While a guard holds
the rollout from outside it begins anew: a freeze does not use it up.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reconciler.before import is_due, under_way
from reconciler.drift import at_release
from reconciler.memory import Memory, Rest, Rollout
from reconciler.observed import Observed, Unit, Wave
from reconciler.quarantine import quarantine
from reconciler.reasons import Reason
from reconciler.rests import LONG, heals, put, resting
from reconciler.rollout import finish
from reconciler.threshold import give_up, judge, left_behind, some, tolerated
from reconciler.work import Before, Hold, Kind, Outcome, Phase, Release

UNWATCHED = timedelta(minutes=5)  # a controller that looks so late was away: it cannot say that nothing came of it
# answers of guards that are part of a rollout's own course; any other is somebody's or the world's doing
OF_ITS_OWN = frozenset(
    {Reason.PROGRESSING, Reason.ABORTING, Reason.SOAKING, Reason.BACKING_OFF, Reason.MAX_UNAVAILABLE}
)
# nothing is known of how far it is
UNSEEN = frozenset({Reason.OBSERVATION_FAILED, Reason.GATE_UNREACHABLE, Reason.AWAITING_OBSERVATION})


def stand_still(memory: Memory, hold: Hold, now: datetime) -> Memory:
    """While something holds the rollout from outside its clock does not run; it begins anew afterwards.

    After a read that failed it goes on instead, or one that fails now and then would keep a rollout from ever ending.
    """
    rollout = memory.rollout
    if rollout is None or hold.reason in OF_ITS_OWN:
        return memory
    if hold.reason in UNSEEN:
        return replace(memory, rollout=_stopped(rollout, now))
    return replace(memory, rollout=replace(rollout, idle=timedelta(0), idle_since=None))


def keep_time(
    before: Rollout | None, memory: Memory, observed: Observed, in_flight: Sequence[Outcome], now: datetime
) -> Memory:
    """The rollout with its clock as it stands after what was observed.

    A step before it has a time of its own; what passes between its attempts counts, so that they do not go on for ever.
    """
    rollout = memory.rollout
    if rollout is None:
        return memory
    if not observed.units:
        return replace(memory, rollout=replace(rollout, idle=timedelta(0), idle_since=None))
    if under_way(in_flight) is not None:
        return replace(memory, rollout=_stopped(rollout, now))
    reached = min(rollout.reached, len(observed.units))
    there = sum(unit.healthy and at_release(unit, rollout.release) for unit in observed.units)
    went_on = before is None or before.wave != rollout.wave or there > reached
    idle = timedelta(0) if went_on else idle_for(rollout, now)
    idle_since = None if rollout.soak_until is not None else now
    if not went_on and (rollout.idle_since is None) == (idle_since is None):
        return replace(memory, rollout=replace(rollout, reached=reached))  # it goes on as it went, nothing to note
    return replace(memory, rollout=replace(rollout, reached=max(reached, there), idle=idle, idle_since=idle_since))


def idle_for(rollout: Rollout, now: datetime) -> timedelta:
    """For how long nothing has come of it."""
    return rollout.idle + (now - rollout.idle_since if rollout.idle_since is not None else timedelta(0))


def _stopped(rollout: Rollout, now: datetime) -> Rollout:
    return replace(rollout, idle=idle_for(rollout, now), idle_since=None)


def runs_out_at(rollout: Rollout, waves: Sequence[Wave]) -> datetime | None:
    """When the rollout has failed unless something comes of it before; None: it has no such time now."""
    limit = waves[min(rollout.wave, len(waves)) - 1].deadline if waves else None
    return rollout.idle_since + limit - rollout.idle if limit is not None and rollout.idle_since is not None else None


def expire(
    memory: Memory,
    waves: Sequence[Wave],
    observed: Observed,
    in_flight: Sequence[Outcome],
    desired: Release,
    now: datetime,
    step: Before | None = None,
) -> Memory:
    """End a rollout whose time has run out: the units that it waits for are as good as failed.

    While the step before it is not done it waits for no unit.
    """
    rollout = memory.rollout
    end = runs_out_at(rollout, waves) if rollout is not None else None
    if rollout is None or end is None or now < end or _is_kept_from_starting(in_flight):
        return memory
    if now - end > UNWATCHED:
        return replace(memory, rollout=replace(rollout, idle=timedelta(0), idle_since=now))
    prepares = is_due(step, memory, rollout)
    late = [] if prepares else _late(rollout, observed)
    message = _unprepared(rollout, now) if prepares else _why(rollout, observed, in_flight, now)
    if heals(memory, rollout):
        return _left_alone(memory, rollout, late, message, now)
    busy = {outcome.intent.unit for outcome in in_flight}
    if rollout.kind is Kind.ROLLBACK:
        return memory if busy else _not_back(memory, rollout, late, observed, message, now)
    if late and not busy and len(rollout.left_behind) + len(late) <= tolerated(rollout, waves):
        for unit in late:
            said = unit.message or f"did not come to {rollout.release.fleet.version} in time"
            rollout = give_up(rollout, unit.id, Reason.DEADLINE_EXCEEDED, said, now)
        return judge(replace(memory, rollout=rollout), waves, desired, now)
    return quarantine(memory, rollout.release, desired, reason=Reason.DEADLINE_EXCEEDED, message=message, now=now)


def _is_kept_from_starting(in_flight: Sequence[Outcome]) -> bool:
    """What was intended could not be handed to the other system: no unit has heard of it."""
    return any(outcome.phase is Phase.INTENDED and outcome.reason is not None for outcome in in_flight)


def _late(rollout: Rollout, observed: Observed) -> list[Unit]:
    """The members that it waits for."""
    awaited = frozenset(rollout.members) - left_behind(rollout)
    return [
        unit
        for unit in observed.units
        if unit.id in awaited and not (unit.healthy and at_release(unit, rollout.release))
    ]


def _why(rollout: Rollout, observed: Observed, in_flight: Sequence[Outcome], now: datetime) -> str:
    """`no progress for 30 min; waits for i-0a, i-0b +4 (i-0a: silent since ...); 6 of 12 units are out of service`."""
    late = _late(rollout, observed)
    names = [unit.id for unit in late] or sorted({outcome.intent.unit for outcome in in_flight})
    spoken = next((f" ({unit.id}: {unit.message})" for unit in late if unit.message), "")
    out = sum(not unit.healthy for unit in observed.units)
    ill = f"; {out} of {len(observed.units)} units are out of service" if out else ""
    return f"no progress for {_minutes(rollout, now)} min; waits for {some(names)}{spoken}{ill}"


def _unprepared(rollout: Rollout, now: datetime) -> str:
    return f"no progress for {_minutes(rollout, now)} min; its before step was never done"


def _minutes(rollout: Rollout, now: datetime) -> int:
    return round(idle_for(rollout, now).total_seconds() / 60)


def _not_back(
    memory: Memory, rollout: Rollout, late: Sequence[Unit], observed: Observed, message: str, now: datetime
) -> Memory:
    """Not every unit came back to the release that ran well: no fault of it. They are tried again later."""
    for unit in late:
        rollout = give_up(rollout, unit.id, Reason.DEADLINE_EXCEEDED, unit.message or message, now)
    return finish(memory, rollout, observed, 0, now)


def _left_alone(memory: Memory, rollout: Rollout, late: Sequence[Unit], message: str, now: datetime) -> Memory:
    """Healing blames no release: the units that it cannot bring back are left alone for a while, and named."""
    known = resting(memory, rollout.release, now)
    for unit in late:
        if unit.id not in known and not at_release(unit, rollout.release):
            entry = Rest(
                unit=unit.id,
                target_digest=rollout.release.target_digest,
                tries=1,
                until=now + LONG,
                given_up=True,
                reason=Reason.DEADLINE_EXCEEDED,
                message=unit.message or message,
            )
            memory = put(memory, entry)
    return replace(memory, rollout=replace(rollout, idle=timedelta(0), idle_since=None))
