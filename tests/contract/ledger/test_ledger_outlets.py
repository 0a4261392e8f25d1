"""Each outlet for itself: what leaves through another one holds nothing up, and an older version sees nothing of it."""

from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from reconciler.outlets import FAMILIES
from reconciler.ports import Delivery
from reconciler.record import Medium, State
from reconciler.reviews import Head

TAG, OLD, NEW = "refs/tags/v1.4.2", "main+acme/old", "main+acme/new"

# What the version before 0007 asks, of `adapters/ledger/statuses.py`, `telling.py`, `records.py` and `queue.py` there.
DUE = "refused IS NULL AND (sequence > delivered_sequence OR doubtful_until IS NOT NULL)"
READS = (
    f"SELECT * FROM statuses WHERE repository = 'main' AND {DUE}",
    "SELECT * FROM statuses WHERE repository = 'main' AND sent_at IS NOT NULL",
    "SELECT * FROM statuses WHERE repository = 'main' AND substr(context, 1, 9) = 'fairlead/' AND state = 'pending'",
    "SELECT * FROM statuses WHERE repository IN ('main') AND context IN ('fairlead/prod/checkout')",
    "SELECT * FROM statuses WHERE repository = 'main' AND context LIKE 'fairlead/%/%'",
)
# It has one place for a word, and takes whatever stands there for its own.
SAYS = (
    'INSERT INTO statuses (repository, "commit", context, state, description, target_url, at, said_at, sequence,'
    " delivered_sequence, attempts) VALUES ('main', '{commit}', '{context}', 'success', 'said by the version before',"
    " '', 0, 0, 1, 0, 0) ON CONFLICT (repository, \"commit\", context) DO UPDATE SET state = excluded.state,"
    " description = excluded.description, sequence = statuses.sequence + 1, attempts = 0, next_try = NULL,"
    " refused = NULL"
)


@pytest.fixture
def lease(bench):
    return bench.lease("statuses:main")


def tell(bench, lease, outlet):
    words = bench.store.undelivered(outlet, 9)
    bench.store.take_up(lease, words)
    bench.store.settle(lease, [Delivery(id=each.id, sequence=each.sequence, delivered=True) for each in words])


def on_tag(build, project, state, said):
    return replace(build.status(description=said), commit=TAG, state=state, project=project)


def shown(bench, outlet):
    return [
        (each.status.project, each.status.state.value, each.status.description)
        for each in bench.store.undelivered(outlet, 9)
    ]


def test_a_tag_that_is_told_in_another_repository_now_gets_its_end_in_the_one_before(bench, build, lease):
    bench.store.say(lease, [on_tag(build, "acme/old", State.PENDING, "wave 1/2")])
    tell(bench, lease, OLD)

    bench.store.say(
        lease,
        [
            on_tag(build, "acme/old", State.ERROR, "told elsewhere now"),
            on_tag(build, "acme/new", State.PENDING, "wave 1/2"),
        ],
    )

    assert [("acme/old", "error", "told elsewhere now")] == shown(bench, OLD)
    assert [("acme/new", "pending", "wave 1/2")] == shown(bench, NEW)


def test_forges_ignore_case_in_the_name_of_a_repository_and_so_does_its_outlet(bench, build, lease):
    both = [on_tag(build, name, State.PENDING, "wave 1/2") for name in ("acme/old", "Acme/Old")]
    bench.store.say(lease, both)

    assert [("Acme/Old", "pending", "wave 1/2")] == shown(bench, OLD)


@pytest.fixture
def further(bench, build, lease):
    """A word of every kind but an own status; gives their texts."""
    bench.store.record_heads("main", {build.sha("merge"): Head(head=build.sha("branch"))})
    tell_of = {"commit": "pull/7", "context": "fairlead/plan comment", "medium": Medium.COMMENT, "body": "# Plan"}
    notice = {"repository": "notify-payments", "context": "prod/checkout", "medium": Medium.NOTICE}
    deployment = {"context": "deployment prod/checkout", "medium": Medium.DEPLOYMENT}
    base = build.status("merge")
    bench.store.say(lease, [base])
    bench.store.say(lease, [replace(base, **changes) for changes in (tell_of, notice, deployment)])
    bench.store.say(lease, [on_tag(build, "acme/checkout", State.PENDING, "wave 1/2")])
    tell(bench, lease, "main")
    return {name: bench.store.undelivered(name, 9) for name in bench.store.outlets()}


def test_a_version_that_knows_no_outlets_reads_own_statuses_alone(bench, build, further):
    engine = create_engine(bench.url)
    with engine.connect() as connection:
        found = [[row._mapping["commit"] for row in connection.execute(text(each))] for each in READS]
    engine.dispose()

    own = [build.sha("merge")]
    assert [[], [], own, own, own] == found
    assert {"main+further": 3, "main+acme/checkout": 1, "notify-payments": 1} == {
        outlet: len(words) for outlet, words in further.items()
    }
    families = {key.partition(":")[0] for key in bench.due_keys()} & set(FAMILIES)
    assert set(FAMILIES) == families
    assert ["statuses:main"] == [key for key in bench.due_keys() if key.startswith("statuses:")]


def test_a_version_that_knows_no_outlets_overwrites_nothing_in_them(bench, build, further):
    for outlet, words in further.items():
        for each in words:
            place = {"commit": each.status.commit, "context": each.status.context}
            bench.sql(SAYS.format(**place))
        assert words == bench.store.undelivered(outlet, 9)
