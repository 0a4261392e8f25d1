"""The step before a version: one host runs it, by a signed order; what its word and its silence mean."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.agent_protocol.orders import before_key
from adapters.agent_protocol.reports import Blame, Step, WorkState
from desired_state.model import Policy
from reconciler.reasons import Reason
from reconciler.record import Ask

WAVES = {"waves": [{"hosts": 1}, {"hosts": "100%"}], "max_unavailable": "50%"}
STEP = {**WAVES, "before": {"command": "./migrate", "within": "10m"}}
FOREVER = {**STEP, "before": {**STEP["before"], "irreversible": True}}  # type: ignore[dict-item]
ONE_TRY = Policy(retries=0)
DONE, FAILED, WORKING = WorkState.DONE, WorkState.FAILED, WorkState.WORKING


def settled(rig: Any, passes: Any, hosts: int = 3) -> list[Any]:
    """A fleet that runs 2.3.0 by our order."""
    made: list[Any] = rig.launch(hosts)
    passes.commit(rig.fleet("2.3.0", WAVES))
    passes.settle()
    work(rig)
    passes.settle()
    assert passes.said[0] == Reason.SUCCEEDED
    return made


def work(rig: Any) -> None:
    for host in rig.hosts.values():
        if not host.silent:
            host.does()


def bump(rig: Any, passes: Any, deploy: Any = STEP, version: str = "2.3.1", **changes: Any) -> str:
    commit: str = passes.commit(rig.fleet(version, deploy, **changes))
    passes.settle()
    return commit


def asked(rig: Any) -> Any:
    """The host that the order asks for the step."""
    return rig.hosts[rig.order().before.host]


def says(host: Any, state: WorkState, message: str = "", blame: Blame = Blame.NONE) -> None:
    """The host reads its order, and tells of the step."""
    host.reads()
    host.before = Step(key=before_key(host.order, host.id), state=state, message=message, blame=blame)
    host.says()


def next_look(rig: Any, passes: Any, **span: float) -> None:
    rig.pass_time(**(span or {"seconds": 10}))
    passes.settle()


def test_one_healthy_host_is_asked_and_nobody_is_admitted_before_it_has_done_it(rig: Any, passes: Any) -> None:
    sick, *_ = hosts = settled(rig, passes)
    sick.healthy = False
    sick.says()
    commit = bump(rig, passes)

    order = rig.order()
    assert "fairlead/order/v2" == order.format
    assert (1, "./migrate", 600.0) == (order.before.attempt, order.before.command, order.before.within)
    assert order.before.host in {host.id for host in hosts[1:]}
    assert (frozenset(), "2.3.1", "2.3.0") == (order.admitted, order.target.version, order.base.version)
    assert f"{commit[:12]}:{order.target.digest[:12]}:before:a1" == before_key(order, order.before.host)

    says(asked(rig), WORKING, "running")
    next_look(rig, passes)
    assert f"2.3.1 waits: before step on {order.before.host}: running" == passes.said[1]
    assert frozenset() == rig.order().admitted

    says(asked(rig), DONE)
    next_look(rig, passes)
    assert rig.order().before is None
    assert "fairlead/order/v1" == rig.order().format
    assert 1 == len(rig.order().admitted)


def test_a_host_that_is_not_asked_cannot_say_that_it_is_done(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    key = before_key(rig.order(), rig.order().before.host)
    for host in rig.hosts.values():
        if host is not asked(rig):
            host.before = Step(key=key, state=DONE)
            host.says()

    next_look(rig, passes)

    assert rig.order().before is not None
    assert frozenset() == rig.order().admitted


def test_a_failing_step_is_tried_on_another_host_and_then_the_version_is_put_aside(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    first = asked(rig)
    says(first, FAILED, "its before step ended with 3", Blame.UNHEALTHY)
    next_look(rig, passes)
    assert Reason.BACKING_OFF == passes.said[0]
    assert rig.order().before is None

    next_look(rig, passes, minutes=5)
    second = asked(rig)
    assert (2, False) == (rig.order().before.attempt, second is first)
    says(second, FAILED, "its before step ended with 3", Blame.UNHEALTHY)
    next_look(rig, passes)

    assert Reason.BEFORE_FAILED == passes.record.memory.quarantines[0].reason
    assert f"before step on {second.id}: its before step ended with 3" in passes.record.memory.quarantines[0].message
    assert {"2.3.0"} == {host.components["package/mm"] for host in rig.hosts.values()}
    assert all(document["admitted"] in ([], "all") for document in rig.written()[-4:])


@pytest.mark.parametrize("blame", [Blame.REFUSED, Blame.TRANSIENT])
def test_what_was_never_begun_is_no_fault_of_the_version(rig: Any, passes: Any, blame: Blame) -> None:
    settled(rig, passes)
    bump(rig, passes, policy=ONE_TRY)

    says(asked(rig), FAILED, "no such artifact", blame)
    next_look(rig, passes)

    entries = passes.record.memory.quarantines
    assert [Reason.DEPLOY_REFUSED] * (blame is Blame.REFUSED) == [entry.reason for entry in entries]
    assert "" == passes.record.memory.irreversible


def test_a_host_that_falls_silent_keeps_the_time_of_the_step_and_then_another_is_asked(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    first = asked(rig)
    says(first, WORKING, "running")
    first.silent = True

    next_look(rig, passes, minutes=4)
    assert {} == passes.record.memory.rollout.failures
    assert f"before step: {first.id} is silent since" in passes.said[1]
    next_look(rig, passes, minutes=17)
    assert 1 == passes.record.memory.rollout.failures["before"]
    next_look(rig, passes, minutes=5)

    assert (2, False) == (rig.order().before.attempt, asked(rig) is first)


def test_a_host_that_is_gone_fails_the_attempt_and_nobody_claims_to_know_whether_it_finished(
    rig: Any, passes: Any
) -> None:
    settled(rig, passes)
    bump(rig, passes, policy=ONE_TRY)
    gone = asked(rig)

    rig.terminate(gone)
    next_look(rig, passes)

    said = passes.record.memory.quarantines[0].message
    assert f"before step: {gone.id} is gone; whether it finished is not known" == said


def test_a_step_that_takes_longer_than_its_time_fails_and_a_slow_download_only_delays(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    says(asked(rig), WORKING, "staging")
    next_look(rig, passes, minutes=22)
    assert (1, {}) == (passes.record.memory.rollout.setbacks, passes.record.memory.rollout.failures)

    next_look(rig, passes, minutes=1)
    says(asked(rig), WORKING, "running")
    next_look(rig, passes, minutes=22)

    assert {"before": 1} == passes.record.memory.rollout.failures


def test_a_revert_takes_the_step_out_of_the_order_and_waits_until_its_host_rests(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bad = bump(rig, passes)
    host = asked(rig)
    says(host, WORKING, "running")

    passes.commit(rig.fleet("2.3.0", WAVES), reverts=(bad,), name="back")
    next_look(rig, passes)
    assert rig.order().before is None
    assert Reason.ABORTING == passes.said[0]
    work(rig)  # it follows the order, and still ends its command
    next_look(rig, passes)
    assert Reason.ABORTING == passes.said[0]

    host.before = replace(host.before, state=FAILED, message="interrupted; whether it finished is not known")
    work(rig)
    next_look(rig, passes)

    assert not passes.record.work
    assert () == passes.record.memory.prepared
    assert Reason.REVERTED == passes.said[0]


def test_a_step_that_was_done_when_its_end_was_asked_for_is_done(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bad = bump(rig, passes)
    host = asked(rig)
    says(host, WORKING, "running")
    passes.commit(rig.fleet("2.3.0", WAVES), reverts=(bad,), name="back")
    next_look(rig, passes)

    host.before = replace(host.before, state=DONE, message="")
    host.says()
    next_look(rig, passes)

    assert [rig.fleet("2.3.1").target_digest] == list(passes.record.memory.prepared)


def test_an_order_whose_answer_was_lost_asks_the_same_host_and_no_other(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    rig.road.breaks("s3:PUT", "drop_after", times=1)

    bump(rig, passes)
    first = rig.order().before
    next_look(rig, passes)
    next_look(rig, passes, minutes=1)

    assert first == rig.order().before
    assert {first.host} == {document["before"]["host"] for document in rig.written() if document.get("before")}


def test_who_was_asked_stays_so_when_that_host_is_not_well_any_more(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    host = asked(rig)
    says(host, WORKING, "running")
    host.healthy = False

    rig.put(b"{}")  # somebody writes there: the order is written anew
    next_look(rig, passes)
    next_look(rig, passes)

    assert host.id == rig.order().before.host


def test_without_anyone_to_ask_the_rollout_waits(rig: Any, passes: Any) -> None:
    hosts = settled(rig, passes)
    for host in hosts:
        host.report_only = True
        host.says()

    bump(rig, passes)

    assert rig.order().before is None
    assert passes.record.memory.rollout.setbacks >= 1
    assert {} == passes.record.memory.rollout.failures


def test_after_a_lost_ledger_the_step_under_way_is_taken_up(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    host, step = asked(rig), rig.order().before
    says(host, WORKING, "running")

    passes.lose_ledger()
    bump(rig, passes)
    assert step == rig.order().before
    says(host, DONE)
    next_look(rig, passes)

    assert 1 == len(rig.order().admitted)
    assert {1} == {document["before"]["attempt"] for document in rig.written() if document.get("before")}


def test_after_a_lost_ledger_a_step_that_ended_meanwhile_is_known_by_its_host(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    says(asked(rig), DONE)

    passes.lose_ledger()
    bump(rig, passes)
    next_look(rig, passes)

    assert 1 == len(rig.order().admitted)
    assert {1} == {document["before"]["attempt"] for document in rig.written() if document.get("before")}


def test_after_a_step_that_cannot_be_undone_a_failing_version_stays_until_a_commit_says_otherwise(
    rig: Any, passes: Any
) -> None:
    settled(rig, passes)
    bad = bump(rig, passes, FOREVER, policy=ONE_TRY)
    says(asked(rig), DONE)
    next_look(rig, passes)
    canary = rig.hosts[next(iter(rig.order().admitted))]
    canary.fails()
    next_look(rig, passes)

    assert Reason.BEFORE_IRREVERSIBLE == passes.said[0]
    assert "2.3.1" == rig.order().target.version

    passes.commit(rig.fleet("2.3.0", WAVES), reverts=(bad,), name="back")
    for _ in range(3):
        next_look(rig, passes)
        work(rig)
    next_look(rig, passes)
    assert Reason.REVERTED == passes.said[0]


def test_a_retry_asks_for_the_next_attempt(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes, policy=ONE_TRY)
    says(asked(rig), FAILED, "no", Blame.UNHEALTHY)
    next_look(rig, passes)

    passes.ask(Ask.RETRY)
    next_look(rig, passes)

    assert 2 == rig.order().before.attempt
