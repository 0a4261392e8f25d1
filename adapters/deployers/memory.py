"""A deployer over a fleet that lives in memory: for tests, rehearsals, and as the smallest example of the port.

It passes the same contract suite as the real ones. Executions stand still until `finish` or `fail` moves them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from desired_state.durations import parse_duration
from desired_state.model import Fleet
from reconciler.observed import Observed, Snapshot, Snapshots, Unit, Wave
from reconciler.ports import Clock, Lease, Unreadable
from reconciler.reasons import Reason
from reconciler.work import Before, Failure, Intent, Outcome, Phase, Standing

FEED = "memory"


class MemorySettings(BaseModel):
    """Nothing needs to be said of a fleet in memory but which units make it up, wave by wave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    select: dict[str, str] = {}
    waves: tuple[tuple[str, ...], ...] = ()
    soak: str = "0s"
    at_once: int | None = None
    before: dict[str, bool] | None = None  # {irreversible: true}
    tolerated: int = 0
    deadline: str | None = None


@dataclass(slots=True, kw_only=True)
class Place:
    """One unit of the world in memory."""

    components: Mapping[str, str] = field(default_factory=dict)
    healthy: bool = True
    running: bool = True
    unheard: bool = False
    joining: bool = False  # it boots, and serves nobody yet


@dataclass(slots=True, kw_only=True)
class Execution:
    """One piece of work of the other system in memory."""

    intent: Intent
    status: str = "RUNNING"  # RUNNING, SUCCEEDED, FAILED, CANCELED
    message: str = ""
    failure: Failure = Failure.UNHEALTHY  # once FAILED
    reason: Reason = Reason.HEALTH_CHECK_FAILED


