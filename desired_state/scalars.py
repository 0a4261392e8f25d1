"""What an unquoted scalar means: the core schema of YAML 1.2 (yaml.org/spec/1.2.2, section 10.3.2).

One rule differs: a whole number with a leading zero stays text, because people mean names and times by it.
"""

import math
import re

_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBER_STARTS = frozenset("-+.0123456789")


class Unwritable(ValueError):
    """A number that canonical JSON cannot hold; the message is a sentence."""


def resolve(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar. Raises `Unwritable` for NaN, infinities and integers beyond 64 bits."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _finite(float(text))
    if _NOT_JSON.fullmatch(text):
        return _finite(math.inf)
    return text


def _integer(text: str) -> int:
    value = 2**64 if len(text) > 24 else int(text, 0)
    if not -(2**63) <= value < 2**63:
        raise Unwritable("the number does not fit in 64 bits; write it in quotes")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise Unwritable("infinity and NaN are not numbers here; write a finite number, or text in quotes")
    return value
