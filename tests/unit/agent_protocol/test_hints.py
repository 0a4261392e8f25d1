"""Hints: a wake-up below 1 KiB, raw or in SNS's envelope. What is none is passed over, whatever it is."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.agent_protocol.addresses import order_key
from adapters.agent_protocol.hints import LARGEST, Hint, read_hint

HINT = Hint(fleet="prod/matchmaker", sequence=42, key="orders/prod/matchmaker.json", sha256="a" * 64)


def enveloped(message: Any, **fields: Any) -> str:
    """As SNS wraps a message for a queue without raw delivery."""
    said = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:fairlead-prod_matchmaker",
        "Message": message,
        "Timestamp": "2026-11-24T07:00:00.000Z",
        "SignatureVersion": "1",
        "Signature": "EXAMPLE" * 50,
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/x.pem",
        "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe",
    }
    return json.dumps(said | fields)


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(HINT.text()) | fields)


def test_a_hint_is_read_raw_and_in_its_envelope() -> None:
    assert HINT == read_hint(HINT.text()) == read_hint(enveloped(HINT.text()))


def test_the_longest_hint_is_below_a_kibibyte() -> None:
    fleet = f"{'e' * 40}/{'s' * 40}"
    hint = Hint(fleet=fleet, sequence=2**53 - 1, key=order_key(fleet), sha256="f" * 64)

    assert len(hint.text().encode()) < LARGEST
    assert hint == read_hint(hint.text())


def test_fields_of_newer_writers_are_passed_over() -> None:
    assert HINT == read_hint(changed(urgent=True)) == read_hint(enveloped(changed(urgent=True), MessageAttributes={}))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"a":' * 900,
        changed(format="fairlead/hint/v2"),
        changed(format="fairlead/order/v1"),
        changed(format=None),
        changed(fleet=""),
        changed(fleet="\0"),
        changed(sequence=0),
        changed(sequence=True),
        changed(sequence=1.0),
        changed(sequence=2**60),
        changed(key=7),
        changed(sha256="a" * 65),
        changed(note="\ud800"),
        enveloped(""),
        enveloped(None),
        enveloped(7),
        enveloped({"format": "fairlead/hint/v1"}),
        enveloped("x" * 2000),
        enveloped(changed(note="x" * 1000)),
        enveloped(enveloped(HINT.text())),
        changed(note="x" * 100_000),
        HINT.text()[:-1],
        HINT.text() * 2,
    ],
    ids=lambda body: body[:40],
)
def test_what_is_no_hint_is_passed_over(body: str) -> None:
    assert read_hint(body) is None


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(st.text(max_size=100) | JUNK.map(json.dumps))
def test_nothing_raises(body: str) -> None:
    assert read_hint(body) is None
    assert read_hint(enveloped(body)) is None


@settings(max_examples=200)
@given(fields=st.dictionaries(st.sampled_from(sorted(json.loads(HINT.text()))), JUNK, max_size=3))
def test_no_mutated_hint_raises(fields: dict[str, Any]) -> None:
    for body in (changed(**fields), enveloped(changed(**fields)), enveloped(fields), changed(Message=fields)):
        assert isinstance(read_hint(body), Hint | None)
