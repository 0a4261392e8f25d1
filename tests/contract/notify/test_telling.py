"""The whole way of notices: a real ledger, the outbox, the notifier, HTTP; only time is played."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.outbox import Outbox

LEASE, COMMIT = timedelta(seconds=30), "a" * 40


class Road:
    """What controllers do for notices, at the moments at which it is due."""

    def __init__(self, bench):
        self.bench, self.clock, self.store = bench, bench.clock, bench.store

    def say(self, *words):
        self.store.add(["rollup:main"])
        (due,) = self.store.claim("rollup", 1, LEASE)
        self.store.say(due.lease, [word.status for word in words])
        self.store.finish(due)

    def run(self, minutes=10, replicas=1, notifier=None):
        notifiers = [notifier or self.bench.notifier() for _ in range(replicas)]
        until = self.clock.now() + timedelta(minutes=minutes)
        turn = 0
        while self.clock.now() < until:
            for due in self.store.claim("notices", 1, LEASE):
                teller, turn = notifiers[turn % replicas], turn + 1
                outbox = Outbox(self.store, {"notify-payments": teller})
                self.store.finish(due, again_at=outbox.run("notify-payments", due.lease))
            self.clock.advance(timedelta(seconds=1))

    def left(self):
        return self.store.undelivered("notify-payments", 1000)


@pytest.fixture
def road(bench):
    return Road(bench)


def crowd(bench, kind="failed", count=50, **more):
    return [bench.word(f"prod/service-{number:02}", kind, COMMIT, age=0, **more) for number in range(count)]


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_commit_that_fails_fifty_fleets_is_told_in_one_message_and_so_is_its_end(road, bench, replicas):
    road.say(*crowd(bench))
    road.run(replicas=replicas)
    road.say(*crowd(bench, "resolved", description="1.4.3 on 2/2 units"))
    road.run(replicas=replicas)

    assert ["*Failed: 50 fleets*", "*Resolved: 50 fleets*"] == [text.partition("* ")[0] + "*" for text in bench.texts]
    assert [] == road.left()


def test_fleets_that_fail_one_after_the_other_are_few_messages(road, bench):
    for word in crowd(bench):
        road.say(replace(word, status=replace(word.status, at=bench.clock.now())))
        road.run(minutes=0.05)
    road.run()
    assert len(bench.texts) <= 4 + 5
    assert all(word in " ".join(bench.texts) for word in ("service-00", "fleets"))
    assert [] == road.left()


def test_what_was_over_before_the_channel_was_there_again_is_told_to_nobody(road, bench):
    bench.channel.usual = (503, {}, b"")
    road.say(bench.word(age=0))
    road.run()
    refused = len(bench.channel.posted)
    road.say(bench.word(kind="resolved", age=0))
    bench.channel.usual = (200, {}, b"ok")
    road.run(minutes=15)

    told = [posted.json["text"] for posted in bench.channel.posted[refused:]]
    assert [] == [text for text in told if "Failed" in text]
    assert [] == road.left()


def test_a_trouble_that_slack_could_not_take_for_a_day_is_told_once_it_can_and_its_end_after_it(road, bench):
    bench.channel.usual = (503, {}, b"")
    road.say(bench.word(age=0))
    road.run(minutes=1)
    bench.clock.advance(timedelta(days=2))
    bench.channel.usual = (200, {}, b"ok")
    refused = len(bench.channel.posted)
    road.run(minutes=1)
    road.say(bench.word(kind="resolved", age=0))
    road.run(minutes=1)

    told = [posted.json["text"].partition("* ")[0] for posted in bench.channel.posted[refused:]]
    assert ["*Failed", "*Resolved"] == told
    assert [] == road.left()


def test_the_end_of_what_may_have_been_told_is_told(road, bench):
    bench.channel.answer(0)  # it is taken, and the answer is lost
    road.say(bench.word(age=60))
    road.run(minutes=1 / 60)
    road.say(bench.word(kind="resolved", age=60))
    road.run()
    assert ["*Failed", "*Resolved"] == list(dict.fromkeys(text.partition("* ")[0] for text in bench.texts))
    assert [] == road.left()


def test_what_comes_again_though_it_was_taken_comes_once_and_under_its_id(road, bench):
    bench.channel.answer(0)
    road.say(bench.word(age=60))
    road.run(notifier=bench.notifier(bench.signed()))
    first, again = (posted.headers["webhook-id"] for posted in bench.channel.posted)
    assert first == again
    assert [] == road.left()


def test_a_crash_repeats_one_message_under_its_id_though_others_come_meanwhile(road, bench):
    notifier = bench.notifier(bench.signed())

    class Dying:
        def deliver(self, lease, words, now):
            results = notifier.deliver(lease, words, now)
            if 2 == len(bench.channel.posted):
                raise SystemExit
            return results

    road.say(*[bench.word(f"prod/early-{number}", age=60) for number in range(4)])
    with pytest.raises(SystemExit):
        road.run(notifier=Dying())
    posted = {each.json["data"]["fleets"][0]["fleet"]: each.headers["webhook-id"] for each in bench.channel.posted}
    _, last = posted
    road.say(*[bench.word(f"prod/later-{number}", age=60) for number in range(6)])
    road.clock.advance(LEASE + timedelta(seconds=1))
    road.run(notifier=notifier)

    ids = Counter(each.headers["webhook-id"] for each in bench.channel.posted)
    names = Counter(fleet["fleet"] for each in bench.channel.posted for fleet in each.json["data"]["fleets"])
    assert {last: 2} == {name: count for name, count in names.items() if count > 1}
    assert (10, 2) == (len(names), ids[posted[last]])
    assert [] == road.left()


def test_who_dies_in_the_moment_of_sending_tells_it_once_more_and_loses_nothing(road, bench):
    notifier = bench.notifier()

    class Dying:
        def deliver(self, lease, words, now):
            notifier.deliver(lease, words, now)
            raise SystemExit

    road.say(bench.word(age=60))
    (due,) = road.store.claim("notices", 1, LEASE)
    with pytest.raises(SystemExit):
        Outbox(road.store, {"notify-payments": Dying()}).run("notify-payments", due.lease)
    road.clock.advance(LEASE + timedelta(seconds=1))
    road.run()

    assert (2, 1) == (len(bench.texts), len(set(bench.texts)))
    assert [] == road.left()
