"""What GitHub answers, and what becomes of the statuses: over real HTTP, with a real ledger for the budget."""

import json
import socket
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from adapters.forges.github import GitHub, checked_repository
from adapters.forges.github.dialect import body_of
from adapters.forges.hosted import BadAddress, HostedForge, TokenSignIn, checked_api
from desired_state.words import NAME
from reconciler.ports import LeaseLost, Unreadable
from reconciler.record import State

REST = json.loads((Path(__file__).parents[2] / "data" / "github" / "rest.json").read_text())
LIMIT = b'{"message": "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}'
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
COMMITS = tuple(f"{number:040x}" for number in range(1, 31))


@pytest.fixture(autouse=True)
def known(github: Any) -> None:
    github.commits.update(COMMITS)


def deliver(bench: Any, say: Any, *statuses: Any, forge: HostedForge | None = None, **more: Any) -> Any:
    waiting = say.waiting(*(statuses or [say.status()]), **more)
    return (forge or bench.forge()).deliver(say.lease(), waiting, bench.clock.now())


def many(say: Any, count: int = 20) -> list[Any]:
    return [say.status(commit) for commit in COMMITS[:count]]


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────


def faults_of(body: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """What in a body is not as the published schema wants it: the few words of JSON Schema that it uses."""
    kinds = {"string": str, "object": dict, "array": list}
    found = [f"{name} is missing" for name in schema.get("required", ()) if name not in body]
    for name, value in body.items():
        wanted = schema["properties"].get(name)
        if wanted is None:
            found.append(f"{name} is unknown")
        elif not isinstance(value, kinds[wanted["type"]]) or value not in wanted.get("enum", [value]):
            found.append(f"{name} is {value!r}")
        elif "properties" in wanted:
            found += faults_of(value, wanted)
    return found


def test_the_check_of_the_schema_sees_faults() -> None:
    schema, example = (REST["create-commit-status"][name] for name in ("request", "request_example"))

    assert [] == faults_of(example, schema)
    assert ["state is 'queued'"] == faults_of({**example, "state": "queued"}, schema)
    assert ["state is missing", "sha is unknown"] == faults_of({"sha": "x"}, schema)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("url", ["", "https://fairlead.example.com/fleets/prod/checkout"])
def test_a_status_is_what_github_publishes_that_it_takes(state: State, url: str, say: Any) -> None:
    body = body_of(say.status(state=state, target_url=url))

    assert [] == faults_of(body, REST["create-commit-status"]["request"])
    assert (state.value, bool(url)) == (body["state"], "target_url" in body)


def test_a_request_names_its_commit_its_version_and_itself(bench: Any, say: Any) -> None:
    deliver(bench, say, say.status(COMMITS[0], target_url="https://fairlead.example.com"))

    (sent,) = bench.github.requests
    wanted = {
        "Authorization": f"Bearer {say.token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "fairlead",
        "Content-Type": "application/json",
    }
    assert f"/repos/acme/desired/statuses/{COMMITS[0]}" == sent.path
    assert wanted == {name: sent.headers[name] for name in wanted}
    assert "https://fairlead.example.com" == sent.body["target_url"]


def test_an_enterprise_server_is_asked_under_its_own_path(bench: Any, say: Any) -> None:
    deliver(bench, say, forge=bench.forge(api=f"{bench.github.url}/api/v3/"))

    assert ["/api/v3/repos/acme/desired/statuses/" + "ab" * 20] == [sent.path for sent in bench.github.requests]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "fairlead.example.com", "ftp://x"])
def test_a_link_that_github_would_refuse_is_left_out(bench: Any, say: Any, url: str) -> None:
    (delivery,) = deliver(bench, say, say.status(target_url=url))

    assert delivery.delivered
    assert "target_url" not in bench.github.requests[0].body


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x" * 140, "x" * 140),
        ("x" * 141, "x" * 139 + "…"),
        ("🚀" * 200, "🚀" * 139 + "…"),
        ("a\nb \t c", "a b c"),
        ("half \ud83d of it", "half ? of it"),
        ("a\x1b[2Jb\u202ec", "a?[2Jb?c"),
        ("👩\u200d🚀 ❤\ufe0f", "👩\u200d🚀 ❤\ufe0f"),
        ("x" * 137 + "👩\u200d🚀🚀", "x" * 137 + "👩…"),
    ],
)
def test_a_description_fits(bench: Any, say: Any, text: str, shown: str) -> None:
    (delivery,) = deliver(bench, say, say.status(text=text))

    assert delivery.delivered
    assert [shown] == [status["description"] for status in bench.github.newest("ab" * 20)]


