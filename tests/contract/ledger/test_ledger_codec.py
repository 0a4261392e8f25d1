"""Values survive the ledger unchanged, whatever they hold, and so they do between two versions of Fairlead."""

import dataclasses
import json
import types
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.ledger import codec
from adapters.ledger.codec import FLEET, MEMORY, OUTCOME, PROBLEMS, SETTING
from adapters.ledger.dialects import LedgerError, micros, moment
from desired_state.model import Fleet, Problem, Setting
from reconciler.memory import Memory
from reconciler.reasons import Reason
from reconciler.work import Outcome

TEXT = st.text(max_size=6)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=3,
)
SIMPLE = {
    str: TEXT,
    bool: st.booleans(),
    int: st.integers(-(2**31), 2**31),
    Any: PLAIN,
    datetime: st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    timedelta: st.timedeltas(timedelta(days=-400), timedelta(days=4000)),
    type(None): st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Every value of a type of ours, by its fields: a new field is tried without anybody thinking of it."""
    if kind in SIMPLE:
        return SIMPLE[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin in {Union, types.UnionType}:
        return st.one_of([values(each) for each in inner])
    if origin is tuple:
        return st.lists(values(inner[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(values(inner[0]), values(inner[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in dataclasses.fields(kind)})


@pytest.mark.parametrize(
    ("kept", "kind"),
    [
        (FLEET, Fleet),
        (SETTING, Setting),
        (PROBLEMS, tuple[Problem, ...]),
        (MEMORY, Memory),
        (OUTCOME, Outcome),
    ],
    ids=["fleet", "setting", "problems", "memory", "outcome"],
)
def test_every_value_comes_back_as_it_went_in(kept, kind):
    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(values(kind))
    def comes_back(value):
        assert value == kept.decode(kept.encode(value))

    comes_back()


def test_a_field_of_a_newer_version_is_ignored(build):
    fleet = build.fleet()
    text = json.dumps({**json.loads(FLEET.encode(fleet)), "invented_later": {"a": 1}})

    assert fleet == FLEET.decode(text)


def test_a_field_that_an_older_version_lacked_takes_its_default(build):
    fleet = build.fleet()
    older = {name: value for name, value in json.loads(FLEET.encode(fleet)).items() if name not in {"policy", "owner"}}

    assert fleet == FLEET.decode(json.dumps(older))


def test_a_missing_field_without_a_default_is_a_sentence(build):
    broken = {name: value for name, value in json.loads(FLEET.encode(build.fleet())).items() if name != "service"}

    with pytest.raises(LedgerError, match=r"a fleet's spec in the ledger cannot be read: service: "):
        FLEET.decode(json.dumps(broken))


def test_a_reason_that_a_newer_version_wrote_is_unknown_here(build):
    text = OUTCOME.encode(dataclasses.replace(build.outcome(build.fleet(), "key"), reason=Reason.NO_UNITS))

    assert Reason.UNKNOWN is OUTCOME.decode(text.replace('"NoUnits"', '"InventedLater"')).reason
    with pytest.raises(LedgerError, match="reason"):
        OUTCOME.decode(text.replace('"NoUnits"', "7"))


def test_types_are_not_bent(build):
    bent = {**json.loads(FLEET.encode(build.fleet())), "service": 7}

    with pytest.raises(LedgerError, match="service"):
        FLEET.decode(json.dumps(bent))


def test_what_is_not_of_the_kind_is_not_written(build):
    with pytest.raises(LedgerError, match="cannot be written"):
        FLEET.encode(build.outcome(build.fleet(), "key"))


def test_a_value_beyond_all_bounds_is_refused(monkeypatch):
    monkeypatch.setattr(codec, "LONGEST", 100)

    with pytest.raises(LedgerError, match="takes 103 characters; the ledger keeps at most 100"):
        codec.canonical(["x" * 99])


@pytest.mark.parametrize("value", [{"at": datetime(2026, 1, 1, tzinfo=UTC)}, {"a": float("nan")}, {"a": {1, 2}}])
def test_a_snapshot_is_plain_json_or_nothing(value):
    with pytest.raises(LedgerError, match="a snapshot cannot be written"):
        codec.canonical(value)


def test_canonical_json_does_not_depend_on_order():
    assert codec.canonical({"a": 1, "b": {"c": 2, "d": 3}}) == codec.canonical({"b": {"d": 3, "c": 2}, "a": 1})


@given(SIMPLE[datetime])
def test_times_keep_their_microsecond(at):
    assert at == moment(micros(at))
