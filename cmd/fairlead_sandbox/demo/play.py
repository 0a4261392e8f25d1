"""Plays the stories: does what a person does, waits for what has to be seen, keeps the time. Nothing is skipped."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from adapters.ledger.dialects import LedgerError
from fairlead_sandbox.demo.checks import Seen, Sight
from fairlead_sandbox.demo.scene import Scene
from fairlead_sandbox.demo.stage import Stage
from fairlead_sandbox.demo.story import Expectation, Story
from reconciler.ports import Clock

PAUSE = 0.2  # seconds between two looks
TROUBLE = (OSError, RuntimeError, LookupError, SQLAlchemyError, LedgerError, BotoCoreError, ClientError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that was done or seen; `seconds` since the step before it."""

    what: str
    seen: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An expectation that did not come true."""

    expected: str
    seen: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How far a story is. `waits_for` is empty once it is over."""

    story: Story
    steps: tuple[Step, ...] = ()
    waits_for: str = ""
    waiting: float = 0.0  # seconds
    missing: Missing | None = None

    @property
    def seconds(self) -> float:
        """How long it took until now."""
        return sum(step.seconds for step in self.steps) + self.waiting

    @property
    def happened(self) -> bool:
        """All of it."""
        return not self.waits_for and self.missing is None and len(self.steps) == 1 + len(self.story.expects)


class Audience(Protocol):
    """Whoever watches."""

    def show(self, scene: Scene, told: Sequence[Told]) -> None:
        """The scene as it is now, and all stories that were begun."""
        ...


class Play:
    """One playing of stories on a stage."""

    def __init__(self, stage: Stage, audience: Audience, clock: Clock, pause: Callable[[float], None] = time.sleep):
        self.told: list[Told] = []
        self._stage, self._audience, self._clock, self._pause = stage, audience, clock, pause

    def play(self, stories: Sequence[Story]) -> bool:
        """Play them in order, up to the first that does not happen. True when all happened."""
        try:
            return all(self._tell(story) for story in stories)
        except TROUBLE as error:
            waited_for = self.told[-1].waits_for or "the next look"
            missing = Missing(expected=waited_for, seen=f"{type(error).__name__}: {error}", why="")
            self.told[-1] = replace(self.told[-1], waits_for="", missing=missing)
            return False

    def watch(self) -> Missing:
        """Show what goes on until the controller ends, and say how it did."""
        while not self._stage.controller.ended:
            self._audience.show(self._stage.look(), self.told)
            self._pause(PAUSE)
        return Missing(expected="the controller runs", seen=f"it {self._stage.controller.ended}", why="")

    def _tell(self, story: Story) -> bool:
        self.told.append(Told(story=story, waits_for=story.does))
        self._audience.show(self._stage.look(), self.told)
        began = self._clock.monotonic()
        did = story.act(self._stage)
        self._add(Step(what=story.does, seen=did, seconds=self._clock.monotonic() - began))
        return all(self._await(expectation) for expectation in story.expects)

    def _await(self, expectation: Expectation) -> bool:
        """Look until it is so, the controller has ended, or its time is over."""
        began = self._clock.monotonic()
        while True:
            ended = self._stage.controller.ended
            scene = self._stage.look()
            seen = expectation.check(Sight(stage=self._stage, scene=scene))
            waiting = self._clock.monotonic() - began
            if seen.so:
                self._add(Step(what=expectation.what, seen=seen.words, seconds=waiting))
                self._audience.show(scene, self.told)
                return True
            why = f"the controller {ended}" if ended else f"waited {waiting:.0f} s" * (waiting > expectation.within)
            if why:
                return self._miss(expectation, seen, scene, why)
            self._now(waits_for=expectation.what, waiting=waiting)
            self._audience.show(scene, self.told)
            self._pause(PAUSE)

    def _add(self, step: Step) -> None:
        self.told[-1] = replace(self.told[-1], steps=(*self.told[-1].steps, step), waits_for="", waiting=0.0)

    def _now(self, *, waits_for: str, waiting: float) -> None:
        self.told[-1] = replace(self.told[-1], waits_for=waits_for, waiting=waiting)

    def _miss(self, expectation: Expectation, seen: Seen, scene: Scene, why: str) -> bool:
        missing = Missing(expected=expectation.what, seen=seen.words, why=why)
        self.told[-1] = replace(self.told[-1], waits_for="", missing=missing)
        self._audience.show(scene, self.told)
        return False
