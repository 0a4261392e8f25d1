"""The sandbox's forge answers as GitHub does: pull requests are merged for real, statuses keep GitHub's rules."""

import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from adapters.clock import ManualClock
from fairlead_sandbox.checkout import Checkout
from fairlead_sandbox.forge import Forge, Person
from fairlead_sandbox.git_server import GitServer

NAME = "sandbox/main"
NOW = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
POEM = "one\ntwo\nthree\nfour\nfive\nsix\nseven\n"


class Api:
    """Ada at the forge's REST API, with a clone."""

    def __init__(self, forge: Forge, folder: Path) -> None:
        self.forge = forge
        self.hosted = forge.create(NAME)
        self.token = forge.identities.add_person("ada")
        self.person = Person(forge.addresses.api, NAME, self.token)
        self.checkout = Checkout(folder / "ada", forge.git.url(NAME))
        self.checkout.commit("first", {"poem": POEM, "fleet.yaml": "version: 1\n", "gone": "x\n"})
        self.first = self.checkout.push()

    def __call__(self, method: str, path: str, **body: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        url = path if path.startswith("http") else f"{self.forge.addresses.api}/repos/{NAME}{path}"
        return requests.request(method, url, json=body or None, headers=headers, timeout=10)

    def branch(self, name: str, *changes: dict[str, str | None], of: str = "") -> str:
        """Push a branch with a commit for each change; gives its head."""
        self.checkout.git("checkout", "--quiet", "-B", name, of or self.first)
        for number, files in enumerate(changes, 1):
            self.checkout.commit(f"{name} {number}\n\nwhy {number}", files)
        self.checkout.git("push", "--quiet", "--force", "origin", name)
        return self.checkout.head

    def on_main(self, **files: str) -> str:
        self.checkout.git("checkout", "--quiet", "-B", "main", self.head())
        self.checkout.commit("on main", dict(files))
        return self.checkout.push()

    def head(self) -> str:
        return self.git("rev-parse", "main")

    def git(self, *args: str) -> str:
        command = ["git", "--git-dir", str(self.hosted.bare.path), *args]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def open(self, head: str, title: str = "A change") -> int:
        answer = self("POST", "/pulls", head=head, base="main", title=title)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["number"])

    def status(self, sha: str, **body: Any) -> requests.Response:
        return self("POST", f"/statuses/{sha}", **{"state": "success", "context": "fairlead/prod", **body})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def api(tmp_path: Path, clock: ManualClock) -> Iterator[Api]:
    with GitServer(tmp_path / "git") as git, Forge(git, clock) as forge:
        yield Api(forge, tmp_path)


def errors(answer: requests.Response) -> list[dict[str, str]]:
    body = answer.json()
    assert (422, "Validation Failed") == (answer.status_code, body["message"])
    return list(body["errors"])


# ── pull requests ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_merge_is_a_commit_with_both_parents_and_githubs_subject(api: Api) -> None:
    head = api.branch("bump", {"fleet.yaml": "version: 2\n"})
    number = api.open("bump", "Bump to 2")
    api("PATCH", f"/pulls/{number}", title="Bump the fleet to 2")

    merged = api("PUT", f"/pulls/{number}/merge", sha=head).json()

    assert {"sha": api.head(), "merged": True, "message": "Pull Request successfully merged"} == merged
    assert f"{api.first} {head}" == api.git("log", "-1", "--format=%P", "main")
    assert "Merge pull request #1 from sandbox/bump\n\nBump the fleet to 2|ada" == api.git(
        "log", "-1", "--format=%B|%an", "main"
    ).replace("\n|", "|").replace("\n\n|", "|")
    assert "version: 2" == api.git("show", "main:fleet.yaml")
    found = api("GET", f"/pulls/{number}").json()
    assert ("closed", True, merged["sha"], "ada") == (
        found["state"],
        found["merged"],
        found["merge_commit_sha"],
        found["merged_by"]["login"],
    )


def test_changes_of_both_sides_are_merged_within_one_file(api: Api) -> None:
    api.branch("end", {"poem": POEM.replace("seven", "7"), "new": "file\n", "gone": None})
    api.on_main(poem=POEM.replace("one", "1"))

    api.person.merge("end", "The end")

    assert POEM.replace("seven", "7").replace("one", "1").strip() == api.git("show", "main:poem")
    assert "fleet.yaml\nnew\npoem" == api.git("ls-tree", "--name-only", "main")


def test_a_squash_is_one_commit_on_the_base(api: Api) -> None:
    api.branch("two", {"a": "1\n"}, {"b": "2\n"})
    api.branch("single", {"c": "3\n"})

    api.person.merge("two", "Two things", method="squash")
    api.person.merge("single", "Not this title", method="squash")

    assert "single 1 (#2)\nTwo things (#1)\nfirst" == api.git("log", "--format=%s", "main")
    assert "* two 1\n\nwhy 1\n\n* two 2\n\nwhy 2" == api.git("log", "-1", "--format=%b", "main~1")
    assert "a\nb\nc\nfleet.yaml\ngone\npoem" == api.git("ls-tree", "--name-only", "main")


