"""Words for what the settings do not name: left to who knows a new name, and given up where nobody does."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.outbox import GIVEN_UP, STALE, Outbox
from reconciler.ports import Delivery
from reconciler.record import CommitStatus, Medium, State

CHANNEL, KEY = "notify-payments", "notices:notify-payments"


class Channel:
    """Takes every word."""

    def __init__(self):
        self.told = []

    def deliver(self, lease, statuses, now):
        self.told += [each.status.description for each in statuses]
        return [Delivery(id=each.id, sequence=each.sequence, delivered=True) for each in statuses]


def say(rig, build, text="failed", **changes):
    rig.ledger.add(["fleet:prod/checkout"])
    (due,) = rig.ledger.claim("fleet", 1, timedelta(seconds=30))
    word = CommitStatus(
        repository=CHANNEL,
        commit=build.sha("one"),
        context="prod/checkout",
        state=State.FAILURE,
        description=text,
        at=rig.clock.now(),
        medium=Medium.NOTICE,
        body="{}",
    )
    rig.ledger.say(due.lease, [replace(word, **changes)])
    rig.ledger.finish(due)


def run(rig, outbox):
    """One claim of the name, if it is due; gives when it is due again."""
    again_at = None
    for due in rig.ledger.claim("notices", 1, timedelta(seconds=30)):
        again_at = outbox.run(CHANNEL, due.lease)
        rig.ledger.finish(due, again_at=again_at)
    return again_at


def fate(rig, build):
    (told,) = rig.ledger.told(CHANNEL, build.sha("one"))
    return told


def test_a_replica_that_does_not_know_a_new_channel_leaves_its_words_to_one_that_does(rig, build):
    channel, strange = Channel(), Outbox(rig.ledger, {})
    say(rig, build)

    again_at = run(rig, strange)
    rig.ledger.add([KEY])
    run(rig, Outbox(rig.ledger, {CHANNEL: channel}))

    assert ["failed"] == channel.told
    assert again_at - rig.clock.now() <= timedelta(seconds=5)


def test_the_longer_nobody_knows_it_the_rarer_it_is_looked_at(rig, build):
    say(rig, build, medium=Medium.STATUS)
    outbox, began, looks = Outbox(rig.ledger, {}), rig.clock.now(), 0

    while rig.clock.now() < began + timedelta(days=10):
        rig.clock.advance(run(rig, outbox) - rig.clock.now())
        looks += 1

    assert looks < 300
    assert ("waiting", "the settings name no notify-payments") == (fate(rig, build).fate, fate(rig, build).why)


@pytest.mark.parametrize(("medium", "longest"), [(Medium.NOTICE, STALE), (Medium.STATUS, GIVEN_UP)])
def test_what_nobody_took_for_long_is_given_up_with_the_reason_and_goes_in_its_time(medium, longest, rig, build):
    say(rig, build, medium=medium)
    outbox = Outbox(rig.ledger, {})
    run(rig, outbox)
    rig.clock.advance(longest - timedelta(hours=1))
    run(rig, outbox)
    assert "waiting" == fate(rig, build).fate
    rig.clock.advance(timedelta(hours=1, seconds=1))

    assert run(rig, outbox) is None
    hours = longest // timedelta(hours=1)
    assert ("refused", f"given up after {hours} hours: the settings name no notify-payments") == (
        fate(rig, build).fate,
        fate(rig, build).why,
    )
    assert {} == rig.ledger.figures().undelivered
    assert [] == rig.ledger.outlets()

    rig.clock.advance(timedelta(days=90))
    rig.ledger.prune(rig.clock.now())
    assert [] == rig.ledger.told(CHANNEL, build.sha("one"))


def test_a_newer_word_of_a_channel_that_came_back_is_told(rig, build):
    say(rig, build)
    rig.clock.advance(STALE + timedelta(seconds=1))
    run(rig, Outbox(rig.ledger, {}))
    channel = Channel()

    say(rig, build, "failed again")
    run(rig, Outbox(rig.ledger, {CHANNEL: channel}))

    assert ["failed again"] == channel.told
