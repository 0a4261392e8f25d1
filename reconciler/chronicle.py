"""The lines of a fleet's history that one pass adds: what changed, said once. Pure."""

from collections.abc import Iterable

from reconciler.memory import Memory, Rollout
from reconciler.record import Event, Situation
from reconciler.work import Hold, Outcome


def chronicle(situation: Situation, memory: Memory, hold: Hold | None, work: tuple[Outcome, ...]) -> tuple[Event, ...]:
    """Events in the order in which they came about."""
    before = situation.record.memory
    lines = (
        *_requests(situation),
        *_adoption(before, memory),
        *_work(situation, (outcome for outcome in work if outcome.phase.ended)),
        *_quarantines(before, memory),
        *_rollouts(before, memory),
        *_work(situation, (outcome for outcome in work if not outcome.phase.ended)),
        *_holds(before, hold),
    )
    return tuple(Event(kind=kind, message=message, at=situation.now) for kind, message in lines)


Line = tuple[str, str]


def _requests(situation: Situation) -> Iterable[Line]:
    for request in situation.heeded:
        yield request.ask.value, f"asked by {request.by}"


def _adoption(before: Memory, after: Memory) -> Iterable[Line]:
    if after.adopted and not before.adopted:
        good = after.last_good.fleet.version if after.last_good else "nothing to go back to"
        yield "adopted", f"last good: {good}"


def _work(situation: Situation, work: Iterable[Outcome]) -> Iterable[Line]:
    known = {outcome.intent.key: outcome for outcome in situation.record.work}
    for outcome in work:
        earlier = known.get(outcome.intent.key)
        if earlier is None or (earlier.phase, earlier.ticket) != (outcome.phase, outcome.ticket):
            yield outcome.phase.value, _sentence(outcome)


def _sentence(outcome: Outcome) -> str:
    what = outcome.intent.told
    ticket = f" [{outcome.ticket}]" if outcome.ticket else ""
    return f"{what}{ticket}" + (f": {outcome.message}" if outcome.message else "")


def _rollouts(before: Memory, after: Memory) -> Iterable[Line]:
    old, new = before.rollout, after.rollout
    if new is not None and not _same(old, new):
        yield "rollout-started", f"{new.kind} {new.release.fleet.version} set by {new.release.setting_commit[:7]}"
    if after.finished is not None and after.finished != before.finished:
        done = after.finished
        yield "rollout-finished", f"{done.kind} {done.version} set by {done.setting_commit[:7]}"
    elif old is not None and new is None:
        yield "rollout-ended", f"{old.kind} {old.release.fleet.version} was not finished"
    elif old is not None and new is not None and _same(old, new) and new.wave > old.wave:
        yield "wave-finished", f"wave {new.wave - 1} of {new.release.fleet.version}"


def _same(old: Rollout | None, new: Rollout) -> bool:
    return old is not None and (old.release, old.kind, old.started_at) == (new.release, new.kind, new.started_at)


def _quarantines(before: Memory, after: Memory) -> Iterable[Line]:
    known = {entry.since for entry in before.quarantines}
    for entry in after.quarantines:
        if entry.since not in known:
            yield "quarantined", f"{entry.version}: {entry.message}"
    if before.quarantines and not after.quarantines:
        yield "quarantine-lifted", ", ".join(entry.version for entry in before.quarantines)


def _holds(before: Memory, hold: Hold | None) -> Iterable[Line]:
    if hold is not None and hold.reason is not before.status.reason:
        yield "held", f"{hold.reason}: {hold.message}"
