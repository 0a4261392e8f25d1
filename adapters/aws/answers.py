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


class Answers(Generic[Answer]):
    """Of those who ask the same, one asks; what fails is not kept. Safe to share between threads."""

    def __init__(self, clock: Clock, kept: timedelta) -> None:
        self._clock = clock
        self._kept = kept.total_seconds()
        self._lock = Lock()
        self._answers: dict[Hashable, _Kept[Answer]] = {}

    def get(self, key: Hashable, ask: Callable[[], Answer]) -> Answer:
        """The answer of at most `kept` ago, else what `ask` gives, and raises what that raises."""
        with self._lock:
            if key not in self._answers:
                self._forget()
            one = self._answers.setdefault(key, _Kept())
        with one.lock:
            if one.known is None or not self._is_fresh(one.known[0]):
                one.known = (self._clock.monotonic(), ask())
            return one.known[1]

    def _forget(self) -> None:
        """Drop what is old, but not what is being asked now."""
        old = [
            key
            for key, one in self._answers.items()
            if not one.lock.locked() and (one.known is None or not self._is_fresh(one.known[0]))
        ]
        for key in old:
            del self._answers[key]

    def _is_fresh(self, since: float) -> bool:
        return self._clock.monotonic() - since < self._kept
