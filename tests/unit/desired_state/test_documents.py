"""YAML with positions: what is read, what is refused, and that nothing in a file can raise."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from desired_state.documents import MAX_BYTES, Document, MapNode, plain, read
from desired_state.durations import format_duration, parse_duration
from desired_state.scalars import Unwritable, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("off", "off"),
        ("0123", "0123"),
        ("12:30:45", "12:30:45"),
        ("2026-12-01", "2026-12-01"),
        ("1_000", "1_000"),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("Null", None),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        (".5", 0.5),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    resolved = resolve(text)

    assert (type(value), value) == (type(resolved), resolved)


@pytest.mark.parametrize("text", [".nan", "-.inf", "1e999", "9223372036854775808", "1" * 5000, "0x" + "f" * 5000])
def test_a_number_that_json_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(Unwritable):
        resolve(text)


def test_every_node_knows_its_line_and_column_from_one() -> None:
    root = read("# é\na: 1\nb:\n  é: {c: [x, y]}\n".encode(), "f").root

    assert root is not None
    b = root.items["b"]
    assert isinstance(b, MapNode)
    inner = b.items["é"]
    assert isinstance(inner, MapNode)
    assert [("f", 2, 4), ("f", 4, 6), ("f", 4, 7), ("f", 4, 10)] == [
        root.items["a"].at,
        inner.at,
        inner.keys["c"],
        inner.items["c"].at,
    ]


@pytest.mark.parametrize("data", [b"", b"# only words\n", b"---\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_empty_map(data: bytes) -> None:
    document = read(data, "f")

    assert document.root is not None
    assert ({}, ()) == (plain(document.root), document.findings)


def test_an_anchor_may_be_used_again() -> None:
    root = read(b"a: &a {x: 1}\nb: *a\n", "f").root

    assert root is not None
    assert {"a": {"x": 1}, "b": {"x": 1}} == plain(root)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a: &a [*a]\n", "f:1:8: the alias *a names no finished anchor; write the value out"),
        (
            b"a: &a x\nb: [" + b"*a, " * 51 + b"]\n",
            "f:2:205: the file holds more than 50 aliases; write the values out",
        ),
        (b"[" * 200_000, "f:1:41: maps and lists are nested deeper than 40; make the file flatter"),
        (b"#" * (MAX_BYTES + 1), "f:1:1: the file is larger than 1024 KiB; split it or move data elsewhere"),
        (
            b"a: [" + b"1," * 100_000 + b"]",
            "f:1:199999: the file holds more than 100000 values, aliases counted; make it smaller",
        ),
        (b"a: \x00\n", "f:1:4: the control character U+0000 is not allowed in YAML; remove it"),
        ("a: 1".encode("utf-16"), "f:1:1: the file is not UTF-8; save it as UTF-8"),
        (b"{a: 1}}", "f:1:7: a brace stands here without its partner; put text that holds braces in quotes"),
        (b"a: {{ version }}", 'f:1:5: an unquoted brace begins a map in YAML; write the text in quotes: "{ version }"'),
        (b"a: @b", 'f:1:4: text cannot begin with "@" in YAML; put it in quotes'),
        (b'a: "\\z"', "f:1:5: an unknown escape in double quotes; use single quotes"),
        (b"a: !!str 12", "f:1:4: the tag !!str is not read; write the plain value, in quotes if it is text"),
        (b"a: ! x", "f:1:4: the tag ! is not read; write the plain value, in quotes if it is text"),
    ],
    ids=range(13),
)
def test_what_cannot_be_read_is_said_in_one_sentence(data: bytes, said: str) -> None:
    document = read(data, "f")

    assert [said] == [f"{finding.at}: {finding.message}" for finding in document.findings]


def test_nested_aliases_cannot_get_round_the_cap_on_depth() -> None:
    deep = "[" * 30 + "]" * 30
    data = f"a: &a {deep}\nb: {'[' * 20}*a{']' * 20}\n".encode()

    assert ["maps and lists are nested deeper than 40; make the file flatter"] == [
        finding.message for finding in read(data, "f").findings
    ]


def test_every_duplicate_key_is_named() -> None:
    document = read(b"a: 1\na: 2\nb: {c: 1, c: 2}\n", "f")

    assert [(2, 1), (3, 11)] == [(finding.at.line, finding.at.column) for finding in document.findings]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet="{}[]:,-*&!#|>%@`\"' \n\tab1.$", max_size=80).map(str.encode))
)
def test_any_bytes_give_a_document_or_findings(data: bytes) -> None:
    document = read(data, "f")

    assert isinstance(document, Document)
    assert document.root is not None or document.findings
    for finding in document.findings:
        assert finding.at.line >= 1
        assert finding.at.column >= 1
        assert "\n" not in finding.message


TEXT = st.text(st.characters(max_codepoint=0xD7FF), max_size=8)  # JSON's surrogate pairs are not YAML
VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXT, VALUES, max_size=3))
def test_json_reads_as_itself(value: dict[str, Any]) -> None:
    document = read(json.dumps(value).encode(), "f")

    assert () == document.findings
    assert document.root is not None
    assert value == plain(document.root)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400), ("0s", 0)])
def test_durations_are_written_back_as_they_were_read(text: str, seconds: int) -> None:
    duration = parse_duration(text)

    assert seconds == duration.total_seconds()
    assert text == format_duration(duration)


@pytest.mark.parametrize("text", ["", "5", "5 m", "1h30m", "-5m", "5M", "999d", "1.5h", "٣m"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


def test_resolve_never_gives_a_number_that_is_not_finite() -> None:
    assert math.isfinite(float(resolve("1e308") or 0))
