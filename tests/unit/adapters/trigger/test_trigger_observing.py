"""Units out of snapshots: silence, refusals, target groups, upkeep, order."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.trigger.feeds import Seen, find_host, reported_sequences, reports_of, seen_hosts
from adapters.trigger.observing import GROUPS_AT_MOST, groups_of, is_silent, observe, spread, unit_of
from adapters.trigger.settings import settings_of
from desired_state.model import Policy, ZeroUnits
from reconciler.observed import Observed

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/{}/0123456789abcdef"


def observed(made: SimpleNamespace, reports: dict[str, Any], **changes: Any) -> Observed:
    fleet, snapshots = made.fleet(), made.snapshots(reports, **changes)
    return observe(fleet, settings_of(fleet), spread(seen_hosts(fleet, snapshots)), snapshots)


@pytest.mark.parametrize(
    ("changes", "healthy", "message"),
    [
        ({}, True, ""),
        ({"age": 180}, True, ""),
        ({"age": 181}, False, "silent since 2026-11-23 08:56:59 UTC"),
        ({"running": False}, False, "nothing runs on it"),
        ({"running": False, "message": "mm.service is dead"}, False, "mm.service is dead"),
        ({"healthy": False}, False, "its health check fails"),
        ({"healthy": False, "message": "it answers 503"}, False, "it answers 503"),
        ({"message": "the disk is nearly full"}, True, "the disk is nearly full"),
        ({"healthy": False, "message": "x" * 900}, False, "x" * 300),
    ],
    ids=str,
)
def test_a_host_is_well_when_it_speaks_runs_and_answers(
    made: SimpleNamespace, changes: dict[str, Any], healthy: bool, message: str
) -> None:
    (unit,) = observed(made, {"i-1": made.report(**changes)}).units

    assert (unit.healthy, unit.message) == (healthy, message)


def test_what_a_silent_host_said_last_is_still_what_it_runs(made: SimpleNamespace) -> None:
    (unit,) = observed(made, {"i-1": made.report("2.3.0", age=9_000)}).units

    assert (unit.components, unit.running) == ({"package/mm": "2.3.0"}, True)


def test_silence_is_measured_to_the_last_read_of_the_queue(made: SimpleNamespace) -> None:
    earlier = made.NOW - timedelta(minutes=10)
    report = made.report(read_at=earlier)

    (unit,) = observed(made, {"i-1": report}, reports_read_at=earlier).units

    assert unit.healthy


def test_a_queue_that_was_not_read_is_missing_where_a_pass_has_looked(made: SimpleNamespace) -> None:
    earlier = made.NOW - timedelta(minutes=10)
    reports = {"i-1": made.report(read_at=earlier)}

    assert observed(made, reports, reports_read_at=earlier).missing == ()
    assert observed(made, reports, reports_read_at=earlier, order=made.order()).missing == (
        "reports/123456789012/us-east-1/prod since 08:50:00 UTC",
    )
    assert observed(made, reports, reports_read_at=made.NOW, order=made.order()).missing == ()


def test_a_host_that_only_reports_is_a_unit_as_any(made: SimpleNamespace) -> None:
    (unit,) = observed(made, {"i-1": made.report("2.3.0", report_only=True, sequence=0, expires=None)}).units

    assert (unit.components, unit.healthy) == ({"package/mm": "2.3.0"}, True)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, False),
        ({"expires": "2026-12-08T09:00:00Z"}, False),  # fifteen days from now
        ({"expires": "2026-12-08T08:59:59Z"}, True),
        ({"expires": "2026-11-20T00:00:00Z"}, True),
        ({"expires": "2026-11-20T00:00:00Z", "age": 900}, False),  # silent: other eyes see that
        ({"expires": None, "sequence": 0}, False),
        ({"refused": {"reason": "OrderTampered", "message": "why", "sequence": 7}}, True),
        ({"refused": {"reason": "OrderTampered", "message": "why", "sequence": 0}}, True),
        ({"refused": {"reason": "OrderTampered", "message": "why", "sequence": 6}}, False),  # settled since
    ],
    ids=str,
)
def test_a_pass_is_called_for_when_an_order_nears_its_end_or_is_refused(
    made: SimpleNamespace, changes: dict[str, Any], wanted: bool
) -> None:
    assert observed(made, {"i-1": made.report(**changes)}).upkeep is wanted


def test_the_target_groups_that_most_hosts_name_are_looked_at(made: SimpleNamespace) -> None:
    """One host that names many, whose names sort first, takes no other host's group out of sight."""
    liar = made.report(target_groups=[GROUP.format(f"a{number:02}") for number in range(50)])
    honest = made.report(target_groups=[GROUP.format("mm")])
    fleet = made.fleet()
    reports = reports_of(fleet, made.snapshots({"i-1": liar, "i-2": honest, "i-3": honest}))

    found = groups_of(fleet, settings_of(fleet), reports)

    assert (len(found), found[0]) == (GROUPS_AT_MOST, GROUP.format("mm"))


