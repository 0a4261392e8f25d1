"""Which way an attempt goes: enable a server group that still stands, deploy the AMI that is there, or bake. Pure.

Back to a version that ran before, the shortest way comes first, and a way that failed is not taken twice. An execution
carries its lane in its trigger, so that it is known whatever becomes of the ledger.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from adapters.aws.baked import Baked, ImageMissing
from adapters.aws.clusters import Group, groups_in, illness, is_at, is_going, is_staffed
from adapters.aws.names import push_of
from adapters.gate.settings import WHOLE, SpinnakerSettings, cluster_in
from desired_state.model import Fleet
from reconciler.ports import Unreadable
from reconciler.work import Intent, Kind

Body = Mapping[str, Any]  # an inventory part


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One way. Without anything in it the pipeline is called to bake."""

    restore: str = ""  # the server group to enable
    disable: str = ""  # the one in service in its place
    image: str = ""  # the AMI to deploy
    environment: str = ""  # that baked it, where it is another

    @classmethod
    def of(cls, said: Mapping[str, str]) -> Self:
        """Out of an execution's trigger."""
        return cls(**{name: said[name] for name in ("restore", "disable", "image", "environment") if name in said})

    def as_trigger(self) -> dict[str, str]:
        """For an execution's trigger; empty where it bakes."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def note(self) -> str:
        """How a version came about by it, to go on with the version's name; empty where it was baked here."""
        if self.restore:
            return f"by enabling {push_of(self.restore)}"
        return f"as {self.image} baked in {self.environment}" if self.environment else ""


def region_of(intent: Intent) -> str | None:
    """The one region that an intent is about; None where it is about several, as the step before a version is."""
    if intent.is_before:
        return None
    regions = intent.fleet.environment.regions
    if intent.unit != WHOLE:
        return intent.unit
    return regions[0] if len(regions) == 1 else None


def choose(
    intent: Intent, settings: SpinnakerSettings, body: Body | None, find: Callable[[Fleet, str, str], Baked]
) -> Lane:
    """The way of this attempt. `body` is a look at the unit's region; `find` looks the AMI up, for a cluster.

    Raises `ImageMissing` and `Unreadable` where the version must be baked elsewhere first, or nobody can tell. The step
    before a version is not begun either until every region that is awake has its AMI: it may not be undone.
    """
    region, back = region_of(intent), intent.kind is not Kind.DEPLOY
    if region is None:
        _look_ahead(intent, settings, find)
        return Lane()
    lane = _restoring(intent, settings, region, body) if back else None
    if lane is not None:
        return lane
    if "ami" not in settings.parameters or not (back or intent.fleet.bakes):
        return Lane()
    try:
        found = find(intent.fleet, region, cluster_in(intent.fleet, settings, region))
    except ImageMissing:
        if back or settings.image.missing == "bake":
            return Lane()
        raise
    except Unreadable:
        if back:  # a way back does not wait for what another account says
            return Lane()
        raise
    return Lane(image=found.image, environment=_baked_elsewhere(found, intent.fleet, settings))


def _look_ahead(intent: Intent, settings: SpinnakerSettings, find: Callable[[Fleet, str, str], Baked]) -> None:
    """Raises as `choose` does."""
    fleet = intent.fleet
    if not intent.is_before or settings.image.missing == "bake" or not _asks_for_images(fleet, settings):
        return
    for region in fleet.environment.regions:
        if region not in fleet.asleep:
            find(fleet, region, cluster_in(fleet, settings, region))


def _baked_elsewhere(found: Baked, fleet: Fleet, settings: SpinnakerSettings) -> str:
    """The other environment that baked it. Where this one may bake too, in the same account, nobody can tell."""
    baker = fleet.bakes
    if baker is None or found.environment != baker.name:
        return ""
    shared = baker.account == fleet.environment.account and settings.image.missing == "bake"
    return "" if shared else baker.name


def _restoring(intent: Intent, settings: SpinnakerSettings, region: str, body: Body | None) -> Lane | None:
    """Tried once only, and only where there is another attempt for the next way."""
    if settings.rollback is None or body is None or intent.failed or not intent.fleet.policy.retries:
        return None
    groups = [one for one in groups_in(body, cluster_in(intent.fleet, settings, region)) if not is_going(one)]
    for chosen in reversed(groups):
        if not is_at(intent.fleet, body, chosen) or (is_staffed(chosen) and illness(chosen)):
            continue
        bad = _beside(intent.fleet, body, groups, chosen)
        if not bad or not max(one["capacity"]["desired"] for one in (chosen, bad[-1])):
            return None
        return Lane(restore=chosen["name"], disable=bad[-1]["name"])
    return None


def looked_up(
    fleet: Fleet, settings: SpinnakerSettings, find: Callable[[Fleet, str, str], Baked]
) -> Iterator[dict[str, str]]:
    """What a deploy of the fleet would find in each region, for people: `{region, account, state, ami, message}`.

    Nothing where no AMI of another environment is asked for.
    """
    if not _asks_for_images(fleet, settings):
        return
    for region in fleet.environment.regions:
        place = {"region": region, "account": fleet.environment.account, "ami": ""}
        try:
            found = find(fleet, region, cluster_in(fleet, settings, region))
            yield {
                **place,
                "ami": found.image,
                "state": "found",
                "message": _told(found, fleet, settings),
            }
        except ImageMissing as missing:
            here = settings.image.missing == "bake"
            said = f"{missing}; it is baked here" if here else str(missing)
            yield {**place, "state": "baked here" if here else "missing", "message": said}
        except Unreadable as trouble:
            yield {**place, "state": "unknown", "message": str(trouble)}


def _asks_for_images(fleet: Fleet, settings: SpinnakerSettings) -> bool:
    """Whether a deploy of it is sent the AMI that another environment baked."""
    by_region = "region" in settings.parameters or len(fleet.environment.regions) == 1
    return "ami" in settings.parameters and fleet.bakes is not None and by_region


def _told(found: Baked, fleet: Fleet, settings: SpinnakerSettings) -> str:
    environment = _baked_elsewhere(found, fleet, settings)
    return f"{found.image} baked in {environment}" if environment else f"{found.image} is there"


def still_beside(lane: Lane, intent: Intent, settings: SpinnakerSettings, body: Body | None) -> str:
    """What keeps a region whose group was enabled from being done, although the execution did all that it was asked:
    there were more groups in service than one. A sentence, or nothing.
    """
    region = region_of(intent)
    if not lane.restore or region is None or body is None:
        return ""
    groups = [one for one in groups_in(body, cluster_in(intent.fleet, settings, region)) if not is_going(one)]
    known = {one["name"]: one for one in groups}
    restored, gone = known.get(lane.restore), known.get(lane.disable)
    if restored is None or not restored["enabled"] or not is_staffed(restored) or illness(restored):
        return ""
    if gone is not None and gone["enabled"]:
        return ""
    bad = [push_of(one["name"]) for one in _beside(intent.fleet, body, groups, restored)]
    if not bad:
        return ""
    return f"{push_of(lane.restore)} is back; {' and '.join(bad)} still in service beside it: disabled next"


def _beside(fleet: Fleet, body: Body, groups: list[Group], chosen: Group) -> list[Group]:
    """The other groups in service that are not at the target or not well, oldest first."""
    return list(_bad(fleet, body, (one for one in groups if one["name"] != chosen["name"])))


def _bad(fleet: Fleet, body: Body, groups: Iterator[Group]) -> Iterator[Group]:
    for one in groups:
        if one["enabled"] and is_staffed(one) and (illness(one) or not is_at(fleet, body, one)):
            yield one
