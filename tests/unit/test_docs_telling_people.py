"""The page of telling people is what the code does: reasons, the posted document, the numbers."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from adapters.notify import messages, notifier
from adapters.notify.exchange import Answer
from adapters.notify.messages import Message, read
from adapters.notify.notifier import Fate
from adapters.notify.slack import Slack
from adapters.notify.webhook import Webhook, document
from desired_state.model import Policy
from reconciler import notices
from reconciler.audience import Audience
from tests.unit.reconciler.conftest import Rig, make_fleet

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


def test_the_document_is_what_is_posted(tmp_path):
    rig = Rig(tmp_path)
    audience = Audience(channels=(notices.Channel(name="payments", owners=("payments",)),))
    rig.world = replace(rig.world, audience=audience, public_url="https://fairlead.example.com")
    fleet = make_fleet("1.4.1", owner="payments", policy=Policy(retries=0))
    rig.commit(fleet)
    rig.run_everywhere("1.4.1")
    rig.settle()
    rig.commit(make_fleet("1.4.2", owner="payments", policy=Policy(retries=0)))
    while not (waiting := rig.ledger.undelivered("notify-payments", 10)):
        rig.once()
        rig.world_of_units.fail()
        rig.wait(seconds=30)
    rig.ledger.close()

    shown = json.loads(PAGE.split("```json\n")[1].split("```")[0])
    assert shown == document(Message(told=(read(waiting[0]),)), datetime(2026, 11, 26, 17, 0, tzinfo=UTC))


def test_the_answers_of_a_webhook_are_judged_as_the_page_says():
    judged = {Fate.SHUT: "`401`", Fate.REFUSED: "`400`", Fate.LIMITED: "`429`"}
    table = PAGE.partition("### Any webhook")[2]
    for fate, first in judged.items():
        line = next(line for line in table.splitlines() if line.startswith(f"| {first}"))
        statuses = [int(found) for found in re.findall(r"`(\d{3})`", line)]
        assert {fate} == {Webhook(str).judge(Answer(status=status, headers={})).fate for status in statuses}
    assert {Fate.SHUT} == {Webhook(str).judge(Answer(status=status, headers={})).fate for status in (301, 308)}
    assert {Fate.AWAY} == {Webhook(str).judge(Answer(status=status, headers={})).fate for status in (418, 500, 504)}


def test_the_numbers_of_the_page_are_those_of_the_code():
    assert (5, 10) == (notices.FLOOR.total_seconds() / 60, notices.LASTS.total_seconds() / 60)
    assert "at most one notice in five minutes" in PAGE
    assert (5, 60) == (notifier.HELD_BACK.total_seconds(), notifier.AGAIN.total_seconds())
    assert "held back for five seconds. More than four fleets" in PAGE
    assert (4, 8) == (messages.FEW, messages.NAMED)
    assert [(1, 1), (60, 20)] == [(window.span.total_seconds(), window.most) for window in Slack.windows]
