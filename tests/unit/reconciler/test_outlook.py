"""What a deploy will meet, over records as the ledger has them and a deployer in memory."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.clock import ManualClock
from adapters.deployers.memory import InMemory
from desired_state.changes import Change, Effect
from desired_state.model import Adopt, Fleet, Freeze, Policy, Suspension
from reconciler.memory import Memory, Quarantine, Rollout
from reconciler.outlook import Outlook, from_git, outlook, rollout_spans, without_addresses
from reconciler.reasons import Reason
from reconciler.record import Event, Record
from reconciler.work import Kind, Release
from tests.unit.reconciler.conftest import NOW, make_fleet, make_situation

OLD = make_fleet("1.4.1")


def record(**memory: Any) -> Record:
    known = {"adopted": True, "identity": OLD.identity_digest} | memory
    return make_situation(desired=OLD, observed=(), memory=Memory(**known)).record


def look(
    after: Fleet | None, known: Record | None = None, *, effect: Effect = Effect.DEPLOY, history: Any = (), **world: Any
) -> Outlook:
    units = InMemory(ManualClock(NOW), ["eu-west-1", "us-east-1"])
    for unit in units.places:
        units.run(unit, {"package/checkout": world.get("runs", "1.4.1")})
    units.foreign, units.lacks = world.get("foreign", ""), world.get("lacks", "")
    if known is not None:
        known = replace(known, snapshots=units.refresh(OLD, (), {}))
    change = Change(fleet=OLD.name, effect=effect, before=world.get("before", OLD), after=after)
    return outlook(change, known, units, history, NOW, watches=world.get("watches", False))


def reasons(found: Outlook) -> list[Reason]:
    return [hold.reason for hold in found.holds]


def test_a_fleet_at_rest_meets_nothing() -> None:
    assert [] == reasons(look(make_fleet("1.4.2"), record()))


def test_units_and_waves_are_those_that_are_there() -> None:
    found = look(make_fleet("1.4.2"), record())

    assert (2, ("2 units",)) == (found.units, found.waves)


def test_units_that_run_it_already_are_told() -> None:
    assert ("all units run it already",) == look(make_fleet("1.4.2"), record(), runs="1.4.2").notes


def test_a_suspension_is_met_until_it_clears() -> None:
    until = NOW + timedelta(days=2)
    after = make_fleet("1.4.2", suspension=Suspension(reason="the night shift", until=until))

    (hold,) = look(after, record()).holds

    assert (Reason.SUSPENDED, until) == (hold.reason, hold.until)


def test_a_suspension_that_is_over_is_not_met() -> None:
    after = make_fleet("1.4.2", suspension=Suspension(reason="over", until=NOW))

    assert [] == reasons(look(after, record()))


def freeze(begins: timedelta, ends: timedelta) -> Freeze:
    return Freeze(name="cup", reason="no deploys", begins=NOW + begins, ends=NOW + ends)


def test_a_freeze_is_met_and_one_that_comes_soon_is_told() -> None:
    now, soon, late = (freeze(timedelta(hours=begins), timedelta(hours=begins + 2)) for begins in (-1, 24, 24 * 30))
    found = look(make_fleet("1.4.2", freezes=(now, soon, late)), record())

    assert [Reason.FREEZE_WINDOW] == reasons(found)
    assert ["freeze cup from 2026-11-24 09:00 UTC to 2026-11-24 11:00 UTC"] == list(found.notes)


def test_suspended_regions_are_told() -> None:
    after = make_fleet("1.4.2", regional=(Suspension(reason="a flood", regions=("eu-west-1",)),))

    assert "eu-west-1 is suspended: a flood" in look(after, record()).notes


def test_somebody_else_s_work_is_met_and_its_address_is_not_told() -> None:
    found = look(make_fleet("1.4.2"), record(), foreign="Ada's pipeline at https://gate.internal/x runs")

    assert [Reason.FOREIGN_EXECUTION] == reasons(found)
    assert "gate.internal" not in found.holds[0].message
    assert "Ada's pipeline at (an address) runs" in found.holds[0].message


def test_other_machines_wait_for_approval_and_nothing_is_said_of_them() -> None:
    found = look(make_fleet("1.4.2", identity="there"), record())

    assert [Reason.IDENTITY_CHANGED] == reasons(found)
    assert found.units is None


def test_a_controller_that_only_observes_says_so() -> None:
    assert [Reason.OBSERVE_ONLY] == reasons(look(make_fleet("1.4.2"), record(), watches=True))


def test_a_new_fleet_may_wait_to_be_adopted() -> None:
    found = look(make_fleet("1.4.2"), None, effect=Effect.ADDED, before=None)

    assert [Reason.FIRST_SIGHT] == reasons(found)


def test_a_new_fleet_that_adopts_itself_waits_for_nobody() -> None:
    after = make_fleet("1.4.2", policy=Policy(adopt=Adopt.AUTO))

    assert [] == reasons(look(after, None, effect=Effect.ADDED, before=None))


def test_a_fleet_that_nobody_adopted_is_adopted_by_a_newer_commit() -> None:
    assert [] == reasons(look(make_fleet("1.4.2"), record(adopted=False, first_seen="a" * 40)))


def test_a_target_that_failed_here_is_told() -> None:
    after = make_fleet("1.4.2")
    failed = Quarantine(
        target_digest=after.target_digest,
        spec_digest="",
        setting_commit="",
        version="1.4.2",
        reason=Reason.UNHEALTHY,
        message="",
        since=NOW - timedelta(days=1),
        until=None,
    )

    assert [
        "1.4.2 failed here on 2026-11-22 (Unhealthy) and is quarantined; the merge lifts that and tries it again"
    ] == [note for note in look(after, record(quarantines=(failed,))).notes if "failed" in note]


@pytest.mark.parametrize(
    ("failures", "preemptions", "sentence"),
    [
        ({}, 0, "the wave of 1.4.1 under way finishes first"),
        ({"us-east-1": 1}, 0, "the rollout of 1.4.1 under way is failing and is ended first"),
        ({}, 3, "the rollout of 1.4.1 under way is let finish first"),
    ],
)
def test_a_rollout_under_way_is_told(failures: dict[str, int], preemptions: int, sentence: str) -> None:
    rollout = Rollout(
        release=Release(fleet=OLD, setting_commit="a" * 40), kind=Kind.DEPLOY, started_at=NOW, failures=failures
    )

    assert sentence in look(make_fleet("1.4.2"), record(rollout=rollout, preemptions=preemptions)).notes


@pytest.mark.parametrize(("runs", "notes"), [("1.3.0", 1), ("1.4.1", 0)])
def test_what_a_suspension_held_back_begins_when_it_goes(runs: str, notes: int) -> None:
    before = make_fleet("1.4.1", suspension=Suspension(reason="x"))

    found = look(OLD, record(), effect=Effect.POLICY, before=before, runs=runs)

    assert ["what was held begins: 2 units are not at 1.4.1 yet"] * notes == list(found.notes)


def test_a_change_that_deploys_nothing_meets_nothing() -> None:
    after = make_fleet("1.4.1", spec="other", suspension=Suspension(reason="x"))

    found = look(after, record(), effect=Effect.SPEC)

    assert ([], ()) == (reasons(found), found.notes)


def test_from_git_tells_what_the_files_say() -> None:
    after = make_fleet("1.4.2", suspension=Suspension(reason="x"), freezes=(freeze(-timedelta(1), timedelta(1)),))
    change = Change(fleet=OLD.name, effect=Effect.DEPLOY, before=OLD, after=after)

    found = from_git(change, NOW)

    assert [Reason.SUSPENDED, Reason.FREEZE_WINDOW] == reasons(found)
    assert (None, None) == (found.units, found.takes)


# ── how long it takes ────────────────────────────────────────────────────────────────────────────────────────────


def history(*lines: tuple[str, str, int]) -> list[Event]:
    """Newest first; times are minutes."""
    return [Event(kind=kind, message=text, at=NOW + timedelta(minutes=at)) for kind, text, at in lines[::-1]]


def test_the_last_rollouts_are_measured() -> None:
    lines = history(
        ("rollout-started", "deploy 1 set by a", 0),
        ("held", "Soaking: x", 1),
        ("rollout-finished", "deploy 1 set by a", 4),
        ("rollout-started", "heal 1 set by a", 5),
        ("rollout-finished", "heal 1 set by a", 6),
        ("rollout-started", "deploy 2 set by b", 10),
        ("rollout-ended", "deploy 2 was not finished", 11),
        ("rollout-started", "deploy 3 set by c", 20),
        ("rollout-finished", "deploy 3 set by c", 30),
        ("rollout-started", "deploy 4 set by d", 40),
    )

    assert [timedelta(minutes=10), timedelta(minutes=4)] == rollout_spans(lines)


def test_the_median_of_the_last_five_is_expected() -> None:
    lines = []
    for number, span in enumerate([50, 1, 2, 3, 4, 9]):
        text = f"deploy {number} set by a"
        lines += [("rollout-started", text, number * 100), ("rollout-finished", text, number * 100 + span)]

    found = look(make_fleet("1.4.2"), record(), history=history(*lines))

    assert (timedelta(minutes=3), 5) == (found.takes, found.rollouts)


def test_without_history_nothing_is_expected() -> None:
    assert look(make_fleet("1.4.2"), record()).takes is None


def test_addresses_are_taken_out() -> None:
    assert "asked (an address) for it" == without_addresses("asked https://10.0.0.1:8084/pipelines?x=y for it")
