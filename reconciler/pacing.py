"""How many units may be taken out of service at once, and which of them first: the rest waits its turn. Pure."""

from collections.abc import Iterable, Sequence

from reconciler.drift import at_release
from reconciler.memory import Rollout
from reconciler.observed import Unit
from reconciler.record import Situation
from reconciler.rests import heals, resting
from reconciler.threshold import left_behind, stops_others, tolerated


def by_urgency(units: Iterable[Unit], rollout: Rollout | None) -> tuple[Unit, ...]:
    """The units in the order in which waves take them: moved ones, broken ones, the rest, then the silent ones,
    and last those that were given up.

    Broken is what says so itself and has something that could be broken: it costs nothing, and may be what the version
    mends. Otherwise they stay in the order given, so that slices stay what they are while a rollout is under way.
    """
    moved = frozenset(rollout.moved if rollout is not None else ())
    lost = left_behind(rollout) if rollout is not None else frozenset()
    return tuple(sorted(units, key=lambda unit: _urgency(unit, unit.id in moved) if unit.id not in lost else LOST))


LOST = 4  # given up: in every count, and in nobody's way


def _urgency(unit: Unit, moved: bool) -> int:
    if moved:
        return 0
    if unit.unheard:
        return 3
    return 2 if unit.healthy or not unit.components else 1


def waiting(situation: Situation, rollout: Rollout) -> list[Unit]:
    """Members that are not at the release and on which nothing is in flight, most urgent first.

    Units already moved come first, then broken ones, then the rest (DESIGN 3.1). While more units fail than are
    tolerated no other is taken until they are at the release. Those that were given up are not tried again.
    """
    busy, members, moved = _busy(situation), frozenset(rollout.members), frozenset(rollout.moved)
    members -= left_behind(rollout)
    if _stops(situation, rollout):
        members &= moved | rollout.failures.keys()
    if heals(situation.memory, rollout):
        members -= resting(situation.memory, rollout.release, situation.now)
    units = [unit for unit in _behind(situation, rollout) if unit.id in members and unit.id not in busy]
    return sorted(units, key=lambda unit: (unit.id not in moved, unit.healthy, unit.id))


def next_units(situation: Situation, rollout: Rollout) -> tuple[Unit, ...]:
    """Those of `waiting` that may be started now.

    A unit that is out of service already costs nothing; of those that serve, as many as the wave's `at_once` leaves
    room for beside what is in flight or unhealthy anywhere in the fleet. One that nobody hears from is counted as out,
    and may serve all the same: it is started only while no more are out than may be.
    """
    units, limit = waiting(situation, rollout), at_once(situation, rollout)
    if limit is None:
        return tuple(units)
    room = limit - len(out_of_service(situation))
    serving = {unit.id for unit in [unit for unit in units if unit.healthy][: max(0, room)]}
    chosen = tuple(unit for unit in units if unit.id in serving or _is_broken(unit) or (unit.unheard and room >= 0))
    return chosen or (_way_out(situation, rollout) if units else ())


def _way_out(situation: Situation, rollout: Rollout) -> tuple[Unit, ...]:
    """Where broken units leave no room for any of the wave, one of them joins it: the version may be what mends it."""
    if situation.in_flight or _stops(situation, rollout):
        return ()
    members = frozenset(rollout.members) | left_behind(rollout)
    return tuple(unit for unit in _behind(situation, rollout) if _is_broken(unit) and unit.id not in members)[:1]


def repeatable(situation: Situation, rollout: Rollout, unanswered: Sequence[str]) -> frozenset[str]:
    """Those of the units on which a start may be made again: others may have left service since it was first made."""
    limit = at_once(situation, rollout)
    if limit is None:
        return frozenset(unanswered)
    ill = {unit.id: unit for unit in situation.observed.units if not unit.healthy}
    serving = [unit for unit in unanswered if unit not in ill]
    room = limit - len(out_of_service(situation) - frozenset(serving))
    free = {unit for unit in unanswered if unit in ill and (_is_broken(ill[unit]) or room >= 0)}
    return frozenset(free.union(serving[: max(0, room)]))


def out_of_service(situation: Situation) -> frozenset[str]:
    """Units that are unhealthy or have work in flight."""
    unhealthy = {unit.id for unit in situation.observed.units if not unit.healthy}
    return frozenset(unhealthy | (_busy(situation) & {unit.id for unit in situation.observed.units}))


def at_once(situation: Situation, rollout: Rollout) -> int | None:
    """The limit of the wave in work; None: there is none."""
    waves = situation.waves
    return waves[min(rollout.wave, len(waves)) - 1].at_once if waves else None


def _behind(situation: Situation, rollout: Rollout) -> list[Unit]:
    return [unit for unit in situation.observed.units if not at_release(unit, rollout.release)]


def _stops(situation: Situation, rollout: Rollout) -> bool:
    return stops_others(rollout, situation.observed.units, tolerated(rollout, situation.waves))


def _is_broken(unit: Unit) -> bool:
    return not unit.healthy and not unit.unheard


def _busy(situation: Situation) -> frozenset[str]:
    return frozenset(outcome.intent.unit for outcome in situation.in_flight)
