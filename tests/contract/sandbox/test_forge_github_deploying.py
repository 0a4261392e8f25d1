"""The sandbox's forge keeps comments, deployments, tags and forks as GitHub does."""

from datetime import timedelta
from typing import Any

import pytest
import requests


def deploy(api: Any, ref: str = "main", **more: Any) -> requests.Response:
    return api("POST", "/deployments", {"ref": ref, **more})


def word(api: Any, id_: int, state: str, **more: Any) -> requests.Response:
    return api("POST", f"/deployments/{id_}/statuses", {"state": state, **more})


def status(api: Any, context: str, state: str) -> None:
    assert 201 == api("POST", f"/statuses/{api.second}", {"context": context, "state": state}).status_code


# ── deployments ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_deployment_is_made_and_found_by_what_it_is_of(github: Any) -> None:
    made = deploy(github, environment="prod/checkout", task="fairlead", payload={"a": 1}, description="1.4.2")

    assert 201 == made.status_code
    one = made.json()
    assert (github.second, "main", "fairlead", {"a": 1}, "ada") == (
        one["sha"],
        one["ref"],
        one["task"],
        one["payload"],
        one["creator"]["login"],
    )
    for query, found in (
        (f"sha={github.second}&environment=prod%2Fcheckout&task=fairlead", [one["id"]]),
        ("environment=staging", []),
        (f"sha={github.first}", []),
        ("", [one["id"]]),
    ):
        assert found == [each["id"] for each in github("GET", f"/deployments?{query}").json()]


def test_every_context_has_to_be_green_unless_some_are_named(github: Any) -> None:
    status(github, "ci/build", "failure")
    status(github, "ci/lint", "success")
    refused = deploy(github)

    assert (409, "Conflict: Commit status checks failed for main.") == (refused.status_code, refused.json()["message"])
    [error] = refused.json()["errors"]
    assert {"context": "ci/build", "state": "failure"} in error["contexts"]
    assert ("required_contexts", "Deployment") == (error["field"], error["resource"])
    assert 201 == deploy(github, required_contexts=["ci/lint"]).status_code
    assert 409 == deploy(github, required_contexts=["ci/never"]).status_code
    assert 201 == deploy(github, required_contexts=[]).status_code


def test_a_branch_that_is_behind_is_brought_up_instead(github: Any) -> None:
    github.branch("topic", {"topic": "1\n"})
    github.checkout.git("checkout", "--quiet", "main")
    github.commit("third", {"fleet.yaml": "version: 3\n"})
    merged = deploy(github, "topic")

    assert (202, "Auto-merged main into topic on deployment.") == (merged.status_code, merged.json()["message"])
    assert [] == github("GET", "/deployments").json()
    assert 201 == deploy(github, "topic").status_code
    github.branch("clash", {"fleet.yaml": "version: 9\n"})
    clash = deploy(github, "clash")
    assert (409, "Conflict merging main into clash.") == (clash.status_code, clash.json()["message"])
    assert 201 == deploy(github, "clash", auto_merge=False).status_code


def test_a_success_lets_earlier_ones_of_the_environment_be_inactive(github: Any) -> None:
    ids = {}
    for name, facts in (
        ("old", {}),
        ("failed", {}),
        ("transient", {"transient_environment": True}),
        ("production", {"production_environment": True}),
        ("elsewhere", {"environment": "qa"}),
        ("new", {}),
    ):
        ids[name] = deploy(github, **{"environment": "staging", **facts}).json()["id"]
        if name != "new":
            word(github, ids[name], "failure" if name == "failed" else "success", auto_inactive=False)
    word(github, ids["new"], "success")

    states = {name: github("GET", f"/deployments/{id_}/statuses").json()[0]["state"] for name, id_ in ids.items()}
    assert {
        "old": "inactive",
        "failed": "failure",
        "transient": "success",
        "production": "success",
        "elsewhere": "success",
        "new": "success",
    } == states


