"""Pull requests at GitHub: listed within caps, told apart by where they come from, opened once."""

import json
from datetime import timedelta
from typing import Any

import pytest

from adapters.forges.github.dialect import CLOSED_SHOWN, PULLS_A_PAGE
from adapters.forges.hosted.reviewing import MOST, PAGES
from reconciler.ports import Unreadable
from reconciler.reviews import Proposal, Pull

LIST = "GET /repos/acme/desired/pulls"
PROPOSED = Proposal(branch="fairlead/bump", base="main", title="Bump checkout to 1.4.3", body="why")


def test_what_is_shown_of_a_pull_request(bench: Any) -> None:
    bench.github.places.pull_request(7)

    assert [
        Pull(
            number=7,
            head=f"{7:040x}",
            base="main",
            branch="bump-7",
            title="Bump 7",
            author="ada",
            url="https://github.com/acme/desired/pull/7",
            outside=False,
        )
    ] == list(bench.forge().pulls("main"))


def test_open_ones_come_newest_first_over_all_pages_and_those_that_closed_lately(bench: Any) -> None:
    for number in range(1, 31):
        bench.github.places.pull_request(number, state="closed")
    for number in range(31, 91):
        bench.github.places.pull_request(number)
    bench.github.places.pull_request(91, base={**bench.github.places.pulls[0]["base"], "ref": "other"})

    pulls = bench.forge().pulls("main")

    assert list(range(90, 30, -1)) == [each.number for each in pulls if each.open]
    assert list(range(30, 30 - CLOSED_SHOWN, -1)) == [each.number for each in pulls if not each.open]
    assert 60 // PULLS_A_PAGE + 2 == bench.github.calls.count(LIST)


@pytest.mark.parametrize(
    ("repo", "outside"), [({"id": 1}, False), ({"id": 2, "fork": True}, True), (None, True), ({}, True)]
)
def test_what_comes_from_another_repository_is_from_outside(bench: Any, repo: Any, outside: bool) -> None:
    made = bench.github.places.pull_request(7)
    made["head"] = {**made["head"], "repo": repo}

    assert [outside] == [each.outside for each in bench.forge().pulls("main")]


def test_a_merged_one_names_the_commit_that_it_became_and_how_many_it_had(bench: Any) -> None:
    bench.github.places.pull_request(7, state="closed", merged_at="2026-11-23T20:00:00Z")
    bench.github.places.pull_request(8, state="closed")
    forge = bench.forge()

    first, second = forge.pulls("main"), forge.pulls("main")

    assert [(8, False, "", 1), (7, False, "fe" * 20, 3)] == [
        (each.number, each.open, each.merged_as, each.commits) for each in first
    ]
    assert first == second
    assert 1 == bench.github.calls.count(f"{LIST}/7")
    assert 0 == bench.github.calls.count(f"{LIST}/8")


def test_one_that_closes_while_we_turn_the_pages_is_seen_once(bench: Any) -> None:
    made = bench.github.places.pull_request(7)
    bench.github.late.extend([lambda: None, lambda: made.update(state="closed")])

    assert [(7, False)] == [(each.number, each.open) for each in bench.forge().pulls("main")]


def test_an_account_that_is_gone_has_no_name(bench: Any) -> None:
    bench.github.places.pull_request(7, user=None)

    assert [""] == [each.author for each in bench.forge().pulls("main")]


def test_pages_without_an_end_are_not_turned_for_ever(bench: Any, say: Any) -> None:
    row = json.dumps([bench.github.places.pull_request(7)]).encode()
    link = {"Link": f'<{bench.github.url}/x>; rel="next"'}
    bench.github.down = say.canned(status=200, body=row, headers=link)

    bench.forge().pulls("main")

    assert PAGES + 1 == len(bench.github.requests)


def test_long_texts_of_outsiders_do_not_shut_the_list(bench: Any) -> None:
    long_text = "🚀" * 65_536
    for number in range(1, PULLS_A_PAGE + 1):
        bench.github.places.pull_request(number, body=long_text)

    assert PULLS_A_PAGE == len(bench.forge().pulls("main"))


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (404, b'{"message": "Not Found"}', "GitHub shows us no repository acme/desired (404)"),
        (403, b'{"message": "Resource not accessible"}', "GitHub does not let us see pull requests of acme/desired"),
        (401, b"{}", "GitHub did not accept our sign-in (401); check forge.auth"),
        (500, b"{}", "GitHub cannot be reached: it answered 500"),
        (200, b"<html>", "GitHub cannot be reached: it answered 200 with what makes no sense"),
        (200, b'{"number": 7}', "GitHub cannot be reached: it answered 200 with what makes no sense"),
        (200, b'[{"number": "7"}]', "GitHub cannot be reached: it answered 200 with what makes no sense"),
        (200, b"[" * 100_000, "GitHub cannot be reached: it answered 200 with what makes no sense"),
        (0, b"", "GitHub cannot be reached: the connection failed"),
    ],
)
def test_a_list_that_does_not_come_is_a_sentence(bench: Any, say: Any, status: int, body: bytes, sentence: str) -> None:
    bench.github.down = say.canned(status=status, body=body)

    with pytest.raises(Unreadable) as said:
        bench.forge().pulls("main")

    assert str(said.value).startswith(sentence)
    assert 1 == len(bench.github.requests)


