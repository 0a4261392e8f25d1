"""What a deploy that a merge would begin will meet: units, waves, holds and when they clear, and how long it may take.

Pure. The guards of a pass are asked about the fleet as the merge would have it, over what the feeds read last.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median

from desired_state.changes import Change, Effect
from desired_state.model import Adopt, Fleet
from reconciler.aside import in_force
from reconciler.drift import detect_drift
from reconciler.guards import (
    foreign_execution,
    freeze_window,
    identity_changed,
    identity_conflict,
    observe_only,
    suspended,
    unequipped,
)
from reconciler.observed import Observed, Wave
from reconciler.ports import Deployer
from reconciler.quarantine import PREEMPTIONS_IN_A_ROW
from reconciler.reasons import Reason
from reconciler.record import Event, Record, Situation
from reconciler.speech import duration
from reconciler.work import Hold, Kind, Release

SOON = timedelta(days=7)  # a freeze that begins within this is told
ROLLOUTS = 5  # of the fleet's last ones, the median of what they took
DEPLOYS = frozenset({Effect.DEPLOY, Effect.ADDED})
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://\S+", re.IGNORECASE)
_ASKED: Sequence[Callable[[Situation], Hold | None]] = (
    identity_changed,
    identity_conflict,
    suspended,
    freeze_window,
    foreign_execution,
    unequipped,
    observe_only,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Of one fleet. Everything in it is as of one moment, and none of it names the moment."""

    units: int | None = None  # None: not known
    waves: tuple[str, ...] = ()
    holds: tuple[Hold, ...] = ()
    notes: tuple[str, ...] = ()  # what is to be known and holds nothing
    takes: timedelta | None = None  # None: no history yet
    rollouts: int = 0  # that `takes` is the median of


def outlook(
    change: Change, record: Record | None, deployer: Deployer, history: Sequence[Event], now: datetime, *, watches: bool
) -> Outlook:
    """What is to be expected of one fleet. `history` is newest first; `watches`: the controller only observes."""
    after = change.after
    if after is None:
        return Outlook()
    after = in_force(after, now)
    if record is None or change.identity_changed or change.effect is Effect.ADDED:
        return Outlook(waves=tuple(change.waves), holds=tuple(_of_strangers(change, record, after, now)))
    observed = deployer.observe(after, record.snapshots)
    spans = rollout_spans(history)
    situation = _situation(record, after, observed, deployer, now, watches=watches)
    deploys = change.effect in DEPLOYS
    return Outlook(
        units=None if observed.missing else len(observed.units),
        waves=tuple(map(_wave_text, deployer.waves(after, observed))) if observed.units else tuple(change.waves),
        holds=tuple(_holds(situation)) if deploys else (),
        notes=tuple(_notes(situation) if deploys else _freed(change, situation)),
        takes=timedelta(seconds=median(span.total_seconds() for span in spans)) if spans else None,
        rollouts=len(spans),
    )


def _of_strangers(change: Change, record: Record | None, after: Fleet, now: datetime) -> Iterator[Hold]:
    """Of a fleet whose machines nobody has looked at."""
    if change.identity_changed:
        message = "other machines than before; `fairlead approve` accepts them"
        yield Hold(reason=Reason.IDENTITY_CHANGED, message=message, stalled=True)
    elif after.policy.adopt is Adopt.ASK:
        message = "if other versions run there already, it waits for `fairlead adopt`"
        yield Hold(reason=Reason.FIRST_SIGHT, message=message, stalled=True)
    if record is None or change.effect in DEPLOYS:
        yield from _of_git(after, now)


def _of_git(after: Fleet, now: datetime) -> Iterator[Hold]:
    """Suspension and freezes, where there is no situation to ask guards about."""
    if after.suspension is not None and (after.suspension.until is None or after.suspension.until > now):
        yield Hold(reason=Reason.SUSPENDED, message=after.suspension.reason, until=after.suspension.until)
    for freeze in after.freezes:
        if freeze.begins <= now < freeze.ends:
            yield Hold(reason=Reason.FREEZE_WINDOW, message=f"{freeze.name}: {freeze.reason}", until=freeze.ends)


def from_git(change: Change, now: datetime) -> Outlook:
    """What anybody who reads the repository can know."""
    if change.after is None:
        return Outlook()
    after = in_force(change.after, now)
    holds = tuple(_of_git(after, now)) if change.effect in DEPLOYS else ()
    return Outlook(waves=tuple(change.waves), holds=holds, notes=tuple(_of_regions(after)))


