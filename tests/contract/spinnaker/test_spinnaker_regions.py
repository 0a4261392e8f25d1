"""A suspended region: what is seen of it, what is read of it, and work that was under way there."""

from dataclasses import replace
from typing import Any

import requests

from desired_state.model import Suspension
from fairlead_sandbox.aws import ACCOUNT
from reconciler.work import Phase

EAST, WEST = "us-east-1", "eu-west-1"
ASLEEP = (Suspension(reason="the region moves", regions=(WEST,)),)


def seen(rig: Any, fleet: Any, work: Any = (), known: Any = None) -> Any:
    known = known or {}
    return rig.deployer.observe(fleet, {**known, **rig.deployer.refresh(fleet, work, known)})


def test_it_is_set_aside_and_shown_by_the_last_bulk_read(rig: Any) -> None:
    known = rig.deployer.refresh(rig.fleet(), (), {})

    observed = seen(rig, rig.fleet(regional=ASLEEP), known=known)

    assert ([EAST], [WEST], ()) == (
        [unit.id for unit in observed.units],
        [unit.id for unit in observed.aside],
        observed.missing,
    )
    assert ({"package/checkout": "1.4.1"}, "suspended: the region moves") == (
        observed.aside[0].components,
        observed.aside[0].message,
    )


def test_nothing_is_asked_of_it_and_it_need_not_answer(rig: Any) -> None:
    fleet = rig.fleet(regional=ASLEEP)

    assert {f"inventory/{ACCOUNT}/{EAST}", f"executions/{rig.gate.url}"} == set(rig.deployer.refresh(fleet, (), {}))
    observed = seen(rig, fleet)
    assert ((), "suspended: the region moves; not read") == (observed.missing, observed.aside[0].message)


def test_work_under_way_there_is_followed_to_its_end(rig: Any) -> None:
    outcome = rig.start(rig.intent(unit=WEST))
    fleet = rig.fleet(regional=ASLEEP)
    for _ in range(100):
        rig.gate.tick()
        outcome = rig.deployer.check(outcome, rig.deployer.refresh(fleet, [outcome], {}), rig.clock.now())
        if outcome.phase.ended:
            break

    assert (Phase.SUCCEEDED, f"{WEST} runs 1.4.2 and is healthy") == (outcome.phase, outcome.message)


def test_work_under_way_where_nothing_answers_keeps_nobody_waiting(rig: Any, monkeypatch: Any) -> None:
    outcome = rig.start(rig.intent(unit=WEST))
    fleet = rig.fleet(regional=ASLEEP)
    monkeypatch.setattr(
        rig.deployer._sessions, "client", _without(rig.deployer._sessions.client, WEST)
    )  # a region that is down

    observed = seen(rig, fleet, [outcome])

    assert {"package/checkout": "1.4.1"} == observed.units[0].components
    assert (Phase.RUNNING) is rig.deployer.check(
        outcome, rig.deployer.refresh(fleet, [outcome], {}), rig.clock.now()
    ).phase


def _without(real: Any, region: str) -> Any:
    from reconciler.ports import Unreadable

    def client(service: str, where: str, **how: Any) -> Any:
        if where == region:
            raise Unreadable(f"{where} does not answer")
        return real(service, where, **how)

    return client


def test_a_unit_that_was_started_while_its_region_slept_is_still_found(rig: Any) -> None:
    outcome = rig.start(rig.intent(rig.fleet(regional=ASLEEP), unit=EAST))

    assert Phase.SUCCEEDED is rig.until_ended(outcome).phase


def test_what_others_do_in_it_holds_nobody_else(rig: Any) -> None:
    told = {"PKG_VERSION": "1.4.9", "REGION": WEST}
    requests.post(f"{rig.gate.url}/pipelines/checkout/deploy-{WEST}", json={"parameters": told}, timeout=5)
    requests.post(f"{rig.gate.url}/pipelines/checkout/deploy-{EAST}", json={"parameters": told}, timeout=5)

    assert "(+1 more)" in seen(rig, rig.fleet()).foreign
    assert "" == seen(rig, rig.fleet(regional=ASLEEP)).foreign
    shared = replace(rig.fleet(regional=ASLEEP), deploy={**rig.fleet().deploy, "pipeline": f"deploy-{EAST}"})
    assert "" == seen(rig, shared).foreign
