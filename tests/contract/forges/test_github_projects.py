"""Words on an application's own repository: only where the settings let them go, on the commit of the version's tag."""

from datetime import timedelta
from typing import Any

import pytest

from adapters.forges.github import GitHub
from adapters.forges.hosted import Allowed, Offers
from reconciler.record import CommitStatus, State

COMMIT, TAG = "cd" * 20, "ee" * 20


@pytest.fixture(autouse=True)
def tagged(github: Any) -> None:
    github.commits.add(COMMIT)
    github.places.tags["v1.4.2"] = ("commit", COMMIT)


@pytest.fixture
def word(say: Any) -> CommitStatus:
    told: CommitStatus = say.status("refs/tags/v1.4.2", project="acme/checkout")
    return told


def deliver(bench: Any, say: Any, *words: Any, forge: Any = None, **more: Any) -> Any:
    waiting = say.waiting(*words, **more)
    results = (forge or bench.forge()).deliver(say.lease(), waiting, bench.clock.now())
    return sorted(results, key=lambda each: each.id)


def test_the_commit_of_the_tag_shows_it(bench: Any, say: Any, word: Any) -> None:
    (delivery,) = deliver(bench, say, word)

    assert delivery.delivered
    assert [("fairlead/prod/checkout", "success")] == [
        (each["context"], each["state"]) for each in bench.github.newest(COMMIT)
    ]
    assert ["GET /repos/acme/checkout/git/ref/tags/v1.4.2", f"POST /repos/acme/checkout/statuses/{COMMIT}"] == (
        bench.github.calls
    )


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_an_annotated_tag_is_followed_to_its_commit(bench: Any, say: Any, word: Any, depth: int) -> None:
    objects = [f"{number:040x}" for number in range(1, depth + 1)]
    bench.github.places.tags["v1.4.2"] = ("tag", objects[0])
    for this, following in zip(objects, [*objects[1:], COMMIT], strict=True):
        bench.github.places.tag_objects[this] = ("commit" if following == COMMIT else "tag", following)

    (delivery,) = deliver(bench, say, word)

    assert delivery.delivered
    assert 1 == len(bench.github.newest(COMMIT))


@pytest.mark.parametrize(
    ("tag", "objects"),
    [
        (("tag", TAG), {TAG: ("tag", TAG)}),  # of itself
        (("tree", TAG), {}),
        (("commit", "../../user"), {}),
        (("commit", COMMIT.upper()), {}),
    ],
)
def test_a_tag_that_leads_to_no_commit_is_refused(bench: Any, say: Any, word: Any, tag: Any, objects: Any) -> None:
    bench.github.places.tags["v1.4.2"] = tag
    bench.github.places.tag_objects |= objects

    (delivery,) = deliver(bench, say, word)

    assert ("the tag v1.4.2 of acme/checkout is of no commit", None) == (delivery.message, delivery.retry_at)
    assert [] == bench.github.counted


def test_a_tag_that_is_not_there_yet_is_looked_for_again(bench: Any, say: Any, word: Any) -> None:
    bench.github.places.tags.clear()
    begun = bench.clock.now()
    for _ in range(5):
        later, other = deliver(bench, say, word, say.status(), absent_since=begun)
        assert (False, True) == (later.delivered, other.delivered)
        bench.clock.advance(later.retry_at - bench.clock.now())

    (refused,) = deliver(bench, say, word, absent_since=begun)

    assert timedelta(minutes=5) <= bench.clock.now() - begun <= timedelta(minutes=10)
    assert ("acme/checkout shows us no tag v1.4.2: nothing can be said on it", None) == (
        refused.message,
        refused.retry_at,
    )
    bench.github.places.tags["v1.4.2"] = ("commit", COMMIT)
    assert deliver(bench, say, word, absent_since=begun)[0].delivered


