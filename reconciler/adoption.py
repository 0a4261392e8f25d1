"""First contact never surprises (DESIGN 3.9): when a fleet becomes ours, and what people asked for outside Git.

Pure: memory in, memory out.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from desired_state.digests import target_digest
from desired_state.model import Adopt, Fleet
from reconciler.memory import Memory
from reconciler.observed import Drift, Observed
from reconciler.record import Ask, Record
from reconciler.work import Release


def heed_requests(memory: Memory, record: Record, desired: Release, observed: Observed) -> Memory:
    """Do what people asked: adopt, approve, retry. Asking twice changes nothing more."""
    answers: dict[Ask, Callable[[Memory], Memory]] = {
        Ask.ADOPT: lambda known: adopt(known, desired, observed),
        Ask.APPROVE: lambda known: approve(known, desired),
        Ask.RETRY: forgive,
    }
    for request in record.requests:
        memory = answers[request.ask](memory)
    return memory


def meet(memory: Memory, desired: Release, observed: Observed, drift: Drift) -> Memory:
    """Adopt a fleet that needs no permission: in sync, empty, `adopt: auto`, or given a newer setting commit."""
    if memory.adopted or observed.missing:
        return memory
    memory = replace(memory, first_seen=memory.first_seen or desired.setting_commit)
    empty = not any(unit.running for unit in observed.units)
    newer = memory.first_seen != desired.setting_commit
    if not drift or empty or newer or desired.fleet.policy.adopt is Adopt.AUTO:
        return adopt(memory, desired, observed)
    return memory


def adopt(memory: Memory, desired: Release, observed: Observed) -> Memory:
    """Take the fleet over; what runs now is recorded as its last good release."""
    if memory.adopted:
        return memory
    return replace(
        memory,
        adopted=True,
        identity=desired.fleet.identity_digest,
        last_good=memory.last_good or running_release(desired, observed),
    )


def approve(memory: Memory, desired: Release) -> Memory:
    """Accept a changed identity or a rewritten history. What was good on other machines is not good here."""
    moved = memory.identity not in {None, desired.fleet.identity_digest}
    return replace(
        memory,
        identity=desired.fleet.identity_digest,
        rewritten=None,
        rollout=None if moved else memory.rollout,  # it would go on where the fleet is no more
        last_good=None if moved else memory.last_good,
        finished=None if moved else memory.finished,
    )


def forgive(memory: Memory) -> Memory:
    """`retry`: quarantines, failures and recurring drift are forgotten; the rollout goes on in its wave as if new."""
    rollout = memory.rollout
    if rollout is not None:
        rollout = replace(rollout, failures={}, setbacks=0, retry_at=None, left_behind=(), unwell_since=None)
        rollout = replace(rollout, idle=timedelta(0), idle_since=None)
    return replace(memory, quarantines=(), rollout=rollout, repairs=(), rests=())


def running_release(desired: Release, observed: Observed) -> Release | None:
    """What the whole fleet runs, as a release to go back to.

    None where the units do not agree or run nothing, and where what they run cannot be told from its versions: the
    values of another configuration, or of none, are not known.
    """
    ran = {tuple(sorted(unit.components.items())) for unit in observed.units if unit.running}
    if len(ran) != 1:
        return None
    components = dict(next(iter(ran)))
    versions = {package.name: components.get(f"package/{package.name}") for package in desired.fleet.packages}
    if not components or None in versions.values() or not _is_tellable(desired.fleet, components):
        return None
    return Release(fleet=_running_fleet(desired.fleet, components), setting_commit=desired.setting_commit)


def _is_tellable(fleet: Fleet, components: dict[str, str]) -> bool:
    """What is neither a package nor its pin is the same as in the desired spec, which has the values."""
    return _others(components) == _others(fleet.components)


def _others(components: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in components.items() if not name.startswith(("package/", "sha256/"))}


def _running_fleet(fleet: Fleet, components: dict[str, str]) -> Fleet:
    if components == dict(fleet.components):
        return fleet
    packages = tuple(
        replace(
            package,
            version=components[f"package/{package.name}"],
            sha256=components.get(f"sha256/{package.name}"),
        )
        for package in fleet.packages
    )
    known = {f"package/{package.name}" for package in packages} | {f"sha256/{package.name}" for package in packages}
    kept = {name: value for name, value in components.items() if name in known} | _others(fleet.components)
    digest = target_digest(kept)
    return replace(
        fleet,
        components=kept,
        packages=packages,
        target_digest=digest,
        spec_digest=target_digest({"spec": fleet.spec_digest, "target": digest}),
    )
