"""Every write to the API in the order of its arrival: the witness of what was said and merged, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request. `status` is 0 until it was answered, and where the connection was cut before it took effect."""

    at: datetime
    method: str
    path: str  # under the API's prefix, without the query
    body: Mapping[str, Any] = field(default_factory=dict)
    login: str = ""
    status: int = 0
    cut: bool = False  # the answer was lost on its way


class AccessLog:
    """Entries of writes, oldest first; reads are not kept. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: list[Entry] = []

    def arrived(self, entry: Entry) -> Entry:
        """A request is there; its entry is filled in while it is answered."""
        if entry.method in WRITES:
            with self._lock:
                self._entries.append(entry)
        return entry

    def all(self, *, method: str = "", path: str = "") -> list[Entry]:
        """Those of a method, and of paths with that text in them."""
        with self._lock:
            return [each for each in self._entries if method in ("", each.method) and path in each.path]

    def successes(self, path: str = "") -> list[Entry]:
        """Those that took effect, whether their answer arrived or not."""
        return [each for each in self.all(path=path) if 200 <= each.status < 300]

    def clear(self) -> None:
        """Count from here."""
        with self._lock:
            self._entries.clear()
