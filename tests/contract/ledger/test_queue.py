"""The work queue, on every engine (DESIGN 6; the properties of `reconciler.ports.Queue`)."""

import threading
from datetime import timedelta

import pytest

from reconciler.ports import LeaseLost

SECOND = timedelta(seconds=1)


def keys(claimed):
    return [due.key for due in claimed]


def test_a_name_added_twice_is_claimed_once(bench, build):
    bench.store.add(["fleet:prod/checkout", "fleet:prod/checkout"])
    bench.store.add(["fleet:prod/checkout"])

    assert ["fleet:prod/checkout"] == keys(bench.store.claim("fleet", 10, build.lease))
    assert [] == bench.store.claim("fleet", 10, build.lease)


def test_a_finished_name_is_gone(bench, build):
    due = bench.claim("fleet:prod/checkout")

    assert bench.store.finish(due)
    assert [] == bench.due_keys()


def test_a_name_keeps_its_earliest_due_time(bench, build):
    bench.store.add(["fleet:prod/checkout"], due=build.now + 10 * SECOND)
    bench.store.add(["fleet:prod/checkout"], due=build.now + 60 * SECOND)
    assert [] == bench.store.claim("fleet", 1, build.lease)

    bench.clock.advance(10 * SECOND)

    assert ["fleet:prod/checkout"] == keys(bench.store.claim("fleet", 1, build.lease))


def test_adding_brings_a_later_name_forward(bench, build):
    bench.store.add(["fleet:prod/checkout"], due=build.now + 60 * SECOND)
    bench.store.add(["fleet:prod/checkout"])

    assert ["fleet:prod/checkout"] == keys(bench.store.claim("fleet", 1, build.lease))


def test_a_name_marked_while_it_runs_is_due_at_once_when_it_finishes(bench, build):
    due = bench.claim("fleet:prod/checkout")
    bench.store.add(["fleet:prod/checkout"])
    assert [] == bench.store.claim("fleet", 1, build.lease), "it must not run twice at once"

    assert bench.store.finish(due)

    assert ["fleet:prod/checkout"] == keys(bench.store.claim("fleet", 1, build.lease))


def test_a_mark_outweighs_the_time_that_the_runner_asked_for(bench, build):
    due = bench.claim("fleet:prod/checkout")
    bench.store.add(["fleet:prod/checkout"])

    assert bench.store.finish(due, again_at=build.now + 60 * SECOND)

    assert ["fleet:prod/checkout"] == keys(bench.store.claim("fleet", 1, build.lease))


@pytest.mark.parametrize("again", [None, 60])
def test_a_name_marked_for_later_while_it_runs_is_due_then_and_not_before(bench, build, again):
    due = bench.claim("executions:gate")
    bench.store.add(["executions:gate"], due=build.now + 20 * SECOND)
    bench.store.add(["executions:gate"], due=build.now + 10 * SECOND)

    assert bench.store.finish(due, again_at=again and build.now + again * SECOND)

    assert [] == bench.store.claim("executions", 1, build.lease)
    bench.clock.advance(10 * SECOND)
    assert ["executions:gate"] == keys(bench.store.claim("executions", 1, build.lease))


def test_a_failed_name_marked_for_later_is_due_then(bench, build):
    due = bench.claim("executions:gate")
    bench.store.add(["executions:gate"], due=build.now + 10 * SECOND)

    bench.store.fail(due, again_at=build.now + 60 * SECOND)

    assert [] == bench.store.claim("executions", 1, build.lease)
    bench.clock.advance(10 * SECOND)
    assert ["executions:gate"] == keys(bench.store.claim("executions", 1, build.lease))


def test_a_mark_for_later_puts_nothing_off(bench, build):
    due = bench.claim("executions:gate")
    bench.store.add(["executions:gate"], due=build.now + 60 * SECOND)

    assert bench.store.finish(due, again_at=build.now + 10 * SECOND)

    bench.clock.advance(10 * SECOND)
    assert ["executions:gate"] == keys(bench.store.claim("executions", 1, build.lease))


def test_a_mark_for_later_does_not_put_off_who_takes_over(bench, build):
    bench.claim("executions:gate")
    bench.store.add(["executions:gate"], due=build.now + timedelta(hours=1))

    bench.clock.advance(build.lease)

    assert ["executions:gate"] == keys(bench.another().claim("executions", 1, build.lease))


