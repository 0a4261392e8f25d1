"""The next revision out of the last: where only a few fleets' own files changed, only they are read again.

Every bump is such a change, so its cost grows with what it touches and not with the repository. Whatever else changed
is left to the whole survey; both give the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from desired_state.layout import Kind, place
from desired_state.model import DesiredState, Fleet, FleetName
from desired_state.sources import Sources
from desired_state.trees import Entry, Tree

_OWN = frozenset({Kind.FLEET, Kind.FLEET_CONFIG})
_FEW = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The last tree that was surveyed, and what it declared."""

    entries: Mapping[str, Entry]
    state: DesiredState
    services: Mapping[FleetName, str]
    noted: frozenset[FleetName]  # fleets with findings of their own: they are always surveyed again


def resume(seen: Seen, tree: Tree, sources: Sources) -> Seen | None:
    """What the tree declares, if it differs from the last one only in sound fleets' own files; else None."""
    changed = _changed(seen.entries, tree.entries())
    names = None if changed is None else _owners(changed)
    if names is None:
        return None
    fleets = dict(seen.state.fleets)
    for name in names:
        fleet = _again(seen, tree, sources, name)
        if fleet is None:
            return None
        fleets[name] = fleet
    state = replace(seen.state, fleets=fleets)
    return Seen(entries=dict(tree.entries()), state=state, services=seen.services, noted=seen.noted)


def _changed(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> list[str] | None:
    """The paths with other content; None where a path came or went, or where most of it is new."""
    if len(before) != len(after):
        return None
    changed = []
    for path, entry in after.items():
        old = before.get(path)
        if old is None:
            return None
        if old.blob != entry.blob or old.mode != entry.mode:
            changed.append(path)
    return changed if len(changed) <= _FEW else None


def _owners(paths: Iterable[str]) -> set[FleetName] | None:
    """The fleets whose own files these are; None where one of the paths is more than that."""
    places = [place(path) for path in paths]
    ours = [found for found in places if found.kind is not Kind.OTHER]
    if any(found.kind not in _OWN or found.fault for found in ours):
        return None
    return {f"{found.environment}/{found.name}" for found in ours}


def _again(seen: Seen, tree: Tree, sources: Sources, name: FleetName) -> Fleet | None:
    """The fleet with its new content, suspended and frozen as before; None where anything is to be said about it."""
    last, service = seen.state.fleets.get(name), sources.service(tree, name)
    if last is None or name in seen.noted or service != seen.services.get(name):
        return None
    assembled = sources.assembled(tree, name, service)
    if assembled.fleet is None or assembled.findings:
        return None
    return replace(
        assembled.fleet,
        suspension=last.suspension,
        freezes=last.freezes,
        regional=last.regional,
        bakes=last.bakes,
    )
