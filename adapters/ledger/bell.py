"""The bell that wakes sleepers of this process when names became due."""

from collections import Counter
from collections.abc import Iterable
from threading import Condition


class Bell:
    """Counts how often names of each family became due, and lets threads sleep until the next time."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._counts: Counter[str] = Counter()
        self._all = self._rings = 0

    def count(self, family: str | None) -> int:
        """Of the family, or of all where none is named. Remember it before looking; `sleep` ends when it moved on."""
        return self._rings if family is None else self._counts[family] + self._all

    def ring(self, families: Iterable[str]) -> None:
        """Wake who sleeps for one of them."""
        with self._changed:
            self._counts.update(families)
            self._rings += 1
            self._changed.notify_all()

    def ring_all(self) -> None:
        """Wake every sleeper."""
        with self._changed:
            self._all += 1
            self._rings += 1
            self._changed.notify_all()

    def sleep(self, family: str | None, heard: int, seconds: float) -> None:
        """Until the bell rings for the family after `heard`, at the longest so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.count(family) != heard, timeout=seconds)
