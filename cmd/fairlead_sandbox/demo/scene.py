"""What there is to see at one moment, read as a person would: the ledger, and the statuses on the forge."""

import os
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from adapters.ledger.store import Store
from fairlead_sandbox.forge import Person, Said
from fairlead_sandbox.surroundings import inherited
from reconciler.memory import ConditionType
from reconciler.observed import Unit
from reconciler.ports import Clock
from reconciler.reasons import Reason
from reconciler.record import Record, State

COMMITS = 12  # the newest ones of `main` that are looked at
MIXED = "mixed"  # what a unit runs that has no single version in service
_QUIET = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
_STANDING = (ConditionType.STALLED, ConditionType.HELD, ConditionType.RECONCILING)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitView:
    """One unit of a fleet: a cluster in a region, or a host."""

    name: str
    runs: str
    healthy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """One row of the table. `seconds` is how long the rollout in progress, else the last one, took."""

    name: str
    wants: str
    runs: str
    stands: str  # a condition's name
    ready: bool
    healthy: bool
    reason: Reason
    sentence: str
    seconds: float | None
    units: tuple[UnitView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The newest status under a context, as the forge has it. `at` is aware UTC in whole seconds."""

    state: State
    context: str
    description: str
    at: datetime

    @classmethod
    def of(cls, said: Said) -> "Line":
        """What the forge said."""
        return cls(state=State(said.state), context=said.context, description=said.description, at=said.at)

    def __str__(self) -> str:
        return f"{self.state:<7}  {self.context}  {self.description}  ({self.at:%Y-%m-%dT%H:%M:%SZ})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitView:
    """A commit of `main` with its statuses, newest first."""

    sha: str
    subject: str
    lines: tuple[Line, ...]

    @property
    def short(self) -> str:
        """As people write it."""
        return self.sha[:7]

    def status(self, context: str) -> Line | None:
        """The status under a context, None where nothing was said."""
        return next((line for line in self.lines if line.context == context), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All of it; commits newest first."""

    fleets: tuple[FleetView, ...]
    commits: tuple[CommitView, ...]

    def fleet(self, name: str) -> FleetView | None:
        """The row of that name."""
        return next((fleet for fleet in self.fleets if fleet.name == name), None)

    def commit(self, sha: str) -> CommitView | None:
        """The commit of that id."""
        return next((commit for commit in self.commits if commit.sha == sha), None)


def look(ledger: Store, commits: tuple[CommitView, ...], clock: Clock) -> Scene:
    """What the ledger says now, beside what is said on commits."""
    now = clock.now()
    return Scene(fleets=tuple(_fleet(record, now) for record in ledger.fleets() if record.present), commits=commits)


def newest(repository: Path, person: Person) -> tuple[CommitView, ...]:
    """The newest commits of `main` with what the forge shows on them now, newest first."""
    said = git(repository, "log", "--first-parent", f"--max-count={COMMITS}", "--format=%H %s", "main", "--")
    found = (line.partition(" ") for line in said.splitlines())
    return tuple(CommitView(sha=sha, subject=subject, lines=statuses(person, sha)) for sha, _, subject in found)


def statuses(person: Person, sha: str) -> tuple[Line, ...]:
    """What the forge shows on a commit, newest first."""
    return tuple(Line.of(said) for said in person.statuses(sha))


def _fleet(record: Record, now: datetime) -> FleetView:
    status = record.memory.status
    return FleetView(
        name=record.name,
        wants=record.desired.version if record.desired else "",
        runs=", ".join(dict.fromkeys(_runs(unit) for unit in status.units)),
        stands=_stands(record),
        ready=status.ready,
        healthy=all(unit.healthy for unit in status.units),
        reason=status.reason,
        sentence=status.message,
        seconds=_seconds(record, now),
        units=tuple(UnitView(name=str(unit.id), runs=_runs(unit), healthy=unit.healthy) for unit in status.units),
    )


def _runs(unit: Unit) -> str:
    versions = sorted(version for name, version in unit.components.items() if name.startswith("package/"))
    return " ".join(versions) or MIXED


def _stands(record: Record) -> str:
    status = record.memory.status
    if status.ready:
        return "Ready"
    true = (kind.value for kind in _STANDING if status.condition(kind) is not None)
    return next(true, "Diverted" if status.diverted else "Waiting")


def _seconds(record: Record, now: datetime) -> float | None:
    rollout, finished = record.memory.rollout, record.memory.finished
    if rollout is not None:
        return (now - rollout.started_at).total_seconds()
    return finished.took.total_seconds() if finished is not None and finished.took is not None else None


def git(folder: Path, *args: str) -> str:
    """Standard output of a git command in a folder. Raises RuntimeError with git's words."""
    done = subprocess.run(
        ["git", *args], cwd=folder, env={**inherited(), **_QUIET}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"git {args[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
