"""GitHub's own record of deploys: one for a commit and environment, told how it goes, and what is before it retired."""

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from adapters.forges.github import GitHub
from adapters.forges.hosted import Allowed, Offers
from reconciler.ports import LeaseLost
from reconciler.record import State
from tests.contract.forges.mortal import Killed, Mortal

OLD, NEW = "aa" * 20, "bb" * 20


@pytest.fixture(autouse=True)
def known(github: Any) -> None:
    github.commits.update({OLD, NEW})


def deliver(bench: Any, say: Any, *words: Any, forge: Any = None, lease: Any = None, attempts: int = 0) -> Any:
    waiting = say.waiting(*words, attempts=attempts)
    results = (forge or bench.forge()).deliver(lease or say.lease(), waiting, bench.clock.now())
    return sorted(results, key=lambda each: each.id)


def states(bench: Any) -> list[list[str]]:
    """Of each deployment, oldest first."""
    return [[status["state"] for status in each["statuses"]] for each in bench.github.places.deployments]


def test_a_deployment_is_made_once_and_told_how_it_goes(bench: Any, say: Any) -> None:
    for state in (State.PENDING, State.SUCCESS):
        assert deliver(bench, say, say.deployment(state, commit=NEW))[0].delivered

    (made,) = bench.github.places.deployments
    assert (NEW, "prod/checkout", "deploy:fairlead") == (made["sha"], made["environment"], made["task"])
    assert [["in_progress", "success"]] == states(bench)


def test_nothing_is_merged_into_what_is_deployed_and_no_check_is_waited_for(bench: Any, say: Any) -> None:
    deliver(bench, say, say.deployment(commit=NEW))

    (made,) = bench.github.places.deployments
    assert (False, []) == (made["auto_merge"], made["required_contexts"])


@pytest.mark.parametrize(
    ("state", "stage", "shown"),
    [
        (State.PENDING, "", "in_progress"),
        (State.PENDING, "queued", "queued"),
        (State.SUCCESS, "", "success"),
        (State.FAILURE, "", "failure"),
        (State.ERROR, "", "error"),
        (State.ERROR, "inactive", "inactive"),
        (State.ERROR, "destroyed", "error"),
    ],
)
def test_a_word_s_state_and_stage_are_github_s(bench: Any, say: Any, state: State, stage: str, shown: str) -> None:
    deliver(bench, say, say.deployment(commit=NEW))

    deliver(bench, say, say.deployment(state, commit=NEW, body=stage))

    assert [["success", shown]] == states(bench)


def test_what_was_never_deployed_is_not_retired(bench: Any, say: Any) -> None:
    (delivery,) = deliver(bench, say, say.deployment(State.ERROR, commit=NEW, body="inactive"))

    assert delivery.delivered
    assert [] == bench.github.counted


def test_a_success_retires_the_one_before_it_and_no_other_service_s(bench: Any, say: Any) -> None:
    other = say.deployment(commit=OLD, context="deployment prod/basket")
    deliver(bench, say, say.deployment(commit=OLD), other, say.deployment(commit=NEW))

    assert [["success", "inactive"], ["success"], ["success"]] == states(bench)


def test_a_late_word_on_an_older_deployment_retires_nothing_newer(bench: Any, say: Any) -> None:
    for commit, state in ((OLD, State.PENDING), (NEW, State.SUCCESS), (OLD, State.SUCCESS)):
        deliver(bench, say, say.deployment(state, commit=commit))

    assert [["in_progress", "success"], ["success"]] == states(bench)


def test_what_is_shown_fits_and_leads_to_the_fleet(bench: Any, say: Any) -> None:
    text, link = f"{say.token} " + "x" * 200, "https://fairlead.example.com/fleets/prod/checkout"
    deliver(bench, say, say.deployment(text=text, commit=NEW, target_url=link))

    (status,) = bench.github.places.deployments[0]["statuses"]
    assert (140, link) == (len(status["description"]), status["log_url"])
    assert status["description"].startswith("[secret] x")


def test_somebody_else_s_deployment_of_the_same_commit_is_left_alone(bench: Any, say: Any) -> None:
    theirs = {"id": 1, "sha": NEW, "ref": NEW, "project": "acme/desired", "environment": "prod/checkout"}
    bench.github.places.deployments.append({**theirs, "task": "deploy", "production_environment": True, "statuses": []})

    deliver(bench, say, say.deployment(commit=NEW))

    assert [[], ["success"]] == states(bench)


