"""Notices leave for a channel over real HTTP: few messages, each word once, and nothing lost while it is away."""

import socket
from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.ledger.telling import DOUBT
from adapters.notify.notifier import AGAIN, HELD_BACK
from reconciler.ports import LeaseLost


def test_a_notice_says_what_happened_where_and_who_set_it(bench):
    (result,) = bench.deliver(bench.word(target_url="https://fairlead.example.com/fleets/prod/checkout"))

    assert result.delivered
    (text,) = bench.texts
    assert "*Failed* <https://fairlead.example.com/fleets/prod/checkout|prod/checkout>: 1.4.2 failed" in text
    assert "set by `aaaaaaa` in main, owner payments" in text


def test_slack_shows_text_as_it_is_and_unfurls_nothing(bench):
    bench.deliver(bench.word(description="<!channel> & <https://evil.example|click> > x"))
    (posted,) = bench.channel.posted
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; &gt; x" in posted.json["text"]
    assert "<" not in posted.json["text"].replace("&lt;", "")
    assert (False, False) == (posted.json["unfurl_links"], posted.json["unfurl_media"])


def test_a_link_that_could_break_out_of_its_markup_is_left_out(bench):
    bench.deliver(bench.word(target_url="https://x.example/|click>"))
    assert "prod/checkout: 1.4.2" in bench.texts[0]


def test_what_has_just_happened_is_held_back_for_its_neighbours(bench):
    word = bench.word(age=0)
    (result,) = bench.deliver(word)
    assert (False, False, bench.clock.now() + HELD_BACK) == (result.delivered, result.tried, result.retry_at)

    bench.clock.advance(HELD_BACK)
    (result,) = bench.deliver(word)
    assert result.delivered


def test_who_hurries_holds_nothing_back(bench):
    notifier = bench.notifier()
    notifier.hurry()
    (result,) = bench.deliver(bench.word(age=0), notifier=notifier)
    assert result.delivered


def test_fifty_fleets_that_one_commit_fails_are_one_message_with_counts_and_names(bench):
    words = [bench.word(f"prod/service-{number:02}") for number in range(50)]
    results = bench.deliver(*words)

    assert all(result.delivered for result in results)
    assert {word.id for word in words} == {result.id for result in results}
    (text,) = bench.texts
    assert "Failed: 50 fleets" in text
    assert "prod/service-00, prod/service-01" in text
    assert "and 42 more" in text


def test_fleets_that_the_same_commit_fails_later_wait_and_are_told_together(bench):
    bench.deliver(*[bench.word(f"prod/first-{number}") for number in range(9)])
    late = [bench.word(f"prod/later-{number}") for number in range(7)]
    bench.clock.advance(timedelta(seconds=5))
    waiting = bench.deliver(*late)
    assert not any(result.delivered or result.tried for result in waiting)
    assert bench.clock.now() < waiting[0].retry_at <= bench.clock.now() + AGAIN

    bench.clock.advance(waiting[0].retry_at - bench.clock.now())
    assert all(result.delivered for result in bench.deliver(*late))
    assert ["9 fleets", "7 fleets"] == [text.partition(": ")[2].partition("*")[0] for text in bench.texts]


def test_a_first_look_at_very_many_fleets_is_few_messages_though_each_has_its_own_commit(bench):
    words = [
        bench.word(f"prod/s{number}", "held", f"{number:040x}", facts={"reason": "FirstSight"}) for number in range(120)
    ]
    bench.deliver(*words)
    (text,) = bench.texts
    assert "Needs a person: FirstSight: 120 fleets" in text
    assert "several commits" in text


def test_nobody_is_told_the_end_of_what_nobody_was_told_nor_what_was_withdrawn(bench):
    results = bench.deliver(
        bench.word(kind="resolved"), bench.word(kind="withdrawn", commit="b" * 40, said_before=True)
    )
    assert [(False, None)] * 2 == [(result.delivered, result.retry_at) for result in results]
    assert {"nobody needs to be told"} == {result.message for result in results}
    assert [] == bench.channel.posted

    bench.deliver(bench.word(kind="resolved", said_before=True))
    assert "*Resolved*" in bench.texts[0]


@pytest.mark.parametrize(("kind", "said_before"), [("failed", False), ("held", False), ("resolved", True)])
def test_what_could_not_be_told_for_days_is_told_when_the_channel_is_back(bench, kind, said_before):
    (result,) = bench.deliver(bench.word(kind=kind, said_before=said_before, age=timedelta(days=9).total_seconds()))
    assert result.delivered
    assert 1 == len(bench.texts)


@pytest.mark.parametrize("body", ["", "{", "[]", "7", '{"kind": 3}', '{"kind": "of-a-newer-version"}', "[" * 100_000])
def test_a_body_of_another_version_is_told_by_its_own_sentence(bench, body):
    (result,) = bench.deliver(bench.word(body=body))
    assert result.delivered
    assert "1.4.2 failed" in bench.texts[0]


def test_one_message_a_second_and_the_rest_in_their_turn(bench):
    words = [bench.word(f"prod/s{number}", commit=f"{number:040x}") for number in range(3)]
    bench.deliver(words[0])
    results = bench.deliver(*words[1:])
    assert all(not result.tried and result.retry_at > bench.clock.now() for result in results)
    assert 1 == len(bench.channel.posted)


