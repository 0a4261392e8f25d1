"""The outbox: nothing is lost, nothing is said twice, the newest word wins (DESIGN 5)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from adapters.ledger import statuses
from reconciler.ports import Delivery
from reconciler.record import State


@pytest.fixture
def lease(bench):
    return bench.lease("statuses:main")


def waiting(bench, limit=50):
    return bench.store.undelivered("main", limit)


def told(bench):
    return [item.status.description for item in waiting(bench)]


def delivered(item, **changes):
    return replace(Delivery(id=item.id, sequence=item.sequence, delivered=True), **changes)


def test_a_word_waits_until_it_is_delivered(bench, build, lease):
    bench.store.say(lease, [build.status()])
    assert [build.status()] == [item.status for item in waiting(bench)]

    bench.store.settle(lease, [delivered(item) for item in waiting(bench)])

    assert [] == waiting(bench)


def test_the_same_meaning_is_not_said_again(bench, build, lease):
    bench.store.say(lease, [build.status()])
    bench.store.settle(lease, [delivered(item) for item in waiting(bench)])
    before = bench.rows()

    bench.store.say(lease, [build.status(at=build.now + timedelta(hours=1))])

    assert [] == waiting(bench)
    assert before == bench.rows()


@pytest.mark.parametrize(
    "change", [{"state": State.SUCCESS}, {"description": "wave 2 of 2"}, {"target_url": "https://fairlead.example.com"}]
)
def test_another_meaning_is_a_new_word(bench, build, lease, change):
    bench.store.say(lease, [build.status()])
    first = waiting(bench)[0]
    bench.store.settle(lease, [delivered(first)])
    assert not first.said_before

    bench.store.say(lease, [build.status(**change)])

    second = waiting(bench)[0]
    assert (first.id, first.sequence + 1, True) == (second.id, second.sequence, second.said_before)


def test_only_the_newest_word_waits(bench, build, lease):
    for number in range(3):
        bench.store.say(lease, [build.status(description=f"wave {number}")])

    assert ["wave 2"] == told(bench)


def test_the_last_of_two_words_in_one_breath_counts(bench, build, lease):
    bench.store.say(lease, [build.status(description="first"), build.status(description="second")])

    assert ["second"] == told(bench)


def test_delivering_an_older_word_leaves_the_newer_one_waiting(bench, build, lease):
    bench.store.say(lease, [build.status()])
    sent = waiting(bench)[0]
    bench.store.say(lease, [build.status(description="newer")])

    bench.store.settle(lease, [delivered(sent)])

    assert [("newer", True)] == [(item.status.description, item.said_before) for item in waiting(bench)]


def test_failing_with_an_older_word_does_not_hold_the_newer_one_back(bench, build, lease):
    bench.store.say(lease, [build.status()])
    sent = waiting(bench)[0]
    bench.store.say(lease, [build.status(description="newer")])

    bench.store.settle(lease, [delivered(sent, delivered=False, retry_at=build.now + timedelta(hours=1))])

    assert ["newer"] == told(bench)


def test_a_word_that_was_put_off_waits_for_its_time(bench, build, lease):
    bench.store.say(lease, [build.status()])
    item = waiting(bench)[0]
    bench.store.settle(lease, [delivered(item, delivered=False, retry_at=build.now + timedelta(seconds=9))])
    assert [] == waiting(bench)

    bench.clock.advance(timedelta(seconds=9))

    assert [1] == [item.attempts for item in waiting(bench)]


def test_a_refused_word_is_never_sent_again_but_a_new_one_is(bench, build, lease):
    bench.store.say(lease, [build.status()])
    bench.store.settle(lease, [delivered(waiting(bench)[0], delivered=False, message="no such commit")])
    bench.clock.advance(timedelta(seconds=5))
    bench.store.say(lease, [build.status()])
    assert [] == waiting(bench)

    bench.store.say(lease, [build.status(state=State.SUCCESS)])

    assert [(State.SUCCESS, 0)] == [(item.status.state, item.attempts) for item in waiting(bench)]


def test_final_words_go_before_pending_ones_and_newer_commits_before_older(bench, build, lease):
    for commit in ("old", "new"):
        bench.store.say(lease, [build.status(commit, State.PENDING, f"{commit} pending")])
        done = build.status(commit, State.FAILURE, f"{commit} failed", "fairlead/prod/search")
        bench.store.say(lease, [done])

    assert ["new failed", "old failed", "new pending", "old pending"] == told(bench)
    assert 2 == len(waiting(bench, limit=2))


def test_repositories_do_not_mix(bench, build, lease):
    bench.store.say(lease, [build.status(), build.status(repository="other", description="theirs")])

    assert ["wave 1 of 2"] == told(bench)
    assert {"statuses:main", "statuses:other"} <= set(bench.due_keys())


@pytest.mark.parametrize(
    ("context", "rolled_up"), [("fairlead/prod/checkout", True), ("fairlead/prod", False), ("fairlead/validate", False)]
)
def test_only_a_fleets_own_word_moves_the_roll_up(bench, build, lease, context, rolled_up):
    bench.store.say(lease, [build.status(context=context)])

    assert rolled_up == ("rollup:main" in bench.due_keys())


def test_statuses_are_found_by_commit_context_and_state(bench, build, lease):
    words = [
        build.status("one", State.SUCCESS, "a"),
        build.status("two", State.PENDING, "b"),
        build.status("two", State.PENDING, "c", "fairlead/validate"),
    ]
    bench.store.say(lease, words)
    find = bench.store.statuses

    assert words == find("main")
    assert words[1:] == find("main", open_only=True)
    assert words[:1] == find("main", commits=[build.sha("one")])
    assert words[2:] == find("main", commits=[build.sha("two"), build.sha("one")], context_prefix="fairlead/v")
    assert [] == find("main", commits=[])
    assert [] == find("main", context_prefix="fairlead_")
    assert [] == find("other")


def test_thousands_of_words_at_once(bench, build, lease):
    words = [build.status(f"c{number}", context=f"fairlead/prod/s{number}") for number in range(1200)]
    bench.store.say(lease, words)
    before = bench.rows("statuses")

    bench.store.say(lease, words)

    assert 1200 == len(bench.store.statuses("main", commits=[word.commit for word in words]))
    assert before == bench.rows("statuses")


def test_roll_ups_go_first_and_final_words_before_pending_ones(bench, build, lease):
    done = {"state": State.SUCCESS}
    words = [("fairlead/prod/a", {}), ("fairlead/prod", {}), ("fairlead/prod/b", done), ("fairlead/dev", done)]
    bench.store.say(lease, [build.status(context=context, **more) for context, more in words])

    order = ["fairlead/dev", "fairlead/prod", "fairlead/prod/b", "fairlead/prod/a"]
    assert order == [item.status.context for item in waiting(bench)]


def test_waiting_for_a_turn_is_no_attempt(bench, build, lease):
    bench.store.say(lease, [build.status()])
    (item,) = waiting(bench)
    later = bench.clock.now() + timedelta(minutes=1)
    bench.store.settle(lease, [delivered(item, delivered=False, retry_at=later, tried=False)])
    assert [] == waiting(bench)
    assert later == bench.store.next_telling("main")

    bench.clock.advance(timedelta(minutes=1))
    (again,) = waiting(bench)

    assert item == again


DELIVERED = """
INSERT INTO statuses (repository, "commit", context, state, description, target_url,
    sequence, delivered_sequence, attempts, said_at)
WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 5000)
SELECT 'main', CAST(number AS TEXT), 'fairlead/prod/checkout', 'success', '', '', 1, 1, 0, 0 FROM numbers
"""


def test_what_waits_is_found_without_reading_what_was_delivered(bench):
    bench.sql(DELIVERED)
    bench.sql("ANALYZE statuses")
    with bench.store._database.reading() as connection:
        query = statuses._UNDELIVERED.params(repository="main", most=200)
        text = query.compile(connection.engine, compile_kwargs={"literal_binds": True}).string.replace("%%", "%")
        how = "EXPLAIN" if bench.url.startswith("postgresql") else "EXPLAIN QUERY PLAN"
        plan = str(connection.exec_driver_sql(f"{how} {text}".replace("%", "%%" if how == "EXPLAIN" else "%")).all())

    assert "statuses_to_be_told" in plan
