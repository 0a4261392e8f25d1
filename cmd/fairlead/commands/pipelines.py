"""Spinnaker's pipelines from the service files: what would be written, and writing it."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from desired_state.model import DesiredState, FleetName
from fairlead.commands.opening import CONFIG, settings_of, unknown
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, count, json_document, progress, say

if TYPE_CHECKING:
    from adapters.pipelines.building import Wanted
    from adapters.pipelines.comparing import Change, Leftover, Wishes
    from adapters.pipelines.writing import Writer, Written

SCOPE = typer.Argument(None, metavar="[ENV[/SERVICE]]", help="Only these fleets; left out: all.")
FOLDER = typer.Argument(None, metavar="[PATH]", help="The folder with fairlead.yaml; left out: here.")
OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
ADOPT = typer.Option(False, "--adopt", help="Take over pipelines of the same name that Fairlead did not write.")
OVERWRITE = typer.Option(False, "--overwrite", help="Write also what was edited in Spinnaker since; the edit is lost.")
REPOSITORY = typer.Option(
    None, metavar="NAME", help="Whose pipelines they are; left out: by the address of the clone's remote `origin`."
)
YES = typer.Option(False, "--yes", help="Write without asking.")

app = typer.Typer(no_args_is_help=True, help="Prepare Spinnaker deploys: the pipelines.")
pipelines = typer.Typer(no_args_is_help=True, help="Write Spinnaker's pipelines from the service files.")
app.add_typer(pipelines, name="pipelines")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the folder asks for, and what Spinnaker has."""

    changes: Sequence["Change"]
    leftovers: Sequence["Leftover"]
    broken: Sequence[FleetName]

    @property
    def writable(self) -> list["Change"]:
        """What a save would be made for."""
        return [each for each in self.changes if each.written]

    @property
    def settled(self) -> bool:
        """Everything is as the service files say."""
        return not self.broken and all(str(each.state) == "unchanged" for each in self.changes)


