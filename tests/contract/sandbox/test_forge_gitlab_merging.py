"""The sandbox's forge merges as GitLab does, keeps notes, and tells webhooks of both."""

import base64
import hashlib
import hmac
from typing import Any

import pytest

ZEROS = "0" * 40


def open_one(api: Any, source: str = "bump", title: str = "Bump to 3", **more: Any) -> Any:
    body = {"source_branch": source, "target_branch": "main", "title": title, **more}
    answer = api("POST", "/merge_requests", body)
    assert 201 == answer.status_code, answer.text
    return answer.json()


@pytest.fixture
def bumped(gitlab: Any) -> Any:
    gitlab.head = gitlab.branch("bump", {"fleet.yaml": "version: 3\n"}, {"more": "1\n"})
    return gitlab


# ── merge requests ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_merge_request_is_opened_and_its_head_can_be_fetched(bumped: Any) -> None:
    opened = open_one(bumped)

    assert (1, "opened", bumped.head, "can_be_merged") == tuple(
        opened[name] for name in ("iid", "state", "sha", "merge_status")
    )
    fetched = bumped.checkout.git("ls-remote", "origin", "refs/merge-requests/1/head").split()[0]
    assert bumped.head == fetched
    again = bumped("POST", "/merge_requests", {"source_branch": "bump", "target_branch": "main", "title": "t"})
    sentence = "Another open merge request already exists for this source branch: !1"
    assert (409, [sentence]) == (again.status_code, again.json()["message"])


def test_accepting_makes_a_merge_commit_with_gitlabs_words(bumped: Any) -> None:
    open_one(bumped)
    merged = bumped("PUT", "/merge_requests/1/merge", {"sha": bumped.head}).json()

    head = bumped.hosted.bare.branch("main")
    assert ("merged", head, None) == (merged["state"], merged["merge_commit_sha"], merged["squash_commit_sha"])
    [commit] = bumped.hosted.bare.commits(head, most=1)
    assert "Merge branch 'bump' into 'main'\n\nBump to 3\n\nSee merge request acme/desired!1" == commit.message
    assert (bumped.second, bumped.head) == commit.parents


def test_a_squashed_one_has_both_commits(bumped: Any) -> None:
    open_one(bumped, squash=True)
    merged = bumped("PUT", "/merge_requests/1/merge").json()

    [merge] = bumped.hosted.bare.commits(merged["merge_commit_sha"], most=1)
    [squashed] = bumped.hosted.bare.commits(merged["squash_commit_sha"], most=1)
    assert (bumped.second, squashed.sha) == merge.parents
    assert ("Bump to 3", (bumped.second,)) == (squashed.message, squashed.parents)
    assert bumped.hosted.bare.branch("main") == merge.sha


@pytest.mark.parametrize("squash", [True, False])
def test_a_project_without_merge_commits_has_none(bumped: Any, squash: bool) -> None:
    bumped.hosted.merge_method = "ff"
    open_one(bumped)
    merged = bumped("PUT", "/merge_requests/1/merge", {"squash": squash}).json()

    assert None is merged["merge_commit_sha"]
    head = bumped.hosted.bare.branch("main")
    assert (head if squash else None, squash) == (merged["squash_commit_sha"], head != bumped.head)


def test_what_cannot_be_merged_is_refused(bumped: Any) -> None:
    open_one(bumped)
    moved = bumped("PUT", "/merge_requests/1/merge", {"sha": bumped.second})
    bumped.checkout.git("checkout", "--quiet", "-B", "main", bumped.second)
    bumped.commit("other", {"fleet.yaml": "version: 9\n"})
    conflict = bumped("PUT", "/merge_requests/1/merge")
    shown = bumped("GET", "/merge_requests/1").json()
    bumped("PUT", "/merge_requests/1", {"state_event": "close"})
    closed = bumped("PUT", "/merge_requests/1/merge")

    assert (409, f"SHA does not match HEAD of source branch: {bumped.head}") == (
        moved.status_code,
        moved.json()["message"],
    )
    assert (422, "Branch cannot be merged") == (conflict.status_code, conflict.json()["message"])
    assert (True, "conflict") == (shown["has_conflicts"], shown["detailed_merge_status"])
    assert (405, "405 Method Not Allowed") == (closed.status_code, closed.json()["message"])


