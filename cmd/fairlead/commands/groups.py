"""groups: every server group of a fleet, out of the ledger's inventory. No call to AWS."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from fairlead.commands.opening import CONFIG, opened, record_of, settings_of
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, count, json_document, progress, say, table
from reconciler.record import Record

FLEET = typer.Argument(..., metavar="ENV/SERVICE", help="The fleet.")
OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
HEADERS = ("region", "server group", "version", "ami", "created", "enabled", "in service", "healthy", "part")
Row = Mapping[str, Any]


def groups(fleet: str = FLEET, config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
    """Show what stands of a fleet in each region, the youngest first. Exits 1 while something is left over."""
    with opened(settings_of(config)) as store, progress("reading the ledger ..."):
        record = record_of(store, fleet)
    found = _found(record)
    rows = found["groups"]
    left = [str(row["leftover"]) for row in rows if row["leftover"]]
    unread = sorted(set(record.desired.environment.regions if record.desired else ()) - _read(record))
    if output is Output.JSON:
        json_document({"fleet": record.name, **found, "unread": unread, "trouble": dict(record.trouble)})
    else:
        _say(rows, left, unread)
        for feed, message in sorted(record.trouble.items()):
            say(f"trouble: {feed}: {message}")
    raise typer.Exit(ExitCode.FOUND if left or unread or record.trouble else ExitCode.OK)


def _found(record: Record) -> Mapping[str, Any]:
    from fairlead import wiring

    found = wiring.groups_of(record.desired, record.snapshots) if record.desired is not None else None
    if found is None:
        kind = record.desired.deploy_type if record.desired is not None else "unknown"
        raise Refused(f"{record.name} is of type {kind}, which has no server groups; see `fairlead hosts`")
    return found


def _read(record: Record) -> set[str]:
    """The regions that were read."""
    return {feed.rpartition("/")[2] for feed in record.snapshots if feed.startswith("inventory/")}


def _say(rows: Sequence[Row], left: Sequence[str], unread: Sequence[str]) -> None:
    table(HEADERS, [_cells(row) for row in rows])
    for sentence in left:
        say(f"leftover: {sentence}")
    if unread:
        say(f"not read yet: {', '.join(unread)}")
    say(f"\n{count(len(rows), 'server group')}, {len(left)} left over")


def _cells(row: Row) -> tuple[str, ...]:
    created = str(row["created"])[:19].replace("T", " ")
    enabled, serving = "yes" if row["enabled"] else "no", f"{row['in_service']}/{row['desired']}"
    version, healthy = row["version"] or "unknown", f"{row['healthy']}/{row['in_service']}"
    return row["region"], row["name"], version, row["ami"] or "-", created, enabled, serving, healthy, row["part"]


COMMANDS = (groups,)
