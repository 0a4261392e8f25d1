"""Names that are finished at once share a transaction, and each gets its own answer."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError

from adapters.ledger.together import Together


def at_once(bench, *finishes):
    """The answers of all, given in one batch."""
    turn, waiting = bench.store._finishing._turn, bench.store._finishing
    with ThreadPoolExecutor(len(finishes)) as pool:
        with turn:
            answers = [pool.submit(bench.store.finish, due, again_at=again) for due, again in finishes]
            bench.until(lambda: len(waiting._waiting) == len(finishes))
        return [answer.result() for answer in answers]


def test_each_of_a_batch_gets_what_it_would_get_alone(bench, build):
    later = build.now + timedelta(hours=1)
    done, again, marked, lost = (bench.claim(f"fleet:prod/{name}") for name in ("done", "again", "marked", "lost"))
    bench.sql("UPDATE queue SET owner = 'somebody' WHERE key = 'fleet:prod/lost'")
    bench.store.add(["fleet:prod/marked"])

    assert [True, True, True, False] == at_once(bench, (done, None), (again, later), (marked, later), (lost, None))

    assert ["fleet:prod/again", "fleet:prod/lost", "fleet:prod/marked"] == bench.due_keys()
    assert ["fleet:prod/marked"] == [due.key for due in bench.store.claim("fleet", 9, build.lease)]
    bench.clock.advance(timedelta(hours=1))
    assert "fleet:prod/again" in [due.key for due in bench.store.claim("fleet", 9, build.lease)]


def test_a_batch_heeds_when_marks_wish_its_names(bench, build):
    soon, later = build.now + timedelta(seconds=10), build.now + timedelta(hours=1)
    gate, other = bench.claim("executions:gate"), bench.claim("executions:other")
    bench.store.add(["executions:gate", "executions:other"], due=soon)

    assert [True, True] == at_once(bench, (gate, later), (other, None))

    assert [] == bench.store.claim("executions", 9, build.lease)
    bench.clock.advance(timedelta(seconds=10))
    assert 2 == len(bench.store.claim("executions", 9, build.lease))


def test_a_batch_that_fails_fails_for_each_of_it():
    def run(items):
        raise OperationalError("DELETE", {}, Exception(f"{len(items)} items"))

    together = Together(run)

    with pytest.raises(OperationalError, match="1 items"):
        together.ask("one")


def test_whoever_comes_while_a_batch_runs_is_in_the_next():
    batches = []

    def run(items):
        batches.append(sorted(items))
        return [item * 2 for item in items]

    together = Together(run)
    with ThreadPoolExecutor(3) as pool:
        with together._turn:
            answers = [pool.submit(together.ask, item) for item in (1, 2, 3)]
            while len(together._waiting) < 3:
                pass
        assert [2, 4, 6] == [answer.result() for answer in answers]

    assert [[1, 2, 3]] == batches
