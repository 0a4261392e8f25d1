"""Why drift is left alone: one pure function each, asked in the order of `GUARDS`; the first answer counts.

A guard sees a `Situation` and gives a `Hold` or None. To add one: write it here, put it into the list, give its
reason a paragraph in docs/reasons.md.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from desired_state.model import Heal
from reconciler.memory import ConditionType
from reconciler.pacing import at_once, next_units, out_of_service, waiting
from reconciler.quarantine import quarantined
from reconciler.reasons import Reason
from reconciler.record import Situation
from reconciler.rests import left_behind_text, resting
from reconciler.rollout import is_proven
from reconciler.work import Hold, Kind, Outcome, Phase

Guard = Callable[[Situation], Hold | None]

PATIENCE = timedelta(minutes=1)  # a read that fails for no longer is not told as an error: it is tried again
LOOK_FAILED = frozenset({Reason.OBSERVATION_FAILED, Reason.GATE_UNREACHABLE})
REPAIRS_A_DAY = 3  # the next one of the same unit and component is held: two tools are fighting


def removed(situation: Situation) -> Hold | None:
    """Its file is gone: nothing is started, nothing is destroyed."""
    if situation.record.present:
        return None
    return Hold(reason=Reason.REMOVED, message="no longer managed: its file is gone from the repository", stalled=True)


def invalid_spec(situation: Situation) -> Hold | None:
    """What its files get wrong harms this fleet alone; it keeps its last good spec."""
    if not situation.record.problems:
        return None
    first, more = situation.record.problems[0], len(situation.record.problems) - 1
    message = f"{first}" + (f" (+{more} more)" if more else "")
    return Hold(reason=Reason.INVALID_SPEC, message=message, stalled=True, error=True)


def unreadable(situation: Situation) -> Hold | None:
    """Nothing is concluded from what could not be read. An error is loud: one slow answer would be, for every fleet."""
    if situation.trouble:
        lasts = failing_for(situation) >= PATIENCE
        return Hold(reason=situation.trouble_reason, message=situation.trouble, error=lasts)
    if situation.observed.missing:
        missing = ", ".join(situation.observed.missing)
        return Hold(reason=Reason.AWAITING_OBSERVATION, message=f"waiting for the first read of {missing}")
    return None


def failing_for(situation: Situation) -> timedelta:
    """For how long every look at the fleet has failed."""
    before = situation.record.memory.status.condition(ConditionType.READY)
    failing = before is not None and before.reason in LOOK_FAILED
    return situation.now - before.since if before is not None and failing else timedelta(0)


def history_rewritten(situation: Situation) -> Hold | None:
    """A force-push changed what this fleet should run."""
    if situation.memory.rewritten != situation.desired.setting_commit:
        return None
    message = (
        f"a force-push would change it to {situation.desired.fleet.version}; approve it, or set it by a new commit"
    )
    return Hold(reason=Reason.HISTORY_REWRITTEN, message=message, stalled=True)


def identity_changed(situation: Situation) -> Hold | None:
    """Another account, region, selector or deploy type means other machines."""
    known = situation.memory.identity
    if known is None or known == situation.desired.fleet.identity_digest:
        return None
    message = "its account, regions, selector or deploy type changed; `fairlead approve` accepts the new ones"
    return Hold(reason=Reason.IDENTITY_CHANGED, message=message, stalled=True)


def identity_conflict(situation: Situation) -> Hold | None:
    """Evidence of the version that disagrees with itself proves nothing."""
    conflict = next((unit for unit in situation.observed.units if unit.conflict), None)
    if conflict is None:
        return None
    return Hold(reason=Reason.IDENTITY_CONFLICT, message=f"{conflict.id}: {conflict.conflict}", stalled=True)


def suspended(situation: Situation) -> Hold | None:
    """A person said so, in Git."""
    suspension = situation.desired.fleet.suspension
    if suspension is None or (suspension.until is not None and suspension.until <= situation.now):
        return None
    until = f" (until {_minute(suspension.until)})" if suspension.until else ""
    return Hold(reason=Reason.SUSPENDED, message=f"{suspension.reason}{until}", until=suspension.until)


def freeze_window(situation: Situation) -> Hold | None:
    """The calendar says so."""
    open_now = [freeze for freeze in situation.desired.fleet.freezes if freeze.begins <= situation.now < freeze.ends]
    if not open_now:
        return None
    last = max(open_now, key=lambda freeze: freeze.ends)
    return Hold(
        reason=Reason.FREEZE_WINDOW,
        message=f"{last.name} until {_minute(last.ends)}: {last.reason}",
        until=last.ends,
    )


def foreign_execution(situation: Situation) -> Hold | None:
    """Somebody else is at it: nothing is started beside that, whatever is wanted. What is under way of ours goes on."""
    if not situation.observed.foreign:
        return None
    message = f"{situation.observed.foreign}; {_waiting(situation)}"
    return Hold(reason=Reason.FOREIGN_EXECUTION, message=message)


def first_sight(situation: Situation) -> Hold | None:
    """Seen for the first time, drifting, with something running on it."""
    if situation.memory.adopted:
        return None
    runs = ", ".join(sorted({_running(unit.components) for unit in situation.observed.units if unit.running}))
    message = f"first seen running {runs}; `fairlead adopt {situation.record.name}` deploys {_wanted(situation)}"
    return Hold(reason=Reason.FIRST_SIGHT, message=message, stalled=True)


def observe_only(situation: Situation) -> Hold | None:
    """The controller was told to report and never act."""
    if not situation.observe_only:
        return None
    return Hold(
        reason=Reason.OBSERVE_ONLY, message=f"this controller only observes; it would deploy {_wanted(situation)}"
    )


def unequipped(situation: Situation) -> Hold | None:
    """The controller lacks what such fleets are deployed with: no fault of any version, and nothing to try again."""
    if not situation.lacks:
        return None
    return Hold(reason=Reason.UNEQUIPPED, message=f"{situation.lacks}; it would deploy {_wanted(situation)}")


def stuck(situation: Situation) -> Hold | None:
    """What does not end may still act: whatever is wanted now waits until it is seen ended."""
    if situation.stuck is None:
        return None
    return Hold(reason=Reason.EXECUTION_STUCK, message=situation.stuck.message, stalled=True, error=True)


def quarantine_holds(situation: Situation) -> Hold | None:
    """The desired version failed here, and there is nothing to go back to, or the policy says to stay."""
    if situation.target is not None:
        return None
    failed = quarantined(situation.memory, situation.desired.target_digest)
    why = failed.message if failed else "it failed before"
    if failed and failed.refused:
        message = f"{why}; mend it and `fairlead retry`, or change it by a commit"
        return Hold(reason=failed.reason, message=message, stalled=True, error=True)
    message = f"{_wanted(situation)} failed: {why}"
    until = failed.until if failed else None
    if situation.memory.irreversible:
        undoable = f"the before step of {situation.memory.irreversible} cannot be undone; go on or back by a commit"
        return Hold(reason=Reason.BEFORE_IRREVERSIBLE, message=f"{message}; {undoable}", until=until, stalled=True)
    return Hold(reason=Reason.QUARANTINED, message=message, until=until, stalled=True)


def heal_off(situation: Situation) -> Hold | None:
    """Policy `heal: off` only reports drift that nobody committed."""
    if situation.desired.fleet.policy.heal is not Heal.OFF or kind_of(situation) is not Kind.HEAL:
        return None
    return Hold(reason=Reason.HEAL_OFF, message=f"drift is only reported (heal: off): {describe_drift(situation)}")


def cannot_heal(situation: Situation) -> Hold | None:
    """All that drifts is on units which could not be healed, and which are left alone for a while."""
    left_alone = resting(situation.memory, situation.target, situation.now)
    if situation.memory.rollout is not None or situation.in_flight or not situation.drift.units <= left_alone:
        return None
    entries = [entry for entry in situation.memory.rests if entry.unit in situation.drift.units]
    left = left_behind_text(situation.memory, situation.target, situation.observed.units)
    others = f"; all others run {_target(situation)}" if len(entries) < len(situation.observed.units) else ""
    worst, until = max(entries, key=lambda entry: (entry.given_up, entry.tries)), min(entry.until for entry in entries)
    named = worst.message if worst.unit in worst.message else f"{worst.unit}: {worst.message}"
    more = f" (+{len(entries) - 1} more)" if len(entries) > 1 else ""
    message = f"{left or f'{named}{more}{others}'}; tried again at {_second(until)}"
    reason = worst.reason if worst.given_up else Reason.BACKING_OFF
    return Hold(reason=reason, message=message, until=until, error=worst.given_up)


def drift_recurs(situation: Situation) -> Hold | None:
    """Healed again and again: two tools fight over it."""
    if kind_of(situation) is not Kind.HEAL or situation.memory.rollout is not None:
        return None
    since = situation.now - timedelta(days=1)
    recent = [repair for repair in situation.memory.repairs if repair.at > since]
    healed = Counter((repair.unit, repair.component) for repair in recent)
    left_alone = resting(situation.memory, situation.target, situation.now)
    for difference in situation.drift.differences:
        if difference.unit not in left_alone and healed[difference.unit, difference.component] >= REPAIRS_A_DAY:
            message = (
                f"{describe_drift(situation)} came back after {REPAIRS_A_DAY} repairs in a day: something else sets it"
            )
            clears = min(repair.at for repair in recent) + timedelta(days=1)
            return Hold(reason=Reason.DRIFT_RECURS, message=message, until=clears)
    return None


def in_flight(situation: Situation) -> Hold | None:
    """Something that is not the target is still under way; a new start needs its end to be seen."""
    strangers = situation.strangers
    if not strangers:
        return None
    other = strangers[0].intent
    if doomed(situation):
        where = "" if situation.is_here(strangers[0]) else " where the fleet was before"
        message = f"ending the rollout of {other.fleet.version}{where} before {_wanted(situation)}"
        return Hold(reason=Reason.ABORTING, message=message)
    message = f"letting the wave of {other.fleet.version} in flight finish before {_wanted(situation)}"
    return Hold(reason=Reason.PROGRESSING, message=message)


def soaking(situation: Situation) -> Hold | None:
    """A finished wave must stay healthy for a while before the next."""
    rollout = situation.memory.rollout
    if rollout is None or rollout.soak_until is None or rollout.soak_until <= situation.now:
        return None
    message = f"wave {rollout.wave}/{len(situation.waves)} soaks until {_second(rollout.soak_until)}"
    return Hold(reason=Reason.SOAKING, message=message, until=rollout.soak_until)


def backing_off(situation: Situation) -> Hold | None:
    """The last attempt failed; the next one waits."""
    rollout = situation.memory.rollout
    if rollout is None or rollout.retry_at is None or rollout.retry_at <= situation.now:
        return None
    if rollout.lacking:
        return Hold(reason=Reason.IMAGE_MISSING, message=rollout.lacking, until=rollout.retry_at)
    tries = max(rollout.failures.values(), default=0) + rollout.setbacks
    message = f"attempt {tries} failed; the next one is at {_second(rollout.retry_at)}"
    return Hold(reason=Reason.BACKING_OFF, message=message, until=rollout.retry_at)


def out_of_reach(situation: Situation) -> Hold | None:
    """What starts and ends things there does not answer: nothing is even intended until it does."""
    if not situation.observed.out_of_reach:
        return None
    lasts = failing_for(situation) >= PATIENCE
    return Hold(reason=Reason.GATE_UNREACHABLE, message=situation.observed.out_of_reach, error=lasts)


def max_unavailable(situation: Situation) -> Hold | None:
    """Nothing is under way, and one more unit out of service would be one too many."""
    rollout = situation.memory.rollout
    if rollout is None or situation.in_flight or next_units(situation, rollout) or not waiting(situation, rollout):
        return None
    out, limit = sorted(out_of_service(situation)), at_once(situation, rollout)
    message = (
        f"{len(out)} of {len(situation.observed.units)} units are out of service ({_some(out)}); at most {limit} may be"
    )
    return Hold(reason=Reason.MAX_UNAVAILABLE, message=message)


ALWAYS: Sequence[Guard] = (removed, invalid_spec, unreadable)
GUARDS: Sequence[Guard] = (
    history_rewritten,
    identity_changed,
    identity_conflict,
    suspended,
    freeze_window,
    foreign_execution,
    unequipped,
    first_sight,
    observe_only,
    stuck,
    quarantine_holds,
    heal_off,
    cannot_heal,
    drift_recurs,
    in_flight,
    soaking,
    backing_off,
    out_of_reach,
    max_unavailable,
)


def first_hold(situation: Situation) -> Hold | None:
    """The first guard's answer. A fleet with nothing to do is asked only whether it can be judged at all."""
    guards = (*ALWAYS, *GUARDS) if wants_action(situation) else ALWAYS
    return next((hold for guard in guards if (hold := guard(situation)) is not None), None)


