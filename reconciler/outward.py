"""What the service's own repository is told of a fleet: states, versions and counts. Pure.

That repository may be read by everybody while the desired state is private. So no sentence of a fleet's own word is
passed on there: no instance, host, region or AMI, no reason of a person, no commit of the desired state.
"""

from desired_state.model import Sha
from reconciler.drift import at_release
from reconciler.memory import Memory
from reconciler.quarantine import quarantined
from reconciler.record import Situation, State
from reconciler.speech import clip
from reconciler.work import Hold, Release


def outward(situation: Situation, memory: Memory, hold: Hold | None, commit: Sha, state: State) -> str:
    """The sentence for the version that this setting commit set, where the fleet's own word on it has that state."""
    if not situation.record.present:
        return "no longer managed"
    is_present = commit == situation.desired.setting_commit
    return clip(_present(situation, memory, hold, state) if is_present else _earlier(situation, memory, commit, state))


def _present(situation: Situation, memory: Memory, hold: Hold | None, state: State) -> str:
    desired = situation.desired
    version, there = desired.fleet.version, f"{desired.fleet.version} on {_count(situation, desired)}"
    if state is State.SUCCESS:
        return there
    if state is State.PENDING:
        return f"{version} waits" if hold is not None else f"{there}, under way"
    failed = quarantined(memory, desired.target_digest)
    if failed is not None and not failed.refused:
        return f"{version} failed: {failed.reason}; {_consequence(situation, memory, hold)}"
    return f"{there}, not healthy" if state is State.FAILURE else f"{version} waits for a person"


def _consequence(situation: Situation, memory: Memory, hold: Hold | None) -> str:
    target = situation.target
    if target is None:
        return "stays where it stands"
    version = target.fleet.version
    if hold is not None:
        return f"going back to {version} waits"
    if memory.rollout is not None or situation.drift:
        return f"rolling back to {version}"
    return f"rolled back to {version} on {_count(situation, target)}"


def _earlier(situation: Situation, memory: Memory, commit: Sha, state: State) -> str:
    version, setting, finished = situation.desired.fleet.version, situation.record.setting, memory.finished
    if state is not State.ERROR and setting is not None and commit in setting.reverts:
        if state is State.PENDING:
            return f"being reverted to {version}"
        return f"reverted: {version} on {_count(situation, situation.target or situation.desired)}"
    if state is State.SUCCESS and finished is not None and finished.setting_commit == commit:
        return f"{finished.version} on {finished.units}/{finished.units + finished.behind} units; then {version}"
    return f"superseded by {version}"


def _count(situation: Situation, release: Release) -> str:
    """`5/12 units`; `1 of 2 regions` where some are set aside."""
    units, aside = situation.observed.units, situation.observed.aside
    there = sum(unit.healthy and at_release(unit, release) for unit in units)
    return f"{there} of {len(units) + len(aside)} regions" if aside else f"{there}/{len(units)} units"
