"""The snapshots that a trigger fleet is seen by, their names and bodies.

| name | body | who reads it |
|---|---|---|
| `inventory/<account>/<region>` | `{"hosts": {id: {zone, state, launched, lifecycle}}}` | its feed, and `refresh` |
| `reports/<account>/<region>/<environment>` | `{"hosts": {id: report}}`, `sent` added to a report | the reports feed |
| `order/<fleet>` | the order as it lies in S3, see `placed` | `refresh` only |
| `targets/<fleet>` | `{"groups": {arn: {id: why it is unhealthy}}}` | `refresh` only |

A report is one of `agent_protocol.reports` as JSON; `sent` is when SQS took it, RFC 3339. What only `refresh` reads is
also how one tells that a pass has looked: its `read_at` is that pass's present.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.agent_protocol.refusals import RefusalReason
from adapters.aws.hosts import Host
from adapters.aws.inventory import inventory_feed
from desired_state.model import Environment, Fleet
from reconciler.observed import Snapshot, Snapshots, UnitId

Body = Mapping[str, Any]
NOTHING: Body = {}


def reports_feed(account: str, region: str, environment: str) -> str:
    """The reports of an environment's hosts in one region."""
    return f"reports/{account}/{region}/{environment}"


def order_feed(fleet: str) -> str:
    """The fleet's order."""
    return f"order/{fleet}"


def targets_feed(fleet: str) -> str:
    """The health of the fleet's targets, by AWS's own word."""
    return f"targets/{fleet}"


def hosts_body(hosts: Iterable[Host], lifecycles: Mapping[str, str]) -> dict[str, Any]:
    """The fleet's part of an inventory. `lifecycles`: what Auto Scaling says of those that are in a group, by id."""
    kept = ("zone", "state", "launched")
    return {
        "hosts": {
            host["id"]: {**{key: host[key] for key in kept}, "lifecycle": lifecycles.get(host["id"], "")}
            for host in hosts
        }
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One instance of a fleet as the snapshots show it."""

    id: UnitId
    zone: str
    launched: str
    report: Body | None  # None: it never reported
    reports_read_at: datetime | None  # None: nobody in its region ever did
    lifecycle: str = ""  # its state in its Auto Scaling group; empty: it is in none
    state: str = ""  # as EC2 says: pending or running


def inventories(environment: Environment) -> list[str]:
    """The feeds in which the fleet's instances are found."""
    return [inventory_feed(environment.account, region) for region in environment.regions]


def is_whole(fleet: Fleet, snapshots: Snapshots) -> bool:
    """Every region was read: an instance that is not there is gone."""
    return all(feed in snapshots for feed in inventories(fleet.environment))


def seen_hosts(fleet: Fleet, snapshots: Snapshots) -> Iterator[Seen]:
    """Every instance that EC2 shows, with its report laid over."""
    for region in fleet.environment.regions:
        snapshot = snapshots.get(inventory_feed(fleet.environment.account, region))
        if snapshot is None:
            continue
        reports = _reports(fleet, region, snapshots)
        for name, facts in _hosts(snapshot).items():
            yield _seen(name, facts, reports)


def find_host(fleet: Fleet, unit: UnitId, snapshots: Snapshots) -> Seen | None:
    """One instance; None where EC2 does not show it."""
    for region in fleet.environment.regions:
        snapshot = snapshots.get(inventory_feed(fleet.environment.account, region))
        facts = _hosts(snapshot).get(unit) if snapshot is not None else None
        if facts is not None:
            return _seen(unit, facts, _reports(fleet, region, snapshots))
    return None


def last_report(fleet: Fleet, unit: UnitId, snapshots: Snapshots) -> Body:
    """What an instance said last, also where EC2 does not show it any more; empty: nothing."""
    feeds = (_reports(fleet, region, snapshots) for region in fleet.environment.regions)
    return next((_hosts(feed)[unit] for feed in feeds if feed is not None and unit in _hosts(feed)), NOTHING)


def reports_of(fleet: Fleet, snapshots: Snapshots) -> list[Body]:
    """What the fleet's hosts said last.

    Any instance that may send reports can name any fleet in them: where EC2 was asked, only those count that it shows
    with the fleet's tags. Where it was not, as before the first look, all do.
    """
    found: list[Body] = []
    for region in fleet.environment.regions:
        reports = _reports(fleet, region, snapshots)
        shown = snapshots.get(inventory_feed(fleet.environment.account, region))
        members = _hosts(shown) if shown is not None else None
        said = _hosts(reports).items() if reports is not None else ()
        found += [report for host, report in said if members is None or host in members]
    return found


def reported_sequences(fleet: Fleet, snapshots: Snapshots) -> list[int]:
    """The sequences that the fleet's hosts follow.

    One that is gone is not asked: should it come back and know of a higher one, it refuses what lies there, and then it
    counts. A host that has accepted another order of the very same number takes no further one of it: that number is
    used up.
    """
    return [_highest(report) for report in reports_of(fleet, snapshots)]


def _highest(report: Body) -> int:
    follows, refused = int(report.get("sequence") or 0), report.get("refused") or NOTHING
    clashes = refused.get("reason") == RefusalReason.REPLAYED and refused.get("sequence") == follows
    return follows + 1 if clashes else follows


def _reports(fleet: Fleet, region: str, snapshots: Snapshots) -> Snapshot | None:
    return snapshots.get(reports_feed(fleet.environment.account, region, fleet.environment.name))


def _hosts(snapshot: Snapshot) -> Mapping[str, Body]:
    found: Mapping[str, Body] = snapshot.body.get("hosts", NOTHING)
    return found


def _seen(name: UnitId, facts: Body, reports: Snapshot | None) -> Seen:
    return Seen(
        id=name,
        zone=str(facts.get("zone", "")),
        launched=str(facts.get("launched", "")),
        report=_hosts(reports).get(name) if reports is not None else None,
        reports_read_at=reports.read_at if reports is not None else None,
        lifecycle=str(facts.get("lifecycle", "")),
        state=str(facts.get("state", "")),
    )
