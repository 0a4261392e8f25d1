"""The whole way of notices: a real ledger, the outbox, the notifier, HTTP; only time is played."""

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

    assert 2 <= len(bench.texts) <= 3
    assert 1 == len(set(bench.texts))
    assert [] == road.left()