def wants_action(situation: Situation) -> bool:
    """True when there is drift, a rollout in progress or work in flight, or when the fleet may go nowhere."""
    return bool(situation.drift or situation.memory.rollout or situation.in_flight or situation.target is None)


def kind_of(situation: Situation) -> Kind:
    """Why the rollout runs, or why the one that this drift would begin."""
    memory, setting = situation.memory, situation.record.setting
    if memory.rollout is not None:
        return memory.rollout.kind
    if situation.diverted:
        return Kind.ROLLBACK
    good = memory.last_good
    here = good is not None and good.target_digest == situation.desired.target_digest
    here = here and not situation.drift.units.intersection(memory.unreached)
    if here and good is not None and good.setting_commit == situation.desired.setting_commit:
        return Kind.HEAL
    back = setting is not None and bool(setting.reverts) and is_proven(memory, situation.desired)
    return Kind.REVERT if back else Kind.DEPLOY


def goes_back(situation: Situation) -> bool:
    """Whether what is to be done brings back what ran well: it goes before everything else."""
    setting = situation.record.setting
    return kind_of(situation) in {Kind.ROLLBACK, Kind.REVERT} or (setting is not None and bool(setting.reverts))


def doomed(situation: Situation) -> tuple[Outcome, ...]:
    """Work in flight that is to be ended now: what only waits for its start, and all of it where that is called for."""
    unwanted = situation.strangers if situation.record.present else situation.in_flight
    if must_abort(situation):
        return unwanted
    ending = {Phase.INTENDED, Phase.ABORTING}
    return tuple(outcome for outcome in unwanted if outcome.phase in ending and outcome.ticket is None)


