"""The one way to write a value as bytes, so that a signature over it means the same on both sides.

Canonical JSON here is a part of RFC 8785: keys sorted, no spaces, UTF-8 without escapes, whole numbers or finite
decimals, no NaN and no infinity. The rule for keys is Python's code point order.
"""

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """The canonical JSON of maps with text keys, lists and scalars.

    Raises `ValueError` for NaN and infinities, `TypeError` for what JSON cannot hold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def sha256(value: Any) -> str:
    """The SHA-256 of the value's canonical JSON, 64 small hexadecimal characters."""
    return hashlib.sha256(canonical(value)).hexdigest()
