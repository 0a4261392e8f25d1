"""JSON that anyone may have written, read so that it means one thing: to us, to other readers, and to a signature."""

import json
from typing import Any

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.fields import Malformed


def read_json(text: str, what: str) -> Any:
    """The value, of which `canonical` is sure to know the bytes. Raises `Malformed`, beginning with `what`.

    Refused are keys that stand twice, NaN, infinities and numbers beyond a double, half surrogate pairs, and nesting
    deeper than `canonical.DEEPEST`.
    """
    try:
        found = json.loads(text, object_pairs_hook=_once)
        canonical(found)
    except RecursionError:
        raise Malformed(f"{what} nests too deep") from None
    except UnicodeEncodeError:
        raise Malformed(f"{what} holds half of a surrogate pair") from None
    except ValueError as error:
        raise Malformed(f"{what} is not JSON: {error}") from None
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found
