"""What is said at the end: every commit with its statuses as the forge has them, times, and what was missing."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairlead_sandbox.demo import by_trigger
from fairlead_sandbox.demo.controller_process import ControllerProcess
from fairlead_sandbox.demo.picture import STYLES
from fairlead_sandbox.demo.play import Half, Missing, Told
from fairlead_sandbox.demo.scene import git, statuses
from fairlead_sandbox.demo.stage import SETTINGS, Stage
from fairlead_sandbox.demo.story import Story
from reconciler.record import State

WIDE = 44  # characters of what was done or seen
WIDEST_CONTEXT = 27
ASKED = "GET /repos/sandbox/main/commits/<commit>/status"  # of the forge, for each commit


def statuses_as_the_forge_says(stage: Stage) -> str:
    """The story's commits, each with a line a context, as the forge's API gives them."""
    subjects = git(stage.repository, "log", "--no-walk=unsorted", "--format=%s", *stage.commits.values()).splitlines()
    said = []
    for sha, subject in zip(stage.commits.values(), subjects, strict=True):
        said += [f"commit {sha[:7]}  {subject}", *map(str, statuses(stage.person, sha))]
    return "\n".join(said) + "\n"


def print_commits(console: Console, said: str) -> None:
    """The forge's own words. A terminal gets colours, and of what is said on environments and validation the number."""
    console.print(Text(f"\n{ASKED}", style="bold"), overflow="ellipsis", no_wrap=True)
    for commit in re.split(r"^commit ", said, flags=re.MULTILINE)[1:] if console.is_terminal else ():
        _print_commit(console, *filter(None, commit.splitlines()))
    for line in filter(None, () if console.is_terminal else said.splitlines()):
        console.print(Text(line if line.startswith("commit ") else f"    {line}"), soft_wrap=True)


def _print_commit(console: Console, head: str, *lines: str) -> None:
    console.print(Text(f"commit {head}", style="cyan"), no_wrap=True, overflow="ellipsis")
    on_fleets = [line for line in lines if line.split()[1].count("/") == 2]
    for line in on_fleets:
        console.print(_in_columns(line))
    if len(on_fleets) < len(lines):
        console.print(Text(f"  + {len(lines) - len(on_fleets)} on environments and validation", style="dim"))


def _in_columns(line: str) -> Table:
    """State, context and the rest: the double spaces of a line are its columns."""
    state, context, rest = [*line.split(maxsplit=2), "", ""][:3]
    style = STYLES[State(state)] if state in set(State) else ""
    return _row((9, WIDEST_CONTEXT), Text(f"  {state}", style=style), context, rest)


def print_times(console: Console, told: Sequence[Told]) -> None:
    """When each step was seen, in seconds after the deed, and what was seen as proof.

    A terminal has both halves side by side, a pipe a line each.
    """
    for number, one in enumerate(told):
        console.print(Text.assemble((f"\n{number}. {one.story.title}", "bold"), (f"  {one.seconds:.1f} s", "dim")))
        if console.is_terminal:
            console.print(_side_by_side(one.halves))
            continue
        for half in one.halves:
            for step in half.steps:
                line = f"   {step.at:5.1f} s  {half.track.by:<9}  {step.what:<{WIDE}}  {step.seen}"
                console.print(Text(line), soft_wrap=True)


def _side_by_side(halves: Sequence[Half]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in halves[:2]:
        table.add_column(ratio=1)
    table.add_row(*(_column(half) for half in halves[:2]))
    for half in halves[2:]:
        table.add_row(_column(half))
    return table


def _column(half: Half) -> Table:
    """Its steps below one another, each with its proof under it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=8, justify="right")
    table.add_column(ratio=1)
    table.add_row("", Text(half.track.by, style="bold cyan"))
    for step in half.steps:
        table.add_row(Text(f"{step.at:.1f} s", style="bold" if step.timed else ""), Text(step.what))
        table.add_row("", Text(step.seen, style="dim"))
    return table


def _row(widths: Sequence[int], *cells: Text | str) -> Table:
    """One line with fixed columns; what does not fit the last one wraps there."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for width in widths:
        table.add_column(width=width)
    table.add_column()
    table.add_row(*cells)
    return table


def print_summary(console: Console, told: Sequence[Told], stories: Sequence[Story], seconds: float) -> None:
    """A row a story: both halves with their seconds, and what they came to. Then what the seconds mean."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("seconds from the merge until", no_wrap=True)
    table.add_column("by Spinnaker (played bakes)")
    table.add_column(f"by trigger ({by_trigger.HOSTS} agents)")
    for number, story in enumerate(stories):
        table.add_row(*_summary(number, story, told[number] if number < len(told) else None))
    console.print()
    console.print(table)
    console.print(Text(f"\n{_meaning()}", style="dim"))
    done = sum(one.happened for one in told[1:])  # the opening is none of them
    console.print(f"\n{done} of {len(stories) - 1} stories happened, in {seconds:.0f} s")


def _summary(number: int, story: Story, one: Told | None) -> Iterator[Text]:
    mark, style = ("- ", "dim") if one is None else ("✓ ", "green") if one.happened else ("✗ ", "red")
    yield Text.assemble((mark, style), f"{number}. {story.title}")
    if one is None or not one.happened:
        yield Text("not played" if one is None else "did not happen", style=style)
        return
    for half in one.halves:
        if half.timed is not None:
            yield Text.assemble((f"{half.timed:5.1f} s", "bold"), f"  {half.track.outcome}")


def _meaning() -> str:
    """Nobody is to take a played image bake for a real one."""
    bake, deploy = SETTINGS.gate.bake_seconds, SETTINGS.gate.deploy_seconds
    return (
        f"Played: AWS, the forge, and Gate, which here bakes in {bake} s and deploys in {deploy} s; a real bake and "
        "boot take minutes. Real, on this machine: git, the merges, the controller, the agents with their orders, "
        "downloads, restarts and health checks. In 0 and 5 nothing is merged: their seconds count from what was done."
    )


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
