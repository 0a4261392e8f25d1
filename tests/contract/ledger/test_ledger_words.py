"""Text that a database cannot hold comes from hosts and forges: it is mended on its way in and stops nobody."""

import pytest

from adapters.ledger.dialects import sound
from reconciler.record import Ask, Event

BAD = pytest.mark.parametrize(
    ("said", "kept"), [("a\0b", "a\ufffdb"), ("a\ud800b", "a\ufffdb"), ("naïve 😀", "naïve 😀"), ("plain", "plain")]
)
NAME = "prod/checkout"


@BAD
def test_words_are_mended(said, kept):
    assert kept == sound(said)


@BAD
def test_trouble_of_a_feed_is_kept(bench, build, said, kept):
    bench.store.record_trouble(bench.lease("inventory:x"), "inventory/x", said)

    assert {"inventory/x": kept} == bench.store.troubles()


@BAD
def test_a_part_with_such_words_is_kept_and_read_again_is_no_news(bench, build, said, kept):
    bench.declare("one", build.fleet())
    lease, part = bench.lease("inventory:x"), {NAME: {"unit": said}}

    assert (NAME,) == bench.store.record_snapshots(lease, "inventory/x", part, build.now)
    assert () == bench.store.record_snapshots(lease, "inventory/x", part, build.now)
    assert said.replace("\ud800", "\ufffd") == bench.record().snapshots["inventory/x"].body["unit"]


@BAD
def test_a_status_with_such_words_is_said_once(bench, build, said, kept):
    lease = bench.lease("rollup:main")
    bench.store.say(lease, [build.status(description=said, target_url=said)])
    first = bench.rows("statuses")

    bench.store.say(lease, [build.status(description=said, target_url=said)])

    assert first == bench.rows("statuses")
    assert [kept] == [word.description for word in bench.store.statuses("main")]


@BAD
def test_a_history_with_such_words_is_whole(bench, build, said, kept):
    bench.declare("one", build.fleet())
    record = bench.record()
    lines = (Event(kind="note", message=said, at=build.now, data={"said": said.replace("\ud800", "")}),)

    bench.store.save(bench.lease(f"fleet:{NAME}"), record, bench.result(record, events=lines))

    assert None is bench.store.verify_history(NAME)
    assert kept == bench.store.history(NAME, 1)[0].message


@BAD
def test_a_person_of_such_a_name_may_ask(bench, build, said, kept):
    bench.declare("one", build.fleet())

    bench.store.request(NAME, Ask.RETRY, said, build.now)

    assert [kept] == [ask.by for ask in bench.record().requests]