def test_words_on_a_deployment_are_checked(github: Any) -> None:
    id_ = deploy(github).json()["id"]
    said = word(github, id_, "in_progress", log_url="https://fairlead.example.com/x", description="half way")

    assert (201, "half way", "production", "https://fairlead.example.com/x") == (
        said.status_code,
        said.json()["description"],
        said.json()["environment"],
        said.json()["target_url"],
    )
    assert 422 == word(github, id_, "running").status_code
    assert 422 == word(github, id_, "success", description="x" * 141).status_code
    assert 404 == word(github, 99, "success").status_code
    assert 422 == deploy(github, "nowhere").status_code
    reader = github.forge.identities.add_person("grace", {"statuses": "write"})
    assert 403 == github("POST", "/deployments", {"ref": "main"}, token=reader).status_code


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/deployments", {}, '"ref" wasn\'t supplied.'),
        ("/deployments", {"ref": 5}, "For 'properties/ref', 5 is not a string."),
        (
            "/deployments",
            {"ref": "main", "required_contexts": "ci"},
            "'properties/required_contexts', \"ci\" is not an array",
        ),
        ("/pulls", {"head": "x", "base": None, "title": "t"}, "For 'properties/base', nil is not a string."),
        ("/statuses/" + "f" * 40, {"state": "success", "description": 5}, "5 is not a string or null."),
        ("/git/refs", {"ref": "refs/heads/x"}, '"sha" wasn\'t supplied.'),
    ],
)
def test_bodies_that_do_not_fit_their_schema_are_refused(github: Any, path: str, body: Any, message: str) -> None:
    answer = github("POST", path, body)

    assert (422, True) == (answer.status_code, message in answer.json()["message"]), answer.text
    assert 1 == len(github.forge.log.misfits())


# ── comments ─────────────────────────────────────────────────────────────────────────────────────────────────────


def opened(api: Any, head: str = "bump", **more: Any) -> Any:
    answer = api("POST", "/pulls", {"head": head, "base": "main", "title": "Bump to 3", **more})
    assert 201 == answer.status_code, answer.text
    return answer.json()


@pytest.fixture
def bumped(github: Any) -> Any:
    github.head = github.branch("bump", {"fleet.yaml": "version: 3\n"})
    opened(github)
    return github


def test_comments_come_in_pages_and_are_edited_in_place(bumped: Any) -> None:
    ids = [bumped("POST", "/issues/1/comments", {"body": f"c{n}"}).json()["id"] for n in range(32)]
    first = bumped("GET", "/issues/1/comments")

    assert (30, True) == (len(first.json()), 'rel="next"' in first.headers["Link"])
    assert ids[30:] == [each["id"] for each in bumped("GET", "/issues/1/comments?page=2").json()]
    assert 32 == len(bumped("GET", "/issues/1/comments?per_page=100").json())
    bumped.clock.advance(timedelta(minutes=1))
    edited = bumped("PATCH", f"/issues/comments/{ids[0]}", {"body": "new"}).json()
    assert ("new", "ada", "2026-11-24T06:01:00Z") == (edited["body"], edited["user"]["login"], edited["updated_at"])
    assert "new" == bumped("GET", "/issues/1/comments").json()[0]["body"]


def test_comments_that_cannot_be_are_refused(bumped: Any) -> None:
    id_ = bumped("POST", "/issues/1/comments", {"body": "x"}).json()["id"]
    reader = bumped.forge.identities.add_person("grace", {"statuses": "write"})

    assert 404 == bumped("POST", "/issues/9/comments", {"body": "x"}).status_code
    assert 422 == bumped("POST", "/issues/1/comments", {"body": " "}).status_code
    assert 422 == bumped("POST", "/issues/1/comments", {"body": "x" * 65537}).status_code
    assert 201 == bumped("POST", "/issues/1/comments", {"body": "x" * 65536}).status_code
    assert 403 == bumped("POST", "/issues/1/comments", {"body": "x"}, token=reader).status_code
    assert 204 == bumped("DELETE", f"/issues/comments/{id_}").status_code
    assert 404 == bumped("PATCH", f"/issues/comments/{id_}", {"body": "x"}).status_code


# ── tags, forks, commits of pull requests ────────────────────────────────────────────────────────────────────────


