"""How a scene looks on a terminal: the stories, the fleets, the commits with their statuses."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fairlead_sandbox.demo.play import Half, Told
from fairlead_sandbox.demo.scene import MIXED, CommitView, FleetView, Line, Scene, UnitView
from fairlead_sandbox.demo.stories import TOLD_OF
from reconciler.reasons import Reason
from reconciler.record import State

STYLES = {State.SUCCESS: "green", State.FAILURE: "red", State.ERROR: "magenta", State.PENDING: "yellow"}
MARKS = {State.SUCCESS: "✓", State.FAILURE: "✗", State.ERROR: "!", State.PENDING: "●"}
STANDS = {"Ready": "green", "Reconciling": "yellow", "Held": "magenta", "Stalled": "red", "Diverted": "red"}
FLEET_LINES = 2  # of one commit
ROOM = 10  # lines for commits: where there are fewer, fleets that nothing is told of stand in one line
MERGE = re.compile(r"^Merge pull request (?=#\d+ from )")  # the number and the branch tell more in little room
MANY = 3  # units of a fleet that are shown one by one


class Picture:
    """Draws scenes one after another; it keeps the spinner, so that it goes on turning."""

    def __init__(self) -> None:
        self._spinner = Spinner("dots", style="yellow")

    def draw(self, scene: Scene, told: Sequence[Told], height: int) -> RenderableType:
        """The whole of it, with as many commits as fit into so many lines."""
        stories = [*self._story_lines(told), Text()]
        under = [Text(), *unit_lines(scene.fleets), Text()]
        left = height - 2 - len(stories) - len(under)
        shown = scene.fleets if left - len(scene.fleets) >= ROOM else shortened(scene.fleets)
        commits = islice(chain.from_iterable(map(commit_lines, scene.commits)), max(left - len(shown) - 1, 0))
        return Group(*stories, fleet_table(shown, len(scene.fleets)), *under, *commits)

    def _story_lines(self, told: Sequence[Told]) -> Iterator[RenderableType]:
        yield Text.assemble(("Fairlead", "bold"), ("  five stories, each for both ways to deploy", "dim"))
        for number, one in enumerate(told):
            if one.happened:
                yield Text.assemble(("✓ ", "green"), _title(number, one), (f"  {_times(one)}", "dim"))
            elif one.missing is not None:
                yield Text.assemble(("✗ ", "bold red"), _title(number, one), (f"  {one.missing.expected}", "red"))
            else:
                yield from self._turning(number, one)

    def _turning(self, number: int, one: Told) -> Iterator[RenderableType]:
        self._spinner.update(text=Text.assemble((_title(number, one), "bold"), (f"  {one.seconds:.0f} s", "dim")))
        yield self._spinner
        for half in one.halves:
            yield _half_line(half)


def _half_line(half: Half) -> Text:
    at = f"{half.seconds:4.0f} s  "
    doing = (half.next.what, "yellow") if half.next is not None else ("✓", "green") if half.over else half.track.does
    last = f"  ({half.steps[-1].what}: {half.steps[-1].seen})" if half.steps else ""
    head = f"     {half.track.by:<10}"
    return Text.assemble(head, at, doing, (last, "dim"), overflow="ellipsis", no_wrap=True)


def _times(one: Told) -> str:
    return ", ".join(f"{half.track.by} {half.timed:.1f} s" for half in one.halves if half.timed is not None)


def _title(number: int, one: Told) -> str:
    return f"{number}  {one.story.title}"


def shortened(fleets: Sequence[FleetView]) -> Sequence[FleetView]:
    """Those that the stories are about, and those that are not ready."""
    return [fleet for fleet in fleets if fleet.name in TOLD_OF or not fleet.ready]


def unit_lines(fleets: Sequence[FleetView]) -> Iterator[Text]:
    """Each fleet of many units, unit by unit: a mark and the version that it runs."""
    for fleet in fleets:
        if len(fleet.units) > MANY:
            line = Text(f"{fleet.name.partition('/')[2]} ", no_wrap=True, overflow="ellipsis")
            for unit in sorted(fleet.units, key=lambda unit: unit.name):
                line.append(" ").append_text(_unit(unit, fleet.wants))  # every one as wide as the version
            yield line


def _unit(unit: UnitView, wants: str) -> Text:
    if unit.runs == MIXED:
        return Text(f"◌ {'·' * len(wants)}", style="yellow")  # between two versions
    if not unit.healthy:
        return Text(f"✗ {unit.runs}", style="red")
    return Text(f"● {unit.runs}", style="green" if unit.runs == wants else "yellow")


def fleet_table(fleets: Sequence[FleetView], of: int) -> Table:
    """One line a fleet, of so many that there are: nothing wraps, the sentence is cut."""
    table = Table(box=None, pad_edge=False, header_style="bold dim", expand=True)
    table.add_column("fleet", no_wrap=True)
    table.add_column("wants", no_wrap=True, min_width=5)
    table.add_column("runs", no_wrap=True, overflow="ellipsis", width=13)
    table.add_column("stands", no_wrap=True, min_width=11)
    table.add_column("why", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("s", no_wrap=True, justify="right", min_width=3)
    for fleet in fleets:
        table.add_row(*_cells(fleet), style="" if fleet.name in TOLD_OF or not fleet.ready else "dim")
    if len(fleets) < of:
        table.add_row(f"+ {of - len(fleets)} more", "", "", "Ready", style="dim")
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
    yield head.append(f"  {MERGE.sub('', commit.subject)}", style="default")
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
