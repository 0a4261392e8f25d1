"""What agents report, from a real queue into a real ledger: whose word counts, what is news, what is never lost."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from sqlalchemy import Engine, event

from adapters.aws import queues
from adapters.feeds.reports import Reports
from reconciler.ports import LeaseLost

CHILD = Path(__file__).parent / "child.py"


def test_a_report_is_kept_with_the_time_at_which_it_was_sent(bench: Any, build: Any) -> None:
    said = bench.report(message="fine", sequence=3)
    bench.send(said)

    assert {"prod/mm"} == bench.run()

    kept = bench.hosts()[build.host]
    assert build.document(said) == {name: value for name, value in kept.items() if name != "sent"}
    assert abs(datetime.fromisoformat(kept["sent"]) - bench.clock.now()) < timedelta(minutes=1)
    assert 0 == bench.left()


def test_the_next_look_is_at_once_and_after_messages_a_moment_later(bench: Any, build: Any) -> None:
    lease = bench.claim().lease
    assert bench.clock.now() == bench.feed.run(build.name, lease)

    bench.send(bench.report())

    assert timedelta(0) < bench.feed.run(build.name, lease) - bench.clock.now() < timedelta(seconds=0.5)


def test_a_heartbeat_is_no_news_but_a_sign_of_life(bench: Any, build: Any) -> None:
    bench.send(bench.report())
    bench.run()
    before = bench.hosts()[build.host]
    bench.clock.advance(timedelta(seconds=60))
    bench.send(bench.report())

    assert set() == bench.run()

    after = bench.hosts()[build.host]
    assert after["sent"] > before["sent"]
    assert (before["number"] + 1, bench.clock.now()) == (after["number"], datetime.fromisoformat(after["at"]))


def test_news_is_due_for_its_own_fleet_and_leaves_other_hosts_as_they_were(bench: Any, build: Any) -> None:
    bench.declare(build.fleet(), build.fleet("prod/lobby"))
    both = [bench.report(host, name) for name in ("prod/mm", "prod/lobby") for host in (build.host, build.other)]
    bench.send(*both)
    bench.run()
    bench.send(bench.report(version="1.1.0"))

    assert {"prod/mm"} == bench.run()

    assert {build.host: "1.1.0", build.other: "1.0.0"} == bench.versions()
    assert {build.host: "1.0.0", build.other: "1.0.0"} == bench.versions("prod/lobby")


def test_the_newest_of_many_in_one_look_counts(bench: Any, build: Any) -> None:
    first, second, third = (bench.report(version=version) for version in ("1.0.0", "1.1.0", "1.2.0"))
    bench.send(first, third, third, second)

    bench.run()

    newest = {"sent": bench.hosts()[build.host]["sent"]}
    assert newest["sent"]
    assert {build.host: "1.1.0"} == bench.versions(), "sent last, whatever its number"


def test_a_message_that_comes_twice_is_once(bench: Any, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "HIDDEN", timedelta(0))
    monkeypatch.setattr(queues.SqsQueue, "delete", lambda *_: None)
    bench.send(bench.report())
    assert {"prod/mm"} == bench.run()
    before = bench.hosts()

    assert set() == bench.run()
    assert before == bench.hosts()


# ── whose word counts ──


def test_a_report_of_another_host_is_dropped_and_told_once_with_its_sender(bench: Any, build: Any) -> None:
    bench.send(bench.report(build.host))
    bench.run()
    bench.send(*(bench.report(build.host, version="6.6.6") for _ in range(3)), by=build.other)

    assert set() == bench.run()

    assert {build.host: "1.0.0"} == bench.versions()
    assert 0 == bench.left()
    ((said, values),) = bench.log.lines
    assert "report of another host" == said
    assert str(values["sender"]).endswith(f":{build.other}")
    assert build.host == values["host"]


def test_no_terminal_obeys_the_name_that_a_dropped_report_claims(bench: Any, build: Any) -> None:
    bench.send(bench.report("\x1b[2Ji-0\n0"), by=build.other)

    bench.run()

    ((_, values),) = bench.log.lines
    assert "i-0 0" == values["host"]


def test_what_a_host_says_is_kept_without_what_a_terminal_would_obey(bench: Any, build: Any) -> None:
    bench.send(bench.report(build.host, message="\x1b[31mfell\x07\nover"))

    bench.run()

    assert "fell over" == bench.hosts()[build.host]["message"]


def test_who_is_no_session_of_a_role_has_no_say(bench: Any, build: Any) -> None:
    report = bench.report(bench.aws.client("sts").get_caller_identity()["Account"])
    bench.aws.client("sqs").send_message(QueueUrl=bench.address, MessageBody=report.text())

    bench.run()

    assert {} == bench.hosts()
    assert ["report of another host"] == bench.told()


@pytest.mark.parametrize(
    "body", ["", "hello", "{}", "[]", '{"format": "fairlead/report/v2"}', '{"a": 1, "a": 2}', "[" * 9000, "null"]
)
def test_what_is_no_report_keeps_nobody_from_being_heard(bench: Any, build: Any, body: str) -> None:
    bench.send(body or " ", bench.report())

    assert {"prod/mm"} == bench.run()

    assert ["report malformed"] == bench.told()
    assert {build.host: "1.0.0"} == bench.versions()
    assert 1 == bench.left(), "for SQS to put aside"


@pytest.fixture
def seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read and not deleted can be read again."""
    monkeypatch.setattr(queues, "HIDDEN", timedelta(0))


