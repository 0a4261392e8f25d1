"""From the schemas of earlier versions to this one, with what those versions wrote; and two versions at once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from adapters.ledger.dialects import LedgerError
from adapters.ledger.migrations.steps import HEAD, STEPS, upgrade
from adapters.ledger.store import open_ledger
from desired_state.model import DesiredState, Setting
from reconciler.record import Ask, State
from reconciler.work import Phase

ROWS = Path(__file__).parents[2] / "data" / "ledger"  # NNNN.sql: what versions write from that step on
WRITTEN = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def at(url, step):
    """A database as a version at that step leaves it."""
    engine = create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, step)
        for file in sorted(ROWS.glob("*.sql")):
            if file.stem <= step:
                for line in file.read_text().splitlines():
                    connection.execute(text(line.replace(":", r"\:")))
    engine.dispose()


@pytest.fixture(params=STEPS)
def upgraded(request, url, bench_of):
    at(url, request.param)
    return bench_of(url).open()


def test_every_earlier_fleet_reads_right(upgraded, build):
    checkout, search = upgraded.store.load_many(["prod/checkout", "prod/search"])

    assert ["prod/checkout", "prod/search"] == [record.name for record in upgraded.store.fleets()]
    assert build.fleet(version="1.5.0") == checkout.desired
    assert build.sha("two") == checkout.setting.commit
    assert 2 == checkout.memory.preemptions
    assert {"prod/checkout": "1.5.0"} == {
        record.name: record.desired.components["package/checkout"] for record in [checkout]
    }
    assert [Ask.RETRY] == [ask.ask for ask in checkout.requests]
    assert {"unit": "us-east-1"} == search.snapshots["inventory/123456789012/us-east-1"].body
    assert {"inventory/123456789012/us-east-1": "AccessDenied"} == dict(checkout.trouble)


def test_work_that_an_earlier_version_began_goes_on(upgraded):
    assert [("key-2", Phase.INTENDED)] == [(each.intent.key, each.phase) for each in upgraded.store.work_in_flight()]


def test_what_an_earlier_version_said_stands_and_is_told(upgraded, build):
    waiting = upgraded.store.undelivered("main", 9)

    assert [(build.sha("two"), State.PENDING, "wave 2")] == [
        (item.status.commit, item.status.state, item.status.description) for item in waiting
    ]


def test_the_history_that_an_earlier_version_wrote_goes_on_whole(upgraded, build):
    lease = upgraded.lease("fleet:prod/checkout")
    record = upgraded.record()

    upgraded.store.save(lease, record, upgraded.full_result(record, 3))

    assert ["number 3", "number 2", "number 1"] == [line.message for line in upgraded.store.history("prod/checkout", 9)]
    assert None is upgraded.store.verify_history("prod/checkout")


def test_names_that_were_due_stay_due(upgraded):
    assert {"fleet:prod/search", "rollup:main"} <= set(upgraded.due_keys())


def test_an_earlier_head_is_known_and_the_next_one_changes_only_what_differs(upgraded, build):
    assert build.sha("two") == upgraded.store.known("main").head

    fleets = (build.fleet(version="1.5.0"), build.fleet("prod/search", "9.9.9"))
    commits = {"prod/checkout": build.sha("two"), "prod/search": build.sha("three")}
    settings = {each.name: Setting(commit=commits[each.name], target_digest=each.target_digest) for each in fleets}
    changed = upgraded.declare("three", *fleets, settings=settings)

    assert ("prod/search",) == changed


def test_an_earlier_ledger_is_pruned_like_any_other(upgraded):
    assert 0 == upgraded.store.prune(WRITTEN)


# ── two versions at once ──


def expanded(bench, oldest):
    """What a later version's steps leave: more tables, more columns, and its word on who may still work here."""
    bench.sql("CREATE TABLE tides (height TEXT NOT NULL)")
    bench.sql("ALTER TABLE fleets ADD COLUMN tide TEXT NOT NULL DEFAULT 'low'")
    bench.sql("UPDATE alembic_version SET version_num = '9999'")
    bench.sql(f"UPDATE overlap SET oldest = '{oldest}'")


def works(bench, build, store):
    """Everything that a controller does to a ledger."""
    bench.declare("one", build.fleet(), build.fleet("prod/new"))
    lease, record = bench.lease("fleet:prod/checkout"), store.load("prod/checkout")
    written = store.save(lease, record, bench.full_result(record))
    store.prune(build.now)
    return written.version == store.load("prod/checkout").version


def test_a_version_that_runs_goes_on_after_a_newer_one_has_added_to_the_schema(bench, build):
    bench.declare("zero", build.fleet())

    expanded(bench, HEAD)

    assert works(bench, build, bench.store)


def test_a_version_that_starts_after_a_newer_one_has_added_to_the_schema_works_too(bench, build):
    expanded(bench, HEAD)

    assert works(bench, build, bench.another())


def test_a_newer_ledger_that_does_not_take_this_version_is_refused_in_a_sentence(bench):
    expanded(bench, "9998")
    before = bench.rows()

    with pytest.raises(
        LedgerError, match=rf"schema 9999, which takes .* that know 9998 or newer; this one knows {HEAD}:"
    ):
        open_ledger(bench.url, bench.clock)

    assert before == bench.rows()


def test_an_empty_head_is_no_surprise_to_an_upgraded_ledger(upgraded, build):
    """Both fleets are declared no more; neither is destroyed, both are let go."""
    empty = DesiredState(environments=("prod",), fleets={}, declared=frozenset(), problems=())

    upgraded.declare("four", desired=empty)

    assert [False, False] == [record.present for record in upgraded.store.fleets()]
