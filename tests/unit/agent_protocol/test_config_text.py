"""Configuration as text that every reader takes for the same values."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some
from ruamel.yaml import YAML

from adapters.agent_protocol.config_text import render

AMBIGUOUS = ["yes", "No", "ON", "off", "y", "n", "null", "~", "", "1.10", "0x1F", "010", "1_000", "1e3", "12:30:45"]
AMBIGUOUS += [
    "2026-11-23",
    ".inf",
    "NaN",
    "=",
    "<<",
    "- a",
    "a: b",
    "#x",
    "a #b",
    " x ",
    "é",
    "line\nbreak",
    "*a",
    "&a",
    "!t",
]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_a_text_stays_a_text_for_readers_of_both_yamls(text: str) -> None:
    values = {"value": text, "list": [text], text or "key": 1}

    rendered = render(values, "yaml")

    assert values == yaml.safe_load(rendered)
    assert values == YAML(typ="safe", pure=True).load(rendered)


values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False, allow_infinity=False) | some.text(),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(some.dictionaries(some.text(max_size=8), values, max_size=4))
def test_any_values_come_back_as_they_were(tree: dict[str, Any]) -> None:
    assert tree == yaml.safe_load(render(tree, "yaml"))
    assert tree == json.loads(render(tree, "json"))


def test_plain_words_are_written_plainly_and_keys_are_sorted() -> None:
    assert render({"mode": "fast lane", "b": True, "a": 1}, "yaml") == "a: 1\nb: true\nmode: fast lane\n"
