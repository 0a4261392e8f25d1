"""How a scene looks on a terminal: the stories, the fleets, the commits with their statuses."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from adapters.forges.git_notes import Line
from fairlead_sandbox.demo.play import Told
from fairlead_sandbox.demo.scene import CommitView, FleetView, Scene
from fairlead_sandbox.demo.story import FLEET
from reconciler.reasons import Reason
from reconciler.record import State

STYLES = {State.SUCCESS: "green", State.FAILURE: "red", State.ERROR: "magenta", State.PENDING: "yellow"}
MARKS = {State.SUCCESS: "✓", State.FAILURE: "✗", State.ERROR: "!", State.PENDING: "●"}
STANDS = {"Ready": "green", "Reconciling": "yellow", "Held": "magenta", "Stalled": "red", "Diverted": "red"}
FLEET_LINES = 2  # of one commit


class Picture:
    """Draws scenes one after another; it keeps the spinner, so that it goes on turning."""

    def __init__(self) -> None:
        self._spinner = Spinner("dots", style="yellow")

    def draw(self, scene: Scene, told: Sequence[Told], height: int) -> RenderableType:
        """The whole of it, with as many commits as fit into so many lines."""
        top = [*self._story_lines(told), Text(), fleet_table(scene.fleets), Text()]
        left = height - 1 - len(top) - len(scene.fleets)
        return Group(*top, *islice(chain.from_iterable(map(commit_lines, scene.commits)), max(left, 0)))

    def _story_lines(self, told: Sequence[Told]) -> Iterator[RenderableType]:
        yield Text.assemble(("Fairlead", "bold"), ("  four stories on a world of its own", "dim"))
        for number, one in enumerate(told):
            if one.happened:
                yield Text.assemble(("✓ ", "green"), _title(number, one), (f"  {one.seconds:.0f} s", "dim"))
            elif one.missing is not None:
                yield Text.assemble(("✗ ", "bold red"), _title(number, one), (f"  {one.missing.expected}", "red"))
            else:
                yield self._turning(number, one)

    def _turning(self, number: int, one: Told) -> RenderableType:
        self._spinner.update(
            text=Text.assemble(
                (_title(number, one), "bold"),
                (f"  {one.waits_for} … {one.waiting:.0f} s", "yellow"),
                overflow="ellipsis",
                no_wrap=True,
            )
        )
        return self._spinner


def _title(number: int, one: Told) -> str:
    return f"{number}  {one.story.title}" if number else f"   {one.story.title}"


def fleet_table(fleets: Sequence[FleetView]) -> Table:
    """One line a fleet: nothing wraps, the sentence is cut."""
    table = Table(box=None, pad_edge=False, header_style="bold dim", expand=True)
    table.add_column("fleet", no_wrap=True)
    table.add_column("wants", no_wrap=True, min_width=5)
    table.add_column("runs", no_wrap=True, min_width=12)
    table.add_column("stands", no_wrap=True, min_width=11)
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("s", no_wrap=True, justify="right", min_width=3)
    for fleet in fleets:
        table.add_row(*_cells(fleet), style="" if fleet.name == FLEET or not fleet.ready else "dim")
    return table


def _cells(fleet: FleetView) -> tuple[Text, ...]:
    off = fleet.runs != fleet.wants or not fleet.healthy
    return (
        Text(fleet.name),
        Text(fleet.wants),
        Text(fleet.runs or "-", style="yellow" if off else ""),
        Text(fleet.stands, style=STANDS.get(fleet.stands, "dim")),
        Text(_why(fleet)),
        Text("" if fleet.seconds is None else f"{fleet.seconds:.0f}"),
    )


def _why(fleet: FleetView) -> str:
    if not fleet.sentence:
        return "nobody has looked yet"
    plain = fleet.ready and fleet.reason is Reason.SUCCEEDED
    return fleet.sentence if plain else f"{fleet.reason}: {fleet.sentence}"


def commit_lines(commit: CommitView) -> Iterator[Text]:
    """A commit with what is said on it: on whole environments as marks before its subject, on fleets below it."""
    head = Text(commit.short, style="cyan", overflow="ellipsis", no_wrap=True)
    whole = [line for line in commit.lines if line.context.count("/") == 1]
    for line in sorted(whole, key=lambda line: line.context):
        head.append("  ").append_text(_mark(line)).append(line.context.removeprefix("fairlead/"), style="dim")
    yield head.append(f"  {commit.subject}", style="default")
    yield from _fleet_lines(commit)


def _fleet_lines(commit: CommitView) -> Iterator[Text]:
    lines = [line for line in commit.lines if line.context.count("/") == 2]
    for number, line in enumerate(lines[:FLEET_LINES]):
        more = len(lines) - FLEET_LINES if number == FLEET_LINES - 1 else 0
        yield Text.assemble(
            "         ",
            _mark(line),
            " ",
            (f"{line.state:<8}", STYLES[line.state]),
            line.context,
            "  ",
            line.description,
            (f"  (+{more} more)" if more > 0 else "", "dim"),
            overflow="ellipsis",
            no_wrap=True,
        )


def _mark(line: Line) -> Text:
    return Text(MARKS[line.state], style=STYLES[line.state])