def test_the_lease_is_asked_right_before_each_write(bench: Any, say: Any) -> None:
    lease = say.lease()

    bench.forge().deliver(lease, say.waiting(*many(say, 3)), bench.clock.now())

    assert (3, 3) == (lease.checks, len(bench.github.requests))


def test_a_lease_that_ends_within_a_batch_ends_the_batch_and_what_was_told_is_known(bench: Any, say: Any) -> None:
    results = bench.forge().deliver(say.lease(good_for=2), say.waiting(*many(say, 5)), bench.clock.now())

    assert [(1, True), (2, True)] == [(each.id, each.delivered) for each in results]
    assert 2 == len(bench.github.requests)


def test_a_lease_that_has_gone_before_the_first_write_is_said(bench: Any, say: Any) -> None:
    with pytest.raises(LeaseLost):
        bench.forge().deliver(say.lease(good_for=0), say.waiting(*many(say, 5)), bench.clock.now())

    assert [] == bench.github.requests


def test_a_write_whose_answer_is_lost_is_said_again(bench: Any, say: Any) -> None:
    bench.github.lose = 1
    (lost,) = deliver(bench, say)
    bench.clock.advance(lost.retry_at - bench.clock.now())

    (again,) = deliver(bench, say)

    assert (False, True) == (lost.delivered, again.delivered)
    assert [("success", "1.4.2")] == [(each["state"], each["description"]) for each in bench.github.newest("ab" * 20)]


def test_contexts_that_github_would_take_for_one_cannot_be_named(bench: Any, say: Any) -> None:
    deliver(bench, say, say.status(context="fairlead/prod/checkout"), say.status(context="fairlead/prod/Checkout"))

    assert 1 == len(bench.github.newest("ab" * 20))
    assert NAME.fullmatch("checkout")
    assert not NAME.fullmatch("Checkout")


# ── what is answered ─────────────────────────────────────────────────────────────────────────────────────────────


def refusal(message: str, **more: Any) -> bytes:
    return json.dumps({"message": "Validation Failed", "errors": [{"message": message, **more}]}).encode()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (refusal("sha must be a 40 character SHA1"), "the repository has no commit abababababab: no status can be put"),
        (
            refusal("This SHA and context has reached the maximum number of statuses."),
            "GitHub takes no more statuses for commit abababababab under this context: 1,000 were said",
        ),
        (
            refusal("description is too long (maximum is 140 characters)"),
            "the status is too long for GitHub (422: Validation Failed: description is too long (maximum is 140",
        ),
        (
            b'{"message": "Validation Failed", "errors": [{"code": "custom"}, "odd", 3, null]}',
            "(422: Validation Failed:",
        ),
        (b"Unprocessable", "GitHub refused the status (422)"),
        (b"", "GitHub refused the status (422)"),
        (b"[" * 100_000, "GitHub refused the status (422)"),
    ],
)
def test_a_refused_status_is_told_apart_and_stops_no_other(bench: Any, say: Any, body: bytes, sentence: str) -> None:
    bench.github.next.append(say.canned(status=422, body=body))

    refused, delivered = deliver(bench, say, say.status(), say.status(COMMITS[0]))

    assert (False, None, True) == (refused.delivered, refused.retry_at, delivered.delivered)
    assert sentence in refused.message
    assert [("status refused", refused.message)] == [(said, values["why"]) for said, values in bench.log.said]


