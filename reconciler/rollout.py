"""How far a rollout is: failures counted, waves finished, soaks waited out, the end reached. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from desired_state.model import Digest, Setting
from reconciler.aside import stand_in, unreached
from reconciler.drift import at_release
from reconciler.memory import Finished, Memory, Rollout
from reconciler.observed import Observed, Unit, UnitId, Wave
from reconciler.quarantine import NEEDS_A_PERSON, quarantine
from reconciler.reasons import Reason
from reconciler.rests import LONG, heals, put, rest, resting
from reconciler.threshold import give_up, judge, left_behind
from reconciler.work import BEFORE, Failure, Kind, Outcome, Phase, Release

UNWELL_FOR = timedelta(minutes=2)  # a blip while soaking starts the soak again; longer than this is a failure
PROVEN_KEPT = 10
PREPARED_KEPT = 20
BACKOFF_FIRST = timedelta(seconds=5)
BACKOFF_CAP = timedelta(minutes=5)
HALVES = 10  # attempts in a row that do a part each; more of them are somebody who undoes it
LACKING_CAP = timedelta(minutes=1)  # between looks for an image: nothing is tried that could fail


def backoff(failures: int, seed: str) -> timedelta:
    """Full jitter, capped; the same for the same failure, so that a repeated pass decides the same.

    The rule: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(BACKOFF_CAP, BACKOFF_FIRST * (1 << min(failures, 10)))
    return ceiling * Random(f"{seed}/{failures}").random()


def count(memory: Memory, ended: Iterable[Outcome], desired: Release, now: datetime) -> Memory:
    """Fold ended work into the rollout: a failing target is counted to its end, a bad road only delays.

    A unit that failed once too often is given up; whether the release has failed with it is `threshold.judge`'s to say.
    What was aborted is not moved any more: its unit is admitted again by a new start alone. A step before a version
    that was done is done for its target, whatever has become of the rollout.
    """
    for outcome in ended:
        memory = _known_to_begin(_prepared(memory, outcome), outcome)
        rollout = memory.rollout
        if rollout is None or outcome.intent.fleet.target_digest != rollout.release.target_digest:
            continue
        if outcome.phase is Phase.SUCCEEDED:
            notes = {**rollout.notes, outcome.intent.unit: outcome.note}
            memory = replace(memory, rollout=replace(rollout, setbacks=0, lacking="", notes=notes))
        elif outcome.phase is Phase.FAILED:
            memory = _count_failure(memory, rollout, outcome, desired, now)
        elif outcome.phase is Phase.ABORTED:
            moved = tuple(unit for unit in rollout.moved if unit != outcome.intent.unit)
            memory = replace(memory, rollout=replace(rollout, moved=moved))
    return memory


def _count_failure(memory: Memory, rollout: Rollout, outcome: Outcome, desired: Release, now: datetime) -> Memory:
    reason = _reason_of(outcome)
    if heals(memory, rollout) and outcome.failure is not Failure.TRANSIENT:
        return rest(memory, rollout, outcome, reason, now, lambda tries: backoff(tries, outcome.intent.key))
    if outcome.failure is Failure.REFUSED or reason in NEEDS_A_PERSON:
        return quarantine(memory, rollout.release, desired, reason=reason, message=outcome.message, now=now)
    if outcome.failure is Failure.TRANSIENT:
        return replace(memory, rollout=_set_back(rollout, outcome, reason, now))
    unit = outcome.intent.unit
    failed = rollout.failures.get(unit, 0) + 1
    rollout = replace(rollout, failures={**rollout.failures, unit: failed}, lacking="")
    if failed > rollout.release.fleet.policy.retries:
        if outcome.intent.is_before:  # no unit that could be left behind
            return quarantine(memory, rollout.release, desired, reason=reason, message=outcome.message, now=now)
        return replace(memory, rollout=give_up(rollout, unit, reason, outcome.message, now))
    return replace(memory, rollout=replace(rollout, retry_at=now + backoff(failed, outcome.intent.key)))


