"""What the page of forges promises of GitLab and Gitea is what their dialects do: sentences, rights and numbers."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from adapters.forges import gitea, gitlab
from adapters.forges.gitea import answers as gitea_answers
from adapters.forges.gitea import dialect as gitea_dialect
from adapters.forges.gitlab import answers as gitlab_answers
from adapters.forges.gitlab import dialect as gitlab_dialect
from adapters.forges.hosted import APART, Answer, Call, Dialect, Need

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "forges.md").read_text()
ERRORS = json.loads((ROOT / "tests" / "data" / "gitlab" / "rest.json").read_text())["errors"]
SECTIONS = {"GitLab": "## GitLab\n", "Gitea": "## Gitea and Forgejo\n"}
DIALECTS: dict[str, Dialect] = {"GitLab": gitlab.GitLab(), "Gitea": gitea.Gitea()}
ANSWERS: dict[str, ModuleType] = {"GitLab": gitlab_answers, "Gitea": gitea_answers}


def section(title: str) -> str:
    return PAGE.partition(SECTIONS[title])[2].partition("\n## ")[0]


def rows(title: str, head: str) -> list[str]:
    """The first cells of the table with this head."""
    table = section(title).partition(f"| {head} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| (.+?) \|", table, re.M)


def sentences(title: str) -> list[str]:
    """Whatever the dialect may say of an answer."""
    dialect = DIALECTS[title]
    bodies = [b"", *(json.dumps(each["body"]).encode() for each in ERRORS)]
    answers = [Answer(status=status, headers={}, body=body) for status in range(300, 520) for body in bodies]
    calls = [
        Call(method=method, path="", need=need, project="acme/x", about="commit abab" if need is Need.STATUSES else "x")
        for need in Need
        for method in ("GET", "POST")
    ]
    return [dialect.verdict(call, each, dialect.said(each.body)).message for call in calls for each in answers]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_sentence_of_the_section_is_one_that_is_said(title: str) -> None:
    quoted, said = [each.strip("`") for each in rows(title, f"{title}'s log line says")], sentences(title)

    assert 9 <= len(quoted)
    assert [] == [each for each in quoted if not any(each in sentence for sentence in said)]


@pytest.mark.parametrize("title", SECTIONS)
def test_every_kind_of_sentence_is_in_the_section_or_rare(title: str) -> None:
    quoted = [each.strip("`") for each in rows(title, f"{title}'s log line says")]
    rare = (
        "takes no",
        "refused the",
        f"{title} shows us no x of",
        "opens no merge request",
        "has no commit",
        "Gitea finds no x in",
    )

    said = (each for each in sentences(title) if each)
    assert [] == [each for each in said if not any(words in each for words in (*quoted, *rare))]


@pytest.mark.parametrize("title", SECTIONS)
def test_each_right_that_a_sentence_asks_for_is_in_the_table(title: str) -> None:
    rights = {need: right for need, (_, right) in ANSWERS[title].RIGHTS.items()}
    if title == "Gitea":
        rights.pop(Need.DEPLOYMENTS)  # it has none
    text = section(title)

    assert set(Need) == set(ANSWERS[title].RIGHTS)
    assert [] == [right for right in rights.values() if right.removeprefix("role ") not in text]


def test_the_numbers_of_the_sections_are_the_code_s() -> None:
    ours, theirs = PAGE.partition("## GitLab\n")[2], gitlab_dialect
    plain = " ".join(ours.split())

    assert (140, 140) == (theirs.LONGEST_DESCRIPTION, gitea_dialect.LONGEST_DESCRIPTION)
    assert (65_536, 65_536) == (theirs.LONGEST_COMMENT, gitea_dialect.LONGEST_COMMENT)
    assert f"{theirs.LONGEST_LINK} characters in a link | a longer one is left out" in plain
    assert "longer comments than 65,536 are cut" in plain
    assert "cut at 140 characters, comments at 65,536" in plain


def test_what_the_section_says_is_not_there_is_not_offered() -> None:
    assert not DIALECTS["Gitea"].offers.deployments
    assert DIALECTS["GitLab"].offers.deployments
    assert 10 == APART.total_seconds()
    assert "at least ten seconds after the text before" in section("GitLab").replace("\n", " ")
    assert "There are no deployments." in section("Gitea")
