"""The sandbox's forge answers as GitLab does: projects, commit statuses with their state machine, limits."""

from datetime import timedelta
from typing import Any

import pytest
import requests

from fairlead_sandbox.forge import Limits


def say(api: Any, state: str, sha: str = "", name: str = "fairlead/prod", **more: Any) -> requests.Response:
    return api("POST", f"/statuses/{sha or api.second}", {"state": state, "name": name, **more})


def said(answer: requests.Response) -> tuple[int, Any]:
    return answer.status_code, answer.json().get("message")


# ── projects and commits ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_project_is_found_by_its_number_and_by_its_path(gitlab: Any) -> None:
    by_path = gitlab("GET", "").json()

    assert ("acme/desired", "main") == (by_path["path_with_namespace"], by_path["default_branch"])
    assert by_path == gitlab("GET", f"!/projects/{by_path['id']}").json()
    assert (404, "404 Project Not Found") == said(gitlab("GET", "!/projects/acme%2Fother"))
    assert 404 == gitlab("GET", "!/projects/acme/desired").status_code


@pytest.mark.parametrize("header", ["PRIVATE-TOKEN", "Authorization"])
def test_a_token_comes_in_either_header(gitlab: Any, header: str) -> None:
    value = gitlab.token if header == "PRIVATE-TOKEN" else f"Bearer {gitlab.token}"
    address = f"{gitlab.forge.addresses.api}/user"

    assert "ada" == requests.get(address, headers={header: value}, timeout=10).json()["username"]
    wrong = requests.get(address, headers={header: "Bearer x"}, timeout=10)
    assert (401, {"message": "401 Unauthorized"}) == (wrong.status_code, wrong.json())


def test_tags_and_commits_are_shown(gitlab: Any) -> None:
    gitlab.tag("v1")
    gitlab.tag("v2/rc", annotated=True)

    light, annotated = gitlab("GET", "/repository/tags").json()
    assert (gitlab.second, gitlab.second, "") == (light["target"], light["commit"]["id"], light["message"] or "")
    assert (gitlab.second, "Release v2/rc") == (annotated["commit"]["id"], annotated["message"])
    assert annotated["target"] != gitlab.second
    assert annotated == gitlab("GET", "/repository/tags/v2%2Frc").json()
    assert gitlab.second == gitlab("GET", "/repository/commits/v2%2Frc").json()["id"]
    assert (404, "404 Tag Not Found") == said(gitlab("GET", "/repository/tags/v3"))
    assert (404, "404 Commit Not Found") == said(gitlab("GET", "/repository/commits/v3"))


# ── commit statuses ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_status_goes_through_its_states_as_one(gitlab: Any) -> None:
    answers = [say(gitlab, state) for state in ("pending", "running", "success")]

    assert [201] * 3 == [answer.status_code for answer in answers]
    assert 1 == len({answer.json()["id"] for answer in answers})
    last = answers[-1].json()
    assert ("success", "fairlead/prod", "main", gitlab.second) == tuple(
        last[name] for name in ("status", "name", "ref", "sha")
    )
    assert ["success", "running", "pending"] == [each.state for each in gitlab.hosted.statuses.all(gitlab.second)]


@pytest.mark.parametrize(
    ("first", "second", "event"),
    [
        ("pending", "pending", "enqueue"),
        ("running", "running", "run"),
        ("running", "pending", "enqueue"),
        ("running", "skipped", "skip"),
    ],
)
def test_what_cannot_follow_is_refused_in_gitlabs_own_sentence(
    gitlab: Any, first: str, second: str, event: str
) -> None:
    say(gitlab, first)

    sentence = (
        f'Cannot transition status via :{event} from :{first} (Reason(s): Status cannot transition via "{event}")'
    )
    assert (400, sentence) == said(say(gitlab, second, description="new words"))
    [kept] = gitlab("GET", f"/repository/commits/{gitlab.second}/statuses").json()
    assert (first, None) == (kept["status"], kept["description"])


@pytest.mark.parametrize("again", ["success", "pending", "running", "failed"])
def test_what_has_finished_is_followed_by_another_of_its_name(gitlab: Any, again: str) -> None:
    first = say(gitlab, "success").json()
    second = say(gitlab, again)

    assert (201, again) == (second.status_code, second.json()["status"])
    assert first["id"] != second.json()["id"]
    assert first["pipeline_id"] == second.json()["pipeline_id"]
    path = f"/repository/commits/{gitlab.second}/statuses"
    assert [again] == [each["status"] for each in gitlab("GET", path).json()]
    assert ["success", again] == [each["status"] for each in gitlab("GET", f"{path}?all=true").json()]


def test_statuses_of_two_accounts_are_apart_while_they_run(gitlab: Any) -> None:
    say(gitlab, "running")
    grace = gitlab.forge.identities.add_person("grace")
    answer = gitlab("POST", f"/statuses/{gitlab.second}", {"state": "running", "name": "fairlead/prod"}, token=grace)

    assert 201 == answer.status_code
    found = gitlab("GET", f"/repository/commits/{gitlab.second}/statuses").json()
    assert ["grace"] == [each["author"]["username"] for each in found]


