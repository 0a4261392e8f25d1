"""The sandbox's forge answers as Gitea and Forgejo do: statuses, comments, pull requests, tags, webhooks."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
import requests

from fairlead_sandbox.forge import Limits


def say(api: Any, state: str, sha: str = "", context: str = "fairlead/prod", **more: Any) -> requests.Response:
    return api("POST", f"/statuses/{sha or api.second}", {"state": state, "context": context, **more})


def refused(answer: requests.Response) -> tuple[int, str]:
    assert answer.json()["url"].endswith("/api/swagger")
    return answer.status_code, answer.json()["message"]


@pytest.fixture
def bumped(gitea: Any) -> Any:
    gitea.head = gitea.branch("bump", {"fleet.yaml": "version: 3\n"})
    answer = gitea("POST", "/pulls", {"head": "bump", "base": "main", "title": "Bump to 3", "body": "b"})
    assert 201 == answer.status_code, answer.text
    gitea.opened = answer.json()
    return gitea


# ── statuses ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_status_is_said_and_shown(gitea: Any) -> None:
    answer = say(gitea, "success", description="  1.4.2 on 2/2 units ", target_url="https://fairlead.example.com/x")

    [shown] = gitea("GET", f"/statuses/{gitea.second}").json()
    assert (201, shown) == (answer.status_code, answer.json())
    assert ("success", "1.4.2 on 2/2 units", "ada") == (
        shown["status"],
        shown["description"],
        shown["creator"]["login"],
    )


def test_contexts_are_told_apart_by_case_and_the_newest_counts(gitea: Any) -> None:
    say(gitea, "pending")
    say(gitea, "success")
    say(gitea, "warning", context="Fairlead/PROD")
    combined = gitea("GET", "/commits/main/status").json()

    assert ("success", 2) == (combined["state"], combined["total_count"])
    assert [("Fairlead/PROD", "warning"), ("fairlead/prod", "success")] == [
        (each["context"], each["status"]) for each in combined["statuses"]
    ]
    every = gitea("GET", "/commits/main/statuses?limit=2")
    assert (2, "3", True) == (len(every.json()), every.headers["X-Total-Count"], 'rel="next"' in every.headers["Link"])


def test_descriptions_have_no_end_and_the_same_may_be_said_again(gitea: Any) -> None:
    answers = [say(gitea, "pending", description="é" * 5000) for _ in range(2)]

    assert [201, 201] == [answer.status_code for answer in answers]


def test_an_unknown_commit_is_not_found(gitea: Any) -> None:
    assert (404, f"object does not exist [id: {'f' * 40}, rel_path: ]") == refused(say(gitea, "success", "f" * 40))
    gitea.forge.faults.older = True
    assert (500, "") == refused(say(gitea, "success", "f" * 40))
    assert 404 == gitea("GET", f"/git/commits/{'f' * 40}?stat=false").status_code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "[State]: Required"),
        ({"state": "done"}, "[State]: In("),
        ({"state": 5}, "[]: json: cannot unmarshal"),
        ({"state": "success", "target_url": ["x"]}, "[]: json: cannot unmarshal"),
    ],
)
def test_bodies_that_do_not_fit_are_refused_and_kept(gitea: Any, body: Any, message: str) -> None:
    status, said = refused(gitea("POST", f"/statuses/{gitea.second}", body))

    assert (422, True) == (status, said.startswith(message))
    assert 1 == len(gitea.forge.log.misfits())


def test_only_json_that_is_called_so_is_read(gitea: Any) -> None:
    url, headers = f"{gitea.hosted.url}/statuses/{gitea.second}", {"Authorization": f"token {gitea.token}"}

    answer = requests.post(url, data='{"state": "success"}', headers=headers, timeout=10)
    text = requests.post(url, data="{", headers={**headers, "Content-Type": "application/json"}, timeout=10)

    assert ["[]: Empty Content-Type"] == [answer.json()["message"]]
    assert 422 == text.status_code


def test_who_asks_has_to_be_known_and_allowed(gitea: Any) -> None:
    reader = gitea.forge.identities.add_person("grace", {"contents": "read"})
    body = {"state": "success"}

    assert (401, "token is required") == refused(requests.get(gitea.hosted.url, timeout=10))
    assert (401, "invalid username, password or token") == refused(gitea("GET", "", token="nobody"))
    sentence = "user should have a permission to write to a repo"
    assert (403, sentence) == refused(gitea("POST", f"/statuses/{gitea.second}", body, token=reader))


def test_a_call_that_does_not_exist_is_a_404_and_is_kept(gitea: Any) -> None:
    assert (404, "not found") == refused(gitea("POST", "/deployments", {}))
    assert ["/repos/acme/desired/deployments"] == [each.path for each in gitea.forge.log.unknown()]


def test_what_stands_before_it_may_have_limits(gitea: Any) -> None:
    gitea.forge.meter.limits = Limits(writes_per_minute=1)
    say(gitea, "pending")
    blocked = say(gitea, "success")

    assert (429, "60") == (blocked.status_code, blocked.headers["Retry-After"])
    gitea.clock.advance(timedelta(seconds=60))
    assert 201 == say(gitea, "success").status_code


# ── tags and references ──────────────────────────────────────────────────────────────────────────────────────────


def test_tags_are_told_with_their_commits(gitea: Any) -> None:
    gitea.tag("v1")
    gitea.tag("v2", annotated=True)

    one, two = (gitea("GET", f"/tags/{name}").json() for name in ("v1", "v2"))
    assert (gitea.second, gitea.second) == (one["commit"]["sha"], two["commit"]["sha"])
    assert (gitea.second, True) == (one["id"], two["id"] != gitea.second)
    ref = gitea("GET", "/git/refs/tags/v2").json()
    assert ("tag", two["id"]) == (ref["object"]["type"], ref["object"]["sha"])
    assert gitea.second == gitea("GET", f"/git/tags/{two['id']}").json()["object"]["sha"]
    assert 2 == len(gitea("GET", "/git/refs/tags").json())
    assert 404 == gitea("GET", "/tags/v3").status_code


# ── pull requests and comments ───────────────────────────────────────────────────────────────────────────────────


def test_a_pull_request_is_opened_and_merged(bumped: Any) -> None:
    assert (bumped.head, True, False) == (
        bumped.opened["head"]["sha"],
        bumped.opened["mergeable"],
        bumped.opened["merged"],
    )
    assert bumped.head == bumped.checkout.git("ls-remote", "origin", "refs/pull/1/head").split()[0]
    answer = bumped("POST", "/pulls/1/merge", {"Do": "merge", "head_commit_id": bumped.head})

    assert (200, b"") == (answer.status_code, answer.content)
    merged = bumped("GET", "/pulls/1").json()
    assert (True, bumped.hosted.bare.branch("main")) == (merged["merged"], merged["merge_commit_sha"])
    [commit] = bumped.hosted.bare.commits("main", most=1)
    assert "Merge pull request 'Bump to 3' (#1) from bump into main" == commit.message
    assert 1 == bumped("GET", f"/commits/{merged['merge_commit_sha']}/pull").json()["number"]
    assert 405 == bumped("POST", "/pulls/1/merge", {"Do": "merge"}).status_code


@pytest.mark.parametrize("how", ["squash", "rebase", "fast-forward-only"])
def test_other_ways_leave_one_parent(bumped: Any, how: str) -> None:
    assert 200 == bumped("POST", "/pulls/1/merge", {"Do": how}).status_code

    [commit] = bumped.hosted.bare.commits("main", most=1)
    assert (bumped.second,) == commit.parents


def test_pull_requests_that_cannot_be_are_refused(bumped: Any) -> None:
    def opened(**body: str) -> tuple[int, str]:
        return refused(bumped("POST", "/pulls", {"head": "bump", "base": "main", "title": "t", **body}))

    assert 409 == opened()[0]
    assert "pull request already exists for these targets" in opened()[1]
    assert (404, 404) == (opened(head="nowhere")[0], opened(base="nowhere")[0])
    assert (422, "[Title]: Required") == opened(title="")
    assert 409 == refused(bumped("POST", "/pulls/1/merge", {"Do": "merge", "head_commit_id": bumped.first}))[0]


def test_pull_requests_are_listed_by_state(bumped: Any) -> None:
    bumped("PATCH", "/pulls/1", {"state": "closed"})

    assert [] == bumped("GET", "/pulls").json()
    assert [1] == [each["number"] for each in bumped("GET", "/pulls?state=closed").json()]
    assert 201 == bumped("PATCH", "/pulls/1", {"state": "open"}).status_code
    assert 1 == bumped("GET", "/pulls/main/bump").json()["number"]


def test_a_fork_opens_by_its_owners_name(bumped: Any) -> None:
    head, clone = bumped.fork("mallory", {"evil": "1\n"})
    opened = bumped("POST", "/pulls", {"head": "mallory:change", "base": "main", "title": "Hi"}).json()

    assert (head, "mallory/desired") == (opened["head"]["sha"], opened["head"]["repo"]["full_name"])
    clone.commit("more", {"evil": "2\n"})
    clone.git("push", "--quiet", "origin", "change")
    assert clone.head == bumped.checkout.git("ls-remote", "origin", "refs/pull/2/head").split()[0]


def test_commits_of_a_pull_request_are_counted_in_a_header(bumped: Any) -> None:
    bumped.branch("two", {"a": "1\n"}, {"b": "1\n"})
    bumped("POST", "/pulls", {"head": "two", "base": "main", "title": "t"})
    found = bumped("GET", "/pulls/2/commits?limit=1")

    assert (["two 2\n"], "2") == ([each["commit"]["message"] for each in found.json()], found.headers["X-Total-Count"])


def test_a_branch_that_is_gone_leaves_the_pull_requests_own_reference(bumped: Any) -> None:
    bumped("POST", "/pulls/1/merge", {"Do": "merge"})
    bumped("DELETE", "/branches/bump")
    head = bumped("GET", "/pulls/1").json()["head"]

    assert ("bump", "refs/pull/1/head", bumped.head) == (head["label"], head["ref"], head["sha"])


def test_comments_come_all_at_once_and_are_edited_in_place(bumped: Any) -> None:
    ids = [bumped("POST", "/issues/1/comments", {"body": f"c{n}"}).json()["id"] for n in range(60)]
    every = bumped("GET", "/issues/1/comments")

    assert (60, "60") == (len(every.json()), every.headers["X-Total-Count"])
    edited = bumped("PATCH", f"/issues/comments/{ids[0]}", {"body": "new"})
    assert (200, "new", "ada") == (edited.status_code, edited.json()["body"], edited.json()["user"]["login"])
    assert (422, "[Body]: Required") == refused(bumped("POST", "/issues/1/comments", {"body": ""}))
    for method, body in (("POST", {"body": "x"}), ("GET", None)):  # as it is: only the issue itself is a 404
        assert (500, "") == refused(bumped(method, "/issues/9/comments", body))
    assert [404, 200] == [bumped("GET", f"/issues/{number}").status_code for number in (9, 1)]
    reader = bumped.forge.identities.add_person("grace", {})
    assert 403 == bumped("PATCH", f"/issues/comments/{ids[0]}", {"body": "x"}, token=reader).status_code


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def hooked(api: Any, url: str, *events: str) -> None:
    config = {"url": url, "content_type": "json", "secret": "s3cret"}
    answer = api("POST", "/hooks", {"type": "gitea", "config": config, "events": events, "active": True})
    assert 201 == answer.status_code, answer.text
    assert "secret" not in answer.json()["config"]


def test_a_push_is_signed_in_hex_under_every_name(gitea: Any, receiver: Any) -> None:
    hooked(gitea, receiver.url, "push")
    head = gitea.commit("third", {"fleet.yaml": "version: 3\n"})

    got = receiver.next()
    digest = hmac.new(b"s3cret", got.body, hashlib.sha256).hexdigest()
    names = ("x-gitea-event", "x-gitea-signature", "x-gogs-signature", "x-hub-signature-256")
    assert ("push", digest, digest, f"sha256={digest}") == tuple(got.headers[name] for name in names)
    assert got.headers["x-gitea-delivery"] == got.headers["x-github-delivery"]
    assert ("refs/heads/main", gitea.second, head, 1) == tuple(
        got.json[name] for name in ("ref", "before", "after", "total_commits")
    )
    assert "acme/desired" == got.json["repository"]["full_name"]


def test_a_new_branch_is_created_and_pushed_and_one_that_goes_is_only_deleted(gitea: Any, receiver: Any) -> None:
    hooked(gitea, receiver.url, "push", "create", "delete")
    head = gitea.branch("bump", {"fleet.yaml": "version: 3\n"})
    gitea("DELETE", "/branches/bump")

    got = [receiver.next() for _ in range(3)]
    assert ["create", "push", "delete"] == [each.headers["x-gitea-event"] for each in got]
    assert ("bump", "branch", head) == tuple(got[0].json[name] for name in ("ref", "ref_type", "sha"))
    assert ("refs/heads/bump", "0" * 40, head) == tuple(got[1].json[name] for name in ("ref", "before", "after"))


def test_what_happens_to_a_pull_request_is_told(bumped: Any, receiver: Any) -> None:
    hooked(bumped, receiver.url, "pull_request")
    bumped.branch("bump", {"fleet.yaml": "version: 4\n"})
    bumped("PATCH", "/pulls/1", {"title": "Bump to 4"})
    bumped("PATCH", "/pulls/1", {"state": "closed"})
    bumped("PATCH", "/pulls/1", {"state": "open"})
    bumped("POST", "/pulls/1/merge", {"Do": "merge"})

    got = [receiver.next() for _ in range(5)]
    assert ["synchronized", "edited", "closed", "reopened", "closed"] == [each.json["action"] for each in got]
    assert {"pull_request"} == {each.headers["x-gitea-event"] for each in got}
    assert ["pull_request_sync", "pull_request"] == [each.headers["x-gitea-event-type"] for each in got[:2]]
    assert {"title": {"from": "Bump to 3"}} == got[1].json["changes"]
    assert [False, True] == [got[at].json["pull_request"]["merged"] for at in (2, 4)]