def must_abort(situation: Situation) -> bool:
    """A failing or abandoned rollout, or any when the new commit is a revert, is ended at once (DESIGN 3.1)."""
    rollout, setting = situation.memory.rollout, situation.record.setting
    reverted = setting is not None and bool(setting.reverts)
    return rollout is None or rollout.failing or reverted or situation.diverted or not situation.record.present


def describe_drift(situation: Situation) -> str:
    """The first difference in words, and how many more there are."""
    first, more = situation.drift.differences[0], len(situation.drift.differences) - 1
    have = first.have or "no single version"
    return f"{first.unit} runs {first.component} {have}, not {first.want}" + (f" (+{more} more)" if more else "")


def _target(situation: Situation) -> str:
    return situation.target.fleet.version if situation.target else _wanted(situation)


def _waiting(situation: Situation) -> str:
    """`the revert to 1.4.1 waits`, and that ours is under way beside it."""
    if any(outcome.phase is not Phase.INTENDED for outcome in situation.in_flight):
        return "ours goes on, nothing more is started"
    kinds = {Kind.REVERT: "the revert to ", Kind.ROLLBACK: "going back to ", Kind.HEAL: "healing to "}
    return f"{kinds.get(kind_of(situation), '')}{_target(situation)} waits"


def _wanted(situation: Situation) -> str:
    return situation.desired.fleet.version


def _running(components: Mapping[str, str]) -> str:
    packages = [version for component, version in components.items() if component.startswith("package/")]
    return " ".join(packages) or "mixed or unknown versions"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (f" +{len(names) - 2}" if len(names) > 2 else "")


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _second(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S UTC")
