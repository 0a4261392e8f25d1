"""The page of telling people is what the code does: reasons, the posted document, the numbers."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from adapters.notify import messages, notifier
from adapters.notify.messages import Message, read
from adapters.notify.slack import Slack
from adapters.notify.webhook import document
from reconciler import notices
from reconciler.ports import Undelivered
from reconciler.record import CommitStatus, State

PAGE = (Path(__file__).parents[2] / "docs" / "telling-people.md").read_text()


def row(first):
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {first} |"))
    return set(re.findall(r"`(\w+)`", line.partition(first)[2]))


def test_the_reasons_that_need_a_person_are_listed_once_here_and_once_there():
    assert {reason.value for reason in notices.NEEDS_PERSON} == row("at once")
    assert {reason.value for reason in notices.NEEDS_PERSON_LATER} == row("when it has lasted ten minutes")
    assert {reason.value for reason in notices.NEEDS_PERSON_WHERE_GIVEN_UP} == row(
        "where it was tried as often as may be"
    )


def test_every_notice_that_is_told_is_named():
    told = {kind.value for kind in notices.Kind} - {notices.Kind.WITHDRAWN.value}
    assert told == set(re.findall(r"^\| `([a-z-]+)` \| (?:a|the|nothing) ", PAGE, re.M))


def test_the_document_is_what_is_posted():
    shown = json.loads(PAGE.split("```json\n")[1].split("```")[0])
    (fleet,) = shown["data"]["fleets"]
    facts = {name: fleet[name] for name in fleet if name not in {"fleet", "state", "message", "url"}}
    status = CommitStatus(
        repository="notify-payments",
        commit=fleet["setting_commit"],
        context=fleet["fleet"],
        state=State(fleet["state"]),
        description=fleet["message"],
        target_url=fleet["url"],
        body=json.dumps({"kind": "failed", **facts}),
    )
    message = Message(told=(read(Undelivered(id=1, sequence=1, status=status, attempts=0)),))
    assert shown == document(message, datetime(2026, 11, 26, 17, 0, tzinfo=UTC))


def test_the_numbers_of_the_page_are_those_of_the_code():
    assert (5, 10) == (notices.FLOOR.total_seconds() / 60, notices.LASTS.total_seconds() / 60)
    assert "at most one notice in five minutes" in PAGE
    assert (5, 60, 1) == (notifier.HELD_BACK.total_seconds(), notifier.AGAIN.total_seconds(), notifier.STALE.days)
    assert "held back for five seconds. More than four fleets" in PAGE
    assert (4, 8) == (messages.FEW, messages.NAMED)
    assert [(1, 1), (60, 20)] == [(window.span.total_seconds(), window.most) for window in Slack.windows]
