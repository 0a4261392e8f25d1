"""What a pass begins with and what it leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from desired_state.model import Fleet, FleetName, Problem, Setting, Sha
from reconciler.memory import Memory
from reconciler.observed import Drift, Observed, Snapshots, Wave
from reconciler.reasons import Reason
from reconciler.work import Before, Outcome, Release


class Ask(StrEnum):
    """What a person asked for outside Git. None of them changes desired state."""

    ADOPT = "adopt"
    RETRY = "retry"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One ask, kept until a pass has acted on it."""

    id: int
    ask: Ask
    by: str
    at: datetime


class State(StrEnum):
    """The four states of a commit status."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


class Medium(StrEnum):
    """In what form a word is shown."""

    STATUS = "status"  # on a commit, under a context
    COMMENT = "comment"  # the one comment of ours on a pull request: `commit` is `pull/7`, `body` is Markdown
    DEPLOYMENT = "deployment"  # a forge's own record of deploys: `context` is `prod/checkout`
    NOTICE = "notice"  # to people: `repository` is `notify-<channel>`


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    """What is said on a commit under one context. The description fits 140 characters.

    `project` names another repository at the same forge (`acme/checkout`); there `commit` may be a tag, as
    `refs/tags/v1.4.2`, until it is delivered.
    """

    repository: str
    commit: Sha
    context: str  # fairlead/prod/checkout
    state: State
    description: str
    target_url: str = ""
    at: datetime | None = None
    medium: Medium = Medium.STATUS
    project: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """All that the ledger knows of one fleet when a pass begins."""

    name: FleetName
    repository: str
    desired: Fleet | None  # the last good spec in Git; None: there never was one
    setting: Setting | None
    revision: Sha  # the head that this was read at
    generation: int
    present: bool  # its file is in Git at that head
    problems: tuple[Problem, ...]  # what is wrong with its files there
    memory: Memory
    version: int  # the row's, for fencing
    work: tuple[Outcome, ...] = ()  # not ended
    snapshots: Snapshots = field(default_factory=dict)
    requests: tuple[Request, ...] = ()
    statuses: tuple[CommitStatus, ...] = ()  # this fleet's own context, newest word a commit: all open, and the newest
    trouble: Mapping[str, str] = field(default_factory=dict)  # feed name to what keeps it from reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything a decision is made from. Guards and plans are pure functions of it."""

    record: Record
    memory: Memory  # after what the work in flight taught
    desired: Release
    target: Release | None  # None: the fleet stays where it stands
    observed: Observed
    drift: Drift  # against the target; against the desired release where there is no target
    waves: tuple[Wave, ...]  # of the rollout in progress, else of the one that the drift would begin
    work: tuple[Outcome, ...]  # everything that was in flight when the pass began, checked
    now: datetime
    trouble: str = ""  # why nothing could be read, as a sentence
    observe_only: bool = False
    lacks: str = ""  # what keeps the deployer from acting at all, as a sentence; then the fleet is only observed
    before: Before | None = None  # the step that the release in work has before its first wave
    trouble_reason: Reason = Reason.OBSERVATION_FAILED
    retry_in: timedelta | None = None  # when another look may find the other system there again

    @property
    def in_flight(self) -> tuple[Outcome, ...]:
        """The work that can still act on the world; not on units set aside, which goes on by itself."""
        aside = {unit.id for unit in self.observed.aside}
        return tuple(each for each in self.work if not each.phase.ended and each.intent.unit not in aside)

    @property
    def strangers(self) -> tuple[Outcome, ...]:
        """Work in flight towards something that is not the target any more, or on machines that are not the fleet's."""
        wanted = self.target.target_digest if self.target else None
        return tuple(
            outcome
            for outcome in self.in_flight
            if outcome.intent.fleet.target_digest != wanted or not self.is_here(outcome)
        )

    def is_here(self, outcome: Outcome) -> bool:
        """False for work where the fleet was before its account, regions, selector or type changed."""
        return outcome.intent.fleet.identity_digest == self.desired.fleet.identity_digest

    @property
    def stuck(self) -> Outcome | None:
        """Work past its deadline that may still act on the world: nothing may be started beside it."""
        return next((outcome for outcome in self.in_flight if outcome.reason is Reason.EXECUTION_STUCK), None)

    @property
    def heeded(self) -> tuple[Request, ...]:
        """The requests that end with this pass: adopting needs to see what runs; a fleet that is gone needs none."""
        blind = self.trouble or self.observed.missing
        return () if blind and self.record.present else self.record.requests

    @property
    def diverted(self) -> bool:
        """The fleet is converged to something that is not the desired state."""
        return self.target is None or self.target.target_digest != self.desired.target_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a fleet's history: what was decided or done, for the append-only log."""

    kind: str  # "rollout-started", "intent", "quarantined", ...
    message: str
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What a pass leaves behind: written in one transaction, or not at all."""

    record: Record
    memory: Memory
    work: tuple[Outcome, ...]  # every intent that is open or ended in this pass
    statuses: tuple[CommitStatus, ...]
    events: tuple[Event, ...]
    requests_done: tuple[int, ...] = ()
    again_at: datetime | None = None  # when to look again; None: only when something changes
