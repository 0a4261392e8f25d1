"""What failed is not tried for ever: quarantines, and what a fleet is converged to because of them (DESIGN 3.5)."""

from dataclasses import replace
from datetime import datetime, timedelta

from desired_state.model import Digest, OnFailure, Setting
from reconciler.memory import Memory, Quarantine, Rollout
from reconciler.reasons import Reason
from reconciler.work import Release

EXPIRES_AFTER = timedelta(days=7)
NEEDS_A_PERSON = frozenset({Reason.DEPLOY_REFUSED})  # nothing is rolled back for these
PREEMPTIONS_IN_A_ROW = 3  # then a healthy rollout is let finish, so that frequent commits cannot starve a fleet


def quarantine(
    memory: Memory, release: Release, desired: Release, *, reason: Reason, message: str, now: datetime
) -> Memory:
    """Put the release aside for this fleet and end its rollout."""
    entry = Quarantine(
        target_digest=release.target_digest,
        spec_digest=release.fleet.spec_digest,
        setting_commit=desired.setting_commit,
        version=release.fleet.version,
        reason=reason,
        message=message,
        since=now,
        until=now + EXPIRES_AFTER,
        refused=reason in NEEDS_A_PERSON,
    )
    return replace(memory, quarantines=(*memory.quarantines, entry), rollout=None)


def lift(memory: Memory, desired: Release, now: datetime) -> Memory:
    """Drop quarantines that a newer setting commit, a changed spec or time has lifted."""
    kept = tuple(
        entry
        for entry in memory.quarantines
        if entry.setting_commit == desired.setting_commit
        and (entry.target_digest != desired.target_digest or entry.spec_digest == desired.fleet.spec_digest)
        and (entry.until is None or now < entry.until)
    )
    return memory if kept == memory.quarantines else replace(memory, quarantines=kept)


def quarantined(memory: Memory, digest: Digest) -> Quarantine | None:
    """The quarantine that stands against that target, if any."""
    return next((entry for entry in memory.quarantines if entry.target_digest == digest), None)


def choose_target(memory: Memory, desired: Release, setting: Setting) -> Release | None:
    """What the fleet is converged to now: desired, last good, or None: it stays where it stands."""
    if memory.rollout is not None and _protected(memory, memory.rollout, setting):
        return memory.rollout.release
    failed = quarantined(memory, desired.target_digest)
    if failed is None:
        return desired
    good = memory.last_good
    if failed.refused or good is None or desired.fleet.policy.on_failure is OnFailure.HOLD:
        return None
    if memory.irreversible:
        return None  # the last good release came before what cannot be undone
    if quarantined(memory, good.target_digest):
        return None
    return Release(fleet=good.fleet, setting_commit=desired.setting_commit)


def _protected(memory: Memory, rollout: Rollout, setting: Setting) -> bool:
    superseded = rollout.release.target_digest != setting.target_digest
    healthy = not rollout.failing and not setting.reverts
    return superseded and healthy and memory.preemptions >= PREEMPTIONS_IN_A_ROW
