"""The command line: one typer app, one place where an expected error becomes a sentence and an exit code."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from fairlead.commands import (
    changes,
    doctor,
    groups,
    hosts,
    importing,
    live,
    offline,
    people,
    pipelines,
    promoting,
    running,
    setup,
    statuses,
    suspending,
    trigger,
    where,
)
from fairlead.exit_codes import Refused
from fairlead.rendering import seen


class Sentences(TyperGroup):
    """Ends with one sentence on stderr where a command raises `Refused`: never a traceback for the expected."""

    def invoke(self, ctx: Any) -> Any:
        """Raises `typer.Exit` with the code that the refusal carries."""
        try:
            return super().invoke(ctx)
        except Refused as refusal:
            print(f"fairlead: {seen(str(refusal))}", file=sys.stderr)
            raise typer.Exit(refusal.code) from refusal


app = typer.Typer(
    cls=Sentences,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help and plain errors: they are piped and quoted
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="GitOps for EC2 fleets: a Git repository says which version runs where, and Fairlead makes it so.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"fairlead {version('fairlead')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say the version and end."),
) -> None:
    """The options that stand before a command."""


for group in (offline, live, where, groups, hosts, changes, promoting, suspending, people, running, doctor, setup):
    for command in group.COMMANDS:
        app.command()(command)
app.command("import")(importing.import_repository)
app.add_typer(trigger.app, name="trigger")
app.add_typer(statuses.app, name="statuses")
app.add_typer(pipelines.app, name="spinnaker")


def main() -> None:
    """The entry point of the `fairlead` program."""
    app()
