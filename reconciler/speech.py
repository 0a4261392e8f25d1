"""What is said on commits about one fleet (DESIGN 5). Pure; every description fits 140 characters.

A commit's word is final only when nothing of it can still happen, and no commit stays pending for ever.
"""

from dataclasses import dataclass
from datetime import timedelta

from desired_state.model import FleetName, OnFailure, Sha
from reconciler.before import progress
from reconciler.drift import at_release
from reconciler.guards import describe_drift
from reconciler.memory import Finished, Memory, Quarantine, Rollout
from reconciler.quarantine import quarantined
from reconciler.record import CommitStatus, Situation, State
from reconciler.rests import left_behind_text
from reconciler.threshold import some
from reconciler.work import Hold, Kind, Outcome, Phase, Release

LONGEST = 140  # characters: the limit of GitHub's statuses (docs.github.com, REST, commit statuses)
CAUSE = 70  # of them at least are left for why something failed, where what became of it can be said in fewer words


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A state and its sentence, before it is put on a commit."""

    state: State
    text: str


def speak(situation: Situation, memory: Memory, hold: Hold | None, public_url: str) -> tuple[CommitStatus, ...]:
    """The words of this pass: on the setting commit, on what it reverts, on what it supersedes."""
    own = own_word(situation, memory, hold)
    words = {situation.desired.setting_commit: own} if own is not None else {}
    for earlier in situation.record.statuses:
        if earlier.commit != situation.desired.setting_commit or not situation.record.present:
            word = closing_word(situation, memory, earlier, own)
            if word is not None:
                words[earlier.commit] = word
    return tuple(_status(situation, commit, word, public_url) for commit, word in words.items())


def _status(situation: Situation, commit: Sha, word: Word, public_url: str) -> CommitStatus:
    environment, _, short_name = situation.record.name.partition("/")
    return CommitStatus(
        repository=situation.record.repository,
        commit=commit,
        context=f"fairlead/{environment}/{short_name}",
        state=word.state,
        description=clip(word.text),
        target_url=page_of(public_url, situation.record.name),
        at=situation.now,
    )


def page_of(public_url: str, fleet: FleetName) -> str:
    """The fleet's page at the controller; empty where it has none."""
    return f"{public_url}/fleets/{fleet}" if public_url else ""


# ── on the setting commit ────────────────────────────────────────────────────────────────────────────────────────


def own_word(situation: Situation, memory: Memory, hold: Hold | None) -> Word | None:
    """What is said on the setting commit; None leaves the last word standing."""
    if not situation.record.present:
        return None
    failed = quarantined(memory, situation.desired.target_digest)
    if failed is not None:
        return _failed_word(situation, memory, failed, hold)
    said = _said(situation, situation.desired.setting_commit)
    calm = said is not None and said.state is State.SUCCESS and not situation.drift and memory.rollout is None
    return _arrived_word(situation, memory, hold) or (None if calm else _way_word(situation, memory, hold))


def _arrived_word(situation: Situation, memory: Memory, hold: Hold | None) -> Word | None:
    """At the version, but for what a rollout left behind. That such a unit is tried again is no news."""
    if left := left_behind_text(memory, situation.target, situation.observed.units):
        return Word(state=State.SUCCESS, text=left)
    if hold is None and memory.rollout is None and is_whole(situation):
        return Word(state=State.SUCCESS, text=success_text(situation, memory))
    return None


def _way_word(situation: Situation, memory: Memory, hold: Hold | None) -> Word:
    """On the way there, or kept from it."""
    if hold is not None:
        return Word(state=State.ERROR if hold.error else State.PENDING, text=_hold_text(hold))
    if situation.observed.joining and not situation.observed.units:
        return Word(state=State.PENDING, text=joining_text(situation))
    if memory.rollout is not None and situation.observed.units:
        return Word(state=State.PENDING, text=progress_text(situation, memory.rollout))
    return Word(state=State.FAILURE, text=_unwell_text(situation))


def joining_text(situation: Situation) -> str:
    """`no unit serves yet: 2 are joining (i-0a, i-0b)`."""
    joining = [unit.id for unit in situation.observed.joining]
    return f"no unit serves yet: {len(joining)} are joining ({some(joining)})"


def _failed_word(situation: Situation, memory: Memory, failed: Quarantine, hold: Hold | None) -> Word:
    if failed.refused:
        return Word(state=State.ERROR, text=f"{failed.reason}: {failed.message}")
    return Word(state=State.FAILURE, text=failure_text(situation, memory, failed, hold))


def is_whole(situation: Situation) -> bool:
    """At the target and healthy, all of it, and it is something."""
    units = situation.observed.units
    return bool(units) and not situation.drift and all(unit.healthy for unit in units)


def _said(situation: Situation, commit: Sha) -> CommitStatus | None:
    return next((status for status in situation.record.statuses if status.commit == commit), None)


def _hold_text(hold: Hold) -> str:
    return f"{hold.reason}: {hold.message}"


