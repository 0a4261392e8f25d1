"""Each fleet's log: append-only, and nobody edits it unnoticed (DESIGN 9)."""

from datetime import timedelta

import pytest

from reconciler.record import Event

NAME = "prod/checkout"


@pytest.fixture
def written(bench, build):
    """A fleet with five lines of history."""
    bench.declare("one", build.fleet())
    lease = bench.lease(f"fleet:{NAME}")
    record = bench.record()
    for number in range(1, 6):
        at = build.now + timedelta(days=number)
        line = Event(kind="number", message=f"line {number}", at=at, data={"n": number, "é": [1.5, None]})
        record = bench.store.save(lease, record, bench.result(record, events=(line,)))
    return bench


def test_history_is_told_newest_first(written, build):
    lines = written.store.history(NAME, 2)

    assert ["line 5", "line 4"] == [line.message for line in lines]
    assert {"n": 5, "é": [1.5, None]} == lines[0].data
    assert build.now + timedelta(days=5) == lines[0].at


def test_an_untouched_history_verifies(written):
    assert written.store.verify_history(NAME) is None
    assert written.store.verify_history("prod/never-seen") is None


@pytest.mark.parametrize(
    ("meddling", "first_bad"),
    [
        ("UPDATE events SET message = 'harmless' WHERE sequence = 3", 3),
        ("UPDATE events SET at = at + 1 WHERE sequence = 2", 2),
        ("UPDATE events SET data = '{}' WHERE sequence = 5", 5),
        ("DELETE FROM events WHERE sequence = 1", 1),
        ("DELETE FROM events WHERE sequence = 3", 3),
        ("DELETE FROM events WHERE sequence = 5", 5),
        ("DELETE FROM events", 1),
        ("UPDATE events SET sequence = sequence * 10 WHERE sequence = 4", 4),
        ("UPDATE events SET fleet = 'prod/other' WHERE sequence = 2", 2),
    ],
)
def test_meddling_is_found_where_it_began(written, meddling, first_bad):
    written.sql(meddling)

    assert first_bad == written.store.verify_history(NAME)


def test_fleets_have_chains_of_their_own(written, build):
    written.declare("two", build.fleet(), build.fleet("prod/search"))
    record = written.record("prod/search")
    line = Event(kind="number", message="theirs", at=build.now)
    written.store.save(written.lease("fleet:prod/search"), record, written.result(record, events=(line, line)))
    written.sql("UPDATE events SET message = 'x' WHERE fleet = 'prod/search'")

    assert written.store.verify_history(NAME) is None
    assert 1 == written.store.verify_history("prod/search")


def test_a_pruned_history_still_verifies(written, build):
    written.store.prune(build.now + timedelta(days=403))

    assert ["line 5", "line 4", "line 3"] == [line.message for line in written.store.history(NAME, 9)]
    assert written.store.verify_history(NAME) is None

    written.sql("DELETE FROM events WHERE sequence = 3")
    assert 3 == written.store.verify_history(NAME)


def test_a_history_goes_on_after_all_of_it_was_pruned(written, build):
    written.store.prune(build.now + timedelta(days=4000))
    assert [] == written.store.history(NAME, 9)
    written.clock.advance(build.lease)
    record = written.record()
    line = Event(kind="number", message="line 6", at=build.now)

    written.store.save(written.lease(f"fleet:{NAME}"), record, written.result(record, events=(line,)))

    assert written.store.verify_history(NAME) is None
