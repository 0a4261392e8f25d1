"""An estate at rest in a ledger: inventories and reports written through the ledger's own ports, passes really made.

Only the narrow looks of first passes are left out (there is no AWS and no Gate here), so what a pass decides and writes
is what it would. Rows that need the world itself run on the bulk world instead.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.agent_protocol.reports import Report
from adapters.agent_protocol.signing import new_key
from adapters.aws.inventory import inventory_feed
from adapters.aws.sessions import Sessions
from adapters.deployers.means import Means
from adapters.deployers.spinnaker import Spinnaker
from adapters.deployers.trigger import Trigger
from adapters.gate.client import Gates
from adapters.gate.settings import cluster_in
from adapters.gate.settings import settings_of as pipeline_settings
from adapters.ledger.reports import HostReport
from adapters.ledger.store import Store
from adapters.trigger.feeds import reports_feed
from desired_state.model import Fleet
from reconciler.observed import Snapshots
from reconciler.plan import Pace
from reconciler.ports import Clock, Deployer, Lease
from reconciler.reconcile import reconcile
from reconciler.work import Outcome, Standing
from reconciler.world import World

INSTANCES = 10  # of each fleet
LONG = timedelta(hours=1)
LAUNCHED = datetime(2026, 11, 1, tzinfo=UTC)


class UnseenSpinnaker(Spinnaker):
    """Decides as always, from what feeds said alone."""

    def refresh(self, fleet: Fleet, work: Sequence[Outcome], known: Snapshots) -> Snapshots:
        return {}

    def running(self, fleet: Fleet, prefix: str) -> Mapping[str, str]:
        return {}


class UnseenTrigger(Trigger):
    """Decides as always, from what feeds said alone."""

    def refresh(self, fleet: Fleet, work: Sequence[Outcome], known: Snapshots) -> Snapshots:
        return {}

    def running(self, fleet: Fleet, prefix: str) -> Mapping[str, str]:
        return {}

    def uphold(self, fleet: Fleet, standing: Standing | None, snapshots: Snapshots, lease: Lease) -> str:
        return ""


def deployers(clock: Clock) -> dict[str, Deployer]:
    """Both types, blind to the world."""
    signing, _ = new_key("bench")
    means = Means(
        sessions=Sessions(clock=clock), gates=Gates({}), clock=clock, read_within=timedelta(seconds=10), signing=signing
    )
    return {"spinnaker": UnseenSpinnaker.of(means), "trigger": UnseenTrigger.of(means)}


def settle(ledger: Store, clock: Clock) -> int:
    """Show every fleet at its version and let passes run until none is due; gives how many ran."""
    fleets = [record.desired for record in ledger.fleets() if record.desired is not None]
    show(ledger, clock, fleets)
    return passes_until_rest(ledger, clock)


def passes_until_rest(ledger: Store, clock: Clock) -> int:
    """Decide from what feeds said until no fleet is due; gives how many passes ran."""
    world = World(ledger=ledger, deployers=deployers(clock), clock=clock, pace=Pace())
    passes = 0
    while due := ledger.claim("fleet", 200, LONG):
        for each in due:
            ledger.finish(each, again_at=reconcile(each.key.partition(":")[2], world, each.lease))
            passes += 1
    return passes


def show(ledger: Store, clock: Clock, fleets: Iterable[Fleet]) -> None:
    """What inventories and reports say of these fleets: all at their version, healthy."""
    inventories: dict[str, dict[str, Any]] = defaultdict(dict)
    queues: dict[str, list[HostReport]] = defaultdict(list)
    for fleet in fleets:
        for region in fleet.environment.regions:
            feed = inventory_feed(fleet.environment.account, region)
            inventories[feed][fleet.name] = part_of(fleet, region)
            if fleet.deploy_type == "trigger":
                queue = reports_feed(fleet.environment.account, region, fleet.environment.name)
                queues[queue] += reports_of(fleet, region, clock.now())
    for feed, parts in inventories.items():
        ledger.record_snapshots(lease_on(ledger, f"inventory:{feed}"), feed, parts, clock.now())
    for feed, said in queues.items():
        named = {report.fleet for report in said}
        ledger.record_reports(lease_on(ledger, f"reports:{feed}"), feed, said, named, clock.now())


def lease_on(ledger: Store, key: str) -> Lease:
    """A lease on a name, as a feed holds it."""
    ledger.add([key])
    family = key.partition(":")[0]
    return next(due.lease for due in ledger.claim(family, 1000, LONG) if due.key == key)


def part_of(fleet: Fleet, region: str) -> dict[str, Any]:
    """The fleet's part of an inventory, as its deployer cuts it."""
    ids = [instance_id(fleet.name, number) for number in range(INSTANCES)]
    if fleet.deploy_type == "trigger":
        facts = {"zone": f"{region}a", "state": "running", "launched": LAUNCHED.isoformat()}
        return {"hosts": dict.fromkeys(ids, facts)}
    image = f"ami-{ids[0][2:]}"
    package = fleet.packages[0]
    return {
        "server_groups": [
            {
                "name": f"{cluster_in(fleet, pipeline_settings(fleet), region)}-v001",
                "region": region,
                "created": LAUNCHED.isoformat(),
                "enabled": True,
                "capacity": {"min": INSTANCES, "max": INSTANCES, "desired": INSTANCES},
                "tags": {},
                "launch_image": image,
                "instances": [
                    {"id": name, "image": image, "lifecycle": "InService", "health": "Healthy"} for name in ids
                ],
            }
        ],
        "images": {image: {"name": image, "tags": {"appversion": f"{package.name}-{package.version}"}}},
    }


def reports_of(fleet: Fleet, region: str, now: datetime) -> Iterator[HostReport]:
    """What the fleet's agents say."""
    del region
    for number in range(INSTANCES):
        report = Report(
            host=instance_id(fleet.name, number),
            fleet=fleet.name,
            agent="0.1.0",
            number=1,
            at=now,
            sequence=1,
            expires=now + timedelta(days=30),
            components=fleet.components,
            running=True,
            healthy=True,
        )
        body = {name: value for name, value in json.loads(report.text()).items() if name not in {"number", "at"}}
        yield HostReport(
            fleet=fleet.name, host=report.host, number=1, at=now, sent=now, body=body, silent_after=timedelta(days=1)
        )


def instance_id(fleet: str, number: int) -> str:
    """The same for the same fleet and number."""
    return "i-" + hashlib.sha256(f"{fleet}/{number}".encode()).hexdigest()[:17]