def test_a_commit_that_the_api_does_not_know_yet_is_looked_for_over_minutes(bench: Any, say: Any) -> None:
    begun = bench.clock.now()
    bench.github.commits.discard("ab" * 20)
    for _ in range(5):
        later, other = deliver(bench, say, say.status(), say.status(COMMITS[0]), absent_since=begun)
        assert (False, True) == (later.delivered, other.delivered)
        assert "the repository has no commit abababababab" in later.message
        bench.clock.advance(later.retry_at - bench.clock.now())

    assert 5 * MINUTE <= bench.clock.now() - begun <= 10 * MINUTE
    assert [] == bench.log.said
    (refused,) = deliver(bench, say, absent_since=begun)
    assert (False, None) == (refused.delivered, refused.retry_at)
    bench.github.commits.add("ab" * 20)
    assert deliver(bench, say, absent_since=begun)[0].delivered


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (
            401,
            b'{"message": "Bad credentials"}',
            "GitHub did not accept our sign-in (401: Bad credentials); check forge.auth",
        ),
        (
            403,
            b'{"message": "Resource not accessible by integration"}',
            "give the token or the App `statuses: write` there",
        ),
        (
            403,
            b'{"message": "Repository was archived so is read-only."}',
            "acme/desired is archived at GitHub and takes no statuses; unarchive it, or take it out of the settings",
        ),
        (404, b'{"message": "Not Found"}', "GitHub shows us no repository acme/desired (404); check forge.repository"),
        (410, b"", "GitHub takes no statuses for acme/desired (410); ask its owner"),
        (451, b"{", "GitHub takes no statuses for acme/desired (451); ask its owner"),
        (
            307,
            b'{"message": "Moved Permanently"}',
            "acme/desired has moved (307); set forge.repository to its new name",
        ),
    ],
)
def test_what_only_people_can_mend_waits_without_hammering(
    bench: Any, say: Any, status: int, body: bytes, sentence: str
) -> None:
    bench.github.down = say.canned(status=status, body=body, headers={"Location": "http://127.0.0.2:1/"})

    results = deliver(bench, say, *many(say))

    assert 1 == len(bench.github.requests)
    assert sentence in results[0].message
    assert bench.clock.now() + timedelta(minutes=5) == results[0].retry_at
    assert [True, *[False] * 19] == [each.tried for each in results]
    assert all(each.retry_at >= results[0].retry_at and not each.delivered for each in results)
    bench.github.down = None
    bench.clock.advance(timedelta(minutes=5))
    assert deliver(bench, say)[0].delivered


def test_a_shut_repository_stops_no_other_of_the_same_account(bench: Any, say: Any) -> None:
    assert not deliver(bench, say, forge=bench.forge(repository="acme/gone"))[0].delivered

    assert deliver(bench, say)[0].delivered


def test_a_sign_in_that_fails_stops_every_repository_of_the_account(bench: Any, say: Any) -> None:
    bench.github.tokens.clear()
    deliver(bench, say, forge=bench.forge(repository="acme/other"))

    deliver(bench, say)

    assert 1 == len(bench.github.requests)


def test_a_replaced_token_needs_no_restart(bench: Any, say: Any) -> None:
    token = ["old"]
    forge = bench.forge(TokenSignIn(lambda: token[0], reference="env:TOKEN"))
    assert not deliver(bench, say, forge=forge)[0].delivered
    bench.clock.advance(timedelta(minutes=5))

    token[0] = say.token

    assert deliver(bench, say, forge=forge)[0].delivered


def test_replicas_that_began_with_different_tokens_share_the_budget(bench: Any, say: Any) -> None:
    bench.github.tokens["new"] = bench.github.tokens[say.token]
    replicas = [
        bench.forge(TokenSignIn(lambda token=token: token, reference="file:/token")) for token in (say.token, "new")
    ]

    told = [each.delivered for forge in replicas for each in deliver(bench, say, *many(say, 8), forge=forge)]

    assert [True] * 10 + [False] * 6 == told