def _unwell_text(situation: Situation) -> str:
    if not situation.observed.units:
        return "no units: nothing runs it"
    sick = next(unit for unit in situation.observed.units if not unit.healthy)
    return (
        f"{situation.desired.fleet.version} is there but {sick.id} is not healthy: {sick.message or 'no reason known'}"
    )


def progress_text(situation: Situation, rollout: Rollout) -> str:
    """`wave 1/2: 1.4.2 on 0/2 units`."""
    if (blocked := road_block(situation)) is not None:
        return f"{blocked.reason}: {blocked.message}"
    if step := progress(situation):
        return step
    there, beside = _there(situation, rollout.release), _beside(situation, rollout)
    where = f"{rollout.release.fleet.version} on {there}{beside}"
    if rollout.kind is Kind.HEAL:
        return f"healing drift: {describe_drift(situation)}" if situation.drift else f"healing drift: {where}"
    verbs = {Kind.ROLLBACK: "rolling back", Kind.REVERT: "going back"}
    verb = verbs.get(rollout.kind, f"wave {rollout.wave}/{max(len(situation.waves), rollout.wave)}")
    waits = next((f"; {outcome.waits}" for outcome in situation.in_flight if outcome.waits), "")
    return f"{verb}: {where}{waits}"


def _there(situation: Situation, release: Release, *, named: bool = True) -> str:
    """`5/12 units`: of all that serve, those that run the release and are well.

    `1 of 2 regions (eu-west-1 is suspended)` where some are set aside; these may be left unnamed.
    """
    units, aside = situation.observed.units, situation.observed.aside
    there = sum(unit.healthy and at_release(unit, release) for unit in units)
    if not aside:
        return f"{there}/{len(units)} units"
    verb = "is" if len(aside) == 1 else "are"
    names = f" ({some([unit.id for unit in aside])} {verb} suspended)" if named else ""
    return f"{there} of {len(units) + len(aside)} regions{names}"


def _beside(situation: Situation, rollout: Rollout) -> str:
    """`, 1 left behind (+2 joining)`."""
    left, joining = len(rollout.left_behind), len(situation.observed.joining)
    return (f", {left} left behind" if left else "") + (f" (+{joining} joining)" if joining else "")


def road_block(situation: Situation) -> Outcome | None:
    """Work that was intended and could not be handed to the other system yet."""
    waiting = (outcome for outcome in situation.in_flight if outcome.phase is Phase.INTENDED)
    return next((outcome for outcome in waiting if outcome.reason is not None and outcome.message), None)


def success_text(situation: Situation, memory: Memory) -> str:
    """`1.4.2 on 2/2 units in 48 s`, or how it came back to an earlier version."""
    if not any(unit.running for unit in situation.observed.units):
        return f"{_version(situation)} for whoever comes: no unit runs, which is allowed"
    finished = _finished_here(situation, memory)
    if finished is not None and finished.kind is Kind.HEAL:
        return f"{_where(situation, finished)}; drift healed{_in(finished)}"
    reverts = situation.record.setting.reverts if situation.record.setting else ()
    if reverts:
        return _back_text(situation, finished, f"reverts {_shorts(reverts)}")
    return f"{_where(situation, finished)}{_took(finished)}"


def _back_text(situation: Situation, finished: Finished | None, why: str) -> str:
    """A revert goes back to what was good here; a revert of a revert rolls out what was not, and says so."""
    forward = finished is not None and finished.kind is Kind.DEPLOY and finished.took is not None
    verb = "" if forward else "rolled back to "
    return f"{verb}{_version(situation)}{_noted(finished)} ({why}) on {_units(situation)}{_took(finished)}"


def failure_text(situation: Situation, memory: Memory, failed: Quarantine, hold: Hold | None) -> str:
    """What failed, and what became of the fleet; the second half is not cut but said in fewer words."""
    why, shown = f"{failed.version} failed: {failed.message}", _consequence(situation, memory, hold)
    if len(one_line(why)) + len(shown) <= LONGEST or len(shown) <= LONGEST - CAUSE:
        return fit(why, shown)
    return fit(why, _consequence(situation, memory, hold, brief=True))


def _consequence(situation: Situation, memory: Memory, hold: Hold | None, *, brief: bool = False) -> str:
    """`brief`: without how it came about and without names of regions."""
    target = situation.target
    if target is None:
        return f"; stays where it stands ({_why_not_back(situation, memory)})"
    if hold is not None:
        return f"; {hold.reason}: going back to {target.fleet.version} waits"
    if memory.rollout is not None or situation.drift:
        return f"; rolling back to {target.fleet.version}"
    finished = _finished_here(situation, memory)
    back = f"; rolled back to {target.fleet.version}"
    if brief:
        return f"{back} on {_there(situation, target, named=False)}{_in(finished)}"
    return f"{back}{_noted(finished)} on {_units(situation)}{_in(finished)}"