def test_merge_requests_are_listed_by_state_branch_and_commit(bumped: Any) -> None:
    bumped.branch("other", {"other": "1\n"})
    open_one(bumped)
    open_one(bumped, "other", "Other")
    merged = bumped("PUT", "/merge_requests/1/merge").json()

    def iids(path: str) -> list[int]:
        return [each["iid"] for each in bumped("GET", path).json()]

    assert [2, 1] == iids("/merge_requests")
    assert ([2], [1]) == (iids("/merge_requests?state=opened"), iids("/merge_requests?state=merged"))
    assert [2] == iids("/merge_requests?source_branch=other")
    assert [1] == iids("/merge_requests?iids[]=1")
    assert [1] == iids(f"/repository/commits/{merged['merge_commit_sha']}/merge_requests")
    assert 400 == bumped("GET", "/merge_requests?state=open").status_code


def test_a_fork_opens_into_its_parent_and_its_head_is_here_too(bumped: Any) -> None:
    head, _ = bumped.fork("mallory", {"evil": "1\n"})
    target = bumped("GET", "").json()["id"]
    body = {"source_branch": "change", "target_branch": "main", "title": "Hi", "target_project_id": target}
    opened = bumped("POST", "!/projects/mallory%2Fdesired/merge_requests", body).json()

    assert (head, target) == (opened["sha"], opened["target_project_id"])
    assert opened["source_project_id"] != target
    assert head == bumped.checkout.git("ls-remote", "origin", "refs/merge-requests/1/head").split()[0]


def test_commits_of_a_merge_request_are_listed(bumped: Any) -> None:
    open_one(bumped)

    assert ["bump 2", "bump 1"] == [each["title"] for each in bumped("GET", "/merge_requests/1/commits").json()]


# ── deployments ──────────────────────────────────────────────────────────────────────────────────────────────────


def deploy(api: Any, status: str = "running", **more: Any) -> Any:
    body = {"environment": "prod/checkout", "sha": api.second, "ref": "main", "tag": False, "status": status}
    return api("POST", "/deployments", {**body, **more})


def test_a_deployment_goes_on_to_its_end_and_no_further(gitlab: Any) -> None:
    made = deploy(gitlab).json()
    path = f"/deployments/{made['id']}"
    done = gitlab("PUT", path, {"status": "success"})

    assert ("running", "prod/checkout", None) == (made["status"], made["environment"]["name"], made["deployable"])
    assert (200, "success") == (done.status_code, done.json()["status"])
    for status, event in (("success", "succeed"), ("running", "run")):
        refused = gitlab("PUT", path, {"status": status})
        assert (400, {"status": [f'cannot transition via "{event}"']}) == (
            refused.status_code,
            refused.json()["message"],
        )
    assert [made["id"]] == [each["id"] for each in gitlab("GET", "/deployments?environment=prod%2Fcheckout").json()]
    assert [] == gitlab("GET", "/deployments?environment=qa").json()


def test_a_deployment_that_is_the_last_success_is_not_made_again(gitlab: Any) -> None:
    first, second = deploy(gitlab, "success").json(), deploy(gitlab, "success").json()
    assert first["id"] == second["id"]
    assert first["id"] != deploy(gitlab, "success", environment="qa").json()["id"]

    assert {"ref": ["The branch or tag does not exist"]} == deploy(gitlab, ref="nowhere").json()["message"]
    assert {"sha": ["The commit does not exist"]} == deploy(gitlab, sha="f" * 40).json()["message"]
    assert {"error": "status does not have a valid value"} == deploy(gitlab, "done").json()


# ── notes ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_notes_come_in_pages_with_the_next_ones_number(bumped: Any) -> None:
    open_one(bumped)
    for number in range(25):
        assert 201 == bumped("POST", "/merge_requests/1/notes", {"body": f"note {number}"}).status_code
    first = bumped("GET", "/merge_requests/1/notes?sort=asc")
    second = bumped("GET", "/merge_requests/1/notes?sort=asc&page=2")

    assert (20, "2", "25") == (len(first.json()), first.headers["X-Next-Page"], first.headers["X-Total"])
    assert (5, "") == (len(second.json()), second.headers["X-Next-Page"])
    assert ("note 0", "ada", False) == tuple(
        (first.json()[0][name] if name != "author" else first.json()[0]["author"]["username"])
        for name in ("body", "author", "system")
    )
    assert "note 24" == bumped("GET", "/merge_requests/1/notes").json()[0]["body"]


