"""Reports: the newest of each fleet, numbered, again where they did not go, and silence where nobody is at work."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from adapters.agent_protocol.reports import Report, Work, WorkState, read_report
from fairlead_agent.reporting import LATE, RARELY, RETRY, STEP, Numbers, Sender
from fairlead_sandbox.aws import Aws

HEARTBEAT = 60.0
REPORT = Report(
    host="i-1", fleet="prod/matchmaker", agent="1", number=0, at=datetime(1970, 1, 1, tzinfo=UTC), message="first"
)
WORK = Work(key="k", version="1", attempt=1, state=WorkState.WORKING)
WORKING = replace(REPORT, work=WORK)
LOBBY = replace(REPORT, fleet="prod/lobby")
STAGING = replace(REPORT, fleet="staging/lobby")


@pytest.fixture
def sqs(aws: Aws) -> Any:
    return aws.client("sqs")


@pytest.fixture
def sender(sqs: Any, tmp_path: Path, clock: Any, said: Any) -> Sender:
    return Sender(lambda: sqs, Numbers(tmp_path / "number"), HEARTBEAT, clock, said)


@pytest.fixture
def sent(sqs: Any) -> Callable[..., list[Report]]:
    """Makes the queue of an environment, and gives what came since the last look."""
    queues: dict[str, str] = {}

    def come(environment: str = "prod") -> list[Report]:
        if environment not in queues:
            queues[environment] = sqs.create_queue(QueueName=f"fairlead-reports-{environment}")["QueueUrl"]
        found = []
        while messages := sqs.receive_message(QueueUrl=queues[environment], MaxNumberOfMessages=10).get("Messages"):
            found += [read_report(message["Body"]) for message in messages]
            for message in messages:
                sqs.delete_message(QueueUrl=queues[environment], ReceiptHandle=message["ReceiptHandle"])
        return sorted(found, key=lambda report: report.number)

    return come


def test_what_is_said_of_the_host_goes_with_every_report_and_at_once(sender: Sender, sent: Any) -> None:
    sent()
    for report in (REPORT, LOBBY):
        sender.post(report)
    sender.send_due()
    sent()

    sender.say_of_all("AWS ends it at noon", "the hook is not answered")
    sender.send_due()

    found = sent()
    assert {REPORT.fleet, LOBBY.fleet} == {report.fleet for report in found}
    assert {("AWS ends it at noon", "first; the hook is not answered")} == {
        (report.leaving, report.message) for report in found
    }
    sender.say_of_all("AWS ends it at noon", "the hook is not answered")
    sender.send_due()
    assert [] == sent()
    sender.say_of_all("", "")
    sender.send_due()
    assert {("", "first")} == {(report.leaving, report.message) for report in sent()}


def test_a_fleet_that_was_silenced_says_nothing_more_of_the_host(sender: Sender, sent: Any) -> None:
    sent()
    sender.post(REPORT)
    sender.send_due()
    sent()

    sender.silence(REPORT.fleet)
    sender.say_of_all("AWS ends it", "")
    sender.send_due()

    assert [] == sent()


def test_a_report_goes_with_its_number_and_time(sender: Sender, sent: Any, clock: Any) -> None:
    sent()
    sender.post(REPORT)
    sender.send_due()

    assert [replace(REPORT, number=1, at=clock.now())] == sent()


def test_only_the_newest_of_each_fleet_goes(sender: Sender, sent: Any) -> None:
    sent()
    for message in ("second", "third"):
        sender.post(replace(REPORT, message=message))
    sender.post(LOBBY)
    sender.send_due()
    sender.send_due()

    assert [("prod/matchmaker", "third"), ("prod/lobby", "first")] == [(each.fleet, each.message) for each in sent()]


def test_a_queue_that_is_missing_is_said_once_and_found_when_it_is_made(
    sender: Sender, sent: Any, clock: Any, said: Any
) -> None:
    sender.post(REPORT)
    for _ in range(3):
        sender.send_due()
        clock.advance(2 * RARELY)
    assert ["report-not-sent"] == said.events
    assert "fairlead-reports-prod" in said[0][1]["why"]
    sent()

    sender.send_due()

    assert ["first"] == [each.message for each in sent()]


def test_what_did_not_go_is_tried_more_and_more_rarely_and_a_newer_one_takes_its_place(
    sender: Sender, sqs: Any, aws: Aws, clock: Any, sent: Any
) -> None:
    def tries_within(seconds: float) -> int:
        before = aws.calls["sqs:GetQueueUrl"]
        for _ in range(int(seconds)):
            clock.advance(1)
            sender.send_due()
        return aws.calls["sqs:GetQueueUrl"] - before

    sender.post(REPORT)
    sender.send_due()

    assert 0 == tries_within(int(RETRY * 0.5))
    assert 3 <= tries_within(30) <= 6
    assert 4 <= tries_within(300) <= 10
    sent()
    sender.post(replace(REPORT, message="newer"))
    tries_within(2 * RARELY)
    assert ["newer"] == [each.message for each in sent()]


def test_a_fleet_whose_queue_is_missing_holds_no_other_up(sender: Sender, sent: Any) -> None:
    sent()
    sender.post(STAGING)
    sender.send_due()
    sender.post(REPORT)
    sender.wait()
    sender.send_due()

    assert ["prod/matchmaker"] == [each.fleet for each in sent()]


def test_a_surprise_with_one_fleet_drops_no_report_of_the_others(
    sender: Sender, sent: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent()
    send = sender._send

    def surprised(report: Report) -> str:
        if report.fleet == REPORT.fleet:
            raise KeyError("nobody thought of this")
        return send(report)

    monkeypatch.setattr(sender, "_send", surprised)
    for report in (REPORT, LOBBY):
        sender.post(report)
    with pytest.raises(KeyError):
        sender.send_due()

    sender.send_due()

    assert [LOBBY.fleet] == [report.fleet for report in sent()]
    monkeypatch.undo()
    clock.advance(2 * RETRY)
    sender.send_due()
    assert [REPORT.fleet] == [report.fleet for report in sent()]


def test_a_queue_that_was_deleted_is_asked_for_again(sender: Sender, sqs: Any, sent: Any, clock: Any) -> None:
    sent()
    sender.post(REPORT)
    sender.send_due()
    url = sqs.get_queue_url(QueueName="fairlead-reports-prod")["QueueUrl"]
    sqs.delete_queue(QueueUrl=url)
    sender.post(replace(REPORT, message="second"))
    sender.send_due()
    sqs.create_queue(QueueName="fairlead-reports-prod")

    clock.advance(2 * RARELY)
    sender.send_due()

    assert ["second"] == [each.message for each in sent()]


def test_where_aws_is_away_nothing_is_raised(tmp_path: Path, clock: Any, said: Any) -> None:
    def away() -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    sender = Sender(away, Numbers(tmp_path / "number"), HEARTBEAT, clock, said)
    sender.post(REPORT)

    sender.send_due()

    assert ["report-not-sent"] == said.events


def test_while_a_fleet_is_at_work_its_last_report_is_a_heartbeat(sender: Sender, sent: Any, clock: Any) -> None:
    sent()
    sender.post(WORKING)
    sender.send_due()
    clock.advance(HEARTBEAT)
    sender.send_due()
    assert [1] == [each.number for each in sent()]
    clock.advance(LATE * HEARTBEAT + 1)
    sender.send_due()
    sender.send_due()

    assert [2] == [each.number for each in sent()]


def test_a_fleet_that_rests_and_says_nothing_is_silent(sender: Sender, sent: Any, clock: Any) -> None:
    """Its thread hangs: to send its last report again would tell of a host that nobody looks at."""
    sent()
    sender.post(REPORT)
    sender.send_due()
    clock.advance(10 * HEARTBEAT)
    sender.send_due()

    assert 1 == len(sent())


def test_a_fleet_that_met_a_surprise_at_work_is_silent(sender: Sender, sent: Any, clock: Any) -> None:
    sent()
    sender.post(WORKING)
    sender.send_due()
    sender.silence(WORKING.fleet)
    clock.advance(10 * HEARTBEAT)
    sender.send_due()

    assert 1 == len(sent())


def test_steps_of_a_moment_are_not_told(sender: Sender, sent: Any, clock: Any) -> None:
    sent()
    for message in ("staging", "activating"):
        sender.post(replace(WORKING, message=message))
        sender.send_due()
        clock.advance(STEP / 4)
    sender.post(replace(WORKING, message="done", work=replace(WORK, state=WorkState.DONE)))
    sender.send_due()
    clock.advance(2 * STEP)
    sender.send_due()

    assert ["done"] == [each.message for each in sent()]


def test_a_step_that_lasts_is_told_and_steps_that_go_on_and_on_are_not_kept_back_for_ever(
    sender: Sender, sent: Any, clock: Any
) -> None:
    sent()
    for number in range(6):
        sender.post(replace(WORKING, message=str(number)))
        clock.advance(STEP / 2)
        sender.send_due()

    assert ["1", "3", "5"] == [each.message for each in sent()]


def test_who_ends_tells_the_step_it_is_at(sender: Sender, sent: Any) -> None:
    sent()
    sender.post(WORKING)
    sender.send_due()
    assert [] == sent()
    sender.send_due(last=True)

    assert ["first"] == [each.message for each in sent()]


def test_a_post_wakes_who_waits(sender: Sender) -> None:
    waiting = Thread(target=sender.wait)
    waiting.start()
    sender.post(REPORT)
    waiting.join(HEARTBEAT / 4)

    assert not waiting.is_alive()


# Numbers


def test_numbers_grow_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "number"
    taken = [Numbers(path).take() for _ in range(3)]
    one = Numbers(path)
    taken += [one.take() for _ in range(2500)]
    taken.append(Numbers(path).take())

    assert taken == sorted(set(taken))


@pytest.mark.parametrize("content", [b"", b"x", b"-5", b"\xff", b"9" * 5000, b"9" * 20, b"1.5"])
def test_a_file_of_numbers_that_is_none_begins_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "number"
    path.write_bytes(content)

    assert 1 == Numbers(path).take()
    assert 1 < Numbers(path).take()


def test_a_disk_that_takes_nothing_gives_numbers_all_the_same(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "no folder" / "number")

    assert [1, 2, 3] == [numbers.take() for _ in range(3)]


def test_two_threads_never_get_one_number(tmp_path: Path) -> None:
    numbers, taken = Numbers(tmp_path / "number"), list[int]()
    threads = [Thread(target=lambda: taken.extend([numbers.take() for _ in range(3000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 12_000 == len(set(taken))


def test_what_is_sent_is_a_report_of_the_protocol(sender: Sender, sqs: Any, sent: Any) -> None:
    sent()
    sender.post(replace(REPORT, message="x" * 5000 + "\0"))
    sender.send_due()
    url = sqs.get_queue_url(QueueName="fairlead-reports-prod")["QueueUrl"]

    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]

    assert "fairlead/report/v1" == json.loads(message["Body"])["format"]
