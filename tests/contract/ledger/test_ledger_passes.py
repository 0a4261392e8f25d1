"""What a pass reads and writes: all of it or nothing, and only by its owner (DESIGN 3, rule 4)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from desired_state.model import Setting
from reconciler.memory import Memory, Status
from reconciler.ports import LeaseLost
from reconciler.reasons import Reason
from reconciler.record import Ask, Event, State
from reconciler.work import Phase, Release

FLEET = "fleet:prod/checkout"


@pytest.fixture(params=["intend", "save"])
def write(request, bench):
    """Both writes of a pass: they are fenced alike."""
    return getattr(bench.store, request.param)


@pytest.fixture
def declared(bench, build):
    bench.declare("one", build.fleet())
    return bench.record()


def test_a_fleet_that_nobody_declared_is_unknown(bench):
    assert bench.store.load("prod/checkout") is None


def test_a_fleet_is_loaded_as_it_was_declared(bench, build, declared):
    assert build.fleet() == declared.desired
    assert Setting(commit=build.sha("one"), target_digest=build.fleet().target_digest) == declared.setting
    assert ("main", build.sha("one"), 1, True) == (
        declared.repository,
        declared.revision,
        declared.generation,
        declared.present,
    )
    assert Memory() == declared.memory


def test_a_write_gives_the_record_that_a_load_would(bench, declared, write):
    written = write(bench.lease(FLEET), declared, bench.full_result(declared))

    assert declared.version + 1 == written.version
    assert bench.record() == written


def test_a_write_puts_everything_down(bench, build, declared, write):
    write(bench.lease(FLEET), declared, bench.full_result(declared))

    assert 1 == bench.record().memory.preemptions
    assert ["key-1"] == [outcome.intent.key for outcome in bench.store.work_in_flight()]
    assert ["wave 1"] == [word.description for word in bench.store.statuses("main")]
    assert ["number 1"] == [event.message for event in bench.store.history("prod/checkout", 9)]
    assert {"statuses:main", "rollup:main"} <= set(bench.due_keys())


def test_memory_survives_as_it_is(bench, build, declared):
    fleet = build.fleet()
    memory = Memory(
        adopted=True,
        last_good=Release(fleet=fleet, setting_commit=build.sha("one")),
        status=Status(reason=Reason.SUCCEEDED, message="1.4.2 on 2/2 units", version="1.4.2"),
    )
    bench.store.save(bench.lease(FLEET), declared, bench.result(declared, memory))

    assert memory == bench.another().load("prod/checkout").memory


def test_a_pass_goes_on_from_what_it_intended(bench, build, declared):
    lease = bench.lease(FLEET)
    intended = bench.store.intend(lease, declared, bench.full_result(declared))
    running = replace(intended.work[0], phase=Phase.RUNNING, ticket="01ABC")
    saved = bench.store.save(lease, intended, bench.result(intended, work=(running,)))

    assert (running,) == saved.work
    assert (running,) == bench.record().work


def test_ended_work_is_no_longer_loaded(bench, build, declared):
    lease = bench.lease(FLEET)
    intended = bench.store.intend(lease, declared, bench.full_result(declared))
    ended = replace(intended.work[0], phase=Phase.SUCCEEDED)

    assert () == bench.store.save(lease, intended, bench.result(intended, work=(ended,))).work
    assert () == bench.record().work
    assert [] == bench.store.work_in_flight()


def test_a_result_that_changes_nothing_is_not_written(bench, declared, write):
    lease = bench.lease(FLEET)
    written = write(lease, declared, bench.full_result(declared))
    before = bench.rows()
    bench.clock.advance(timedelta(seconds=1))
    same = bench.result(written, statuses=tuple(replace(word, at=bench.clock.now()) for word in written.statuses))

    assert written == write(lease, written, same)
    assert before == bench.rows()


# ── the fence ──


def refused(bench, write, lease, record):
    before = bench.rows()
    with pytest.raises(LeaseLost):
        write(lease, record, bench.full_result(record))
    assert before == bench.rows()


def test_an_expired_lease_writes_nothing(bench, build, declared, write):
    lease = bench.lease(FLEET)
    bench.clock.advance(build.lease)

    refused(bench, write, lease, declared)


def test_an_owner_that_was_replaced_writes_nothing(bench, build, declared, write):
    lease = bench.lease(FLEET)
    bench.clock.advance(build.lease)
    assert bench.another().claim("fleet", 1, build.lease)

    refused(bench, write, lease, declared)


def test_an_owner_that_gave_its_lease_back_writes_nothing(bench, declared, write):
    due = bench.claim(FLEET)
    bench.store.finish(due)

    refused(bench, write, due.lease, declared)


def test_a_record_that_somebody_wrote_meanwhile_is_refused(bench, declared, write):
    lease = bench.lease(FLEET)
    write(lease, declared, bench.full_result(declared))

    refused(bench, write, lease, declared)


def test_a_new_revision_makes_a_pass_under_way_stale(bench, build, declared, write):
    lease = bench.lease(FLEET)
    bench.declare("two", build.fleet(version="1.4.3"))

    refused(bench, write, lease, declared)


def test_a_lease_on_another_fleet_is_no_right_to_write(bench, declared, write):
    with pytest.raises(ValueError, match="gives no right"):
        write(bench.lease("fleet:prod/search"), declared, bench.full_result(declared))


def test_a_lease_from_elsewhere_is_refused(bench, declared, write):
    class Elsewhere:
        key = FLEET

        def check(self):
            return None

    before = bench.rows()
    with pytest.raises(TypeError, match="claim the name from its queue"):
        write(Elsewhere(), declared, bench.full_result(declared))
    assert before == bench.rows()


# ── what else a record holds ──


def test_a_request_is_loaded_until_a_pass_has_done_it(bench, declared, write):
    bench.store.request("prod/checkout", Ask.ADOPT, "ada", bench.clock.now())
    asked = bench.record()
    assert [(Ask.ADOPT, "ada")] == [(request.ask, request.by) for request in asked.requests]
    assert FLEET in bench.due_keys()

    done = tuple(request.id for request in asked.requests)
    written = write(bench.lease(FLEET), asked, bench.result(asked, requests_done=done))

    assert () == written.requests == bench.record().requests


def test_a_record_holds_its_own_open_words_and_those_on_its_setting_commits(bench, build):
    setting = Setting(
        commit=build.sha("now"), target_digest=build.fleet().target_digest, reverts=(build.sha("reverted"),)
    )
    bench.declare("now", build.fleet(), settings={"prod/checkout": setting})
    lease = bench.lease("rollup:main")
    words = [
        build.status("now", State.SUCCESS, "on 2/2 units"),
        build.status("reverted", State.FAILURE, "unhealthy"),
        build.status("open", State.PENDING, "queued"),
        build.status("closed", State.SUCCESS, "long ago"),
        build.status("open", State.PENDING, "another fleet's", context="fairlead/prod/search"),
        build.status("now", State.PENDING, "a roll-up", context="fairlead/prod"),
        build.status("open", State.PENDING, "another repository's", repository="other"),
    ]
    bench.store.say(lease, words)

    assert {"on 2/2 units", "unhealthy", "queued"} == {word.description for word in bench.record().statuses}


def test_many_are_loaded_as_one_is(bench, build):
    fleets = [build.fleet(f"prod/{name}") for name in "cab"]
    bench.declare("one", *fleets)
    bench.store.request("prod/b", Ask.RETRY, "ada", bench.clock.now())

    names = ["prod/b", "prod/a", "prod/unknown"]

    assert [bench.record("prod/a"), bench.record("prod/b")] == bench.store.load_many(names)


def test_all_fleets_come_in_order_and_fresh(bench, build):
    bench.declare("one", build.fleet("prod/b"), build.fleet("prod/a"))
    bench.declare("one", build.fleet("dev/a"), repository="other")
    reader = bench.another()
    assert ["dev/a", "prod/a", "prod/b"] == [record.name for record in reader.fleets()]

    bench.declare("two", build.fleet("prod/b", "2.0"), build.fleet("prod/a"))

    assert ["1.4.2", "2.0"] == [record.desired.version for record in reader.fleets("main")]


def test_plain_columns_tell_people_where_a_fleet_stands(bench, declared):
    status = Status(reason=Reason.PROGRESSING, message="wave 1 of 2", version="1.4.2")
    bench.store.save(bench.lease(FLEET), declared, bench.result(declared, Memory(status=status)))
    columns = [*bench.rows("fleets")["fleets"][0]]

    assert {"Progressing", "wave 1 of 2", "1.4.2", "Unknown"} <= set(columns)


def test_events_alone_are_a_reason_to_write(bench, declared, write):
    line = Event(kind="seen", message="for the record", at=bench.clock.now())
    write(bench.lease(FLEET), declared, bench.result(declared, events=(line,)))

    assert [line] == bench.store.history("prod/checkout", 5)


# ── a database that counts versions once more ──


def lose(bench, kept):
    """A failover to a server that lacks what was written since."""
    bench.sql("DELETE FROM fleets")
    bench.sql(f"INSERT INTO fleets SELECT * FROM {kept}")
    bench.clock.advance(timedelta(seconds=1))


def test_a_head_that_was_lost_is_not_remembered_for_another_at_the_same_version(bench, build):
    bench.declare("one", build.fleet(version="1.0.0"))
    bench.sql("CREATE TABLE kept AS SELECT * FROM fleets")
    other = bench.another()
    bench.clock.advance(timedelta(seconds=1))
    bench.declare("two", build.fleet(version="2.0.0"))
    lost = bench.record()

    lose(bench, "kept")
    lease = bench.claim("repository:main", other).lease
    other.record_revision(lease, bench.revision("three", build.fleet(version="3.0.0")))

    assert lost.version == bench.record().version
    assert build.fleet(version="3.0.0") == bench.record().desired
    assert [build.fleet(version="3.0.0")] == [record.desired for record in bench.store.fleets()]


def test_a_pass_that_was_lost_is_not_remembered_for_another_at_the_same_version(bench, build):
    bench.declare("one", build.fleet())
    bench.sql("CREATE TABLE kept AS SELECT * FROM fleets")
    lease, record, other = bench.lease("fleet:prod/checkout"), bench.record(), bench.another()
    bench.store.save(lease, record, bench.result(record, replace(record.memory, preemptions=1)))
    assert 1 == bench.record().memory.preemptions

    lose(bench, "kept")
    other.save(lease, record, bench.result(record, replace(record.memory, preemptions=2)))

    assert 2 == bench.record().memory.preemptions