def _situation(
    record: Record, after: Fleet, observed: Observed, deployer: Deployer, now: datetime, *, watches: bool
) -> Situation:
    release = Release(fleet=after, setting_commit="")
    return Situation(
        record=record,
        memory=record.memory,
        desired=release,
        target=release,
        observed=observed,
        drift=detect_drift(release, observed),
        waves=(),
        work=record.work,
        now=now,
        observe_only=watches,
        lacks=deployer.lacks,
    )


def _holds(situation: Situation) -> Iterator[Hold]:
    for guard in _ASKED:
        hold = guard(situation)
        if hold is not None:
            yield replace(hold, message=without_addresses(hold.message))
    memory = situation.memory
    if not memory.adopted and memory.first_seen is None and situation.desired.fleet.policy.adopt is Adopt.ASK:
        message = f"nobody has adopted it yet; it waits for `fairlead adopt {situation.record.name}`"
        yield Hold(reason=Reason.FIRST_SIGHT, message=message, stalled=True)
    if situation.record.trouble:
        message = "what it runs cannot be read now; nothing starts until then"
        yield Hold(reason=Reason.OBSERVATION_FAILED, message=message)


def _notes(situation: Situation) -> Iterator[str]:
    fleet, memory = situation.desired.fleet, situation.memory
    if not situation.observed.missing and situation.observed.units and not situation.drift:
        yield "all units run it already"
    for entry in memory.quarantines:
        if entry.target_digest == fleet.target_digest:
            failed = f"{entry.version} failed here on {entry.since:%Y-%m-%d} ({entry.reason})"
            yield f"{failed} and is quarantined; the merge lifts that and tries it again"
    yield from _under_way(situation)
    yield from _of_regions(fleet)
    for freeze in fleet.freezes:
        if situation.now < freeze.begins <= situation.now + SOON:
            yield f"freeze {freeze.name} from {freeze.begins:%Y-%m-%d %H:%M} UTC to {freeze.ends:%Y-%m-%d %H:%M} UTC"


def frees(change: Change) -> bool:
    """It deploys nothing by itself, and takes away what held the fleet."""
    before, after = change.before, change.after
    if before is None or after is None or change.effect in DEPLOYS:
        return False
    return any(was > now for was, now in zip(_held(before), _held(after), strict=True))


def _held(fleet: Fleet) -> tuple[int, int, int]:
    return int(fleet.suspension is not None), len(fleet.freezes), len(fleet.regional)


def _freed(change: Change, situation: Situation) -> Iterator[str]:
    if frees(change) and not situation.observed.missing and situation.drift:
        behind = len(situation.drift.units)
        noun = "unit is" if behind == 1 else "units are"
        yield f"what was held begins: {behind} {noun} not at {situation.desired.fleet.version} yet"


def _under_way(situation: Situation) -> Iterator[str]:
    rollout = situation.memory.rollout
    if rollout is None or rollout.release.target_digest == situation.desired.target_digest:
        return
    version = rollout.release.fleet.version
    if rollout.failing:
        yield f"the rollout of {version} under way is failing and is ended first"
    elif situation.memory.preemptions >= PREEMPTIONS_IN_A_ROW:
        yield f"the rollout of {version} under way is let finish first"
    else:
        yield f"the wave of {version} under way finishes first"


def _of_regions(fleet: Fleet) -> Iterator[str]:
    for region, one in sorted(fleet.asleep.items()):
        until = f" until {one.until:%Y-%m-%d %H:%M} UTC" if one.until else ""
        yield f"{region} is suspended{until}: {one.reason}"


def _wave_text(wave: Wave) -> str:
    """`2 units, soak 5 min`."""
    count = len(wave.units)
    soak = f", soak {duration(wave.soak)}" if wave.soak else ""
    return f"{count} unit{'' if count == 1 else 's'}{soak}"


def rollout_spans(history: Sequence[Event]) -> list[timedelta]:
    """How long the fleet's last finished rollouts took, newest first; healing and going back are not counted."""
    spans: list[timedelta] = []
    finished: Event | None = None
    for event in history:
        if event.kind == "rollout-finished":
            finished = event
        elif event.kind == "rollout-ended":
            finished = None
        elif event.kind == "rollout-started" and finished is not None:
            if event.message.startswith(f"{Kind.DEPLOY} ") and finished.message == event.message:
                spans.append(finished.at - event.at)
            finished = None
        if len(spans) == ROLLOUTS:
            break
    return spans


def without_addresses(text: str) -> str:
    """Comments are read by more people than the addresses of our systems are for."""
    return _ADDRESS.sub("(an address)", text)