@pipelines.command()
def plan(
    scope: str | None = SCOPE,
    path: Path | None = FOLDER,
    *,
    adopt: bool = ADOPT,
    overwrite: bool = OVERWRITE,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Show what `apply` would write to Spinnaker, and what was edited there. Exits 1 where anything is to do."""
    look, _ = _looked(scope, path, _wishes(adopt, overwrite), config, repository)
    if output is Output.JSON:
        json_document(_document(look))
    else:
        _say(look)
    raise typer.Exit(ExitCode.OK if look.settled else ExitCode.FOUND)


@pipelines.command()
def apply(
    scope: str | None = SCOPE,
    path: Path | None = FOLDER,
    *,
    adopt: bool = ADOPT,
    overwrite: bool = OVERWRITE,
    yes: bool = YES,
    repository: str | None = REPOSITORY,
    config: Path | None = CONFIG,
    output: Output = OUTPUT,
) -> None:
    """Write the pipelines to Spinnaker, after showing what changes. Exits 1 where one is not as the file says."""
    if not yes and (output is Output.JSON or not sys.stdin.isatty()):
        raise Refused("nobody can be asked here: look with plan first, then say --yes")
    wishes = _wishes(adopt, overwrite)
    look, writer = _looked(scope, path, wishes, config, repository)
    if output is Output.TEXT:
        _say(look)
    if look.writable and not yes and not typer.confirm(f"Write {count(len(look.writable), 'pipeline')}?"):
        raise Refused("nothing was written", ExitCode.FOUND)
    done = []
    for change in look.writable:
        with progress(f"writing {change.wanted.application}/{change.wanted.name} ..."):
            done.append(writer.write(change, wishes))
        if output is Output.TEXT:
            say(f"{done[-1].end}: {change.wanted.application}/{change.wanted.name}: {done[-1].message}")
    if output is Output.JSON:
        json_document({**_document(look), "written": [_facts_written(each) for each in done]})
    raise typer.Exit(_code(look, done))


def _code(look: Look, done: Sequence["Written"]) -> ExitCode:
    left = [each for each in look.changes if not each.written and str(each.state) != "unchanged"]
    return ExitCode.FOUND if left or look.broken or not all(each.good for each in done) else ExitCode.OK


def _wishes(adopt: bool, overwrite: bool) -> "Wishes":
    from adapters.pipelines.comparing import Wishes

    return Wishes(adopt=adopt, overwrite=overwrite)


# ── looking ──


def _looked(
    scope: str | None, path: Path | None, wishes: "Wishes", config: Path | None, said: str | None
) -> tuple[Look, "Writer"]:
    from adapters.pipelines.building import regions_to_bake, wanted_of
    from adapters.pipelines.comparing import compare, leftovers
    from fairlead.commands.origins import repository_of

    scope, folder = _meant(scope, path)
    state = _parsed(folder)
    repository = repository_of(folder, said)
    fleets = [state.fleets[name] for name in sorted(state.fleets)]
    regions = [regions_to_bake(fleet, fleets, state.broken) for fleet in fleets]
    every = [
        each
        for fleet, bakes_for in zip(fleets, regions, strict=True)
        for each in wanted_of(fleet, bakes_for, repository)
    ]
    chosen = _chosen(state, every, scope)
    writer = _writer(config)
    with progress("asking Spinnaker ..."), _reaching():
        found = writer.found(chosen)
    changes = [each for each in compare(every, found, wishes) if _within(each.wanted.fleet, scope)]
    broken = sorted(name for name in state.broken if _within(name, scope))
    left = list(leftovers(every, found, state.broken, repository))
    return Look(changes=changes, leftovers=left, broken=broken), writer


def _meant(scope: str | None, path: Path | None) -> tuple[str | None, Path]:
    """A single argument that is a folder with desired state is the path."""
    if scope is not None and path is None and (Path(scope) / "fairlead.yaml").is_file():
        return None, Path(scope)
    return scope, path or Path()


def _parsed(folder: Path) -> DesiredState:
    from desired_state.trees import FolderTree
    from fairlead import wiring

    if not folder.is_dir():
        raise Refused(f"{folder}: there is no such folder; name the one that holds fairlead.yaml")
    try:
        with progress(f"reading {folder} ..."):
            return wiring.parser().parse(FolderTree(folder))
    except OSError as error:
        raise Refused(f"{error.filename or folder}: {error.strerror}; it must be readable") from error


def _chosen(state: DesiredState, every: Sequence["Wanted"], scope: str | None) -> list["Wanted"]:
    chosen = [each for each in every if _within(each.fleet, scope)]
    if scope is not None and not any(_within(name, scope) for name in state.declared):
        near = sorted({name if "/" in scope else name.partition("/")[0] for name in state.declared})
        raise Refused(unknown(scope, near, "the folder"))
    if not chosen and not any(_within(name, scope) for name in state.broken):
        raise Refused("no fleet here has `deploy.generate`: there is nothing to write", ExitCode.OK)
    return chosen


def _within(fleet: FleetName, scope: str | None) -> bool:
    return scope in {None, fleet, fleet.partition("/")[0]}


def _writer(config: Path | None) -> "Writer":
    from fairlead.settings import SettingsError
    from fairlead.wiring.pipelines import writer

    try:
        return writer(settings_of(config))
    except SettingsError as error:
        raise Refused(str(error)) from error


@contextmanager
def _reaching() -> Iterator[None]:
    from reconciler.ports import Unreadable

    try:
        yield
    except Unreadable as trouble:
        raise Refused(str(trouble), ExitCode.UNREACHABLE) from trouble


# ── telling ──


def _say(look: Look) -> None:
    for change in look.changes:
        wanted = change.wanted
        say(
            f"{change.state}: {wanted.application}/{wanted.name} ({wanted.purpose} of {wanted.fleet}): {change.message}"
        )
        for line in change.differences.shown:
            say(f"    {line}")
    for name in look.broken:
        say(f"not looked at: {name}: its files are wrong; fairlead validate says how")
    for left in look.leftovers:
        if left.copy:
            say(
                f"a copy: {left.application}/{left.name} (of a pipeline of {left.fleet}): it is left to whoever made it"
            )
        else:
            said = "no fleet here asks for it; delete it in Spinnaker"
            say(f"left over: {left.application}/{left.name} (was written for {left.fleet}): {said}")
    counts = Counter(str(each.state) for each in look.changes)
    say(", ".join(f"{number} {state}" for state, number in counts.items()) or "nothing to write")


def _document(look: Look) -> dict[str, Any]:
    return {
        "pipelines": [_facts(each) for each in look.changes],
        "not_looked_at": list(look.broken),
        "left_over": [_facts_left(each) for each in look.leftovers if not each.copy],
        "copies": [_facts_left(each) for each in look.leftovers if each.copy],
    }


def _facts_left(left: "Leftover") -> dict[str, str]:
    return {"application": left.application, "pipeline": left.name, "fleet": left.fleet}


def _facts(change: "Change") -> dict[str, Any]:
    wanted = change.wanted
    return {
        "fleet": wanted.fleet,
        "purpose": wanted.purpose,
        "application": wanted.application,
        "pipeline": wanted.name,
        "state": change.state,
        "message": change.message,
        "writes": change.written,
        "differences": list(change.differences.lines),
        "content": change.wanted.content,
    }


def _facts_written(done: "Written") -> dict[str, Any]:
    wanted = done.change.wanted
    return {
        "application": wanted.application,
        "pipeline": wanted.name,
        "end": done.end,
        "message": done.message,
    }
