"""Hosts that are broken, dead or gone, and fleets that move or end in mid-rollout: who is harmed, and how far."""

from dataclasses import replace
from typing import Any

import pytest

from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from desired_state.model import Policy
from reconciler.reasons import Reason
from reconciler.reconcile import reconcile
from reconciler.record import Ask
from reconciler.work import Phase
from reconciler.world import World

NAME, WEST = "prod/mm", "eu-west-1"
SLOWLY = {"waves": [{"hosts": 1, "soak": "1m"}, {"hosts": "100%"}], "max_unavailable": "25%"}
AT_ONCE = {"waves": [{"hosts": "100%"}], "max_unavailable": "50%"}
PIPELINE = {
    "application": "mm",
    "pipeline": "deploy",
    "parameters": {"version": "V", "region": "R", "ami": "A", "fairleadKey": "K"},
    "select": {"cluster": "mm-prod"},
}


def settled(rig: Any, passes: Any, deploy: Any, hosts: int = 4) -> list[Any]:
    """A fleet that runs 2.3.0 by our order."""
    made = [*rig.launch(hosts - hosts // 2), *rig.launch(hosts // 2, WEST)]
    passes.commit(rig.fleet("2.3.0", deploy))
    passes.settle()
    work(rig)
    passes.settle()
    assert passes.said[0] == Reason.SUCCEEDED
    return made


def work(rig: Any) -> None:
    for host in rig.hosts.values():
        if not host.silent:
            host.does()


def bump(rig: Any, passes: Any, deploy: Any, **changes: Any) -> list[str]:
    """2.3.1 is rolled out: gives the hosts that are admitted at once."""
    passes.commit(rig.fleet("2.3.1", deploy, **changes))
    passes.settle()
    return sorted(rig.order().admitted or ())


def minutes(rig: Any, passes: Any, count: int) -> None:
    for _ in range(count):
        rig.pass_time(minutes=1)
        work(rig)
        passes.settle()


# ── its file goes ──


def test_hosts_that_were_taken_back_when_the_file_went_stay_taken_back(rig: Any, passes: Any) -> None:
    settled(rig, passes, AT_ONCE)
    admitted = bump(rig, passes, AT_ONCE)
    for host in admitted:
        rig.hosts[host].begins()
    written = len(rig.written())

    passes.commit(None)
    for number in range(6):
        passes.settle()
        if number:
            rig.hosts[admitted[number % 2]].does()
        rig.pass_time(seconds=30)
    minutes(rig, passes, 3)

    assert (len(admitted), len(rig.written())) == (2, written + 1)
    assert (rig.order().admitted, passes.said[0]) == (frozenset(), Reason.REMOVED)
    assert {host.components["package/mm"] for host in rig.hosts.values()} == {"2.3.0"}


# ── the fleet moves ──


def test_another_selector_in_the_middle_of_a_rollout_loses_no_host_that_is_at_it(rig: Any, passes: Any) -> None:
    settled(rig, passes, SLOWLY)
    (canary,) = bump(rig, passes, SLOWLY)
    rig.hosts[canary].begins()
    moved = {**SLOWLY, "select": {"tags": {"service": "other"}}}

    passes.commit(rig.fleet("2.3.1", moved, identity_digest="e" * 64), name="moved")
    passes.settle()
    assert passes.said[0] == Reason.IDENTITY_CHANGED
    assert {outcome.intent.unit: outcome.phase for outcome in passes.record.work} == {canary: Phase.RUNNING}

    passes.ask(Ask.APPROVE)
    passes.settle()
    assert rig.order().admitted == frozenset()
    rig.hosts[canary].does()
    passes.settle()
    assert (passes.record.work, rig.hosts[canary].components) == ((), {"package/mm": "2.3.0"})


def test_another_type_of_deploy_in_the_middle_of_a_rollout_leaves_the_work_to_its_own_deployer(
    rig: Any, passes: Any
) -> None:
    settled(rig, passes, SLOWLY)
    (canary,) = bump(rig, passes, SLOWLY)
    rig.hosts[canary].begins()
    gate = {"url": "http://127.0.0.1:1"}
    baked = rig.fleet(
        "2.3.1",
        deploy_type="spinnaker",
        environment=replace(rig.fleet().environment, spinnaker=gate),
        identity_digest="e" * 64,
    )
    passes.commit(replace(baked, deploy=PIPELINE), name="baked")
    spinnaker = Spinnaker(sessions=rig.sessions, gates=Gates({}, timeout=1), clock=rig.clock)
    world = World(ledger=passes.ledger, deployers={"trigger": passes.deployer, "spinnaker": spinnaker}, clock=rig.clock)

    def once() -> Any:
        return passes._within(f"fleet:{NAME}", lambda lease: reconcile(NAME, world, lease))

    once()
    assert passes.said[0] == Reason.IDENTITY_CHANGED
    assert passes.in_flight == {canary}

    passes.ask(Ask.APPROVE)
    once()
    assert (passes.said[0], rig.order().admitted) == (Reason.ABORTING, frozenset())
    rig.hosts[canary].does()
    for name, snapshot in rig.heard().items():
        passes._within(
            f"reports:{name}",
            lambda lease, name=name, at=snapshot: passes.ledger.record_snapshots(
                lease, name, {NAME: at.body}, at.read_at
            ),
        )
    once()
    assert canary not in {outcome.intent.unit for outcome in passes.record.work}
    assert rig.hosts[canary].components == {"package/mm": "2.3.0"}


# ── broken hosts ──


@pytest.mark.parametrize("place", range(4))
def test_a_fix_reaches_the_broken_host_first_wherever_it_stands(rig: Any, passes: Any, place: int) -> None:
    settled(rig, passes, SLOWLY)
    broken = rig.hosts[rig.observed(rig.fleet("2.3.0", SLOWLY)).units[place].id]
    broken.healthy = False
    broken.says()

    assert bump(rig, passes, SLOWLY) == [broken.id]
    minutes(rig, passes, 8)

    assert passes.record.memory.status.ready
    assert {host.components["package/mm"] for host in rig.hosts.values()} == {"2.3.1"}


def test_a_silent_host_is_no_canary(rig: Any, passes: Any) -> None:
    settled(rig, passes, AT_ONCE)
    quiet = rig.hosts[rig.observed().units[0].id]
    quiet.silent = True
    rig.pass_time(minutes=4)

    assert quiet.id not in bump(rig, passes, {**SLOWLY, "max_unavailable": "50%"})


def test_after_a_failure_no_further_host_is_admitted(rig: Any, passes: Any) -> None:
    settled(rig, passes, AT_ONCE, 6)
    admitted = bump(rig, passes, AT_ONCE)
    rig.hosts[admitted[0]].fails()
    for host in admitted[1:]:
        rig.hosts[host].does()
    passes.settle()
    rig.pass_time(minutes=1)
    passes.settle()

    assert (len(admitted), sorted(rig.order().admitted)) == (3, admitted)
    assert rig.order().attempts == {admitted[0]: 2}
    rig.hosts[admitted[0]].does()
    passes.settle()
    assert len(rig.order().admitted) == 6


# ── hosts that cannot be healed ──


def ends_well(rig: Any, passes: Any, count: int) -> None:
    minutes(rig, passes, 3)
    assert passes.record.memory.status.ready
    assert (rig.order().target.version, len(rig.hosts)) == ("2.3.0", count)


def test_a_joiner_that_never_reports_harms_nobody_and_is_named(rig: Any, passes: Any) -> None:
    settled(rig, passes, AT_ONCE)
    (dead,) = rig.launch(1, silent=True)

    minutes(rig, passes, 45)

    assert passes.record.memory.quarantines == ()
    assert passes.said[0] == Reason.HOST_SILENT
    assert passes.said[1].startswith(f"{dead.id} has never reported; all others run 2.3.0; tried again at ")
    rig.terminate(dead)
    ends_well(rig, passes, 4)
    rig.launch(1, components={}, running=False, healthy=False)
    ends_well(rig, passes, 5)


def test_a_host_that_falls_silent_while_it_is_healed_harms_nobody(rig: Any, passes: Any) -> None:
    host = settled(rig, passes, AT_ONCE)[0]
    host.components = {"package/mm": "2.2.9"}
    host.says()
    passes.settle()
    host.begins()
    host.silent = True

    minutes(rig, passes, 20)

    assert (passes.record.memory.quarantines, passes.said[0]) == ((), Reason.HOST_SILENT)
    assert passes.said[1].startswith(f"{host.id} is silent since ")
    host.silent = False
    minutes(rig, passes, 3)
    ends_well(rig, passes, 4)


def test_a_joiner_that_was_set_up_wrong_is_refused_alone(rig: Any, passes: Any) -> None:
    settled(rig, passes, AT_ONCE)
    (wrong,) = rig.launch(1, components={}, running=False, healthy=False, report_only=True)
    wrong.does = wrong.says  # its agent touches nothing
    minutes(rig, passes, 3)

    assert (passes.record.memory.quarantines, passes.said[0]) == ((), Reason.DEPLOY_REFUSED)
    assert wrong.id in passes.said[1]


def test_a_joiner_in_mid_rollout_that_never_reports_blames_no_version(rig: Any, passes: Any) -> None:
    settled(rig, passes, AT_ONCE)
    bump(rig, passes, AT_ONCE, policy=Policy(retries=0))
    (dead,) = rig.launch(1, silent=True)
    work(rig)
    passes.settle()
    work(rig)
    passes.settle()

    assert passes.said[0] == Reason.SUCCEEDED
    assert passes.record.memory.finished.units == 4
    minutes(rig, passes, 40)
    assert passes.record.memory.quarantines == ()
    assert passes.said[1].startswith(f"{dead.id} has never reported; all others run 2.3.1; tried again at ")
