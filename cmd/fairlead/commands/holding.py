"""Which units hold a rollout: the wave's members that are not there yet, and what leaves no room for more. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fairlead.commands.host_views import HostRow, HostState, age, rows_of, some
from fairlead.rendering import count, when
from reconciler.hosts import HostFacts, Room
from reconciler.memory import Rollout
from reconciler.observed import Unit
from reconciler.record import Event, Record

NAMED = 5  # hosts; how many more there are is said
PROGRESS = frozenset({"rollout-started", "wave-finished", "succeeded"})  # kinds of events; see `reconciler.chronicle`


def holding(
    record: Record, hosts: Sequence[HostFacts] | None, room: Room | None, events: Iterable[Event]
) -> dict[str, Any] | None:
    """What a rollout waits for; None where nothing is rolled out and no host is given up."""
    memory, rows = record.memory, rows_of(record, hosts or ())
    if memory.rollout is None and not memory.rests:
        return None
    digest = memory.status.target_digest
    silent = [row.host.id for row in rows if row.state is HostState.SILENT]
    return {
        **(_wave(record, memory.rollout, rows, events) if memory.rollout is not None else {}),
        "out_of_service": some([unit.id for unit in memory.status.units if not unit.healthy], NAMED),
        "room": _room(room) if room is not None else None,
        "silent": some(silent, NAMED),
        "failing": some(sorted(memory.rollout.failures), NAMED) if memory.rollout is not None else some([]),
        "given_up": some([rest.unit for rest in memory.rests if rest.given_up and rest.target_digest == digest], NAMED),
    }


def _wave(record: Record, rollout: Rollout, rows: Sequence[HostRow], events: Iterable[Event]) -> dict[str, Any]:
    by_id = {row.host.id: row for row in rows}
    known = {unit.id: unit for unit in record.memory.status.units}
    members = [known[unit] for unit in rollout.members if unit in known]
    waiting = sorted((unit for unit in members if not _is_there(unit, rollout)), key=lambda unit: _rank(unit, by_id))
    moments = [event.at for event in events if event.kind in PROGRESS and event.at >= rollout.started_at]
    return {
        "wave": rollout.wave,
        "members": len(members),
        "waiting": [_waits(unit, by_id, rollout) for unit in waiting[:NAMED]],
        "more": max(0, len(waiting) - NAMED),
        "progress_at": max(moments, default=rollout.started_at),
    }


def _is_there(unit: Unit, rollout: Rollout) -> bool:
    wanted = rollout.release.fleet.components
    return unit.healthy and all(unit.components.get(name) == version for name, version in wanted.items())


def _rank(unit: Unit, rows: Mapping[str, HostRow]) -> tuple[int, str]:
    row = rows.get(unit.id)
    return (list(HostState).index(row.state) if row is not None else 0), unit.id


def _waits(unit: Unit, rows: Mapping[str, HostRow], rollout: Rollout) -> dict[str, Any]:
    row = rows.get(unit.id)
    return {
        "host": unit.id,
        "zone": row.host.zone if row is not None else "",
        "state": row.shown_state if row is not None else ("behind" if unit.healthy else "not healthy"),
        "last_report": row.host.heard_at if row is not None else None,
        "message": row.words if row is not None else unit.message,
        "log": _last_line(row.host.log) if row is not None else "",
        "failures": rollout.failures.get(unit.id, 0),
    }


def _last_line(log: str) -> str:
    return next((line.strip()[:300] for line in reversed(log.splitlines()) if line.strip()), "")


def _room(room: Room) -> dict[str, Any]:
    keys = ("at_once", "hosts", "max_unavailable", "min_healthy", "stricter")
    return {key: getattr(room, key) for key in keys}


def sentences(held: Mapping[str, Any], fleet: str, now: datetime) -> Iterable[str]:
    """The same for people, a line each."""
    if "wave" in held:
        yield from _wave_sentences(held, fleet, now)
    for name, what in (("silent", "silent"), ("failing", "failed and tried again"), ("given_up", "given up")):
        if held[name]["hosts"]:
            yield f"{what}: {_named(held[name])}"
    if (room := held["room"]) is not None:
        yield _room_sentence(room, held["out_of_service"])


def _wave_sentences(held: Mapping[str, Any], fleet: str, now: datetime) -> Iterable[str]:
    waits = len(held["waiting"]) + held["more"]
    if waits:
        yield f"wave {held['wave']} waits for {waits} of its {count(held['members'], 'unit')}:"
    for each in held["waiting"]:
        heard = f", said {age(each['last_report'], now)}" if each["last_report"] else ""
        tried = f", failed {count(each['failures'], 'time')}" if each["failures"] else ""
        said = f": {each['message']}" if each["message"] else ""
        yield f"  {each['host']}  {each['zone']}  {each['state']}{heard}{tried}{said}"
        if each["log"]:
            yield f"    | {each['log']}"
    if held["more"]:
        yield f"  and {held['more']} more: `fairlead hosts {fleet} --behind`"
    yield f"last progress: {when(held['progress_at'])}, {age(held['progress_at'], now)}"


def _named(few: Mapping[str, Any]) -> str:
    return ", ".join(few["hosts"]) + (f" +{few['more']} more" if few["more"] else "")


def _room_sentence(room: Mapping[str, Any], out: Mapping[str, Any]) -> str:
    written = f"max_unavailable {room['max_unavailable']}"
    if room["min_healthy"]:
        written += f", min_healthy {room['min_healthy']}; {room['stricter']} is the stricter"
    is_out = len(out["hosts"]) + out["more"]
    now_out = f"{is_out} not healthy now ({_named(out)})" if is_out else "none is unhealthy now"
    return f"out of service: at most {room['at_once']} of {count(room['hosts'], 'host')} at once ({written}); {now_out}"
