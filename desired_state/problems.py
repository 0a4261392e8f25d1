"""Every way a file can be shaped wrongly, as our own sentence at its place: what is wrong, and what would be right."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from desired_state.documents import Finding, ListNode, MapNode, Node, Position, ScalarNode, plain
from desired_state.syntax import shown

M = TypeVar("M", bound=BaseModel)
Loc = tuple[str | int, ...]

_COMPARED = 500  # words that a misspelt one is compared with; each takes microseconds, and a tree may have thousands

_EXPECTED = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "dict_type": "must be a map of key: value",
    "model_type": "must be a map of key: value",
    "model_attributes_type": "must be a map of key: value",
    "mapping_type": "must be a map of key: value",
    "none_required": "must be left out",
}


def check(model: type[M], node: MapNode) -> tuple[M | None, list[Finding]]:
    """Validate a map against a model: the value, or what is wrong with it, one finding a place."""
    try:
        return model.model_validate(plain(node)), []
    except ValidationError as error:
        return None, list(_findings(model, node, error.errors(include_url=False)))


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that a person most likely meant. Of very many, only those that begin alike are compared."""
    if len(known) > _COMPARED:
        known = [each for each in known if each[:1] == word[:1]][:_COMPARED]
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)


def _findings(model: type[BaseModel], root: MapNode, errors: Sequence[ErrorDetails]) -> Iterator[Finding]:
    by_place: dict[Position, list[str]] = {}
    for error in errors:
        at, message = _finding(model, root, error)
        messages = by_place.setdefault(at, [])
        if message not in messages:
            messages.append(message)
    for at, messages in by_place.items():
        yield Finding(at, _joined(messages))


def _joined(messages: list[str]) -> str:
    """The alternatives of a union, in one sentence: `"to" must be text or a list`."""
    starts = {message.partition(" must be ")[0] for message in messages}
    if len(messages) == 1 or len(starts) > 1 or not all(" must be " in message for message in messages):
        return messages[0]
    written = {message.partition("; write ")[2] for message in messages} - {""}
    alternatives = [message.partition(" must be ")[2].partition(", not ")[0].partition(";")[0] for message in messages]
    rest = f"; write {written.pop()}" if len(written) == 1 else ""
    return f"{starts.pop()} must be {' or '.join(dict.fromkeys(alternatives))}{rest}"


def _finding(model: type[BaseModel], root: MapNode, error: ErrorDetails) -> tuple[Position, str]:
    kind, loc = error["type"], error["loc"]
    if kind == "missing":
        key = str(loc[-1])
        parent, _ = _walk(root, loc[:-1])
        described = _description(model, loc)
        return parent.at, f'"{key}" is missing; add {key}' + (f": {described}" if described else "")
    if kind == "extra_forbidden" or loc[-1:] == ("[key]",):
        key = str(loc[-2] if loc[-1:] == ("[key]",) else loc[-1])
        parent, _ = _walk(root, loc[: loc.index(key)] if loc[-1] == "[key]" else loc[:-1])
        at = parent.keys.get(key, parent.at) if isinstance(parent, MapNode) else parent.at
        if kind == "extra_forbidden":
            return at, _unknown_key(key, _known_keys(model, loc[:-1]))
        return at, f'the key "{shown(key)}" {_said(error)}'
    node, name = _walk(root, loc)
    return node.at, _wrong_value(name, node, error)


def _unknown_key(key: str, known: tuple[str, ...]) -> str:
    near = nearest(key, known)
    if near is not None:
        return f'unknown key "{shown(key)}"; did you mean "{near}"?'
    if not known:
        return f'unknown key "{shown(key)}"; remove it'
    return f'unknown key "{shown(key)}"; the keys here are {", ".join(known)}'


def _wrong_value(name: str, node: Node, error: ErrorDetails) -> str:
    said = _said(error)
    if not said.startswith("must"):
        return said
    if not isinstance(node, ScalarNode):
        return f"{name} {said}" + (", not a map or a list" if error["type"] == "string_type" else "")
    if isinstance(node.value, str):
        return f"{name} {said}{_instead_of(node.value)}"
    if error["type"] == "string_type" and node.text:
        return f"{name} {said}; write {_as_text(name, node)}"
    return f"{name} {said}, not {shown(node.text) or 'empty'}"


def _instead_of(value: str) -> str:
    """What stands there; an address with a password in it is not said again."""
    if "://" in value and "@" in value:
        return ""
    return f', not "{shown(value)}"' if value else ", not empty"


def _as_text(name: str, node: ScalarNode) -> str:
    text = f'"{shown(node.text)}"'
    return f"{name[1:-1]}: {text}" if name.startswith('"') else text


def _said(error: ErrorDetails) -> str:
    """What would be right, as the end of a sentence that begins with the key."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in {"literal_error", "enum"}:
        return f"must be {str(context['expected']).replace(chr(39), '')}"
    if kind in {"value_error", "assertion_error"}:
        return str(context.get("error", error["msg"]))
    return _limits(kind, context) or f"must be different: {error['msg'][:1].lower()}{error['msg'][1:]}"


def _limits(kind: str, context: Mapping[str, Any]) -> str:
    limits = {
        "greater_than_equal": "must be at least {ge}",
        "greater_than": "must be more than {gt}",
        "less_than_equal": "must be at most {le}",
        "less_than": "must be less than {lt}",
        "string_too_short": "must be at least {min_length} characters long",
        "string_too_long": "must be at most {max_length} characters long",
        "string_pattern_mismatch": "must match the pattern {pattern}",
        "too_short": "must hold at least {min_length}",
        "too_long": "must hold at most {max_length}",
    }
    return limits[kind].format(**context) if kind in limits else ""


def _walk(root: Node, loc: Loc) -> tuple[Node, str]:
    """The deepest node on the way, and what a sentence calls it. Parts that name a union's branch are stepped over."""
    node, name, key = root, "this", ""
    for part in loc:
        if isinstance(node, MapNode) and str(part) in node.items:
            node, key = node.items[str(part)], str(part)
            name = f'"{shown(key)}"'
        elif isinstance(node, ListNode) and isinstance(part, int) and part < len(node.items):
            node, name = node.items[part], f'each item of "{shown(key)}"'
    return node, name


@lru_cache(maxsize=64)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _expand(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "$ref" in schema:
        yield from _expand(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        yield from _expand(branch, root)
    yield schema


def _step(schemas: list[Mapping[str, Any]], part: str | int) -> list[Mapping[str, Any]]:
    found = []
    for schema in schemas:
        extra = schema.get("additionalProperties")
        if str(part) in schema.get("properties", {}):
            found.append(schema["properties"][part])
        elif isinstance(part, int) and isinstance(schema.get("items"), dict):
            found.append(schema["items"])
        elif isinstance(extra, dict):
            found.append(extra)
    return found


def _schemas_at(model: type[BaseModel], loc: Loc) -> list[Mapping[str, Any]]:
    root = _schema(model)
    here: list[Mapping[str, Any]] = list(_expand(root, root))
    for part in loc:
        below = _step(here, part)
        if below:
            here = [each for schema in below for each in _expand(schema, root)]
    return here


def _known_keys(model: type[BaseModel], loc: Loc) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for schema in _schemas_at(model, loc) for key in schema.get("properties", ())))


def _description(model: type[BaseModel], loc: Loc) -> str:
    """The field's description, without its last dot and in the middle of a sentence."""
    for schema in _schemas_at(model, loc[:-1]):
        found = schema.get("properties", {}).get(loc[-1], {})
        if "description" in found:
            return str(found["description"]).rstrip(".")
    return ""