def test_groups_of_other_accounts_and_regions_and_nonsense_are_not_asked_for(made: SimpleNamespace) -> None:
    named = [
        GROUP.format("mm").replace("123456789012", "999999999999"),
        GROUP.format("mm").replace("us-east-1", "us-west-2"),
        "mm",
    ]
    fleet = made.fleet()
    reports = reports_of(fleet, made.snapshots({"i-1": made.report(target_groups=named)}))

    assert groups_of(fleet, settings_of(fleet), reports) == ()


def test_awss_word_against_a_host_outweighs_its_own(made: SimpleNamespace) -> None:
    reports = {"i-1": made.report(), "i-2": made.report()}

    one, two = observed(made, reports, sick={GROUP.format("mm"): {"i-2": "Health checks failed"}}).units

    assert one.healthy
    assert (two.healthy, two.message) == (False, "unhealthy in its target group: Health checks failed")


def test_a_host_takes_its_time_from_since(made: SimpleNamespace) -> None:
    fleet = made.fleet()
    host = find_host(fleet, "i-1", made.snapshots({"i-1": made.report(age=900)}))
    assert host is not None

    assert is_silent(host, settings_of(fleet))
    assert not is_silent(host, settings_of(fleet), made.NOW - timedelta(minutes=3))
    assert is_silent(host, settings_of(fleet), made.NOW - timedelta(minutes=3, seconds=1))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=40))
def test_any_slice_of_the_order_is_spread_over_the_zones(found: list[tuple[str, int]]) -> None:
    hosts = [
        Seen(id=f"i-{number}", zone=zone, launched=f"2026-11-{day:02}", report=None, reports_read_at=None)
        for number, (zone, day) in enumerate(found)
    ]

    ordered = spread(hosts)

    assert sorted(host.id for host in ordered) == sorted(host.id for host in hosts)
    sizes = {zone: sum(host.zone == zone for host in hosts) for zone in "abc"}
    for upto in range(len(ordered) + 1):
        taken = {zone: sum(host.zone == zone for host in ordered[:upto]) for zone in "abc"}
        most = max(taken.values())
        assert all(taken[zone] >= min(sizes[zone], most - 1) for zone in "abc")
    for zone in "abc":
        launched = [host.launched for host in ordered if host.zone == zone]
        assert launched == sorted(launched)


def test_sequences_are_those_that_hosts_follow_and_one_more_where_a_number_was_used_twice(
    made: SimpleNamespace,
) -> None:
    def refused(sequence: int, reason: str = "OrderReplayed") -> dict[str, Any]:
        return {"reason": reason, "message": "why", "sequence": sequence}

    reports = {
        "i-1": made.report(sequence=7),
        "i-2": made.report(sequence=0),
        "i-3": made.report(sequence=9, refused=refused(9)),
        "i-4": made.report(sequence=9, refused=refused(8)),
        "i-5": made.report(sequence=5, refused=refused(5, "OrderExpired")),
    }

    assert sorted(reported_sequences(made.fleet(), made.snapshots(reports))) == [0, 5, 7, 9, 10]


def test_a_host_that_never_reported_is_no_unit_that_runs_anything_known(made: SimpleNamespace) -> None:
    fleet = made.fleet()
    host = find_host(fleet, "i-1", made.snapshots({"i-1": None}))
    assert host is not None

    unit = unit_of(host, settings_of(fleet))

    assert (unit.components, unit.healthy, unit.running, unit.message) == ({}, False, True, "has never reported")


def test_hosts_that_all_leave_are_not_a_fleet_that_is_meant_to_be_empty(made: SimpleNamespace) -> None:
    fleet = replace(made.fleet(), policy=Policy(zero_units=ZeroUnits.ALLOWED))
    hosts = {name: made.report("2.2.0", leaving="a spot notice") for name in ("i-1", "i-2")}
    snapshots = made.snapshots(hosts)

    found = observe(fleet, settings_of(fleet), spread(seen_hosts(fleet, snapshots)), snapshots)

    assert ((), ()) == (found.units, found.joining)
    assert [unit.running for unit in observe(fleet, settings_of(fleet), [], snapshots).units] == [False]
