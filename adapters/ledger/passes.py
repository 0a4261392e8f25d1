"""What a pass leaves behind: one transaction, fenced by lease and row version, or nothing (DESIGN 3, rule 4)."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, update

from adapters.ledger import history, statuses
from adapters.ledger.codec import MEMORY, OUTCOME
from adapters.ledger.database import Database
from adapters.ledger.dialects import Upsert, micros
from adapters.ledger.lease import pass_fence
from adapters.ledger.tables import fleets, intents, requests
from reconciler.memory import ConditionType, Memory
from reconciler.ports import Lease, LeaseLost
from reconciler.record import CommitStatus, Pass, Record
from reconciler.work import Outcome

_STATES = (ConditionType.STALLED, ConditionType.HELD, ConditionType.RECONCILING)  # the worst of them is a row's state

_WRITTEN = update(fleets).where(fleets.c.name == bindparam("its_name"), fleets.c.version == bindparam("its_version"))
_STANDS = Upsert(intents, "phase", "ticket", "outcome", "ended_at")
_DONE: BindParameter[Any] = bindparam("done", expanding=True)
_ACTED_ON = update(requests).where(
    requests.c.fleet == bindparam("asked"), requests.c.id.in_(_DONE), requests.c.done_at.is_(None)
)


class Passes:
    """Writing one fleet's pass."""

    _database: Database

    def intend(self, lease: Lease, record: Record, result: Pass) -> Record:
        """T1: memory, the new intents and their statuses. Gives the record with its new version.

        A result that changes nothing is not written, and the record is given back as it was. Raises `LeaseLost` when
        the owner, the lease or the version is not what it was; then nothing was written. Raises ValueError for a lease
        on another name. After `LedgerAway` start nothing and leave the pass: the next one loads what was written, and
        an intent without a ticket is looked up before its key is started.
        """
        return self._write(lease, record, result)

    def save(self, lease: Lease, record: Record, result: Pass) -> Record:
        """T2: memory, outcomes, statuses, events, requests done. Fenced as `intend` is.

        After `LedgerAway` leave the pass: what was not written is seen again in the world by the next one.
        """
        return self._write(lease, record, result)

    def _write(self, lease: Lease, record: Record, result: Pass) -> Record:
        if lease.key != f"fleet:{record.name}":
            raise ValueError(f"a lease on {lease.key} gives no right to write fleet:{record.name}")
        moved = _moved(record, result.work)
        news = [word for word in result.statuses if not _said(record, word)]
        if not (moved or news or result.events or result.requests_done or result.memory != record.memory):
            return record
        now = self._database.clock.now()
        with self._database.writing() as connection:
            pass_fence(connection, lease)
            _write_fleet(connection, record, result.memory, now)
            _write_intents(connection, moved, now)
            _end_requests(connection, record, result.requests_done, now)
            history.append(connection, record.name, result.events)
            statuses.put(connection, result.statuses, now)  # last: every pass of a repository locks the same two names
        return _after(record, result)


def _moved(record: Record, work: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes that are new or not where they stood."""
    before = {outcome.intent.key: outcome for outcome in record.work}
    return [outcome for outcome in work if before.get(outcome.intent.key) != outcome]


def _said(record: Record, word: CommitStatus) -> bool:
    """The record's words hold this meaning already; when it was said does not matter."""
    return any(replace(known, at=word.at) == word for known in record.statuses)


def _after(record: Record, result: Pass) -> Record:
    words = {(word.commit, word.context): word for word in (*record.statuses, *result.statuses)}
    work = {outcome.intent.key: outcome for outcome in (*record.work, *result.work)}
    return replace(
        record,
        memory=result.memory,
        version=record.version + 1,
        work=tuple(outcome for outcome in work.values() if not outcome.phase.ended),
        requests=tuple(request for request in record.requests if request.id not in result.requests_done),
        statuses=tuple(words.values()),
    )


def _write_fleet(connection: Connection, record: Record, memory: Memory, now: datetime) -> None:
    mine = {"its_name": record.name, "its_version": record.version}
    stamp = {"version": record.version + 1, "changed_at": micros(now)}
    values = {"memory": MEMORY.encode(memory), **stamp, **_columns(memory)}
    if not connection.execute(_WRITTEN, {**mine, **values}).rowcount:
        raise LeaseLost(f"{record.name} is not at version {record.version} any more: somebody wrote it meanwhile")


def _columns(memory: Memory) -> dict[str, Any]:
    """What people and roll-ups ask for, readable without decoding."""
    status = memory.status
    state = next((kind.value for kind in _STATES if status.condition(kind)), "Ready" if status.ready else "Unknown")
    return {
        "state": state,
        "ready": status.ready,
        "reason": status.reason.value,
        "message": status.message,
        "target_version": status.version,
    }


def _write_intents(connection: Connection, moved: Sequence[Outcome], now: datetime) -> None:
    if moved:
        _STANDS.run(connection, [_intent_row(outcome, now) for outcome in moved])


def _intent_row(outcome: Outcome, now: datetime) -> dict[str, Any]:
    intent = outcome.intent
    return {
        "key": intent.key,
        "fleet": intent.fleet.name,
        "repository": intent.repository,
        "setting_commit": intent.setting_commit,
        "target_digest": intent.fleet.target_digest,
        "unit": intent.unit,
        "wave": intent.wave,
        "attempt": intent.attempt,
        "phase": outcome.phase.value,
        "ticket": outcome.ticket,
        "outcome": OUTCOME.encode(outcome),
        "created_at": micros(intent.created_at),
        "ended_at": micros(now) if outcome.phase.ended else None,
    }


def _end_requests(connection: Connection, record: Record, done: Sequence[int], now: datetime) -> None:
    if done:
        connection.execute(_ACTED_ON, {"asked": record.name, "done": done, "done_at": micros(now)})