@pytest.mark.usefixtures("seen_at_once")
def test_what_nobody_can_read_ends_in_the_queue_for_it(bench: Any, build: Any) -> None:
    sqs = bench.aws.client("sqs")
    dead = sqs.create_queue(QueueName=f"{build.queue}_dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    sqs.set_queue_attributes(QueueUrl=bench.address, Attributes={"RedrivePolicy": redrive})
    bench.send("no report", bench.report())

    for _ in range(8):
        bench.run()

    assert 0 == bench.left()
    assert ["no report"] == [each["Body"] for each in sqs.receive_message(QueueUrl=dead)["Messages"]]
    assert {build.host: "1.0.0"} == bench.versions()


@pytest.mark.usefixtures("seen_at_once")
def test_without_such_a_queue_it_goes_after_as_many_reads(bench: Any) -> None:
    bench.send("no report")

    left = []
    for _ in range(7):
        bench.run()
        left.append(bench.left())

    assert [1, 1, 1, 1, 1, 0, 0] == left
    assert ["report malformed"] == bench.told()
    assert 6 == bench.feed.dropped["report_malformed"]


@pytest.mark.parametrize("name", ["nonsense", "prod/../mm", "prod/mm/x", "PROD/mm", "prod/mm\n"])
def test_a_report_of_what_no_fleet_can_be_called_is_dropped(bench: Any, build: Any, name: str) -> None:
    bench.send(bench.report(fleet=name))

    assert set() == bench.run()

    assert [("report malformed", "report.fleet must be environment and service, like prod/matchmaker")] == [
        (event, values["why"]) for event, values in bench.log.lines
    ]
    assert 1 == bench.left()


@pytest.mark.parametrize("name", ["prod/unknown", "staging/mm", "prod/checkout"])
def test_a_report_of_a_fleet_that_is_not_ours_is_dropped(bench: Any, build: Any, name: str) -> None:
    bench.declare(build.fleet(), build.fleet("staging/mm"), build.fleet("prod/checkout", "spinnaker"))
    bench.send(bench.report(fleet=name))

    assert set() == bench.run()

    assert ["report of an unknown fleet"] == bench.told()
    assert {} == bench.hosts()
    assert 0 == bench.left()


# ── silence ──


def test_a_queue_without_messages_is_read_all_the_same(bench: Any, build: Any) -> None:
    bench.clock.advance(timedelta(minutes=2))
    bench.run()

    assert bench.clock.now() == bench.record().snapshots[build.feed].read_at


def test_at_the_end_of_a_gap_as_long_as_silence_may_be_the_fleet_is_due_once(bench: Any, build: Any) -> None:
    """A pass in the gap concluded nothing, and waits for this read."""
    bench.run()
    bench.clock.advance(timedelta(minutes=2))
    assert set() == bench.run()

    bench.clock.advance(timedelta(minutes=3, seconds=1))

    assert [{"prod/mm"}, set()] == [bench.run(), bench.run()]


def test_who_falls_silent_and_who_speaks_again_is_news_once(bench: Any, build: Any) -> None:
    bench.send(bench.report())
    bench.run()
    bench.clock.advance(timedelta(minutes=2, seconds=50))
    assert set() == bench.run()
    bench.clock.advance(timedelta(minutes=1))

    assert {"prod/mm"} == bench.run()
    assert set() == bench.run()

    bench.send(bench.report())
    assert {"prod/mm"} == bench.run()


def test_a_backlog_makes_nobody_silent(bench: Any, build: Any) -> None:
    """Read long after: what was sent later may still be in the queue, so nothing is known of the time since."""
    bench.send(bench.report())
    bench.clock.advance(timedelta(hours=1))
    bench.run()

    part = bench.record().snapshots[build.feed]
    assert part.read_at < bench.clock.now() - timedelta(minutes=59)

    bench.run()
    assert bench.clock.now() == bench.record().snapshots[build.feed].read_at


def test_what_is_known_is_never_taken_back(bench: Any, build: Any) -> None:
    bench.clock.advance(timedelta(hours=1))
    bench.run()
    known = bench.record().snapshots[build.feed].read_at
    bench.send(bench.report())

    bench.run()

    assert known == bench.record().snapshots[build.feed].read_at


@pytest.mark.parametrize(("inventory", "stays"), [({}, False), ({"i-0123456789abcdef0": {}}, True), (None, True)])
def test_a_host_that_is_gone_is_forgotten_after_a_day(bench: Any, build: Any, inventory: Any, stays: bool) -> None:
    bench.send(bench.report())
    bench.run()
    place = build.name.rpartition("/")[0]
    if inventory is not None:
        due = bench.claim(f"inventory:{place}")
        part = {"prod/mm": {"hosts": inventory}}
        bench.ledger.record_snapshots(due.lease, f"inventory/{place}", part, bench.clock.now())
    bench.clock.advance(timedelta(hours=23))
    bench.run()
    assert [build.host] == list(bench.hosts())

    bench.clock.advance(timedelta(hours=3))
    bench.run()

    assert ([build.host] if stays else []) == list(bench.hosts())


# ── the queue itself ──


def test_a_missing_queue_is_told_with_its_remedy_until_it_is_there(empty: Any, build: Any) -> None:
    empty.declare(build.fleet(), build.fleet("prod/checkout", "spinnaker"))

    assert set() == empty.run()

    said = empty.record().trouble[build.feed]
    assert "there is no queue fairlead-reports-prod in us-east-1 of account 123456789012" in said
    assert "`fairlead trigger setup`" in said
    assert {} == empty.record("prod/checkout").trouble

    empty.make_queue()
    assert {"prod/mm"} == empty.run()
    assert {} == empty.record().trouble


def test_a_queue_deleted_under_the_feed_leaves_what_was_known_with_its_age(bench: Any, build: Any) -> None:
    bench.send(bench.report())
    bench.run()
    read_at = bench.record().snapshots[build.feed].read_at
    bench.aws.client("sqs").delete_queue(QueueUrl=bench.address)
    bench.clock.advance(timedelta(hours=1))

    bench.run()

    assert "fairlead trigger setup" in bench.record().trouble[build.feed]
    assert read_at == bench.record().snapshots[build.feed].read_at
    assert {build.host: "1.0.0"} == bench.versions()

    bench.make_queue()
    assert {"prod/mm"} == bench.run()
    assert bench.clock.now() == bench.record().snapshots[build.feed].read_at


def test_failures_in_a_row_wait_longer_and_at_most_a_minute(empty: Any, build: Any) -> None:
    empty.declare(build.fleet())
    lease = empty.claim().lease

    waits = [empty.feed.run(build.name, lease) - empty.clock.now() for _ in range(20)]

    assert all(timedelta(seconds=1) <= wait <= timedelta(minutes=1) for wait in waits)
    assert max(waits) > timedelta(seconds=5)


def test_a_feed_without_fleets_ends_and_takes_its_parts_along(bench: Any, build: Any) -> None:
    bench.send(bench.report())
    bench.run()
    bench.declare(build.fleet("prod/other", "spinnaker"))

    assert bench.feed.run(build.name, bench.claim().lease) is None

    assert {} == bench.record().snapshots


def test_fleets_are_counted_again_when_a_head_moved_and_not_before(
    bench: Any, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queues are looked at without a pause, and there may be ten thousand fleets."""
    counted: list[int] = []
    fleets = bench.ledger.fleets
    monkeypatch.setattr(bench.ledger, "fleets", lambda *args: counted.append(1) or fleets(*args))
    bench.run()
    before = len(counted)

    bench.run()
    bench.run()
    assert before == len(counted)

    bench.declare(build.fleet(), build.fleet("prod/new"))
    bench.send(bench.report(fleet="prod/new"))
    assert "prod/new" in bench.run()
    assert before + 1 == len(counted)


def test_names_are_those_of_trigger_fleets_only(empty: Any, build: Any) -> None:
    empty.declare(build.fleet(), build.fleet("staging/mm"), build.fleet("dev/checkout", "spinnaker"))

    place = build.name.rpartition("/")[0]
    assert {f"{place}/prod", f"{place}/staging"} == empty.feed.names()


# ── never lost ──


def test_nothing_is_deleted_that_the_ledger_does_not_have(
    bench: Any, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "HIDDEN", timedelta(0))
    replica = bench.another()
    lost = bench.claim(lease=timedelta(seconds=5), ledger=replica)
    bench.clock.advance(timedelta(seconds=6))
    mine = bench.claim()
    bench.send(bench.report())

    with pytest.raises(LeaseLost):
        bench.reader(replica).run(build.name, lost.lease)
    assert 1 == bench.left()
    assert {} == bench.hosts()

    bench.feed.run(build.name, mine.lease)
    assert {build.host: "1.0.0"} == bench.versions()
    assert 0 == bench.left()
    replica.close()


def test_two_replicas_share_a_queue_and_lose_nothing(bench: Any, build: Any) -> None:
    replica = bench.another()
    readers: list[tuple[Any, Reports]] = [(bench.ledger, bench.feed), (replica, bench.reader(replica))]
    hosts = [f"i-{number:017x}" for number in range(6)]
    for turn in range(6):
        store, reader = readers[turn % 2]
        bench.send(*(bench.report(host, version=f"1.{turn}.0") for host in hosts))
        due = bench.claim(ledger=store)
        assert [] == readers[1 - turn % 2][0].claim("reports", 1, timedelta(seconds=5)), "one reads at a time"
        reader.run(build.name, due.lease)
        store.finish(due)

    assert dict.fromkeys(hosts, "1.5.0") == bench.versions()
    assert 0 == bench.left()
    replica.close()


class Flood:
    """SQS with more in it than the sandbox takes in a second: only what a drain asks of it."""

    def __init__(self, messages: list[dict[str, Any]]) -> None:
        self.waiting = messages
        self.taken: dict[str, dict[str, Any]] = {}
        self.lock = Lock()

    def client(self, service: str, region: str, **_: Any) -> "Flood":
        return self

    def get_queue_url(self, **_: Any) -> dict[str, str]:
        return {"QueueUrl": "https://sqs.example.com/queue"}

    def receive_message(self, **_: Any) -> dict[str, Any]:
        with self.lock:
            given, self.waiting = self.waiting[:10], self.waiting[10:]
            self.taken.update({each["ReceiptHandle"]: each for each in given})
        return {"Messages": given} if given else {}

    def delete_message_batch(self, *, Entries: list[dict[str, str]], **_: Any) -> None:  # noqa: N803  as boto3 has it
        with self.lock:
            for entry in Entries:
                del self.taken[entry["ReceiptHandle"]]


def test_thousands_of_reports_are_a_few_rounds(bench: Any, build: Any) -> None:
    hosts = [f"i-{number:017x}" for number in range(1000)]
    sent = int(bench.clock.now().timestamp() * 1000)
    flood = Flood(
        [
            {
                "MessageId": f"{host}-{turn}",
                "Body": bench.report(host, version=f"1.{turn}.0").text(),
                "ReceiptHandle": f"{host}/{turn}",
                "Attributes": {"SenderId": f"AROAEXAMPLE:{host}", "SentTimestamp": str(sent + turn)},
            }
            for turn in range(5)
            for host in hosts
        ]
    )
    feed = bench.reader(sessions=flood)
    statements: list[str] = []

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    due, looks = bench.claim(), 0
    event.listen(Engine, "before_cursor_execute", count)
    try:
        while flood.waiting:
            feed.run(build.name, due.lease)
            looks += 1
    finally:
        event.remove(Engine, "before_cursor_execute", count)

    assert dict.fromkeys(hosts, "1.4.0") == bench.versions()
    assert {} == flood.taken
    assert looks < 5
    assert len(statements) < 20 * looks


def test_a_look_waits_for_messages(bench: Any, build: Any) -> None:
    feed = bench.reader(wait=timedelta(seconds=20))
    lease = bench.claim().lease
    with ThreadPoolExecutor() as pool:
        looking = pool.submit(feed.run, build.name, lease)
        bench.send(bench.report())
        looking.result(15)

    assert {build.host: "1.0.0"} == bench.versions()


# ── a process that dies ──


@pytest.mark.parametrize(("dies", "kept"), [("before", {}), ("after", {"i-0123456789abcdef0": "1.0.0"})])
def test_a_process_killed_beside_the_ledgers_write_loses_nothing(
    bench: Any, build: Any, dies: str, kept: dict[str, str]
) -> None:
    """Killed for real, right before the ledger is written and right after: before anything was deleted."""
    bench.send(bench.report())
    before = bench.hosts()

    child = subprocess.run([sys.executable, str(CHILD), bench.url, dies], capture_output=True, text=True, check=False)

    assert -signal.SIGKILL == child.returncode, child.stderr
    assert kept == bench.versions()
    assert {} == before
    assert 1 == bench.left(), "what was not deleted comes again"

    bench.until_visible()
    bench.clock.advance(timedelta(minutes=2))  # past the lease of the dead
    bench.run()
    assert {build.host: "1.0.0"} == bench.versions()
    assert 0 == bench.left()