def test_a_pipeline_is_of_a_commit_and_a_ref(gitlab: Any) -> None:
    one = say(gitlab, "success").json()
    other = say(gitlab, "failed", ref="elsewhere").json()

    assert ("main", "elsewhere") == (one["ref"], other["ref"])
    found = gitlab("GET", f"/pipelines?sha={gitlab.second}").json()
    assert [(other["pipeline_id"], "failed"), (one["pipeline_id"], "success")] == [
        (each["id"], each["status"]) for each in found
    ]
    assert ["external"] == list({each["source"] for each in found})
    into = say(gitlab, "success", name="more", pipeline_id=one["pipeline_id"]).json()
    assert one["pipeline_id"] == into["pipeline_id"]
    sentence = "404 Pipeline for pipeline_id, sha and ref Not Found"
    assert (404, sentence) == said(say(gitlab, "success", pipeline_id=99))


def test_unknown_commits_and_commits_without_a_branch_are_not_found(gitlab: Any) -> None:
    lonely = gitlab.branch("gone", {"a": "1\n"})
    gitlab.checkout.git("push", "--quiet", "origin", ":gone")

    assert (404, "404 Commit Not Found") == said(say(gitlab, "success", "f" * 40))
    assert (404, "404 References for commit Not Found") == said(say(gitlab, "success", lonely))
    assert 201 == say(gitlab, "success", lonely, ref="gone").status_code


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "state is missing"),
        ({"state": "done"}, "state does not have a valid value"),
        ({"state": "success", "pipeline_id": "x"}, "pipeline_id is invalid"),
        ({"state": "success", "name": ["a"]}, "name is invalid"),
    ],
)
def test_parameters_that_do_not_fit_are_refused_before_anything_else(gitlab: Any, body: Any, error: str) -> None:
    answer = gitlab("POST", f"/statuses/{gitlab.second}", body)

    assert (400, {"error": error}) == (answer.status_code, answer.json())
    assert 1 == len(gitlab.forge.log.misfits())


def test_texts_have_a_length_and_addresses_a_scheme(gitlab: Any) -> None:
    too_long = "is too long (maximum is 255 characters)"

    assert 201 == say(gitlab, "success", description="é" * 255).status_code
    assert (400, {"description": [too_long]}) == said(say(gitlab, "success", description="é" * 256))
    assert (400, {"target_url": [too_long]}) == said(say(gitlab, "success", target_url="http://a/" + "x" * 250))
    blocked = "is blocked: Only allowed schemes are http, https"
    assert (400, {"target_url": [blocked]}) == said(say(gitlab, "success", target_url="ftp://a"))


def test_a_form_and_a_query_are_as_good_as_json(gitlab: Any) -> None:
    url = f"{gitlab.forge.addresses.api}/projects/1/statuses/{gitlab.second}"
    headers = {"PRIVATE-TOKEN": gitlab.token}

    form = requests.post(url, data={"state": "success", "context": "form"}, headers=headers, timeout=10)
    query = requests.post(f"{url}?state=success&name=query", headers=headers, timeout=10)
    text = requests.post(url, data="x", headers={**headers, "Content-Type": "text/plain"}, timeout=10)

    assert (201, "form", 201, "query") == (
        form.status_code,
        form.json()["name"],
        query.status_code,
        query.json()["name"],
    )
    assert (415, "The provided content-type 'text/plain' is not supported.") == (text.status_code, text.json()["error"])


def test_another_update_may_be_in_progress(gitlab: Any) -> None:
    gitlab.forge.faults.contended = 1

    assert (409, "Another update to this commit status is in progress") == said(say(gitlab, "success"))
    assert 201 == say(gitlab, "success").status_code


def test_who_may_not_write_is_told_so(gitlab: Any) -> None:
    reader = gitlab.forge.identities.add_person("grace", {"contents": "read"})
    answer = gitlab("POST", f"/statuses/{gitlab.second}", {"state": "success"}, token=reader)

    assert (403, "403 Forbidden") == said(answer)


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_minute_has_so_many_requests_and_then_one_waits_for_the_next(gitlab: Any) -> None:
    gitlab.forge.meter.limits = Limits(requests_per_minute=2)
    gitlab.clock.advance(timedelta(seconds=45))
    first, _, blocked = gitlab("GET", ""), gitlab("GET", ""), gitlab("GET", "")

    assert ("2", "1", "1") == tuple(first.headers[f"RateLimit-{name}"] for name in ("Limit", "Observed", "Remaining"))
    assert (429, "15", "Retry later\n") == (blocked.status_code, blocked.headers["Retry-After"], blocked.text)
    assert "text/plain" == blocked.headers["Content-Type"]
    gitlab.clock.advance(timedelta(seconds=15))
    assert 200 == gitlab("GET", "").status_code


def test_notes_have_a_limit_of_their_own(gitlab: Any) -> None:
    gitlab.branch("bump", {"fleet.yaml": "version: 3\n"})
    gitlab("POST", "/merge_requests", {"source_branch": "bump", "target_branch": "main", "title": "t"})
    gitlab.forge.meter.limits = Limits(writes_per_minute=1)
    answers = [gitlab("POST", "/merge_requests/1/notes", {"body": "x"}) for _ in range(2)]

    assert [201, 429] == [answer.status_code for answer in answers]
    assert "60" == answers[1].headers["Retry-After"]
    assert 201 == say(gitlab, "success").status_code


def test_a_call_that_does_not_exist_is_gitlabs_404_and_is_kept(gitlab: Any) -> None:
    answer = gitlab("POST", "/deploys", {"a": 1})
    gitlab("GET", "/commits")

    assert (404, {"error": "404 Not Found"}) == (answer.status_code, answer.json())
    assert [("POST", "/projects/acme/desired/deploys"), ("GET", "/projects/acme/desired/commits")] == [
        (each.method, each.path) for each in gitlab.forge.log.unknown()
    ]
