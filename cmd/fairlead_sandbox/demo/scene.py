"""What there is to see at one moment, read as a person would: the ledger, and the notes of the git server."""

import os
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from adapters.forges.git_notes import REF, Line, Note
from adapters.ledger.store import Store
from fairlead_sandbox.surroundings import inherited
from reconciler.memory import ConditionType
from reconciler.observed import Unit
from reconciler.ports import Clock
from reconciler.reasons import Reason
from reconciler.record import Record

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
class CommitView:
    """A commit of `main` with the statuses in its note, newest first."""

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


def look(ledger: Store, repository: Path, clock: Clock) -> Scene:
    """What the ledger and the repository on the git server say now."""
    now = clock.now()
    fleets = tuple(_fleet(record, now) for record in ledger.fleets() if record.present)
    return Scene(fleets=fleets, commits=_commits(repository))


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


def _commits(repository: Path) -> tuple[CommitView, ...]:
    shape = ("--first-parent", f"--max-count={COMMITS}", "--no-notes", f"--notes={REF}", "--format=%H%x00%s%x00%N%x00")
    said = git(repository, "log", *shape, "main", "--").split("\0")
    found = zip(said[0::3], said[1::3], said[2::3], strict=False)
    return tuple(CommitView(sha=sha.strip(), subject=subject, lines=_lines(note)) for sha, subject, note in found)


def _lines(note: str) -> tuple[Line, ...]:
    lines = sorted(Note.parse(note).lines.values(), key=lambda line: line.context)
    return tuple(sorted(lines, key=lambda line: line.at, reverse=True))


def git(folder: Path, *args: str) -> str:
    """Standard output of a git command in a folder. Raises RuntimeError with git's words."""
    done = subprocess.run(
        ["git", *args], cwd=folder, env={**inherited(), **_QUIET}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"git {args[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
