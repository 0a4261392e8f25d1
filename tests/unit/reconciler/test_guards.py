"""Each guard alone, and the order in which they are asked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from desired_state.model import Freeze, Problem, Setting, Suspension
from reconciler.guards import first_hold, kind_of
from reconciler.memory import Memory, Quarantine, Rollout
from reconciler.reasons import Reason
from reconciler.work import Intent, Kind, Outcome, Phase, Release


@pytest.fixture
def drifting(build):
    """An adopted fleet whose one unit runs the version before."""
    desired = build.fleet("1.4.2")
    return build.situation(desired=desired, observed=(build.unit("us-east-1", "1.4.1"),))


def hold(situation):
    found = first_hold(situation)
    assert found is not None
    return found


def with_fleet(situation, **changes):
    fleet = replace(situation.desired.fleet, **changes)
    return replace(situation, desired=replace(situation.desired, fleet=fleet))


def test_nothing_holds_plain_drift(drifting):
    assert first_hold(drifting) is None


def test_a_fleet_with_nothing_to_do_is_not_asked_about_suspension(build):
    desired = build.fleet("1.4.2", suspension=Suspension(reason="rest"))
    assert first_hold(build.situation(desired=desired, observed=(build.unit("us-east-1", "1.4.2"),))) is None


def test_a_broken_file_holds_even_a_fleet_in_sync(build):
    situation = build.situation(desired=build.fleet("1.4.2"), observed=(build.unit("us-east-1", "1.4.2"),))
    problem = Problem(
        file="services/checkout.yaml", line=3, column=5, message="unknown key `pakage`; did you mean `package`?"
    )
    broken = replace(situation, record=replace(situation.record, problems=(problem, problem)))

    assert Reason.INVALID_SPEC is hold(broken).reason
    assert "services/checkout.yaml:3:5: unknown key `pakage`; did you mean `package`? (+1 more)" == hold(broken).message
    assert hold(broken).error


def test_a_freeze_holds_until_its_end_and_says_which(drifting):
    cup = Freeze(
        name="2026-12-cup",
        reason="the cup",
        begins=datetime(2026, 11, 20, tzinfo=UTC),
        ends=datetime(2026, 11, 24, 18, tzinfo=UTC),
    )
    frozen = with_fleet(drifting, freezes=(cup,))

    assert Reason.FREEZE_WINDOW is hold(frozen).reason
    assert "2026-12-cup until 2026-11-24 18:00 UTC: the cup" == hold(frozen).message
    assert cup.ends == hold(frozen).until
    assert first_hold(replace(frozen, now=cup.ends)) is None


def test_a_suspension_that_has_run_out_holds_nothing(drifting):
    over = Suspension(reason="move", until=drifting.now)
    assert first_hold(with_fleet(drifting, suspension=over)) is None


def test_conflicting_evidence_is_held(build):
    unit = build.unit("us-east-1", None, conflict="our tag says 1.4.2, appversion says 1.4.1")
    situation = build.situation(desired=build.fleet("1.4.2"), observed=(unit,))
    assert Reason.IDENTITY_CONFLICT is hold(situation).reason
    assert "us-east-1: our tag says 1.4.2, appversion says 1.4.1" == hold(situation).message


def test_a_person_is_asked_before_the_calendar_and_the_calendar_before_first_sight(drifting):
    freeze = Freeze(name="cup", reason="cup", begins=drifting.now, ends=drifting.now + timedelta(days=1))
    stranger = replace(drifting, memory=replace(drifting.memory, adopted=False))
    both = with_fleet(stranger, freezes=(freeze,), suspension=Suspension(reason="rest"))

    assert Reason.SUSPENDED is hold(both).reason
    assert Reason.FREEZE_WINDOW is hold(with_fleet(stranger, freezes=(freeze,))).reason
    assert Reason.FIRST_SIGHT is hold(stranger).reason


def test_first_sight_says_what_runs_and_how_to_go_on(drifting):
    stranger = replace(drifting, memory=replace(drifting.memory, adopted=False))
    assert "first seen running 1.4.1; `fairlead adopt prod/checkout` deploys 1.4.2" == hold(stranger).message


def test_first_sight_is_told_also_by_a_controller_that_only_observes(drifting):
    observing = replace(drifting, observe_only=True)
    stranger = replace(observing, memory=replace(drifting.memory, adopted=False))

    assert Reason.FIRST_SIGHT is hold(stranger).reason
    assert Reason.OBSERVE_ONLY is hold(observing).reason


def intent(situation, fleet):
    return Intent(
        key="k",
        fleet=fleet,
        repository="main",
        setting_commit="c",
        unit="us-east-1",
        wave=1,
        attempt=1,
        kind=Kind.DEPLOY,
        created_at=situation.now,
        settle_at=situation.now,
        deadline=situation.now,
    )


def test_work_towards_something_else_is_let_finish_unless_it_fails_or_is_reverted(build, drifting):
    other = build.fleet("1.4.0")
    rollout = Rollout(release=Release(fleet=other, setting_commit="c"), kind=Kind.DEPLOY, started_at=drifting.now)
    busy = replace(
        drifting,
        memory=replace(drifting.memory, rollout=rollout),
        work=(Outcome(intent=intent(drifting, other), phase=Phase.RUNNING),),
    )
    failing = replace(busy, memory=replace(busy.memory, rollout=replace(rollout, failures={"us-east-1": 1})))
    setting = Setting(commit=drifting.desired.setting_commit, target_digest="t", reverts=("abc",))
    reverted = replace(busy, record=replace(busy.record, setting=setting))

    assert Reason.PROGRESSING is hold(busy).reason
    assert Reason.ABORTING is hold(failing).reason
    assert Reason.ABORTING is hold(reverted).reason


def quarantine(situation, **changes):
    entry = Quarantine(
        target_digest=situation.desired.target_digest,
        spec_digest=situation.desired.fleet.spec_digest,
        setting_commit=situation.desired.setting_commit,
        version="1.4.2",
        reason=Reason.HEALTH_CHECK_FAILED,
        message="it does not answer",
        since=situation.now,
        until=situation.now + timedelta(days=7),
    )
    return replace(entry, **changes)


def test_a_quarantine_with_nothing_to_go_back_to_holds(drifting):
    memory = replace(drifting.memory, quarantines=(quarantine(drifting),))
    held = hold(replace(drifting, memory=memory, target=None))
    assert (Reason.QUARANTINED, "1.4.2 failed: it does not answer") == (held.reason, held.message)


@pytest.mark.parametrize(
    ("good", "reverts", "kind"),
    [
        (None, (), Kind.DEPLOY),
        (("1.4.1", "before"), (), Kind.DEPLOY),
        (("1.4.1", "before"), ("bad",), Kind.DEPLOY),
        (("1.4.2", "now"), (), Kind.HEAL),
        (("1.4.2", "before"), ("bad",), Kind.REVERT),
    ],
)
def test_the_kind_of_a_rollout_follows_from_what_was_good_and_what_the_commit_undid(
    build, drifting, good, reverts, kind
):
    last = Release(fleet=build.fleet(good[0]), setting_commit=build.sha(good[1])) if good else None
    setting = replace(drifting.record.setting, reverts=reverts)
    situation = replace(
        drifting,
        memory=Memory(adopted=True, last_good=last),
        record=replace(drifting.record, setting=setting),
    )
    assert kind is kind_of(situation)