def test_a_note_is_edited_by_its_author(bumped: Any) -> None:
    open_one(bumped)
    note = bumped("POST", "/merge_requests/1/notes", {"body": "old"}).json()
    path = f"/merge_requests/1/notes/{note['id']}"
    other = bumped.forge.identities.add_person("grace", {"pull_requests": "write"})

    assert 403 == bumped("PUT", path, {"body": "hijacked"}, token=other).status_code
    assert "new" == bumped("PUT", path, {"body": "new"}).json()["body"]
    assert "new" == bumped("GET", path).json()["body"]
    assert (400, {"error": "body is missing"}) == _error(bumped("POST", "/merge_requests/1/notes", {}))
    assert 404 == bumped("PUT", "/merge_requests/1/notes/9", {"body": "x"}).status_code
    assert 204 == bumped("DELETE", path).status_code


def _error(answer: Any) -> tuple[int, Any]:
    return answer.status_code, answer.json()


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def hooked(api: Any, url: str, **more: Any) -> None:
    body = {"url": url, "merge_requests_events": True, "tag_push_events": True, **more}
    shown = api("POST", "/hooks", body)
    assert 201 == shown.status_code
    assert not {"token", "signing_token"} & shown.json().keys()


def test_a_push_is_told_with_the_token(gitlab: Any, receiver: Any) -> None:
    hooked(gitlab, receiver.url, token="s3cret")
    head = gitlab.commit("third", {"fleet.yaml": "version: 3\n", "new": "x\n"})
    gitlab.tag("v1")

    push, tag = receiver.next(), receiver.next()
    assert ("Push Hook", "s3cret") == (push.headers["x-gitlab-event"], push.headers["x-gitlab-token"])
    assert "webhook-signature" not in push.headers
    event = push.json
    assert ("push", "refs/heads/main", gitlab.second, head) == tuple(
        event[name] for name in ("object_kind", "ref", "before", "after")
    )
    assert ("acme/desired", 1, ["new"]) == (
        event["project"]["path_with_namespace"],
        event["total_commits_count"],
        event["commits"][0]["added"],
    )
    assert ("Tag Push Hook", "refs/tags/v1", ZEROS) == (
        tag.headers["x-gitlab-event"],
        tag.json["ref"],
        tag.json["before"],
    )


def test_a_signing_token_signs_id_time_and_body(gitlab: Any, receiver: Any) -> None:
    key = b"0123456789abcdef0123456789abcdef"
    hooked(gitlab, receiver.url, signing_token=f"whsec_{base64.b64encode(key).decode()}")
    gitlab.commit("third", {"fleet.yaml": "version: 3\n"})

    got = receiver.next()
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert f"v1,{wanted}" == got.headers["webhook-signature"]
    assert got.headers["idempotency-key"] == got.headers["webhook-id"]
    assert "x-gitlab-token" not in got.headers


@pytest.mark.parametrize("facts", [{"url": "nowhere"}, {"signing_token": "whsec_eA=="}, {"signing_token": "s3cret"}])
def test_a_webhook_that_cannot_be_is_refused(gitlab: Any, facts: Any) -> None:
    answer = gitlab("POST", "/hooks", {"url": "http://127.0.0.1:9/", **facts})

    assert (422, ["error"]) == (answer.status_code, list(answer.json()))
    assert [] == gitlab("GET", "/hooks").json()


def test_the_secrets_of_a_webhook_may_be_rotated(gitlab: Any, receiver: Any) -> None:
    hooked(gitlab, receiver.url, token="old")
    changed = gitlab("PUT", "/hooks/1", {"token": "new"})
    gitlab.commit("third", {"fleet.yaml": "version: 3\n"})

    assert 200 == changed.status_code
    assert "new" == receiver.next().headers["x-gitlab-token"]


def test_what_happens_to_a_merge_request_is_told(bumped: Any, receiver: Any) -> None:
    hooked(bumped, receiver.url, push_events=False)
    open_one(bumped)
    head = bumped.branch("bump", {"fleet.yaml": "version: 4\n"})
    bumped("PUT", "/merge_requests/1", {"title": "Bump to 4"})
    bumped("PUT", "/merge_requests/1", {"state_event": "close"})
    bumped("PUT", "/merge_requests/1", {"state_event": "reopen"})
    bumped("PUT", "/merge_requests/1/merge")

    got = [receiver.next() for _ in range(6)]
    told = [each.json["object_attributes"] for each in got]
    assert ["open", "update", "update", "close", "reopen", "merge"] == [each["action"] for each in told]
    assert {"Merge Request Hook"} == {each.headers["x-gitlab-event"] for each in got}
    assert (bumped.head, head) == (told[1]["oldrev"], told[1]["last_commit"]["id"])
    assert "oldrev" not in told[2]
    assert {"title": {"previous": "Bump to 3", "current": "Bump to 4"}} == got[2].json["changes"]
    assert "merged" == told[5]["state"]
