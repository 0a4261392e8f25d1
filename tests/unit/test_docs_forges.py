"""What the page of forges promises is what the adapter does: its numbers, its sentences, its sign-in."""

import re
from pathlib import Path

import pytest

from adapters.forges.github import webhook
from adapters.forges.github.answers import verdict_on, verdict_on_sign_in
from adapters.forges.github.auth import RENEWED_BEFORE
from adapters.forges.github.dialect import LONGEST_DESCRIPTION, MOST_WORDS
from adapters.forges.hosted import Answer, Call, Need, message_in, unreachable, windows
from adapters.forges.hosted.forge import FAILURES, FIRST_LOOK, LOOKS, last_words
from adapters.forges.hosted.limits import LONGEST_WAIT, SHARES
from adapters.ledger.telling import DOUBT
from fairlead.settings import ForgeSettings

PAGE = (Path(__file__).parents[2] / "docs" / "forges.md").read_text()
PLAIN = " ".join(PAGE.split())


def sentences() -> list[str]:
    """Whatever the adapter may say of an answer."""
    bodies = [
        b"",
        b'{"message": "No commit found for SHA: x"}',
        b'{"message": "Repository was archived so is read-only."}',
        b'{"message": "reached the maximum number of statuses"}',
    ]
    answers = [Answer(status=status, headers={}, body=body) for status in range(300, 520) for body in bodies]
    call = Call(method="POST", path="", need=Need.STATUSES, project="acme/x", about="commit abababababab")
    said = [verdict_on(call, each, message_in(each.body)) for each in answers]
    said += [verdict_on_sign_in(each, call=call, secrets=()) for each in answers]
    return [each.message for each in said]


def test_every_sentence_of_the_page_is_one_that_is_said() -> None:
    table = PAGE.partition("| it says | do |")[2]
    quoted = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    said = sentences()

    assert 10 == len(quoted)
    assert [] == [each for each in quoted if not any(each in sentence for sentence in said)]


def test_every_kind_of_sentence_is_on_the_page() -> None:
    quoted = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("| it says | do |")[2], re.M)
    rare = (
        "GitHub takes no statuses for",
        "GitHub does not take the status now",
        "GitHub refused the status",
        "gives the App no token",
    )

    assert [] == [said for said in sentences() if not any(each in said for each in (*quoted, *rare))]


@pytest.mark.parametrize(
    "promise",
    [
        f"`writes_per_minute` ({ForgeSettings().writes_per_minute})",
        f"`writes_per_hour` ({ForgeSettings().writes_per_hour})",
        f"{MOST_WORDS:,} statuses for a commit and context",
        f"after {last_words(MOST_WORDS)} words",
        f"{LONGEST_DESCRIPTION} characters",
        f"Over {webhook.LARGEST // 1024 // 1024} MiB is refused",
        f"A repeat within {webhook.FORGOTTEN_AFTER / 60:g} minutes is ignored",
    ],
)
def test_a_number_of_the_page_is_the_code_s(promise: str) -> None:
    assert promise in PLAIN


def test_the_numbers_in_words_are_the_code_s() -> None:
    assert (3, 5, 5) == (FAILURES, LONGEST_WAIT.total_seconds() / 60, RENEWED_BEFORE.total_seconds() / 60)
    assert "stops after three failures" in PLAIN
    assert "Rests grow to five minutes" in PLAIN
    assert "renews them five minutes before their end" in PLAIN
    assert [(10, 10), (60, 60), (3600, 400)] == [(each.span.total_seconds(), each.most) for each in windows(60, 400)]
    assert "a sixth of a minute's in any ten seconds" in PLAIN
    assert {"final": 100, "roll-up": 90, "fleet": 75} == SHARES
    assert "single fleets are told only while no more than 75 %" in PLAIN
    assert "pending roll-ups up to 90 %" in PLAIN
    assert (5, 8) == (LOOKS, sum(FIRST_LOOK.total_seconds() * 2**each for each in range(LOOKS)) // 60 + 1)
    assert "looked for five more times over eight minutes" in PLAIN
    assert 60 == DOUBT.total_seconds()
    assert "no answer came, or a 5xx | a minute later" in PLAIN
    assert "told more than a minute after the event is told once only" in PLAIN
    assert "GitHub cannot be reached" in unreachable("GitHub", "x")
