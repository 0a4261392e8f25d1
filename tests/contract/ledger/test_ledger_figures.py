"""What the ledger counts of the words in its outbox, on both engines."""

from datetime import timedelta

from sqlalchemy import event

from adapters.ledger.figures import Pile
from adapters.ledger.statuses import put
from reconciler.outlets import further, key_of
from reconciler.ports import Delivery
from reconciler.record import Medium, State

HOUR = timedelta(hours=1)


def say(bench, *words):
    with bench.store._database.writing() as connection:
        put(connection, words, bench.clock.now())


def settle(bench, repository, *, refused=()):
    """All that waits is told, but for what is refused."""
    for outlet in (repository, further(repository)):
        lease = bench.lease(key_of(outlet))
        words = bench.store.undelivered(outlet, 50)
        bench.store.take_up(lease, words)
        ends = [(each, each.status.medium not in refused) for each in words]
        bench.store.settle(
            lease, [Delivery(id=each.id, sequence=each.sequence, delivered=good, message="no") for each, good in ends]
        )


def words_of_all_mediums(build):
    return [
        build.status(context="fairlead/prod/checkout"),
        build.status(context="fairlead/prod/basket"),
        build.status(commit="pull/7", context="fairlead/plan comment", medium=Medium.COMMENT),
        build.status(context="deployment prod/checkout", medium=Medium.DEPLOYMENT),
        build.status(repository="notify-ops", context="prod/checkout", medium=Medium.NOTICE),
    ]


def test_words_that_wait_are_counted_by_where_they_go_and_as_what(bench, build):
    say(bench, *words_of_all_mediums(build))
    bench.clock.advance(timedelta(seconds=40))

    one, two = Pile(count=1, oldest=40.0), Pile(count=2, oldest=40.0)
    further = {("main", "comment"): one, ("main", "deployment"): one, ("notify-ops", "notice"): one}
    assert {("main", "status"): two, **further} == bench.store.figures().undelivered
    settle(bench, "main")
    assert {("notify-ops", "notice"): one} == bench.store.figures().undelivered


def test_refused_words_are_counted_until_a_newer_one_takes_their_place(bench, build):
    say(bench, *words_of_all_mediums(build))
    settle(bench, "main", refused={Medium.COMMENT, Medium.STATUS})

    assert {("main", "status"): 2, ("main", "comment"): 1} == bench.store.figures().refused
    say(bench, build.status(context="fairlead/prod/checkout", state=State.FAILURE))
    assert {("main", "status"): 1, ("main", "comment"): 1} == bench.store.figures().refused


def test_a_commit_is_stuck_when_nothing_was_said_there_for_an_hour_and_counts_once(bench, build):
    contexts = ("fairlead/prod/checkout", "fairlead/prod/basket")
    say(bench, *(build.status(context=each, state=State.PENDING) for each in contexts))
    say(bench, build.status(commit="b" * 40, state=State.PENDING))
    bench.clock.advance(HOUR - timedelta(seconds=1))
    assert {"main": 0} == bench.store.figures().stuck

    say(bench, build.status(commit="b" * 40, state=State.PENDING, description="wave 2/2"))
    bench.clock.advance(timedelta(seconds=1))
    assert ({"main": 1}, 3) == (bench.store.figures().stuck, bench.store.figures().pending["main"].count)

    say(bench, *(build.status(context=each, state=State.SUCCESS) for each in contexts))
    bench.clock.advance(HOUR)
    assert {"main": 1} == bench.store.figures().stuck, "the other one is an hour old now"


def test_words_are_counted_in_one_statement(bench, build):
    say(bench, *words_of_all_mediums(build))
    asked = []
    with bench.store._database.reading() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", lambda *told: asked.append(told[2]))

    bench.store.figures()

    assert 1 == sum(" statuses" in each for each in asked)


DELIVERED = """
INSERT INTO statuses (repository, "commit", context, state, description, target_url,
    sequence, delivered_sequence, attempts, said_at)
WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 5000)
SELECT 'main', CAST(number AS TEXT), 'fairlead/prod/checkout', 'success', '', '', 1, 1, 0, 0 FROM numbers
"""


def test_what_was_delivered_is_not_read_to_count_what_was_not(bench):
    bench.sql(DELIVERED)
    bench.sql("ANALYZE statuses")
    asked = "SELECT repository, medium, count(*) FROM statuses WHERE {} GROUP BY repository, medium"
    how = "EXPLAIN" if bench.url.startswith("postgresql") else "EXPLAIN QUERY PLAN"
    with bench.store._database.reading() as connection:
        plan = str(connection.exec_driver_sql(f"{how} {asked.format('refused IS NOT NULL')}").all())

    assert "statuses_refused" in plan
