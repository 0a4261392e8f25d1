"""Plays the stories: does what a person does, waits for what has to be seen, keeps the time. Nothing is skipped."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.exc import SQLAlchemyError

from adapters.ledger.dialects import LedgerError
from fairlead_sandbox.demo.checks import Sight
from fairlead_sandbox.demo.scene import Scene
from fairlead_sandbox.demo.stage import Stage
from fairlead_sandbox.demo.story import Expectation, Story, Track
from reconciler.ports import Clock

PAUSE = 0.2  # seconds between two looks
TROUBLE = (OSError, RuntimeError, LookupError, SQLAlchemyError, LedgerError, BotoCoreError, ClientError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that was done or seen, so many seconds after the deed."""

    what: str
    seen: str
    at: float
    timed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """How far a track is. The first step is the deed."""

    track: Track
    steps: tuple[Step, ...] = ()
    began: float = 0.0  # on the monotonic clock: when the deed was done
    waiting: float = 0.0  # seconds, for the next step

    @property
    def next(self) -> Expectation | None:
        """What it waits for; None before the deed, and when nothing is left."""
        left = self.track.expects[len(self.steps) - 1 :] if self.steps else ()
        return left[0] if left else None

    @property
    def over(self) -> bool:
        """All of it was seen."""
        return len(self.steps) == 1 + len(self.track.expects)

    @property
    def seconds(self) -> float:
        """How long after the deed it is."""
        return (self.steps[-1].at if self.steps else 0.0) + self.waiting

    @property
    def timed(self) -> float | None:
        """After how many seconds its timed expectation was seen; None where it was not."""
        return next((step.at for step in self.steps if step.timed), None)

    def did(self, seen: str, now: float) -> "Half":
        """The deed is done."""
        return replace(self, steps=(Step(what=self.track.does, seen=seen, at=0.0),), began=now)

    def saw(self, expectation: Expectation, seen: str, now: float) -> "Half":
        """What was waited for is so."""
        step = Step(what=expectation.what, seen=seen, at=now - self.began, timed=expectation.timed)
        return replace(self, steps=(*self.steps, step), waiting=0.0)

    def waits(self, now: float) -> "Half":
        """It is not so yet."""
        return replace(self, waiting=now - self.began - self.steps[-1].at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An expectation that did not come true."""

    expected: str
    seen: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How far a story is."""

    story: Story
    halves: tuple[Half, ...]
    began: float  # on the monotonic clock
    seconds: float = 0.0
    missing: Missing | None = None

    @property
    def happened(self) -> bool:
        """All of it."""
        return self.missing is None and len(self.halves) == len(self.story.all_tracks) and self.halves_over

    @property
    def halves_over(self) -> bool:
        """All that were begun."""
        return all(half.over for half in self.halves)

    def with_half(self, place: int, half: Half, now: float) -> "Told":
        """One half went on."""
        halves = (*self.halves[:place], half, *self.halves[place + 1 :])
        return replace(self, halves=halves, seconds=now - self.began)


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
            waited_for = next((_name(half) for half in self._now.halves if not half.over), "the next look")
            self._miss(Missing(expected=waited_for, seen=f"{type(error).__name__}: {error}", why=""))
            return False

    def watch(self) -> Missing:
        """Show what goes on until the controller ends, and say how it did."""
        while not self._stage.controller.ended:
            self._audience.show(self._stage.look(), self.told)
            self._pause(PAUSE)
        return Missing(expected="the controller runs", seen=f"it {self._stage.controller.ended}", why="")

    @property
    def _now(self) -> Told:
        return self.told[-1]

    def _tell(self, story: Story) -> bool:
        """What is told side by side first, then what comes after."""
        self.told.append(Told(story=story, halves=(), began=self._clock.monotonic()))
        self._do(story.tracks)
        if self._await_all() and story.after is not None:
            self._do((story.after,))
            self._await_all()
        return self._now.happened

    def _do(self, tracks: Sequence[Track]) -> None:
        """Do the deeds right after one another."""
        first = len(self._now.halves)
        self.told[-1] = replace(self._now, halves=(*self._now.halves, *(Half(track=track) for track in tracks)))
        self._audience.show(self._stage.look(), self.told)
        for place, track in enumerate(tracks, first):
            self._put(place, self._now.halves[place].did(track.act(self._stage), self._clock.monotonic()))

    def _await_all(self) -> bool:
        """Look until all is so, the controller has ended, or the time of an expectation is over."""
        while True:
            ended = self._stage.controller.ended
            scene = self._stage.look()
            for place in range(len(self._now.halves)):
                self._look(place, Sight(stage=self._stage, scene=scene), ended)
            self._audience.show(scene, self.told)
            if self._now.halves_over or self._now.missing is not None:
                return self._now.missing is None
            self._pause(PAUSE)

    def _look(self, place: int, sight: Sight, ended: str) -> None:
        """Go on with one half as far as it is so."""
        half = self._now.halves[place]
        while (expectation := half.next) is not None:
            seen, now = expectation.check(sight), self._clock.monotonic()
            half = half.saw(expectation, seen.words, now) if seen.so else half.waits(now)
            self._put(place, half)
            if not seen.so:
                late = f"waited {half.waiting:.0f} s" * (half.waiting > expectation.within)
                why = f"the controller {ended}" if ended else late
                if why:
                    self._miss(Missing(expected=_name(half), seen=seen.words, why=why))
                return

    def _put(self, place: int, half: Half) -> None:
        self.told[-1] = self._now.with_half(place, half, self._clock.monotonic())

    def _miss(self, missing: Missing) -> None:
        """The first that is missing is told; the other half may only have been waiting."""
        if self._now.missing is None:
            self.told[-1] = replace(self._now, missing=missing)


def _name(half: Half) -> str:
    """What a half waits for, with whose it is."""
    return f"{half.track.by}: {half.next.what if half.next is not None else half.track.does}"
