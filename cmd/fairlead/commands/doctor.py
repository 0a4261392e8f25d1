"""doctor: looks at everything that Fairlead needs, changes nothing, and names the fix of each trouble."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from fairlead.commands.opening import CONFIG, settings_of
from fairlead.exit_codes import ExitCode
from fairlead.rendering import Output, count, json_document, progress, say, table

if TYPE_CHECKING:
    from adapters.doctor.checkup import Checkup
    from adapters.doctor.findings import Finding
    from fairlead.settings import SecretReference, Settings

OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
AT_ONCE = 8  # repositories


def doctor(config: Path | None = CONFIG, output: Output = OUTPUT) -> None:
    """Look at everything that Fairlead needs: what is wrong, and its fix. Changes nothing."""
    from fairlead.wiring.looking import checkup

    settings = settings_of(config)
    with TemporaryDirectory(prefix="fairlead-doctor-") as scratch:
        findings = [*_settings(settings, config), *_looked(checkup(settings, Path(scratch)))]
    _report(findings, output)
    raise typer.Exit(code_of(findings))


def code_of(findings: Sequence["Finding"]) -> ExitCode:
    """3 where something could not be asked, 1 where something is wrong, else 0: warnings are allowed."""
    troubled = [finding for finding in findings if finding.verdict == "trouble"]
    if any(finding.unreachable for finding in troubled):
        return ExitCode.UNREACHABLE
    return ExitCode.FOUND if troubled else ExitCode.OK


def _looked(checkup: "Checkup") -> "Iterator[Finding]":
    """The repositories first: they say which accounts and Gates there are."""
    from adapters.doctor.findings import together

    with progress("looking at the repositories ..."), ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        seen = list(pool.map(checkup.read, checkup.repositories))
    fleets = [fleet for each in seen for fleet in each.fleets]
    yield from (finding for each in seen for finding in each.findings)
    with progress(
        f"looking at the ledger, the forges, and what {count(len(fleets), 'fleet')} need of AWS and Gate ..."
    ):
        yield from together([*checkup.without_fleets(), *checkup.of(fleets)])


# ── settings ──


def _settings(settings: "Settings", config: Path | None) -> "Iterator[Finding]":
    from adapters.doctor.files import check_references, check_settings

    file = config or Path(os.environ.get("FAIRLEAD_CONFIG") or "fairlead.toml")
    yield from check_settings(str(file), list(_warnings(settings, file)))
    yield from check_references((name, str(secret), _trouble(secret)) for name, secret in references(settings))


def _warnings(settings: "Settings", file: Path) -> Iterator[tuple[str, str]]:
    from adapters.doctor.files import readable_by_others

    if not settings.repositories:
        yield "no repository is set up: the controller will not start", "add [[repositories]] with name and url"
    if _holds_password(settings.ledger) and file.is_file() and (others := readable_by_others(file)):
        yield f"`ledger` may hold a password, and the file may be read by {others[0]}", others[1]


def _holds_password(url: str) -> bool:
    """`scheme://user:password@host`."""
    return ":" in url.partition("://")[2].rpartition("@")[0]


def references(part: Any, path: str = "") -> "Iterator[tuple[str, SecretReference]]":
    """Every secret that the settings name, by the setting's dotted name."""
    from pydantic import BaseModel

    from fairlead.settings import SecretReference

    if isinstance(part, SecretReference):
        yield path, part
    elif isinstance(part, BaseModel):
        for name in type(part).model_fields:
            yield from references(getattr(part, name), f"{path}.{name}".lstrip("."))
    elif isinstance(part, tuple):
        for index, each in enumerate(part):
            yield from references(each, f"{path}[{index}]")


def _trouble(secret: "SecretReference") -> str:
    from fairlead.settings import SettingsError

    try:
        return "" if secret.reveal() else f"the secret {secret} is empty"
    except SettingsError as error:
        return str(error)


# ── the report ──


def _report(findings: Sequence["Finding"], output: Output) -> None:
    counts = Counter(str(finding.verdict) for finding in findings)
    if output is Output.JSON:
        json_document({"checks": [asdict(finding) for finding in findings], "counts": dict(counts)})
        return
    table(("verdict", "check", "about", "seen"), list(_rows(findings)))
    fixes = [finding for finding in findings if finding.fix and finding.verdict != "ok"]
    if fixes:
        say()
    for finding in fixes:
        say(f"{finding.verdict}: {finding.check} {finding.about}: {finding.seen}\n  fix: {finding.fix}")
    say()
    say(", ".join(f"{counts[verdict]} {verdict}" for verdict in ("ok", "warning", "trouble", "skipped")))


def _rows(findings: Iterable["Finding"]) -> Iterator[tuple[str, str, str, str]]:
    for finding in findings:
        yield str(finding.verdict), finding.check, finding.about, finding.seen


COMMANDS = (doctor,)
