"""What the reconciler remembers of a fleet from pass to pass. All of it can be lost (DESIGN 6)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from desired_state.model import Component, Digest, Sha, Version
from reconciler.observed import Unit, UnitId
from reconciler.reasons import Reason
from reconciler.work import Kind, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """One unit that could not be brought to a release: it is left alone for a while.

    Either the fleet ran the release well and the unit could not be healed to it, or the rollout left it behind.
    """

    unit: UnitId
    target_digest: Digest
    tries: int  # that failed
    until: datetime
    given_up: bool  # tried as often as may be: the next try is long off
    reason: Reason
    message: str
    allowed: int = 0  # how many units the rollout that left it behind might lose; 0: it was healed, or is not judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """All intents towards one target digest, and how far they are. It keeps the spec that it began with."""

    release: Release
    kind: Kind
    started_at: datetime
    reverts: tuple[Sha, ...] = ()
    wave: int = 1  # the wave in work, from 1
    members: tuple[UnitId, ...] = ()  # stored when the wave starts; empty: not started
    soak_until: datetime | None = None  # set when every member is at the target and healthy
    unwell_since: datetime | None = None  # members are at the target and not healthy, and nothing is in flight
    failures: Mapping[UnitId, int] = field(default_factory=dict)  # of the target itself, by unit
    setbacks: int = 0  # of the road to it, in a row
    retry_at: datetime | None = None
    moved: tuple[UnitId, ...] = ()  # units on which something was started
    left_behind: tuple[Rest, ...] = ()  # given up for this rollout, within what the wave tolerates
    reached: int = 0  # the most units that were at the release and healthy at once
    idle: timedelta = timedelta(0)  # without progress, before `idle_since`
    idle_since: datetime | None = None  # the clock of the deadline runs since then; None: it stands
    lacking: str = ""  # what the last setback waits for, as a sentence; empty: it was another kind of setback
    notes: Mapping[UnitId, str] = field(default_factory=dict)  # of the work that succeeded: see `Outcome.note`

    @property
    def failing(self) -> bool:
        """True once the target itself failed on a unit."""
        return bool(self.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The last rollout that reached its end: what success is said with."""

    target_digest: Digest
    setting_commit: Sha
    kind: Kind
    version: str
    units: int  # at the release and healthy
    took: timedelta | None  # None: it was there already
    at: datetime
    behind: int = 0  # units that are not
    note: str = ""  # how it came about: "as ami-0abc baked in staging", "by enabling v041 (+1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """This fleet failed at this target. It counts while the setting commit and spec are what they were."""

    target_digest: Digest
    spec_digest: Digest
    setting_commit: Sha  # of the desired release at the time
    version: str
    reason: Reason
    message: str
    since: datetime
    until: datetime | None
    refused: bool = False  # a person is needed (bad configuration): nothing is rolled back


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One healed unit and component, kept for a day to see whether something fights us."""

    unit: UnitId
    component: Component
    have: Version | None
    at: datetime


class ConditionType(StrEnum):
    """Ready is always there; the others are present only while they are true (Healthy: while known)."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    HELD = "Held"
    STALLED = "Stalled"
    HEALTHY = "Healthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One fact about a fleet. `status` is True, False or None for unknown."""

    type: ConditionType
    status: bool | None
    reason: Reason
    message: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Where a fleet stands, for people and for the next pass."""

    conditions: tuple[Condition, ...] = ()
    target_digest: Digest | None = None  # what the fleet is converged to now
    setting_commit: Sha | None = None
    version: str = ""  # the target's, as people say it
    diverted: bool = False  # target is not the desired state
    units: tuple[Unit, ...] = ()
    reason: Reason = Reason.UNKNOWN
    message: str = ""
    until: datetime | None = None
    leftovers: tuple[str, ...] = ()  # what of earlier deploys still stands, as sentences

    def condition(self, kind: ConditionType) -> Condition | None:
        """The condition of that type, or None where it is absent."""
        return next((condition for condition in self.conditions if condition.type is kind), None)

    @property
    def ready(self) -> bool:
        """At the desired version, healthy and soaked."""
        condition = self.condition(ConditionType.READY)
        return condition is not None and condition.status is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A further place on which a word about a setting commit stands (`audience.py`)."""

    setting_commit: Sha
    commit: str  # there: a tag of the service's own repository, or the setting commit again
    project: str = ""  # the service's own repository; empty: the forge's record of deployments
    open: bool = True  # the word there is pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """What people were told last of the fleet (`notices.py`)."""

    kind: str
    reason: Reason
    commit: Sha  # the setting commit that it was told about
    mark: str  # tells two troubles of the same reason apart
    at: datetime
    over: bool = False
    channels: tuple[str, ...] = ()  # names of those who were told, and are told the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What the reconciler itself remembers of a fleet from pass to pass. It can be lost (DESIGN 6)."""

    first_seen: Sha | None = None  # the setting commit at first sight; a newer one adopts the fleet
    adopted: bool = False
    identity: Digest | None = None  # the account, regions, selector and type that were approved
    last_good: Release | None = None
    rollout: Rollout | None = None
    quarantines: tuple[Quarantine, ...] = ()
    attempts: Mapping[str, int] = field(default_factory=dict)  # highest attempt spent, by intent base key
    repairs: tuple[Repair, ...] = ()
    rests: tuple[Rest, ...] = ()
    finished: Finished | None = None
    proven: tuple[Digest, ...] = ()  # targets that finished here, newest first: going back to one needs no canary
    preemptions: int = 0
    rewritten: Sha | None = None  # the setting commit that a force-push brought; held until approved
    prepared: tuple[Digest, ...] = ()  # targets whose before step succeeded here, newest first
    irreversible: Version = ""  # whose before step cannot be undone and has begun since `last_good` was; empty: none
    unbegun: bool = False  # that step was asked for, and nobody has heard that it began
    unreached: tuple[
        UnitId, ...
    ] = ()  # set aside when the others came to `last_good`: it has yet to be brought to them
    followed: tuple[Followed, ...] = ()  # oldest first
    noticed: Noticed | None = None
    status: Status = field(default_factory=Status)