@pytest.mark.parametrize(
    ("sources", "project", "goes"),
    [
        (("acme/*",), "acme/checkout", True),
        (("acme/*",), "Acme/Checkout", True),
        (("other/x", "acme/checkout"), "acme/checkout", True),
        (("acme/c*",), "acme/checkout", True),
        ((), "acme/checkout", False),
        (("acme/basket",), "acme/checkout", False),
        (("acme",), "acme/checkout", False),
        (("*/*",), "acme/checkout", True),
        (("*",), "acme/checkout", False),
        (("acme/*",), "acme/any/checkout", False),
        (("*/*/*/*",), "acme/../../user", False),
        (("*/*",), "acme/checkout?x", False),
        (("*",), "acme", False),
    ],
)
def test_words_go_only_where_the_settings_let_them(
    bench: Any, say: Any, sources: tuple[str, ...], project: str, goes: bool
) -> None:
    word = say.status(COMMIT, project=project)

    (delivery,) = deliver(bench, say, word, forge=bench.forge(allowed=Allowed(sources=sources)))

    assert (goes, None, int(goes)) == (delivery.delivered, delivery.retry_at, len(bench.github.requests))
    assert goes or "forge.sources" in delivery.message or "source.repository" in delivery.message


@pytest.mark.parametrize(
    "commit",
    [
        "refs/heads/main", "refs/tags/", "refs/tags/../../user", "refs/tags/v1/../../x", "refs/tags/v1..2",
        "refs/tags/v 1", "refs/tags/v1?x", "refs/tags/v1\n", "main", "abc", "AB" * 20, "ab" * 20 + "/x",
    ],
)  # fmt: skip
def test_what_is_neither_a_commit_nor_a_tag_is_refused_without_a_request(bench: Any, say: Any, commit: str) -> None:
    (delivery,) = deliver(bench, say, say.status(commit, project="acme/checkout"))

    assert (False, None) == (delivery.delivered, delivery.retry_at)
    assert delivery.message.endswith("names no commit and no tag")
    assert [] == bench.github.requests


def test_a_tag_with_a_folder_and_a_plus_is_asked_for_as_it_is(bench: Any, say: Any) -> None:
    bench.github.places.tags["release/1.4.2+3"] = ("commit", COMMIT)

    (delivery,) = deliver(bench, say, say.status("refs/tags/release/1.4.2+3", project="acme/checkout"))

    assert delivery.delivered


def test_a_project_that_is_shut_stops_neither_ours_nor_another(bench: Any, say: Any, word: Any) -> None:
    shut = [say.status(COMMIT, project="acme/gone", context=f"fairlead/prod/s{number}") for number in range(3)]

    results = deliver(bench, say, *shut, word, say.status())

    assert [(True, False), (False, False), (False, False), (True, True), (True, True)] == [
        (each.tried, each.delivered) for each in results
    ]
    assert "GitHub shows us no repository acme/gone (404)" in results[0].message


def test_tags_that_are_not_shown_to_us_stop_no_status_on_a_commit(bench: Any, say: Any, word: Any) -> None:
    bench.github.next.append(say.canned(status=403, body=b'{"message": "Resource not accessible by integration"}'))

    shut, told = deliver(bench, say, word, say.status(COMMIT, project="acme/checkout"))

    assert "GitHub does not let us read the tags of acme/checkout (403" in shut.message
    assert "`contents: read` there" in shut.message
    assert (False, True) == (shut.delivered, told.delivered)


def test_a_deployment_may_stand_at_a_tag_of_a_project(bench: Any, say: Any) -> None:
    (delivery,) = deliver(bench, say, say.deployment(commit="refs/tags/v1.4.2", project="acme/checkout"))

    assert delivery.delivered
    assert [("acme/checkout", COMMIT)] == [(each["project"], each["sha"]) for each in bench.github.places.deployments]


def test_pending_words_on_projects_leave_room_for_others(bench: Any, say: Any) -> None:
    words = [
        say.status(COMMIT, State.PENDING, project="acme/checkout", context=f"fairlead/prod/s{number}")
        for number in range(10)
    ]

    told = [each.delivered for each in deliver(bench, say, *words, forge=bench.forge(per_hour=8))]

    assert [True] * 2 + [False] * 8 == told


def test_projects_that_refuse_us_take_a_small_share_of_the_budget_and_leave_ours_the_rest(bench: Any, say: Any) -> None:
    forge = bench.forge(per_hour=40)
    shut = [say.status(COMMIT, project=f"acme/gone{number}") for number in range(60)]
    begun, posts = bench.clock.now(), []
    for _ in range(60):
        deliver(bench, say, *shut, forge=forge)
        posts.append(sum(call.startswith("POST /repos/acme/gone") for call in bench.github.calls))
        bench.clock.advance(timedelta(minutes=1))

    assert 10 == posts[-1]
    (own,) = deliver(bench, say, say.status(state=State.PENDING), forge=forge)
    assert own.delivered
    assert timedelta(hours=1) == bench.clock.now() - begun


