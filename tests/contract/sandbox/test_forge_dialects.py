"""What every dialect of the sandbox's forge has in common: faults, the log, what follows from a push."""

from collections.abc import Callable
from typing import Any

import pytest
import requests

from fairlead_sandbox.forge import Burst, Outage

DIALECTS = ("github", "gitlab", "gitea")


@pytest.fixture(params=DIALECTS)
def api(request: pytest.FixtureRequest, speak: Callable[[str], Any]) -> Any:
    return speak(request.param)


def say(api: Any, context: str = "fairlead/prod") -> requests.Response:
    return api("POST", f"/statuses/{api.second}", {"state": "success", "context": context})


def open_one(api: Any, head: str = "bump") -> None:
    path = "/merge_requests" if api.dialect == "gitlab" else "/pulls"
    ends = (
        {"source_branch": head, "target_branch": "main"} if api.dialect == "gitlab" else {"head": head, "base": "main"}
    )
    answer = api("POST", path, {**ends, "title": "Bump"})
    assert 201 == answer.status_code, answer.text


def test_each_dialect_is_under_its_own_prefix(api: Any) -> None:
    prefixes = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}

    assert api.forge.addresses.api.endswith(prefixes[api.dialect])
    assert "ada" in api("GET", "!/user").text


@pytest.mark.parametrize("status", [500, 403, 422, 429])
def test_a_burst_strikes_the_next_requests_and_passes(api: Any, status: int) -> None:
    api.forge.faults.burst = Burst(status=status, left=2, retry_after=7, path="/statuses/")
    answers = [say(api) for _ in range(2)]

    assert [status, status] == [answer.status_code for answer in answers]
    assert "7" == answers[0].headers["Retry-After"]
    assert 200 == api("GET", "").status_code
    assert [] == api.hosted.statuses.all(api.second)
    assert 201 == say(api).status_code
    assert [status, status, 201] == [each.status for each in api.forge.log.all(path="/statuses/")]


def test_a_lost_answer_took_effect(api: Any) -> None:
    api.forge.faults.lost_answers = 1
    with pytest.raises(requests.ConnectionError):
        say(api)

    assert ["fairlead/prod"] == [each.context for each in api.hosted.statuses.all(api.second)]
    api.forge.faults.outage = Outage.BAD_GATEWAY
    assert 502 == say(api).status_code


def test_a_head_that_is_pushed_to_the_base_is_merged(api: Any) -> None:
    head = api.branch("bump", {"fleet.yaml": "version: 3\n"})
    open_one(api)
    api.checkout.git("push", "--quiet", "origin", "bump:main")

    pull = api.hosted.pulls.one(1)
    assert ("closed", head, "acme") == (pull.state, pull.merge_commit, pull.merged_by)


def test_a_pull_request_follows_its_branch_and_so_does_what_can_be_fetched(api: Any) -> None:
    api.branch("bump", {"fleet.yaml": "version: 3\n"})
    open_one(api)
    head = api.branch("bump", {"fleet.yaml": "version: 4\n"})

    ref = api.forge.vendor.pull_ref.format(1)
    assert head == api.hosted.pulls.one(1).head_sha
    assert head == api.checkout.git("ls-remote", "origin", ref).split()[0]


def test_reads_are_counted_and_writes_are_kept(api: Any) -> None:
    api.forge.log.clear()
    api("GET", "")
    say(api)

    assert (1, [("POST", 201, "ada")]) == (
        api.forge.log.reads,
        [(each.method, each.status, each.login) for each in api.forge.log.all()],
    )
    assert ([], []) == (api.forge.log.unknown(), api.forge.log.misfits())


def test_fields_that_the_vendor_does_not_know_are_kept(api: Any) -> None:
    body = {"state": "success", "context": "fairlead/prod", "descripton": "1.4.2", "url": "x"}
    answer = api("POST", f"/statuses/{api.second}", body)

    assert 201 == answer.status_code
    assert [["descripton", "url"]] == [names for _, names in api.forge.log.undeclared()]
