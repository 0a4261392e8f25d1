"""What of the snapshots is about a fleet of type spinnaker, or about one of its intents. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from adapters.aws.clusters import groups_in, is_at, untellable
from adapters.aws.inventory import images_of, inventory_feed
from adapters.aws.names import next_name
from adapters.aws.standing import leftovers, standing
from adapters.gate.lanes import region_of
from adapters.gate.settings import WHOLE, SpinnakerSettings, cluster_in, clusters_in, settings_of
from desired_state.model import Fleet, Suspension
from reconciler.observed import Snapshot, Snapshots, Unit
from reconciler.work import Intent, Kind, Outcome

GOES_BACK = frozenset({Kind.REVERT, Kind.ROLLBACK})


def body_of(intent: Intent, snapshots: Snapshots) -> Mapping[str, Any] | None:
    """The look at the intent's region; None where it has none of its own, or it was not read."""
    region = region_of(intent)
    feed = snapshots.get(inventory_feed(intent.fleet.environment.account, region)) if region is not None else None
    return feed.body if feed is not None else None


def oldest_read(intent: Intent, snapshots: Snapshots) -> datetime | None:
    """When the oldest read of the intent's unit was taken; None where one is missing."""
    environment = intent.fleet.environment
    regions = environment.regions if intent.unit == WHOLE else (intent.unit,)
    feeds = [inventory_feed(environment.account, region) for region in regions]
    if any(feed not in snapshots for feed in feeds):
        return None
    return min(snapshots[feed].read_at for feed in feeds)


def may_go_back(fleet: Fleet, work: Sequence[Outcome], snapshots: Snapshots) -> bool:
    """Whether the fleet is on its way back, or may begin that now: then its version stands in a server group already.

    It is the one that is gone back to, beside a worse one, or the bad one itself. A new version stands nowhere.
    """
    settings = settings_of(fleet)
    return any(outcome.intent.kind in GOES_BACK for outcome in work) or any(
        is_at(fleet, body, group)
        for region, body in _bodies(fleet, snapshots)
        for group in groups_in(body, cluster_in(fleet, settings, region))
    )


def unknown(fleet: Fleet, settings: SpinnakerSettings, snapshots: Snapshots, unit: str = WHOLE) -> tuple[str, ...]:
    """What serves and nobody can tell the version of, as a sentence each; of one unit, or of all that is awake.

    It is no other version: nothing may be concluded from it, as from a region that was not read.
    """
    return tuple(
        sentence
        for region, body in _bodies(fleet, snapshots)
        if unit == region or (unit == WHOLE and region not in fleet.asleep)
        for sentence in untellable(body, _clusters(fleet, settings, region)[0])
    )


def set_aside(region: str, unit: Unit | None, suspension: Suspension) -> Unit:
    """The unit of a suspended region: shown, and otherwise left alone."""
    known = unit or Unit(id=region, components={}, healthy=False, running=False, message="not read")
    said = "; ".join(each for each in (f"suspended: {suspension.reason}", known.message) if each)
    return replace(known, message=said, conflict="")


def left_over(fleet: Fleet, settings: SpinnakerSettings, snapshots: Snapshots) -> tuple[str, ...]:
    """What of earlier deploys still stands, in all regions that were read; see `aws.standing`."""
    return tuple(
        sentence
        for region, body in _bodies(fleet, snapshots)
        for sentence in leftovers(region, body, *_clusters(fleet, settings, region), fleet)
    )


def groups(fleet: Fleet, snapshots: Snapshots) -> dict[str, Any]:
    """Every server group of the fleet as JSON, region by region, the youngest first (see `aws.standing`), and by
    region what the next one will be called.
    """
    settings, bodies = settings_of(fleet), dict(_bodies(fleet, snapshots))
    shown = [
        each.as_json(body["images"])
        for region, body in bodies.items()
        for each in standing(region, body, *_clusters(fleet, settings, region), fleet)
    ]
    clusters = {region: _clusters(fleet, settings, region)[0] for region in bodies}
    oldest_first = {
        region: [group["name"] for group in groups_in(bodies[region], name)] for region, name in clusters.items()
    }
    return {
        "groups": shown,
        "next": {region: next_name(cluster, oldest_first[region]) for region, cluster in clusters.items()},
    }


def with_canary(fleet: Fleet, fresh: Snapshot, known: Snapshot | None) -> Snapshot:
    """A narrow read with the canary's groups as the feed saw them: they decide nothing, and to find a cluster without
    instances takes a read of the whole region.
    """
    if known is None or "server_groups" not in fresh.body:
        return fresh
    canary = _clusters(fleet, settings_of(fleet), fresh.feed.rpartition("/")[2])[1]
    trials = groups_in(known.body, canary) if canary is not None else []
    if not trials:
        return fresh
    ids = {image for group in trials for image in images_of(group)}
    images = {image: said for image, said in known.body["images"].items() if image in ids}
    body = {
        "server_groups": [*fresh.body["server_groups"], *trials],
        "images": {**images, **fresh.body["images"]},
    }
    return replace(fresh, body=body)


def _bodies(fleet: Fleet, snapshots: Snapshots) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for region in fleet.environment.regions:
        feed = snapshots.get(inventory_feed(fleet.environment.account, region))
        if feed is not None:
            yield region, feed.body


def _clusters(fleet: Fleet, settings: SpinnakerSettings, region: str) -> tuple[str, str | None]:
    """The fleet's cluster there, and that of its canary."""
    own, *canary = clusters_in(fleet, settings, region)
    return own, next(iter(canary), None)
