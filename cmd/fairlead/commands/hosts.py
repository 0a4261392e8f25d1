"""hosts: one line a host, out of the ledger's inventory and reports. No call to AWS."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import typer

from fairlead.commands.host_views import HostRow, age, chosen, counts, document, is_well, rows_of, runs
from fairlead.commands.opening import CONFIG, Store, opened, record_of, settings_of, unknown
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, count, json_document, progress, say, table
from reconciler.record import Record

SCOPE = typer.Argument(None, metavar="[ENV[/SERVICE]]", help="One environment, or one fleet; left out: all fleets.")
UNHEALTHY = typer.Option(False, "--unhealthy", help="Only hosts that are silent, failed or not healthy.")
BEHIND = typer.Option(False, "--behind", help="Only hosts that are not at the version.")
LOG = typer.Option(False, "--log", help="With the last words of what each host's work ran.")
LIMIT = typer.Option(100, "--limit", min=0, help="How many hosts at most; 0: all.")
OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
HEADERS = ("host", "zone", "version", "state", "reported", "agent", "order", "last words")


def hosts(
    scope: str | None = SCOPE,
    unhealthy: bool = UNHEALTHY,
    behind: bool = BEHIND,
    log: bool = LOG,
    limit: int = LIMIT,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Show the hosts of trigger fleets, trouble first. Exits 1 while one of them is not at the version."""
    from fairlead import wiring

    now = wiring.clock().now()
    with opened(settings_of(config)) as store, progress("reading the ledger ..."):
        records = _records(store, scope)
        troubles = store.troubles()
    rows = [row for record in records for row in _rows(record, now)]
    shown = chosen(rows, unhealthy, behind)
    page = shown[:limit] if limit else shown
    trouble = {feed: said for record in records for feed, said in record.trouble.items() if feed in troubles}
    if output is Output.JSON:
        listed = [document(row, log) for row in page]
        json_document({"hosts": listed, "more": len(shown) - len(page), "counts": counts(rows), "trouble": trouble})
    else:
        _say(page, len(shown), rows, log, now)
        for feed, message in sorted(trouble.items()):
            say(f"trouble: {feed}: {message}")
    raise typer.Exit(ExitCode.OK if is_well(rows) and not trouble else ExitCode.FOUND)


def _records(store: Store, scope: str | None) -> Sequence[Record]:
    """One fleet, which has to have hosts; or all that have some."""
    if scope is not None and "/" in scope:
        record = record_of(store, scope)
        if not _has_hosts(record):
            raise Refused(_without_hosts(record))
        return [record]
    known = store.fleets()
    names = [record.name for record in known if scope in (None, record.name.partition("/")[0])]
    if scope is not None and not names:
        raise Refused(unknown(scope, sorted({record.name.partition("/")[0] for record in known})))
    present = {record.name for record in known if record.present and _has_hosts(record)}
    return store.load_many([name for name in names if name in present])


def _has_hosts(record: Record) -> bool:
    from fairlead import wiring

    return record.desired is not None and wiring.has_hosts(record.desired)


def _without_hosts(record: Record) -> str:
    kind = record.desired.deploy_type if record.desired is not None else "unknown"
    return (
        f"{record.name} is of type {kind}, which has no hosts with agents; "
        f"`fairlead status {record.name}` shows its units"
    )


def _rows(record: Record, now: datetime) -> list[HostRow]:
    from fairlead import wiring

    found = wiring.hosts_of(record.desired, record.snapshots, now) if record.desired is not None else None
    return rows_of(record, found or ())


def _say(page: Sequence[HostRow], found: int, rows: Sequence[HostRow], log: bool, now: datetime) -> None:
    several = len({row.fleet for row in rows}) > 1
    lines = [_cells(row, now) for row in page]
    if several:
        lines = [(row.fleet, *cells) for row, cells in zip(page, lines, strict=True)]
    table(("fleet", *HEADERS) if several else HEADERS, lines)
    if found > len(page):
        say(f"... and {found - len(page)} more; --limit 0 shows all")
    for row in page if log else ():
        _say_log(row)
    told = ", ".join(f"{number} {state}" for state, number in counts(rows).items() if number)
    say(f"\n{count(len(rows), 'host')}{': ' if told else ''}{told}")


def _cells(row: HostRow, now: datetime) -> tuple[str, ...]:
    host, sequence = row.host, str(row.host.sequence or "-")
    reported, agent = age(host.heard_at, now), host.agent or "-"
    return host.id, host.zone, runs(host), row.shown_state, reported, agent, sequence, row.words


def _say_log(row: HostRow) -> None:
    if row.host.log:
        say(f"\n{row.host.id} ran last:")
        for line in row.host.log.splitlines():
            say(f"  | {line}")


COMMANDS = (hosts,)
