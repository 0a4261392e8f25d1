"""What anybody said is shown as text: no terminal obeys it."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.agent_protocol.plain_text import lines, one_line
from adapters.agent_protocol.reports import Report, read_report

HOSTILE = {
    "\x1b[31mred\x1b[0m": "red",
    "\x1b]0;owned\x07title": "title",
    "\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\": "link",
    "a\x1b[2J\x1b[1;1Hb": "ab",
    "\x9b31mc1": "c1",
    "50%\r100%": "50% 100%",
    "line\nfeed\ttab": "line feed tab",
    "bell\x07nul\0": "bell nul",
    "\u202egnp.exe": "gnp.exe",
    "\x1b[\x1b[31m31mtwice": "31mtwice",
    "ünïcode → stays 🚀": "ünïcode → stays 🚀",
    "\x1b(B\x1b=x": "x",
    "unfinished \x1b]0;title": "unfinished",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_escapes_and_control_characters_are_gone(text: str) -> None:
    assert HOSTILE[text] == one_line(text)


@given(st.text(alphabet=st.characters() | st.sampled_from("\x1b[]m\x07\x9b\u202e\r\n"), max_size=60))
def test_whatever_was_said_is_printable_and_stays_what_it_is(text: str) -> None:
    said, log = one_line(text), lines(text)

    assert said.isprintable()
    assert "".join(log.split("\n")).replace("\t", "").isprintable()
    assert (said, log) == (one_line(said), lines(log))


def test_a_log_keeps_its_lines() -> None:
    assert "one\ntwo\nthree\tx" == lines("\x1b[1mone\x1b[0m\r\ntwo\rthree\tx")


def test_the_sentences_of_a_report_are_cleaned_when_it_is_read() -> None:
    bad = "\x1b[31mfell\x1b[0m\n\u202eover"
    work = {"key": "k", "version": bad, "attempt": 1, "state": "failed", "stage": bad, "message": bad}
    work |= {"blame": "unhealthy", "rolled_back_to": bad, "log": bad}
    refused = {"reason": bad, "message": bad, "sequence": 1}
    report = Report(host="i-1", fleet="prod/mm", agent="0.2.0", number=7, at=datetime(2026, 11, 24, tzinfo=UTC))
    said = json.loads(report.text()) | {"message": bad, "agent": bad, "work": work, "refused": refused}

    read = read_report(json.dumps(said))

    assert read.work is not None
    assert read.refused is not None
    sentences = [read.message, read.agent, read.refused.reason, read.refused.message]
    sentences += [read.work.version, read.work.stage, read.work.message, read.work.rolled_back_to]
    assert ["fell over"] * 8 == sentences
    assert "fell\n over" == read.work.log
