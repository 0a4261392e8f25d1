"""import: a desired-state repository out of what AWS, Gate and agents show. It reads, and writes one folder here."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fairlead.commands.opening import CONFIG, settings_of
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, count, json_document, progress, say, table

if TYPE_CHECKING:
    from adapters.importing.facts import Account, Rules
    from adapters.importing.repository import Imported

ACCOUNTS = typer.Option(..., "--account", metavar="ID", help="The AWS account; may be repeated.")
REGIONS = typer.Option(..., "--region", metavar="REGION", help="The region; may be repeated.")
ROLES = typer.Option(None, "--role", metavar="ARN", help="The role to read its account with; left out: you.")
GATE = typer.Option("", "--gate", metavar="URL", help="Spinnaker's Gate; credentials are those of the settings.")
ENVIRONMENTS = typer.Option(
    None, "--environment", metavar="[ID=]NAME", help="The environment of what names none itself; ID is the account."
)
MAP = typer.Option(None, "--map", metavar="WORD=NAME", help="A stack or tag value that means this environment.")
SERVICE_TAG = typer.Option("", "--service-tag", metavar="KEY", help="The tag that names an instance's service.")
ENVIRONMENT_TAG = typer.Option("", "--environment-tag", metavar="KEY", help="The tag that names its environment.")
BUCKET = typer.Option("", "--bucket", metavar="NAME", help="The bucket of orders; may hold {environment}.")
ARTIFACTS = typer.Option("", "--artifacts", metavar="S3", help="Like s3://builds/{package}/{version}/{package}.jar.")
INTO = typer.Option(None, "--into", metavar="FOLDER", help="A new or empty folder.")
DRY_RUN = typer.Option(False, "--dry-run", help="Print the files, and write nothing.")
OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
_ROLE = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}):role/\S+")
_NAMED = re.compile(r"(?:([0-9]{12})=)?([a-z0-9][a-z0-9-]{0,39})")
_MAPPED = re.compile(r"([^=\s]+)=([a-z0-9][a-z0-9-]{0,39})")


def import_repository(  # noqa: PLR0917  typer calls it by name
    account: list[str] = ACCOUNTS,
    region: list[str] = REGIONS,
    role: list[str] | None = ROLES,
    gate: str = GATE,
    environment: list[str] | None = ENVIRONMENTS,
    map_: list[str] | None = MAP,
    service_tag: str = SERVICE_TAG,
    environment_tag: str = ENVIRONMENT_TAG,
    bucket: str = BUCKET,
    artifacts: str = ARTIFACTS,
    into: Path | None = INTO,
    dry_run: bool = DRY_RUN,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Write a desired-state repository from what runs. Changes nothing in AWS or Spinnaker."""
    from adapters.importing.facts import Rules

    folder = None if dry_run else _checked(into)
    rules = Rules(
        environments=_mapped(map_ or ()),
        service_tag=service_tag,
        environment_tag=environment_tag,
        bucket=bucket,
        artifacts=_artifacts(artifacts),
        gate=_gate(gate),
    )
    accounts = _accounts(account, region, role or (), environment or ())
    imported = _read(accounts, rules, config)
    if not imported.files:
        _say_left_out(imported)
        raise Refused("nothing was found that can be imported; what was seen is listed above", ExitCode.FOUND)
    if folder is not None:
        _write(imported, folder)
    _report(imported, folder, output)


# -- what was asked --------------------------------------------------------------------------------------------------


def _checked(into: Path | None) -> Path:
    """Before anything is read: minutes may pass until there is something to write."""
    from adapters.importing.placing import NotEmpty, check_empty

    if into is None:
        raise Refused("say --into FOLDER, or --dry-run to see the files")
    try:
        check_empty(into)
    except NotEmpty as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(f"{into}: {error.strerror}; name another folder with --into") from error
    return into


def _mapped(pairs: Sequence[str]) -> dict[str, str]:
    found = {pair: _MAPPED.fullmatch(pair) for pair in pairs}
    for pair, match in found.items():
        if match is None:
            raise Refused(f"--map {pair}: write WORD=NAME, such as live=prod")
    return {match[1]: match[2] for match in found.values() if match is not None}


def _artifacts(pattern: str) -> str:
    if pattern and not (pattern.startswith("s3://") and "{version}" in pattern):
        raise Refused(f"--artifacts {pattern}: write an S3 address that holds {{version}}")
    return pattern


