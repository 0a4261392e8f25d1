"""Which version a fleet of mixed ones is said to run. Pure.

The one that most machines run: adopting the fleet then changes the fewest. Of two that as many run, the one on the
younger machine: it was brought there last.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

SHOWN = 5  # other versions, and machines of one, that a question names


class Running(NamedTuple):
    """One machine."""

    id: str
    since: str  # ISO 8601
    version: str


def majority(running: Sequence[Running]) -> str:
    """The version to write down. Raises `ValueError` for no machine."""
    by_version = _by_version(running)
    return max(by_version, key=lambda each: (len(by_version[each]), max(one.since for one in by_version[each]), each))


def others(running: Sequence[Running], chosen: str, noun: str) -> str:
    """The question that a mixed fleet's file asks; empty where all run the same."""
    rest = {version: those for version, those in _by_version(running).items() if version != chosen}
    if not rest:
        return ""
    ranked = sorted(rest, key=lambda version: (-len(rest[version]), version))
    told = [f"{version} on {len(rest[version])} ({some(one.id for one in rest[version])})" for version in ranked]
    more = f" and {len(told) - SHOWN} more versions" if len(told) > SHOWN else ""
    count = sum(len(those) for those in rest.values())
    return (
        f"{count} of {len(running)} {noun} run another version: {', '.join(told[:SHOWN])}{more}. "
        f"Is {chosen} the right one? `fairlead adopt` brings it to all."
    )


def _by_version(running: Iterable[Running]) -> Mapping[str, list[Running]]:
    found: dict[str, list[Running]] = defaultdict(list)
    for one in running:
        found[one.version].append(one)
    return found


def some(names: Iterable[str]) -> str:
    """The first few of them, in order, and how many more there are."""
    known = sorted(names)
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return ", ".join(known[:SHOWN]) + more
