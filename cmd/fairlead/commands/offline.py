"""Commands that need files only: validate, plan, schemas. They run in a pull request's checks as on a laptop."""

import json
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from desired_state.changes import Effect, compare
from desired_state.model import DesiredState, Problem, Severity
from fairlead.commands.opening import reaching_git
from fairlead.commands.plan_text import as_json, as_markdown, as_text
from fairlead.exit_codes import ExitCode, Refused
from fairlead.rendering import Output, count, json_document, progress, say
from reconciler.plan_images import image_findings, is_wrong

if TYPE_CHECKING:
    from fairlead.commands.clone import Clone

NOTHING = DesiredState(environments=(), fleets={}, declared=frozenset())


class PlanOutput(StrEnum):
    """What `-o` of plan takes."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


OUTPUT = typer.Option(Output.TEXT, "-o", "--output", help="text or json.")
PLAN_OUTPUT = typer.Option(PlanOutput.TEXT, "-o", "--output", help="text, json or markdown.")
FOLDER = typer.Argument(Path(), metavar="[PATH]", help="The folder with fairlead.yaml.")
REPOSITORY = typer.Option(Path(), "--repository", metavar="PATH", help="A clone of the desired-state repository.")
BASE = typer.Option(
    None,
    "--base",
    metavar="REF",
    help="Compare with this; left out: where the head left origin's main, or its first parent.",
)
HEAD = typer.Option("HEAD", "--head", metavar="REF", help="The commit to judge.")
EXPLAIN = typer.Option(False, "--explain", help="Show where each effective value comes from.")
IMAGES = typer.Option(False, "--images", help="Look the AMIs up that would be deployed; needs access to AWS.")
ONLY = typer.Option(None, "--fleet", metavar="ENV/SERVICE", help="Only this fleet; may be repeated.")
WRITE = typer.Option(None, "--write", metavar="FOLDER", help="Write one file a schema instead of printing them.")


def validate(path: Path = FOLDER, output: Output = OUTPUT) -> None:
    """Judge a folder of desired state. Prints `file:line:column: message`; exits 1 where something is wrong."""
    from desired_state.trees import FolderTree
    from fairlead import wiring

    if not path.is_dir():
        raise Refused(f"{path}: there is no such folder; name the one that holds fairlead.yaml")
    try:
        with progress(f"reading {path} ..."):
            state = wiring.parser().parse(FolderTree(path))
    except OSError as error:
        raise Refused(f"{error.filename or path}: {error.strerror}; it must be readable") from error
    if output is Output.JSON:
        json_document(_verdict(state))
    else:
        _say_problems(state)
    raise typer.Exit(ExitCode.FOUND if state.errors else ExitCode.OK)


def _verdict(state: DesiredState) -> dict[str, Any]:
    return {
        "fleets": len(state.fleets),
        "errors": len(state.errors),
        "warnings": len(state.problems) - len(state.errors),
        "problems": [problem_facts(problem) for problem in state.problems],
    }


def problem_facts(problem: Problem) -> dict[str, Any]:
    """A problem as scripts see it."""
    keys = ("file", "line", "column", "severity", "message", "fleets")
    return {key: getattr(problem, key) for key in keys}


def _say_problems(state: DesiredState) -> None:
    for problem in state.problems:
        say(f"{problem}" + ("  (warning)" if problem.severity is Severity.WARNING else ""))
    sound, broken = count(len(state.fleets), "fleet"), len(state.broken)
    warnings = len(state.problems) - len(state.errors)
    parts = [f"{sound} sound", f"{broken} broken" if broken else ""]
    parts += [count(len(state.errors), "error") if state.errors else "", count(warnings, "warning") if warnings else ""]
    say(", ".join(part for part in parts if part))


def plan(
    repository: Path = REPOSITORY,
    base: str | None = BASE,
    head: str = HEAD,
    explain: bool = EXPLAIN,
    fleet: list[str] | None = ONLY,
    images: bool = IMAGES,
    output: PlanOutput = PLAN_OUTPUT,
) -> None:
    """Say what merging a change would do to each fleet. Exits 1 where the head has errors, or an AMI is missing."""
    from fairlead.commands.clone import Clone

    with reaching_git(), progress("comparing two revisions ..."), closing(Clone(repository)) as clone:
        facts = _plan(clone, base, head, explain, frozenset(fleet or ()), images)
    if output is PlanOutput.JSON:
        json_document(as_json(facts))
    else:
        say(as_markdown(facts) if output is PlanOutput.MARKDOWN else as_text(facts))
    raise typer.Exit(ExitCode.FOUND if facts["errors"] or any(map(is_wrong, facts["images"])) else ExitCode.OK)


def _plan(
    clone: "Clone", base: str | None, head: str, explain: bool, only: frozenset[str], images: bool
) -> dict[str, Any]:
    from fairlead import wiring

    parser = wiring.parser()
    new = clone.commit(head)
    old = clone.commit(base) if base is not None else clone.base_of(new)
    before = parser.parse(clone.tree(old)) if old else NOTHING
    after = parser.parse(clone.tree(new))
    _check_names(only, before, after)
    all_changes = compare(before, after)
    changes = [change for change in all_changes if not only or change.fleet in only]
    explained = [] if not explain else sorted(only) or [change.fleet for change in changes if change.after]
    tree = clone.tree(new)
    return {
        "base": old,
        "head": new,
        "changes": changes,
        "deploys": sum(change.effect in {Effect.DEPLOY, Effect.ADDED} for change in changes),
        "unchanged": len(after.declared) - sum(change.effect is not Effect.REMOVED for change in all_changes),
        "problems": after.problems,
        "errors": len(after.errors),
        "images": image_findings(changes, all_changes, wiring.images_of) if images else [],
        "explain": {name: parser.explain(tree, name) for name in explained if name in after.fleets},
    }


def _check_names(only: frozenset[str], before: DesiredState, after: DesiredState) -> None:
    from fairlead.commands.opening import fleet_name

    known = before.declared | after.declared
    for name in sorted(only):
        if fleet_name(name) not in known:
            raise Refused(f"{name} is declared neither at the base nor at the head")


def schemas(write: Path | None = WRITE, output: Output = OUTPUT) -> None:
    """Print the JSON Schemas of all file formats, for editors; with --write as files."""
    from desired_state.schemas import schemas as all_schemas
    from fairlead import wiring

    documents = all_schemas(wiring.deploy_settings())
    if write is None:
        json_document(documents)
        return
    try:
        write.mkdir(parents=True, exist_ok=True)
        for name, document in documents.items():
            (write / name).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    except OSError as error:
        raise Refused(f"{write}: {error.strerror}; name a folder that can be written with --write") from error
    if output is Output.JSON:
        json_document({"folder": str(write), "files": sorted(documents)})
    else:
        say(f"{count(len(documents), 'schema')} in {write}: {', '.join(sorted(documents))}")


COMMANDS = (validate, plan, schemas)