def test_a_project_that_stays_shut_is_asked_ever_more_seldom_and_once_for_all_its_words(bench: Any, say: Any) -> None:
    words = [say.status(COMMIT, project="acme/gone", context=f"fairlead/prod/s{number}") for number in range(3)]
    waits = []
    for _ in range(8):
        before = len(bench.github.requests)
        results = deliver(bench, say, *words)
        assert 1 == len(bench.github.requests) - before
        waits.append(results[0].retry_at - bench.clock.now())
        assert {each.retry_at for each in results} == {results[0].retry_at}
        bench.clock.advance(waits[-1])

    assert [timedelta(minutes=5) * 2**number for number in range(5)] == waits[:5]
    assert timedelta(hours=4) == waits[-1]


def test_a_project_that_ails_stops_neither_ours_nor_another(bench: Any, say: Any, word: Any) -> None:
    bad = [say.status(COMMIT, project="acme/bad", context=f"fairlead/prod/s{number}") for number in range(4)]
    for _ in range(3):
        bench.github.next.append(say.canned(status=502))

    results = deliver(bench, say, *bad, word, say.status())

    assert [False] * 4 + [True, True] == [each.delivered for each in results]
    assert [True] * 3 + [False] == [each.tried for each in results[:4]]


def test_several_projects_that_ail_in_a_row_stop_all_of_them_and_not_ours(bench: Any, say: Any, word: Any) -> None:
    bad = [say.status(COMMIT, project=f"acme/bad{number}") for number in range(6)]
    for _ in range(3):
        bench.github.next.append(say.canned(status=502))

    results = deliver(bench, say, *bad, word, say.status())

    assert [True] * 3 + [False] * 4 + [True] == [each.tried for each in results]
    assert [False] * 7 + [True] == [each.delivered for each in results]
    assert deliver(bench, say, say.status(commit="ab" * 20, text="again"))[0].delivered


def test_a_retry_after_for_a_project_stops_projects_and_not_ours(bench: Any, say: Any, word: Any) -> None:
    bench.github.next.append(say.canned(status=503, headers={"Retry-After": "600"}))

    away, behind, own = deliver(bench, say, say.status(COMMIT, project="acme/bad"), word, say.status())

    assert (True, False, True) == (away.tried, behind.tried, own.delivered)
    assert behind.retry_at >= bench.clock.now() + timedelta(minutes=10)


def test_an_app_asks_for_one_right_of_one_repository(bench: Any, say: Any, word: Any, app_key: Any) -> None:
    pem, bench.github.public_key = app_key
    words = (word, say.status(), say.comment(), say.deployment())

    results = deliver(bench, say, *words, forge=bench.forge(bench.app(lambda: pem)))

    assert [True] * 4 == [each.delivered for each in results]
    asked = [each.body for each in bench.github.requests if each.path.endswith("access_tokens")]
    assert [
        {"repositories": ["checkout"], "permissions": {"contents": "read"}},
        {"repositories": ["checkout"], "permissions": {"statuses": "write"}},
        {"repositories": ["desired"], "permissions": {"statuses": "write"}},
        {"repositories": ["desired"], "permissions": {"pull_requests": "write"}},
        {"repositories": ["desired"], "permissions": {"deployments": "write"}},
    ] == asked


def test_an_app_of_one_owner_says_nothing_in_another_s_repository_of_the_same_name(
    bench: Any, say: Any, app_key: Any
) -> None:
    pem, bench.github.public_key = app_key
    forge = bench.forge(bench.app(lambda: pem), allowed=Allowed(sources=("*/*",)))

    (delivery,) = deliver(bench, say, say.status(COMMIT, project="mallory/checkout"), forge=forge)

    assert ("the App is installed for acme: nothing can be said in mallory/checkout", None) == (
        delivery.message,
        delivery.retry_at,
    )
    assert [] == bench.github.requests


def test_a_forge_that_takes_words_for_one_repository_only_refuses_others(
    bench: Any, say: Any, word: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GitHub, "offers", Offers(projects=False))

    (delivery,) = deliver(bench, say, word)

    assert ("GitHub takes statuses of this repository only", None) == (delivery.message, delivery.retry_at)
    assert [] == bench.github.requests
