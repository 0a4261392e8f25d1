"""Where work on a host stands, by snapshots alone."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.trigger.feeds import find_host
from adapters.trigger.judging import STAGING, Case, has_ended, is_admitted, judge, tickets, work_key
from adapters.trigger.settings import settings_of
from reconciler.quarantine import NEEDS_A_PERSON
from reconciler.reasons import Reason
from reconciler.work import Failure, Outcome, Phase


@pytest.fixture
def case(made: SimpleNamespace) -> Any:
    """Makes the case of i-1: its report, the order, and what else is known."""

    def make(outcome: Outcome, report: dict[str, Any] | None, order: dict[str, Any] | None, **changes: Any) -> Case:
        fleet = outcome.intent.fleet
        snapshots = made.snapshots({"i-1": report, "i-2": made.report()}, **changes.pop("read", {}))
        found = Case(
            outcome=outcome,
            order=order,
            host=find_host(fleet, "i-1", snapshots),
            whole=True,
            sick="",
            looked=True,
            settings=settings_of(fleet),
            now=made.NOW,
        )
        return replace(found, **changes)

    return make


def test_the_key_of_work_is_the_agents(made: SimpleNamespace) -> None:
    intent = made.intent(attempt=3)

    assert work_key(intent) == f"{'c' * 12}:{intent.fleet.target_digest[:12]}:a3"
    assert has_ended(intent, made.report(work=made.work("failed", attempt=3)))
    assert not has_ended(intent, made.report(work=made.work("working", attempt=3)))
    assert not has_ended(intent, made.report(work=made.work("failed", attempt=2)))
    assert not has_ended(intent, made.report())
    assert not has_ended(intent, None)


@pytest.mark.parametrize(
    ("changes", "admitted"),
    [
        ({"attempts": {"i-1": 1}}, True),
        ({"all": True}, True),
        ({"all": True, "attempts": {"i-1": 2}}, False),
        ({"attempts": {"i-2": 1}}, False),
        ({"attempts": {"i-1": 1}, "commit": "e" * 40}, False),
        ({"attempts": {"i-1": 1}, "digest": "e" * 64}, False),
        ({"attempts": {"i-1": 1}, "document": None}, False),
    ],
    ids=str,
)
def test_an_order_admits_a_host_to_one_release_at_one_attempt(
    made: SimpleNamespace, changes: dict[str, Any], admitted: bool
) -> None:
    assert is_admitted(made.order(**changes), made.intent()) is admitted


def test_an_intent_that_an_order_was_seen_to_admit_runs(made: SimpleNamespace, case: Any) -> None:
    intended = made.outcome(Phase.INTENDED, ticket=None)

    found = judge(case(intended, made.report(), made.order(attempts={"i-1": 1})))

    assert (found.phase, found.ticket, found.since) == (Phase.RUNNING, "7", made.NOW)
    assert judge(case(intended, made.report(), made.order())) == intended
    assert judge(case(intended, made.report(), None)) == intended


def test_an_intent_that_was_admitted_and_done_between_two_looks_is_done(made: SimpleNamespace, case: Any) -> None:
    intended = made.outcome(Phase.INTENDED, ticket=None)

    found = judge(case(intended, made.report(work=made.work("done")), made.order(attempts={"i-1": 1})))

    assert (found.phase, found.ticket) == (Phase.SUCCEEDED, "7")


@pytest.mark.parametrize(
    ("changes", "read"),
    [({"looked": False}, {}), ({"sick": "unhealthy in its target group: x"}, {}), ({}, {"age": 200})],
    ids=["groups not looked at", "vetoed", "silent"],
)
def test_the_word_of_a_host_is_not_enough(
    made: SimpleNamespace, case: Any, changes: dict[str, Any], read: dict[str, Any]
) -> None:
    report = made.report(work=made.work("done"), **read)

    assert judge(case(made.outcome(), report, made.order(attempts={"i-1": 1}), **changes)).phase is Phase.RUNNING


def test_since_stays_while_the_phase_does(made: SimpleNamespace, case: Any) -> None:
    began = made.NOW - timedelta(minutes=5)
    running = replace(made.outcome(), since=began)

    assert judge(case(running, made.report(), made.order())).since == began
    ended = judge(case(running, made.report(work=made.work("failed", blame="unhealthy")), made.order()))
    assert (ended.phase, ended.since) == (Phase.FAILED, made.NOW)


@pytest.mark.parametrize(
    ("reason", "sequence", "refused"),
    [
        ("OrderKeyUnknown", 7, True),
        ("OrderFromTheFuture", 7, True),
        ("OrderKeyUnknown", 6, False),  # of an order that lies there no more
        ("OrderTampered", 7, False),  # the object's fault: it is written anew
        ("OrderMalformed", 7, False),
    ],
)
def test_a_host_that_refuses_a_sound_order_fails_by_itself_and_stops_no_fleet(
    made: SimpleNamespace, case: Any, reason: str, sequence: int, refused: bool
) -> None:
    said = {"reason": reason, "message": "why", "sequence": sequence}
    report = made.report(sequence=5, refused=said)

    found = judge(case(made.outcome(), report, made.order(attempts={"i-1": 1})))

    assert found.phase is (Phase.FAILED if refused else Phase.RUNNING)
    assert found.failure is (Failure.UNHEALTHY if refused else Failure.NONE)
    assert found.reason not in NEEDS_A_PERSON
    assert reason in found.message


def test_a_forgery_that_a_host_refuses_is_not_its_fault(made: SimpleNamespace, case: Any) -> None:
    report = made.report(sequence=5, refused={"reason": "OrderKeyUnknown", "message": "why", "sequence": 7})

    assert judge(case(made.outcome(), report, made.order(document=None))).phase is Phase.RUNNING


# ── aborting ──


def aborting(made: SimpleNamespace, ticket: str | None = "without:8", **changes: Any) -> Outcome:
    return replace(made.outcome(Phase.ABORTING, ticket=ticket), **changes)


@pytest.mark.parametrize(
    ("report", "order", "ends"),
    [
        ({"sequence": 8}, {"sequence": 8}, True),
        ({"sequence": 9}, {"sequence": 9}, True),
        ({"sequence": 8}, {"sequence": 9}, True),  # the first order that left it out is enough
        ({"sequence": 7}, {"sequence": 8}, False),
        ({"sequence": 8, "work": "working"}, {"sequence": 8}, False),
        ({"sequence": 8}, {"sequence": 9, "attempts": {"i-1": 1}}, False),  # somebody admitted it again
        ({"sequence": 7, "work": "done"}, {"sequence": 8}, True),
        ({"sequence": 7, "work": "failed"}, {"sequence": 8}, True),
        ({"sequence": 8}, None, False),
    ],
    ids=str,
)
def test_an_abort_is_over_when_the_host_follows_an_order_without_it_and_rests(
    made: SimpleNamespace, case: Any, report: dict[str, Any], order: dict[str, Any] | None, ends: bool
) -> None:
    said = made.report("2.3.0", **{**report, "work": made.work(report["work"]) if "work" in report else None})

    found = judge(case(aborting(made), said, made.order(**order) if order is not None else None))

    assert found.phase is (Phase.ABORTED if ends else Phase.ABORTING)


def test_an_abort_without_a_ticket_is_judged_by_the_order_that_lies_there(made: SimpleNamespace, case: Any) -> None:
    behind, level = (made.report(sequence=sequence) for sequence in (6, 7))

    assert judge(case(aborting(made, "3"), behind, made.order())).phase is Phase.ABORTING
    assert judge(case(aborting(made, "3"), level, made.order())).phase is Phase.ABORTED


def test_an_abort_does_not_wait_for_ever_where_reports_cannot_be_read(made: SimpleNamespace, case: Any) -> None:
    late = made.NOW + timedelta(hours=1)
    at_work = made.report(sequence=7, work=made.work("working"))

    found = judge(case(aborting(made), at_work, made.order(8), now=late))

    assert (found.phase, found.message) == (Phase.ABORTED, "i-1 did not say that it ended it")


def test_tickets_are_the_sequences_of_orders(made: SimpleNamespace) -> None:
    outcomes = [made.outcome(ticket="7"), aborting(made), made.outcome(Phase.INTENDED, ticket=None)]

    assert tickets(outcomes) == [7, 8]


def test_downloads_have_their_time_before_a_host_is_late(made: SimpleNamespace, case: Any) -> None:
    fleet = made.fleet(deploy={"drain": {"target_groups": "attached", "within": "5m"}})
    outcome = replace(made.outcome(), intent=made.intent(fleet))
    limit = STAGING + 2 * timedelta(minutes=6, seconds=30)
    at_work = made.report(work=made.work("working", stage="draining"))

    for now, phase in ((made.NOW + limit - timedelta(seconds=1), Phase.RUNNING), (made.NOW + limit, Phase.FAILED)):
        report = {**at_work, "sent": now.isoformat()}
        found = judge(case(outcome, report, made.order(), now=now, read={"reports_read_at": now}))
        assert found.phase is phase
    assert (found.failure, found.reason) == (Failure.UNHEALTHY, Reason.DEADLINE_EXCEEDED)


HOSTILE_LOG = f"first\n{'x' * 4000}\n\x1b[31mno \x07disk\x1b[0m \u202eleft\n\n \n"


@pytest.mark.parametrize(
    ("message", "log", "said"),
    [
        ("answers 503", HOSTILE_LOG, "i-1: answers 503; went back to 2.3.0; said last: no disk left"),
        ("no disk left", HOSTILE_LOG, "i-1: no disk left; went back to 2.3.0"),
        ("answers 503", "", "i-1: answers 503; went back to 2.3.0"),
        ("answers 503", "y" * 4000, f"i-1: answers 503; went back to 2.3.0; said last: {'y' * 300}"),
    ],
)
def test_a_failure_ends_with_the_last_line_of_what_was_run_cleaned_and_cut(
    made: SimpleNamespace, case: Any, message: str, log: str, said: str
) -> None:
    work = made.work("failed", message=message, rolled_back_to="2.3.0", log=log)

    assert said == judge(case(made.outcome(), made.report(work=work), made.order())).message
