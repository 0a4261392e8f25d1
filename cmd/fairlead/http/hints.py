"""What webhooks make due. Hints that wait become one write, so a flood of them is a few writes of a few names."""

from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock

from reconciler.ports import Queue


class Hints:
    """Adds names to the queue, one write at a time."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hints")
        self._lock = Lock()
        self._names: set[str] = set()
        self._written: Future[None] | None = None

    def add(self, names: Collection[str]) -> Future[None]:
        """Make them due soon; what is given is done when the ledger has them."""
        with self._lock:
            self._names.update(names)
            if self._written is None:
                self._written = self._thread.submit(self._write)
            return self._written

    def _write(self) -> None:
        with self._lock:
            names, self._names, self._written = self._names, set(), None
        self._queue.add(sorted(names))

    def close(self) -> None:
        """Write nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
