"""A line in which the writers of one machine wait for their turn: first come, first served, and the dead do not count.

A place in it is a file, held locked for as long as its process lives and named by when it came. The line is a courtesy
that keeps writers from spoiling each other's pushes; what is true is decided by the push alone, so nobody waits for
ever.
"""

import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

_LOOK_EVERY = 0.02  # seconds


@contextlib.contextmanager
def in_line(folder: Path, patience: float) -> Iterator[None]:
    """Wait for the turn, at most `patience` seconds, and hold it. `folder` belongs to the line alone."""
    folder.mkdir(parents=True, exist_ok=True)
    place, descriptor = _take(folder)
    try:
        give_up = time.monotonic() + patience
        while any(_is_held(folder, name) for name in _before(folder, place)) and time.monotonic() < give_up:
            time.sleep(_LOOK_EVERY)
        yield
    finally:
        (folder / place).unlink(missing_ok=True)
        os.close(descriptor)


def _take(folder: Path) -> tuple[str, int]:
    """A place that is locked before anyone can see it."""
    place = f"{time.monotonic_ns():020d}-{secrets.token_hex(8)}"
    hidden = folder / f".{place}"
    descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    hidden.rename(folder / place)
    return place, descriptor


def _before(folder: Path, place: str) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if not each.name.startswith(".") and each.name < place)


def _is_held(folder: Path, name: str) -> bool:
    """Whether its process lives; a place that nobody holds is taken away."""
    try:
        descriptor = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    (folder / name).unlink(missing_ok=True)
    return False
