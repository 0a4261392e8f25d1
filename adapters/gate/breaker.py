"""Whether a Gate answers at all: while it does not, nobody waits for time-outs but one probe at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Lock
from urllib.parse import urlsplit

from adapters.gate.errors import GateAbsent, GateAway, GateTrouble, away
from reconciler.ports import Clock

FAILURES = 3  # in a row, and a Gate counts as away: one connection may break anywhere
FIRST_PAUSE = 1.0  # seconds after that before the first probe; every probe that fails doubles it
LONGEST_PAUSE = 30.0
WHILE_PROBING = 2.0  # seconds: by then a probe that goes well has its answer


class Breaker:
    """Of one Gate, shared by every thread that asks it. The clock's monotonic reading paces the probes."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._host = urlsplit(url).netloc.rpartition("@")[2]
        self._clock = clock
        self._lock = Lock()
        self._failures = 0
        self._since: datetime | None = None
        self._how = ""
        self._next_probe = 0.0
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the Gate counts as away."""
        return self._failures >= FAILURES

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Around one request. Raises `GateAway` where none is to be made now; hears what becomes of it otherwise."""
        is_probe = self._admit()
        try:
            yield
            self._heard()
        except GateAbsent as absent:
            raise self._missed(absent, is_probe=is_probe) from None
        except GateTrouble as trouble:
            if trouble.answered:
                self._heard()
            raise
        finally:
            if is_probe:
                self._is_probing = False

    def _admit(self) -> bool:
        """True: the request is the probe."""
        with self._lock:
            if not self.is_open:
                return False
            if self._is_probing or self._clock.monotonic() < self._next_probe:
                raise self._away()
            self._is_probing = True
            return True

    def _away(self) -> GateAway:
        left = self._next_probe - self._clock.monotonic()
        since = self._since or self._clock.now()
        return GateAway(away(self._host, since, self._how), timedelta(seconds=left if left > 0 else WHILE_PROBING))

    def _heard(self) -> None:
        with self._lock:
            self._failures = 0

    def _missed(self, absent: GateAbsent, *, is_probe: bool) -> GateTrouble:
        """What is to be raised for it: from the last failure that it takes on, the one sentence for everybody.

        Requests that were on their way when it became away say nothing new: only a probe makes the pause longer.
        """
        with self._lock:
            if self.is_open and not is_probe:
                return self._away()
            if self._failures == 0:
                self._since, self._how = self._clock.now(), absent.how
            self._failures += 1
            if not self.is_open:
                return absent
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures - FAILURES, 10))
            self._next_probe = self._clock.monotonic() + pause
            return self._away()
