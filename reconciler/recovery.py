"""After a lost ledger: work of an earlier life is looked for before anything is decided (DESIGN 3.4). Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from reconciler.before import units_of
from reconciler.keys import attempts_key, identity_key
from reconciler.memory import Memory, Rollout
from reconciler.plan import Pace
from reconciler.ports import Unreadable
from reconciler.record import Record
from reconciler.work import Intent, Kind, Outcome, Phase, Release


def forgotten(record: Record) -> bool:
    """True when this ledger has never seen the fleet: then an earlier one may have."""
    memory = record.memory
    return record.present and memory.first_seen is None and not memory.adopted and not record.work


def prefix_of(record: Record) -> str:
    """What every key of the fleet begins with, whatever was deployed."""
    return f"fairlead:{record.repository}:{record.name}:"


def recovered(record: Record, running: Mapping[str, str], now: datetime, pace: Pace) -> Record:
    """The record as it would be had the ledger not been lost: our own work in flight proves that the fleet is ours.

    `running` gives the ticket by key. Raises `Unreadable` while something towards another target runs: nothing is
    started beside it, and nobody knows any more what it was for.
    """
    if record.desired is None or record.setting is None or not running:
        return record
    release = Release(fleet=record.desired, setting_commit=record.setting.commit)
    mine = identity_key(record.repository, release)
    strangers = sorted(ticket for key, ticket in running.items() if not key.startswith(f"{mine}:"))
    if strangers:
        raise Unreadable(
            f"execution {strangers[0]} of an earlier ledger still runs for {record.name}; waiting for its end"
        )
    found = tuple(
        Outcome(intent=_intent(record, release, key, now, pace), phase=Phase.RUNNING, ticket=ticket)
        for key, ticket in sorted(running.items())
    )
    return replace(record, memory=_memory(record, release, found, now), work=found)


def _intent(record: Record, release: Release, key: str, now: datetime, pace: Pace) -> Intent:
    """The intent that a key was made for; see `plan.make_intent`."""
    base, _, attempt = key.rpartition(":a")
    base, _, wave = base.rpartition(":w")
    return Intent(
        key=key,
        fleet=release.fleet,
        repository=record.repository,
        setting_commit=release.setting_commit,
        unit=base.rpartition(":")[2],
        wave=int(wave),
        attempt=int(attempt),
        kind=Kind.DEPLOY,
        created_at=now,
        settle_at=pace.settled(now, release.fleet),
        deadline=now + pace.deadline,
        starts=1,
    )


def _memory(record: Record, release: Release, found: tuple[Outcome, ...], now: datetime) -> Memory:
    intents = [outcome.intent for outcome in found]
    rollout = Rollout(
        release=release,
        kind=Kind.DEPLOY,
        started_at=now,
        wave=max(1, min(intent.wave for intent in intents)),
        moved=units_of(intents),
    )
    return replace(
        record.memory,
        first_seen=release.setting_commit,
        adopted=True,
        identity=release.fleet.identity_digest,
        rollout=rollout,
        attempts={attempts_key(intent): intent.attempt for intent in intents},
        prepared=(release.target_digest,) if units_of(intents) else (),  # no wave begins before the step is done
    )
