"""The one comment of ours on a pull request: found, made, changed, and never anybody else's."""

from datetime import timedelta
from typing import Any

import pytest

from adapters.forges.github import GitHub
from adapters.forges.github.dialect import COMMENTS_A_PAGE
from adapters.forges.hosted import Offers, TokenSignIn
from adapters.forges.hosted.saying import SURPLUS, marker
from reconciler.record import State
from tests.contract.forges.mortal import Killed, Mortal

ME = "fairlead-bot"
LIST, MAKE = (f"{method} /repos/acme/desired/issues/7/comments" for method in ("GET", "POST"))


def deliver(bench: Any, say: Any, *words: Any, forge: Any = None, attempts: int = 0) -> Any:
    waiting = say.waiting(*words, attempts=attempts)
    results = (forge or bench.forge()).deliver(say.lease(), waiting, bench.clock.now())
    return sorted(results, key=lambda each: each.id)


def test_a_comment_is_made_once_and_then_changed_in_place(bench: Any, say: Any) -> None:
    first, second = (say.comment(text) for text in ("1 fleet changes", "2 fleets change"))

    told = [deliver(bench, say, word)[0].delivered for word in (first, second)]

    assert [True, True] == told
    assert [f"{marker(second)}\n2 fleets change"] == bench.github.places.bodies(7, ME)


def test_a_comment_that_says_it_already_costs_no_write(bench: Any, say: Any) -> None:
    deliver(bench, say, say.comment())
    bench.github.places.comments[0]["body"] = bench.github.places.comments[0]["body"].replace("\n", "\r\n") + "\n"
    before = len(bench.github.counted)

    (delivery,) = deliver(bench, say, say.comment())

    assert delivery.delivered
    assert before == len(bench.github.counted)


def test_ours_is_found_on_a_later_page(bench: Any, say: Any) -> None:
    for number in range(2 * COMMENTS_A_PAGE):
        bench.github.places.comment(7, "ada", f"remark {number}")
    deliver(bench, say, say.comment("first"))
    for number in range(COMMENTS_A_PAGE):
        bench.github.places.comment(7, "ada", f"remark {number}")

    deliver(bench, say, say.comment("second"))

    assert [f"{marker(say.comment())}\nsecond"] == bench.github.places.bodies(7, ME)


@pytest.mark.parametrize("author", ["mallory", "Fairlead-Bot", "octoapp[bot]"])
def test_somebody_else_s_comment_with_our_marker_is_neither_changed_nor_trusted(
    bench: Any, say: Any, author: str
) -> None:
    forged = f"{marker(say.comment())}\nforged"
    bench.github.places.comment(7, author, forged)

    deliver(bench, say, say.comment("true"))

    assert [forged] == bench.github.places.bodies(7, author)
    assert [f"{marker(say.comment())}\ntrue"] == bench.github.places.bodies(7, ME)


@pytest.mark.parametrize("body", ["hello", "see <!-- fairlead: fairlead/plan comment of main --> above"])
def test_our_own_comment_that_does_not_begin_with_the_marker_is_left_alone(bench: Any, say: Any, body: str) -> None:
    bench.github.places.comment(7, ME, body)

    deliver(bench, say, say.comment("plan"))

    assert [body, f"{marker(say.comment())}\nplan"] == bench.github.places.bodies(7, ME)


def test_two_repositories_that_lie_at_one_place_have_a_comment_each(bench: Any, say: Any) -> None:
    deliver(bench, say, say.comment("one"), say.comment("two", repository="other"), say.comment("uno"))

    assert ["uno", "two"] == [body.partition("\n")[2] for body in bench.github.places.bodies(7, ME)]


def test_nobody_sees_the_marker(say: Any) -> None:
    assert "<!-- fairlead: fairlead/plan comment of main -->" == marker(say.comment())


def test_who_we_are_is_asked_once_for_a_token(bench: Any, say: Any) -> None:
    token = [say.token]
    bench.github.tokens["other"], bench.github.logins["other"] = bench.github.tokens[say.token], "other-bot"
    forge = bench.forge(TokenSignIn(lambda: token[0], reference="env:TOKEN"))
    deliver(bench, say, say.comment(), say.comment("again"), forge=forge)
    asked = bench.github.calls.count("GET /user")

    token[0] = "other"
    deliver(bench, say, say.status(), say.comment("by another"), forge=forge)

    assert 1 == asked
    assert 2 == bench.github.calls.count("GET /user")
    assert 1 == len(bench.github.places.bodies(7, "other-bot"))


