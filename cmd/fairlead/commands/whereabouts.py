"""Where a version runs: one row an environment out of what the ledger knows of a fleet. Pure."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from desired_state.model import Fleet, Sha
from fairlead.commands.views import wanted
from reconciler.observed import Unit
from reconciler.record import Record


class Stand(StrEnum):
    """How an environment stands to a version."""

    RUNNING = "running"  # on every unit
    PARTLY = "partly"  # on some of them
    TARGET = "target"  # it is to run there, and does not yet
    FAILED = "failed"  # it failed there, and does not run
    LATER = "later"  # it was set there, and another one came after it
    ABSENT = "not there"  # as far as is known it never was set there


@dataclass(frozen=True, slots=True, kw_only=True)
class Departed:
    """A version was set in an environment and is not any more: by which commit it went, and when."""

    commit: Sha
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What is looked for: versions of a service, for all environments or for some of them by name."""

    versions: frozenset[str]
    by_environment: dict[str, frozenset[str]] = field(default_factory=dict)
    commit: Sha = ""  # that was asked for, or set them
    notes: tuple[str, ...] = ()  # what people should know of the answer

    def of(self, environment: str) -> frozenset[str]:
        """The versions that are looked for there."""
        return self.by_environment.get(environment, self.versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """One environment's answer."""

    environment: str
    fleet: str
    stand: Stand
    version: str  # that runs there, or is to
    units_at: int
    units: int
    since: datetime | None
    setting_commit: Sha
    message: str


Past = Callable[[Record, Collection[str]], Departed | None]


def whereabouts(record: Record, sought: Sought, past: Past) -> Whereabouts:
    """How one fleet stands to what is looked for. `past` knows what was set there before; it is asked last."""
    versions = sought.of(record.name.partition("/")[0])
    units = record.memory.status.units
    here = [unit for unit in units if _runs(unit) & versions]
    stand, since, commit, message = _stand(record, versions, here, past)
    return Whereabouts(
        environment=record.name.partition("/")[0],
        fleet=record.name,
        stand=stand,
        version=_present(record, here, versions),
        units_at=len(here),
        units=len(units),
        since=since,
        setting_commit=commit,
        message=message,
    )


def _stand(
    record: Record, versions: frozenset[str], here: Sequence[Unit], past: Past
) -> tuple[Stand, datetime | None, Sha, str]:
    memory, setting = record.memory, record.setting.commit if record.setting else ""
    is_set = bool(versions_of(record.desired) & versions)
    why = "" if memory.status.ready else f"{memory.status.reason}: {memory.status.message}"
    if here:
        whole = len(here) == len(memory.status.units)
        return Stand.RUNNING if whole else Stand.PARTLY, _since(record, versions), _set_by(record, versions), why
    failed = next((each for each in memory.quarantines if each.version in versions and is_set), None)
    if failed is not None:
        return Stand.FAILED, failed.since, setting, f"it failed: {failed.message}"
    if is_set or memory.status.version in versions:
        return Stand.TARGET, memory.rollout.started_at if memory.rollout else None, setting, why
    departed = past(record, versions)
    if departed is not None:
        return Stand.LATER, departed.at, setting, f"{wanted(record)} came after it, set by {departed.commit[:7]}"
    return Stand.ABSENT, None, setting, ""


def versions_of(fleet: Fleet | None) -> frozenset[str]:
    """Every version that a spec names: of each package, and as people say it for all."""
    return frozenset({package.version for package in fleet.packages} | {fleet.version}) if fleet else frozenset()


def _runs(unit: Unit) -> frozenset[str]:
    return frozenset(version for name, version in unit.components.items() if name.startswith("package/"))


def _present(record: Record, here: Sequence[Unit], versions: frozenset[str]) -> str:
    running = sorted(set().union(*(_runs(unit) & versions for unit in here)))
    return ", ".join(running) or record.memory.status.version or wanted(record)


def _since(record: Record, versions: frozenset[str]) -> datetime | None:
    finished = record.memory.finished
    return finished.at if finished is not None and finished.version in versions else None


def _set_by(record: Record, versions: frozenset[str]) -> Sha:
    """Which commit set what runs: the present one, or that of the last good version."""
    if record.setting is not None and versions_of(record.desired) & versions:
        return record.setting.commit
    good = record.memory.last_good
    return good.setting_commit if good is not None and versions_of(good.fleet) & versions else ""


def known_versions(record: Record) -> frozenset[str]:
    """Every version of the fleet that the ledger has met lately."""
    memory = record.memory
    found = {memory.status.version, *(each.version for each in memory.quarantines)}
    found |= {memory.finished.version} if memory.finished is not None else set()
    specs = [record.desired, memory.last_good.fleet if memory.last_good else None]
    running = set().union(*(_runs(unit) for unit in memory.status.units))
    return frozenset(found.union(running, *map(versions_of, specs)) - {""})
