"""Answers that many ask for at about the same time, kept for a moment."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Generic, TypeVar

from reconciler.ports import Clock

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Kept(Generic[Answer]):
    lock: Lock = field(default_factory=Lock)
    known: tuple[float, Answer] | None = None
    missed: float | None = None  # since when the answer is empty


class Answers(Generic[Answer]):
    """Of those who ask the same, one asks; what fails is not kept. Safe to share between threads.

    An empty answer is kept for as long as it was empty already, at least `again`: what was asked for a little early is
    soon found, and what is not there for long is seldom asked for.
    """

    def __init__(self, clock: Clock, kept: timedelta, again: timedelta) -> None:
        self._clock = clock
        self._kept = kept.total_seconds()
        self._again = again.total_seconds()
        self._lock = Lock()
        self._answers: dict[Hashable, _Kept[Answer]] = {}

    def get(self, key: Hashable, ask: Callable[[], Answer]) -> Answer:
        """The answer of at most `kept` ago, else what `ask` gives, and raises what that raises."""
        with self._lock:
            if key not in self._answers:
                self._forget()
            one = self._answers.setdefault(key, _Kept())
        with one.lock:
            if one.known is None or not self._is_fresh(one):
                now = self._clock.monotonic()
                one.known = (now, ask())
                one.missed = None if one.known[1] else one.missed if one.missed is not None else now
            return one.known[1]

    def _forget(self) -> None:
        """Drop what is old, but not what is being asked now."""
        old = [
            key
            for key, one in self._answers.items()
            if not one.lock.locked() and (one.known is None or self._age(one) >= 2 * self._kept)
        ]
        for key in old:
            del self._answers[key]

    def _age(self, one: _Kept[Answer]) -> float:
        return self._clock.monotonic() - one.known[0] if one.known is not None else 0.0

    def _is_fresh(self, one: _Kept[Answer]) -> bool:
        if one.known is None or one.missed is None:
            return one.known is not None and self._age(one) < self._kept
        return self._age(one) < min(max(one.known[0] - one.missed, self._again), self._kept)
