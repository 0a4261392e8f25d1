"""The one way to write a value as bytes, so that a signature over it means the same on both sides.

Canonical JSON here: keys are texts and sorted by code point, no spaces, UTF-8 without escapes but for `"`, `\\` and
characters below U+0020, whole numbers as digits, decimals as Python's shortest text that reads back to the same number
(`90.0`, `1e-05`). There is no NaN and no infinity, and texts are not normalised: two spellings are two texts.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

DEEPEST = 64  # maps and lists within each other


def canonical(value: Any) -> bytes:
    """The canonical JSON of maps with text keys, lists and scalars.

    Raises `ValueError` for NaN, infinities, half surrogate pairs and what nests deeper than 64; `TypeError` for what
    JSON cannot hold and for keys that are no texts (JSON would turn them into some, and sort them otherwise).
    """
    said = _plain(value, DEEPEST)
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def sha256(value: Any) -> str:
    """The SHA-256 of the value's canonical JSON, 64 small hexadecimal characters."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _plain(value: Any, left: int) -> Any:
    """Mappings and sequences of any kind as dict and list."""
    if value is None or isinstance(value, str | int | float):  # most of it; to ask for a Mapping takes long
        return value
    if not isinstance(value, Mapping | list | tuple):
        return value
    if left == 0:
        raise ValueError(f"maps and lists are nested deeper than {DEEPEST}")
    if isinstance(value, Mapping):
        return {_key(key): _plain(inner, left - 1) for key, inner in value.items()}
    return [_plain(inner, left - 1) for inner in value]


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key must be a text, not {type(key).__name__}")
    return key
