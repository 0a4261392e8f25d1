"""A repository at a new head: only what changed is written, and only that is due (DESIGN 3, rules 2, 6 and 10)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desired_state.model import Policy, Problem, Setting, Severity
from reconciler.ports import LeaseLost
from reconciler.record import State

CHECKOUT = "prod/checkout"


def problem(message="version: write a string"):
    return Problem(file="environments/prod/checkout.yaml", line=1, column=10, message=message, fleets=(CHECKOUT,))


def versions(bench):
    return {record.name: record.version for record in bench.store.fleets()}


def test_nothing_is_known_of_a_repository_before_its_first_read(bench):
    assert bench.store.known("main") is None


def test_the_head_and_the_settings_are_known_afterwards(bench, build):
    bench.declare("one", build.fleet())

    known = bench.store.known("main")

    assert build.sha("one") == known.head
    assert {CHECKOUT: build.sha("one")} == {name: setting.commit for name, setting in known.settings.items()}


def test_a_first_head_makes_every_fleet_due(bench, build):
    assert ("prod/a", "prod/b") == bench.declare("one", build.fleet("prod/b"), build.fleet("prod/a"))

    assert ["fleet:prod/a", "fleet:prod/b", "rollup:main"] == bench.due_keys()


def test_only_fleets_that_changed_are_written_and_due(bench, build):
    bench.declare("one", build.fleet("prod/a"), build.fleet("prod/b"))
    for due in bench.store.claim("fleet", 9, build.lease):
        bench.store.finish(due)
    settings = bench.store.known("main").settings

    changed = bench.declare(
        "two",
        build.fleet("prod/a"),
        build.fleet("prod/b", "2.0"),
        settings={**settings, "prod/b": replace(settings["prod/b"], commit=build.sha("two"))},
    )

    assert ("prod/b",) == changed
    assert ["fleet:prod/b", "rollup:main"] == bench.due_keys()
    assert {"prod/a": 1, "prod/b": 2} == versions(bench)
    assert build.sha("one") == bench.record("prod/a").revision


def test_a_head_that_changes_no_fleet_writes_no_fleet(bench, build):
    bench.declare("one", build.fleet())
    before = bench.rows("fleets", "statuses", "events", "snapshots", "intents")

    assert () == bench.declare("two", build.fleet(), settings=bench.store.known("main").settings)

    assert before == bench.rows("fleets", "statuses", "events", "snapshots", "intents")
    assert build.sha("two") == bench.store.known("main").head


def test_a_restarted_process_finds_the_same_fleets_unchanged(bench, build):
    bench.declare("one", build.fleet())
    settings = bench.store.known("main").settings
    bench.store = bench.another()

    assert () == bench.declare("two", build.fleet(), settings=settings)


@pytest.mark.parametrize(
    ("change", "generation"),
    [
        ({"target_digest": "f" * 64}, 2),
        ({"spec_digest": "f" * 64}, 2),
        ({"policy": Policy(retries=5)}, 1),
        ({"owner": "payments"}, 1),
    ],
    ids=["target", "spec", "policy", "owner"],
)
def test_the_generation_counts_targets_and_specs(bench, build, change, generation):
    bench.declare("one", build.fleet())

    assert (CHECKOUT,) == bench.declare("two", build.fleet(**change))

    assert generation == bench.record().generation


def test_the_same_target_set_by_a_newer_commit_is_a_change(bench, build):
    bench.declare("one", build.fleet())

    assert (CHECKOUT,) == bench.declare("two", build.fleet())
    assert build.sha("two") == bench.record().setting.commit


def test_a_broken_fleet_keeps_its_last_good_spec_and_learns_why(bench, build):
    bench.declare("one", build.fleet(), build.fleet("prod/search"))

    changed = bench.declare(
        "two",
        build.fleet("prod/search"),
        broken=frozenset({CHECKOUT}),
        problems=(problem(), replace(problem("a hint"), severity=Severity.WARNING)),
        settings={"prod/search": bench.store.known("main").settings["prod/search"]},
    )

    record = bench.record()
    assert (CHECKOUT,) == changed
    assert (build.fleet(), build.sha("one")) == (record.desired, record.setting.commit)
    assert ("version: write a string",) == tuple(each.message for each in record.problems)
    assert record.present


def test_a_mended_fleet_has_no_problems(bench, build):
    bench.declare("one", broken=frozenset({CHECKOUT}), problems=(problem(),))
    assert (None, 0) == (bench.record().desired, bench.record().generation)

    bench.declare("two", build.fleet())

    assert ((), 1) == (bench.record().problems, bench.record().generation)


def test_a_fleet_whose_file_is_gone_is_absent_and_due(bench, build):
    bench.declare("one", build.fleet())

    assert (CHECKOUT,) == bench.declare("two")

    record = bench.record()
    assert not record.present
    assert build.fleet() == record.desired
    assert {} == bench.store.known("main").settings
    assert () == bench.declare("three")


def test_a_fleet_may_come_back(bench, build):
    bench.declare("one", build.fleet())
    bench.declare("two")

    assert (CHECKOUT,) == bench.declare("three", build.fleet())

    assert bench.record().present
    assert build.sha("three") == bench.record().setting.commit


def test_a_force_push_is_remembered_by_the_fleets_that_it_changes(bench, build):
    bench.declare("one", build.fleet(), build.fleet("prod/search"))
    record = bench.record()
    bench.store.save(
        bench.lease(f"fleet:{CHECKOUT}"), record, bench.result(record, replace(record.memory, preemptions=2))
    )

    bench.declare(
        "forced", build.fleet(version="2.0"), build.fleet("prod/search"), rewritten=frozenset({CHECKOUT, "prod/gone"})
    )

    memory = bench.record().memory
    assert (build.sha("forced"), 2) == (memory.rewritten, memory.preemptions)
    assert bench.record("prod/search").memory.rewritten is None


def test_the_words_of_a_read_are_said_in_the_same_breath(bench, build):
    bench.declare("one", build.fleet(), statuses=(build.status("one", State.SUCCESS, context="fairlead/validate"),))

    assert ["fairlead/validate"] == [word.context for word in bench.store.statuses("main")]
    assert "statuses:main" in bench.due_keys()


@pytest.mark.parametrize("method", ["record_revision", "record_snapshots", "record_trouble", "say"])
def test_a_lost_lease_writes_nothing(bench, build, method):
    bench.declare("one", build.fleet())
    lease = bench.lease("repository:main")
    bench.clock.advance(build.lease)
    arguments = {
        "record_revision": (bench.revision("two", build.fleet(version="2.0"), build.fleet("prod/new")),),
        "record_snapshots": ("inventory/123456789012/us-east-1", {CHECKOUT: {"a": 1}}, bench.clock.now()),
        "record_trouble": ("inventory/123456789012/us-east-1", "no credentials"),
        "say": ([build.status()],),
    }
    before = bench.rows()

    with pytest.raises(LeaseLost):
        getattr(bench.store, method)(lease, *arguments[method])

    assert before == bench.rows()


# ── one name, two repositories ──


def test_a_name_belongs_to_the_first_that_declared_it(bench, build):
    bench.declare("one", build.fleet())

    changed = bench.declare("uno", build.fleet(version="6.6.6"), build.fleet("dev/x"), repository="other")

    assert ("dev/x",) == changed
    assert ("main", "1.4.2", ()) == (bench.record().repository, bench.record().desired.version, bench.record().problems)
    verdict = bench.store.statuses("other")[0]
    assert (State.ERROR, "fairlead/validate", build.sha("uno")) == (verdict.state, verdict.context, verdict.commit)
    assert "prod/checkout belongs to repository main: rename it, or remove it there" == verdict.description
    assert ["name-taken"] == [event.kind for event in bench.store.history(CHECKOUT, 9)]


def test_the_error_takes_the_place_of_a_good_verdict(bench, build):
    bench.declare("one", build.fleet())
    good = build.status("uno", State.SUCCESS, "1 fleet is sound", "fairlead/validate", repository="other")

    bench.declare("uno", build.fleet(), repository="other", statuses=(good,))

    assert [State.ERROR] == [word.state for word in bench.store.statuses("other")]


def test_a_second_declaration_is_told_once(bench, build):
    bench.declare("one", build.fleet())
    for name in ("uno", "due"):
        bench.declare(name, build.fleet(), repository="other")

    assert 1 == len(bench.store.history(CHECKOUT, 9))


def test_a_name_that_was_let_go_may_be_taken_over(bench, build):
    bench.declare("one", build.fleet())
    bench.declare("uno", build.fleet(version="2.0"), repository="other")
    bench.declare("two")

    assert (CHECKOUT,) == bench.declare("due", build.fleet(version="2.0"), repository="other")

    assert ("other", "2.0", True) == (
        bench.record().repository,
        bench.record().desired.version,
        bench.record().present,
    )
    assert () == bench.declare("three"), "the first repository has nothing to say about it any more"
    assert bench.record().present


def test_a_head_that_another_replica_wrote_anew_is_not_the_one_that_was_remembered(bench, build):
    other = bench.another()
    x, y = build.fleet("prod/x"), build.fleet("prod/y")

    def declare(store, name, *fleets, repository="main"):
        due = bench.claim(f"repository:{repository}", store)
        bench.clock.advance(timedelta(seconds=1))
        store.record_revision(due.lease, bench.revision(name, *fleets, repository=repository))
        store.finish(due)

    declare(bench.store, "H1", x, y)
    declare(other, "H2", y)
    declare(other, "O1", build.fleet("prod/x", "9"), repository="other")
    declare(other, "H1", x, y)  # a force-push back
    declare(bench.store, "H3", x, build.fleet("prod/y", "2"))

    assert ["prod/y"] == sorted(bench.store.known("main").settings)
    (word,) = bench.store.statuses("main", commits=[build.sha("H3")])
    assert "prod/x belongs to repository other" in word.description
    declare(other, "O2", repository="other")
    declare(bench.store, "H4", x, build.fleet("prod/y", "3"))
    record = bench.store.load("prod/x")
    assert ("main", True) == (record.repository, record.present)


def test_replicas_that_take_turns_write_what_differs_from_the_ledger_and_nothing_else(bench, build):
    fleets = [build.fleet(f"prod/f{number}") for number in range(5)]
    stores = [bench.store, bench.another()]
    bench.declare("one", *fleets)
    for number, store in enumerate([stores[1], stores[0], stores[1]]):
        fleets = [build.fleet("prod/f0", f"2.{number}"), *fleets[1:]]
        due = bench.claim("repository:main", store)
        bench.clock.advance(timedelta(seconds=1))
        changed = store.record_revision(
            due.lease,
            replace(
                bench.revision(f"head {number}", *fleets),
                settings={
                    fleet.name: Setting(
                        commit=build.sha(f"head {number}" if fleet.name == "prod/f0" else "one"),
                        target_digest=fleet.target_digest,
                    )
                    for fleet in fleets
                },
            ),
        )
        store.finish(due)
        assert ("prod/f0",) == changed


def test_a_fleet_that_is_broken_from_the_start_keeps_its_setting(bench, build):
    fleet = build.fleet()
    bench.declare("one", fleet)
    fresh = bench.another()
    due = bench.claim("repository:main", fresh)
    fresh.record_revision(due.lease, bench.revision("two", broken=frozenset({fleet.name})))
    fresh.finish(due)

    assert build.sha("one") == fresh.known("main").settings[fleet.name].commit