def test_an_annotated_tag_is_an_object_of_its_own(github: Any) -> None:
    github.tag("v1")
    github.tag("v2", annotated=True)
    light, annotated = (github("GET", f"/git/ref/tags/{name}").json()["object"] for name in ("v1", "v2"))

    assert ("commit", github.second) == (light["type"], light["sha"])
    assert "tag" == annotated["type"]
    tag = github("GET", f"/git/tags/{annotated['sha']}").json()
    assert ("v2", "Release v2", github.second) == (tag["tag"], tag["message"], tag["object"]["sha"])
    assert [github.second] * 2 == [each["commit"]["sha"] for each in github("GET", "/tags").json()]
    assert 404 == github("GET", "/git/ref/tags/v3").status_code
    assert 404 == github("GET", f"/git/tags/{github.second}").status_code


def test_a_tag_is_made_in_two_steps(github: Any) -> None:
    made = github("POST", "/git/tags", {"tag": "v3", "message": "Three", "object": github.second, "type": "commit"})
    ref = github("POST", "/git/refs", {"ref": "refs/tags/v3", "sha": made.json()["sha"]})

    assert (201, 201, "tag") == (made.status_code, ref.status_code, ref.json()["object"]["type"])
    assert github.second == github.checkout.git("ls-remote", "origin", "refs/tags/v3^{}").split()[0]


def test_a_fork_opens_by_its_owners_name_and_its_head_can_be_fetched_here(github: Any) -> None:
    head, clone = github.fork("mallory", {"evil": "1\n"})
    pull = opened(github, "mallory:change")

    assert (head, "mallory:change", "mallory/desired", True) == (
        pull["head"]["sha"],
        pull["head"]["label"],
        pull["head"]["repo"]["full_name"],
        pull["head"]["repo"]["fork"],
    )
    assert [1] == [each["number"] for each in github("GET", "/pulls?head=mallory:change").json()]
    clone.commit("more", {"evil": "2\n"})
    clone.git("push", "--quiet", "origin", "change")
    assert clone.head == github.checkout.git("ls-remote", "origin", "refs/pull/1/head").split()[0]
    assert 422 == github("POST", "/pulls", {"head": "nobody:change", "base": "main", "title": "t"}).status_code
    merged = github("PUT", "/pulls/1/merge", {"merge_method": "squash"}).json()
    assert [1] == [each["number"] for each in github("GET", f"/commits/{merged['sha']}/pulls").json()]
    assert [1] == [each["number"] for each in github("GET", f"/commits/{head}/pulls").json()]
    assert [] == github("GET", f"/commits/{github.second}/pulls").json()


def test_a_fork_that_is_gone_leaves_its_pull_request(github: Any) -> None:
    head, _ = github.fork("mallory", {"evil": "1\n"})
    opened(github, "mallory:change")
    github.forge.remove("mallory/desired")
    pull = github("GET", "/pulls/1").json()

    assert (head, None, False) == (pull["head"]["sha"], pull["head"]["repo"], pull["mergeable"])


def test_nobody_pushes_to_the_forges_own_refs(github: Any) -> None:
    with pytest.raises(RuntimeError, match="refs/pull"):
        github.checkout.git("push", "--quiet", "origin", "HEAD:refs/pull/7/head")


def test_pull_requests_are_sorted_by_what_happened_last(bumped: Any) -> None:
    bumped.branch("other", {"other": "1\n"})
    bumped.clock.advance(timedelta(minutes=1))
    opened(bumped, "other")
    bumped.clock.advance(timedelta(minutes=1))
    bumped("POST", "/issues/1/comments", {"body": "x"})

    def numbers(query: str) -> list[int]:
        return [each["number"] for each in bumped("GET", f"/pulls?{query}").json()]

    assert [2, 1] == numbers("")
    assert [1, 2] == numbers("sort=updated&direction=desc")
    assert [2, 1] == numbers("sort=updated")
    assert [1, 2] == numbers("sort=created&direction=asc")


def test_how_many_commits_it_brings_is_told_of_one_alone(github: Any) -> None:
    github.branch("two", {"a": "1\n"}, {"b": "1\n"})
    opened(github, "two")

    assert "commits" not in github("GET", "/pulls").json()[0]
    assert 2 == github("GET", "/pulls/1").json()["commits"]
    github("PUT", "/pulls/1/merge", {"merge_method": "squash"})
    assert 2 == github("GET", "/pulls/1").json()["commits"]
    assert ["two 1", "two 2"] == [each["commit"]["message"] for each in github("GET", "/pulls/1/commits").json()]