class InMemory:
    """Implements `reconciler.ports.Deployer`."""

    settings_model = MemorySettings
    lacks = ""  # a test may say what

    def __init__(self, clock: Clock, units: Iterable[str] = ()) -> None:
        self._clock = clock
        self.places: dict[str, Place] = {unit: Place(running=False, healthy=False) for unit in units}
        self.executions: dict[str, Execution] = {}
        self.started: list[str] = []  # keys, in order: what a test judges by
        self.refuses: set[str] = set()  # versions that are refused as bad configuration
        self.unreadable = ""  # a sentence: every fresh read fails with it
        self.away: tuple[str, timedelta | None] | None = None  # what starts things is away: the sentence, when again
        self.waits = ""  # what every execution under way waits for
        self.standing: Standing | None = None  # what units were last told to run
        self.renewed = 0  # how often the last word was to be kept alive where nothing new may be said
        self.unwritable = ""  # a sentence: nothing can be told to units
        self.unreachable = ""  # a sentence: no start comes through, and nobody knows whether it did
        self.foreign = ""  # a sentence: what somebody else has under way

    # ── what a person or a fault does to the world ──

    def run(self, unit: str, components: Mapping[str, str], *, healthy: bool = True, unheard: bool = False) -> None:
        """Put these components on a unit, outside any execution."""
        self.places[unit] = Place(components=dict(components), healthy=healthy, unheard=unheard)

    def finish(self, *, healthy: bool = True) -> None:
        """Every running execution succeeds: its unit runs what it asked for."""
        for execution in self._running():
            execution.status = "SUCCEEDED"
            if not execution.intent.is_before:
                self.run(execution.intent.unit, execution.intent.fleet.components, healthy=healthy)

    def fail(self, message: str = "2 of 2 instances are unhealthy") -> None:
        """Every running execution fails; its unit is left running two versions."""
        for execution in self._running():
            execution.status, execution.message = "FAILED", message
            if not execution.intent.is_before:
                self.places[execution.intent.unit] = Place(components={}, healthy=False)

    def lose(self, unit: str) -> None:
        """The unit is terminated, and whatever ran on it has ended."""
        del self.places[unit]
        for execution in self.executions.values():
            if execution.intent.unit == unit and execution.status in {"RUNNING", "CANCELING", "STUCK"}:
                execution.status, execution.message = "CANCELED", f"{unit} is gone"

    def stick(self) -> None:
        """Every running execution is past its deadline and does not end."""
        for execution in self._running():
            execution.status, execution.message = "STUCK", "it is past its deadline; end it in the other system"

    def end_canceled(self) -> None:
        """Every execution that was asked to end is seen ended."""
        for execution in self.executions.values():
            if execution.status == "CANCELING":
                execution.status = "CANCELED"

    def _running(self) -> list[Execution]:
        return [execution for execution in self.executions.values() if execution.status == "RUNNING"]

    # ── the port ──

    def validate(self, fleet: Fleet) -> Iterable[str]:
        """Everything is right in memory."""
        return ()

    def refresh(self, fleet: Fleet, work: Sequence[Outcome], known: Snapshots) -> Snapshots:
        """The world as it is."""
        if self.unreadable:
            raise Unreadable(self.unreadable)
        units = {
            name: {
                "components": dict(place.components),
                "healthy": place.healthy,
                "running": place.running,
                "unheard": place.unheard,
                "joining": place.joining,
            }
            for name, place in sorted(self.places.items())
        }
        executions = {
            key: {
                "status": execution.status,
                "message": execution.message,
                "failure": execution.failure,
                "reason": execution.reason,
            }
            for key, execution in self.executions.items()
        }
        if self.away and work:
            trouble = Unreadable(self.away[0])
            trouble.reason, trouble.retry_in = Reason.GATE_UNREACHABLE, self.away[1]
            raise trouble
        body: dict[str, Any] = {"units": units, "executions": executions, "foreign": self.foreign}
        return {FEED: Snapshot(feed=FEED, body=body, read_at=self._clock.now())}

    def observe(self, fleet: Fleet, snapshots: Snapshots) -> Observed:
        """The units of the snapshot."""
        if FEED not in snapshots:
            return Observed(units=(), missing=(FEED,))
        found: dict[bool, list[Unit]] = {False: [], True: []}
        for name, facts in snapshots[FEED].body["units"].items():
            joining = bool(facts.get("joining"))
            unit = Unit(id=name, **{fact: value for fact, value in facts.items() if fact != "joining"})
            found[joining].append(unit)
        asleep = fleet.asleep
        sentence, retry_in = self.away or ("", None)
        return Observed(
            units=tuple(unit for unit in found[False] if unit.id not in asleep),
            aside=tuple(unit for unit in found[False] if unit.id in asleep),
            joining=tuple(found[True]),
            read_at=snapshots[FEED].read_at,
            foreign=snapshots[FEED].body.get("foreign", ""),
            out_of_reach=sentence,
            retry_in=retry_in,
        )

    def waves(self, fleet: Fleet, observed: Observed) -> tuple[Wave, ...]:
        """The waves of the settings; none given: one over everything."""
        waves = fleet.deploy.get("waves") or (tuple(unit.id for unit in observed.units),)
        soak = parse_duration(str(fleet.deploy.get("soak", "0s")))
        deadline = fleet.deploy.get("deadline")
        limits: dict[str, Any] = {
            "at_once": fleet.deploy.get("at_once"),
            "tolerated": fleet.deploy.get("tolerated", 0),
            "deadline": parse_duration(str(deadline)) if deadline else None,
        }
        return tuple(Wave(units=tuple(units), soak=soak, **limits) for units in waves)

    def before(self, fleet: Fleet) -> Before | None:
        """The step of the settings."""
        step = fleet.deploy.get("before")
        return Before(**step) if step is not None else None

    def running(self, fleet: Fleet, prefix: str) -> Mapping[str, str]:
        """Executions that have not ended."""
        if self.unreadable:
            raise Unreadable(self.unreadable)
        alive = {"RUNNING", "CANCELING", "STUCK"}
        found = ((key, execution.status) for key, execution in self.executions.items())
        return {key: key for key, status in found if status in alive and key.startswith(prefix)}

    def start(
        self, intents: Sequence[Intent], standing: Standing, snapshots: Snapshots, lease: Lease
    ) -> Iterator[Outcome]:
        """The same key again is the same execution."""
        del snapshots
        self.standing = standing
        for intent in intents:
            yield self._start(intent, lease)

    def _start(self, intent: Intent, lease: Lease) -> Outcome:
        if intent.fleet.version in self.refuses:
            said = f"no pipeline deploys {intent.fleet.version}"
            return Outcome(
                intent=intent,
                phase=Phase.FAILED,
                message=said,
                failure=Failure.REFUSED,
                reason=Reason.DEPLOY_REFUSED,
            )
        if self.unreachable:
            return Outcome(
                intent=intent, phase=Phase.INTENDED, message=self.unreachable, reason=Reason.GATE_UNREACHABLE
            )
        known = self.executions.get(intent.key)
        if known is not None and known.status != "RUNNING":
            return Outcome(intent=intent, phase=Phase.USED_UP, ticket=intent.key)
        if known is None:
            lease.check()
            self.started.append(intent.key)
            self.executions[intent.key] = Execution(intent=intent)
        return Outcome(intent=intent, phase=Phase.RUNNING, ticket=intent.key)

    def check(self, outcome: Outcome, snapshots: Snapshots, now: datetime) -> Outcome:
        """Where the execution stands in the snapshot."""
        if FEED not in snapshots:
            return outcome
        known = snapshots[FEED].body["executions"].get(outcome.intent.key)
        if known is None:
            return _unseen(outcome, snapshots[FEED], now)
        return replace(_as_seen(outcome, known), waits=self.waits)

    def abort(
        self, outcomes: Sequence[Outcome], standing: Standing | None, snapshots: Snapshots, lease: Lease
    ) -> Iterator[Outcome]:
        """Asked to end; `end_canceled` lets the end be seen."""
        del snapshots
        self.standing = standing
        for outcome in outcomes:
            yield self._abort(outcome, lease)

    def uphold(self, fleet: Fleet, standing: Standing | None, snapshots: Snapshots, lease: Lease) -> str:
        """The last word given is remembered; `unwritable` is what keeps it from being given."""
        del fleet, snapshots
        lease.check()
        self.renewed += standing is None
        if standing is not None and not self.unwritable:
            self.standing = standing
        return self.unwritable

    def _abort(self, outcome: Outcome, lease: Lease) -> Outcome:
        lease.check()
        execution = self.executions.get(outcome.intent.key)
        if execution is not None and execution.status == "RUNNING":
            execution.status = "CANCELING"
        return replace(outcome, phase=Phase.ABORTING)


