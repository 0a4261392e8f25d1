"""Every write to the API in the order of its arrival: the witness of what was said and merged, and how often.

Besides it keeps what no vendor would have known: calls that do not exist, and bodies that are not as described.
"""

from collections.abc import Mapping, Sequence
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
    """Entries of writes, oldest first; reads are only counted. Safe to share between threads."""

    def __init__(self) -> None:
        self.reads = 0
        self._lock = Lock()
        self._entries: list[Entry] = []
        self._unknown: list[Entry] = []
        self._misfits: list[tuple[Entry, str]] = []
        self._undeclared: list[tuple[Entry, Sequence[str]]] = []

    def arrived(self, entry: Entry) -> Entry:
        """A request is there; its entry is filled in while it is answered."""
        with self._lock:
            if entry.method in WRITES:
                self._entries.append(entry)
            else:
                self.reads += 1
        return entry

    def note_unknown(self, entry: Entry) -> None:
        """The vendor has no such call."""
        with self._lock:
            self._unknown.append(entry)

    def note_misfit(self, entry: Entry, why: str) -> None:
        """What was sent is not as the vendor describes it."""
        with self._lock:
            self._misfits.append((entry, why))

    def note_undeclared(self, entry: Entry, names: Sequence[str]) -> None:
        """Fields of a body that the vendor does not describe, and takes no notice of."""
        with self._lock:
            self._undeclared.append((entry, names))

    def all(self, *, method: str = "", path: str = "") -> list[Entry]:
        """Those of a method, and of paths with that text in them."""
        with self._lock:
            return [each for each in self._entries if method in ("", each.method) and path in each.path]

    def successes(self, path: str = "") -> list[Entry]:
        """Those that took effect, whether their answer arrived or not."""
        return [each for each in self.all(path=path) if 200 <= each.status < 300]

    def unknown(self) -> list[Entry]:
        """Requests, reads too, for calls that do not exist."""
        with self._lock:
            return list(self._unknown)

    def misfits(self) -> list[tuple[Entry, str]]:
        """Requests whose body or query was not as described, with what was answered."""
        with self._lock:
            return list(self._misfits)

    def undeclared(self) -> list[tuple[Entry, Sequence[str]]]:
        """Requests with fields in their body that are not described, and those fields."""
        with self._lock:
            return list(self._undeclared)

    def clear(self) -> None:
        """Count from here."""
        with self._lock:
            self.reads = 0
            self._entries.clear()
            self._unknown.clear()
            self._misfits.clear()
            self._undeclared.clear()
