"""What stands on a commit, as each forge publishes it: read alike, paged, and refused where it makes no sense."""

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.forges.gitea import Gitea
from adapters.forges.github import GitHub
from adapters.forges.gitlab import GitLab
from adapters.forges.hosted import Answer, Call, Dialect, Fate, NoSense, Verdict
from adapters.forges.hosted.reading import PAGES, Reading
from reconciler.ports import Unreadable
from reconciler.record import State

DATA = Path(__file__).parents[2] / "data"
COMMIT = "18f3e63d05582537db6d183d9d557be09e1f90c8"
FIRST = {"context": "fairlead/prod/checkout", "description": "1.4.2 on 2/2 units", "target_url": None}
ALL: list[Any] = [GitHub(), GitLab(), Gitea()]


def answer(body: Any, **headers: str) -> Answer:
    return Answer(status=200, headers=headers, body=json.dumps(body).encode())


def at_github(state: str) -> Any:
    return {"state": "failure", "statuses": [FIRST | {"id": 1, "state": state}], "sha": COMMIT, "total_count": 1}


def at_gitea(state: str) -> Any:
    return {"state": "failure", "statuses": [FIRST | {"id": 1, "status": state}], "sha": COMMIT, "total_count": 1}


def at_gitlab(*states: str) -> Any:
    named = {"name": FIRST["context"], "description": FIRST["description"], "target_url": None, "sha": COMMIT}
    return [named | {"id": number, "status": state} for number, state in enumerate(states)][::-1]


@pytest.mark.parametrize(
    ("dialect", "body", "state"),
    [
        *((GitHub(), at_github(each), State(each)) for each in ("pending", "success", "failure", "error")),
        *((Gitea(), at_gitea(each), State(each)) for each in ("pending", "success", "failure", "error")),
        (Gitea(), at_gitea("warning"), State.ERROR),
        *((GitLab(), at_gitlab(each), State.PENDING) for each in ("created", "pending", "running")),
        (GitLab(), at_gitlab("success"), State.SUCCESS),
        (GitLab(), at_gitlab("failed"), State.FAILURE),
        (GitLab(), at_gitlab("canceled"), State.ERROR),
        (GitLab(), at_gitlab("failed", "success"), State.SUCCESS),
    ],
)
def test_a_word_is_read_as_it_was_said(dialect: Dialect, body: Any, state: State) -> None:
    shown = list(dialect.shown_in(answer(body), COMMIT))[-1]

    assert (state, FIRST["context"], FIRST["description"], "") == (
        shown.state,
        shown.context,
        shown.description,
        shown.target_url,
    )


def test_the_fields_that_are_read_are_published() -> None:
    gitea = json.loads((DATA / "gitea" / "swagger.json").read_text())["CommitStatus"]["properties"]
    gitlab = json.loads((DATA / "gitlab" / "rest.json").read_text())["list-commit-statuses"]

    assert {"context", "description", "status", "target_url"} <= set(gitea)
    assert all(f'"{name}"' in json.dumps(gitlab) for name in ("name", "status", "target_url", "description"))


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.title)
@pytest.mark.parametrize("body", ["<html>", {"statuses": [1]}, {"statuses": {}}, [{"id": 1}], [1], None])
def test_what_makes_no_sense_is_refused(dialect: Dialect, body: Any) -> None:
    if isinstance(dialect, Gitea) and isinstance(body, dict) and not body["statuses"]:
        return  # an empty answer of Gitea's is none
    with pytest.raises(NoSense):
        dialect.shown_in(answer(body), COMMIT)


@pytest.mark.parametrize("dialect", ALL, ids=lambda each: each.title)
def test_the_page_is_asked_for(dialect: Dialect) -> None:
    call = dialect.shown("acme/desired", COMMIT, 3)

    assert ("GET", True, True) == (call.method, COMMIT in call.path, "page=3" in call.path)


class PlayedRoad:
    """Answers with one page after another, and ends with a verdict that says no."""

    def __init__(self, *verdicts: Verdict) -> None:
        self.dialect = GitHub()
        self.verdicts = list(verdicts)

    def ask(self, call: Call) -> Verdict:
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]


def page(*, more: bool) -> Verdict:
    link = {"link": '<https://api.github.com/x?page=2>; rel="next"'} if more else {}
    return Verdict(fate=Fate.DELIVERED, answer=answer(at_github("success"), **link))


def test_all_pages_are_read_and_no_more_than_that() -> None:
    two = Reading(PlayedRoad(page(more=True), page(more=False)), "acme/desired")  # type: ignore[arg-type]
    endless = Reading(PlayedRoad(page(more=True)), "acme/desired")  # type: ignore[arg-type]

    assert (2, PAGES) == (len(two.statuses(COMMIT)), len(endless.statuses(COMMIT)))


def test_trouble_is_told_in_the_forges_sentence() -> None:
    away = Verdict(fate=Fate.AILING, message="GitHub cannot be reached: it answered 502")

    with pytest.raises(Unreadable, match=r"^GitHub cannot be reached: it answered 502$"):
        Reading(PlayedRoad(away), "acme/desired").statuses(COMMIT)  # type: ignore[arg-type]