def test_a_rebase_puts_each_commit_on_the_base_with_its_author(api: Api) -> None:
    api.branch("two", {"a": "1\n"}, {"b": "2\n"})
    api.on_main(fleet="3\n")

    merged = api.person.merge("two", "Two things", method="rebase")

    assert merged.commit == api.head()
    assert "two 2 Ada\ntwo 1 Ada\non main Ada\nfirst Ada" == api.git("log", "--format=%s %an", "main")
    assert "a b" == " ".join(api.git("diff", "--name-only", "main~2", "main").split())


@pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
def test_a_conflict_is_not_mergeable_and_moves_nothing(api: Api, method: str) -> None:
    api.branch("bump", {"fleet.yaml": "version: 2\n"})
    number = api.open("bump")
    before = api.on_main(**{"fleet.yaml": "version: 3\n"})

    answer = api("PUT", f"/pulls/{number}/merge", merge_method=method)

    assert (405, "Pull Request is not mergeable") == (answer.status_code, answer.json()["message"])
    assert before == api.head()
    assert ("open", False) == tuple(api("GET", f"/pulls/{number}").json()[name] for name in ("state", "mergeable"))


def test_a_head_that_moved_on_is_not_merged(api: Api) -> None:
    old = api.branch("bump", {"fleet.yaml": "version: 2\n"})
    number = api.open("bump")
    new = api.branch("bump", {"fleet.yaml": "version: 3\n"})

    answer = api("PUT", f"/pulls/{number}/merge", sha=old)

    assert 409 == answer.status_code
    assert "Head branch was modified. Review and try the merge again." == answer.json()["message"]
    assert new == api("GET", f"/pulls/{number}").json()["head"]["sha"]


def test_a_pull_request_is_merged_once_and_a_closed_one_not_at_all(api: Api) -> None:
    api.branch("bump", {"fleet.yaml": "version: 2\n"})
    api.branch("other", {"a": "1\n"})
    api.person.merge("bump", "Bump")
    other = api.open("other")
    api("PATCH", f"/pulls/{other}", state="closed")

    assert [405, 405] == [api("PUT", f"/pulls/{number}/merge").status_code for number in (1, other)]
    assert 200 == api("PATCH", f"/pulls/{other}", state="open").status_code
    assert 422 == api("PATCH", "/pulls/1", state="open").status_code
    assert 200 == api("PUT", f"/pulls/{other}/merge").status_code


def test_pull_requests_that_cannot_be_are_refused_with_githubs_words(api: Api) -> None:
    api.branch("bump", {"fleet.yaml": "version: 2\n"})
    api.branch("same")
    api.open("bump")

    def refused(**body: str) -> dict[str, str]:
        return errors(api("POST", "/pulls", **{"title": "t", "base": "main", "head": "bump", **body}))[0]

    assert {"resource": "PullRequest", "code": "invalid", "field": "head"} == refused(head="nowhere")
    assert {"resource": "PullRequest", "code": "invalid", "field": "base"} == refused(base="nowhere")
    assert "No commits between main and same" == refused(head="same")["message"]
    assert "A pull request already exists for sandbox:bump." == refused(head="sandbox:bump")["message"]


