"""Commands that change desired state, each by one commit pushed to the branch that Fairlead watches."""

import getpass
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from desired_state.model import FleetName, Revision, Sha
from fairlead.commands import by_hand
from fairlead.commands.opening import CONFIG, fleet_name, mirror_of, reaching_git, repository_of, settings_of, unknown
from fairlead.exit_codes import Refused
from fairlead.rendering import Output, json_document, progress, say

if TYPE_CHECKING:
    from desired_state.mirror import Mirror
    from desired_state.trees import Tree
    from desired_state.writing import Author

OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
REPOSITORY = typer.Option(None, "--repository", metavar="NAME", help="Which repository of the settings.")
MESSAGE = typer.Option("", "--message", metavar="TEXT", help="Why; it stands in the commit under its subject.")
SERVICE = typer.Argument(..., metavar="SERVICE", help="The service, by its fleet's short name.")
VERSION = typer.Argument(..., metavar="VERSION", help="The version that it shall have.")
ENVIRONMENTS = typer.Option(..., "--env", metavar="ENV", help="The environment; may be repeated.")
PINS = typer.Option(None, "--sha256", metavar="PACKAGE=HEX", help="Pin an artifact; may be repeated.")
PACKAGE = typer.Option(None, "--package", metavar="NAME", help="Which package, where the fleet has several.")
FLEET = typer.Argument(None, metavar="[ENV/SERVICE]", help="The fleet.")
TO = typer.Option(
    None, "--to", metavar="VERSION|COMMIT", help="An earlier version, or a commit; left out: the one before."
)
MANUAL = typer.Option(
    False,
    "--manual",
    help="Change nothing: print what to run on AWS while Spinnaker is away. Needs no Git, no Gate.",
)
PATH = typer.Option(None, "--path", metavar="FOLDER", help="With --manual: a checkout, where the ledger is away.")
COMMIT = typer.Option(None, "--commit", metavar="SHA", help="Undo this commit for the fleets that are still on it.")


def bump(  # noqa: PLR0917  typer calls it by name
    service: str = SERVICE,
    version: str = VERSION,
    env: list[str] = ENVIRONMENTS,
    package: str | None = PACKAGE,
    sha256: list[str] | None = PINS,
    message: str = MESSAGE,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Set the version of a service in one environment or several, by a commit."""
    from desired_state import writing
    from desired_state.edits import Edit

    fleets = [fleet_name(f"{environment}/{service}") for environment in dict.fromkeys(env)]
    edit = Edit(version=version, package=package, sha256=_pins(sha256 or ()) or None)
    settings = settings_of(config)
    chosen = repository_of(settings, repository)
    with mirror_of(settings, chosen) as mirror, reaching_git():
        with progress("pushing a commit ..."):
            _check_declared(mirror.tree(mirror.fetch().sha).under(chosen.path), fleets)
            try:
                made = writing.bump(mirror, fleets, edit, author=_person(), message=message, folder=chosen.path)
            except writing.NothingToChange as same:
                _report(None, fleets, str(same), output)
                return
    _report(made, fleets, made.subject, output)


def _pins(pins: Sequence[str]) -> dict[str, str]:
    pairs = [pin.partition("=") for pin in pins]
    for package, equals, value in pairs:
        if not package or not equals or len(value) != 64 or set(value.lower()) - set("0123456789abcdef"):
            raise Refused(f"--sha256 {package}{equals}{value}: write PACKAGE=HEX with 64 hexadecimal characters")
    return {package: value.lower() for package, _, value in pairs}


def _check_declared(tree: "Tree", fleets: Sequence[FleetName]) -> None:
    """Refuses fleets that have no file, and names those that are like them."""
    from desired_state.layout import Kind, fleet_path, place

    entries = tree.entries()
    for fleet in fleets:
        if fleet_path(fleet) not in entries:
            places = (place(path) for path in entries)
            known = [f"{found.environment}/{found.name}" for found in places if found.kind is Kind.FLEET]
            raise Refused(unknown(fleet, sorted(known), "the repository"))


def rollback(  # noqa: PLR0917  typer calls it by name
    fleet: str | None = FLEET,
    to: str | None = TO,
    commit: str | None = COMMIT,
    manual: bool = MANUAL,
    path: Path | None = PATH,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Set a fleet back to what it was told before, or undo one commit for the fleets still on it; by a commit."""
    if manual:
        if fleet is None or commit is not None:
            raise Refused("--manual goes with a fleet, ENV/SERVICE, and maybe --to VERSION")
        by_hand.manual(fleet, to, path, config, output)
        return
    if path is not None:
        raise Refused("--path goes with --manual; without it the fleet is set back by a commit")
    if (fleet is None) == (commit is None):
        raise Refused("say either a fleet, ENV/SERVICE, or --commit SHA")
    if commit is not None and to is not None:
        raise Refused("--to goes with a fleet; --commit always goes back to what was before that commit")
    settings = settings_of(config)
    chosen = repository_of(settings, repository)
    with mirror_of(settings, chosen) as mirror, reaching_git():
        with progress("looking at history and pushing a commit ..."):
            fleets, made = _roll_back(mirror, chosen.path, fleet, to, commit)
    _report(made, fleets, made.subject, output)


def _roll_back(
    mirror: "Mirror", folder: str, fleet: FleetName | None, to: str | None, commit: Sha | None
) -> tuple[list[FleetName], Revision]:
    from desired_state import writing
    from fairlead import wiring
    from fairlead.commands.past import Past

    head = mirror.fetch()
    past = Past(mirror, wiring.parser(), head, folder)
    if fleet is None:
        undone = mirror.revision(commit or "").sha
        fleets = past.still_on(undone)
        earlier = past.parent(undone)
    else:
        fleets = [fleet_name(fleet)]
        _check_declared(mirror.tree(head.sha).under(folder), fleets)
        undone = "" if to else past.setting(fleet)
        earlier = past.told(fleet, to) if to else past.before(fleet, undone)
    made = writing.restore(mirror, fleets, to=earlier, reverts=undone or None, author=_person(), folder=folder)
    return fleets, made


def _person() -> "Author":
    """Who runs the command, as their own git names them."""
    from desired_state.writing import Author

    name, email = (_git_config(key) for key in ("user.name", "user.email"))
    return Author(name=name or getpass.getuser(), email=email or f"{getpass.getuser()}@localhost")


def _git_config(key: str) -> str:
    done = subprocess.run(["git", "config", "--get", key], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _report(made: Revision | None, fleets: Sequence[FleetName], message: str, output: Output) -> None:
    if output is Output.JSON:
        json_document({"commit": made.sha if made else None, "fleets": list(fleets), "message": message})
        return
    if made is None:
        say(message)
        return
    say(f"pushed {made.short}: {message}")
    say(f"Fairlead converges {', '.join(fleets)} when it sees the commit; follow it with fairlead status {fleets[0]}")


COMMANDS = (bump, rollback)
