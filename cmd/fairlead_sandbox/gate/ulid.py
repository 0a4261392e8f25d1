"""ULIDs: what Orca calls its executions by. They sort by time."""

import secrets
from threading import Lock

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOW_BITS = 80


class Ulids:
    """A source of ULIDs that only rise, also within one millisecond."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = 0

    def next(self, milliseconds: int) -> str:
        """The next one, for this time since the epoch."""
        with self._lock:
            number = (milliseconds << _LOW_BITS) | secrets.randbits(_LOW_BITS - 1)
            self._last = max(number, self._last + 1)
            return "".join(_ALPHABET[(self._last >> shift) & 31] for shift in range(125, -1, -5))
