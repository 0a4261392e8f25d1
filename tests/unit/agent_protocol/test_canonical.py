"""Canonical JSON: one value, one text; and what has none is refused."""

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.agent_protocol.canonical import DEEPEST, canonical, sha256
from adapters.agent_protocol.strict_json import read_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))


@given(VALUES)
def test_what_is_written_reads_back_to_the_same_bytes(value: Any) -> None:
    assert canonical(value) == canonical(read_json(canonical(value).decode(), "it"))


@given(VALUES)
def test_any_other_spelling_has_the_same_canonical_form(value: Any) -> None:
    spelled = json.dumps(value, indent=3, ensure_ascii=True)

    assert canonical(value) == canonical(read_json(spelled, "it"))


@given(VALUES, VALUES)
def test_two_values_have_two_texts(one: Any, other: Any) -> None:
    assert (canonical(one) == canonical(other)) == (typed(one) == typed(other))


def typed(value: Any) -> Any:
    """The value with the kind of every part: 1, 1.0 and true are equal in Python and nowhere else; so are the zeros."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return (type(value), str(value))


def test_frozen_maps_and_tuples_are_written_as_what_they_hold() -> None:
    assert canonical({"a": [1, {"b": 2}]}) == canonical(MappingProxyType({"a": (1, MappingProxyType({"b": 2}))}))
    assert sha256({"a": [1]}) == sha256({"a": (1,)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "\ud800", {"\udfff": 1}])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical([value])


@pytest.mark.parametrize("value", [{1: "a"}, {True: "a"}, {None: "a"}, {"a"}, b"a", object()])
def test_what_json_would_turn_into_something_else_is_refused(value: Any) -> None:
    """Keys 2 and 10 sort as numbers here and as texts after reading: the signature would not be that of the text."""
    with pytest.raises(TypeError):
        canonical([value])


def test_nesting_ends_somewhere() -> None:
    value: Any = 0
    for _ in range(DEEPEST):
        value = [value]

    assert canonical(value)
    with pytest.raises(ValueError, match="nested deeper"):
        canonical([value])
