"""Orders: what is written is read, whose part of it is whose, and which sequence comes next."""

import json
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.orders import (
    LEAP,
    Artifact,
    ConfigFile,
    Drain,
    Health,
    Lifecycle,
    Order,
    Release,
    Run,
    assignment_of,
    next_sequence,
    release_document,
)
from adapters.agent_protocol.reading import own_order, parse_order, read_release
from adapters.agent_protocol.refusals import RefusalReason, Refused
from adapters.agent_protocol.signing import new_key, signing_key

KEY = new_key("k")[0]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
FILLED = TEXT.filter(bool)
HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
SHA = st.text("0123456789abcdef", min_size=40, max_size=40)
SECONDS = st.integers(0, 10**7) | st.floats(0, 10**7)
NAME = st.from_regex(r"[a-z][a-z0-9+._-]{0,9}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)
START = datetime(2000, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 4 * 10**15).map(lambda micros: START + timedelta(microseconds=micros))
RUNS = st.builds(Run, unit=st.just("mm@1.service"), stop_within=SECONDS) | st.builds(
    Run, command=TEXT, stop_within=SECONDS
)
HEALTHS = (
    st.builds(Health, http=st.just("http://localhost:1/x"), within=SECONDS)
    | st.builds(Health, tcp=st.just("localhost:1"), within=SECONDS)
    | st.builds(Health, command=TEXT, within=SECONDS)
)
LIFECYCLES = st.builds(
    Lifecycle,
    root=NAME.map("/srv/{}".format),
    run=RUNS,
    health=HEALTHS,
    drain=st.none() | st.builds(Drain, groups=st.none() | st.lists(TEXT, max_size=2).map(tuple), within=SECONDS),
)
ARTIFACTS = st.lists(
    st.builds(
        Artifact,
        name=NAME,
        version=FILLED,
        format=st.sampled_from(["archive", "file", "deb"]),
        source=st.none() | NAME.map("s3://builds/{}".format),
        to=st.none(),
        sha256=HEX,
    ),
    max_size=3,
    unique_by=lambda artifact: artifact.name.removesuffix(".deb"),
).map(tuple)
CONFIGS = st.builds(
    ConfigFile,
    component=FILLED,
    to=NAME.map("etc/{}".format),
    format=st.sampled_from(["yaml", "json"]),
    values=st.dictionaries(TEXT, VALUES, max_size=3),
    digest=HEX,
)
RELEASES = st.builds(
    Release,
    digest=HEX,
    commit=SHA,
    version=FILLED,
    components=st.dictionaries(TEXT, TEXT, max_size=3),
    artifacts=ARTIFACTS,
    lifecycle=LIFECYCLES,
    config=st.none() | CONFIGS,
)
ORDERS = st.builds(
    Order,
    fleet=FILLED,
    sequence=st.integers(1, 2**53 - 1),
    target=RELEASES,
    base=st.none() | RELEASES,
    issued=MOMENTS,
    expires=MOMENTS,
    admitted=st.none() | st.frozensets(NAME, max_size=4),
    attempts=st.dictionaries(NAME, st.integers(1, 9), max_size=3),
    rejected=st.lists(HEX.map("{}0".format), max_size=2).map(lambda found: tuple(sorted(found))),  # none of the others
    key_id=st.just("k"),
)


@given(ORDERS)
def test_what_the_controller_writes_is_what_it_and_the_hosts_read(order: Order) -> None:
    body = canonical(KEY.sign(order.document()))

    assert order == parse_order(body) == own_order(body, KEY)
    assert order.meaning == parse_order(body).meaning
    assert order.target.id == parse_order(body).target.id


@given(RELEASES)
def test_a_release_that_a_host_keeps_is_read_back(release: Release) -> None:
    assert release == read_release(json.loads(canonical(release_document(release))))


def test_seconds_mean_the_same_written_whole_or_not(order: Any, release: Any) -> None:
    """The controller compares what it would write with what lies there, which was read."""
    written = order()

    assert isinstance(written.target.lifecycle.health.within, int)
    assert written.meaning == parse_order(canonical(KEY.sign(written.document()))).meaning


def test_configuration_may_be_frozen(order: Any, release: Any) -> None:
    from dataclasses import replace

    sound = release()
    frozen = replace(sound, config=replace(sound.config, values=MappingProxyType(dict(sound.config.values))))

    assert order(target=sound).meaning == order(target=frozen).meaning
    assert (
        KEY.sign(order(target=sound).document())["signature"] == KEY.sign(order(target=frozen).document())["signature"]
    )


def test_times_are_written_in_utc(order: Any) -> None:
    elsewhere = datetime(2026, 11, 24, 8, 0, tzinfo=timezone(timedelta(hours=2)))

    assert "2026-11-24T06:00:00Z" == order(issued=elsewhere).document()["issued"]


def test_meaning_is_all_but_sequence_times_and_signer(order: Any) -> None:
    sound = order()
    later = order(sequence=99, issued=sound.expires, expires=sound.expires + timedelta(days=30), key_id="other")

    assert sound.meaning == later.meaning
    changed = [order(admitted=None), order(base=None), order(attempts={}), order(rejected=()), order(fleet="prod/x")]
    assert len({sound.meaning, *(one.meaning for one in changed)}) == 6


def test_an_admitted_host_runs_the_target_any_other_the_base(order: Any) -> None:
    sound = order(admitted=frozenset({"i-1", "i-2"}), attempts={"i-2": 2})

    said = {host: assignment_of(sound, host) for host in ("i-1", "i-2", "i-3")}
    assert {"i-1": ("2.3.1", 1), "i-2": ("2.3.1", 2), "i-3": ("2.3.0", 1)} == {
        host: (found.release.version, found.attempt) for host, found in said.items() if found
    }
    assert assignment_of(order(base=None), "i-3") is None
    assert assignment_of(order(admitted=None, base=None), "i-3") is not None


def test_an_attempt_is_another_assignment(order: Any) -> None:
    one, two = (assignment_of(order(attempts={"i-1": number}), "i-1") for number in (1, 2))

    assert one is not None
    assert two is not None
    assert one.key == f"{'b' * 12}:{'a' * 12}:a1"
    assert one.key != two.key


@given(st.lists(st.integers(0, LEAP)))
def test_a_new_sequence_is_above_all_honest_ones(steps: list[int]) -> None:
    """However far numbers have come, one by one each is within reach of another."""
    seen, height = [], 0
    for step in steps:
        height += step
        seen.append(height)

    assert height + 1 == next_sequence(seen) == next_sequence(reversed(seen))


@pytest.mark.parametrize("lie", [2**53 - 1, LEAP + 43, 10**300])
def test_a_claim_out_of_all_proportion_uses_up_no_numbers(lie: int) -> None:
    assert 43 == next_sequence([41, lie, 42])
    assert 1 == next_sequence([lie])


def test_without_any_order_the_first_sequence_is_one() -> None:
    assert 1 == next_sequence([])


def test_the_controller_does_not_take_another_hand_for_its_own(order: Any) -> None:
    """What means the same but hosts refuse must be written again, or the fleet waits for ever."""
    other = signing_key("k", new_key("k")[1])
    forged = other.sign(order(sequence=7).document())

    with pytest.raises(Refused) as refused:
        own_order(canonical(forged), KEY)
    assert (RefusalReason.TAMPERED, 7) == (refused.value.reason, refused.value.sequence)
    renamed = new_key("old")[0].sign(order().document())
    with pytest.raises(Refused) as refused:
        own_order(canonical(renamed), KEY)
    assert RefusalReason.UNKNOWN_KEY == refused.value.reason


def test_an_expired_order_is_still_the_controllers_own(order: Any) -> None:
    old = KEY.sign(order(expires=datetime(2020, 1, 1, tzinfo=UTC)).document())

    assert own_order(json.dumps(old).encode(), KEY).sequence == 42
