"""How many units may be taken out of service at once: the rest waits its turn. Pure."""

from reconciler.drift import at_release
from reconciler.memory import Rollout
from reconciler.observed import Unit
from reconciler.record import Situation


def waiting(situation: Situation, rollout: Rollout) -> list[Unit]:
    """Members that are not at the release and on which nothing is in flight, most urgent first.

    Units already moved come first, then broken ones, then the rest (DESIGN 3.1).
    """
    busy = _busy(situation)
    units = [
        unit
        for unit in situation.observed.units
        if unit.id in rollout.members and unit.id not in busy and not at_release(unit, rollout.release)
    ]
    return sorted(units, key=lambda unit: (unit.id not in rollout.moved, unit.healthy, unit.id))


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
    serving = [unit for unit in units if unit.healthy][: max(0, room)]
    broken = [unit for unit in units if not unit.healthy and (room >= 0 or not unit.unheard)]
    return tuple(unit for unit in units if unit in serving or unit in broken)


def out_of_service(situation: Situation) -> frozenset[str]:
    """Units that are unhealthy or have work in flight."""
    unhealthy = {unit.id for unit in situation.observed.units if not unit.healthy}
    return frozenset(unhealthy | (_busy(situation) & {unit.id for unit in situation.observed.units}))


def at_once(situation: Situation, rollout: Rollout) -> int | None:
    """The limit of the wave in work; None: there is none."""
    waves = situation.waves
    return waves[min(rollout.wave, len(waves)) - 1].at_once if waves else None


def _busy(situation: Situation) -> frozenset[str]:
    return frozenset(outcome.intent.unit for outcome in situation.in_flight)
