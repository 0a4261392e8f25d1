"""From what the ledger knows of a fleet to what people and scripts see. Pure; `docs/cli.md` lists every key."""

from collections.abc import Mapping
from typing import Any

from desired_state.model import Component, Version
from fairlead.commands.remedies import clears
from reconciler.memory import Quarantine, Rollout
from reconciler.observed import Unit
from reconciler.reasons import Reason
from reconciler.record import Record
from reconciler.work import Outcome

WORK_SHOWN = 3  # pieces of work in flight that `why` tells one by one


def wanted(record: Record) -> str:
    """The version that Git declares, as people say it."""
    return record.desired.version if record.desired else ""


def shown_version(record: Record) -> str:
    """The target's version, and the desired one where they differ: `1.4.1 (wants 1.4.2)`."""
    status, desired = record.memory.status, wanted(record)
    if not status.diverted:
        return status.version or desired
    return f"{status.version or 'as it is'} (wants {desired})"


def target_of(record: Record) -> Mapping[Component, Version]:
    """The components that the fleet is converged to now; empty where that is not known."""
    digest, good = record.memory.status.target_digest, record.memory.last_good
    known = [record.desired, good.fleet if good else None]
    return next((fleet.components for fleet in known if fleet and fleet.target_digest == digest), {})


def at_target(record: Record, unit: Unit) -> bool:
    """True when the unit is healthy and runs the target."""
    target = target_of(record)
    return bool(target) and unit.healthy and all(unit.components.get(name) == want for name, want in target.items())


def unit_count(record: Record) -> str:
    """`2/3`: units at the target and healthy, of all."""
    units = record.memory.status.units
    return f"{sum(at_target(record, unit) for unit in units)}/{len(units)}"


def conditions(record: Record) -> str:
    """The conditions that are true, in words: `Reconciling, Healthy`."""
    return ", ".join(each.type for each in record.memory.status.conditions if each.status) or "-"


def summary(record: Record) -> dict[str, Any]:
    """One cell of the matrix."""
    status = record.memory.status
    environment, _, service = record.name.partition("/")
    return {
        "fleet": record.name,
        "environment": environment,
        "service": service,
        "desired": wanted(record),
        "version": status.version,
        "diverted": status.diverted,
        "ready": status.ready,
        "reason": status.reason,
        "message": status.message,
        "until": status.until,
        "units_at_target": sum(at_target(record, unit) for unit in status.units),
        "units": len(status.units),
        "conditions": [_condition(each) for each in status.conditions],
        "leftovers": list(status.leftovers),
    }


def details(record: Record) -> dict[str, Any]:
    """Everything about one fleet."""
    memory = record.memory
    return summary(record) | {
        "repository": record.repository,
        "revision": record.revision,
        "setting_commit": record.setting.commit if record.setting else None,
        "generation": record.generation,
        "managed": record.present,
        "unit_states": [_unit(record, unit) for unit in memory.status.units],
        "last_good": memory.last_good.fleet.version if memory.last_good else None,
        "rollout": _rollout(memory.rollout) if memory.rollout else None,
        "work": [_work(outcome) for outcome in record.work],
        "quarantines": [_quarantine(each) for each in memory.quarantines],
        "requests": [{"ask": each.ask, "by": each.by, "at": each.at} for each in record.requests],
        "problems": [str(problem) for problem in record.problems],
        "trouble": dict(record.trouble),
    }


def why(record: Record) -> dict[str, Any]:
    """The one chain of reasons that holds a fleet, from what is seen down to the cause, and what clears it."""
    status = record.memory.status
    return {
        "fleet": record.name,
        "ready": status.ready,
        "version": status.version,
        "desired": wanted(record),
        "setting_commit": record.setting.commit if record.setting else None,
        "chain": [{"reason": reason, "message": message} for reason, message in chain(record)],
        "clears": "" if status.ready else clears(root(record), record.name),
        "until": status.until,
        "leftovers": list(status.leftovers),
    }


def root(record: Record) -> Reason:
    """The reason that has to clear first."""
    return chain(record)[-1][0]


def chain(record: Record) -> list[tuple[Reason, str]]:
    """Reasons and sentences, what is seen first; none is said twice."""
    status, memory = record.memory.status, record.memory
    links = [(status.reason, status.message or "no pass has looked at it yet")]
    if not status.ready:
        links += [(Reason.QUARANTINED, f"{each.version} failed: {each.message}") for each in memory.quarantines]
        links += [(Reason.PROGRESSING, work_sentence(outcome)) for outcome in record.work[:WORK_SHOWN]]
        more = len(record.work) - WORK_SHOWN
        links += [(Reason.PROGRESSING, f"{more} more pieces of work are in flight")] if more > 0 else []
        links += [(Reason.OBSERVATION_FAILED, f"{feed}: {message}") for feed, message in sorted(record.trouble.items())]
        links += [(Reason.INVALID_SPEC, str(problem)) for problem in record.problems[:3]]
    seen: dict[str, tuple[Reason, str]] = {}
    for link in links:
        if not any(link[1] in message for message in seen):
            seen[link[1]] = link
    return list(seen.values())


def work_sentence(outcome: Outcome) -> str:
    """One piece of work in flight, with the other system's id of it."""
    ticket = f" [{outcome.ticket}]" if outcome.ticket else ""
    text = f"{outcome.intent.told}{ticket}"
    return f"{text}: {outcome.phase}" + (f", {outcome.message}" if outcome.message else "")


def _condition(condition: Any) -> dict[str, Any]:
    keys = ("type", "status", "reason", "message", "since")
    return {key: getattr(condition, key) for key in keys}


def _unit(record: Record, unit: Unit) -> dict[str, Any]:
    return {
        "id": unit.id,
        "components": dict(unit.components),
        "healthy": unit.healthy,
        "running": unit.running,
        "at_target": at_target(record, unit),
        "message": unit.conflict or unit.message,
    }


def _rollout(rollout: Rollout) -> dict[str, Any]:
    return {
        "kind": rollout.kind,
        "version": rollout.release.fleet.version,
        "setting_commit": rollout.release.setting_commit,
        "started_at": rollout.started_at,
        "wave": rollout.wave,
        "members": list(rollout.members),
        "soak_until": rollout.soak_until,
        "retry_at": rollout.retry_at,
    }


def _work(outcome: Outcome) -> dict[str, Any]:
    intent = outcome.intent
    return {
        "key": intent.key,
        "kind": intent.kind,
        "unit": intent.unit,
        "version": intent.fleet.version,
        "wave": intent.wave,
        "attempt": intent.attempt,
        "phase": outcome.phase,
        "ticket": outcome.ticket,
        "message": outcome.message,
        "deadline": intent.deadline,
    }


def _quarantine(quarantine: Quarantine) -> dict[str, Any]:
    keys = ("version", "reason", "message", "since", "until", "setting_commit")
    return {key: getattr(quarantine, key) for key in keys}
