"""Which of two versions is the later one, as Debian orders them (deb-version(7)); others are not guessed at."""

import re
from collections.abc import Iterator
from itertools import zip_longest

from desired_state.model import Fleet, Version

_DEBIAN = re.compile(r"(?:[0-9]{1,9}:)?[0-9][A-Za-z0-9.+~-]{0,199}(?<!-)", re.ASCII)
_PART = re.compile(r"([^0-9]*)([0-9]*)", re.ASCII)


def order(one: Version, other: Version) -> int | None:
    """-1, 0 or 1: `one` is before, the same as or after `other`. None where either is no version of Debian's."""
    if not _DEBIAN.fullmatch(one) or not _DEBIAN.fullmatch(other):
        return None
    for first, second in zip(_split(one), _split(other), strict=True):
        if found := _compare(first, second):
            return found
    return 0


def goes_back(before: Fleet, after: Fleet) -> bool | None:
    """Whether a package gets an earlier version; None where that cannot be told of any, and of none is known."""
    had = {package.name: package.version for package in before.packages}
    orders = [order(each.version, had[each.name]) for each in after.packages if each.name in had]
    return True if -1 in orders else None if None in orders else False


def _split(version: Version) -> tuple[str, str, str]:
    """Epoch, upstream version and revision."""
    epoch, colon, rest = version.partition(":")
    epoch, rest = (epoch, rest) if colon else ("0", version)
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


def _compare(one: str, other: str) -> int:
    nothing: tuple[list[int], int] = ([], 0)
    for (text, number), (text_of_other, number_of_other) in zip_longest(_parts(one), _parts(other), fillvalue=nothing):
        # The end of a text sorts as 0: after `~`, before every letter.
        pairs = zip_longest(text, text_of_other, fillvalue=0)
        ranks = [(rank, rank_of_other) for rank, rank_of_other in pairs if rank != rank_of_other]
        ranks = ranks or [(number, number_of_other)]
        if ranks[0][0] != ranks[0][1]:
            return -1 if ranks[0][0] < ranks[0][1] else 1
    return 0


def _parts(text: str) -> Iterator[tuple[list[int], int]]:
    for letters, digits in _PART.findall(text):
        yield [_rank(each) for each in letters], int(digits or "0")


def _rank(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