def _why_not_back(situation: Situation, memory: Memory) -> str:
    good = memory.last_good
    if good is None:
        return "no good version to go back to"
    if situation.desired.fleet.policy.on_failure is OnFailure.HOLD:
        return "on_failure: hold"
    if memory.irreversible:
        return f"BeforeIrreversible: the before step of {memory.irreversible} stays"
    return f"{good.fleet.version}, the last good one, failed too"


# ── on earlier commits ───────────────────────────────────────────────────────────────────────────────────────────


def closing_word(situation: Situation, memory: Memory, earlier: CommitStatus, own: Word | None) -> Word | None:
    """The last word on a commit that is not, or no longer, what the fleet is set to."""
    is_open = earlier.state is State.PENDING
    if not situation.record.present:
        return Word(state=State.ERROR, text="no longer managed: its file is gone") if is_open else None
    setting = situation.record.setting
    if setting is not None and earlier.commit in setting.reverts and own is not None:
        return _reverted_word(situation, memory, earlier, own)
    if not is_open or _still_moving(situation, memory, earlier.commit):
        return None
    finished = memory.finished
    if finished is not None and finished.setting_commit == earlier.commit and finished.units:
        text = f"{finished.version} on {finished.units}/{finished.units + finished.behind} units{_took(finished)}"
        return Word(state=State.SUCCESS, text=f"{text}; then {_short(situation)}")
    return Word(state=State.ERROR, text=f"superseded by {_short(situation)} ({_version(situation)})")


def _reverted_word(situation: Situation, memory: Memory, earlier: CommitStatus, own: Word) -> Word | None:
    by, finished = _short(situation), _finished_here(situation, memory)
    told = f"(reverted by {by})" in earlier.description
    if "(reverted by " in earlier.description and not told:
        return None  # an earlier revert has told its end
    if told and finished is not None and finished.kind is Kind.HEAL:
        return None  # what was healed since is no news of that commit
    if own.state is State.SUCCESS:
        text = _back_text(situation, finished, f"reverted by {by}")
        return Word(state=State.SUCCESS if earlier.state is State.SUCCESS else State.FAILURE, text=text)
    if earlier.state is not State.PENDING:
        return None
    if own.state is State.PENDING:
        return Word(state=State.PENDING, text=f"being reverted by {by} to {_version(situation)}")
    return Word(state=State.ERROR, text=f"superseded by {by} ({_version(situation)})")


def _still_moving(situation: Situation, memory: Memory, commit: Sha) -> bool:
    if situation.stuck is not None:
        return False  # nobody knows for how long: the newer commit says what stands in the way
    in_flight = any(outcome.intent.setting_commit == commit for outcome in situation.in_flight)
    return in_flight or (memory.rollout is not None and memory.rollout.release.setting_commit == commit)


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _finished_here(situation: Situation, memory: Memory) -> Finished | None:
    target, finished = situation.target, memory.finished
    if target is None or finished is None or finished.target_digest != target.target_digest:
        return None
    return finished if finished.setting_commit == target.setting_commit else None


def _version(situation: Situation) -> str:
    return situation.desired.fleet.version


def _short(situation: Situation) -> str:
    return situation.desired.setting_commit[:7]


def _shorts(commits: tuple[Sha, ...]) -> str:
    shown = ", ".join(commit[:7] for commit in commits[:2])
    return shown + (f" +{len(commits) - 2}" if len(commits) > 2 else "")


def _units(situation: Situation) -> str:
    return _there(situation, situation.target or situation.desired)


def _where(situation: Situation, finished: Finished | None) -> str:
    return f"{_version(situation)}{_noted(finished)} on {_units(situation)}"


def _noted(finished: Finished | None) -> str:
    """` as ami-0abc baked in staging`, ` by enabling v041`: how it came about, where there is anything to tell."""
    return f" {finished.note}" if finished is not None and finished.note else ""


def _took(finished: Finished | None) -> str:
    if finished is None:
        return ""
    return ", already there" if finished.took is None else _in(finished)


def _in(finished: Finished | None) -> str:
    return f" in {duration(finished.took)}" if finished is not None and finished.took is not None else ""


def duration(span: timedelta) -> str:
    """`48 s`, `3 min 10 s`, `2 h 5 min`."""
    seconds = max(0, round(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def clip(text: str) -> str:
    """One line of at most 140 characters."""
    return _cut(one_line(text), LONGEST)


def fit(first: str, last: str) -> str:
    """Both halves in 140 characters, the first one cut; the last one only where it leaves next to nothing of it."""
    line = one_line(first)
    room = max(LONGEST - len(last), min(len(line), CAUSE // 2))
    return _cut(line, room) + _cut(last, LONGEST - min(room, len(line)))


def _cut(line: str, room: int) -> str:
    return line if len(line) <= room else line[: max(room - 1, 0)].rstrip() + "…"


def one_line(text: str) -> str:
    """Without line breaks, and without what a terminal would obey: git notes are read on one."""
    shown = text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
    return " ".join(shown.split())