def test_one_message_is_posted_before_what_became_of_it_is_written_down(bench):
    words = [bench.word(f"prod/s{number}", commit=f"{number:040x}") for number in range(3)]
    results = bench.deliver(*words, notifier=bench.notifier(bench.signed()))
    waits = (False, False, bench.clock.now())
    assert [(True, True, None), waits, waits] == [(each.delivered, each.tried, each.retry_at) for each in results]
    assert 1 == len(bench.channel.posted)


def test_what_was_sent_and_not_answered_is_in_doubt_and_comes_again_when_the_doubt_is_over(bench):
    bench.channel.answer(0)
    (result,) = bench.deliver(bench.word())
    assert (False, True) == (result.delivered, result.in_doubt)
    assert result.retry_at > bench.clock.now() + DOUBT


@pytest.mark.parametrize(("status", "in_doubt"), [(504, True), (502, True), (500, False), (429, False), (404, False)])
def test_an_answer_leaves_a_doubt_only_where_a_gateway_gave_it(bench, status, in_doubt):
    bench.channel.answer(status)
    (result,) = bench.deliver(bench.word())
    assert (False, in_doubt) == (result.delivered, result.in_doubt)


def test_who_never_answers_leaves_a_doubt_and_who_is_not_there_leaves_none(bench):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        (mute,) = bench.deliver(bench.word(), notifier=bench.notifier(url=url, timeout=0.2))
    bench.clock.advance(timedelta(hours=1))
    (gone,) = bench.deliver(bench.word(), notifier=bench.notifier(url=url))
    assert [(True, True), (True, False)] == [(each.tried, each.in_doubt) for each in (mute, gone)]


def test_a_limit_is_kept_by_every_replica_for_as_long_as_slack_asks(bench):
    bench.channel.answer(429, b"rate_limited", Retry_After="17")
    (result,) = bench.deliver(bench.word())
    assert bench.clock.now() + timedelta(seconds=18) == result.retry_at

    bench.clock.advance(timedelta(seconds=10))
    (waits,) = bench.deliver(bench.word(commit="b" * 40), notifier=bench.notifier())
    assert (False, result.retry_at) == (waits.tried, waits.retry_at)
    assert 1 == len(bench.channel.posted)


@pytest.mark.parametrize(
    ("status", "word", "said"),
    [
        (404, b"no_service", "Slack does not know the webhook (404 no_service)"),
        (403, b"invalid_token", "Slack does not let us post there (403 invalid_token)"),
        (410, b"channel_is_archived", "Slack has archived its channel (410 channel_is_archived)"),
        (302, b"", "its address sends us elsewhere (302)"),
    ],
)
def test_where_people_must_help_the_word_waits_and_the_log_says_what_to_do(bench, status, word, said):
    bench.channel.answer(status, word, Location="http://169.254.169.254/")
    (result,) = bench.deliver(bench.word())

    assert (False, True) == (result.delivered, result.tried)
    assert result.retry_at >= bench.clock.now() + timedelta(minutes=1)
    assert said in result.message
    assert 1 == len(bench.channel.posted)
    assert "notices wait" == bench.log.lines[0][0]


def test_a_message_that_slack_will_never_take_does_not_stand_in_the_way(bench):
    bench.channel.answer(400, b"invalid_payload")
    (result,) = bench.deliver(bench.word())
    assert (False, None) == (result.delivered, result.retry_at)

    bench.clock.advance(timedelta(seconds=1))
    assert bench.deliver(bench.word(commit="b" * 40))[0].delivered


@pytest.mark.parametrize(
    "answer", [(500, b"rollup_error"), (0, b""), (200, b"<!doctype html>sign in"), (503, b"x" * 80_000)]
)
def test_a_channel_that_is_away_is_tried_again(bench, answer):
    bench.channel.answer(*answer)
    word = bench.word()
    (result,) = bench.deliver(word)
    assert (False, True) == (result.delivered, result.tried)
    assert result.retry_at is not None

    bench.clock.advance(max(result.retry_at - bench.clock.now(), AGAIN))
    assert bench.deliver(replace(word, attempts=1))[0].delivered


def test_a_hostile_answer_is_not_passed_on(bench):
    bench.channel.answer(404, f"\x1b[2J{bench.channel.url} https://internal.example/".encode())
    (result,) = bench.deliver(bench.word())
    told = f"{result.message} {bench.log.lines}"
    assert "CANARY" not in told
    assert "http" not in told
    assert "\x1b" not in told


def test_no_word_of_the_address_is_said_whatever_happens(bench):
    for answer in [(404, b"no_service"), (500, b""), (0, b""), (301, b""), (429, b""), (400, b"no_text")]:
        bench.channel.answer(*answer)
        results = bench.deliver(bench.word())
        assert "CANARY" not in f"{results} {bench.log.lines}"
        bench.clock.advance(timedelta(hours=2))
    for url in [
        "https://hooks.slack.invalid/CANARY",
        "http://hooks.example.com/CANARY",
        "CANARY",
        "https://u:CANARY@h/",
    ]:
        results = bench.deliver(bench.word(), notifier=bench.notifier(url=url))
        assert not any(result.delivered for result in results)
        assert "CANARY" not in f"{results} {bench.log.lines}"
        assert "hooks." not in f"{results} {bench.log.lines}"
        bench.clock.advance(timedelta(hours=2))


def test_without_the_lease_nothing_is_posted(bench):
    bench.lease.checks_left = 0
    with pytest.raises(LeaseLost):
        bench.deliver(bench.word())
    assert [] == bench.channel.posted
