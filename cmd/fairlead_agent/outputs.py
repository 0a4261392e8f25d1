"""What a command says, in a way that whatever it leaves behind can go on writing to when the agent is gone.

A pipe breaks when its reader dies, and a file fills the disk. So the output is a piece of memory of which all but the
end is given back whenever it takes more than `MOST`: by the agent that began the command, and by the next one, which
finds it in /proc. Who still holds it is told by a lock, which goes with the last who has it open.
"""

import fcntl
import mmap
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MOST = 1 << 20  # bytes
LOOK = 1.0  # seconds between two looks at those that somebody still writes to
_BLOCK = 512  # bytes, of st_blocks
_NAME = "fairlead-output"


class Output:
    """The end of what was written. `writer` is the descriptor for the child."""

    def __init__(self, reader: int, writer: int | None = None) -> None:
        self._reader = reader
        self.writer = writer

    def trim(self, keep: int) -> None:
        """Give all but about the last `keep` bytes back, if it takes more than `MOST`; what is written goes on."""
        found = os.fstat(self._reader)
        if found.st_blocks * _BLOCK <= MOST:
            return
        end = max(0, found.st_size - keep) // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        with suppress(OSError, ValueError), mmap.mmap(self._reader, end) as seen:  # somebody may empty it meanwhile
            seen.madvise(mmap.MADV_REMOVE)

    def tail(self, most: int) -> bytes:
        """The last bytes, at most so many."""
        return os.pread(self._reader, most, max(0, os.fstat(self._reader).st_size - most))

    def leave(self) -> None:
        """The command has ended: closed, or looked after for as long as somebody holds it."""
        if self.writer is not None:
            os.close(self.writer)
        self.writer = None
        _look_after(self)

    def is_held(self) -> bool:
        """Whether some process has it open for writing."""
        try:
            fcntl.flock(self._reader, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False

    def close(self) -> None:
        """Nobody reads it any more."""
        os.close(self._reader)


def new_output() -> Output:
    """An empty one. Raises OSError."""
    writer = os.memfd_create(_NAME, os.MFD_CLOEXEC)
    fcntl.fcntl(writer, fcntl.F_SETFL, os.O_APPEND)  # what several write does not overwrite each other
    fcntl.flock(writer, fcntl.LOCK_SH)
    return Output(os.open(f"/proc/self/fd/{writer}", os.O_RDWR | os.O_CLOEXEC), writer)


def adopt() -> int:
    """Look after those of an agent before this one; how many there are."""
    known = {}
    for path in _written():
        with suppress(OSError):
            reader = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            inode = os.fstat(reader).st_ino
            # The link may lead elsewhere by now, and an inode needs one look only.
            if inode in known or not _is_ours(Path(f"/proc/self/fd/{reader}")):
                os.close(reader)
            else:
                known[inode] = Output(reader)
    for output in known.values():
        _look_after(output)
    return len(known)


def _written() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        for number in ("1", "2"):
            path = process / "fd" / number
            if _is_ours(path):
                yield path


def _is_ours(path: Path) -> bool:
    try:
        return str(path.readlink()).startswith(f"/memfd:{_NAME}")
    except OSError:
        return False


_left: list[Output] = []
_lock = threading.Lock()


def _look_after(output: Output) -> None:
    """One thread for all of them, for as long as there are any."""
    with _lock:
        if not output.is_held():
            output.close()
            return
        _left.append(output)
        if len(_left) == 1:
            threading.Thread(target=_trim_all, name="outputs", daemon=True).start()


def _trim_all() -> None:
    while True:
        time.sleep(LOOK)
        with _lock:
            for output in [each for each in _left if not each.is_held()]:
                _left.remove(output)
                output.close()
            for output in _left:
                output.trim(0)
            if not _left:
                return
