"""A word that may reach the forge late never stays there: the newest one is told once more, and only once."""

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.ledger.statuses import put
from adapters.ledger.telling import DOUBT
from reconciler.ports import Delivery, LeaseLost
from reconciler.record import State

KEY = "statuses:main"
SECOND = timedelta(seconds=1)


@pytest.fixture
def say(bench, build):
    """Say a word, by somebody else than who tells."""

    def say(state):
        with bench.store._database.writing() as connection:
            put(connection, [build.status(state=state)], bench.clock.now())

    return say


def tell(bench, lease, **changes):
    """Take up what waits and settle it as delivered, but for the changes; gives the words."""
    words = bench.store.undelivered("main", 50)
    bench.store.take_up(lease, words)
    results = [Delivery(id=each.id, sequence=each.sequence, delivered=True) for each in words]
    bench.store.settle(lease, [replace(each, **changes) for each in results])
    return [each.status.state for each in words]


def told_until_none_waits(bench):
    """Each word that is told from now on, and when."""
    told, begun = [], bench.clock.now()
    while (at := bench.store.next_telling("main")) is not None:
        bench.clock.advance(max(at - bench.clock.now(), timedelta()))
        lease = bench.lease(KEY)
        told += [(state.value, bench.clock.now() - begun) for state in tell(bench, lease)]
        bench.clock.advance(timedelta(seconds=30))  # nobody gives the name back: the lease runs out
        assert len(told) < 9
    return told


def test_a_word_that_is_told_and_settled_is_told_once(bench, say):
    say(State.SUCCESS)

    assert [("success", timedelta())] == told_until_none_waits(bench)


def test_what_a_dead_deliverer_had_in_hand_is_told_once_more_after_it_could_have_arrived(bench, build, say):
    say(State.PENDING)
    bench.store.take_up(bench.lease(KEY), bench.store.undelivered("main", 50))
    say(State.SUCCESS)
    bench.clock.advance(build.lease)

    assert [("success", timedelta()), ("success", DOUBT)] == told_until_none_waits(bench)


def test_a_time_out_is_followed_by_one_repetition(bench, build, say):
    say(State.PENDING)
    lease = bench.lease(KEY)
    tell(bench, lease, delivered=False, retry_at=bench.clock.now() + SECOND, in_doubt=True)
    say(State.SUCCESS)
    bench.clock.advance(build.lease)

    assert [("success", timedelta()), ("success", DOUBT - build.lease)] == told_until_none_waits(bench)


def test_a_word_that_is_told_after_its_doubt_is_not_repeated(bench, say):
    say(State.SUCCESS)
    later = bench.clock.now() + 2 * DOUBT
    tell(bench, bench.lease(KEY), delivered=False, retry_at=later, in_doubt=True)

    assert [("success", 2 * DOUBT)] == told_until_none_waits(bench)


def test_an_answer_that_comes_after_the_lease_has_gone_lets_the_newest_word_be_told_again_at_once(bench, build, say):
    say(State.PENDING)
    late = bench.lease(KEY)
    (old,) = bench.store.undelivered("main", 50)
    bench.store.take_up(late, [old])
    bench.clock.advance(build.lease)
    say(State.SUCCESS)
    told_until_none_waits(bench)

    with pytest.raises(LeaseLost):
        bench.store.settle(late, [Delivery(id=old.id, sequence=old.sequence, delivered=True)])

    assert KEY in bench.due_keys()
    assert [("success", timedelta())] == told_until_none_waits(bench)


def test_a_time_out_after_the_lease_has_gone_is_followed_by_a_repetition_too(bench, build, say):
    say(State.SUCCESS)
    late = bench.lease(KEY)
    (word,) = bench.store.undelivered("main", 50)
    bench.clock.advance(build.lease)
    told_until_none_waits(bench)
    lost = Delivery(id=word.id, sequence=word.sequence, delivered=False, retry_at=bench.clock.now(), in_doubt=True)

    with pytest.raises(LeaseLost):
        bench.store.settle(late, [lost])

    assert [("success", DOUBT)] == told_until_none_waits(bench)


def test_a_late_answer_to_the_newest_word_repeats_nothing(bench, build, say):
    say(State.SUCCESS)
    late = bench.lease(KEY)
    (word,) = bench.store.undelivered("main", 50)
    bench.clock.advance(build.lease)
    told_until_none_waits(bench)

    with pytest.raises(LeaseLost):
        bench.store.settle(late, [Delivery(id=word.id, sequence=word.sequence, delivered=True)])

    assert bench.store.next_telling("main") is None


def test_who_has_no_lease_takes_up_nothing(bench, build, say):
    say(State.SUCCESS)
    words, lease = bench.store.undelivered("main", 50), bench.lease(KEY)
    bench.clock.advance(build.lease)

    with pytest.raises(LeaseLost):
        bench.store.take_up(lease, words)

    assert [("success", timedelta())] == told_until_none_waits(bench)


def test_settling_what_was_left_to_the_roll_up_forgets_nothing_that_another_had_in_hand(bench, build, say):
    say(State.SUCCESS)
    bench.store.take_up(bench.lease(KEY), bench.store.undelivered("main", 50))
    bench.clock.advance(build.lease)
    lease = bench.lease(KEY)
    begun = bench.store.take_up(lease, [])

    bench.store.settle(lease, [Delivery(id=9, sequence=1, delivered=False, message="left to the roll-up")])

    (word,) = bench.store.undelivered("main", 50)
    assert word.said_before
    tell(bench, lease)
    assert begun + DOUBT == bench.store.next_telling("main")


def test_the_commit_that_a_tag_meant_at_first_stays_with_the_place(bench, say):
    say(State.PENDING)

    tell(bench, bench.lease(KEY), told_on="ab" * 20)
    say(State.SUCCESS)

    assert ["ab" * 20] == [word.told_on for word in bench.store.undelivered("main", 50)]


def test_since_when_a_commit_is_missing_is_known_until_a_word_stands_there(bench, build, say):
    say(State.PENDING)
    begun, lease = bench.clock.now(), bench.lease(KEY)
    missing = {"delivered": False, "absent": True}

    def told(**changes):
        tell(bench, lease, **{"retry_at": bench.clock.now(), **changes})
        say(State.FAILURE if bench.store.undelivered("main", 1) == [] else State.SUCCESS)
        return [word.absent_since for word in bench.store.undelivered("main", 50)]

    assert [begun] == told(**missing)
    bench.clock.advance(SECOND)
    assert [begun] == told(**missing), "it is counted from the first time"
    assert [begun] == told(delivered=False), "trouble says nothing about the commit"
    assert [None] == told(delivered=True)
