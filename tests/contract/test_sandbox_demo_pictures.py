"""How the demo looks on a terminal: both ways to deploy side by side, nothing wider than the window."""

import io
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from rich.console import Console

from fairlead_sandbox.demo.picture import Picture, commit_lines
from fairlead_sandbox.demo.play import Half, Missing, Step, Told
from fairlead_sandbox.demo.report import print_commits, print_summary, print_times
from fairlead_sandbox.demo.scene import MIXED, CommitView, FleetView, Line, Scene, UnitView
from fairlead_sandbox.demo.stories import ALL
from fairlead_sandbox.demo.story import Story, Track
from reconciler.reasons import Reason
from reconciler.record import State

SAID = """commit abc1234  Merge pull request #2 from sandbox/bump-prod-matchmaker-2.4.0
success  fairlead/prod/matchmaker  2.4.0 on 8/8 units in 10 s  (2026-11-24T06:01:09Z)
success  fairlead/prod  1/1 fleets done  (2026-11-24T06:01:09Z)
success  fairlead/validate  12 fleets are sound  (2026-11-24T06:01:09Z)
"""


def drawn(draw: Callable[[Console], None], width: int = 100, *, terminal: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False)
    draw(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def half(track: Track, seen: int | None = None) -> Half:
    steps = [Step(what=track.does, seen="pull request #2 merged as abc1234", at=0.0)]
    for place, each in enumerate(track.expects[:seen], 1):
        steps.append(Step(what=each.what, seen="so it is, " * 8, at=1.5 * place, timed=each.timed))
    return Half(track=track, steps=tuple(steps))


def told(story: Story) -> Told:
    return Told(story=story, halves=tuple(half(track) for track in story.all_tracks), began=0.0, seconds=9.5)


def fleet(name: str, *units: UnitView, ready: bool = True) -> FleetView:
    return FleetView(
        name=name,
        wants="2.4.0",
        runs="2.4.0",
        stands="Ready" if ready else "Reconciling",
        ready=ready,
        healthy=True,
        reason=Reason.SUCCEEDED,
        sentence="2.4.0 on 8/8 units",
        seconds=3.0,
        units=units,
    )


HOSTS = (
    *(UnitView(name=f"i-{number}", runs="2.4.0", healthy=True) for number in range(6)),
    UnitView(name="i-6", runs=MIXED, healthy=False),
    UnitView(name="i-7", runs="2.3.1", healthy=False),
)
SCENE = Scene(fleets=(fleet("prod/matchmaker", *HOSTS), *(fleet(f"staging/s{n}") for n in range(11))), commits=())


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    def everything(console: Console) -> None:
        print_commits(console, SAID)
        print_times(console, [told(story) for story in ALL])
        print_summary(console, [told(story) for story in ALL], ALL, 60.0)

    assert max(map(len, drawn(everything, width))) <= width


def test_both_ways_stand_side_by_side_with_their_seconds() -> None:
    lines = drawn(lambda console: print_times(console, [told(ALL[1])]))

    assert any("Spinnaker" in line and "trigger" in line for line in lines)
    assert any(line.count("0.0 s") == 2 for line in lines)


def test_a_pipe_gets_a_line_a_step() -> None:
    lines = drawn(lambda console: print_times(console, [told(ALL[1])]), terminal=False)

    assert 1 == sum("trigger    one host first" in line for line in lines)
    assert 1 == sum("Spinnaker  success on the commit" in line for line in lines)


def test_the_closing_table_has_a_row_a_story_and_says_what_did_not_happen() -> None:
    missing = Missing(expected="trigger: one host first", seen="0 hosts", why="waited 90 s")
    broken = Told(story=ALL[1], halves=(half(ALL[1].tracks[0]), half(ALL[1].tracks[1], 1)), began=0.0, missing=missing)
    lines = drawn(lambda console: print_summary(console, [told(ALL[0]), broken], ALL, 60.0))

    rows = [line.strip() for line in lines if ". " in line[:6]]
    assert rows[0].startswith("✓ 0. Everything runs what Git says")
    assert rows[0].count("1.5 s") == 2
    assert rows[1].startswith("✗ 1. A version bump is merged")
    assert "did not happen" in rows[1]
    assert all("not played" in row for row in rows[2:6])
    assert "0 of 5 stories happened, in 60 s" in lines


def test_on_a_terminal_a_commit_shows_its_fleets_and_counts_the_rest() -> None:
    lines = [line.rstrip() for line in drawn(lambda console: print_commits(console, SAID), 120)]

    assert "  + 2 on environments and validation" in lines
    assert any("fairlead/prod/matchmaker" in line for line in lines)
    assert not any("fairlead/validate" in line for line in lines)


def test_a_merged_pull_request_is_named_by_number_and_branch_in_eighty_columns() -> None:
    line = Line(state=State.SUCCESS, context="fairlead/prod", description="", at=datetime(2026, 11, 24, tzinfo=UTC))
    subject = "Merge pull request #4 from sandbox/bump-prod-matchmaker-2.5.0"
    commit = CommitView(sha="abc1234" * 5, subject=subject, lines=(line,))
    [drawing] = drawn(lambda console: console.print(*commit_lines(commit)), 80)

    assert drawing.endswith("✓prod  #4 from sandbox/bump-prod-matchmaker-2.5.0")


@pytest.mark.parametrize(("height", "shown"), [(24, 0), (60, 11)])
def test_a_low_window_shows_the_fleets_that_are_told_of(height: int, shown: int) -> None:
    lines = drawn(lambda console: console.print(Picture().draw(SCENE, [told(ALL[0])], height)))

    assert len(lines) < height
    assert shown == sum(line.startswith("staging/") for line in lines)
    assert (shown == 0) == any(line.startswith("+ 11 more") for line in lines)


def test_many_units_are_shown_one_by_one() -> None:
    lines = drawn(lambda console: console.print(Picture().draw(SCENE, [told(ALL[0])], 60)), 80)

    marks = [line for line in lines if line.startswith("matchmaker ")]
    assert [f"matchmaker  {'● 2.4.0 ' * 6}◌ ····· ✗ 2.3.1"] == [mark.rstrip() for mark in marks]


def test_the_story_under_way_says_what_each_half_waits_for() -> None:
    halves = (half(ALL[1].tracks[0], 2), half(ALL[1].tracks[1], 2))
    under_way = Told(story=ALL[1], halves=halves, began=0.0, seconds=4.0)
    lines = drawn(lambda console: console.print(Picture().draw(SCENE, [told(ALL[0]), under_way], 60)), 120)

    assert any("✓ 0  Everything runs what Git says  Spinnaker 1.5 s, trigger 1.5 s" in line for line in lines)
    assert any("Spinnaker" in line and "after the soak, pipeline in eu-west-1" in line for line in lines)
    assert any("trigger" in line and "then the rest" in line for line in lines)