def _gate(url: str) -> str:
    from adapters.gate.client import url_problem

    if url and (wrong := url_problem(url)):
        raise Refused(f"--gate {wrong}")
    return url.rstrip("/")


def _accounts(
    ids: Sequence[str], regions: Sequence[str], roles: Sequence[str], environments: Sequence[str]
) -> list["Account"]:
    from adapters.importing.facts import Account

    for each in ids:
        if re.fullmatch(r"[0-9]{12}", each) is None:
            raise Refused(f"--account {each}: an account has twelve digits")
    by_account = _roles(ids, roles)
    named = _named(ids, environments)
    return [
        Account(
            id=each,
            regions=tuple(dict.fromkeys(regions)),
            role=by_account.get(each),
            environment=named.get(each, named.get("", "")),
        )
        for each in dict.fromkeys(ids)
    ]


def _roles(ids: Sequence[str], roles: Sequence[str]) -> dict[str, str]:
    """A role's ARN says which account it is of."""
    found = {}
    for role in roles:
        match = _ROLE.fullmatch(role)
        if match is None or match[1] not in ids:
            raise Refused(f"--role {role}: write the ARN of a role in {' or '.join(ids)}")
        found[match[1]] = role
    return found


def _named(ids: Sequence[str], environments: Sequence[str]) -> dict[str, str]:
    """By account; an empty one stands for all."""
    found: dict[str, str] = {}
    for each in environments:
        match = _NAMED.fullmatch(each)
        if match is None or (match[1] and match[1] not in ids):
            raise Refused(f"--environment {each}: write NAME, or ID=NAME with one of {', '.join(ids)}")
        found[match[1] or ""] = match[2]
    return found


# -- doing it --------------------------------------------------------------------------------------------------------


def _read(accounts: Sequence["Account"], rules: "Rules", config: Path | None) -> "Imported":
    from fairlead import wiring

    with progress("reading what runs ..."), _reaching():
        return wiring.read_world(settings_of(config), accounts, rules)


@contextmanager
def _reaching() -> Iterator[None]:
    from reconciler.ports import Unreadable

    try:
        yield
    except Unreadable as trouble:
        raise Refused(str(trouble), ExitCode.UNREACHABLE) from trouble


def _write(imported: "Imported", folder: Path) -> None:
    from adapters.importing.placing import NotEmpty, Outside, place

    try:
        place(imported.files, folder)
    except (NotEmpty, Outside) as error:
        raise Refused(str(error)) from error
    except OSError as error:
        raise Refused(f"{folder} cannot be written: {error.strerror}; name another folder with --into") from error


def _report(imported: "Imported", folder: Path | None, output: Output) -> None:
    if output is Output.JSON:
        json_document(_document(imported, folder))
        return
    if folder is None:
        for path, text in imported.files.items():
            say(f"── {path}\n{text}")
    from adapters.importing.repository import version_of

    rows = [(one.fleet, one.kind, version_of(one), str(one.units), str(len(one.questions))) for one in imported.fleets]
    table(("fleet", "type", "version", "machines", "questions"), rows)
    _say_left_out(imported)
    where = f"wrote {count(len(imported.files), 'file')} to {folder}" if folder else "nothing was written"
    say(f"\n{count(len(imported.fleets), 'fleet')}; {where}")
    if folder:
        say(f"next: {folder / 'README.md'}; {count(imported.questions, 'question')}: grep -rn QUESTION {folder}")


def _say_left_out(imported: "Imported") -> None:
    for note in imported.notes:
        say(f"note: {note}")
    for one in imported.left_out:
        say(f"left out: {one.what}: {one.why}")


def _document(imported: "Imported", folder: Path | None) -> dict[str, Any]:
    from adapters.importing.repository import version_of

    return {
        "folder": str(folder) if folder else None,
        "fleets": [
            {
                "fleet": one.fleet,
                "type": one.kind,
                "version": version_of(one),
                "machines": one.units,
                "questions": [question.text for question in one.questions],
            }
            for one in imported.fleets
        ],
        "left_out": [{"what": one.what, "why": one.why} for one in imported.left_out],
        "notes": list(imported.notes),
        "questions": imported.questions,
        "files": dict(imported.files),
    }
