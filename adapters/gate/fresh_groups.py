"""The narrow read of AWS: a fleet's own clusters, just now, beside what the bulk reads know."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any

from adapters.aws.inventory import InventoryReader, Place, inventory_feed
from adapters.aws.owners import OwnersWords, owner_of, untold, with_words
from adapters.aws.sessions import Sessions
from adapters.aws.together import read_together
from adapters.gate.settings import cluster_in, settings_of
from desired_state.model import Fleet
from reconciler.observed import Snapshot, Snapshots
from reconciler.ports import Clock, Unreadable
from reconciler.work import Outcome


class FreshGroups:
    """Reads the clusters of one fleet at a time, all regions together. Safe to share between threads."""

    def __init__(self, sessions: Sessions, clock: Clock, read_within: timedelta) -> None:
        self._clock = clock
        self._read_within = read_within
        self._reader = InventoryReader(sessions)
        self._owners = OwnersWords(sessions, clock, read_within / 2)

    def read(self, fleet: Fleet, work: Sequence[Outcome], known: Snapshots) -> Iterator[tuple[str, Snapshot]]:
        """Work in flight keeps the spec that it began with, so its clusters are read too. Raises `Unreadable`.

        A region is often suspended because nothing there answers: it is read only while work is under way there, and
        keeps nobody waiting.
        """
        specs = (fleet, *(outcome.intent.fleet for outcome in work))
        awake = [region for region in _regions(specs) if region not in fleet.asleep]
        yield from self._read_regions(specs, awake, self._read_within, known)
        at_work = {outcome.intent.unit for outcome in work}
        try:
            yield from self._read_regions(specs, sorted(at_work & fleet.asleep.keys()), self._read_within / 2, known)
        except Unreadable:
            return

    def _read_regions(
        self, specs: Sequence[Fleet], regions: Sequence[str], within: timedelta, known: Snapshots
    ) -> list[tuple[str, Snapshot]]:
        wanted: dict[str, tuple[Place, set[str]]] = {}
        for spec, region in product(specs, regions):
            if region in spec.environment.regions:
                feed = inventory_feed(spec.environment.account, region)
                place = Place(spec.environment.account, region, spec.environment.role)
                wanted.setdefault(feed, (place, set()))[1].add(cluster_in(spec, settings_of(spec), region))
        reads = {
            f"the server groups of {place}": partial(self._narrow, feed, place, clusters, specs[0], known.get(feed))
            for feed, (place, clusters) in wanted.items()
        }
        return list(zip(wanted, read_together(reads, within), strict=True))

    def _narrow(self, feed: str, place: Place, clusters: set[str], fleet: Fleet, known: Snapshot | None) -> Snapshot:
        read_at = self._clock.now()  # what AWS shows is at least as young as the question
        body: Mapping[str, Any] = self._reader.read_clusters(place, clusters).part(clusters)
        owner = owner_of(fleet, place.region)
        if owner is not None and (silent := untold(body)):
            body = with_words(body, self._owners.ask(owner, silent), known.body if known is not None else {})
        return Snapshot(feed=feed, body=body, read_at=read_at)


def _regions(specs: Iterable[Fleet]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(region for spec in specs for region in spec.environment.regions))