def test_an_unmarked_name_comes_again_when_it_asked_to(bench, build):
    due = bench.claim("fleet:prod/checkout")
    assert bench.store.finish(due, again_at=build.now + 60 * SECOND)
    assert [] == bench.store.claim("fleet", 1, build.lease)

    bench.clock.advance(60 * SECOND)

    assert ["fleet:prod/checkout"] == keys(bench.store.claim("fleet", 1, build.lease))


def test_claims_come_in_batches_earliest_due_first(bench, build):
    for late, name in enumerate(["prod/c", "prod/a", "prod/b"]):
        bench.store.add([f"fleet:{name}"], due=build.now + late * SECOND)
    bench.clock.advance(3 * SECOND)

    assert ["fleet:prod/c", "fleet:prod/a"] == keys(bench.store.claim("fleet", 2, build.lease))
    assert ["fleet:prod/b"] == keys(bench.store.claim("fleet", 2, build.lease))


def test_a_family_never_claims_names_of_another(bench, build):
    bench.store.add(["fleet:main", "fleets:main", "statuses:main"])

    assert ["statuses:main"] == keys(bench.store.claim("statuses", 10, build.lease))
    assert ["fleet:main"] == keys(bench.store.claim("fleet", 10, build.lease))
    assert [] == bench.store.claim("f", 10, build.lease)


def test_a_limit_of_nothing_claims_nothing(bench, build):
    bench.store.add(["fleet:prod/checkout"])

    assert [] == bench.store.claim("fleet", 0, build.lease)


def test_a_name_without_a_family_is_refused(bench):
    with pytest.raises(ValueError, match="write family:name"):
        bench.store.add(["checkout"])


def test_failures_are_counted_and_forgotten_on_success(bench, build):
    due = bench.claim("fleet:prod/checkout")
    assert 0 == due.attempts
    assert bench.store.fail(due, again_at=build.now + SECOND)
    bench.clock.advance(SECOND)
    again = bench.store.claim("fleet", 1, build.lease)[0]
    assert 1 == again.attempts

    bench.store.finish(again, again_at=bench.clock.now())

    assert 0 == bench.store.claim("fleet", 1, build.lease)[0].attempts


def test_a_failed_name_waits_for_its_time_unless_it_was_marked(bench, build):
    quiet, marked = bench.claim("fleet:prod/quiet"), bench.claim("fleet:prod/marked")
    bench.store.add(["fleet:prod/marked"])

    bench.store.fail(quiet, again_at=build.now + 60 * SECOND)
    bench.store.fail(marked, again_at=build.now + 60 * SECOND)

    assert ["fleet:prod/marked"] == keys(bench.store.claim("fleet", 10, build.lease))


def test_another_owner_takes_over_when_the_lease_has_run_out(bench, build):
    bench.claim("fleet:prod/checkout")
    other = bench.another()
    bench.clock.advance(build.lease - SECOND)
    assert [] == other.claim("fleet", 1, build.lease)

    bench.clock.advance(SECOND)

    assert ["fleet:prod/checkout"] == keys(other.claim("fleet", 1, build.lease))


@pytest.mark.parametrize("taken_over", [False, True])
def test_an_owner_whose_lease_ran_out_changes_nothing(bench, build, taken_over):
    stale = bench.claim("fleet:prod/checkout")
    bench.clock.advance(build.lease)
    if taken_over:
        bench.another().claim("fleet", 1, build.lease)
    before = bench.rows("queue")

    assert not bench.store.finish(stale)
    assert not bench.store.finish(stale, again_at=build.now)
    assert not bench.store.fail(stale, again_at=build.now)
    assert not bench.store.renew(stale, build.lease)
    assert before == bench.rows("queue")


def test_finishing_twice_is_refused_the_second_time(bench, build):
    due = bench.claim("fleet:prod/checkout")

    assert bench.store.finish(due, again_at=build.now)
    assert not bench.store.finish(due, again_at=build.now)


def test_a_lease_that_is_another_ones_is_lost_at_the_next_heartbeat(bench, build):
    due = bench.claim("statuses:main")
    bench.sql("UPDATE queue SET owner = 'another'")
    due.lease.check()

    assert not bench.store.renew(due, build.lease)

    with pytest.raises(LeaseLost):
        due.lease.check()