def test_an_app_knows_its_own_comments(bench: Any, say: Any, app_key: Any) -> None:
    pem, bench.github.public_key = app_key
    forge = bench.forge(bench.app(lambda: pem))

    deliver(bench, say, say.comment("one"), say.comment("two"), forge=forge)

    assert ["two"] == [body.partition("\n")[2] for body in bench.github.places.bodies(7, "octoapp[bot]")]
    assert "GET /user" not in bench.github.calls


@pytest.mark.parametrize("calls", range(1, 5))
@pytest.mark.parametrize("there", [True, False])
def test_a_crash_at_any_point_leaves_one_comment(bench: Any, say: Any, calls: int, there: bool) -> None:
    if there:
        deliver(bench, say, say.comment("old"))
    transport = bench.transport(kind=Mortal)
    transport.left = calls
    try:
        deliver(bench, say, say.comment("new"), forge=bench.forge(transport=transport))
    except Killed:
        pass
    else:
        assert calls == 4

    (again,) = deliver(bench, say, say.comment("new"))

    assert again.delivered
    assert ["new"] == [body.partition("\n")[2] for body in bench.github.places.bodies(7, ME)]


def test_a_comment_whose_answer_is_lost_is_in_doubt_and_not_made_twice(bench: Any, say: Any) -> None:
    forge = bench.forge()
    bench.github.late.extend([lambda: None, lambda: None, lambda: setattr(bench.github, "lose", 1)])

    (lost,) = deliver(bench, say, say.comment(), forge=forge)
    bench.clock.advance(timedelta(minutes=1))
    (again,) = deliver(bench, say, say.comment(), forge=forge)

    assert (False, True, True) == (lost.delivered, lost.in_doubt, again.delivered)
    assert 1 == len(bench.github.places.bodies(7, ME))


def test_one_that_github_made_late_gives_way_to_the_first(bench: Any, say: Any) -> None:
    deliver(bench, say, say.comment("first"))
    bench.github.places.comment(7, ME, f"{marker(say.comment())}\nof a request that we had given up")

    told = [deliver(bench, say, word)[0].delivered for word in (say.comment("second"), say.comment("second"))]

    assert [True, True] == told
    assert [f"{marker(say.comment())}\nsecond", SURPLUS] == bench.github.places.bodies(7, ME)
    assert 3 == len(bench.github.counted)


def test_a_list_that_does_not_come_leaves_nothing_in_doubt(bench: Any, say: Any) -> None:
    bench.github.down = say.canned(status=502)

    (delivery,) = deliver(bench, say, say.comment())

    assert (False, False) == (delivery.delivered, delivery.in_doubt)
    assert delivery.retry_at is not None


def test_a_comment_that_was_deleted_while_we_looked_is_made_again(bench: Any, say: Any) -> None:
    deliver(bench, say, say.comment("old"))
    bench.github.late.extend([lambda: None, lambda: None, bench.github.places.comments.clear])

    (gone,) = deliver(bench, say, say.comment("new"))
    bench.clock.advance(gone.retry_at - bench.clock.now())
    (again,) = deliver(bench, say, say.comment("new"), attempts=1)

    assert (False, True) == (gone.delivered, again.delivered)
    assert 1 == len(bench.github.places.bodies(7, ME))


@pytest.mark.parametrize(
    ("pull", "sentence"),
    [
        (2000, "GitHub shows us no pull request 2000 of acme/desired (404)"),
        (9, "pull request 9 of acme/desired is lock"),
    ],
)
def test_a_pull_request_that_takes_no_comment_keeps_no_other_word_back(
    bench: Any, say: Any, pull: int, sentence: str
) -> None:
    bench.github.places.locked.add(9)

    refused, other, status = deliver(bench, say, say.comment(pull=pull), say.comment(pull=8), say.status())

    assert (False, None) == (refused.delivered, refused.retry_at)
    assert sentence in refused.message
    assert [True, True] == [other.delivered, status.delivered]
    assert [("comment refused", refused.message)] == [(said, values["why"]) for said, values in bench.log.said]


@pytest.mark.parametrize("commit", ["ab" * 20, "pull/0", "pull/7/../8", "pull/99999999999", "", "refs/tags/v1"])
def test_what_is_no_pull_request_is_refused_without_a_request(bench: Any, say: Any, commit: str) -> None:
    (delivery,) = deliver(bench, say, say.comment(commit=commit))

    assert (False, None) == (delivery.delivered, delivery.retry_at)
    assert delivery.message.endswith("is no pull request")
    assert [] == bench.github.requests