def _set_back(rollout: Rollout, outcome: Outcome, reason: Reason, now: datetime) -> Rollout:
    """The road failed, not the target. Where half the way is done the rest follows at once, but not for ever."""
    setbacks = rollout.setbacks + 1
    if reason is Reason.ROLLING_BACK and setbacks <= HALVES:
        return replace(rollout, setbacks=setbacks)
    wait, lacking = backoff(setbacks, outcome.intent.key), ""
    if reason is Reason.IMAGE_MISSING:
        wait, lacking = min(wait, LACKING_CAP), outcome.message
    return replace(rollout, setbacks=setbacks, retry_at=now + wait, lacking=lacking)


def _reason_of(outcome: Outcome) -> Reason:
    """A step before a version that did not end well has a reason of its own; one that was not begun has not."""
    not_begun = outcome.failure is Failure.REFUSED or outcome.reason is Reason.IMAGE_MISSING
    if outcome.intent.is_before and not not_begun:
        return Reason.BEFORE_FAILED
    return outcome.reason or Reason.PIPELINE_FAILED


def _prepared(memory: Memory, outcome: Outcome) -> Memory:
    if not outcome.intent.is_before or outcome.phase is not Phase.SUCCEEDED:
        return memory
    digest, rollout = outcome.intent.fleet.target_digest, memory.rollout
    memory = replace(memory, prepared=newest_first(digest, memory.prepared, PREPARED_KEPT))
    if rollout is None or rollout.release.target_digest != digest:
        return memory
    failures = {unit: number for unit, number in rollout.failures.items() if unit != BEFORE}
    return replace(memory, rollout=replace(rollout, failures=failures, retry_at=None))


def _known_to_begin(memory: Memory, outcome: Outcome) -> Memory:
    """What failed on its road, or was refused, had not begun; anything else may have, and what took too long."""
    if not outcome.intent.is_before or not memory.unbegun:
        return memory
    short = outcome.failure in {Failure.TRANSIENT, Failure.REFUSED} and outcome.reason is not Reason.DEADLINE_EXCEEDED
    never = outcome.phase is Phase.FAILED and short
    return replace(memory, irreversible="" if never else memory.irreversible, unbegun=False)


def advance(
    memory: Memory,
    waves: Sequence[Wave],
    observed: Observed,
    in_flight: Sequence[Outcome],
    desired: Release,
    now: datetime,
) -> Memory:
    """Carry the rollout as far as what was observed allows: next waves, their soaks, its end."""
    while (rollout := memory.rollout) is not None and observed.units:  # nothing seen is nothing finished
        if rollout.wave > len(waves):
            return finish(memory, rollout, observed, waves[-1].tolerated, now)
        wave = waves[rollout.wave - 1]
        rollout = _with_members(rollout, waves, observed)
        awaited = frozenset(rollout.members) - _left_alone(memory, rollout, now)
        if rollout.members and not awaited and rollout.left_behind:
            return _nobody_there(memory, rollout, desired, now)
        members = [unit for unit in observed.units if unit.id in awaited]
        if _busy(in_flight) or not all(at_release(unit, rollout.release) for unit in members):
            return replace(memory, rollout=replace(rollout, soak_until=None, unwell_since=None))
        if not all(unit.healthy for unit in members):
            return _unwell(memory, rollout, members, waves, observed, desired, now)
        soak_until = rollout.soak_until or now + _soak(rollout, wave)
        if now < soak_until:
            return replace(memory, rollout=replace(rollout, soak_until=soak_until, unwell_since=None))
        memory = replace(
            memory,
            rollout=replace(rollout, wave=rollout.wave + 1, members=(), soak_until=None, unwell_since=None),
        )
    return memory


def _with_members(rollout: Rollout, waves: Sequence[Wave], observed: Observed) -> Rollout:
    """Membership is stored when a wave starts; units that are gone leave it. The last wave takes in who joins.

    A wave that lost all its units takes one more: nothing goes on that has not come to any. So does one whose units are
    all set aside.
    """
    present, lost = {unit.id for unit in observed.units}, left_behind(rollout)
    wave, last = waves[rollout.wave - 1], rollout.wave == len(waves)
    chosen = wave.units if last or not rollout.members else rollout.members
    members = tuple(unit for unit in chosen if unit in present)
    if members and lost.issuperset(members):
        others = (unit for each in waves[rollout.wave - 1 :] for unit in each.units)
        members += tuple(unit for unit in others if unit in present and unit not in lost)[:1]
    members = members or stand_in(rollout, waves, observed, lost)
    return replace(rollout, members=members)


