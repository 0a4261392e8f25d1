"""The shape of a story: what is done to two fleets at the same time, and everything that has to be seen after it."""

from collections.abc import Callable
from dataclasses import dataclass

from fairlead_sandbox.demo.checks import Check
from fairlead_sandbox.demo.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Something that has to become true within so many seconds."""

    what: str
    check: Check
    within: float = 90.0
    timed: bool = False  # the closing table shows how long after the deed it was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One half of a story. `act` does something and says what it did; then each expectation is awaited in turn."""

    by: str  # who deploys: SPINNAKER, TRIGGER, or BOTH
    does: str
    act: Callable[[Stage], str]
    expects: tuple[Expectation, ...]
    outcome: str = ""  # for the closing table, beside the seconds: what its timed expectation comes to


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """`tracks` are told side by side; `after`, which is about the whole world, when all of them are over."""

    title: str
    tracks: tuple[Track, ...]
    after: Track | None = None

    @property
    def all_tracks(self) -> tuple[Track, ...]:
        """Those side by side, and the last one."""
        return (*self.tracks, self.after) if self.after is not None else self.tracks