@pytest.mark.parametrize("calls", range(1, 4))
@pytest.mark.parametrize("there", [True, False])
def test_a_crash_at_any_point_leaves_one_deployment(bench: Any, say: Any, calls: int, there: bool) -> None:
    if there:
        deliver(bench, say, say.deployment(State.PENDING, commit=NEW))
    transport = bench.transport(kind=Mortal)
    transport.left = calls
    with suppress(Killed):
        deliver(bench, say, say.deployment(commit=NEW), forge=bench.forge(transport=transport))

    (again,) = deliver(bench, say, say.deployment(commit=NEW))

    assert again.delivered
    assert [(1, "success")] == [(len(states(bench)), told[-1]) for told in states(bench)]


def test_a_lease_that_ends_between_the_two_writes_tells_nothing_more(bench: Any, say: Any) -> None:
    with pytest.raises(LeaseLost):
        deliver(bench, say, say.deployment(commit=NEW), lease=say.lease(good_for=1))

    assert [[]] == states(bench)
    assert deliver(bench, say, say.deployment(commit=NEW))[0].delivered
    assert [["success"]] == states(bench)


def test_its_two_writes_take_two_turns(bench: Any, say: Any) -> None:
    words = [say.deployment(commit=NEW, context=f"deployment prod/s{number}") for number in range(3)]
    forge = bench.forge(per_minute=18)  # three in ten seconds

    first = deliver(bench, say, *words, forge=forge)
    bench.clock.advance(timedelta(seconds=10))
    second = deliver(bench, say, *words[1:], forge=forge)

    assert [(True, True), (False, False), (False, False)] == [(each.delivered, each.tried) for each in first]
    assert [True, True] == [each.delivered for each in second]
    assert [["success"]] * 3 == states(bench)


def test_pending_deployments_leave_room_like_pending_fleets(bench: Any, say: Any) -> None:
    words = [say.deployment(State.PENDING, commit=NEW, context=f"deployment prod/s{number}") for number in range(9)]

    deliver(bench, say, *words, forge=bench.forge(per_hour=12))

    assert 9 == len(bench.github.counted)
    assert deliver(bench, say, say.status(), forge=bench.forge(per_hour=12))[0].delivered


def test_a_commit_that_github_does_not_know_yet_is_looked_for_again(bench: Any, say: Any) -> None:
    (later,) = deliver(bench, say, say.deployment(commit="cc" * 20))
    bench.github.commits.add("cc" * 20)
    bench.clock.advance(later.retry_at - bench.clock.now())

    (found,) = deliver(bench, say, say.deployment(commit="cc" * 20), attempts=1)

    assert "the repository has no commit cccccccccccc: no deployment can be put on it" == later.message
    assert (False, True) == (later.delivered, found.delivered)


def test_a_deployment_that_was_deleted_while_we_looked_is_made_again(bench: Any, say: Any) -> None:
    deliver(bench, say, say.deployment(State.PENDING, commit=NEW))
    bench.github.late.extend([lambda: None, bench.github.places.deployments.clear])

    (gone,) = deliver(bench, say, say.deployment(commit=NEW))
    bench.clock.advance(gone.retry_at - bench.clock.now())
    (again,) = deliver(bench, say, say.deployment(commit=NEW), attempts=1)

    assert (False, True) == (gone.delivered, again.delivered)
    assert [["success"]] == states(bench)


def test_no_right_to_deploy_stops_deployments_and_nothing_else(bench: Any, say: Any) -> None:
    refused = say.canned(status=403, body=b'{"message": "Resource not accessible by personal access token"}')
    bench.github.next.append(refused)

    first, second, status = deliver(bench, say, say.deployment(commit=NEW), say.deployment(commit=OLD), say.status(NEW))

    assert "GitHub does not let us make deployments in acme/desired (403: Resource not" in first.message
    assert "give the token or the App `deployments: write` there" in first.message
    assert [(True, False), (False, False), (True, True)] == [
        (each.tried, each.delivered) for each in (first, second, status)
    ]


def test_deployments_that_are_off_are_refused_without_a_request(bench: Any, say: Any) -> None:
    (delivery,) = deliver(bench, say, say.deployment(commit=NEW), forge=bench.forge(allowed=Allowed()))

    assert ("deployments are off: set forge.deployments", None) == (delivery.message, delivery.retry_at)
    assert [] == bench.github.requests


def test_a_forge_without_deployments_refuses_them_without_a_request(
    bench: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GitHub, "offers", Offers(deployments=False))

    (delivery,) = deliver(bench, say, say.deployment(commit=NEW))

    assert ("GitHub has no deployments", None) == (delivery.message, delivery.retry_at)
    assert [] == bench.github.requests
