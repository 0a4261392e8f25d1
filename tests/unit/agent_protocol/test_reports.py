"""Reports: whatever an agent says can be sent and read, and whatever anyone sends does no harm."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.agent_protocol.addresses import FLEET
from adapters.agent_protocol.fields import Malformed
from adapters.agent_protocol.reports import LARGEST, LOG_TAIL, Blame, Refusal, Report, Work, WorkState, read_report

AT = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
ANY = st.text(max_size=40) | st.sampled_from(["\0", "\ud800", "\uffff\ufffe", "x" * 5000, "\x1b[31m", "ä" * 5000])
FILLED = ANY.filter(bool)
WHOLE = st.integers(0, 2**53 - 1)
WORKS = st.builds(
    Work,
    key=FILLED,
    version=ANY,
    attempt=st.integers(1, 9),
    state=st.sampled_from(WorkState),
    stage=ANY,
    message=ANY,
    blame=st.sampled_from(Blame),
    rolled_back_to=ANY,
    log=ANY,
)
REPORTS = st.builds(
    Report,
    host=FILLED,
    fleet=st.from_regex(FLEET, fullmatch=True),
    agent=ANY,
    number=WHOLE,
    at=st.just(AT),
    sequence=WHOLE,
    expires=st.none() | st.just(AT),
    components=st.dictionaries(ANY, ANY, max_size=3),
    running=st.booleans(),
    healthy=st.booleans(),
    message=ANY,
    report_only=st.booleans(),
    last_good=ANY,
    target_groups=st.lists(ANY, max_size=3).map(tuple),
    work=st.none() | WORKS,
    refused=st.none() | st.builds(Refusal, reason=ANY, message=ANY, sequence=WHOLE),
)


def sound(**changes: Any) -> Report:
    said: dict[str, Any] = {
        "host": "i-1",
        "fleet": "prod/matchmaker",
        "agent": "0.2.0",
        "number": 7,
        "at": AT,
        "sequence": 42,
        "expires": AT,
        "components": {"package/matchmaker": "2.3.1"},
        "running": True,
        "healthy": True,
        "message": "",
        "last_good": "2.3.0",
        "target_groups": ("arn:x",),
        "work": Work(key="a:b:a1", version="2.3.1", attempt=1, state=WorkState.DONE, log="well\n"),
        "refused": Refusal(
            reason="OrderTampered", message="the order's signature is not that of its content", sequence=43
        ),
    }
    return Report(**said | changes)


def test_what_is_said_is_what_is_read() -> None:
    assert sound() == read_report(sound().text())
    assert sound(work=None, refused=None, expires=None) == read_report(
        sound(work=None, refused=None, expires=None).text()
    )


@given(REPORTS)
def test_whatever_an_agent_says_can_be_sent_and_read(report: Report) -> None:
    """A report that nobody can read is silence, and silence is a failed deploy."""
    text = report.text()
    read = read_report(text)

    assert (report.number, report.sequence, report.healthy) == (read.number, read.sequence, read.healthy)
    assert (report.work and report.work.state) == (read.work and read.work.state)
    assert all(0x20 <= ord(each) < 0xD800 or 0xE000 <= ord(each) < 0xFFFE or ord(each) > 0xFFFF for each in text)
    assert read == read_report(read.text())


def test_long_texts_are_cut_and_of_a_log_the_end_is_kept() -> None:
    work = Work(key="k", version="v", attempt=1, state=WorkState.FAILED, message="m" * 9999, log=f"{'x' * 9999}last")
    read = read_report(sound(message="m" * 9999, work=work).text())

    assert read.work is not None
    assert (1000, 1000, LOG_TAIL) == (len(read.message), len(read.work.message), len(read.work.log))
    assert read.work.log.endswith("last")


def test_what_no_queue_takes_is_replaced() -> None:
    read = read_report(sound(message="a\0b\ud800c\uffffd").text())

    assert read.message == "a\ufffdb\ufffdc\ufffdd"


def test_the_largest_sound_report_is_read() -> None:
    """As many components as an order may name, and every text at its longest, in the letters that take most room."""
    components = {f"package/{number:03}{'ä' * 60}": "ä" * 128 for number in range(160)}
    work = Work(
        key="k", version="\x01" * 9999, attempt=1, state=WorkState.FAILED, message="\x01" * 9999, log="\x01" * 9999
    )

    text = sound(components=components, message="\x01" * 9999, work=work, target_groups=("\x01" * 600,) * 10).text()
    assert len(text) < LARGEST
    assert read_report(text).components == components


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(sound().text()) | fields)


def test_fields_of_newer_agents_are_passed_over() -> None:
    assert sound() == read_report(changed(temperature=17, work=json.loads(sound().text())["work"] | {"x": 1}))


WRONG: list[tuple[str, Any]] = [
    ("format", "fairlead/report/v2"),
    ("host", ""),
    ("host", "i-\0"),
    ("fleet", None),
    ("fleet", ""),
    ("fleet", "matchmaker"),
    ("fleet", "prod/"),
    ("fleet", "/etc/x"),
    ("fleet", "prod/../x"),
    ("fleet", "prod/a/b"),
    ("fleet", "prod/MM"),
    ("fleet", "prod/mm\n"),
    ("fleet", "prod/mm.config"),
    ("fleet", f"prod/{'a' * 41}"),
    ("number", -1),
    ("number", 1.0),
    ("number", True),
    ("sequence", 2**53),
    ("at", "0001-01-01T00:00:00+23:59"),
    ("at", "9999-12-31T23:59:59-23:59"),
    ("at", "now"),
    ("expires", "0001-01-01T00:00:00+23:59"),
    ("components", []),
    ("components", {"a": None}),
    ("components", {"a\0": "b"}),
    ("components", {"a": "x" * 5000}),
    ("components", {str(number): "" for number in range(1001)}),
    ("running", 1),
    ("healthy", "true"),
    ("message", "x" * 5000),
    ("target_groups", "arn"),
    ("target_groups", [1]),
    ("work", []),
    ("work", {"state": "resting"}),
    ("refused", "no"),
]


@pytest.mark.parametrize(("field", "value"), WRONG, ids=lambda value: repr(value)[:40])
def test_a_wrong_field_makes_the_report_malformed(field: str, value: Any) -> None:
    with pytest.raises(Malformed, match=field):
        read_report(changed(**{field: value}))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"a":' * 900,
        "9" * 5000,
        '{"format": NaN}',
        '{"format": 1e400}',
        '{"x": "\\ud800"}',
        '"\ud800"',
        "x" * (LARGEST + 1),
        '{"format": "fairlead/report/v1", "format": "fairlead/report/v1"}',
    ],
    ids=lambda body: body[:30].encode("ascii", "backslashreplace").decode(),
)
def test_what_is_no_report_is_malformed(body: str) -> None:
    with pytest.raises(Malformed):
        read_report(body)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
FIELDS = sorted(json.loads(sound().text()))


def outcome(body: str) -> object:
    """What came of it; anything but a report or `Malformed` comes up."""
    try:
        return read_report(body)
    except Malformed as error:
        return str(error)


@given(st.text(max_size=100))
def test_no_text_does_anything_but_get_refused(body: str) -> None:
    assert outcome(body)


@settings(max_examples=300)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=3), cut=st.none() | st.integers(0, 700))
def test_no_mutated_report_does_anything_but_get_refused(fields: dict[str, Any], cut: int | None) -> None:
    assert outcome(changed(**fields)[:cut])
    assert outcome(changed(work=fields, refused=fields)[:cut])
