"""What the page of forges promises is what the adapter does: its numbers, its sentences, its sign-in."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.forges.github.answers import verdict_on, verdict_on_sign_in
from adapters.forges.github.auth import PERMISSIONS, RENEWED_BEFORE
from adapters.forges.github.dialect import LONGEST_COMMENT, LONGEST_DESCRIPTION, MOST_WORDS, TASK, GitHub
from adapters.forges.hooks.replays import FORGOTTEN_AFTER
from adapters.forges.hooks.webhook import LARGEST
from adapters.forges.hosted import Allowed, Answer, Call, Need, TokenSignIn, message_in, unreachable, windows
from adapters.forges.hosted.forge import FAILURES, FIRST_LOOK, LAST_LOOK, last_words
from adapters.forges.hosted.limits import ELSEWHERE, LONGEST_SHUT, LONGEST_WAIT, SHARES
from adapters.forges.hosted.reviewing import MOST
from adapters.forges.hosted.saying import Aim, Saying
from adapters.ledger.telling import DOUBT
from fairlead.settings import ForgeSettings
from reconciler.record import CommitStatus, State

PAGE = (Path(__file__).parents[2] / "docs" / "forges.md").read_text()
PLAIN = " ".join(PAGE.split())


def sentences() -> list[str]:
    """Whatever the adapter may say of an answer, and of what it may not send."""
    bodies = [
        b"",
        b'{"message": "No commit found for SHA: x"}',
        b'{"message": "Repository was archived so is read-only."}',
        b'{"message": "reached the maximum number of statuses"}',
        b'{"message": "description is too long"}',
        b'{"message": "Unable to create comment because issue is locked."}',
    ]
    answers = [Answer(status=status, headers={}, body=body) for status in range(300, 520) for body in bodies]
    said = [verdict_on(call, each, message_in(each.body)) for call in calls() for each in answers]
    said += [verdict_on_sign_in(each, call=call, secrets=()) for call in calls() for each in answers]
    return [*(each.message for each in said), *refusals()]


def calls() -> list[Call]:
    about = {Need.STATUSES: "commit abababababab", Need.COMMENTS: "pull request 7", Need.DEPLOYMENTS: "commit ab"}
    made = [
        Call(method=method, path="", need=need, project="acme/x", about=about.get(need, ""))
        for need in Need
        for method in ("GET", "POST")
    ]
    later = replace(made[0], method="PATCH", need=Need.COMMENTS, about="comment 5")
    return [*made, later, replace(later, method="POST", need=Need.DEPLOYMENTS, about="deployment 5")]


def refusals() -> list[str]:
    """What ends before it is asked, or after a tag was not found."""
    sign_in = TokenSignIn(lambda: "token", reference="env:TOKEN")
    word = CommitStatus(
        repository="main", commit="refs/tags/v1", context="fairlead/prod/x", state=State.SUCCESS, description="",
        project="acme/x",
    )  # fmt: skip
    steps = [
        Saying(GitHub(), "acme/desired", sign_in, Allowed(sources=sources)).steps(Aim(word=word))
        for sources in ((), ("acme/*",))
    ]
    with pytest.raises(StopIteration) as kept_back:
        next(steps[0])
    next(steps[1])
    with pytest.raises(StopIteration) as absent:
        steps[1].send(Answer(status=404, headers={}))
    return [str(kept_back.value.value.message), str(absent.value.value.message)]


def test_every_sentence_of_the_page_is_one_that_is_said() -> None:
    table = PAGE.partition("| it says | do |")[2]
    quoted = re.findall(r"^\| `([^`]+)` \|", table, re.M)
    said = sentences()

    assert 15 == len(quoted)
    assert [] == [each for each in quoted if not any(each in sentence for sentence in said)]


def test_every_kind_of_sentence_is_on_the_page() -> None:
    quoted = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("| it says | do |")[2], re.M)
    rare = (
        "GitHub takes no",
        "GitHub does not take the",
        "GitHub refused the",
        "is too long for GitHub",
        "GitHub shows us no comment",  # looked for again at once
        "GitHub shows us no deployment",
        "gives the App no token (",
    )

    assert [] == [said for said in sentences() if said and not any(each in said for each in (*quoted, *rare))]


def test_each_right_of_the_page_is_the_one_that_is_asked_for() -> None:
    granted = {
        "*Commit statuses: read and write*": {"statuses": "write"},
        "*Pull requests: read-only*": {"pull_requests": "read"},
        "*Pull requests: read and write*": {"pull_requests": "write"},
        "*Deployments: read and write*": {"deployments": "write"},
        "*Contents: read-only*": {"contents": "read"},
    }

    assert [] == [right for right in granted if right not in PAGE]
    assert [] == [right for right in PERMISSIONS.values() if right not in granted.values()]
    assert set(Need) == set(PERMISSIONS)


@pytest.mark.parametrize(
    "promise",
    [
        f"`writes_per_minute` ({ForgeSettings().writes_per_minute})",
        f"`writes_per_hour` ({ForgeSettings().writes_per_hour})",
        f"{MOST_WORDS:,} statuses for a commit and context",
        f"after {last_words(MOST_WORDS)} words",
        f"{LONGEST_DESCRIPTION} characters in a status, {LONGEST_COMMENT:,} in a comment",
        f"of over {LONGEST_COMMENT:,} characters is cut at the end of a line",
        f"of the task `{TASK}`",
        f"Over {LARGEST // 1024 // 1024} MiB is refused",
        f"A repeat within {FORGOTTEN_AFTER / 60:g} minutes is ignored",
    ],
)
def test_a_number_of_the_page_is_the_code_s(promise: str) -> None:
    assert promise in PLAIN


def test_the_numbers_in_words_are_the_code_s() -> None:
    assert (3, 5, 5) == (FAILURES, LONGEST_WAIT.total_seconds() / 60, RENEWED_BEFORE.total_seconds() / 60)
    assert "stops after three failures" in PLAIN
    assert "Rests grow to five minutes" in PLAIN
    assert "renews it five minutes before its end" in PLAIN
    assert [(10, 10), (60, 60), (3600, 400)] == [(each.span.total_seconds(), each.most) for each in windows(60, 400)]
    assert "a sixth of a minute's in any ten seconds" in PLAIN
    assert {"final": 100, "roll-up": 90, "fleet": 75} == SHARES
    assert "single fleets, on services' repositories and on deployments, and all comments, are told only" in PLAIN
    assert "only while no more than 75 % of a minute's" in PLAIN
    assert "pending roll-ups up to 90 %" in PLAIN
    assert LAST_LOOK == sum((FIRST_LOOK * 2**each for each in range(5)), timedelta())
    assert 8 == LAST_LOOK.total_seconds() // 60 + 1
    assert "looked for five more times over eight minutes" in PLAIN
    assert f"take {ELSEWHERE} % of a minute's and an hour's writes" in PLAIN
    assert (4, True) == (LONGEST_SHUT.total_seconds() / 3600, "and so on, four hours at most" in PLAIN)
    assert f"the newest {MOST} open ones" in PLAIN
    assert 60 == DOUBT.total_seconds()
    assert "no answer came, or a 5xx | a minute later" in PLAIN
    assert "told more than a minute after the event is told once only" in PLAIN
    assert "GitHub cannot be reached" in unreachable("GitHub", "x")