def _left_alone(memory: Memory, rollout: Rollout, now: datetime) -> frozenset[UnitId]:
    return resting(memory, rollout.release, now) if heals(memory, rollout) else left_behind(rollout)


def _nobody_there(memory: Memory, rollout: Rollout, desired: Release, now: datetime) -> Memory:
    """Every unit was given up: however many are tolerated, a release that came to nobody has failed."""
    last = rollout.left_behind[-1]
    message = f"it came to none of {len(rollout.left_behind)} units: {last.message}"
    return quarantine(memory, rollout.release, desired, reason=last.reason, message=message, now=now)


def _busy(in_flight: Sequence[Outcome]) -> bool:
    return any(not outcome.phase.ended for outcome in in_flight)


def _soak(rollout: Rollout, wave: Wave) -> timedelta:
    """Only a deploy soaks, and only where something was moved: what ran here before needs no proof."""
    moved = set(rollout.moved) & set(rollout.members)
    return wave.soak if moved and rollout.kind is Kind.DEPLOY else timedelta(0)


def _unwell(
    memory: Memory,
    rollout: Rollout,
    members: Sequence[Unit],
    waves: Sequence[Wave],
    observed: Observed,
    desired: Release,
    now: datetime,
) -> Memory:
    since = rollout.unwell_since or now
    if now - since < UNWELL_FOR:
        return replace(memory, rollout=replace(rollout, soak_until=None, unwell_since=since))
    if heals(memory, rollout):  # drift is healed; that a unit is not well is its own matter, and is said
        return finish(memory, rollout, observed, waves[-1].tolerated, now)
    rollout = replace(rollout, soak_until=None, unwell_since=None)
    for sick in (unit for unit in members if not unit.healthy):
        message = f"{sick.id} stayed unhealthy at {rollout.release.fleet.version}: {sick.message or 'no reason known'}"
        rollout = give_up(rollout, sick.id, Reason.HEALTH_CHECK_FAILED, message, now)
    return judge(replace(memory, rollout=rollout), waves, desired, now)


def finish(memory: Memory, rollout: Rollout, observed: Observed, tolerated: int, now: datetime) -> Memory:
    """The rollout's end: it is the last good release from now on, unless it was one already.

    Units that it left behind are tried again later, each by itself. Where nothing runs, as is allowed, nothing was
    proven: it ends, and what comes later runs what was good before until the release has gone through its waves.
    """
    if not any(unit.running for unit in observed.units) and rollout.kind is not Kind.HEAL:
        return replace(memory, rollout=None, preemptions=0)
    well = sum(unit.healthy and at_release(unit, rollout.release) for unit in observed.units)
    finished = Finished(
        target_digest=rollout.release.target_digest,
        setting_commit=rollout.release.setting_commit,
        kind=rollout.kind,
        version=rollout.release.fleet.version,
        units=well,
        took=now - rollout.started_at,
        at=now,
        behind=len(observed.units) + len(observed.aside) - well,
        note=_note(rollout),
    )
    for entry in rollout.left_behind:
        allowed = 0 if rollout.kind is Kind.ROLLBACK else max(entry.allowed, tolerated)
        memory = put(memory, replace(entry, until=now + LONG, allowed=allowed))
    good = memory.last_good if rollout.kind is Kind.ROLLBACK else rollout.release
    deployed = bool(rollout.moved) and rollout.kind in {Kind.DEPLOY, Kind.REVERT}
    left_out = unreached(observed, rollout.release, resting(memory, rollout.release, now))
    memory = replace(memory, unreached=left_out, rollout=None, preemptions=0)
    return _with_good(memory, finished, good, deployed=deployed)


