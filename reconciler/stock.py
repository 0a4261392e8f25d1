"""Taking stock: from what was known and what was seen to a `Situation`, by one chain of pure steps."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from desired_state.model import Digest
from reconciler.adoption import heed_requests, meet
from reconciler.aside import acting, reached
from reconciler.deadline import expire, keep_time
from reconciler.drift import detect_drift
from reconciler.memory import Memory
from reconciler.observed import Observed, Snapshots, Wave
from reconciler.pacing import by_urgency
from reconciler.ports import Deployer
from reconciler.quarantine import choose_target, lift
from reconciler.reasons import Reason
from reconciler.record import Record, Situation
from reconciler.rests import well_again, without_the_gone
from reconciler.rollout import advance, count, make_room, settle_in_sync, take_over
from reconciler.threshold import judge, without_the_returned
from reconciler.work import Kind, Outcome, Phase, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a pass saw: snapshots, what they mean, and why there may be none.

    `record` is the ledger's, with the work of a lost ledger found again.
    """

    record: Record
    snapshots: Snapshots
    observed: Observed
    work: tuple[Outcome, ...]
    trouble: str = ""
    elsewhere: Mapping[Digest, Snapshots] = field(default_factory=dict)  # by the identity of work that runs elsewhere
    reason: Reason = Reason.OBSERVATION_FAILED  # of the trouble
    retry_in: timedelta | None = None  # when another look may succeed, where that is known


def take_stock(sight: Sight, deployers: Mapping[str, Deployer], now: datetime, observe_only: bool) -> Situation:
    """Everything that a decision needs, from one look at the world.

    Raises `ValueError` for a record without a desired spec: there is nothing to compare with.
    """
    sight = replace(sight, observed=of_the_fleet(sight.record.memory, sight.observed))
    record = sight.record
    if record.desired is None or record.setting is None:
        raise ValueError(f"{record.name} never had a sound spec")
    desired = Release(fleet=record.desired, setting_commit=record.setting.commit)
    lacks = deployers[desired.fleet.deploy_type].lacks
    work = stamped(record, (settle_unknown(outcome, now) for outcome in sight.work), now)
    memory = learn(desired, sight, work, deployers, now)
    target = choose_target(memory, desired, record.setting)
    spec = (memory.rollout.release if memory.rollout is not None else target or desired).fleet
    return Situation(
        record=record,
        memory=memory,
        desired=desired,
        target=target,
        observed=sight.observed,
        drift=detect_drift(target or desired, sight.observed),
        waves=waves_of(memory, target or desired, sight.observed, deployers),
        work=work,
        now=now,
        trouble=sight.trouble,
        observe_only=observe_only or bool(lacks),
        lacks="" if observe_only else lacks,
        before=deployers[spec.deploy_type].before(spec),
        trouble_reason=sight.reason,
        retry_in=sight.retry_in or sight.observed.retry_in,
    )


def learn(
    desired: Release, sight: Sight, work: tuple[Outcome, ...], deployers: Mapping[str, Deployer], now: datetime
) -> Memory:
    """What the record's memory becomes by what was seen. Nothing is learnt from a look that failed."""
    record = sight.record
    memory = _recent_repairs(lift(record.memory, desired, now), now)
    if sight.trouble or record.setting is None:
        return memory
    if sight.observed.missing:  # what ended has ended, however little else can be told
        return count(memory, (outcome for outcome in work if outcome.phase.ended), desired, now)
    memory = heed_requests(memory, record, desired, sight.observed)
    memory = meet(memory, desired, sight.observed, detect_drift(desired, sight.observed))
    memory = count(memory, (outcome for outcome in work if outcome.phase.ended), desired, now)
    memory = without_the_gone(memory, sight.observed)
    in_flight = acting(work, sight.observed)
    memory = go_on(memory, sight, in_flight, desired, deployers, now)
    target = choose_target(memory, desired, record.setting)
    memory = make_room(take_over(memory, target, record.setting, now), target, in_flight)
    memory = reached(well_again(memory, target, sight.observed), target, sight.observed)
    return memory if in_flight else settle_in_sync(memory, target, sight.observed, now)


def go_on(
    memory: Memory,
    sight: Sight,
    in_flight: tuple[Outcome, ...],
    desired: Release,
    deployers: Mapping[str, Deployer],
    now: datetime,
) -> Memory:
    """The rollout as far as what was observed carries it, to its end or to its failure."""
    if memory.rollout is None or not _is_here(memory.rollout.release, desired):
        return memory  # of a rollout on other machines nothing is known: neither its waves nor what they tolerate
    observed, fleet = sight.observed, memory.rollout.release.fleet
    step = deployers[fleet.deploy_type].before(fleet)
    memory = without_the_returned(memory, observed.units)
    memory = judge(memory, waves_of(memory, desired, observed, deployers), desired, now)
    waves = waves_of(memory, desired, observed, deployers)
    memory = advance(memory, waves, observed, in_flight, desired, now)
    memory = keep_time(sight.record.memory.rollout, memory, observed, in_flight, now)
    return expire(memory, waves, observed, in_flight, desired, now, step)


def of_the_fleet(memory: Memory, observed: Observed) -> Observed:
    """Units that still boot are ordinary ones only where there is no good release that they could run by themselves."""
    if memory.last_good is not None or not observed.joining:
        return observed
    return replace(observed, units=(*observed.units, *observed.joining), joining=())


def settle_unknown(outcome: Outcome, now: datetime) -> Outcome:
    """An abort of something that never came to be is done once it cannot come to be any more."""
    unborn = outcome.phase is Phase.ABORTING and outcome.ticket is None
    if unborn and now >= outcome.intent.settle_at:
        return replace(outcome, phase=Phase.ABORTED, message="was never started")
    return outcome


def stamped(record: Record, work: Iterable[Outcome], now: datetime) -> tuple[Outcome, ...]:
    """The outcomes with the times at which their phases were first seen."""
    known = {outcome.intent.key: outcome for outcome in record.work}
    return tuple(_stamp(known.get(outcome.intent.key), outcome, now) for outcome in work)


def _stamp(known: Outcome | None, outcome: Outcome, now: datetime) -> Outcome:
    if known is not None and known.phase is outcome.phase:
        return replace(outcome, since=outcome.since or known.since)
    return replace(outcome, since=now)


def _is_here(release: Release, desired: Release) -> bool:
    """What the fleet's units run says nothing of a release that began on other machines."""
    return release.fleet.identity_digest == desired.fleet.identity_digest


def waves_of(
    memory: Memory, release: Release, observed: Observed, deployers: Mapping[str, Deployer]
) -> tuple[Wave, ...]:
    """A deploy's waves are its deployer's; going back and healing are one wave over everything, without soak.

    Going back by itself stops for no unit: the release has run well here, and the other is worse.
    """
    rollout = memory.rollout
    fleet = rollout.release.fleet if rollout is not None else release.fleet
    observed = replace(observed, units=by_urgency(observed.units, rollout))
    waves = deployers[fleet.deploy_type].waves(fleet, observed)
    if rollout is None or rollout.kind is Kind.DEPLOY:
        return waves
    everything = tuple(unit.id for unit in observed.units)
    wave = replace(waves[-1] if waves else Wave(units=()), units=everything, soak=timedelta(0))
    return (replace(wave, tolerated=len(everything)) if rollout.kind is Kind.ROLLBACK else wave,)


def _recent_repairs(memory: Memory, now: datetime) -> Memory:
    kept = tuple(repair for repair in memory.repairs if repair.at > now - timedelta(days=1))
    return memory if kept == memory.repairs else replace(memory, repairs=kept)