def test_a_comment_that_is_too_long_ends_at_a_line(bench: Any, say: Any) -> None:
    (delivery,) = deliver(bench, say, say.comment("| a line |\n" * 20_000))

    (body,) = bench.github.places.bodies(7, ME)
    assert delivery.delivered
    assert len(body) <= 65_536
    assert body.endswith("| a line |\n\n…")


def test_what_no_forge_takes_is_not_in_a_comment(bench: Any, say: Any) -> None:
    deliver(bench, say, say.comment(f"a\0b \ud83d {say.token}"))

    assert ["ab ? [secret]"] == [body.partition("\n")[2] for body in bench.github.places.bodies(7, ME)]


def test_no_right_to_comment_stops_comments_and_nothing_else(bench: Any, say: Any, app_key: Any) -> None:
    pem, bench.github.public_key = app_key
    bench.github.granted = {"statuses": "write"}
    forge = bench.forge(bench.app(lambda: pem))

    first, second, status = deliver(bench, say, say.comment(), say.comment(pull=8), say.status(), forge=forge)

    assert "give it `pull_requests: write` and install it on the repository" in first.message
    assert (False, False, True) == (first.delivered, second.delivered, status.delivered)
    assert (True, False) == (first.tried, second.tried)
    assert second.retry_at is not None
    later = deliver(bench, say, say.comment(), say.status("ab" * 20), forge=bench.forge(bench.app(lambda: pem)))
    assert [(False, False), (True, True)] == [(each.tried, each.delivered) for each in later]


def test_an_app_that_is_not_told_who_it_is_stops_no_status(bench: Any, say: Any, app_key: Any) -> None:
    pem, bench.github.public_key = app_key
    bench.github.next.extend([None, None, say.canned(status=502)])  # its token, the list, and then itself

    comment, status = deliver(bench, say, say.comment(), say.status(), forge=bench.forge(bench.app(lambda: pem)))

    assert ("GitHub cannot be reached: it answered 502; statuses wait and are tried again", False) == (
        comment.message,
        comment.in_doubt,
    )
    assert status.delivered


def test_comments_that_ail_stop_no_status(bench: Any, say: Any) -> None:
    ailing = say.canned(status=500)
    bench.github.next.extend([ailing, ailing, ailing])

    results = deliver(bench, say, *(say.comment(pull=pull) for pull in range(1, 7)), say.status())

    assert [True, True, True, False, False, False, True] == [each.tried for each in results]
    assert [7] == [each.id for each in results if each.delivered]


def test_an_answer_of_another_shape_is_no_list_of_comments(bench: Any, say: Any) -> None:
    for body in (b"{}", b"[1]", b'[{"id": "x", "body": ""}]', b'[{"id": 1, "body": 5}]', b"[" * 100_000, b""):
        bench.github.next.append(say.canned(status=200, body=body))

        (delivery,) = deliver(bench, say, say.comment())

        assert "what makes no sense" in delivery.message
        assert delivery.retry_at is not None
        bench.clock.advance(timedelta(minutes=10))
    assert [] == bench.github.counted


def test_each_write_takes_a_turn_and_reading_takes_none(bench: Any, say: Any) -> None:
    words = [say.comment(state=State.SUCCESS, pull=pull) for pull in range(1, 5)]

    results = deliver(bench, say, *words, forge=bench.forge(per_minute=12, per_hour=400))

    assert [True, True, False, False] == [each.delivered for each in results]
    assert [True, True, False, False] == [each.tried for each in results]
    assert 2 == len(bench.github.counted)
    assert all(each.retry_at - bench.clock.now() == timedelta(seconds=10) for each in results[2:])


def test_comments_leave_room_for_how_deploys_end(bench: Any, say: Any) -> None:
    comments = [say.comment(state=State.SUCCESS, pull=pull) for pull in range(1, 10)]

    results = deliver(bench, say, *comments, say.status(), forge=bench.forge(per_hour=8))

    assert [True] * 6 + [False] * 3 + [True] == [each.delivered for each in results]


def test_a_resting_account_reads_nothing_either(bench: Any, say: Any) -> None:
    bench.github.next.append(say.canned(status=429, headers={"Retry-After": "60"}))
    deliver(bench, say, say.status())
    before = len(bench.github.requests)

    (delivery,) = deliver(bench, say, say.comment())

    assert (False, False) == (delivery.delivered, delivery.tried)
    assert before == len(bench.github.requests)


def test_a_forge_without_comments_refuses_them_without_a_request(
    bench: Any, say: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GitHub, "offers", Offers(comments=False))

    (delivery,) = deliver(bench, say, say.comment())

    assert ("GitHub takes no comments from us", None) == (delivery.message, delivery.retry_at)
    assert [] == bench.github.requests