def test_a_token_that_is_gone_is_said_and_nothing_is_sent(bench: Any, say: Any) -> None:
    there = [True]

    def token() -> str:
        if not there[0]:
            raise Unreadable("the secret env:X is not there")
        return say.token

    forge = bench.forge(TokenSignIn(token, reference="env:TOKEN"))
    there[0] = False

    (delivery,) = deliver(bench, say, forge=forge)

    assert "the secret env:X is not there" == delivery.message
    assert delivery.retry_at is not None
    assert [] == bench.github.requests


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize(
    ("headers", "body", "rest"),
    [
        ({"Retry-After": "90"}, LIMIT, 91 * SECOND),
        ({"Retry-After": "90", "x-ratelimit-remaining": "0"}, b"", 91 * SECOND),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "RESET"}, b"", 20 * MINUTE + SECOND),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "soon"}, LIMIT, 61 * SECOND),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999"}, LIMIT, 2 * HOUR),
        ({"Retry-After": "DATE"}, LIMIT, 20 * MINUTE + SECOND),
        ({"Retry-After": "Mon, 99 Foo 99999999999999999 1:1:1 GMT"}, LIMIT, 61 * SECOND),
        ({"Retry-After": "-5"}, LIMIT, 61 * SECOND),
        ({"Retry-After": "²"}, LIMIT, 61 * SECOND),
        ({}, LIMIT, 61 * SECOND),
    ],
)
def test_a_limit_lets_the_whole_account_rest_for_as_long_as_github_says(
    bench: Any, say: Any, status: int, headers: dict[str, str], body: bytes, rest: timedelta
) -> None:
    theirs = bench.clock.now() + 7 * MINUTE  # GitHub's clock is not ours
    reset = str(int((theirs + 20 * MINUTE).timestamp()))
    date = format_datetime(theirs + 20 * MINUTE, usegmt=True)
    headers = {name: value.replace("RESET", reset).replace("DATE", date) for name, value in headers.items()}
    dated = {"Date": format_datetime(theirs, usegmt=True), **headers}
    latin = {name: value.encode().decode("latin-1") for name, value in dated.items()}
    bench.github.next.append(say.canned(status=status, headers=latin, body=body))

    results = deliver(bench, say, *many(say, 12))

    assert 1 == len(bench.github.requests)
    assert bench.clock.now() + rest == results[0].retry_at
    assert f"GitHub limits our pace ({status}" in results[0].message
    slots = [each.retry_at - bench.clock.now() - rest for each in results[1:]]
    assert [timedelta()] * 10 + [10 * SECOND] == slots
    other = deliver(bench, say, forge=bench.forge(repository="acme/other"))
    assert (False, results[0].retry_at) == (other[0].tried, other[0].retry_at)


def test_limits_in_a_row_double_the_rest(bench: Any, say: Any) -> None:
    bench.github.down = say.canned(status=429)
    rests = []
    for _ in range(4):
        (delivery,) = deliver(bench, say)
        rests.append((delivery.retry_at - bench.clock.now() - SECOND) // MINUTE)
        bench.clock.advance(delivery.retry_at - bench.clock.now())

    assert [1, 2, 4, 8] == rests


def test_a_spent_budget_gives_each_of_the_rest_the_time_of_its_room(bench: Any, say: Any) -> None:
    results = deliver(bench, say, *many(say, 14), forge=bench.forge(per_minute=12, per_hour=5))

    done = [each for each in results if each.delivered]
    assert 2 == len(done)
    later = [each.retry_at - bench.clock.now() for each in results[2:]]
    burst = [10 * SECOND] * 2 + [20 * SECOND]
    assert [*burst, HOUR, HOUR, *[HOUR + 10 * SECOND] * 2, HOUR + 20 * SECOND, *[2 * HOUR] * 2] == later[:10]
    assert {False} == {each.tried for each in results[2:]}


def test_pending_words_leave_room_for_roll_ups_and_both_for_final_words(bench: Any, say: Any) -> None:
    def told(state: State, context: str) -> int:
        """How many of twenty, at one of two forges of the account by turns."""
        words = [say.status(commit, state, context=context) for commit in COMMITS[:20]]
        results = deliver(bench, say, *words, forge=bench.forge(per_minute=60, per_hour=20))
        return sum(each.delivered for each in results)

    fleets = [told(State.PENDING, "fairlead/prod/a")]
    bench.clock.advance(10 * SECOND)
    fleets += [told(State.PENDING, "fairlead/prod/a") for _ in range(2)]

    assert [10, 5, 0] == fleets
    assert [3, 0] == [told(State.PENDING, "fairlead/prod") for _ in range(2)]
    assert [2, 0] == [told(State.FAILURE, "fairlead/prod/b") for _ in range(2)]


@pytest.mark.parametrize(("words", "state", "told"), [(900, "pending", 1), (901, "pending", 0), (901, "error", 1)])
def test_after_900_words_only_final_ones_are_told(bench: Any, say: Any, words: int, state: str, told: int) -> None:
    (item,) = say.waiting(say.status(state=State(state)))

    (delivery,) = bench.forge().deliver(say.lease(), [replace(item, sequence=words)], bench.clock.now())

    assert (bool(told), None, told) == (delivery.delivered, delivery.retry_at, len(bench.github.requests))
    assert bool(told) != ("only final states are still told" in delivery.message)


def test_the_thousand_and_first_status_is_refused_with_its_reason(bench: Any, say: Any) -> None:
    bench.github.said["ab" * 20, "fairlead/prod/checkout"] = [{"id": 0}] * 1000

    (delivery,) = deliver(bench, say)

    assert (False, None) == (delivery.delivered, delivery.retry_at)
    assert "1,000 were said" in delivery.message


# ── away ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "headers", "body", "sentence"),
    [
        (0, {}, b"", "the connection failed"),
        (500, {}, b"", "it answered 500"),
        (502, {"Content-Type": "text/html"}, b"<html>Unicorn!</html>", "it answered 502"),
        (302, {"Location": "/login"}, b"", "it answered 302 with a web page, or sent us to one; check forge.api"),
        (301, {"Location": "/login", "Content-Type": "text/html"}, b"", "it answered 301 with a web page"),
        (404, {}, b"<!DOCTYPE html><title>Page not found", "it answered 404 with a web page, or sent us to one; check"),
        (403, {"Content-Type": "text/html; charset=utf-8"}, b"Blocked", "it answered 403 with a web page"),
        (422, {"Content-Type": "text/html"}, b"<html>Unprocessable</html>", "it answered 422 with a web page"),
        (503, {}, b"{", "it answered 503"),
        (408, {}, b"", "it answered 408"),
        (200, {"Content-Type": "text/html"}, b"<html>Sign in to the hotel</html>", "it answered 200"),
        (400, {}, b'{"message": "Problems parsing JSON"}', "GitHub does not take the status now (400: Problems"),
        (201, {}, b" " * (1024 * 1024 + 1), "its answer is over 1 MiB"),
    ],
)
def test_an_outage_is_noticed_after_three_failures(
    bench: Any, say: Any, status: int, headers: dict[str, str], body: bytes, sentence: str
) -> None:
    bench.github.down = say.canned(status=status, headers=headers, body=body)

    results = deliver(bench, say, *many(say))

    assert 3 == len(bench.github.requests)
    assert sentence in results[0].message
    assert [True] * 3 + [False] * 17 == [each.tried for each in results]
    assert all(each.retry_at > bench.clock.now() for each in results)
    assert ["statuses wait"] == [said for said, _ in bench.log.said]