def test_pull_requests_are_listed_by_state_and_head(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.branch(name, {name: "1\n"})
        api.open(name)
    api("PUT", "/pulls/2/merge")

    def numbers(query: str) -> list[int]:
        return [pull["number"] for pull in api("GET", f"/pulls{query}").json()]

    assert [3, 1] == numbers("")
    assert [2] == numbers("?state=closed")
    assert [3, 2, 1] == numbers("?state=all")
    assert [1] == numbers("?head=sandbox:a")
    assert [3] == numbers("?per_page=1")


def test_a_branch_goes_when_its_ref_is_deleted(api: Api) -> None:
    api.branch("bump", {"fleet.yaml": "version: 2\n"})

    assert 204 == api("DELETE", "/git/refs/heads/bump").status_code
    assert 422 == api("DELETE", "/git/refs/heads/bump").status_code
    assert 201 == api("POST", "/git/refs", ref="refs/heads/again", sha=api.first).status_code
    assert 422 == api("POST", "/git/refs", ref="refs/heads/again", sha=api.first).status_code
    assert "again\nmain" == api.git("branch", "--format=%(refname:short)")


# ── statuses ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_status_is_said_and_shown(api: Api) -> None:
    answer = api.status(api.first, description="1.4.2 on 2/2 units", target_url="https://fairlead.example.com/x")

    shown = api("GET", "/commits/main/statuses").json()
    assert (201, [answer.json()]) == (answer.status_code, shown)
    assert ("success", "fairlead/prod", "1.4.2 on 2/2 units", "ada", "2026-11-24T06:00:00Z") == (
        shown[0]["state"],
        shown[0]["context"],
        shown[0]["description"],
        shown[0]["creator"]["login"],
        shown[0]["created_at"],
    )


def test_the_newest_of_a_context_counts_whatever_its_case(api: Api, clock: ManualClock) -> None:
    api.status(api.first, state="pending")
    clock.advance(timedelta(seconds=1))
    api.status(api.first, state="success", context="Fairlead/PROD")
    api.status(api.first, state="pending", context="fairlead/staging")

    combined = api("GET", f"/commits/{api.first}/status").json()

    found = [(each["context"], each["state"]) for each in combined["statuses"]]
    assert [("fairlead/staging", "pending"), ("Fairlead/PROD", "success")] == found
    assert ("pending", 2, api.first) == (combined["state"], combined["total_count"], combined["sha"])
    assert 3 == len(api("GET", f"/commits/{api.first}/statuses").json())


@pytest.mark.parametrize(
    ("states", "whole"),
    [([], "pending"), (["success"], "success"), (["success", "error"], "failure"), (["pending", "failure"], "failure")],
)
def test_all_contexts_make_one_state(api: Api, states: list[str], whole: str) -> None:
    for number, state in enumerate(states):
        api.status(api.first, state=state, context=f"c{number}")

    assert whole == api("GET", "/commits/main/status").json()["state"]


def test_bad_statuses_are_refused_with_githubs_words(api: Api) -> None:
    state = {"resource": "Status", "code": "custom", "field": "state", "message": "state is not included in the list"}
    assert [state] == errors(api.status(api.first, state="done"))
    too_long = errors(api.status(api.first, description="é" * 141))
    assert "description is too long (maximum is 140 characters)" == too_long[0]["message"]
    assert 201 == api.status(api.first, description="é" * 140).status_code
    assert "target_url" == errors(api.status(api.first, target_url="fairlead.example.com"))[0]["field"]


@pytest.mark.parametrize("sha", ["f" * 40, "abc", "main", "HEAD"])
def test_an_unknown_commit_has_no_status(api: Api, sha: str) -> None:
    answer = api.status(sha)

    assert (422, f"No commit found for SHA: {sha}") == (answer.status_code, answer.json()["message"])


def test_a_commit_and_context_take_a_thousand_statuses(api: Api) -> None:
    for _ in range(1000):
        api.hosted.statuses.say(api.first, {"state": "pending", "context": "fairlead/prod"}, "ada")

    [error] = errors(api.status(api.first, context="FAIRLEAD/prod"))

    assert "This SHA and context has reached the maximum number of statuses." == error["message"]
    assert 201 == api.status(api.first, context="fairlead/staging").status_code


def test_long_lists_come_in_pages_with_links(api: Api) -> None:
    for number in range(7):
        api.hosted.statuses.say(api.first, {"state": "success", "context": f"c{number}"}, "ada")

    seen, url = [], f"{api.hosted.url}/commits/main/statuses?per_page=3"
    while url:
        answer = api("GET", url)
        seen.append([each["context"] for each in answer.json()])
        found = re.search(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
        url = found[1] if found else ""

    assert [["c6", "c5", "c4"], ["c3", "c2", "c1"], ["c0"]] == seen
    assert 7 == len(api.person.statuses(api.first))


def test_the_log_tells_every_write_once(api: Api) -> None:
    api.status(api.first)
    api.status("f" * 40)
    api("GET", "/commits/main/status")

    assert [f"/repos/{NAME}/statuses/{api.first}"] == [entry.path for entry in api.forge.log.successes()]
    assert [(201, "ada"), (422, "ada")] == [(each.status, each.login) for each in api.forge.log.all(method="POST")]


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_repository_says_where_it_is(api: Api) -> None:
    found = api("GET", "").json()

    assert (NAME, "main", {"pull": True, "push": True}) == (
        found["full_name"],
        found["default_branch"],
        found["permissions"],
    )
    assert (
        api.first
        in subprocess.run(["git", "ls-remote", found["clone_url"]], capture_output=True, text=True, check=True).stdout
    )


def test_commits_are_found_by_branch_and_by_id(api: Api) -> None:
    head = api.on_main(fleet="3\n")

    assert head == api("GET", "/commits/main").json()["sha"]
    assert [head, api.first] == [each["sha"] for each in api("GET", "/commits").json()]
    found = api("GET", f"/commits/{api.first}").json()
    assert ("first", "Ada", []) == (found["commit"]["message"], found["commit"]["author"]["name"], found["parents"])


def test_what_is_not_there_is_not_found(api: Api) -> None:
    for path in ("/pulls/7", "/nothing", f"{api.forge.addresses.api}/repos/sandbox/other"):
        answer = api("GET", path)
        assert (404, "Not Found", "404") == (answer.status_code, answer.json()["message"], answer.json()["status"])


def test_a_body_that_is_no_json_is_said_to_be_none(api: Api) -> None:
    headers = {"Authorization": f"token {api.token}"}
    answer = requests.post(f"{api.hosted.url}/pulls", data="{", headers=headers, timeout=10)

    assert (400, "Problems parsing JSON") == (answer.status_code, answer.json()["message"])
