"""Which of two versions is the older one, as Debian orders them (deb-version(7), "Sorting algorithm")."""

import re
from itertools import zip_longest

from desired_state.model import Version

_PIECES = re.compile(r"(\D*)(\d*)")


def is_older(one: Version, other: Version) -> bool:
    """Whether `one` comes before `other`: `1.9` before `1.10`, `2.0~rc1` before `2.0`."""
    return _parts(one) < _parts(other)


def _parts(version: Version) -> tuple[int, "_Text", "_Text"]:
    epoch, colon, rest = version.partition(":")
    if not (colon and epoch.isdigit()):
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return int(epoch), _Text(upstream if dash else rest), _Text(revision if dash else "")


class _Text:
    """A part of a version: letters before other signs, `~` before everything and even the end."""

    def __init__(self, text: str) -> None:
        self._pieces = [(letters, int(digits or 0)) for letters, digits in _PIECES.findall(text)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Text) and self._compare(other) == 0

    def __hash__(self) -> int:
        return hash(tuple(self._pieces))

    def __lt__(self, other: "_Text") -> bool:
        return self._compare(other) < 0

    def _compare(self, other: "_Text") -> int:
        for mine, theirs in zip_longest(self._pieces, other._pieces, fillvalue=("", 0)):
            words = (_weights(mine[0], len(theirs[0])), _weights(theirs[0], len(mine[0])))
            if words[0] != words[1]:
                return -1 if words[0] < words[1] else 1
            if mine[1] != theirs[1]:
                return -1 if mine[1] < theirs[1] else 1
        return 0


def _weights(text: str, length: int) -> list[int]:
    found = [-1 if sign == "~" else ord(sign) + (0 if sign.isalpha() else 256) for sign in text]
    return found + [0] * (length - len(text))
