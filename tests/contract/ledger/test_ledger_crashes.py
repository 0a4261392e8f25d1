"""Real processes, ended for real: nothing that was committed is lost, no half pass is left (DESIGN 3, rule 4)."""

import signal
from datetime import timedelta

import pytest

NAME = "prod/checkout"


@pytest.fixture
def fleet(bench, build):
    """A fleet that is due, at the host's own time."""
    bench.catch_up()
    bench.declare("one", build.fleet())
    return bench


def counts(bench):
    """How often each part of a pass was written."""
    rows = bench.rows("intents", "events", "statuses")
    sequence = max((row[8] for row in rows["statuses"]), default=0)
    return {bench.record().memory.preemptions, len(rows["intents"]), len(rows["events"]), sequence}


@pytest.mark.parametrize("after", [1, 4, 17])
def test_a_killed_process_leaves_whole_passes_and_loses_none(fleet, after):
    child = fleet.child("passes")
    said = [int(child.stdout.readline()) for _ in range(after)]
    child.kill()
    last = [*said, *map(int, child.stdout)][-1]  # `communicate` would pass over lines that are read ahead

    written = counts(fleet)

    assert 1 == len(written), "every table tells of the same number of passes"
    assert written.pop() in {last, last + 1}, "what it told us was there, at most the one under way more"
    assert fleet.store.verify_history(NAME) is None


def test_a_process_killed_inside_its_transaction_wrote_nothing(fleet):
    before = fleet.rows("fleets", "intents", "events", "statuses", "chains", "requests")
    child = fleet.child("dies_inside")

    assert "inside\n" == child.communicate(timeout=60)[0]

    assert -signal.SIGKILL == child.returncode
    assert before == fleet.rows("fleets", "intents", "events", "statuses", "chains", "requests")
    assert [f"fleet:{NAME}"] == [key for key in fleet.due_keys() if key.startswith("fleet:")]


def test_what_a_killed_process_held_is_taken_over_after_its_lease(fleet):
    child = fleet.child("passes")
    child.stdout.readline()
    child.kill()
    child.communicate(timeout=60)
    fleet.catch_up()
    assert [] == fleet.store.claim("fleet", 1, timedelta(seconds=30))

    fleet.clock.advance(timedelta(minutes=5))

    assert [f"fleet:{NAME}"] == [due.key for due in fleet.store.claim("fleet", 1, timedelta(seconds=30))]


@pytest.mark.parametrize("taken_over", [False, True])
def test_a_process_stopped_past_its_lease_acts_and_writes_no_more(fleet, build, taken_over):
    child = fleet.child("stopped")
    assert "claimed\n" == child.stdout.readline()
    child.send_signal(signal.SIGSTOP)
    began = fleet.system.monotonic()
    while fleet.system.monotonic() - began < 1.05:
        fleet.store.wait(0.1)
    if taken_over:
        fleet.catch_up()
        assert fleet.store.claim("fleet", 1, build.lease)
    before = fleet.rows()

    child.send_signal(signal.SIGCONT)

    assert "did not act\ndid not write\nFalse\n" == child.communicate("go\n", timeout=60)[0]
    assert before == fleet.rows()