@pytest.mark.parametrize(
    ("headers", "tells"),
    [
        ({"Retry-After": "60"}, True),
        ({"Retry-After": "60", "X-RateLimit-Remaining": "12"}, True),
        ({"Retry-After": "60", "X-RateLimit-Remaining": "0"}, False),
    ],
)
def test_a_limit_that_a_reader_meets_stops_who_tells_only_where_the_account_has_nothing_left(
    bench: Any, say: Any, headers: Any, tells: bool
) -> None:
    bench.github.next.append(say.canned(status=429, headers=headers))
    with pytest.raises(Unreadable):
        bench.forge().pulls("main")

    with pytest.raises(Unreadable) as said:
        bench.forge().pulls("main")
    (delivery,) = bench.forge().deliver(say.lease(), say.waiting(say.status()), bench.clock.now())

    assert ("GitHub limits our pace (429)", timedelta(seconds=61)) == (str(said.value), said.value.retry_in)
    assert (tells, tells) == (delivery.tried, delivery.delivered)
    assert 1 + tells == len(bench.github.requests)


def test_a_page_that_did_not_change_is_not_sent_again(bench: Any) -> None:
    for number in range(1, 61):
        bench.github.places.pull_request(number)
    forge = bench.forge()
    first, again = forge.pulls("main"), forge.pulls("main")
    bench.github.places.pulls[-1]["title"] = "new"  # the oldest: the second page

    third = forge.pulls("main")

    assert first == again
    assert ["new"] == [each.title for each in third if each.number == 1]
    assert [200, 200, 200, 304, 304, 304, 304, 200, 304] == [each.answer for each in bench.github.requests]


def test_only_the_newest_open_ones_are_asked_for(bench: Any) -> None:
    for number in range(1, 401):
        bench.github.places.pull_request(number)

    pulls = bench.forge().pulls("main")

    assert list(range(400, 400 - MOST, -1)) == [each.number for each in pulls]
    assert MOST // PULLS_A_PAGE + 1 == bench.github.calls.count(LIST)


def test_a_sign_in_that_fails_is_not_tried_again_at_once(bench: Any) -> None:
    bench.github.tokens.clear()
    for _ in range(2):
        with pytest.raises(Unreadable, match="did not accept our sign-in"):
            bench.forge().pulls("main")

    assert 1 == len(bench.github.requests)


# ── opened ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pull_request_is_opened_once(bench: Any) -> None:
    forge = bench.forge()

    first, second = forge.propose(PROPOSED), forge.propose(PROPOSED)

    assert first == second
    assert ("fairlead/bump", "main", "Bump checkout to 1.4.3", True) == (
        first.branch,
        first.base,
        first.title,
        first.open,
    )
    assert 1 == len(bench.github.counted)


def test_one_whose_answer_was_lost_is_found(bench: Any) -> None:
    bench.github.late.extend([lambda: None, lambda: setattr(bench.github, "lose", 1)])
    with pytest.raises(Unreadable, match="the connection failed"):
        bench.forge().propose(PROPOSED)

    assert 1 == bench.forge().propose(PROPOSED).number
    assert 1 == len(bench.github.places.pulls)


def test_who_is_quicker_has_opened_it(bench: Any) -> None:
    def somebody() -> None:
        made = bench.github.places.pull_request(1)
        made["head"]["ref"] = PROPOSED.branch

    bench.github.late.extend([lambda: None, somebody])

    assert 1 == bench.forge().propose(PROPOSED).number
    assert 1 == len(bench.github.places.pulls)


def test_an_outsider_s_branch_of_that_name_is_not_ours(bench: Any, say: Any) -> None:
    made = bench.github.places.pull_request(1)
    made["head"] = {"ref": PROPOSED.branch, "sha": "ab" * 20, "repo": {"id": 2}}
    listed = say.canned(status=200, body=json.dumps([made]).encode())
    bench.github.next.append(listed)
    made["head"]["ref"] = "theirs"

    assert 2 == bench.forge().propose(PROPOSED).number


def test_what_github_will_not_open_is_said(bench: Any, say: Any) -> None:
    body = b'{"message": "Validation Failed", "errors": [{"message": "No commits between main and fairlead/bump"}]}'
    bench.github.next.extend([None, say.canned(status=422, body=body)])

    with pytest.raises(Unreadable) as said:
        bench.forge().propose(PROPOSED)

    assert "GitHub refused the pull request (422: Validation Failed: No commits between main and fairlead/bump)" == str(
        said.value
    )


def test_opening_one_is_a_write_of_the_budget(bench: Any) -> None:
    forge = bench.forge(per_minute=6)
    forge.propose(PROPOSED)

    with pytest.raises(Unreadable, match="the forge takes no more writes for now; try again at 20:15:13 UTC"):
        forge.propose(Proposal(branch="another", base="main", title="t", body=""))


def test_the_head_of_a_pull_request_can_be_fetched(bench: Any) -> None:
    forge = bench.forge()

    assert "refs/pull/7/head" == forge.pull_ref.format(number=7)
