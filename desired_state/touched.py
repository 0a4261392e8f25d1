"""Which fleets a set of changed paths can have changed: a superset, in one pass, without a look into any file."""

from collections.abc import Iterable

from desired_state.layout import Kind, place
from desired_state.model import DesiredState, FleetName


def touched_fleets(paths: Iterable[str], desired: DesiredState) -> frozenset[FleetName]:
    """Fleets that `desired` declares and whose target `paths` may have changed; every broken one is among them.

    A fleet that used another service meanwhile is found by its own file, which names the service.
    """
    places = [place(path) for path in paths]
    if any(where.kind is Kind.ROOT for where in places):
        return desired.declared
    environments = {where.environment for where in places if where.kind is Kind.ENVIRONMENT}
    services = {where.name for where in places if where.kind in {Kind.SERVICE, Kind.SERVICE_CONFIG}}
    own = {f"{where.environment}/{where.name}" for where in places if where.kind in {Kind.FLEET, Kind.FLEET_CONFIG}}
    found = (own & desired.declared) | desired.broken
    if environments or services:
        found |= {
            name
            for name, fleet in desired.fleets.items()
            if fleet.environment.name in environments or fleet.service in services
        }
    return frozenset(found)
