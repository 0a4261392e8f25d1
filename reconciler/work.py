"""What is done: releases, intents, outcomes, plans. The same key is never two pieces of work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from desired_state.model import Digest, Fleet, Sha
from reconciler.observed import UnitId
from reconciler.reasons import Reason

BEFORE: UnitId = "before"  # the unit id of the step before a version; no observed unit has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A spec that a fleet is, was or shall be converged to, and the commit that set it."""

    fleet: Fleet
    setting_commit: Sha

    @property
    def target_digest(self) -> Digest:
        """The digest over what runs."""
        return self.fleet.target_digest


class Kind(StrEnum):
    """Why a rollout runs."""

    DEPLOY = "deploy"
    REVERT = "revert"  # a deploy whose setting commit restores a target that was good here before
    ROLLBACK = "rollback"  # back to the last good release because the desired one failed
    HEAL = "heal"  # the fleet left a target that nobody changed


class Phase(StrEnum):
    """Where an intent stands."""

    INTENDED = "intended"  # written down; nothing is known of the other system yet
    RUNNING = "running"
    ABORTING = "aborting"  # asked to end, not yet seen ended
    SUCCEEDED = "succeeded"  # the world runs it, healthy
    FAILED = "failed"
    ABORTED = "aborted"
    USED_UP = "used_up"  # an earlier life's attempt, found finished: only its number is spent

    @property
    def ended(self) -> bool:
        """True when nothing of it can still act on the world."""
        return self in {Phase.SUCCEEDED, Phase.FAILED, Phase.ABORTED, Phase.USED_UP}


class Failure(StrEnum):
    """What kind of failure an ended intent met; decides between retry, stall and quarantine."""

    NONE = "none"
    UNHEALTHY = "unhealthy"  # the target itself: bounded attempts, then quarantine
    REFUSED = "refused"  # bad configuration (no such pipeline, not allowed): stall until the spec changes
    TRANSIENT = "transient"  # the road, not the target (a superseded run): tried again, backed off


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """An action on one unit, written down before it is started.

    The key is unique over all time: repository, fleet, setting commit and target digest (the identity), then wave,
    unit and attempt. The same key is never two pieces of work.
    """

    key: str
    fleet: Fleet  # the spec the rollout began with
    repository: str
    setting_commit: Sha
    unit: UnitId
    wave: int  # from 1
    attempt: int  # from 1
    kind: Kind
    created_at: datetime
    settle_at: datetime  # a start whose fate is unknown may be repeated only after this
    deadline: datetime  # after this it is failed, whatever the other system says
    starts: int = 0  # how often `start` was about to be called
    failed: int = 0  # how often the release has failed on the unit before, on this way to it

    @property
    def is_before(self) -> bool:
        """Whether it is the step before a version, which runs on behalf of all units; see `before`."""
        return self.unit == BEFORE

    @property
    def told(self) -> str:
        """For people: `deploy 1.4.2 on i-1, wave 1, attempt 2`."""
        if self.is_before:
            return f"before step of {self.fleet.version}, attempt {self.attempt}"
        return f"{self.kind} {self.fleet.version} on {self.unit}, wave {self.wave}, attempt {self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where an intent stands. `ticket` is the other system's id of it."""

    intent: Intent
    phase: Phase
    ticket: str | None = None
    message: str = ""
    failure: Failure = Failure.NONE
    reason: Reason | None = None
    since: datetime | None = None  # when this phase was first seen
    waits: str = ""  # what it waits for in the other system, where a person is to know
    note: str = ""  # of a success, how it came about, to go on with a version: "by enabling v041"


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What a fleet's spec says of a step before a version, as far as it decides anything here."""

    irreversible: bool = False  # nothing goes back by itself once it has begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The step before a version that is to run as of this pass. Without a `ticket` it was not started yet."""

    intent: Intent
    ticket: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the fleet's units are to run as of this pass: admitted units the target, all others the base.

    A deployer whose units look for themselves (orders in S3) publishes it; one that pushes needs none of it.
    """

    target: Release
    base: Release | None = None  # None: units that are not admitted stay as they are
    admitted: frozenset[UnitId] | None = None  # None: all, joiners too
    attempts: Mapping[UnitId, int] = field(default_factory=dict)  # of the target, by admitted unit; left out: 1
    rejected: tuple[Digest, ...] = ()  # targets that failed in this fleet
    before: Step | None = None  # towards the target, on behalf of all units


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A guard's answer: why drift is left alone, and when that clears where it is known."""

    reason: Reason
    message: str
    until: datetime | None = None
    stalled: bool = False  # only a person or a commit can clear it
    error: bool = False  # Fairlead cannot decide: the status is `error`, not `pending`


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a pass does: what to end, what to start, or the hold that says why neither."""

    starts: tuple[Intent, ...] = ()
    aborts: tuple[Outcome, ...] = ()
    hold: Hold | None = None
    standing: Standing | None = None  # None: nothing may be said of what units run (not adopted, only observing)

    @property
    def acts(self) -> bool:
        """True when the pass will reach out into the world."""
        return bool(self.starts or self.aborts)