def _note(rollout: Rollout) -> str:
    """How the first unit with anything to tell came to it, and how many came to it in another way of that kind."""
    notes = list(dict.fromkeys(note for _, note in sorted(rollout.notes.items()) if note))
    return f"{notes[0]} (+{len(notes) - 1})" if len(notes) > 1 else "".join(notes)


def _with_good(memory: Memory, finished: Finished, good: Release | None, *, deployed: bool) -> Memory:
    """What was deployed well came after whatever could not be undone, and may be gone back to.

    So may the very version whose step it was. One that was merely there all the time came before it.
    """
    proven = newest_first(finished.target_digest, memory.proven, PROVEN_KEPT)
    of_it = good is not None and good.fleet.version == memory.irreversible
    irreversible = "" if deployed or of_it else memory.irreversible
    return replace(memory, finished=finished, last_good=good, proven=proven, irreversible=irreversible)


def newest_first(digest: Digest, known: tuple[Digest, ...], most: int) -> tuple[Digest, ...]:
    """The digest before all others, of which only so many are kept."""
    return (digest, *(other for other in known if other != digest))[:most]


def is_proven(memory: Memory, release: Release) -> bool:
    """The release finished here before, or was running when the fleet was adopted."""
    good = memory.last_good
    return release.target_digest in memory.proven or (good is not None and good.target_digest == release.target_digest)


def make_room(memory: Memory, target: Release | None, in_flight: Sequence[Outcome]) -> Memory:
    """Drop a rollout that is not wanted any more, once nothing of it is in flight."""
    rollout = memory.rollout
    if rollout is None or _busy(in_flight):
        return memory
    if target is not None and target.target_digest == rollout.release.target_digest:
        return memory
    return replace(memory, rollout=None, preemptions=memory.preemptions + 1)


def take_over(memory: Memory, target: Release | None, setting: Setting, now: datetime) -> Memory:
    """A newer commit that wants what is being rolled out already: the rollout is that commit's from now on.

    So a revert that is merged while Fairlead rolls back by itself does not begin again.
    """
    rollout = memory.rollout
    if rollout is None or target is None or target.target_digest != rollout.release.target_digest:
        return memory
    if target.setting_commit == rollout.release.setting_commit or target.setting_commit != setting.commit:
        return memory
    if target.target_digest != setting.target_digest:
        return memory  # diverted: still on the way to what was good before
    kind = Kind.REVERT if setting.reverts and is_proven(memory, target) else Kind.DEPLOY
    release = replace(rollout.release, setting_commit=target.setting_commit)
    rollout = replace(rollout, release=release, kind=kind, started_at=now, idle=timedelta(0), idle_since=None)
    return replace(memory, rollout=rollout)


def settle_in_sync(memory: Memory, target: Release | None, observed: Observed, now: datetime) -> Memory:
    """A fleet that is at its target without a rollout: that release is good, however it got there."""
    if target is None or memory.rollout or not memory.adopted or _finished(memory, target):
        return memory
    serves = any(unit.running for unit in observed.units) and not observed.missing
    if not serves or not all(unit.healthy and at_release(unit, target) for unit in observed.units):
        return memory
    finished = Finished(
        target_digest=target.target_digest,
        setting_commit=target.setting_commit,
        kind=Kind.ROLLBACK if _diverted_to(memory, target) else Kind.DEPLOY,
        version=target.fleet.version,
        units=len(observed.units),
        took=None,
        at=now,
    )
    good = memory.last_good if _diverted_to(memory, target) else target
    memory = replace(memory, unreached=unreached(observed, target))
    return _with_good(memory, finished, good, deployed=False)


def _finished(memory: Memory, target: Release) -> bool:
    last = memory.finished
    return last is not None and (last.target_digest, last.setting_commit) == (
        target.target_digest,
        target.setting_commit,
    )


def _diverted_to(memory: Memory, target: Release) -> bool:
    """Back at the last good release by itself: that stays the one it was."""
    same = memory.last_good is not None and memory.last_good.target_digest == target.target_digest
    return same and bool(memory.quarantines)