def test_a_lasting_outage_is_probed_once_a_rest_and_rests_grow_to_five_minutes(bench: Any, say: Any) -> None:
    bench.github.down = say.canned(status=503)
    rests, probes = [], []
    for _ in range(10):
        before = len(bench.github.requests)
        results = deliver(bench, say, *many(say))
        rests.append((results[-1].retry_at - bench.clock.now()) // SECOND)
        probes.append(len(bench.github.requests) - before)
        bench.clock.advance(timedelta(minutes=6))

    assert [3, *[1] * 9] == probes
    assert sorted(rests) == rests
    assert 300 <= rests[-1] <= 320


@pytest.mark.parametrize(("retry_after", "rest"), [("1200", 20 * MINUTE), ("DATE", 20 * MINUTE), ("999999", 2 * HOUR)])
def test_a_github_that_is_away_and_says_for_how_long_is_left_alone_until_then(
    bench: Any, say: Any, retry_after: str, rest: timedelta
) -> None:
    date = format_datetime(bench.clock.now().replace(microsecond=0) + 20 * MINUTE, usegmt=True)
    bench.github.down = say.canned(status=503, headers={"Retry-After": retry_after.replace("DATE", date)})

    results = deliver(bench, say, *many(say))

    assert 1 == len(bench.github.requests)
    assert bench.clock.now() + rest == results[1].retry_at


def test_nobody_comes_back_at_the_same_moment(bench: Any, say: Any) -> None:
    bench.github.down = say.canned(status=503)
    bench.jitter = 0.25
    short = deliver(bench, say, attempts=8)[0].retry_at - bench.clock.now()
    bench.jitter = 0.75

    assert 3 * short == deliver(bench, say, attempts=8)[0].retry_at - bench.clock.now()


def test_a_status_that_alone_fails_does_not_stand_in_the_way(bench: Any, say: Any) -> None:
    first = say.waiting(*many(say, 4))
    bench.github.down = say.canned(status=500)
    results = bench.forge().deliver(say.lease(), first, bench.clock.now())
    bench.github.down = None

    assert results[2].retry_at > results[3].retry_at  # the one that was not tried comes before the last that was


def test_one_failure_among_many_delays_only_itself(bench: Any, say: Any) -> None:
    bench.github.next.extend([None, say.canned(status=502), None])

    results = deliver(bench, say, *many(say, 3))

    assert [True, False, True] == [each.delivered for each in results]
    assert 0 == bench.store.take(("other",), ()).strikes


def test_a_server_that_does_not_answer_in_time_is_away(bench: Any, say: Any) -> None:
    bench.timeout = 0.05
    with socket.create_server(("127.0.0.1", 0)) as silent:
        forge = bench.forge(api=f"http://127.0.0.1:{silent.getsockname()[1]}")
        (delivery,) = deliver(bench, say, forge=forge)

    assert "GitHub cannot be reached: it did not answer in time; statuses wait and are tried again" == delivery.message


def test_a_status_is_tried_once_and_never_again_behind_our_back(bench: Any, say: Any) -> None:
    bench.github.down = say.canned(status=0)

    deliver(bench, say)

    assert 1 == len(bench.github.requests)


# ── trust ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(bench: Any, say: Any, github: Any, status: int) -> None:
    location = {"Location": f"{github.url}/repos/acme/desired/statuses/{COMMITS[0]}"}
    github.next.append(say.canned(status=status, headers=location))

    (delivery,) = deliver(bench, say)

    assert 1 == len(github.requests)
    assert delivery.retry_at is not None


@pytest.mark.parametrize("status", [307, 400, 401, 403, 404, 422, 429, 451, 500])
def test_the_token_is_in_no_message_and_no_log_line(bench: Any, say: Any, status: int) -> None:
    body = json.dumps({"message": f"token {say.token} is bad", "errors": [f"Bearer {say.token}"]}).encode()
    bench.github.down = say.canned(status=status, body=body, headers={"Location": f"/{say.token}"})

    results = deliver(bench, say, *many(say, 5))

    everything = f"{results} {bench.log.said} {bench.store.slots(('x',), [()])}"
    assert "CANARY" not in everything
    with bench.store._database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT * FROM budgets").all()
    assert "CANARY" not in str(rows)
    assert len(rows) == 2


def test_github_s_own_words_are_shown_on_one_short_line(bench: Any, say: Any) -> None:
    bench.github.next.append(say.canned(status=403, body=json.dumps({"message": "a\nb\x1b[2J" + "c" * 999}).encode()))

    (delivery,) = deliver(bench, say)

    assert "\n" not in delivery.message
    assert "\x1b" not in delivery.message
    assert len(delivery.message) < 400


@pytest.mark.parametrize(
    "api",
    [
        "http://github.example.com/api/v3", "http://127.0.0.1.example.com", "ftp://github.example.com", "github.com",
        "https://", "https://user:pass@github.example.com", "https://h/?x=1", "https://h:port", "https://[", "",
    ],
)  # fmt: skip
def test_an_address_that_a_token_must_not_travel_to_is_refused(api: str) -> None:
    with pytest.raises(BadAddress, match=r"^api is (no address|http, where the token would travel in clear): write"):
        checked_api(api, GitHub.example)


@pytest.mark.parametrize("api", ["https://api.github.com", "https://ghe.example.com/api/v3/", "http://localhost:8080"])
def test_an_address_for_a_token_is_taken(api: str) -> None:
    assert api.rstrip("/") == checked_api(api, GitHub.example)


def test_a_managed_user_s_repository_is_taken() -> None:
    assert "ada_acme/desired" == checked_repository("ada_acme/desired")


@pytest.mark.parametrize(
    ("api", "host"),
    [
        ("https://API.github.com:443", "api.github.com"),
        ("https://ghe.example.com:8443/api/v3", "ghe.example.com:8443"),
        ("http://localhost:80", "localhost"),
    ],
)
def test_one_api_has_one_name(bench: Any, api: str, host: str) -> None:
    assert host == bench.transport(api).host


@pytest.mark.parametrize(
    "name", ["", "acme", "acme/", "/x", "a/b/c", "acme/..", "acme/x y", "acme/x?y", "-a/b", "a/b\n"]
)
def test_a_repository_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(BadAddress, match="repository is needed: write owner/name"):
        checked_repository(name)
