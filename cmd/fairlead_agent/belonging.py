"""Whose state a folder holds: one instance's. A file in it names that instance, and counts while its agent lives.

The state of another instance came with a disk: an image made of a running host, a restored snapshot, a clone. What it
remembers was true elsewhere, so it is put aside. Where the count goes on, the folder is shared, and the other lives.
A lock alone does not tell: not every network file system carries it from host to host.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from pathlib import Path

from fairlead_agent.durable import is_folder, remove, write_whole

BEAT = 5.0  # seconds between two counts, the most
PATIENCE = 2.5  # of the holder's counts: in that time one that lives has counted on, if the folder is not slow
_STEP = 0.5  # seconds between two looks
_MEMORY = ("fleets", "number", "launched", "wanted")  # of an instance, as against the lock, and what others put there


class Taken(Exception):
    """Another instance uses this state. The message is one sentence that names the fix."""


class Belonging:
    """The claim of one instance on a state folder, counted every `beat` seconds. `wait` pauses for some."""

    def __init__(self, state: Path, host: str, beat: float, wait: Callable[[float], object]) -> None:
        self.every = min(BEAT, beat)
        self._state, self._host, self._wait = state, host, wait
        self._path = state / "host"
        self._count = 0

    def take(self) -> str:
        """Make the folder this instance's; gives in a sentence what was put aside, empty: nothing.

        Raises `Taken`, OSError.
        """
        holder, self._count, every = first = self._read()
        if holder in {"", self._host}:
            self._say()
            return ""
        for _ in range(ceil(PATIENCE * every / _STEP)):
            self._wait(_STEP)
            found = self._read()
            if found != first:
                raise Taken(self._shared_with(found[0] or holder))
        self._put_aside(holder)
        self._say()
        return f"its memory was that of {holder}, of which this disk was copied; it begins anew"

    def beat(self) -> None:
        """Count on. Raises `Taken`; where the disk takes nothing it goes on without."""
        holder = self._read()[0]
        if holder not in {"", self._host}:
            raise Taken(self._shared_with(holder))
        self._count += 1
        temporary = self._path.with_name(".host.new")
        with suppress(OSError):  # not synced: it is for others who live now
            temporary.write_text(self._text())
            temporary.replace(self._path)

    def _shared_with(self, holder: str) -> str:
        return f"{self._state} is used by {holder} as well; give each host a state of its own, on its own disk"

    def _read(self) -> tuple[str, int, float]:
        """The instance, its count, and how often it counts; nobody, where the file says nothing."""
        try:
            found = json.loads(self._path.read_bytes())
            every = float(found["every"])
            return str(found["host"]), int(found["count"]), every if 0 < every < BEAT else BEAT
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return "", 0, BEAT

    def _say(self) -> None:
        self._count += 1
        write_whole(self._path, self._text().encode(), 0o600)

    def _text(self) -> str:
        return json.dumps({"host": self._host, "count": self._count, "every": self.every})

    def _put_aside(self, holder: str) -> None:
        """For people; the one before it goes. Cut off in between, it is gone on with. What others put there stays."""
        aside = self._state / f"of-{''.join(letter for letter in holder if letter.isalnum() or letter in '-_')[:80]}"
        for older in self._state.glob("of-*"):
            if older != aside and _is_memory(older):
                remove(older)
        aside.mkdir(exist_ok=True, mode=0o700)
        for name in _MEMORY:
            path = self._state / name
            if path.exists():
                if is_folder(aside / name):
                    remove(aside / name)
                path.replace(aside / name)


def _is_memory(folder: Path) -> bool:
    """It was put aside here: nothing else is in it."""
    return is_folder(folder) and {path.name for path in folder.iterdir()} <= {*_MEMORY}
