"""What is said at the end: every commit with its statuses as the git server has them, times, and what was missing."""

import json
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from adapters.forges.git_notes import REF
from fairlead_sandbox.demo.controller_process import ControllerProcess
from fairlead_sandbox.demo.picture import STYLES
from fairlead_sandbox.demo.play import Missing, Told
from fairlead_sandbox.demo.stage import Stage
from fairlead_sandbox.demo.story import Story

WIDE = 44


def notes_as_git_says(stage: Stage) -> str:
    """The story's commits with their notes, fetched from the git server into a person's clone and shown by git."""
    git, commits = stage.world.checkout.git, list(stage.commits.values())
    git("fetch", "--quiet", "origin", "+refs/heads/main:refs/remotes/origin/main", "+refs/notes/*:refs/notes/*")
    shape = ("--no-walk=unsorted", "--no-notes", f"--notes={REF}", "--format=commit %h  %s%n%N")
    return git("log", *shape, *commits)


def print_commits(console: Console, said: str) -> None:
    """Git's own lines, with colour where there is a terminal; a long line wraps at its own end only."""
    console.print(Text("git log --notes=fairlead", style="bold"))
    for line in said.splitlines():
        is_commit = line.startswith("commit ")
        style = "cyan" if is_commit else STYLES.get(line.split(" ", 1)[0], "")  # type: ignore[call-overload]
        if line:
            console.print(Text(line if is_commit else f"    {line}", style=style), soft_wrap=True)


def print_times(console: Console, told: Sequence[Told]) -> None:
    """How long each step took, and what was seen as proof."""
    for number, one in enumerate(told):
        console.print(Text(f"\n{number}. {one.story.title}", style="bold"))
        for step in one.steps:
            row = Text.assemble(
                f"   {step.seconds:5.1f} s  ",
                f"{step.what:<{WIDE}}",
                (f"  {step.seen}", "dim"),
                no_wrap=True,
                overflow="ellipsis" if console.is_terminal else "ignore",
            )
            console.print(row, soft_wrap=not console.is_terminal)


def print_summary(console: Console, told: Sequence[Told], stories: Sequence[Story], seconds: float) -> None:
    """A line a story."""
    console.print()
    by_story = {id(one.story): one for one in told}
    for number, story in enumerate(stories):
        one = by_story.get(id(story))
        if one is not None and one.happened:
            console.print(
                Text.assemble(("✓ ", "green"), f"{number}. {story.happened}", (f"  {one.seconds:.1f} s", "dim"))
            )
        elif one is not None:
            console.print(Text.assemble(("✗ ", "red"), f"{number}. {story.title}: did not happen"))
        else:
            console.print(Text.assemble(("- ", "dim"), f"{number}. {story.title}: not played"))
    done = sum(one.happened for one in told)
    console.print(f"\n{done - 1 if done else 0} of {len(stories) - 1} stories happened, in {seconds:.0f} s")


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
    """Log lines as people read them: an exception is its last line."""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            yield line
            continue
        if not isinstance(entry, dict):
            yield line
            continue
        first = f"{str(entry.pop('timestamp', ''))[11:19]} {entry.pop('level', ''):<7} {entry.pop('event', '')}"
        if "exception" in entry:
            entry["exception"] = str(entry["exception"]).strip().rpartition("\n")[2]
        yield "  ".join([first, *(f"{key}={value}" for key, value in entry.items() if value is not None)])
