"""What is said at the end: every commit with its statuses as the git server has them, times, and what was missing."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.forges.git_notes import REF
from fairlead_sandbox.demo.controller_process import ControllerProcess
from fairlead_sandbox.demo.picture import STYLES
from fairlead_sandbox.demo.play import Missing, Told
from fairlead_sandbox.demo.stage import Stage
from fairlead_sandbox.demo.story import Story
from reconciler.record import State

WIDE = 44  # characters of what was done or seen
WIDEST_CONTEXT = 25


def notes_as_git_says(stage: Stage) -> str:
    """The story's commits with their notes, fetched from the git server into a person's clone and shown by git."""
    git, commits = stage.world.checkout.git, list(stage.commits.values())
    git("fetch", "--quiet", "origin", "+refs/heads/main:refs/remotes/origin/main", "+refs/notes/*:refs/notes/*")
    shape = ("--no-walk=unsorted", "--no-notes", f"--notes={REF}", "--format=commit %h  %s%n%N")
    return git("log", *shape, *commits)


def print_commits(console: Console, said: str) -> None:
    """Git's own lines; a terminal gets colours, and long descriptions wrap beside their context."""
    console.print(Text("\ngit log --notes=fairlead", style="bold"))
    for line in filter(None, said.splitlines()):
        if line.startswith("commit "):
            console.print(
                Text(line, style="cyan"), no_wrap=True, overflow="ellipsis", soft_wrap=not console.is_terminal
            )
        elif console.is_terminal:
            console.print(_in_columns(line))
        else:
            console.print(Text(f"    {line}"), soft_wrap=True)


def _in_columns(line: str) -> Table:
    """State, context and the rest: the double spaces of a note's line are its columns."""
    state, context, rest = [*line.split(maxsplit=2), "", ""][:3]
    style = STYLES[State(state)] if state in set(State) else ""
    return _row((9, WIDEST_CONTEXT), Text(f"  {state}", style=style), context, rest)


def print_times(console: Console, told: Sequence[Told]) -> None:
    """How long each step took, and what was seen as proof: beside it on a terminal, at the line's end in a pipe."""
    for number, one in enumerate(told):
        console.print(Text.assemble((f"\n{number}. {one.story.title}", "bold"), (f"  {one.seconds:.1f} s", "dim")))
        for step in one.steps:
            seconds = f"   {step.seconds:5.1f} s"
            if console.is_terminal:
                console.print(_row((11, WIDE), seconds, step.what, Text(step.seen, style="dim")))
            else:
                console.print(Text(f"{seconds}  {step.what:<{WIDE}}  {step.seen}"), soft_wrap=True)


def _row(widths: Sequence[int], *cells: Text | str) -> Table:
    """One line with fixed columns; what does not fit the last one wraps there."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for width in widths:
        table.add_column(width=width)
    table.add_column()
    table.add_row(*cells)
    return table


def print_summary(console: Console, told: Sequence[Told], stories: Sequence[Story], seconds: float) -> None:
    """A line a story."""
    console.print()
    for number, story in enumerate(stories):
        one = told[number] if number < len(told) else None
        console.print(_summary(number, story, one), soft_wrap=True)
    done = sum(one.happened for one in told[1:])  # the opening is none of them
    console.print(f"\n{done} of {len(stories) - 1} stories happened, in {seconds:.0f} s")


def _summary(number: int, story: Story, one: Told | None) -> Text:
    if one is None:
        return Text(f"- {number}. {story.title}: not played", style="dim")
    if one.happened:
        return Text.assemble(("✓ ", "green"), f"{number}. {story.happened}", (f"  {one.seconds:.1f} s", "dim"))
    return Text.assemble(("✗ ", "red"), f"{number}. {story.title}: did not happen")


def print_missing(console: Console, missing: Missing, controller: ControllerProcess) -> None:
    """Expected against seen, and the end of the controller's log without tracebacks."""
    console.print(Text("\nwhat was missing", style="bold red"))
    console.print(Text(f"  expected  {missing.expected}"), soft_wrap=True)
    console.print(Text(f"  seen      {missing.seen}"), soft_wrap=True)
    if missing.why:
        console.print(Text(f"  given up  {missing.why}"), soft_wrap=True)
    console.print(Text(f"\nthe last lines of {controller.log}", style="bold"), soft_wrap=True)
    for line in readable(controller.tail()):
        console.print(Text(f"  {line}", style="dim"), soft_wrap=True)


def readable(lines: Sequence[str]) -> Iterator[str]:
    """Log lines as people read them: of an exception its last line is left."""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            if not line.startswith(("Traceback", " ")):
                yield line
            continue
        yield _entry(entry) if isinstance(entry, dict) else line


def _entry(entry: dict[str, Any]) -> str:
    first = f"{str(entry.pop('timestamp', ''))[11:19]} {entry.pop('level', ''):<7} {entry.pop('event', '')}"
    if "exception" in entry:
        entry["exception"] = str(entry["exception"]).strip().rpartition("\n")[2]
    return "  ".join([first, *(f"{key}={value}" for key, value in entry.items() if value is not None)])
