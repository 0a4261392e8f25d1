"""GitLab's calls and answers, as GitLab publishes them: nothing is asked over a network here."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from adapters.forges.gitlab import GitLab, checked_repository
from adapters.forges.hosted import Answer, BadAddress, Call, Fate, Need, NoSense, Verdict
from reconciler.record import CommitStatus, Medium, State
from reconciler.reviews import Proposal

REST = json.loads((Path(__file__).parents[2] / "data" / "gitlab" / "rest.json").read_text())
PROJECT, COMMIT = "acme/platform/desired", "18f3e63d05582537db6d183d9d557be09e1f90c8"
QUOTED = "/projects/acme%2Fplatform%2Fdesired"
WAITS = 'Cannot transition status via :{} from :{} (Reason(s): Status cannot transition via \\"{}\\")'


def word(state: State = State.SUCCESS, **more: Any) -> CommitStatus:
    first: dict[str, Any] = {"repository": "main", "commit": COMMIT, "context": "fairlead/prod/checkout"}
    return CommitStatus(**{**first, "state": state, "description": "1.4.2 on 2/2 units", **more})


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    return Answer(status=status, headers=headers, body=b"" if body is None else json.dumps(body).encode())


def waiting(event: str, state: str) -> Answer:
    return answer(400, {"message": WAITS.format(event, state, event).replace("\\", "")})


def judged(call: Call, given: Answer) -> Verdict:
    dialect = GitLab()
    return dialect.verdict(call, given, dialect.said(given.body))


def told(said: CommitStatus, *answers: Answer) -> tuple[list[Call], Verdict]:
    """The calls of a word, and how it ends, where GitLab answers like that."""
    steps, calls = GitLab("main").status(PROJECT, COMMIT, said), list[Call]()
    try:
        calls.append(next(steps))
        for given in answers:
            verdict = judged(calls[-1], given)
            if given.status not in calls[-1].seen and verdict.fate is not Fate.DELIVERED:
                return calls, verdict
            calls.append(steps.send(given))
    except StopIteration as end:
        return calls, end.value
    raise AssertionError(calls)


def shown(status: str, number: int = 93, pipeline: int | None = 7, **more: Any) -> dict[str, Any]:
    """A row as the list of statuses has it."""
    published = REST["set-commit-status"]["response_example"]
    said = {"status": status, "description": "1.4.2 on 2/2 units", "target_url": None, "ref": "main"}
    return {**published, **said, "id": number, "pipeline_id": pipeline, **more}


def faults_of(body: Any, schema: Any) -> list[str]:
    kinds = {"string": str, "boolean": bool, "integer": int}
    found = [f"{name} is missing" for name in schema["required"] if name not in body]
    for name, value in body.items():
        wanted = schema["properties"].get(name, {"type": "string", "enum": []})
        listed, longest = wanted.get("enum", [value]), wanted.get("maxLength", 10_000)
        if not isinstance(value, kinds[wanted["type"]]) or value not in listed or len(str(value)) > longest:
            found.append(f"{name} is {value!r}")
    return found


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("link", ["", "https://fairlead.example.com/fleets/prod/checkout", "https://x/" + "y" * 300])
def test_a_status_is_what_gitlab_publishes_that_it_takes(state: State, link: str) -> None:
    calls, _ = told(word(state, target_url=link), answer(200, []), answer(201, shown("success")))

    sent = calls[-1].body or {}
    assert [] == faults_of(sent, REST["set-commit-status"]["request"])
    assert (0 < len(link) < 255) is ("target_url" in sent)
    assert f"{QUOTED}/statuses/{COMMIT}" == calls[-1].path


def test_the_check_of_the_published_request_sees_faults() -> None:
    wanted = REST["set-commit-status"]["request"]

    assert ["state is missing", "sha is 'x'"] == faults_of({"sha": "x"}, wanted)
    assert ["state is 'error'"] == faults_of({"state": "error"}, wanted)


@pytest.mark.parametrize(
    ("state", "theirs"),
    [(State.PENDING, "pending"), (State.SUCCESS, "success"), (State.FAILURE, "failed"), (State.ERROR, "failed")],
)
def test_each_state_has_one_of_gitlab_s(state: State, theirs: str) -> None:
    steps = GitLab().status(PROJECT, COMMIT, word(state))
    next(steps)
    call = steps.send(answer(200, []))

    assert theirs == (call.body or {})["state"]


@pytest.mark.parametrize(
    ("said", "ref"),
    [
        (word(State.PENDING), "main"),
        (word(State.PENDING, context="fairlead/plan"), None),
        (word(State.PENDING, project="acme/checkout", commit="refs/tags/v1.4.2"), "v1.4.2"),
        (word(State.PENDING, project="acme/checkout"), None),
    ],
)
def test_a_status_goes_to_the_pipeline_of_the_branch_or_tag_that_is_known(said: CommitStatus, ref: str | None) -> None:
    calls, _ = told(said, answer(200, []), answer(201, shown("pending")))

    assert ref == (calls[1].body or {}).get("ref")


def test_bodies_of_deployments_and_merge_requests_are_what_gitlab_publishes_that_it_takes() -> None:
    gitlab = GitLab("main")
    deploy = gitlab.add_deployment(PROJECT, COMMIT, "prod/checkout", word(medium=Medium.DEPLOYMENT))
    pull = gitlab.open_pull(PROJECT, Proposal(branch="bump", base="main", title="checkout 1.4.2", body="why"))

    assert [] == faults_of(deploy.body, REST["create-deployment"]["request"])
    assert [] == faults_of(pull.body, REST["create-merge-request"]["request"])
    assert (deploy.body or {})["ref"] == "main"


def test_a_deployment_of_a_tag_says_so() -> None:
    tagged = word(medium=Medium.DEPLOYMENT, project="acme/checkout", commit="refs/tags/v1.4.2")
    body = GitLab("main").add_deployment("acme/checkout", COMMIT, "prod/checkout", tagged).body or {}

    assert ("v1.4.2", True, COMMIT) == (body["ref"], body["tag"], body["sha"])


@pytest.mark.parametrize("name", ["acme/desired", "acme/platform/team-a/desired", "a.b/c_d/e-f", "_a/x", "a/.profile"])
def test_groups_of_any_depth_are_taken(name: str) -> None:
    assert name == checked_repository(name)


@pytest.mark.parametrize(
    "name", ["", "desired", "/x", "a/", "a//x", "a/../x", "a/.", "a/b?c", "a/b#c", "a/b.git", "-a/b", "a/b c"]
)
def test_a_project_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(BadAddress, match=r"repository is needed: write group/project, or group/subgroup/project"):
        checked_repository(name)


def test_a_tag_with_slashes_is_one_part_of_the_path() -> None:
    assert f"{QUOTED}/repository/tags/release%2F1.4" == GitLab().commit_of(PROJECT, "release/1.4").path


# ── a status that waits already ──────────────────────────────────────────────────────────────────────────────────


def states(calls: list[Call]) -> list[str]:
    """That are asked for, without the looks."""
    return [(call.body or {})["state"] for call in calls if call.writes]


def test_a_pending_word_after_another_uses_the_second_state_that_waits() -> None:
    before = answer(200, [shown("pending", description="queued")])
    calls, verdict = told(word(State.PENDING), before, answer(201, shown("running")))

    assert (["running"], Fate.DELIVERED) == (states(calls), verdict.fate)


def test_a_third_pending_word_takes_the_place_of_a_job_that_is_canceled_for_it() -> None:
    before = answer(200, [shown("running", description="wave 1/2")])
    calls, verdict = told(
        word(State.PENDING), before, answer(201, shown("canceled")), answer(201, shown("pending", 94))
    )

    assert (["canceled", "pending"], Fate.DELIVERED) == (states(calls), verdict.fate)
    assert {"1.4.2 on 2/2 units"} == {(call.body or {})["description"] for call in calls[1:]}
    assert [7, None] == [(call.body or {}).get("pipeline_id") for call in calls[1:]]
    assert [2, 0] == [call.turns for call in calls[1:]]


def test_who_died_after_the_cancelling_is_followed_by_the_word_that_waits() -> None:
    calls, verdict = told(word(State.PENDING), answer(200, [shown("canceled")]), answer(201, shown("pending", 94)))

    assert (["pending"], Fate.DELIVERED) == (states(calls), verdict.fate)


@pytest.mark.parametrize(
    ("date", "fate"),
    [
        ("Thu, 26 Nov 2026 18:00:09 GMT", Fate.EARLY),
        ("Thu, 26 Nov 2026 18:00:10 GMT", Fate.DELIVERED),
        ("Thu, 26 Nov 2026 17:59:59 GMT", Fate.DELIVERED),
        ("once", Fate.DELIVERED),
        ("", Fate.DELIVERED),
    ],
)
@pytest.mark.parametrize("started", ["2026-11-26T18:00:00.000Z", "2026-11-26T19:00:00.000+01:00"])
def test_a_text_stands_for_ten_seconds_of_gitlab_s_clock_before_its_job_is_canceled(
    date: str, fate: Fate, started: str
) -> None:
    before = answer(200, [shown("running", description="wave 1/2", started_at=started)], date=date)
    _, verdict = told(word(State.PENDING), before, answer(201, shown("canceled")), answer(201, shown("pending", 94)))

    assert fate is verdict.fate


@pytest.mark.parametrize("started", [None, "", 3, "2026-11-26T18:00:00", "yesterday"])
def test_a_time_that_cannot_be_read_keeps_no_text_waiting(started: Any) -> None:
    before = answer(
        200, [shown("running", started_at=started, description="old")], date="Thu, 26 Nov 2026 18:00:01 GMT"
    )
    _, verdict = told(word(State.PENDING), before, answer(201, shown("canceled")), answer(201, shown("pending", 94)))

    assert Fate.DELIVERED is verdict.fate


def test_who_is_quicker_at_every_step_is_left_the_field_for_a_moment() -> None:
    before = answer(200, [shown("running", description="wave 1/2")])
    _, verdict = told(
        word(State.PENDING), before, answer(400), waiting("enqueue", "pending"), answer(201, shown("running"))
    )
    _, again = told(word(State.PENDING), before, answer(400), waiting("enqueue", "running"), waiting("run", "running"))

    assert Fate.DELIVERED is verdict.fate
    assert Fate.AILING is again.fate


@pytest.mark.parametrize("state", ["pending", "running"])
def test_a_pending_word_that_is_shown_already_is_not_said_again(state: str) -> None:
    calls, verdict = told(word(State.PENDING), answer(200, [shown(state)]))

    assert ([], Fate.DELIVERED) == (states(calls), verdict.fate)


def test_a_pending_word_after_a_final_one_begins_again() -> None:
    calls, verdict = told(word(State.PENDING), answer(200, [shown("success")]), answer(201, shown("pending", 94)))

    assert (["pending"], Fate.DELIVERED) == (states(calls), verdict.fate)


def test_who_was_quicker_with_a_pending_word_is_followed_by_the_second_state() -> None:
    calls, verdict = told(
        word(State.PENDING), answer(200, []), waiting("enqueue", "pending"), answer(201, shown("running"))
    )

    assert (["pending", "running"], Fate.DELIVERED) == (states(calls), verdict.fate)


def test_a_final_word_whose_job_somebody_else_moved_is_tried_again() -> None:
    _, verdict = told(word(), answer(200, []), waiting("success", "canceling"))

    assert Fate.AILING is verdict.fate
    assert "somebody else changed it; it is tried again" in verdict.message


# ── a status that is final ───────────────────────────────────────────────────────────────────────────────────────


def test_a_final_word_that_is_shown_already_is_not_said_again() -> None:
    calls, verdict = told(word(), answer(200, [shown("success")]))

    assert (["GET"], Fate.DELIVERED) == ([call.method for call in calls], verdict.fate)
    assert {"name": ["fairlead/prod/checkout"], "per_page": ["100"]} == parse_qs(urlsplit(calls[0].path).query)


@pytest.mark.parametrize(
    "before",
    [
        shown("success", description="1.4.1"),
        shown("failed"),
        shown("running"),
        shown("success", target_url="https://x"),
    ],
)
def test_a_final_word_that_says_something_else_is_said(before: dict[str, Any]) -> None:
    calls, verdict = told(word(), answer(200, [before]), answer(201, shown("success", 94)))

    assert (["GET", "POST"], Fate.DELIVERED) == ([call.method for call in calls], verdict.fate)


def test_what_waits_in_an_older_pipeline_ends_with_the_final_word() -> None:
    before = [shown("pending", 90, pipeline=7), shown("running", 92, pipeline=8)]
    made, ended = answer(201, shown("success", 92, pipeline=8)), answer(201, shown("success", 90))
    calls, verdict = told(word(), answer(200, before), made, ended)

    assert Fate.DELIVERED is verdict.fate
    assert [None, 7] == [(call.body or {}).get("pipeline_id") for call in calls[1:]]
    assert ["success", "success"] == [(call.body or {})["state"] for call in calls[1:]]


def test_a_final_word_that_was_cut_off_half_way_ends_the_older_pipeline_only() -> None:
    before = [shown("pending", 90, pipeline=7), shown("success", 92, pipeline=8)]
    calls, _ = told(word(), answer(200, before), answer(201, shown("success", 90)))

    assert [7] == [(call.body or {}).get("pipeline_id") for call in calls[1:]]


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_an_older_pipeline_that_takes_no_more_keeps_nothing_from_being_told(status: int) -> None:
    before = [shown("pending", 90, pipeline=7)]
    _, verdict = told(word(), answer(200, before), answer(201, shown("success", 92, pipeline=8)), answer(status))

    assert Fate.DELIVERED is verdict.fate


def test_a_gitlab_that_names_no_pipelines_is_told_as_well() -> None:
    before = [{key: value for key, value in shown("pending", 90).items() if key != "pipeline_id"}]
    calls, verdict = told(word(), answer(200, before), answer(201, REST["set-commit-status"]["response_example"]))

    assert (2, Fate.DELIVERED) == (len(calls), verdict.fate)


# ── what an answer means ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("number", "fate", "sentence"),
    [
        (0, Fate.DELIVERED, ""),
        (1, Fate.REFUSED, "target_url is blocked"),
        (2, Fate.REFUSED, "GitLab has a CI job of the status's name in that pipeline: rename the job"),
        (3, Fate.SHUT, "give the token the scope `api` and the role Developer, or Maintainer where the branch is"),
        (4, Fate.ABSENT, "the repository has no commit 18f3e63d0558: no status can be put on it"),
        (5, Fate.REFUSED, "is on no branch of acme/platform/desired and in no pipeline there"),
        (6, Fate.AILING, "(409: Another update to this commit status is in progress); it is tried again"),
        (7, Fate.REFUSED, "too long for GitLab, or one too many (422: The number of jobs has exceeded the limit)"),
        (8, Fate.SHUT, "GitLab shows us no project acme/platform/desired (404: 404 Project Not Found)"),
        (9, Fate.SHUT, "GitLab says that acme/platform/desired has moved (405)"),
    ],
)
def test_each_error_that_gitlab_documents_is_told_apart(number: int, fate: Fate, sentence: str) -> None:
    error = REST["errors"][number]
    steps = GitLab().status(PROJECT, COMMIT, word(State.PENDING))
    next(steps)
    call = steps.send(answer(200, []))

    verdict = judged(call, answer(error["status"], error["body"]))

    assert fate is verdict.fate
    assert sentence in verdict.message


@pytest.mark.parametrize(
    ("given", "fate"),
    [
        (Answer(status=429, headers={"retry-after": "30"}, body=b"Retry later\n"), Fate.LIMITED),
        (Answer(status=401, headers={}, body=b'{"message":"401 Unauthorized"}'), Fate.LOCKED_OUT),
        (
            answer(
                401, {"error": "invalid_token", "error_description": "Token was revoked. You have to re-authorize."}
            ),
            Fate.LOCKED_OUT,
        ),
        (answer(403, {"error": "insufficient_scope", "scope": "api"}), Fate.SHUT),
        (answer(500, {"message": "500 Internal Server Error"}), Fate.AILING),
        (answer(502), Fate.AILING),
        (Answer(status=200, headers={"content-type": "text/html"}, body=b"<html>"), Fate.AILING),
        (answer(302, None, location="https://sso.example.com/login"), Fate.AILING),
        (answer(301, None, location="https://gitlab.example.com/api/v4/projects/42/merge_requests"), Fate.SHUT),
        (answer(418), Fate.AILING),
    ],
)
@pytest.mark.parametrize("need", Need)
def test_trouble_that_is_not_about_one_thing_is_the_same_whatever_was_asked(
    given: Answer, fate: Fate, need: Need
) -> None:
    call = Call(method="GET", path="", need=need, project=PROJECT)

    assert fate is judged(call, given).fate


def test_a_merge_request_that_is_gone_refuses_its_comment_and_shuts_nothing() -> None:
    call = GitLab().comments(PROJECT, 7, 1)

    assert Fate.REFUSED is judged(call, answer(404, {"message": "404 Not found"})).fate
    assert Fate.SHUT is judged(call, answer(404, {"message": "404 Project Not Found"})).fate


def test_a_merge_request_that_is_open_already_is_no_trouble_of_the_account() -> None:
    call = GitLab().open_pull(PROJECT, Proposal(branch="bump", base="main", title="t", body=""))
    said = {"message": ["Another open merge request already exists for this source branch: !1"]}

    assert Fate.REFUSED is judged(call, answer(409, said)).fate


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"3", b"<html>", b'{"message": null}', b"[" * 5000, b'{"message": {"a": 1}}']
)
def test_a_body_of_any_shape_has_words_or_none(body: bytes) -> None:
    assert len(GitLab().said(body)) < 10


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_published_merge_request_is_understood() -> None:
    (pull,) = GitLab().pulls_in(answer(200, REST["list-merge-requests"]["response_example"]))

    assert (1, "test1", "master", "admin") == (pull.number, pull.branch, pull.base, pull.author)
    assert (True, False, "8" * 40, "8" * 40) == (pull.outside, pull.open, pull.head, pull.merged_as)
    assert "http://gitlab.example.com/my-group/my-project/merge_requests/1" == pull.url


@pytest.mark.parametrize(
    ("changes", "merged_as"),
    [
        ({"merge_commit_sha": "a" * 40}, "a" * 40),
        ({"merge_commit_sha": "a" * 40, "squash_commit_sha": "b" * 40}, "a" * 40),
        ({"squash_commit_sha": "b" * 40}, "b" * 40),
        ({}, "8" * 40),
        ({"state": "closed", "merge_commit_sha": "a" * 40}, ""),
        ({"state": "opened"}, ""),
    ],
)
def test_what_a_merge_request_became_is_known_for_each_way_to_merge(changes: dict[str, Any], merged_as: str) -> None:
    (published,) = REST["list-merge-requests"]["response_example"]
    (pull,) = GitLab().pulls_in(answer(200, [{**published, **changes}]))

    assert merged_as == pull.merged_as


@pytest.mark.parametrize(
    ("source", "target", "outside"), [(3, 3, False), (2, 3, True), (None, 3, True), (None, None, True)]
)
def test_who_comes_from_another_project_or_from_a_fork_that_is_gone_is_from_outside(
    source: int | None, target: int | None, outside: bool
) -> None:
    (published,) = REST["list-merge-requests"]["response_example"]
    given = {**published, "source_project_id": source, "target_project_id": target}
    (pull,) = GitLab().pulls_in(answer(200, [given]))

    assert outside is pull.outside


def test_a_merge_request_whose_push_is_still_read_waits_for_the_next_look() -> None:
    (published,) = REST["list-merge-requests"]["response_example"]

    assert [] == GitLab().pulls_in(answer(200, [{**published, "sha": None}]))


def test_the_published_note_is_one_of_gitlab_itself_and_no_comment() -> None:
    (published,) = REST["list-notes"]["response_example"]

    assert [] == GitLab().comments_in(answer(200, [published]))
    (comment,) = GitLab().comments_in(answer(200, [{**published, "system": False}]))
    assert (302, "pipin", "closed") == (comment.id, comment.author, comment.body)


def test_an_annotated_tag_is_of_its_commit_and_not_of_its_own_object() -> None:
    published = REST["get-tag"]["response_example"]
    annotated = {**published, "target": "f" * 40, "message": "1.4.2"}

    assert published["commit"]["id"] == GitLab().commit_in(PROJECT, answer(200, published))
    assert published["commit"]["id"] == GitLab().commit_in(PROJECT, answer(200, annotated))


def test_the_published_deployment_is_ours_where_commit_and_environment_are() -> None:
    published, gitlab = REST["create-deployment"]["response_example"], GitLab()
    found = answer(200, [published])

    assert 42 == gitlab.deployment_made(answer(201, published))
    said = word(medium=Medium.DEPLOYMENT)
    assert 42 == gitlab.deployment_in(found, published["sha"], "production", said)
    assert None is gitlab.deployment_in(found, published["sha"], "prod/checkout", said)
    assert None is gitlab.deployment_in(found, "0" * 40, "production", said)
    by_ci = answer(200, [{**published, "deployable": {"id": 1}}])
    assert None is gitlab.deployment_in(by_ci, published["sha"], "production", said)


@pytest.mark.parametrize(
    ("standing", "state", "found"),
    [
        ("running", State.PENDING, 42),
        ("created", State.PENDING, 42),
        ("failed", State.PENDING, None),
        ("success", State.PENDING, None),
        ("canceled", State.PENDING, None),
        ("failed", State.SUCCESS, 42),
        ("success", State.FAILURE, 42),
    ],
)
def test_a_deployment_that_ended_takes_no_word_that_waits(standing: str, state: State, found: int | None) -> None:
    published = {**REST["create-deployment"]["response_example"], "status": standing, "deployable": None}
    older = {**published, "id": 41, "status": "running"}
    said = word(state, medium=Medium.DEPLOYMENT)

    assert found == GitLab().deployment_in(answer(200, [published, older]), published["sha"], "production", said)


def test_a_deployment_that_is_there_already_stands() -> None:
    call = GitLab().tell_deployment(PROJECT, 42, "production", word(medium=Medium.DEPLOYMENT))
    given = answer(400, {"message": {"status": ['cannot transition via "succeed"']}})

    assert Fate.DELIVERED is judged(call, given).fate


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[3]", b'[{"sha": "x", "iid": "1"}]', b"<html>", b'[{"sha": "x", "iid": true}]']
)
def test_an_answer_that_makes_no_sense_is_told_from_one_that_does(body: bytes) -> None:
    given = Answer(status=200, headers={}, body=body)

    with pytest.raises(NoSense):
        GitLab().pulls_in(given)
