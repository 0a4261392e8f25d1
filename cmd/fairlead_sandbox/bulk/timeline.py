"""What is to be done when, by one thread: thousands of played hosts need no thread each."""

import heapq
import time
import traceback
from collections.abc import Callable
from itertools import count
from threading import Condition, Thread

Act = Callable[[], None]


class Timeline:
    """Acts are done one after the other, in the order of their times. `stumbles` holds what went wrong in one."""

    def __init__(self) -> None:
        self.stumbles: list[str] = []
        self._due: list[tuple[float, int, Act]] = []
        self._numbers = count()
        self._changed = Condition()
        self._ended = False
        self._thread = Thread(target=self._run, name="played-hosts", daemon=True)

    def after(self, seconds: float, act: Act) -> None:
        """Do it so many seconds from now. May be called from any thread."""
        with self._changed:
            at = (time.monotonic() + seconds, next(self._numbers), act)
            heapq.heappush(self._due, at)
            if self._due[0] is at:
                self._changed.notify()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Do nothing more; the act under way is let finish."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while (act := self._next()) is not None:
            try:
                act()
            except Exception:  # noqa: BLE001  one host's defect must not stop the others; tests look here
                self.stumbles.append(traceback.format_exc())

    def _next(self) -> Act | None:
        with self._changed:
            while not self._ended:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(left)
        return None
