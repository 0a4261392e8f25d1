"""As much of Orca's SpEL as shows what becomes of `${...}` in a value: it is evaluated, wherever it stands.

Understood: paths into `parameters`, `trigger` and `execution`, quoted text, whole numbers with + - *, comparisons with
== and !=, `matches` with a pattern in quotes, and `||`. Anything else stays as it was written, as Orca leaves what it
cannot evaluate.
"""

import operator
import re
from collections.abc import Mapping
from typing import Any

_EXPRESSION = re.compile(r"\$\{([^{}]*)\}")
_PATH = re.compile(r"^#?(?P<root>parameters|trigger|execution)(?P<steps>(?:\.\w+|\['[^']*'\])*)$")
_STEP = re.compile(r"\.(\w+)|\['([^']*)'\]")
_SUM = re.compile(r"^(-?\d+)\s*([-+*])\s*(-?\d+)$")
_COMPARISON = re.compile(r"^(.+?)\s*(==|!=)\s*(.+)$")
_MATCHES = re.compile(r"^(.+?)\s+matches\s+'([^']*)'$")
_OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul}


class Unknown(Exception):
    """An expression that cannot be evaluated."""


def evaluate(value: Any, context: Mapping[str, Any]) -> Any:
    """`value` with every `${...}` in it, at any depth, replaced by what it evaluates to."""
    if isinstance(value, Mapping):
        return {key: evaluate(each, context) for key, each in value.items()}
    if isinstance(value, list):
        return [evaluate(each, context) for each in value]
    if isinstance(value, str) and "${" in value:
        return _text(value, context)
    return value


def is_true(expression: str, context: Mapping[str, Any]) -> bool:
    """The truth of a stage's condition, written with or without `${}`. What cannot be evaluated is false."""
    bare = _EXPRESSION.fullmatch(expression.strip())
    try:
        return bool(_value(bare[1] if bare else expression, context))
    except Unknown:
        return False


def _text(text: str, context: Mapping[str, Any]) -> Any:
    whole = _EXPRESSION.fullmatch(text)
    try:
        if whole:
            return _value(whole[1], context)
        return _EXPRESSION.sub(lambda found: str(_value(found[1], context)), text)
    except Unknown:
        return text


def _value(expression: str, context: Mapping[str, Any]) -> Any:
    expression = expression.strip()
    if "||" in expression:
        return any(_value(part, context) for part in expression.split("||"))
    if matching := _MATCHES.match(expression):
        return re.fullmatch(matching[2], str(_value(matching[1], context))) is not None
    if comparison := _COMPARISON.match(expression):
        same = _value(comparison[1], context) == _value(comparison[3], context)
        return same if comparison[2] == "==" else not same
    return _operand(expression, context)


def _operand(expression: str, context: Mapping[str, Any]) -> Any:
    if found := _SUM.match(expression):
        return _OPERATORS[found[2]](int(found[1]), int(found[3]))
    if re.fullmatch(r"'[^']*'(?:\s*\+\s*'[^']*')*", expression):
        return "".join(re.findall(r"'([^']*)'", expression))
    if expression in {"true", "false"}:
        return expression == "true"
    if re.fullmatch(r"-?\d+", expression):
        return int(expression)
    return _walk(expression, context)


def _walk(expression: str, context: Mapping[str, Any]) -> Any:
    path = _PATH.match(expression)
    if path is None:
        raise Unknown(expression)
    here: Any = context.get(path["root"], {})
    for step in _STEP.finditer(path["steps"]):
        name = step[1] or step[2]
        if not isinstance(here, Mapping) or name not in here:
            raise Unknown(expression)
        here = here[name]
    return here
