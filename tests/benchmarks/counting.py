"""What is counted and timed in a row's own process: processor seconds, ledger writes, blobs, connections."""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event

from desired_state.git_objects import Objects

WRITES = ("INSERT", "UPDATE", "DELETE", "BEGIN IMMEDIATE")


@dataclass(slots=True)
class Cost:
    """Seconds. `cpu` is that of this process and the children that it waited for: a busy machine changes it little."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def cost() -> Iterator[Cost]:
    """What the block costs."""
    found, wall, cpu = Cost(), time.perf_counter(), _cpu()
    yield found
    found.wall, found.cpu = time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def resident() -> float:
    """MiB of this process now."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


class Counts:
    """Counts over the whole process from now on. `clear` begins anew."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        event.listen(Engine, "before_cursor_execute", self._statement)
        sys.addaudithook(self._audit)
        read = Objects.read

        def counted(objects: Objects, blob: str) -> bytes:
            self._found["blobs"] += 1
            return read(objects, blob)

        Objects.read = counted  # type: ignore[method-assign]

    def _statement(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, _: Any, many: bool) -> None:
        said = statement.lstrip().upper()
        rows = len(parameters) if many else 1
        self._found["statements"] += 1
        if said.startswith(WRITES):
            self._found["writes"] += rows
        if said.startswith(("UPDATE FLEETS", "INSERT INTO FLEETS")):
            self._found["fleet rows"] += rows

    def _audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "socket.connect":
            self._found[f"connect {arguments[1]}"] += 1

    def clear(self) -> None:
        """Forget what was counted."""
        self._found.clear()

    def __getitem__(self, what: str) -> int:
        return self._found[what]

    @property
    def connections(self) -> int:
        """Connections that were opened, to wherever."""
        return sum(count for name, count in self._found.items() if name.startswith("connect"))
