"""Server group and cluster names as Spinnaker reads and writes them: `app[-stack[-detail]]-vNNN`.

Read by frigga's rule (`Names`, its push of three to six digits), written by Clouddriver's
(`AbstractServerGroupNameResolver`). An app and a stack hold no hyphen, a detail may; a detail without a stack leaves
two hyphens. Frigga's labelled variables (`-c0us`) are a part of the detail, and so of the cluster's name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

PUSHES = 1000  # after v999 comes v000
_PUSH = re.compile(r"([-a-zA-Z0-9._~^]*)-(v([0-9]{3,6}))")
_NAME = re.compile(r"([a-zA-Z0-9._]+)(?:-([a-zA-Z0-9._]*)(?:-([-a-zA-Z0-9._~^]*?))?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A name taken apart. `sequence` is None for a name without a push."""

    app: str
    stack: str = ""
    detail: str = ""
    sequence: int | None = None


def parsed(name: str) -> Name | None:
    """The parts of a server group's or cluster's name, or None for what frigga cannot read."""
    push = _PUSH.fullmatch(name)
    parts = _NAME.fullmatch(push.group(1) if push else name)
    if parts is None:
        return None
    app, stack, detail = (part or "" for part in parts.groups())
    return Name(app=app, stack=stack, detail=detail, sequence=int(push.group(3)) if push else None)


def cluster_of(server_group: str) -> str:
    """The cluster that a group belongs to: the part before `-vNNN`; a name without a push is its own cluster."""
    match = _PUSH.fullmatch(server_group)
    return match.group(1) if match else server_group


def sequence_of(server_group: str) -> int | None:
    """The number in `-vNNN`, or None. It wraps from 999 to 0: never order by it."""
    match = _PUSH.fullmatch(server_group)
    return int(match.group(3)) if match else None


def push_of(server_group: str) -> str:
    """The `vNNN` of a name, by which people call a group of a cluster that is known; the whole name without one."""
    match = _PUSH.fullmatch(server_group)
    return match.group(2) if match else server_group


def is_cluster(name: str) -> bool:
    """Whether frigga reads the name as a cluster: an app without hyphens, maybe stack and detail, and no push."""
    found = parsed(name)
    return found is not None and found.sequence is None


def cluster_name(app: str, stack: str = "", detail: str = "") -> str:
    """The cluster of these parts, as `parsed` takes it apart."""
    return "-".join([app, stack, detail] if detail else [app, stack] if stack else [app])


def next_name(cluster: str, oldest_first: Iterable[str]) -> str:
    """The name of the next group: one more than the one *created* last, modulo 1000, without those that are taken.

    `oldest_first` are the cluster's groups by the time of their creation; those without a push count for nothing.
    """
    taken = [number for name in oldest_first if (number := sequence_of(name)) is not None]
    start = taken[-1] + 1 if taken else 0
    free = (each % PUSHES for each in range(start, start + PUSHES) if each % PUSHES not in taken)
    return f"{cluster}-v{next(free, start % PUSHES):03d}"


def neighbours(cluster: str, sequence: int, span: int) -> tuple[str, ...]:
    """The names of the groups up to `span` pushes before and after `sequence`, wrapping at 1000."""
    return tuple(f"{cluster}-v{number % PUSHES:03d}" for number in range(sequence - span, sequence + span + 1))
