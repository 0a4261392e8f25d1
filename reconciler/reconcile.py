"""Read this first: one pass over one fleet, the whole of it.

It is level-based: it is told a name, never an event. It may run at any time, twice, or after a crash between any two
lines. What was intended is written down before it is done; what came of it is written in one transaction with what is
said about it. A pass that lost its lease writes nothing and sends nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from desired_state.model import Digest, FleetName
from reconciler.aside import awake
from reconciler.guards import first_hold
from reconciler.look import look
from reconciler.observed import Snapshots
from reconciler.plan import Decision, decide
from reconciler.ports import Deployer, Lease, LeaseLost
from reconciler.reasons import Reason
from reconciler.record import Situation
from reconciler.stock import Sight, take_stock
from reconciler.summary import promise, summarize
from reconciler.work import Hold, Outcome, Plan
from reconciler.world import World


def reconcile(name: FleetName, world: World, lease: Lease) -> datetime | None:
    """Bring one fleet one step closer to what Git says, and say where it stands.

    Gives the time of the next look, or None where only a change calls for one. Raises `LeaseLost`; trouble with the
    world is no exception but part of what is said.
    """
    record = world.ledger.load(name)
    record = awake(record, world.clock.now()) if record is not None else None
    if record is None or record.desired is None:
        return None  # nothing was ever soundly declared under this name

    sight = look(record, record.desired, world)
    situation = take_stock(sight, world.deployers, world.clock.now(), world.observe_only)
    decision = decide(situation, first_hold(situation), world.pace)

    intended = world.ledger.intend(lease, record, promise(situation, decision, world))
    deeds = act(situation, decision.plan, sight, world, lease)

    result = summarize(situation, told(decision, deeds, situation.now), deeds.outcomes, world)
    world.ledger.save(lease, intended, result)
    return result.again_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Deeds:
    """What was done, and what kept the deployer from upholding what stands (a sentence, or nothing)."""

    outcomes: tuple[Outcome, ...] = ()
    trouble: str = ""


def act(situation: Situation, plan: Plan, sight: Sight, world: World, lease: Lease) -> Deeds:
    """Do what the plan says, ends before starts. The deployer asks the lease right before every side effect.

    Where the lease grows too short for more, what was done is given, to be written down in what is left of it; the rest
    is intended, and a later pass looks for it. Raises `LeaseLost` where nothing was done.
    """
    deployer = world.deployers[situation.desired.fleet.deploy_type]
    if not plan.acts:
        return Deeds(trouble=_uphold(situation, plan, sight.snapshots, deployer, lease))
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(_ends_elsewhere(situation, plan, sight, world, lease))
        outcomes.extend(_acts(situation, plan, sight.snapshots, deployer, lease))
    except LeaseLost:
        if not outcomes:
            raise
    return Deeds(outcomes=tuple(outcomes))


def _uphold(situation: Situation, plan: Plan, snapshots: Snapshots, deployer: Deployer, lease: Lease) -> str:
    """Who only observes writes nothing, and of a fleet that is gone nothing is renewed."""
    if situation.observe_only or (plan.standing is None and not situation.record.present):
        return ""
    return deployer.uphold(situation.desired.fleet, plan.standing, snapshots, lease)


def _ends_elsewhere(situation: Situation, plan: Plan, sight: Sight, world: World, lease: Lease) -> Iterator[Outcome]:
    """Work on the machines that the fleet was on before is ended by its own deployer. Nothing else is said there."""
    groups: dict[Digest, list[Outcome]] = {}
    for outcome in plan.aborts:
        if not situation.is_here(outcome):
            groups.setdefault(outcome.intent.fleet.identity_digest, []).append(outcome)
    for identity, aborts in groups.items():
        deployer = world.deployers[aborts[0].intent.fleet.deploy_type]
        yield from deployer.abort(aborts, None, sight.elsewhere.get(identity, {}), lease)


def _acts(
    situation: Situation, plan: Plan, snapshots: Snapshots, deployer: Deployer, lease: Lease
) -> Iterator[Outcome]:
    aborts = [outcome for outcome in plan.aborts if situation.is_here(outcome)]
    if aborts:
        yield from deployer.abort(aborts, plan.standing, snapshots, lease)
    if plan.starts and plan.standing is not None:
        yield from deployer.start(plan.starts, plan.standing, snapshots, lease)


def told(decision: Decision, deeds: Deeds, now: datetime) -> Decision:
    """What could not be upheld is said, unless something weightier holds the fleet; it is tried again in a minute."""
    if not deeds.trouble or decision.plan.hold is not None:
        return decision
    hold = Hold(reason=Reason.UPKEEP_FAILED, message=deeds.trouble, until=now + timedelta(minutes=1), error=True)
    return replace(decision, plan=replace(decision.plan, hold=hold))
