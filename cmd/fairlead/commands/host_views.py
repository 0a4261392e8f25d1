"""From what is known of hosts to what people and scripts see: where each stands, and how many of each. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from desired_state.model import Component, Version
from fairlead.commands.views import target_of
from reconciler.hosts import HostFacts
from reconciler.observed import UnitId
from reconciler.record import Record


class HostState(StrEnum):
    """How a host stands to the target, what needs a person first."""

    FAILED = "failed"
    SILENT = "silent"
    BEHIND = "behind"
    WORKING = "working"
    JOINING = "joining"
    LEAVING = "leaving"
    AT_TARGET = "at target"


ORDER = {state: number for number, state in enumerate(HostState)}
SICK = frozenset({HostState.FAILED, HostState.SILENT})
PASSING = frozenset({HostState.JOINING, HostState.LEAVING})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One host of one fleet, and where it stands."""

    fleet: str
    host: HostFacts
    state: HostState
    differs: str  # the first component that is not at the target; empty: none

    @property
    def shown_state(self) -> str:
        """With the stage that it is at."""
        return f"{self.state}: {self.host.stage}" if self.host.stage and self.state in _SAYS_STAGE else str(self.state)

    @property
    def words(self) -> str:
        """Its last words, or what it differs by."""
        return self.host.refused if self.host.refused and not self.host.message else self.host.message or self.differs


_SAYS_STAGE = frozenset({HostState.WORKING, HostState.SILENT, HostState.LEAVING})


def rows_of(record: Record, hosts: Collection[HostFacts]) -> list[HostRow]:
    """What needs a person first, then by zone and id."""
    target = target_of(record) or (record.desired.components if record.desired else {})
    ordered = {outcome.intent.unit for outcome in record.work if not outcome.phase.ended}
    failing = _failing(record) | {host.id for host in hosts if host.failed and host.failed == _version(record)}
    rows = [_row(record.name, host, target, ordered, failing) for host in hosts]
    return sorted(rows, key=lambda row: (ORDER[row.state], row.host.zone, row.host.id))


def _version(record: Record) -> str:
    return record.memory.status.version or (record.desired.version if record.desired else "")


def _failing(record: Record) -> frozenset[UnitId]:
    """Hosts that the target failed on, and that are tried again or given up."""
    rollout, digest = record.memory.rollout, record.memory.status.target_digest
    tried = rollout.failures if rollout is not None else {}
    return frozenset({*tried, *(rest.unit for rest in record.memory.rests if rest.target_digest == digest)})


def _row(
    fleet: str,
    host: HostFacts,
    target: Mapping[Component, Version],
    ordered: Collection[UnitId],
    failing: Collection[UnitId],
) -> HostRow:
    differs = next((name for name, version in sorted(target.items()) if host.components.get(name) != version), "")
    state = _state(host, bool(differs) or not target, host.id in ordered, host.id in failing)
    said = f"{differs} is {host.components.get(differs, 'not there')}, not {target[differs]}" if differs else ""
    return HostRow(fleet=fleet, host=host, state=state, differs=said)


def _state(host: HostFacts, differs: bool, is_ordered: bool, is_failing: bool) -> HostState:
    """The first that is so."""
    is_well = host.healthy and host.running
    ways = {
        HostState.SILENT: host.silent,
        HostState.LEAVING: bool(host.leaving),
        HostState.WORKING: bool(host.stage) or (is_ordered and is_well and differs and not is_failing),
        HostState.JOINING: host.joining,
        HostState.AT_TARGET: is_well and not differs,
        HostState.FAILED: not is_well or is_failing or bool(host.refused),
    }
    return next((state for state, is_so in ways.items() if is_so), HostState.BEHIND)


def chosen(rows: Iterable[HostRow], unhealthy: bool, behind: bool) -> list[HostRow]:
    """Those that were asked for: the sick, those at another version, or with neither all."""
    if not (unhealthy or behind):
        return list(rows)
    return [
        row for row in rows if (unhealthy and (row.state in SICK or not row.host.healthy)) or (behind and row.differs)
    ]


def counts(rows: Iterable[HostRow]) -> dict[str, int]:
    """How many there are of each state, all states named."""
    found = Counter(row.state for row in rows)
    return {state.value: found[state] for state in HostState}


def is_well(rows: Iterable[HostRow]) -> bool:
    """Every host is at the target, but for those that come and go."""
    return all(row.state is HostState.AT_TARGET or row.state in PASSING for row in rows)


def runs(host: HostFacts) -> str:
    """The versions of its packages, as people say them."""
    found = {name.partition("/")[2]: version for name, version in host.components.items() if "package/" in name}
    if len(set(found.values())) < 2:
        return next(iter(found.values()), "-")
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def document(row: HostRow, log: bool) -> dict[str, Any]:
    """One host as JSON; `docs/cli.md` lists every key."""
    host = row.host
    said: dict[str, Any] = {
        "fleet": row.fleet,
        "host": host.id,
        "region": host.region,
        "zone": host.zone,
        "state": row.state,
        "stage": host.stage,
        "components": dict(host.components),
        "healthy": host.healthy,
        "running": host.running,
        "last_report": host.heard_at,
        "message": row.words,
        "agent": host.agent,
        "sequence": host.sequence,
        "refused": host.refused,
        "leaving": host.leaving,
        "report_only": host.report_only,
    }
    return said | ({"log": host.log} if log else {})


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago: `12 s`, `3 min`, `5 h`, `2 d`; `never`."""
    if moment is None:
        return "never"
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def some(names: Sequence[str], most: int = 5) -> dict[str, Any]:
    """The first few, and how many more there are."""
    return {"hosts": list(names[:most]), "more": max(0, len(names) - most)}
