"""Observed against a release: plain comparison of components and versions, unit by unit."""

from reconciler.observed import Difference, Drift, Observed, Unit
from reconciler.work import Release


def detect_drift(release: Release, observed: Observed) -> Drift:
    """Every component of every unit that is not at the release. Components nobody declared are not looked at."""
    return Drift(
        differences=tuple(
            Difference(unit=unit.id, component=component, want=want, have=unit.components.get(component))
            for unit in observed.units
            for component, want in release.fleet.components.items()
            if unit.components.get(component) != want
        )
    )


def at_release(unit: Unit, release: Release) -> bool:
    """True when the release is the only thing in service on the unit, in every component."""
    wanted = release.fleet.components.items()
    return all(unit.components.get(component) == version for component, version in wanted)