def _unseen(outcome: Outcome, snapshot: Snapshot, now: datetime) -> Outcome:
    """Nobody knows of it: of a unit that is gone nothing can come; past its deadline nothing is waited for."""
    unit = outcome.intent.unit
    if unit not in snapshot.body["units"] and not outcome.intent.is_before:
        return replace(outcome, phase=Phase.ABORTED, message=f"{unit} is gone")
    if outcome.phase is Phase.INTENDED and now >= outcome.intent.deadline:
        said = f"nothing was started on {unit} before the deadline"
        late = replace(outcome, phase=Phase.FAILED, failure=Failure.TRANSIENT, message=said)
        return replace(late, reason=Reason.DEADLINE_EXCEEDED)
    return outcome


def _as_seen(outcome: Outcome, known: Mapping[str, Any]) -> Outcome:
    found = replace(outcome, ticket=outcome.intent.key, message=known["message"])
    under_way = Phase.ABORTING if outcome.phase is Phase.ABORTING else Phase.RUNNING
    match known["status"]:
        case "SUCCEEDED":
            return replace(found, phase=Phase.SUCCEEDED)
        case "FAILED":
            return replace(found, phase=Phase.FAILED, failure=known["failure"], reason=known["reason"])
        case "STUCK":
            return replace(found, phase=under_way, reason=Reason.EXECUTION_STUCK)
        case "CANCELED":
            return replace(found, phase=Phase.ABORTED)
        case _:
            return replace(found, phase=under_way)
