"""Reading a mirror's objects: one long-lived `cat-file --batch` for all blobs, and processes read in a stream."""

import contextlib
import os
import select
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping

from desired_state.git_command import end
from desired_state.git_errors import GitUnreachable, MirrorBroken
from desired_state.model import Sha
from desired_state.trees import Entry

Start = Callable[..., "subprocess.Popen[bytes]"]  # GitCommand.start


class Stream:
    """Bytes of a running process, each wait under a deadline: a process that hangs is an error, no hang of ours."""

    def __init__(self, process: "subprocess.Popen[bytes]", timeout: float) -> None:
        assert process.stdout is not None  # noqa: S101  GitCommand.start always pipes it
        self.process = process
        self._output = process.stdout.fileno()
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN | select.POLLHUP)
        self._timeout = timeout
        self._buffer = bytearray()

    def write(self, data: bytes) -> None:
        """Send to the process. Raises `MirrorBroken` when it is gone."""
        try:
            assert self.process.stdin is not None  # noqa: S101
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            raise MirrorBroken("git ended while we were reading the mirror: the next fetch makes it again") from None

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises `MirrorBroken` when the output ends before that."""
        while len(self._buffer) < size:
            self._more()
        return self._take(size)

    def read_until(self, mark: bytes) -> bytes:
        """All up to `mark`, without it."""
        start = 0
        while (place := self._buffer.find(mark, start)) < 0:
            start = len(self._buffer)
            self._more()
        found = self._take(place)
        del self._buffer[: len(mark)]
        return found

    def fields(self) -> Iterator[str]:
        """The rest of the output, NUL-ended field by field."""
        while self._buffer or self._grow():
            yield self.read_until(b"\0").decode(errors="replace")

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _more(self) -> None:
        if not self._grow():
            raise MirrorBroken("git ended in mid-answer while we read the mirror: the next fetch makes it again")

    def _grow(self) -> bool:
        """Wait for more output; False at its end."""
        if not self._poll.poll(self._timeout * 1000):
            raise GitUnreachable(
                f"git gave no answer about the mirror for {self._timeout:g} s: is the disk overloaded?"
            )
        chunk = os.read(self._output, 1 << 16)
        self._buffer += chunk
        return bool(chunk)


class Objects:
    """Blobs by id. Safe for several threads; its processes start at the first use, and again when they died."""

    def __init__(self, start: Start, timeout: float) -> None:
        self._start = start
        self._timeout = timeout
        self._lock = threading.Lock()
        self._streams: dict[str, Stream] = {}  # by the kind of batch

    def read(self, blob: str) -> bytes:
        """The bytes of an object. Raises `MirrorBroken` when it is not there or cannot be read."""
        with self._asked("--batch", blob) as (stream, size):
            data = stream.read(size)
            stream.read(1)
            return data

    def size(self, blob: str) -> int:
        """The size of an object in bytes. Raises as `read` does."""
        with self._asked("--batch-check", blob) as (_, size):
            return size

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            for batch in list(self._streams):
                self._end(batch)

    @contextlib.contextmanager
    def _asked(self, batch: str, blob: str) -> Iterator[tuple[Stream, int]]:
        with self._lock:
            whole = False
            try:
                yield self._ask_twice(batch, blob)
                whole = True
            finally:
                if not whole:
                    self._end(batch)  # half an answer may be left in the pipe

    def _ask_twice(self, batch: str, blob: str) -> tuple[Stream, int]:
        """The process may have been ended from outside, or be older than the object: then a new one is asked."""
        try:
            return self._ask(batch, blob)
        except MirrorBroken:
            self._end(batch)
            return self._ask(batch, blob)

    def _ask(self, batch: str, blob: str) -> tuple[Stream, int]:
        if batch not in self._streams:
            self._streams[batch] = Stream(self._start("cat-file", batch, stdin=True), self._timeout)
        stream = self._streams[batch]
        stream.write(blob.encode() + b"\n")
        head = stream.read_until(b"\n").decode(errors="replace").split(" ")
        if len(head) != 3:
            raise MirrorBroken(f"object {blob[:40]} is missing from the mirror: the next fetch makes it again")
        return stream, int(head[2])

    def _end(self, batch: str) -> None:
        if stream := self._streams.pop(batch, None):
            end(stream.process)


class GitTree:
    """The files of one commit, as `desired_state.trees.Tree`. Blobs are read when they are asked for."""

    def __init__(self, commit: Sha, entries: Mapping[str, Entry], read: Callable[[str], bytes]) -> None:
        self.commit = commit
        self._entries = entries
        self._read = read

    def entries(self) -> Mapping[str, Entry]:
        """Every file, by path: mode, object id, size in bytes."""
        return self._entries

    def read(self, blob: str) -> bytes:
        """A blob's bytes by its object id. Raises `MirrorBroken`."""
        return self._read(blob)

    def under(self, folder: str) -> "GitTree":
        """The files in a folder, with paths relative to it; this tree itself for an empty one."""
        prefix = folder.strip("/") + "/"
        if prefix == "/":
            return self
        entries = {path[len(prefix) :]: entry for path, entry in self._entries.items() if path.startswith(prefix)}
        return GitTree(self.commit, entries, self._read)


def parse_entries(listing: bytes) -> Iterator[tuple[str, Entry]]:
    """The output of `ls-tree -r -z -l`: path and entry. A submodule has size 0."""
    for line in listing.split(b"\0"):
        if line:
            meta, _, path = line.partition(b"\t")
            mode, _, blob, size = meta.decode().split()
            with contextlib.suppress(UnicodeDecodeError):  # no format of ours has such a name
                yield path.decode(), Entry(mode=mode, blob=blob, size=0 if size == "-" else int(size))
