"""What people are told of a fleet: troubles that need one of them, once each, and their end. Pure.

A trouble is told when it is new, not as long as it lasts: what was told last is in the fleet's memory. What comes and
goes within `FLOOR` is told once, as it stands when the floor ends. The end is told to those who were told the trouble:
also where the owner is another by then, and by a replica whose settings name none of them.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from desired_state.model import Sha
from reconciler.memory import ConditionType, Memory, Noticed, Quarantine
from reconciler.quarantine import quarantined
from reconciler.reasons import Reason
from reconciler.record import CommitStatus, Medium, Situation, State
from reconciler.speech import clip, failure_text, one_line, page_of
from reconciler.work import Hold

FLOOR = timedelta(minutes=5)  # between two notices of one fleet about one setting commit
LASTS = timedelta(minutes=10)  # what may pass by itself is told when it has lasted so long
DETAIL = 500  # characters of a sentence that is told in full

# Held until a person acts: told at once.
NEEDS_PERSON = frozenset(
    {
        Reason.FIRST_SIGHT,
        Reason.IDENTITY_CHANGED,
        Reason.IDENTITY_CONFLICT,
        Reason.HISTORY_REWRITTEN,
        Reason.DRIFT_RECURS,
        Reason.QUARANTINED,
        Reason.BEFORE_IRREVERSIBLE,
        Reason.EXECUTION_STUCK,
        Reason.DEPLOY_REFUSED,
        Reason.INVALID_SPEC,
        Reason.UNEQUIPPED,
    }
)
# May pass by itself: told when it lasts.
NEEDS_PERSON_LATER = frozenset(
    {
        Reason.OBSERVATION_FAILED,
        Reason.GATE_UNREACHABLE,
        Reason.UPKEEP_FAILED,
        Reason.NO_UNITS,
        Reason.UNHEALTHY,
        Reason.HOST_SILENT,
    }
)
# Of these only what was tried as often as may be is told: `Hold.error`.
NEEDS_PERSON_WHERE_GIVEN_UP = frozenset(
    {Reason.HEALTH_CHECK_FAILED, Reason.PIPELINE_FAILED, Reason.DEADLINE_EXCEEDED, Reason.BEFORE_FAILED}
)


class Kind(StrEnum):
    """What a notice says of a fleet."""

    FAILED = "failed"  # its version failed: it goes back, or stays where it stands
    ROLLED_BACK = "rolled-back"  # it is back at the last good version
    HELD = "held"  # nothing moves until a person acts
    RESOLVED = "resolved"  # what was told before is over
    WITHDRAWN = "withdrawn"  # something newer is told instead: nobody is told this


STATES = {Kind.FAILED: State.FAILURE, Kind.ROLLED_BACK: State.FAILURE, Kind.HELD: State.ERROR}


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """Where people are told: of which owners' fleets, in which environments, as shell patterns."""

    name: str
    owners: tuple[str, ...] = ("*",)
    environments: tuple[str, ...] = ("*",)

    def hears(self, owner: str, environment: str) -> bool:
        """Whether a fleet of that owner in that environment is told here. No owner is the empty name."""
        return _matches(owner, self.owners) and _matches(environment, self.environments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What is wrong with a fleet now, in a way that people are told of."""

    kind: Kind
    reason: Reason
    text: str  # of any length; the sentence of its status, where there is one
    detail: str
    mark: str = ""  # tells two troubles of the same reason apart
    since: datetime | None = None  # told when it has lasted; None: at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """The words of a pass to people, what is remembered of them, and when there is more to say."""

    words: tuple[CommitStatus, ...] = ()
    noticed: Noticed | None = None
    again_at: datetime | None = None


def notify(
    situation: Situation, memory: Memory, hold: Hold | None, channels: Sequence[Channel], public_url: str = ""
) -> Notice:
    """What is new for people, if anything is. `memory` has the pass's status already."""
    before = memory.noticed
    link = page_of(public_url, situation.record.name)
    trouble = trouble_of(situation, memory, hold)
    if trouble is None:
        return _end(situation, memory, before, link)
    fleet = situation.desired.fleet
    hearing = tuple(each.name for each in channels if each.hears(fleet.owner, fleet.environment.name))
    if not hearing:
        return Notice(noticed=before)  # another replica may have other settings
    if trouble.since is not None and situation.now < trouble.since + LASTS:
        return Notice(noticed=before, again_at=trouble.since + LASTS)
    deaf = frozenset(each.name for each in channels) - set(hearing)
    return _begin(situation, trouble, before, hearing, deaf, link)


def trouble_of(situation: Situation, memory: Memory, hold: Hold | None) -> Trouble | None:
    """What people are to be told of the fleet as it stands."""
    if not situation.record.present:
        return None
    failed = quarantined(memory, situation.desired.target_digest)
    if failed is not None and not failed.refused:
        return _failure(situation, memory, hold, failed)
    status = memory.status
    given_up = hold is not None and hold.error and status.reason in NEEDS_PERSON_WHERE_GIVEN_UP
    later = status.reason in NEEDS_PERSON_LATER and not status.ready
    if not (status.reason in NEEDS_PERSON or given_up or later):
        return None
    ready = status.condition(ConditionType.READY)
    since = ready.since if later and ready is not None else None
    return Trouble(kind=Kind.HELD, reason=status.reason, text=status.message, detail=status.message, since=since)


def _failure(situation: Situation, memory: Memory, hold: Hold | None, failed: Quarantine) -> Trouble:
    is_back = situation.target is not None and hold is None and memory.rollout is None and not situation.drift
    return Trouble(
        kind=Kind.ROLLED_BACK if is_back else Kind.FAILED,
        reason=failed.reason,
        text=failure_text(situation, memory, failed, hold),
        detail=failed.message,
        mark=failed.since.isoformat(),
    )


def _begin(
    situation: Situation,
    trouble: Trouble,
    before: Noticed | None,
    hearing: tuple[str, ...],
    deaf: Collection[str],
    link: str,
) -> Notice:
    """`hearing` are told from now on; `deaf` are the channels that the settings name and that hear of others."""
    told = Noticed(
        kind=trouble.kind.value,
        reason=trouble.reason,
        commit=situation.desired.setting_commit,
        mark=trouble.mark,
        at=situation.now,
        channels=hearing,
    )
    if before is None or before.over:
        soon = before is not None and before.commit == told.commit and situation.now < before.at + FLOOR
        if before is not None and soon:
            return Notice(noticed=before, again_at=before.at + FLOOR)
        return Notice(words=_words(situation, hearing, told, trouble, link), noticed=told)
    moved = before.commit != told.commit
    stay = tuple(name for name in before.channels if not moved or name not in deaf)
    everybody = (*stay, *(name for name in hearing if name not in stay))
    if moved:
        ends = tuple(_taken_over(situation, name, before, name in stay, link) for name in before.channels)
        told = replace(told, channels=everybody)
        return Notice(words=(*_words(situation, everybody, told, trouble, link), *ends), noticed=told)
    if _is_told(before, told):
        newcomers = everybody[len(stay) :]
        same = replace(before, channels=everybody)
        return Notice(words=_words(situation, newcomers, same, trouble, link), noticed=same)
    if situation.now < before.at + FLOOR and not _follows(before, told):
        return Notice(noticed=before, again_at=before.at + FLOOR)
    told = replace(told, channels=everybody)
    return Notice(words=_words(situation, everybody, told, trouble, link), noticed=told)


def _end(situation: Situation, memory: Memory, before: Noticed | None, link: str) -> Notice:
    if before is None or before.over:
        return Notice(noticed=before if before is not None and situation.now < before.at + FLOOR else None)
    gone = not situation.record.present
    if not (gone or memory.status.ready):
        return Notice(noticed=before)
    if not gone and before.commit == situation.desired.setting_commit and situation.now < before.at + FLOOR:
        return Notice(noticed=before, again_at=before.at + FLOOR)
    text = "no longer managed: its file is gone" if gone else memory.status.message
    reason = memory.status.reason
    told = replace(before, kind=Kind.RESOLVED.value, reason=reason, mark="", at=situation.now, over=True)
    over = Trouble(kind=Kind.RESOLVED, reason=reason, text=text, detail=text, mark=before.at.isoformat())
    return Notice(words=_words(situation, before.channels, told, over, link), noticed=told)


def _is_told(before: Noticed, told: Noticed) -> bool:
    """The same again; a fleet that was rolled back and is brought back once more is no news either."""
    same = (before.reason, before.commit, before.mark) == (told.reason, told.commit, told.mark)
    return same and (before.kind in {told.kind, Kind.ROLLED_BACK})


def _follows(before: Noticed, told: Noticed) -> bool:
    """The rollback of a failure that was told: once each, so it needs no floor."""
    ends = (before.kind, told.kind) == (Kind.FAILED, Kind.ROLLED_BACK)
    return ends and not before.over and before.mark == told.mark


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _words(
    situation: Situation, names: Sequence[str], told: Noticed, trouble: Trouble, link: str
) -> tuple[CommitStatus, ...]:
    """The same for each of these channels."""
    facts = {
        "kind": trouble.kind.value,
        "reason": trouble.reason.value,
        "detail": one_line(trouble.detail)[:DETAIL],
        "mark": trouble.mark or told.at.isoformat(),  # the same trouble, come again after its end, is news
    }
    state = STATES.get(trouble.kind, State.SUCCESS)
    return tuple(_word(situation, name, told.commit, state, trouble.text, facts, link) for name in names)


def _taken_over(situation: Situation, name: str, before: Noticed, stays: bool, link: str) -> CommitStatus:
    """The end of what was told of an earlier commit. Who is told what is wrong now needs no word."""
    if stays:
        text = f"told of {situation.desired.setting_commit[:7]} now"
        return _word(situation, name, before.commit, State.SUCCESS, text, {"kind": Kind.WITHDRAWN.value}, link)
    text = "what it is set to now is told to others: its owner has changed"
    over = Trouble(kind=Kind.RESOLVED, reason=before.reason, text=text, detail=text, mark=before.at.isoformat())
    (word,) = _words(situation, (name,), before, over, link)
    return word


def _word(
    situation: Situation, name: str, commit: Sha, state: State, text: str, facts: Mapping[str, str], link: str
) -> CommitStatus:
    return CommitStatus(
        repository=f"notify-{name}",
        commit=commit,
        context=situation.record.name,
        state=state,
        description=clip(text),
        target_url=link,
        at=situation.now,
        medium=Medium.NOTICE,
        body=json.dumps({**_about(situation), **facts}, sort_keys=True),
    )


def _about(situation: Situation) -> dict[str, str]:
    fleet = situation.desired.fleet
    return {
        "repository": situation.record.repository,
        "setting_commit": situation.desired.setting_commit,
        "environment": fleet.environment.name,
        "service": fleet.service,
        "owner": fleet.owner,
        "version": fleet.version,
    }


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
