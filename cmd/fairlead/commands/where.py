"""where: in which environments a version runs, or what a commit set."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import typer

from fairlead.commands.opening import CONFIG, opened, settings_of, unknown
from fairlead.commands.seeking import Copies, seek
from fairlead.commands.whereabouts import Sought, Stand, Whereabouts, whereabouts
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, json_document, progress, say, table, when
from reconciler.record import Record

OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
SERVICE = typer.Argument(..., metavar="SERVICE", help="The service, or the name of its fleets.")
ASKED = typer.Argument(..., metavar="SHA|VERSION", help="A version, or a commit, of 7 characters or more.")
CLONE = typer.Option(
    None, "--clone", metavar="FOLDER", help="A clone of the service's own repository: its tags are read."
)


def where(
    service: str = SERVICE,
    asked: str = ASKED,
    clone: Path | None = CLONE,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Show in which environments a version runs, or what a commit set. Exits 1 where one does not run it whole."""
    from desired_state.git_errors import GitError

    settings = settings_of(config)
    with opened(settings) as store, progress("reading the ledger ..."):
        records = store.fleets()
        heads = {name: known.head for name in {record.repository for record in records} if (known := store.known(name))}
    chosen = _chosen(records, service)
    with closing(Copies(settings, heads)) as copies:
        try:
            sought = seek(asked.lower() if _is_id(asked) else asked, service, chosen, copies, clone)
        except GitError as error:
            raise Refused(" ".join(str(error).split()), ExitCode.UNREACHABLE) from error
        rows = [whereabouts(record, sought, copies.departed) for record in chosen]
        unseen = sorted({record.repository for record in chosen if copies.mirror(record.repository) is None})
    _show(service, asked, sought, rows, unseen, output)
    everywhere = all(row.stand is Stand.RUNNING for row in rows)
    raise typer.Exit(ExitCode.OK if everywhere else ExitCode.FOUND)


def _is_id(asked: str) -> bool:
    return len(asked) in range(7, 41) and set(asked.lower()) <= set("0123456789abcdef")


def _chosen(records: Sequence[Record], service: str) -> Sequence[Record]:
    """The fleets of a service that are managed, also where a fleet has a name of its own."""
    managed = [record for record in records if record.present and record.desired is not None]
    names = {
        record.name: {record.name.partition("/")[2], record.desired.service} for record in managed if record.desired
    }
    chosen = [record for record in managed if service in names[record.name]]
    if not chosen:
        raise Refused(unknown(service, sorted(set().union(*names.values()))))
    return chosen


def _show(
    service: str, asked: str, sought: Sought, rows: Sequence[Whereabouts], unseen: Sequence[str], output: Output
) -> None:
    notes = [
        *sought.notes,
        *(f"what was set before is not known: this machine has no copy of {each}" for each in unseen),
    ]
    versions = sorted(sought.versions)
    if output is Output.JSON:
        facts = {
            "service": service,
            "asked": asked,
            "commit": sought.commit or None,
            "versions": versions,
            "notes": notes,
        }
        json_document(facts | {"environments": list(rows)})
        return
    if sought.commit and versions:
        say(f"{sought.commit[:7]} sets {', '.join(versions)}")
    headers = ("environment", "fleet", "there", "version", "units", "since", "set by", "message")
    table(headers, [_row(row) for row in rows])
    for note in notes:
        say(f"note: {note}")


def _row(row: Whereabouts) -> tuple[str, ...]:
    units = f"{row.units_at}/{row.units}"
    return (
        *(row.environment, row.fleet.partition("/")[2], row.stand.value, row.version, units),
        *(when(row.since) or "-", row.setting_commit[:7] or "-", row.message),
    )


COMMANDS = (where,)
