"""What people are told of each host."""

from datetime import timedelta
from typing import Any

import pytest

from adapters.trigger.hosts import hosts_of, room_for

SOON = timedelta(minutes=1)


def one(made: Any, report: Any, **more: Any) -> Any:
    snapshots = made.snapshots({"i-1": report}, **more)
    (found,) = hosts_of(made.fleet(), snapshots, made.NOW)
    return found


def test_a_host_is_told_with_where_it_is_what_it_runs_and_what_it_follows(made: Any) -> None:
    found = one(made, made.report("2.3.1", age=12))

    assert ("i-1", "us-east-1", "us-east-1a") == (found.id, found.region, found.zone)
    assert {"package/mm": "2.3.1"} == found.components
    assert ("0.2.0", 7, made.NOW - timedelta(seconds=12)) == (found.agent, found.sequence, found.heard_at)
    assert (True, True, False, False) == (found.running, found.healthy, found.silent, found.joining)


def test_silence_is_told_by_the_queues_last_read(made: Any) -> None:
    heard = one(made, made.report(age=170))
    silent = one(made, made.report(age=190))

    assert (False, True) == (heard.silent, silent.silent)
    assert "silent since 2026-11-23 08:56:50 UTC" in silent.message


def test_an_instance_that_never_reported_is_joining_and_after_its_boot_silent(made: Any) -> None:
    fresh = made.host(launched=made.NOW - timedelta(minutes=9))
    old = made.host(launched=made.NOW - timedelta(minutes=11))

    boots = one(made, None, hosts={"i-1": fresh})
    lost = one(made, None, hosts={"i-1": old})

    assert [(True, False), (False, True)] == [(each.joining, each.silent) for each in (boots, lost)]
    assert (None, "has never reported") == (lost.heard_at, lost.message)


def test_a_pending_instance_is_joining_however_old_it_is(made: Any) -> None:
    assert one(made, made.report(), hosts={"i-1": made.host() | {"state": "pending"}}).joining


def test_what_the_last_work_failed_of_is_said_with_what_the_host_went_back_to(made: Any) -> None:
    work = made.work("failed", version="3.0.0", message="answers 503", rolled_back_to="2.3.1", log="boom\n")
    found = one(made, made.report(work=work))

    assert ("3.0.0", "3.0.0 failed: answers 503; went back to 2.3.1") == (found.failed, found.message)
    assert "boom\n" == found.log


def test_the_stage_is_told_while_it_works_and_why_it_leaves(made: Any) -> None:
    found = one(made, made.report(work=made.work("working", stage="draining"), leaving="spot interruption"))

    assert ("draining", "spot interruption") == (found.stage, found.leaving)


def test_what_its_auto_scaling_group_does_with_it_is_told(made: Any) -> None:
    waits = one(made, made.report(), hosts={"i-1": made.host() | {"lifecycle": "Pending:Wait"}})
    ends = one(made, made.report(), hosts={"i-1": made.host() | {"lifecycle": "Terminating:Wait"}})

    assert (True, "its Auto Scaling group has it Terminating:Wait") == (waits.joining, ends.leaving)


def test_an_order_that_is_refused_is_told(made: Any) -> None:
    refused = {"reason": "expired", "message": "it ended in May", "sequence": 9}

    assert "refuses its order (expired): it ended in May" == one(made, made.report(refused=refused)).refused


def test_no_text_of_a_host_reaches_people_uncleaned_or_unbounded(made: Any) -> None:
    """Also what an earlier version of the controller has written into the ledger as it came."""
    bad = "\x1b[31m" + "x" * 5000 + "\u202e\n"
    work = made.work("failed", version=bad[:60], message=bad, stage=bad[:60], log=bad)
    refused = {"reason": bad[:60], "message": bad, "sequence": 9}
    said = made.report(message=bad, agent=bad[:60], leaving=bad, work=work, refused=refused, healthy=False)

    found = one(made, said | {"components": {"package/mm": bad}})

    texts = [found.message, found.refused, found.leaving, found.agent, *found.components.values()]
    assert all(text.isprintable() for text in texts)
    assert len(found.message) <= 1000
    assert len(found.log) <= 2048
    assert "\x1b" not in found.log


@pytest.mark.parametrize(
    ("deploy", "at_once", "stricter"),
    [
        ({}, 2, "max_unavailable"),
        ({"max_unavailable": 5, "min_healthy": "90%"}, 0, "min_healthy"),
        ({"max_unavailable": 1, "min_healthy": 2}, 1, "max_unavailable"),
    ],
)
def test_the_stricter_setting_is_named(made: Any, deploy: dict[str, Any], at_once: int, stricter: str) -> None:
    room = room_for(made.fleet(deploy=deploy), 8)

    assert (at_once, 8, stricter) == (room.at_once, room.hosts, room.stricter)
