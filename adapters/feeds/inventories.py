"""The feed of what runs: one paged read of an AWS account and region, cut into the fleets that live there.

The feed `inventory/<account>/<region>` holds for each fleet what its deployer cuts out. Calls grow with pages.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol, runtime_checkable

from adapters.aws.instances import Instances
from adapters.aws.inventory import Inventory, InventoryReader, Place, inventory_feed
from adapters.aws.owners import OwnersWords, owner_of, untold, with_words
from adapters.aws.sessions import Sessions
from adapters.feeds.pacing import Pacing
from desired_state.model import Fleet, FleetName
from reconciler.ports import Clock, Deployer, Lease, Ledger, Unreadable


@runtime_checkable
class Inventoried(Protocol):
    """A deployer whose fleets live in EC2."""

    def host_tags(self, fleet: Fleet) -> Mapping[str, str] | None:
        """The tags that an instance of the fleet has; None where the fleet lives on Auto Scaling groups."""
        ...

    def part(self, fleet: Fleet, region: str, inventory: Inventory) -> Mapping[str, Any]:
        """What of a region's inventory is the fleet's, as JSON. Of hosts it has those of `host_tags`."""
        ...


class Inventories:
    """Reads inventories by name, `<account>/<region>`."""

    def __init__(
        self,
        ledger: Ledger,
        sessions: Sessions,
        deployers: Mapping[str, Deployer],
        clock: Clock,
        interval: timedelta,
    ) -> None:
        self._ledger = ledger
        self._reader = InventoryReader(sessions)
        self._owners = OwnersWords(sessions, clock)
        self._deployers = {kind: one for kind, one in deployers.items() if isinstance(one, Inventoried)}
        self._clock = clock
        self._known: dict[Place, Instances] = defaultdict(partial(Instances, clock))
        self._pacing = Pacing(clock, interval)
        self._changed: dict[str, tuple[FleetName, ...]] = {}

    def changed(self, name: str) -> tuple[FleetName, ...]:
        """The fleets whose part the last `run` of this process found changed."""
        return self._changed.get(name, ())

    def names(self) -> frozenset[str]:
        """Every `<account>/<region>` in which a known fleet lives."""
        environments = [fleet.environment for fleet in self._fleets()]
        return frozenset(f"{one.account}/{region}" for one in environments for region in one.regions)

    def run(self, name: str, lease: Lease) -> datetime | None:
        """Read one account and region into the ledger; gives the time of the next read, None where no fleet is.

        A role that does not work harms the fleets that are read by it and no others. Raises `LeaseLost`.
        """
        account, _, region = name.partition("/")
        self._changed[name] = ()
        feed = inventory_feed(account, region)
        by_role = self._by_role(account, region)
        if not by_role:
            self._ledger.record_snapshots(lease, feed, {}, self._clock.now())
            return None
        read_at = self._clock.now()
        parts: dict[FleetName, Mapping[str, Any]] = {}
        troubles = []
        for role, fleets in by_role.items():
            try:
                parts.update(self._read(Place(account, region, role), fleets))
            except Unreadable as trouble:
                troubles.append(str(trouble))
        self._hear_owners(region, feed, [fleet for fleets in by_role.values() for fleet in fleets], parts)
        if parts:  # before the trouble: storing parts clears it
            self._changed[name] = self._ledger.record_snapshots(lease, feed, parts, read_at)
        if not troubles:
            return self._pacing.succeeded(name)
        self._ledger.record_trouble(lease, feed, "; ".join(troubles))
        return self._pacing.failed(name)

    def _read(self, place: Place, fleets: Sequence[Fleet]) -> Iterator[tuple[FleetName, Mapping[str, Any]]]:
        tags = [asked for fleet in fleets if (asked := self._deployers[fleet.deploy_type].host_tags(fleet)) is not None]
        inventory = self._reader.read_again(place, self._known[place], tags)
        for fleet in fleets:
            yield fleet.name, self._deployers[fleet.deploy_type].part(fleet, place.region, inventory)

    def _hear_owners(
        self, region: str, feed: str, fleets: Sequence[Fleet], parts: dict[FleetName, Mapping[str, Any]]
    ) -> None:
        """Put what owners say of shared images into the parts, with a call for two hundred of an account's images.

        While an owner cannot be asked, what the last part knew of an image is still so.
        """
        for owner, names in _silent(region, fleets, parts).items():
            words = self._owners.ask(owner, {image for images in names.values() for image in images})
            for name, images in names.items():
                known = self._last(name, feed) if words.trouble and images - words.told.keys() else {}
                parts[name] = with_words(parts[name], words, known)

    def _last(self, name: FleetName, feed: str) -> Mapping[str, Any]:
        record = self._ledger.load(name)
        snapshot = record.snapshots.get(feed) if record is not None else None
        return snapshot.body if snapshot is not None else {}

    def _by_role(self, account: str, region: str) -> dict[str | None, list[Fleet]]:
        found: dict[str | None, list[Fleet]] = defaultdict(list)
        for fleet in self._fleets():
            if fleet.environment.account == account and region in fleet.environment.regions:
                found[fleet.environment.role].append(fleet)
        return found

    def _fleets(self) -> Iterator[Fleet]:
        for record in self._ledger.fleets():
            if record.present and record.desired is not None and record.desired.deploy_type in self._deployers:
                yield record.desired


def _silent(
    region: str, fleets: Sequence[Fleet], parts: Mapping[FleetName, Mapping[str, Any]]
) -> dict[Place, dict[FleetName, set[str]]]:
    """By who bakes, the fleets of other accounts and their images that say nothing there."""
    found: dict[Place, dict[FleetName, set[str]]] = defaultdict(dict)
    for fleet in fleets:
        owner, part = owner_of(fleet, region), parts.get(fleet.name, {})
        if owner is not None and "images" in part and (images := untold(part)):
            found[owner][fleet.name] = images
    return found
