"""What was heard a moment ago. It spares the queue from repeats, and is this process's own: at another replica a
repeat is one more look at what has not moved."""

from collections import OrderedDict
from threading import Lock

from reconciler.ports import Clock

REMEMBERED = 1000  # deliveries
FORGOTTEN_AFTER = 300.0  # seconds: who presses "Redeliver" later wants to be heard


class Replays:
    """The newest deliveries, by what their secret vouches for. Safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def is_repeated(self, mark: str) -> bool:
        """It was heard within `FORGOTTEN_AFTER`; else it is remembered from now on."""
        now = self._clock.monotonic()
        with self._lock:
            seen = self._seen.pop(mark, None)
            repeated = seen is not None and now - seen < FORGOTTEN_AFTER
            self._seen[mark] = seen if repeated and seen is not None else now
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        return repeated

    def forget(self, mark: str) -> None:
        """Heard again, it counts."""
        with self._lock:
            self._seen.pop(mark, None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._seen)