def test_a_renewed_lease_keeps_others_out_and_lets_its_owner_act(bench, build):
    due = bench.claim("fleet:prod/checkout")
    bench.clock.advance(build.lease - SECOND)
    with pytest.raises(LeaseLost):
        due.lease.check()

    assert bench.store.renew(due, build.lease)

    due.lease.check()
    bench.clock.advance(build.lease - 3 * SECOND)
    due.lease.check()
    assert [] == bench.another().claim("fleet", 1, build.lease)
    assert bench.store.finish(due)


def test_a_lease_lets_nobody_act_in_its_last_two_seconds(bench):
    due = bench.claim("fleet:prod/checkout")
    bench.clock.advance(timedelta(seconds=28))
    due.lease.check()

    bench.clock.advance(timedelta(milliseconds=1))

    with pytest.raises(LeaseLost, match="fleet:prod/checkout"):
        due.lease.check()


def test_a_short_lease_keeps_a_tenth_as_its_margin(bench):
    bench.store.add(["fleet:prod/checkout"])
    due = bench.store.claim("fleet", 1, timedelta(seconds=5))[0]
    bench.clock.advance(timedelta(seconds=4.5))
    due.lease.check()

    bench.clock.advance(timedelta(milliseconds=1))

    with pytest.raises(LeaseLost):
        due.lease.check()


def test_owners_differ_from_claim_to_claim(bench, build):
    bench.store.add(["fleet:prod/a", "fleet:prod/b"])
    first, second = (bench.store.claim("fleet", 1, build.lease)[0] for _ in range(2))

    assert first.lease.owner != second.lease.owner


# ── sleeping ──


def sleeper(bench, seconds=20.0):
    """A thread that has looked, and sleeps; and the event that it is awake again."""
    looked, awake = threading.Event(), threading.Event()

    def run():
        bench.store.claim("fleet", 1, timedelta(seconds=1))
        looked.set()
        bench.store.wait(seconds)
        awake.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert looked.wait(10)
    return thread, awake


def test_adding_wakes_a_sleeper_of_the_same_process(bench):
    waits = []
    for _ in range(3):
        thread, awake = sleeper(bench)
        began = bench.system.monotonic()
        bench.store.add(["fleet:prod/checkout"], due=bench.clock.now() + timedelta(hours=1))
        assert awake.wait(10)
        thread.join()
        waits.append(bench.system.monotonic() - began)

    assert min(waits) < 0.25, "polling alone takes half a second"


def test_nobody_sleeps_past_the_time_that_something_is_due(bench):
    waits = []
    for number in range(3):
        bench.store.add([f"fleet:prod/{number}"], due=bench.clock.now() + timedelta(milliseconds=50))
        bench.store.claim("fleet", 1, timedelta(seconds=1))
        began = bench.system.monotonic()
        bench.store.wait(20.0)
        waits.append(bench.system.monotonic() - began)
        bench.clock.advance(timedelta(milliseconds=50))
        bench.store.claim("fleet", 10, timedelta(seconds=1))

    assert min(waits) < 0.4, "polling alone takes half a second"


def test_names_that_nobody_can_take_do_not_keep_a_thread_awake(bench):
    bench.hear_others()
    bench.store.add([f"fleet:prod/{number}" for number in range(3)])
    bench.store.claim("fleet", 1, timedelta(seconds=30))
    began = bench.system.monotonic()

    for _ in range(3):
        bench.store.wait(0.1)

    assert bench.system.monotonic() - began >= 0.29


# ── processes ──


def test_processes_that_claim_at_once_never_share_a_name(bench):
    names = {f"fleet:prod/{number}" for number in range(150)}
    bench.catch_up()
    bench.store.add(names)
    children = [bench.child("claims") for _ in range(2)]
    assert ["ready\n"] * 2 == [child.stdout.readline() for child in children]

    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    claimed = [child.communicate(timeout=60)[0].split() for child in children]

    assert len(names) == sum(map(len, claimed))
    assert names == set().union(*claimed)


def test_what_another_process_added_is_seen(bench, build):
    bench.catch_up()

    assert "added\n" == bench.child("adds").communicate(timeout=60)[0]
    bench.catch_up()

    assert ["fleet:prod/added"] == keys(bench.store.claim("fleet", 10, build.lease))
