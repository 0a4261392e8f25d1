"""Read this first: one pass over one fleet, the whole of it.

It is level-based: it is told a name, never an event. It may run at any time, twice, or after a crash between any two
lines. What was intended is written down before it is done; what came of it is written in one transaction with what is
said about it. A pass that lost its lease writes nothing and sends nothing.
"""

from collections.abc import Iterable
from datetime import datetime

from desired_state.model import FleetName
from reconciler.guards import first_hold
from reconciler.look import look
from reconciler.plan import decide
from reconciler.ports import Deployer, Lease, LeaseLost
from reconciler.stock import take_stock
from reconciler.summary import promise, summarize
from reconciler.work import Outcome, Plan
from reconciler.world import World


def reconcile(name: FleetName, world: World, lease: Lease) -> datetime | None:
    """Bring one fleet one step closer to what Git says, and say where it stands.

    Gives the time of the next look, or None where only a change calls for one. Raises `LeaseLost`; trouble with the
    world is no exception but part of what is said.
    """
    record = world.ledger.load(name)
    if record is None or record.desired is None:
        return None  # nothing was ever soundly declared under this name
    deployer = world.deployers[record.desired.deploy_type]

    sight = look(record, record.desired, world)
    situation = take_stock(sight, deployer, world.clock.now(), world.observe_only)
    decision = decide(situation, first_hold(situation), world.pace)

    intended = world.ledger.intend(lease, record, promise(situation, decision, world.public_url))
    outcomes = act(decision.plan, deployer, lease)

    result = summarize(situation, decision, outcomes, world.pace, world.public_url)
    world.ledger.save(lease, intended, result)
    return result.again_at


def act(plan: Plan, deployer: Deployer, lease: Lease) -> tuple[Outcome, ...]:
    """Do what the plan says, ends before starts. The deployer asks the lease right before every side effect.

    Where the lease grows too short for more, what was done is given, to be written down in what is left of it; the rest
    is intended, and a later pass looks for it. Raises `LeaseLost` where nothing was done.
    """
    outcomes: list[Outcome] = []
    try:
        outcomes.extend(_acts(plan, deployer, lease))
    except LeaseLost:
        if not outcomes:
            raise
    return tuple(outcomes)


def _acts(plan: Plan, deployer: Deployer, lease: Lease) -> Iterable[Outcome]:
    for outcome in plan.aborts:
        yield deployer.abort(outcome, lease)
    for intent in plan.starts:
        yield deployer.start(intent, lease)
