"""bump and rollback: what a fleet is told to run, by a commit or a pull request, as its environment says."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from desired_state.model import FleetName, Sha
from fairlead.commands import by_hand
from fairlead.commands.desk import MESSAGE, PULL_REQUEST, REPOSITORY, Desk, Done, Order, Way, check_declared, desk, note
from fairlead.commands.opening import CONFIG, fleet_name
from fairlead.commands.outcomes import TIMEOUT, WAIT, conclude, waiting
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, progress, seen

if TYPE_CHECKING:
    from desired_state.edits import Edit
    from desired_state.writing import Note

OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
WHAT = typer.Argument(..., metavar="SERVICE VERSION", help="A service and its version, or several SERVICE=VERSION.")
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
PROPOSE = typer.Option(
    None,
    "--pull-request/--no-pull-request",
    help="Open a pull request, or commit; left out: as the environment says.",
)


def bump(  # noqa: PLR0917  typer calls it by name
    what: list[str] = WHAT,
    env: list[str] = ENVIRONMENTS,
    package: str | None = PACKAGE,
    sha256: list[str] | None = PINS,
    message: str = MESSAGE,
    pull_request: bool | None = PULL_REQUEST,
    wait: bool = WAIT,
    timeout: str = TIMEOUT,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Set the version of a service, or of several, in one environment or several; by one commit or pull request."""
    from desired_state.edits import Edit, is_version

    within = waiting(wait, timeout)
    wanted = _wanted(what)
    if wrong := next((version for version in wanted.values() if not is_version(version)), None):
        raise Refused(f"{wrong!r} is no version: write one without spaces, such as 1.4.2")
    if len(wanted) > 1 and (package or sha256):
        raise Refused("--package and --sha256 go with one service: bump the others by themselves")
    pins = _pins(sha256 or ()) or None
    edits = {
        fleet_name(f"{environment}/{service}"): (Edit(version=version, package=package, sha256=pins),)
        for environment in dict.fromkeys(env)
        for service, version in wanted.items()
    }
    said = note("bump", message)
    versions = dict.fromkeys(wanted.values())
    with desk(config, repository) as found:
        check_declared(found.tree(), list(edits))
        about = next(iter(versions)) if len(versions) == 1 else ""
        done = found.carry(bumped(found, "bump", edits, said, about), pull_request)
        conclude(found, done, output, within)


def bumped(found: Desk, command: str, edits: "Mapping[FleetName, Sequence[Edit]]", said: "Note", about: str) -> Order:
    """The order to make these edits, in a branch that is named after `about` where it needs one."""
    from desired_state.writing import bumping

    if not about:
        about = "-".join(dict.fromkeys(edit.version for several in edits.values() for edit in several))
    return Order(
        command=command,
        scopes=tuple(edits),
        wish=lambda some: bumping(found.mirror, {each: edits[each] for each in some}, note=said, folder=found.folder),
        about=about,
        thought_out=command == "promote",
    )


def _wanted(what: Sequence[str]) -> dict[str, str]:
    """Versions by service. Refuses what is neither `SERVICE VERSION` nor pairs."""
    if len(what) == 2 and not any("=" in each for each in what):
        return {what[0]: what[1]}
    pairs = [each.partition("=") for each in what]
    if not all(service and version for service, _, version in pairs):
        raise Refused("say SERVICE VERSION, such as checkout 1.4.2, or pairs, such as checkout=1.4.2 basket=2.0.0")
    wanted = {service: version for service, _, version in pairs}
    if len(wanted) < len(pairs):
        twice = next(service for service in wanted if sum(service == pair[0] for pair in pairs) > 1)
        raise Refused(f"{twice} is named twice: say one version for it")
    return wanted


