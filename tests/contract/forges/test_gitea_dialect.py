"""The calls and answers of Gitea and Forgejo, as their swagger publishes them: nothing is asked over a network here."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from adapters.forges.gitea import Gitea, checked_repository
from adapters.forges.hosted import Answer, BadAddress, Call, Fate, Need, NoSense, Verdict
from reconciler.record import CommitStatus, State
from reconciler.reviews import Proposal

SWAGGER = json.loads((Path(__file__).parents[2] / "data" / "gitea" / "swagger.json").read_text())
PROJECT, COMMIT = "acme/desired", "18f3e63d05582537db6d183d9d557be09e1f90c8"
SERVED = "http://git.example.com/api/swagger"


def word(state: State = State.SUCCESS, **more: Any) -> CommitStatus:
    first: dict[str, Any] = {"repository": "main", "commit": COMMIT, "context": "fairlead/prod/checkout"}
    return CommitStatus(**{**first, "state": state, "description": "1.4.2 on 2/2 units", **more})


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    return Answer(status=status, headers=headers, body=b"" if body is None else json.dumps(body).encode())


def error(status: int, message: str = "") -> Answer:
    return answer(status, {"message": message, "url": SERVED})


def judged(call: Call, given: Answer) -> Verdict:
    return Gitea().verdict(call, given, Gitea().said(given.body))


def told(*answers: Answer) -> tuple[list[Call], Verdict]:
    """The calls of a word, and how it ends, where Gitea answers like that."""
    steps, calls = Gitea().status(PROJECT, COMMIT, word()), list[Call]()
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


def fits(body: Mapping[str, Any], name: str) -> bool:
    """True where each of its fields is in the published definition, of its type and its list."""
    kinds, properties = {"string": str, "boolean": bool, "integer": int}, SWAGGER[name]["properties"]
    known = {key: properties[key] for key in body if key in properties}
    typed = all(isinstance(body[key], kinds[each["type"]]) for key, each in known.items())
    listed = all(body[key] in each.get("enum", [body[key]]) for key, each in known.items())
    return len(known) == len(body) and typed and listed and set(SWAGGER[name]["required"]) <= set(body)


def pull(**changes: Any) -> dict[str, Any]:
    """One as `ToAPIPullRequest` writes it (services/convert/pull.go)."""
    end = {"label": "main", "ref": "main", "sha": "a" * 40, "repo_id": 1, "repo": {"id": 1, "full_name": PROJECT}}
    made = {
        "id": 71,
        "number": 7,
        "user": {"id": 3, "login": "ann"},
        "title": "checkout 1.4.2",
        "body": "why",
        "state": "open",
        "html_url": "http://git.example.com/acme/desired/pulls/7",
        "merged": False,
        "merged_at": None,
        "merge_commit_sha": None,
        "base": end,
        "head": {**end, "label": "bump", "ref": "bump", "sha": "b" * 40},
    }
    return {**made, **changes}


# ── what is asked ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("link", ["", "https://fairlead.example.com/fleets/prod/checkout"])
def test_a_status_is_what_gitea_publishes_that_it_takes(state: State, link: str) -> None:
    call = next(Gitea().status(PROJECT, COMMIT, word(state, target_url=link)))

    assert fits(call.body or {}, "CreateStatusOption")
    assert (state.value, bool(link)) == ((call.body or {})["state"], "target_url" in (call.body or {}))
    assert f"/repos/acme/desired/statuses/{COMMIT}" == call.path


def test_the_check_of_the_published_definitions_sees_faults() -> None:
    assert not fits({"state": "queued"}, "CreateStatusOption")
    assert not fits({"sha": "x"}, "CreateStatusOption")
    assert not fits({"state": 1}, "CreateStatusOption")
    assert not fits({}, "EditIssueCommentOption")


def test_bodies_of_comments_and_pull_requests_are_what_gitea_publishes_that_it_takes() -> None:
    gitea = Gitea()
    proposal = Proposal(branch="bump", base="main", title="checkout 1.4.2", body="why")

    assert fits(gitea.add_comment(PROJECT, 7, "x").body or {}, "CreateIssueCommentOption")
    assert fits(gitea.change_comment(PROJECT, 7, 301, "x").body or {}, "EditIssueCommentOption")
    assert fits(gitea.open_pull(PROJECT, proposal).body or {}, "CreatePullRequestOption")


def test_what_is_read_of_answers_is_published() -> None:
    read = {
        "Comment": ("id", "user", "body"),
        "PullRequest": ("number", "user", "title", "state", "html_url", "merged", "merge_commit_sha", "base", "head"),
        "PRBranchInfo": ("label", "ref", "sha", "repo_id"),
        "Tag": ("commit",),
        "CommitMeta": ("sha",),
        "APIError": ("message",),
    }
    published = {name: SWAGGER[name]["properties"] for name in read}

    assert [] == [(name, each) for name, fields in read.items() for each in fields if each not in published[name]]


def test_deployments_are_not_offered() -> None:
    gitea = Gitea()

    assert not gitea.offers.deployments
    for asked in (
        lambda: gitea.deployments(PROJECT, COMMIT, "prod/checkout", 1),
        lambda: gitea.deployment_in(answer(200, []), COMMIT, "prod/checkout", word()),
        lambda: gitea.add_deployment(PROJECT, COMMIT, "prod/checkout", word()),
        lambda: gitea.deployment_made(answer(201, {})),
        lambda: gitea.tell_deployment(PROJECT, 1, "prod/checkout", word()),
    ):
        with pytest.raises(NoSense):
            asked()


@pytest.mark.parametrize("name", ["acme/desired", "a.b/c_d-e", "acme/.profile"])
def test_a_repository_that_can_be_is_taken(name: str) -> None:
    assert name == checked_repository(name)


@pytest.mark.parametrize("name", ["", "x", "/x", "a/", "a/b/c", "a/..", "./b", "a/b?c", "a/b#c", "a/b.git", "a/b c"])
def test_a_repository_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(BadAddress, match="repository is needed: write owner/name"):
        checked_repository(name)


# ── a commit that is not there ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [404, 500])
def test_a_commit_is_looked_for_where_gitea_does_not_say_what_is_wrong(status: int) -> None:
    calls, verdict = told(error(status), error(404, "commit doesn't exist"), answer(200, {"full_name": PROJECT}))

    assert ["POST", "GET", "GET"] == [call.method for call in calls]
    assert (Fate.ABSENT, False) == (verdict.fate, verdict.in_doubt)
    assert "the repository has no commit 18f3e63d0558: no status can be put on it" == verdict.message


def test_a_repository_that_is_not_shown_is_told_from_a_commit_that_is_not_there() -> None:
    _, verdict = told(error(404), error(404), error(404))

    assert Fate.SHUT is verdict.fate
    assert "Gitea shows us no repository acme/desired (404)" in verdict.message


def test_a_500_on_a_commit_that_is_there_is_an_outage_and_in_doubt() -> None:
    _, verdict = told(error(500), answer(200, {"sha": COMMIT}))

    assert (Fate.AILING, True) == (verdict.fate, verdict.in_doubt)
    assert "Gitea cannot be reached: it answered 500" in verdict.message


# ── what an answer means ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "fate", "sentence"),
    [
        (answer(201, {"status": "success"}), Fate.DELIVERED, ""),
        (error(401, "token is required"), Fate.LOCKED_OUT, "did not accept our sign-in (401: token is required)"),
        (
            error(403, "token does not have at least one of required scope(s): [write:repository]"),
            Fate.SHUT,
            "give the token the scope `write:repository`, and its user write access there",
        ),
        (error(423, "repo is archived"), Fate.SHUT, "acme/desired is archived at Gitea and takes no statuses"),
        (error(422, "[State]: Required"), Fate.REFUSED, "Gitea refused the status (422: [State]: Required)"),
        (error(400, "sha not provided"), Fate.REFUSED, "Gitea refused the status (400: sha not provided)"),
        (answer(301, None, location="/api/v1/repos/acme/renamed"), Fate.SHUT, "Gitea says that acme/desired has moved"),
        (answer(307, None, location="/api/v1/repos/acme/renamed"), Fate.SHUT, "Gitea says that acme/desired has moved"),
        (answer(429, None, **{"retry-after": "60"}), Fate.LIMITED, "Gitea limits our pace (429)"),
        (answer(503), Fate.AILING, "Gitea cannot be reached: it answered 503"),
        (Answer(status=200, headers={"content-type": "text/html"}, body=b"<html>"), Fate.AILING, "with a web page"),
        (answer(409), Fate.AILING, "Gitea does not take the status now (409); it is tried again"),
    ],
)
def test_each_answer_that_gitea_gives_is_told_apart(given: Answer, fate: Fate, sentence: str) -> None:
    verdict = judged(next(Gitea().status(PROJECT, COMMIT, word())), given)

    assert fate is verdict.fate
    assert sentence in verdict.message


def test_a_pull_request_that_is_open_already_is_no_trouble_of_the_account() -> None:
    call = Gitea().open_pull(PROJECT, Proposal(branch="bump", base="main", title="t", body=""))
    said = "pull request already exists for these targets [id: 1, issue_id: 1, head_repo_id: 1, base_repo_id: 1]"

    assert Fate.REFUSED is judged(call, error(409, said)).fate


def test_a_branch_that_is_not_there_is_told_from_a_repository_that_is_not_shown() -> None:
    call = Gitea().open_pull(PROJECT, Proposal(branch="bump", base="main", title="t", body=""))
    verdict = judged(call, error(404, "The target couldn't be found."))

    assert Fate.REFUSED is verdict.fate
    assert "Gitea finds no branch bump in acme/desired (404): push it first" == verdict.message


def test_a_pull_request_that_is_gone_refuses_its_comment_and_shuts_nothing() -> None:
    assert Fate.REFUSED is judged(Gitea().comments(PROJECT, 7, 1), error(404, "not found")).fate


def test_a_token_that_may_not_read_its_own_user_is_told_the_scope() -> None:
    verdict = judged(Gitea().whoami(PROJECT), error(403, "required=[read:user]"))

    assert Fate.SHUT is verdict.fate
    assert "`write:issue` and `read:user`" in verdict.message


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pull_request_is_understood() -> None:
    (found,) = Gitea().pulls_in(answer(200, [pull()]))

    assert (7, "bump", "main", "ann") == (found.number, found.branch, found.base, found.author)
    assert (False, True, "b" * 40, "") == (found.outside, found.open, found.head, found.merged_as)
    assert "http://git.example.com/acme/desired/pulls/7" == found.url


def test_a_merged_pull_request_says_what_it_became() -> None:
    merged = pull(state="closed", merged=True, merge_commit_sha="c" * 40)
    closed = pull(state="closed", merge_commit_sha="c" * 40)

    assert ["c" * 40, ""] == [each.merged_as for each in Gitea().pulls_in(answer(200, [merged, closed]))]


@pytest.mark.parametrize(
    ("head", "outside", "branch"),
    [
        ({"label": "bump", "ref": "bump", "repo_id": 1}, False, "bump"),
        ({"label": "bump", "ref": "refs/pull/7/head", "repo_id": 1}, False, "bump"),  # the branch was deleted
        ({"label": "bump", "ref": "bump", "repo_id": 9}, True, "bump"),
        ({"label": "bump", "ref": "refs/pull/7/head", "repo_id": -1, "repo": None}, True, "bump"),  # and the fork
        ({"label": "", "ref": "refs/pull/7/head", "repo_id": 1}, True, "refs/pull/7/head"),  # AGit
        ({"label": "bump", "ref": "bump"}, True, "bump"),
    ],
)
def test_who_may_be_nobody_that_can_write_is_from_outside(head: dict[str, Any], outside: bool, branch: str) -> None:
    (found,) = Gitea().pulls_in(answer(200, [pull(head={"sha": "b" * 40, **head})]))

    assert (outside, branch) == (found.outside, found.branch)


@pytest.mark.parametrize(("total", "commits"), [("12", 12), ("", 1), ("-1", 1), ("9" * 30, 1)])
def test_commits_are_counted_by_the_header_that_gitea_sends(total: str, commits: int) -> None:
    (found,) = Gitea().pulls_in(answer(200, [pull()]))

    assert commits == Gitea().detailed(found, answer(200, [{"sha": "b" * 40}], **{"x-total-count": total})).commits


def test_an_annotated_tag_is_of_its_commit_and_not_of_its_own_object() -> None:
    tag = {"name": "v1.4.2", "message": "1.4.2", "id": "f" * 40, "commit": {"url": "", "sha": COMMIT}}

    assert COMMIT == Gitea().commit_in(PROJECT, answer(200, tag))
    assert "/repos/acme/desired/tags/release/1.4" == Gitea().commit_of(PROJECT, "release/1.4").path


def test_a_comment_of_somebody_who_left_is_nobody_s() -> None:
    (comment,) = Gitea().comments_in(answer(200, [{"id": 3, "user": None, "body": None}]))

    assert (3, "", "") == (comment.id, comment.author, comment.body)


@pytest.mark.parametrize("body", [b"", b"{}", b"[3]", b"<html>", b'[{"number": 1, "head": {}, "base": 3}]'])
def test_an_answer_that_makes_no_sense_is_told_from_one_that_does(body: bytes) -> None:
    with pytest.raises(NoSense):
        Gitea().pulls_in(Answer(status=200, headers={}, body=body))


@pytest.mark.parametrize("need", Need)
def test_every_need_has_a_sentence_for_a_door_that_is_shut(need: Need) -> None:
    call = Call(method="GET", path="", need=need, project=PROJECT)

    assert "docs/forges.md" in judged(call, error(403)).message
