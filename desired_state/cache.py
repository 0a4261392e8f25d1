"""What was computed once: bounded, the least recently used goes first. Threads may share one."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Holds at most `size` values. What `below` holds is not made again; nothing is ever put there."""

    def __init__(self, size: int, below: "Cache[K, V] | None" = None) -> None:
        self._size = size
        self._below = below
        self._held: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value for this key, made if it is not here. What `make` raises is raised, and nothing is kept."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        known = self._below.known(key) if self._below is not None else None
        if known is not None:
            return known
        value = make()
        with self._lock:
            self._held[key] = value
            if len(self._held) > self._size:
                self._held.popitem(last=False)
        return value

    def known(self, key: K) -> V | None:
        """The value, if it is here; that it was asked for counts for nothing."""
        with self._lock:
            return self._held.get(key)
