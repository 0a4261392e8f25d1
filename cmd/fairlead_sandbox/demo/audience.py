"""Who watches: a person at a terminal sees a table that moves, a pipe gets a line for each thing that happens."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from fairlead_sandbox.demo.picture import Picture
from fairlead_sandbox.demo.play import Audience, Half, Told
from fairlead_sandbox.demo.scene import Line, Scene
from reconciler.ports import Clock


@contextmanager
def audience(console: Console, clock: Clock) -> Iterator[Audience]:
    """The one that fits the console."""
    if not console.is_terminal:
        yield Lines(clock)
        return
    with Live(console=console, refresh_per_second=8) as live:
        yield Moving(live)


class Moving:
    """A live picture; rich turns its spinner between two looks."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._picture = Picture()

    def show(self, scene: Scene, told: Sequence[Told]) -> None:
        """Draw it anew."""
        self._live.update(self._picture.draw(scene, told, self._live.console.height))


class Lines:
    """Plain lines with the seconds since the beginning, each thing once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._known: set[object] = set()
        self._standing: dict[str, str] = {}
        self._statuses: dict[tuple[str, str], Line] = {}

    def show(self, scene: Scene, told: Sequence[Told]) -> None:
        """Say what is new since the last time."""
        for text in (*self._stories(told), *self._fleets(scene), *self._said(scene)):
            print(f"{self._clock.monotonic() - self._began:6.1f}  {text}")
        sys.stdout.flush()

    def _stories(self, told: Sequence[Told]) -> Iterator[str]:
        for number, one in enumerate(told):
            if self._is_new(number):
                yield f"== {number}. {one.story.title}"
            for half in one.halves:
                yield from self._steps(number, half)
            if one.missing is not None and self._is_new((number, "missing")):
                yield f"   MISSING: {one.missing.expected} ({one.missing.seen})"

    def _steps(self, number: int, half: Half) -> Iterator[str]:
        for place, step in enumerate(half.steps):
            if self._is_new((number, half.track.by, place)):
                yield f"   {'done' if place == 0 else 'seen'}, {half.track.by}: {step.what} ({step.seen})"

    def _is_new(self, fact: object) -> bool:
        new = fact not in self._known
        self._known.add(fact)
        return new

    def _fleets(self, scene: Scene) -> Iterator[str]:
        for fleet in scene.fleets:
            text = f"{fleet.stands}, {fleet.reason}: {fleet.sentence}"
            if fleet.sentence and self._standing.get(fleet.name) != text:
                self._standing[fleet.name] = text
                yield f"   {fleet.name} {text}"

    def _said(self, scene: Scene) -> Iterator[str]:
        for commit in reversed(scene.commits):
            for line in reversed(commit.lines):
                if self._statuses.get((commit.sha, line.context)) != line:
                    self._statuses[commit.sha, line.context] = line
                    yield f"   {commit.short} {line.state} {line.context} {line.description}"
