"""Each call of the dialect is one that GitHub publishes, and what GitHub publishes as an answer is understood."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.forges.github import GitHub
from adapters.forges.hosted import Answer, Call, Comment
from reconciler.record import CommitStatus, State
from reconciler.reviews import Proposal, Pull

CALLS = json.loads((Path(__file__).parents[2] / "data" / "github" / "calls.json").read_text())
KINDS = {"string": str, "array": list, "boolean": bool, "integer": int}
SHA = "ab" * 20
DIALECT, REPO = GitHub(), "acme/desired"
MADE_OF = CommitStatus(
    repository="main", commit=SHA, context="deployment production", state=State.PENDING, description=""
)
PULL = Pull(
    number=7, head=SHA, base="main", branch="b", title="t", author="ada", url="https://x", outside=False, open=False
)
MADE: dict[str, Callable[[Any], Call | None]] = {
    "issues/list-comments": lambda say: DIALECT.comments(REPO, 7, 2),
    "issues/create-comment": lambda say: DIALECT.add_comment(REPO, 7, "text"),
    "issues/update-comment": lambda say: DIALECT.change_comment(REPO, 7, 5, "text"),
    "repos/list-deployments": lambda say: DIALECT.deployments(REPO, SHA, "prod/checkout", 1),
    "repos/create-deployment": lambda say: DIALECT.add_deployment(REPO, SHA, "prod/checkout", say.deployment()),
    "repos/create-deployment-status": lambda say: DIALECT.tell_deployment(
        REPO, 5, "prod/checkout", say.deployment(target_url="https://fairlead.example.com", body="queued")
    ),
    "git/get-ref": lambda say: DIALECT.commit_of(REPO, "v1"),
    "git/get-tag": lambda say: DIALECT.commit_in(REPO, answered({"object": {"type": "tag", "sha": SHA}})),  # type: ignore[return-value]
    "pulls/list": lambda say: DIALECT.pulls(REPO, "main", is_open=False, page=3),
    "pulls/get": lambda say: DIALECT.details(REPO, PULL),
    "pulls/create": lambda say: DIALECT.open_pull(REPO, Proposal(branch="b", base="main", title="t", body="x")),
    "users/get-authenticated": lambda say: DIALECT.whoami(REPO),
    "apps/get-authenticated": lambda say: Call(method="GET", path="/app", need=DIALECT.whoami(REPO).need, project=""),
}


def answered(body: Any) -> Answer:
    return Answer(status=200, headers={}, body=json.dumps(body).encode())


def example(operation: str) -> Answer:
    return answered(CALLS[operation]["response_example"])


@pytest.mark.parametrize("operation", sorted(CALLS))
def test_a_call_is_as_github_publishes_it(operation: str, say: Any) -> None:
    published, call = CALLS[operation], MADE[operation](say)

    assert call is not None
    parts = urlsplit(call.path)
    pattern = re.sub(r"\\{ref\\}", ".+", re.escape(published["path"]))
    assert published["method"] == call.method
    assert re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", pattern), parts.path)
    assert set(parse_qs(parts.query)) <= set(published["query"])
    wanted = published.get("request", {"properties": {}, "required": []})
    body = dict(call.body or {})
    assert set(wanted["required"]) <= set(body) <= set(wanted["properties"])
    for name, value in body.items():
        assert isinstance(value, KINDS[wanted["properties"][name]["type"]])
        assert value in wanted["properties"][name].get("enum", [value])


def test_what_the_status_calls_answer_is_taken(say: Any) -> None:
    for operation, published in CALLS.items():
        call = MADE[operation](say)
        assert call is not None
        answer = Answer(status=published["response"], headers={}, body=example(operation).body)
        assert "delivered" == DIALECT.verdict(call, answer, "").fate.value


def test_the_published_answers_are_understood() -> None:
    assert [Comment(id=1, author="octocat", body="Me too")] == DIALECT.comments_in(example("issues/list-comments"))
    assert "octocat" == DIALECT.login_in(example("users/get-authenticated"))
    assert 1 == DIALECT.deployment_made(example("repos/create-deployment"))
    assert None is DIALECT.deployment_in(example("repos/list-deployments"), SHA, "production", MADE_OF)
    assert "aa218f56b14c9653891f9e74264a383fa43fefbd" == DIALECT.commit_in(REPO, example("git/get-ref"))
    assert "c3d0be41ecbe669545ee3e94d31ed9a4bc91ee3c" == DIALECT.commit_in(REPO, example("git/get-tag"))
    (listed,) = DIALECT.pulls_in(example("pulls/list"))
    assert (1347, "new-topic", "master", "octocat") == (listed.number, listed.branch, listed.base, listed.author)
    assert 3 == DIALECT.detailed(PULL, example("pulls/get")).commits
    assert 1347 == DIALECT.pull_made(example("pulls/create")).number
