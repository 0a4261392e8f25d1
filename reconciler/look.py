"""One look at the world: from the feeds where that is enough, by a narrow fresh read where something is at stake."""

from collections.abc import Mapping
from dataclasses import replace

from desired_state.model import Digest, Fleet
from reconciler.drift import detect_drift
from reconciler.observed import Observed, Snapshots
from reconciler.ports import Deployer, Unreadable
from reconciler.record import Record
from reconciler.recovery import forgotten, prefix_of, recovered
from reconciler.stock import Sight
from reconciler.work import Outcome, Release
from reconciler.world import World


def look(record: Record, fleet: Fleet, world: World) -> Sight:
    """What there is to see of the fleet now.

    Work is looked at by the deployer and the selector of the spec that it began with, whatever the fleet is by now.
    A read that fails is a sentence in `Sight.trouble`, never an exception: the pass goes on and says so.
    """
    deployer = world.deployers[fleet.deploy_type]
    if is_quiet(record, deployer):
        return _sight(record, fleet, deployer, record.snapshots, ())
    try:
        record = _recover(record, fleet, deployer, world)
        here = [outcome for outcome in record.work if outcome.intent.fleet.identity_digest == fleet.identity_digest]
        snapshots = {**record.snapshots, **deployer.refresh(fleet, here, record.snapshots)}
        elsewhere = _look_elsewhere(record, fleet, world)
    except Unreadable as trouble:
        nothing = Observed(units=())
        return Sight(
            record=record,
            snapshots={},
            observed=nothing,
            work=record.work,
            trouble=str(trouble),
            reason=trouble.reason,
            retry_in=trouble.retry_in,
        )
    now = world.clock.now()
    work = tuple(
        world.deployers[outcome.intent.fleet.deploy_type].check(
            outcome, elsewhere.get(outcome.intent.fleet.identity_digest, snapshots), now
        )
        for outcome in record.work
    )
    return replace(_sight(record, fleet, deployer, snapshots, work), elsewhere=elsewhere)


def _look_elsewhere(record: Record, fleet: Fleet, world: World) -> Mapping[Digest, Snapshots]:
    """What work is seen by that was started where the fleet was before its account, regions, selector or type changed.

    It keeps the spec that it began with: its own deployer looks, by its own selector. Raises `Unreadable`.
    """
    groups: dict[Digest, list[Outcome]] = {}
    for outcome in record.work:
        if outcome.intent.fleet.identity_digest != fleet.identity_digest:
            groups.setdefault(outcome.intent.fleet.identity_digest, []).append(outcome)
    found = {}
    for identity, work in groups.items():
        spec = work[0].intent.fleet
        fresh = world.deployers[spec.deploy_type].refresh(spec, work, record.snapshots)
        found[identity] = {**record.snapshots, **fresh}
    return found


def _sight(record: Record, fleet: Fleet, deployer: Deployer, snapshots: Snapshots, work: tuple[Outcome, ...]) -> Sight:
    return Sight(record=record, snapshots=snapshots, observed=deployer.observe(fleet, snapshots), work=work)


def is_quiet(record: Record, deployer: Deployer) -> bool:
    """True when the feeds' last word is enough: gone, or ready at this very target, nothing under way or asked for."""
    if not record.present:
        return not record.work
    status, desired, setting = record.memory.status, record.desired, record.setting
    if desired is None or setting is None or not status.ready or record.trouble or record.requests or record.problems:
        return False
    if record.work or record.memory.rollout:
        return False
    if (status.target_digest, status.setting_commit) != (desired.target_digest, setting.commit):
        return False
    observed = deployer.observe(desired, record.snapshots)
    calm = not (observed.missing or observed.upkeep) and all(
        unit.healthy and not unit.conflict for unit in observed.units
    )
    return calm and not detect_drift(Release(fleet=desired, setting_commit=setting.commit), observed)


def _recover(record: Record, fleet: Fleet, deployer: Deployer, world: World) -> Record:
    """On first sight: is there work in flight that an earlier ledger knew of? Raises `Unreadable`."""
    if not forgotten(record):
        return record
    running = deployer.running(fleet, prefix_of(record))
    return recovered(record, running, world.clock.now(), world.pace)
