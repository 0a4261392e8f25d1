"""What was read: snapshots, units, drift. Components and versions only, never an AMI."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from desired_state.model import Component, Version

UnitId = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One fleet's part of what a feed read: JSON that only the fleet's deployer understands."""

    feed: str  # "inventory/123456789012/us-east-1", "execution/<ticket>"
    body: Mapping[str, Any]
    read_at: datetime


Snapshots = Mapping[str, Snapshot]  # by feed name


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The smallest part of a fleet that is at a version.

    `components` holds a version only where it is the only one in service on the unit; `mixed` names the others.
    """

    id: UnitId
    components: Mapping[Component, Version]
    healthy: bool
    running: bool = True  # something is in service on it
    message: str = ""  # what a person should know: "2 of 3 instances healthy", "v041 and v042 both in service"
    unheard: bool = False  # nobody hears from it: it is unhealthy, and may be in service all the same
    conflict: str = ""  # evidence of the version that disagrees with itself; empty: none


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the units of a fleet run. `missing` names what could not be read: then nothing may be concluded."""

    units: tuple[Unit, ...]
    missing: tuple[str, ...] = ()
    read_at: datetime | None = None
    upkeep: bool = (
        False  # what the deployer keeps in the world for this fleet is to be renewed soon: a pass is called for
    )
    out_of_reach: str = ""  # why nothing can be started or ended there now, as a sentence, though the units were read
    retry_in: timedelta | None = None  # when that may be over
    joining: tuple[Unit, ...] = ()  # they boot and serve nobody yet, and run the last good release by themselves
    aside: tuple[Unit, ...] = ()  # in suspended regions: shown, and otherwise left alone
    foreign: str = ""  # what somebody else has under way on this fleet, as a sentence; empty: nothing
    leftovers: tuple[str, ...] = ()  # what of earlier deploys still stands, as sentences; never a reason to act


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One component of one unit that is not at the target. `have` is None where no single version is in service."""

    unit: UnitId
    component: Component
    want: Version
    have: Version | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """All differences of a fleet from a target. False when it is in sync."""

    differences: tuple[Difference, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.differences)

    @property
    def units(self) -> frozenset[UnitId]:
        """The units that are not at the target."""
        return frozenset(difference.unit for difference in self.differences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A slice converged together, and how long it must stay healthy before the next."""

    units: tuple[UnitId, ...]
    soak: timedelta = timedelta(0)
    at_once: int | None = None  # how many units of the whole fleet may be out of service at once; None: all
    tolerated: int = 0  # how many units of the whole fleet may be given up before the rollout has failed
    deadline: timedelta | None = None  # without progress for so long the rollout has failed; None: it may take any time
