"""What the ledger knows: status, why, history. They only read, and need no repository and no cloud."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from desired_state.model import Sha
from fairlead.commands.holding import holding, sentences
from fairlead.commands.opening import CONFIG, opened, record_of, settings_of, unknown
from fairlead.commands.views import conditions, details, shown_version, summary, unit_count, wanted
from fairlead.commands.views import why as chain_of
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, count, json_document, progress, say, table, when
from reconciler.record import Event, Record

OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
FLEET = typer.Argument(..., metavar="ENV/SERVICE", help="The fleet.")
SCOPE = typer.Argument(None, metavar="[ENV[/SERVICE]]", help="One environment, or one fleet with everything about it.")
EVENTS = 1000  # of the newest: in them is when a rollout last came further
LIMIT = typer.Option(20, "--limit", min=1, help="How many of the newest lines.")


def status(scope: str | None = SCOPE, config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
    """Show where the fleets stand. Exits 1 while one that is shown is not ready, or something cannot be read."""
    settings = settings_of(config)
    with opened(settings) as store, progress("reading the ledger ..."):
        if scope is not None and "/" in scope:
            records: Sequence[Record] = [record_of(store, scope)]
        else:
            records = _environment([record for record in store.fleets() if record.present], scope)
        troubles = store.troubles()
    if scope is not None and "/" in scope:
        _one(records[0], output)
    else:
        _matrix(records, troubles, output)
    well = bool(records) and not troubles and all(record.memory.status.ready for record in records)
    raise typer.Exit(ExitCode.OK if well else ExitCode.FOUND)


def _environment(records: Sequence[Record], environment: str | None) -> Sequence[Record]:
    chosen = [record for record in records if environment in (None, record.name.partition("/")[0])]
    if environment is not None and not chosen:
        raise Refused(unknown(environment, sorted({record.name.partition("/")[0] for record in records})))
    return sorted(chosen, key=lambda record: record.name.partition("/")[::-1])


def _matrix(records: Sequence[Record], troubles: Mapping[str, str], output: Output) -> None:
    """The fleets, and whatever cannot be read: what is shown may then be old."""
    if output is Output.JSON:
        json_document({"fleets": [summary(record) for record in records], "trouble": dict(troubles)})
        return
    headers = ("service", "environment", "version", "ready", "units", "conditions", "reason", "message")
    table(headers, [_row(record) for record in records])
    ready = sum(record.memory.status.ready for record in records)
    say(f"\n{count(len(records), 'fleet')}, {ready} ready")
    if not records:
        say("no fleet is known yet: fairlead controller, or fairlead once, reads the repositories")
    for feed, message in troubles.items():
        say(f"trouble: {feed}: {message}")


def _row(record: Record) -> tuple[str, ...]:
    seen = record.memory.status
    environment, _, service = record.name.partition("/")
    ready = "yes" if seen.ready else "no"
    version, units = shown_version(record), unit_count(record)
    return service, environment, version, ready, units, conditions(record), seen.reason, seen.message


def _one(record: Record, output: Output) -> None:
    facts = details(record)
    if output is Output.JSON:
        json_document(facts)
        return
    say(f"{record.name}  {shown_version(record)}  {unit_count(record)} units")
    _facts(
        {
            "desired": f"{wanted(record)} set by {_short(facts['setting_commit'])}",
            "reason": f"{facts['reason']}: {facts['message']}",
            "conditions": conditions(record),
            "clears": when(facts["until"]),
            "last good": facts["last_good"] or "",
            "rollout": _rollout(facts["rollout"]),
            "managed": "" if record.present else "no longer: its file is gone",
        }
    )
    _lists(facts)


def _facts(facts: dict[str, str]) -> None:
    for name, text in facts.items():
        if text:
            say(f"  {name:<11} {text}")


def _rollout(rollout: dict[str, Any] | None) -> str:
    if rollout is None:
        return ""
    soak = f", soaks until {when(rollout['soak_until'])}" if rollout["soak_until"] else ""
    text = f"{rollout['kind']} {rollout['version']} since {when(rollout['started_at'])}, wave {rollout['wave']}"
    return f"{text} of {', '.join(rollout['members']) or 'units not chosen yet'}{soak}"


def _lists(facts: dict[str, Any]) -> None:
    """Units, work and what is wrong, each only where there is some."""
    if facts["unit_states"]:
        say()
        table(("unit", "runs", "healthy", "message"), [_unit_row(unit) for unit in facts["unit_states"]])
    if facts["work"]:
        say()
        table(("work", "unit", "wave", "attempt", "phase", "ticket"), [_work_row(work) for work in facts["work"]])
    for each in facts["quarantines"]:
        until = f", until {when(each['until'])}" if each["until"] else ""
        say(f"quarantine: {each['version']} since {when(each['since'])}{until}: {each['message']}")
    _say_leftovers(facts)
    for feed, message in sorted(facts["trouble"].items()):
        say(f"trouble: {feed}: {message}")
    for problem in facts["problems"]:
        say(f"problem: {problem}")


def _unit_row(unit: dict[str, Any]) -> tuple[str, ...]:
    runs = ", ".join(f"{name} {version}" for name, version in sorted(unit["components"].items()))
    return unit["id"], runs or "no single version", "yes" if unit["healthy"] else "no", unit["message"]


def _work_row(work: dict[str, Any]) -> tuple[str, ...]:
    what = f"{work['kind']} {work['version']}"
    return what, work["unit"], str(work["wave"]), str(work["attempt"]), work["phase"], work["ticket"] or "-"


def why(fleet: str = FLEET, config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
    """Say the one chain of reasons that holds a fleet, and when it clears."""
    from fairlead import wiring

    now = wiring.clock().now()
    with opened(settings_of(config)) as store:
        record = record_of(store, fleet)
        events = store.history(record.name, EVENTS) if record.memory.rollout is not None else ()
    facts = chain_of(record) | {"holding": _holding(record, events, now)}
    if output is Output.JSON:
        json_document(facts)
    else:
        _say_why(facts, now)
    raise typer.Exit(ExitCode.OK if facts["ready"] else ExitCode.FOUND)


def _holding(record: Record, events: Sequence[Event], now: datetime) -> dict[str, Any] | None:
    """Which hosts hold it, and what leaves no room for more."""
    from fairlead import wiring

    if record.desired is None or record.memory.status.ready:
        return None
    rollout = record.memory.rollout
    fleet = rollout.release.fleet if rollout is not None else record.desired
    hosts = wiring.hosts_of(fleet, record.snapshots, now)
    return holding(record, hosts, wiring.room_of(fleet, len(record.memory.status.units)), events)


def _say_why(facts: dict[str, Any], now: datetime) -> None:
    first, *deeper = facts["chain"]
    if facts["ready"]:
        say(f"{facts['fleet']}: nothing holds it: {first['message']}")
        _say_leftovers(facts)
        return
    say(f"{facts['fleet']} wants {facts['desired']}, set by {_short(facts['setting_commit'])}")
    say(f"  {first['reason']}: {first['message']}")
    for link in deeper:
        say(f"  because {link['reason']}: {link['message']}")
    for sentence in sentences(facts["holding"], facts["fleet"], now) if facts["holding"] else ():
        say(sentence)
    until = f"at {when(facts['until'])}" if facts["until"] else ""
    say(f"clears: {'; '.join(filter(None, (until, facts['clears']))) or 'nothing needs to be done'}")
    _say_leftovers(facts)


def _say_leftovers(facts: dict[str, Any]) -> None:
    for sentence in facts["leftovers"]:
        say(f"leftover: {sentence}")


def history(fleet: str = FLEET, limit: int = LIMIT, config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
    """Show what was decided and done for a fleet, newest first."""
    with opened(settings_of(config)) as store:
        name = record_of(store, fleet).name
        events = list(store.history(name, limit))
    if output is Output.JSON:
        lines = [{"at": each.at, "kind": each.kind, "message": each.message, "data": each.data} for each in events]
        json_document({"fleet": name, "events": lines})
        return
    table(("at", "what", "message"), [(when(each.at), each.kind, each.message) for each in events])


def _short(commit: Sha | None) -> str:
    return commit[:7] if commit else "no commit yet"


COMMANDS = (status, why, history)
