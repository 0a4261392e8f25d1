"""After a lost ledger: work of an earlier life is looked for before anything is decided (DESIGN 3.4). Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from reconciler.memory import Memory, Rollout
from reconciler.observed import Observed, Snapshots
from reconciler.plan import Pace, attempts_key, base_key
from reconciler.ports import Deployer
from reconciler.record import Record
from reconciler.work import Intent, Kind, Outcome, Phase, Release

ATTEMPTS_LOOKED_FOR = 3


def forgotten(record: Record) -> bool:
    """True when this ledger has never seen the fleet: then an earlier one may have."""
    return record.memory.first_seen is None and not record.memory.adopted and not record.work


def candidates(record: Record, observed: Observed, waves: int, now: datetime, pace: Pace) -> tuple[Outcome, ...]:
    """The keys that an earlier life would have used for the present desired release."""
    if record.desired is None or record.setting is None or not record.present:
        return ()
    release = Release(fleet=record.desired, setting_commit=record.setting.commit)
    return tuple(
        Outcome(intent=_candidate(record, release, unit.id, wave, attempt, now, pace), phase=Phase.INTENDED)
        for unit in observed.units
        for wave in range(1, waves + 1)
        for attempt in range(1, ATTEMPTS_LOOKED_FOR + 1)
    )


def _candidate(
    record: Record, release: Release, unit: str, wave: int, attempt: int, now: datetime, pace: Pace
) -> Intent:
    return Intent(
        key=f"{base_key(record.repository, release, unit)}:w{wave}:a{attempt}",
        fleet=release.fleet,
        repository=record.repository,
        setting_commit=release.setting_commit,
        unit=unit,
        wave=wave,
        attempt=attempt,
        kind=Kind.DEPLOY,
        created_at=now,
        settle_at=now + pace.settle,
        deadline=now + pace.deadline,
        starts=1,
    )


def found_running(
    asked: Iterable[Outcome], deployer: Deployer, snapshots: Snapshots, now: datetime
) -> tuple[Outcome, ...]:
    """Those that the other system runs right now. What it has finished only uses up its number, later."""
    checked = (deployer.check(outcome, snapshots, now) for outcome in asked)
    return tuple(outcome for outcome in checked if outcome.phase is Phase.RUNNING)


def recovered(record: Record, found: tuple[Outcome, ...], now: datetime) -> Record:
    """The record as it would be had the ledger not been lost: our own work in flight proves that the fleet is ours."""
    if not found:
        return record
    intents = [outcome.intent for outcome in found]
    release = Release(fleet=intents[0].fleet, setting_commit=intents[0].setting_commit)
    rollout = Rollout(
        release=release,
        kind=Kind.DEPLOY,
        started_at=now,
        wave=min(intent.wave for intent in intents),
        moved=tuple(intent.unit for intent in intents),
    )
    memory: Memory = replace(
        record.memory,
        first_seen=release.setting_commit,
        adopted=True,
        identity=release.fleet.identity_digest,
        rollout=rollout,
        attempts={attempts_key(intent): intent.attempt for intent in intents},
    )
    return replace(record, memory=memory, work=found)
