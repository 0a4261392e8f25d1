"""Which instances count: not those that leave, not yet those that boot."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.trigger.feeds import find_host, seen_hosts
from adapters.trigger.judging import Case, judge
from adapters.trigger.membership import BOOT
from adapters.trigger.observing import observe, spread
from adapters.trigger.settings import settings_of
from reconciler.observed import Observed
from reconciler.work import Phase


def observed(made: SimpleNamespace, reports: dict[str, Any], **hosts: Any) -> Observed:
    fleet = made.fleet()
    facts = {name: {**made.host(), **changes} for name, changes in hosts.pop("hosts", {}).items()}
    snapshots = made.snapshots(reports, hosts=facts)
    return observe(fleet, settings_of(fleet), spread(seen_hosts(fleet, snapshots)), snapshots)


def names(units: Any) -> list[str]:
    return sorted(unit.id for unit in units)


@pytest.mark.parametrize(
    ("report", "lifecycle", "counts"),
    [
        ({}, "", True),
        ({}, "InService", True),
        ({}, "Detaching", True),
        ({"leaving": "a spot instance: AWS ends it at 12:02:00 UTC"}, "InService", False),
        ({}, "Terminating", False),
        ({}, "Terminating:Wait", False),
        ({}, "Terminating:Proceed", False),
        ({}, "Terminated", False),
        ({}, "EnteringStandby", False),
        ({}, "Standby", False),
        ({}, "Warmed:Terminating:Wait", False),
    ],
)
def test_a_host_that_leaves_is_in_neither_side_of_a_share(
    made: SimpleNamespace, report: dict[str, Any], lifecycle: str, counts: bool
) -> None:
    found = observed(
        made, {"i-1": made.report(), "i-2": made.report(**report)}, hosts={"i-2": {"lifecycle": lifecycle}}
    )

    assert (["i-1", "i-2"] if counts else ["i-1"]) == names(found.units)
    assert () == found.joining


@pytest.mark.parametrize(("age", "counts"), [(180, False), (181, True), (3 * 86400, True)])
def test_the_last_word_of_a_silent_host_that_it_leaves_counts_no_more(
    made: SimpleNamespace, age: float, counts: bool
) -> None:
    gone = made.report(leaving="a spot notice", age=age)

    found = observed(made, {"i-1": made.report(), "i-2": gone}, hosts={"i-2": {"lifecycle": "InService"}})

    assert (["i-1", "i-2"] if counts else ["i-1"]) == names(found.units)


def test_its_group_is_believed_of_a_silent_host(made: SimpleNamespace) -> None:
    gone = made.report(age=86400)

    found = observed(made, {"i-1": made.report(), "i-2": gone}, hosts={"i-2": {"lifecycle": "Terminating:Wait"}})

    assert ["i-1"] == names(found.units)


@pytest.mark.parametrize("lifecycle", ["Pending", "Pending:Wait", "Pending:Proceed", "Warmed:Pending:Wait"])
def test_a_host_that_its_group_waits_for_joins_however_well_it_is(made: SimpleNamespace, lifecycle: str) -> None:
    found = observed(made, {"i-1": made.report(), "i-2": made.report()}, hosts={"i-2": {"lifecycle": lifecycle}})

    assert (["i-1"], ["i-2"]) == (names(found.units), names(found.joining))


@pytest.mark.parametrize(
    ("age", "report", "joins"),
    [
        (timedelta(0), None, True),
        (BOOT - timedelta(seconds=1), None, True),
        (BOOT, None, False),
        (timedelta(minutes=1), {"healthy": False}, True),
        (timedelta(minutes=1), {}, False),
        (timedelta(minutes=1), {"healthy": False, "last_good": "2.3.0"}, False),
    ],
)
def test_a_young_host_joins_until_something_was_healthy_on_it(
    made: SimpleNamespace, age: timedelta, report: dict[str, Any] | None, joins: bool
) -> None:
    said = made.report(**report) if report is not None else None
    facts = {"launched": (made.NOW - age).isoformat(), "lifecycle": "InService"}

    found = observed(made, {"i-1": made.report(), "i-2": said}, hosts={"i-2": facts})

    assert joins == (names(found.joining) == ["i-2"])
    assert joins == (names(found.units) == ["i-1"])


def test_where_all_boot_nobody_serves_and_all_count(made: SimpleNamespace) -> None:
    pending = {"lifecycle": "Pending:Wait"}
    found = observed(made, {"i-1": None, "i-2": made.report()}, hosts={"i-1": pending, "i-2": pending})

    assert (["i-1", "i-2"], ()) == (names(found.units), found.joining)


def test_a_fleet_of_which_all_leave_has_no_units(made: SimpleNamespace) -> None:
    assert () == observed(made, {"i-1": made.report(leaving="it goes")}).units


@pytest.mark.parametrize(
    ("report", "lifecycle", "said"),
    [
        ({"leaving": "AWS ends it"}, "InService", "i-1 is leaving: AWS ends it"),
        ({}, "Terminating:Wait", "i-1 is leaving: its Auto Scaling group has it Terminating:Wait"),
    ],
)
@pytest.mark.parametrize("phase", [Phase.INTENDED, Phase.RUNNING, Phase.ABORTING])
def test_work_on_a_host_that_leaves_ends_without_blame(
    made: SimpleNamespace, report: dict[str, Any], lifecycle: str, said: str, phase: Phase
) -> None:
    outcome = made.outcome(phase)
    broken = made.report(work=made.work("failed", blame="unhealthy"), **report)
    snapshots = made.snapshots({"i-1": broken}, hosts={"i-1": {**made.host(), "lifecycle": lifecycle}})

    judged = judge(
        Case(
            outcome=outcome,
            order=made.order(),
            host=find_host(outcome.intent.fleet, "i-1", snapshots),
            whole=True,
            sick="",
            looked=True,
            settings=settings_of(outcome.intent.fleet),
            now=made.NOW,
        )
    )

    assert (Phase.ABORTED, said) == (judged.phase, judged.message)
