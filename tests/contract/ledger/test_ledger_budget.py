"""What a forge lets us write: windows that slide, rests, and replicas that share both."""

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest

from reconciler.ports import Turn, Window

ME = ("github.com token", "github.com acme/desired")
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
THREE = (Window(span=MINUTE, most=3), Window(span=HOUR, most=5))


def take(store, names=ME, windows=THREE):
    return store.take(names, windows)


def test_a_turn_is_given_while_there_is_room(bench):
    assert [Turn()] * 3 == [take(bench.store) for _ in range(3)]


def test_a_spent_minute_says_when_the_oldest_write_leaves_it(bench):
    first = bench.clock.now()
    for _ in range(3):
        take(bench.store)
        bench.clock.advance(SECOND)

    refused = take(bench.store)

    assert (first + MINUTE, "the forge takes no more writes for now") == (refused.wait_until, refused.why)


def test_room_comes_at_the_very_moment_that_was_named(bench):
    for _ in range(3):
        take(bench.store)
    named = take(bench.store).wait_until

    bench.clock.advance(named - bench.clock.now() - timedelta(microseconds=1))
    assert take(bench.store).wait_until is not None
    bench.clock.advance(timedelta(microseconds=1))

    assert take(bench.store).wait_until is None


def test_the_longer_window_counts_too(bench):
    first = bench.clock.now()
    for _ in range(5):
        assert take(bench.store).wait_until is None
        bench.clock.advance(MINUTE)

    assert first + HOUR == take(bench.store).wait_until


def test_a_refused_turn_is_not_counted(bench):
    for _ in range(9):
        take(bench.store)

    assert 3 == len(bench.rows()["forge_writes"])


def test_the_slots_are_the_times_at_which_turns_would_be_given(bench):
    for _ in range(2):
        take(bench.store)
        bench.clock.advance(SECOND)
    slots = bench.store.slots(ME, [THREE] * 6)

    taken = []
    for slot in slots:
        bench.clock.advance(max(slot - bench.clock.now() - timedelta(microseconds=1), timedelta()))
        early = slot > bench.clock.now() and take(bench.store).wait_until is None
        bench.clock.advance(slot - bench.clock.now())
        taken.append((early, take(bench.store).wait_until))

    assert [(False, None)] * 6 == taken
    assert sorted(slots) == list(slots)


def test_who_only_reads_is_told_of_rests_and_takes_no_room(bench):
    assert Turn() == bench.store.resting(ME)
    for _ in range(3):
        take(bench.store)
    assert Turn() == bench.store.resting(ME)
    until = bench.store.rest(ME[1], MINUTE, "it is away")

    assert Turn(wait_until=until, why="it is away") == bench.store.resting(ME)
    assert Turn() == bench.store.resting(ME[:1])
    bench.clock.advance(MINUTE)
    assert Turn(strikes=1) == bench.store.resting(ME)
    assert 3 == len(bench.rows()["forge_writes"])


def test_who_comes_with_narrower_windows_leaves_the_rest_to_others(bench):
    first, two = bench.clock.now(), (Window(span=MINUTE, most=2),)
    assert [True, True, False] == [take(bench.store, windows=two).wait_until is None for _ in range(3)]

    slots = bench.store.slots(ME, [THREE, two, two])

    assert [first, *[first + MINUTE] * 2] == list(slots)
    assert take(bench.store).wait_until is None


def test_replicas_share_one_budget(bench):
    stores = [bench.store, *(bench.another() for _ in range(3))]
    turns = []

    def take_some(store):
        turns.extend(take(store) for _ in range(5))

    threads = [threading.Thread(target=take_some, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert (3, 17) == (
        sum(turn.wait_until is None for turn in turns),
        sum(turn.wait_until is not None for turn in turns),
    )


def test_accounts_do_not_share_a_budget(bench):
    for _ in range(3):
        take(bench.store)

    assert take(bench.store, ("another token", ME[1])).wait_until is None


def test_a_rest_of_the_account_stops_all_its_repositories(bench):
    until = bench.another().rest(ME[0], 10 * MINUTE, "GitHub limits our pace")

    turn = take(bench.store, (ME[0], "github.com acme/other"))

    assert (bench.clock.now() + 10 * MINUTE, "GitHub limits our pace") == (until, turn.why)
    assert until == turn.wait_until
    assert [until] * 3 == list(bench.store.slots(ME, [THREE] * 3))


def test_a_rest_of_a_repository_stops_that_one_only(bench):
    bench.store.rest(ME[1], MINUTE, "there is no such repository")

    assert take(bench.store, (ME[0], "github.com acme/other")).wait_until is None
    assert take(bench.store).wait_until == bench.clock.now() + MINUTE


def test_a_rest_is_never_shortened_and_troubles_are_counted_until_one_write_succeeds(bench):
    longest = bench.store.rest(ME[0], 10 * MINUTE, "first")
    assert longest == bench.store.rest(ME[0], MINUTE, "second")
    assert "first" == take(bench.store).why

    bench.clock.advance(10 * MINUTE)
    assert 2 == take(bench.store).strikes
    bench.store.recover(ME)

    assert 0 == take(bench.store).strikes


@pytest.mark.parametrize(("days", "budgets", "writes"), [(0, 2, 1), (2, 2, 0), (31, 0, 0)])
def test_old_writes_and_unused_budgets_go(bench, days, budgets, writes):
    take(bench.store)
    bench.clock.advance(timedelta(days=days))

    bench.store.prune(bench.clock.now())

    assert (budgets, writes) == (len(bench.rows()["budgets"]), len(bench.rows()["forge_writes"]))


@contextmanager
def ahead(bench):
    """The database's clock is a day ahead while this is entered."""
    bench.clock.advance(timedelta(days=1))
    yield
    bench.clock.advance(-timedelta(days=1))


def test_writes_of_a_clock_that_was_ahead_for_a_moment_block_nobody(bench):
    with ahead(bench):
        for _ in range(3):
            take(bench.store)

    assert [Turn()] * 3 == [take(bench.store) for _ in range(3)]
    assert take(bench.store).wait_until == bench.clock.now() + MINUTE
    assert [bench.clock.now() + MINUTE] == list(bench.store.slots(ME, [THREE]))
    bench.store.prune(bench.clock.now())
    assert 3 == len(bench.rows()["forge_writes"])


def test_a_rest_of_a_clock_that_was_ahead_for_a_moment_ends(bench):
    with ahead(bench):
        bench.store.rest(ME[1], HOUR, "too many writes")

    assert bench.store.resting(ME).wait_until is None
    assert [bench.clock.now()] == list(bench.store.slots(ME, [THREE]))
    assert take(bench.store).wait_until is None
    assert 1 == take(bench.store).strikes
