"""Whole passes over a fleet of hosts: waves, hosts that go and come, silence, failure, first contact, lost ledgers."""

from datetime import timedelta
from typing import Any

import pytest

from desired_state.model import Policy, Suspension, ZeroUnits
from reconciler.reasons import Reason
from reconciler.record import Ask

EAST, WEST = "us-east-1", "eu-west-1"
WAVES = {"waves": [{"hosts": 1, "soak": "1m"}, {"hosts": "100%"}], "max_unavailable": "50%"}


def settled(rig: Any, passes: Any, hosts: int = 4) -> list[Any]:
    """A fleet that runs 2.3.0 by our order."""
    made = [*rig.launch(hosts - hosts // 2), *rig.launch(hosts // 2, WEST)]
    passes.commit(rig.fleet("2.3.0", WAVES))
    passes.settle()
    work(rig)
    passes.settle()
    assert passes.said[0] == Reason.SUCCEEDED
    assert rig.order().admitted is None
    return made


def work(rig: Any) -> None:
    """Every host that speaks does what the order asks for."""
    for host in rig.hosts.values():
        if not host.silent:
            host.does()


def runs(rig: Any) -> list[str]:
    return sorted(host.components["package/mm"] for host in rig.hosts.values())


def bump(rig: Any, passes: Any, version: str = "2.3.1", **changes: Any) -> str:
    commit: str = passes.commit(rig.fleet(version, WAVES, **changes))
    passes.settle()
    return commit


def to_the_end(rig: Any, passes: Any) -> None:
    for _ in range(12):
        work(rig)
        passes.settle()
        if passes.record.memory.status.ready:
            return
        rig.pass_time(minutes=1)
    raise AssertionError(f"did not get ready: {passes.said}")


def test_a_rollout_goes_wave_by_wave_and_ends_with_one_release_for_all(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)

    (canary,) = passes.in_flight
    assert rig.order().admitted == {canary}
    work(rig)
    passes.settle()
    assert (passes.in_flight, runs(rig)) == (set(), ["2.3.0"] * 3 + ["2.3.1"])
    rig.pass_time(minutes=1)
    passes.settle()
    assert len(passes.in_flight) == 2
    assert len(rig.order().admitted) == 3
    to_the_end(rig, passes)

    assert runs(rig) == ["2.3.1"] * 4
    assert (rig.order().admitted, rig.order().target.version, rig.order().base.version) == (None, "2.3.1", "2.3.1")
    assert passes.said[0] == Reason.SUCCEEDED


def test_the_canary_that_fails_is_the_only_host_that_was_touched(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes, policy=Policy(retries=0))
    (canary,) = passes.in_flight

    rig.hosts[canary].fails(message="8080 answered 503 for 60 s")
    passes.settle()
    work(rig)
    passes.settle()

    assert runs(rig) == ["2.3.0"] * 4
    assert (rig.order().target.version, rig.order().admitted) == ("2.3.0", None)
    assert rig.order().rejected == (rig.fleet().target_digest,)
    assert passes.said == (
        Reason.ROLLED_BACK,
        f"2.3.1 failed: {canary}: 8080 answered 503 for 60 s; went back to 2.3.0",
    )
    assert {key for order in rig.written() for key in order["attempts"]} == set()


def test_a_second_attempt_comes_from_a_new_intent_alone(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    (canary,) = passes.in_flight
    rig.hosts[canary].fails()
    passes.settle()
    assert (rig.hosts[canary].reads(), rig.order().attempts) == (None, {})

    rig.pass_time(minutes=1)
    passes.settle()
    assert rig.order().attempts == {canary: 2}
    to_the_end(rig, passes)

    assert rig.order().attempts == {canary: 2}
    assert rig.hosts[canary].work.attempt == 2


def test_a_host_that_is_terminated_in_its_wave_holds_up_nobody(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    (canary,) = passes.in_flight
    rig.hosts[canary].begins()
    rig.terminate(rig.hosts[canary])

    passes.settle()
    to_the_end(rig, passes)

    assert runs(rig) == ["2.3.1"] * 3
    assert passes.record.memory.quarantines == ()


def test_who_joins_in_the_middle_runs_the_last_good_release_until_the_last_wave(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    (joiner,) = rig.launch(1, components={}, running=False, healthy=False)

    joiner.does()
    passes.settle()
    assert joiner.components == {"package/mm": "2.3.0"}
    assert joiner.id not in rig.order().admitted
    to_the_end(rig, passes)

    assert runs(rig) == ["2.3.1"] * 5


def test_who_joins_a_settled_fleet_needs_no_pass_at_all(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    before = len(rig.written())
    (joiner,) = rig.launch(1, components={}, running=False, healthy=False)

    joiner.does()
    passes.settle()

    assert (joiner.components, len(rig.written())) == ({"package/mm": "2.3.0"}, before)
    assert passes.said[0] == Reason.SUCCEEDED


def test_when_all_hosts_fall_silent_the_rollout_stops_at_the_first(rig: Any, passes: Any) -> None:
    hosts = settled(rig, passes)
    bump(rig, passes, policy=Policy(retries=0))
    (canary,) = passes.in_flight
    for host in hosts:
        host.silent = True
    rig.pass_time(minutes=4)

    passes.settle()

    assert set(passes.record.memory.attempts) == {f"fairlead:main:prod/mm:{_identity(rig, passes)}:{canary}"}
    (entry,) = passes.record.memory.quarantines
    assert (entry.reason, entry.message.startswith(f"{canary} is silent since")) == (Reason.HOST_SILENT, True)
    assert not passes.record.memory.status.ready


def _identity(rig: Any, passes: Any) -> str:
    return f"{passes.record.setting.commit[:12]}:{rig.fleet().target_digest[:12]}"


def test_when_half_of_the_hosts_fall_silent_the_others_wait_for_room(rig: Any, passes: Any) -> None:
    hosts = settled(rig, passes)
    bump(rig, passes)
    (canary,) = passes.in_flight
    quiet = [host for host in hosts if host.id != canary][:2]
    for host in quiet:
        host.silent = True
    work(rig)
    passes.settle()

    rig.pass_time(minutes=4)
    passes.settle()

    (speaking,) = {host.id for host in hosts} - {canary} - {host.id for host in quiet}
    assert speaking not in rig.order().admitted
    assert rig.hosts[speaking].components == {"package/mm": "2.3.0"}
    assert not passes.record.memory.status.ready


def test_deaf_ears_hold_the_fleet_and_start_nothing(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    rig.deaf_since = rig.clock.now()
    rig.clock.advance(timedelta(minutes=5))
    before = rig.body()

    bump(rig, passes)

    assert passes.said[0] == Reason.AWAITING_OBSERVATION
    assert (passes.in_flight, rig.body()) == (set(), before)


def test_no_host_at_all_is_no_success_and_the_first_to_come_is_deployed(rig: Any, passes: Any) -> None:
    bump(rig, passes, "2.3.0")
    assert passes.said == (Reason.NO_UNITS, "no units: nothing runs it")

    rig.launch(1, components={}, running=False, healthy=False)
    to_the_end(rig, passes)

    assert runs(rig) == ["2.3.0"]


def test_a_fleet_that_is_meant_to_be_empty_has_an_order_for_who_joins(rig: Any, passes: Any) -> None:
    bump(rig, passes, policy=Policy(zero_units=ZeroUnits.ALLOWED))

    assert (passes.said[0], rig.order().admitted, rig.order().target.version) == (Reason.SUCCEEDED, None, "2.3.1")


def test_a_target_group_that_calls_hosts_unhealthy_stops_the_rollout(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes, policy=Policy(retries=0))
    (canary,) = passes.in_flight
    rig.balance(rig.hosts[canary])
    rig.aws.make_target_sick(canary)
    for _ in range(4):
        work(rig)
        passes.settle()
        assert passes.in_flight == {canary}
        rig.pass_time(minutes=3)
    rig.pass_time(minutes=2)
    passes.settle()

    (entry,) = passes.record.memory.quarantines
    assert entry.message == (
        f"{canary} took longer than 13 min: {canary} says that it is done, "
        "but unhealthy in its target group: Health checks failed"
    )
    assert {canary} == {host for order in rig.written() for host in order["admitted"] if order["admitted"] != "all"}


def test_a_revert_takes_back_who_was_admitted_before_it_admits_anyone(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    forward = bump(rig, passes)
    (canary,) = passes.in_flight
    rig.hosts[canary].begins("draining")

    passes.commit(rig.fleet("2.3.0", WAVES), reverts=(forward,), name="back")
    passes.settle()
    assert (rig.order().target.version, rig.order().admitted) == ("2.3.1", frozenset())
    to_the_end(rig, passes)

    assert runs(rig) == ["2.3.0"] * 4
    assert passes.said[0] == Reason.REVERTED


@pytest.mark.parametrize("joined", [True, False])
def test_drift_on_a_host_heals_by_a_new_attempt(rig: Any, passes: Any, joined: bool) -> None:
    """A joiner has its first attempt from the order for all, which no intent speaks of."""
    host = settled(rig, passes)[0]
    if joined:
        (host,) = rig.launch(1, components={}, running=False, healthy=False)
        host.does()
        passes.settle()
    assert host.work.attempt == 1
    host.components = {"package/mm": "2.2.9"}
    host.says()

    passes.settle()
    assert (passes.said[0], passes.in_flight) == (Reason.HEALING, {host.id})
    assert rig.order().attempts == {host.id: 2}
    to_the_end(rig, passes)

    assert (runs(rig), host.work.attempt) == (["2.3.0"] * (5 if joined else 4), 2)
    assert (rig.order().admitted, rig.order().attempts) == (None, {host.id: 2})


# ── first contact and lost ledgers ──


def test_first_contact_writes_nothing_until_the_fleet_is_adopted(rig: Any, passes: Any) -> None:
    rig.launch(2)
    bump(rig, passes)
    assert (passes.said[0], rig.written()) == (Reason.FIRST_SIGHT, [])

    passes.ask(Ask.ADOPT)
    passes.settle()
    assert (rig.order().target.version, rig.order().base.version) == ("2.3.1", "2.3.0")
    to_the_end(rig, passes)

    assert runs(rig) == ["2.3.1"] * 2


def test_a_controller_that_only_observes_writes_nothing_ever(rig: Any, passes: Any) -> None:
    hosts = settled(rig, passes)
    before = len(rig.written())
    passes.observe_only = True
    bump(rig, passes)
    assert passes.said[0] == Reason.OBSERVE_ONLY
    rig.pass_time(days=20)
    hosts[0].components = {"package/mm": "2.2.9"}
    hosts[0].says()
    passes.settle()

    assert len(rig.written()) == before


def test_without_a_key_a_fleet_is_watched_and_goes_on_by_itself_when_there_is_one(rig: Any, passes: Any) -> None:
    passes.deployer = rig.controller(None)
    rig.launch(2)
    passes.commit(rig.fleet("2.3.0"))
    passes.settle()
    assert passes.said[0] == Reason.SUCCEEDED

    bump(rig, passes)
    missing = "there is no key to sign orders with; set [signing] in fairlead.toml"
    assert passes.said == (Reason.UNEQUIPPED, f"{missing}; it would deploy 2.3.1")
    assert rig.written() == []

    passes.deployer = rig.deployer
    passes.settle()
    assert rig.order().target.version == "2.3.1"
    to_the_end(rig, passes)
    assert runs(rig) == ["2.3.1"] * 2


def test_work_in_flight_goes_on_after_the_ledger_was_lost(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    (canary,) = passes.in_flight
    rig.hosts[canary].begins()
    before = len(rig.written())

    passes.lose_ledger()
    passes.commit(rig.fleet("2.3.1", WAVES))
    passes.once()
    assert passes.in_flight == {canary}
    assert [[canary]] == [order["admitted"] for order in rig.written()[before:]]  # only what was good is forgotten
    to_the_end(rig, passes)

    assert runs(rig) == ["2.3.1"] * 4
    assert {order["attempts"].get(canary, 1) for order in rig.written()} == {1}


def test_a_settled_fleet_goes_on_after_the_ledger_was_lost(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    before = len(rig.written())

    passes.lose_ledger()
    bump(rig, passes, "2.3.0")

    assert (passes.said[0], len(rig.written())) == (Reason.SUCCEEDED, before)


def test_an_attempt_that_was_spent_before_the_ledger_was_lost_is_not_repeated(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes, policy=Policy(retries=0))
    (canary,) = passes.in_flight
    rig.hosts[canary].fails()

    passes.lose_ledger()
    rig.pass_time(hours=1)
    bump(rig, passes)
    passes.ask(Ask.ADOPT)
    to_the_end(rig, passes)

    assert rig.hosts[canary].work.attempt == 2
    assert runs(rig) == ["2.3.1"] * 4


# ── crashes and upkeep ──


@pytest.mark.parametrize("moment", ["before the write", "after the write"])
def test_a_pass_that_dies_around_the_write_is_taken_up_by_the_next(rig: Any, passes: Any, moment: str) -> None:
    settled(rig, passes)
    before = len(rig.written())
    passes.commit(rig.fleet("2.3.1", WAVES))
    begun = passes.deployer.start

    def dies(*given: Any) -> Any:
        if moment == "after the write":
            list(begun(*given))
        raise SystemExit

    passes.deployer.start = dies
    with pytest.raises(SystemExit):
        passes.settle()
    del passes.deployer.start
    rig.clock.advance(timedelta(seconds=31))  # the lease runs out
    for host in rig.hosts.values():
        host.says()
    passes.settle()

    (canary,) = passes.in_flight or {outcome.intent.unit for outcome in passes.record.work}
    to_the_end(rig, passes)
    assert rig.hosts[canary].work.attempt == 1
    assert [order["admitted"] for order in rig.written()[before:]].count([canary]) == 1
    assert runs(rig) == ["2.3.1"] * 4


def test_an_order_lives_on_while_the_fleet_is_suspended(rig: Any, passes: Any) -> None:
    hosts = settled(rig, passes)
    passes.commit(rig.fleet("2.3.0", WAVES, suspension=Suspension(reason="looking into it")), name="2.3.0")
    hosts[0].components = {"package/mm": "2.2.9"}
    rig.pass_time(days=16)
    before = rig.order()

    passes.settle()

    assert passes.said[0] == Reason.SUSPENDED
    assert (rig.order().sequence, rig.order().meaning) == (before.sequence + 1, before.meaning)


def test_a_tampered_order_is_written_anew_and_people_are_told(rig: Any, passes: Any) -> None:
    hosts = settled(rig, passes)
    rig.put(rig.body().replace(b'"all"', b'["i-none"]'))
    hosts[0].reads()
    hosts[0].says()
    assert hosts[0].refused.reason == "OrderTampered"

    passes.once()

    assert passes.said[0] == Reason.UPKEEP_FAILED
    assert "OrderTampered" in passes.said[1]
    work(rig)
    rig.pass_time(minutes=1)
    passes.settle()
    assert passes.said[0] == Reason.SUCCEEDED


def test_the_way_of_running_changes_with_the_order_alone(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    passes.commit(rig.fleet("2.3.0", {**WAVES, "run": {"unit": "mm.service", "stop_within": "45s"}}), name="2.3.0")

    passes.settle()

    assert rig.order().target.lifecycle.run.stop_within == 45.0
    assert passes.said[0] == Reason.SUCCEEDED


def test_a_fleet_whose_file_is_gone_is_left_as_it_is(rig: Any, passes: Any) -> None:
    settled(rig, passes)
    bump(rig, passes)
    (canary,) = passes.in_flight
    rig.hosts[canary].begins()
    passes.commit(None)
    passes.settle()
    assert rig.order().admitted == frozenset()
    before = len(rig.written())
    for _ in range(3):
        rig.hosts[canary].does()
        passes.settle()
    rig.pass_time(days=20)
    passes.settle()

    assert (passes.said[0], len(rig.written())) == (Reason.REMOVED, before)
    assert (rig.order().admitted, runs(rig)) == (frozenset(), ["2.3.0"] * 4)
    assert passes.record.memory.rollout is None


# ── hosts of others ──


@pytest.mark.parametrize("ahead", [1, 50])
def test_an_instance_that_is_not_of_the_fleet_has_no_say_in_its_numbers(rig: Any, passes: Any, ahead: int) -> None:
    settled(rig, passes)
    bump(rig, passes)
    (canary,) = passes.in_flight
    rig.hosts[canary].begins()
    written = len(rig.written())

    for _ in range(4):
        claimed = rig.order().sequence + ahead
        rig.reports[EAST]["i-rogue"] = {**rig.reports[EAST][next(iter(rig.reports[EAST]))], "sequence": claimed}
        rig.pass_time(seconds=30)
        passes.settle()

    assert len(rig.written()) == written


def test_an_instance_that_is_not_of_the_fleet_does_not_stop_the_renewal_of_its_order(rig: Any, passes: Any) -> None:
    hosts = settled(rig, passes)
    for host in hosts:
        host.does()
    sequence = rig.order().sequence
    rig.reports[EAST]["i-rogue"] = {**rig.reports[EAST][hosts[0].id], "sequence": sequence + 50}
    rig.pass_time(days=16)

    assert rig.uphold(None) == ""

    assert rig.order().sequence == sequence + 1