def _pins(pins: Sequence[str]) -> dict[str, str]:
    pairs = [pin.partition("=") for pin in pins]
    for package, equals, value in pairs:
        if not package or not equals or len(value) != 64 or set(value.lower()) - set("0123456789abcdef"):
            raise Refused(f"--sha256 {package}{equals}{value}: write PACKAGE=HEX with 64 hexadecimal characters")
    return {package: value.lower() for package, _, value in pairs}


def rollback(  # noqa: PLR0917  typer calls it by name
    fleet: str | None = FLEET,
    to: str | None = TO,
    commit: str | None = COMMIT,
    manual: bool = MANUAL,
    path: Path | None = PATH,
    message: str = MESSAGE,
    pull_request: bool | None = PROPOSE,
    wait: bool = WAIT,
    timeout: str = TIMEOUT,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Set a fleet back to what it was told before, or undo one commit for the fleets still on it."""
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
    within, said = waiting(wait, timeout), note("rollback", message)
    with desk(config, repository) as found:
        with progress("looking at history ..."):
            planned = _one_back(found, fleet, to, said) if fleet else _commit_back(found, commit or "", said)
        done = [planned] if isinstance(planned, Done) else found.carry(planned, pull_request)
        conclude(found, done, output, within)


def _one_back(found: Desk, fleet: FleetName, to: str | None, said: "Note") -> Order | Done:
    """The order to set one fleet back; `Done` where the last command did so, and going back again would undo it."""
    from fairlead.commands.past import Past

    name = fleet_name(fleet)
    check_declared(found.tree(), [name])
    past = Past(found.mirror, found.parser, found.head, found.folder)
    if to:
        return _restored(found, [name], past.told(name, to), "", said)
    undone = past.setting(name)
    if past.is_rollback(undone):
        message = f"{name} was rolled back already: nothing was pushed; --to goes further back"
        return _done(found, [name], message, undone)
    return _restored(found, [name], past.before(name, undone), undone, said)


def _commit_back(found: Desk, commit: str, said: "Note") -> Order | Done:
    from fairlead.commands.past import Past

    past = Past(found.mirror, found.parser, found.head, found.folder)
    undone = found.mirror.revision(commit).sha
    fleets = past.still_on(undone)
    if not fleets:
        by = past.reverting(undone)
        return _done(found, past.reverted(by), f"{undone[:7]} is taken back already: nothing was pushed", by)
    return _restored(found, fleets, past.parent(undone), undone, said)


def _restored(found: Desk, fleets: Sequence[FleetName], to: Sha, undone: Sha, said: "Note") -> Order:
    from desired_state.writing import restoring

    return Order(
        command="rollback",
        scopes=_by_own_files(found, fleets, to, undone) if undone else tuple(fleets),
        wish=partial(restoring, found.mirror, to=to, reverts=undone or None, note=said, folder=found.folder),
        about=f"to-{to[:7]}",
        thought_out=True,
    )


def _by_own_files(found: Desk, fleets: Sequence[FleetName], to: Sha, undone: Sha) -> tuple[FleetName, ...]:
    """The fleets that their own files bring back; the others are told, and refused where there is none."""
    from desired_state.layout import fleet_path

    now, then = found.tree().entries(), found.tree(to).entries()
    paths = {fleet: (fleet_path(fleet), fleet_path(fleet, ".config")) for fleet in fleets}
    own = tuple(fleet for fleet in fleets if any(now.get(path) != then.get(path) for path in paths[fleet]))
    if others := [fleet for fleet in fleets if fleet not in own]:
        told = (
            f"{', '.join(others)} cannot be set back alone: {undone[:7]} changed a file that is shared with others, "
            "so revert that commit with git"
        )
        if not own:
            raise Refused(told, ExitCode.FOUND)
        typer.echo(seen(told), err=True)
    return own


def _done(found: Desk, fleets: Sequence[FleetName], message: str, stands: Sha) -> Done:
    return Done(how=Way.COMMIT, scopes=tuple(fleets), message=message, branch=found.mirror.branch, stands=stands)


COMMANDS = (bump, rollback)
