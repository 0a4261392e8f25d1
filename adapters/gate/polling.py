"""The executions of many intents at once: tickets in batches, what a batch leaves open by itself, within a budget."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from adapters.gate.client import BATCH, Gate
from adapters.gate.errors import GateRefused
from adapters.gate.executions import NOT_FOUND, Execution
from adapters.gate.stages import FAILED
from adapters.gate.starting import call_for
from reconciler.observed import Snapshot
from reconciler.work import Outcome

FRESH = timedelta(seconds=15)  # what the feed read so lately is not asked again by every fleet of it
A_CYCLE = 25  # requests of one poll of everything that is under way at a Gate
NESTED = 3  # pipelines within pipelines that are looked into for the reason of a failure
_HALTED = FAILED - {"FAILED_CONTINUE"}


def read_work(gate: Gate, work: Sequence[Outcome], at_most: int | None = None) -> dict[str, Mapping[str, Any]]:
    """The body of each outcome's execution by intent key (see `executions`), as Gate shows it now.

    A key is left out where Gate refuses to look for it, and where more than `at_most` requests would be needed: then
    another is left out the next time. Raises `GateTrouble` where Gate cannot be asked.
    """
    tickets = sorted({outcome.ticket for outcome in work if outcome.ticket is not None})
    single = _Singles(gate, None if at_most is None else at_most - -(-len(tickets) // BATCH))
    known = gate.executions(tickets)
    bodies: dict[str, Mapping[str, Any]] = {}
    for outcome in random.sample(work, len(work)):
        execution = known.get(outcome.ticket or "")
        try:
            bodies[outcome.intent.key] = single.completed(execution) if execution else single.found(outcome)
        except GateRefused:
            if execution is not None:
                bodies[outcome.intent.key] = execution.as_body()
        except _Enough:
            if execution is not None and not execution.complete:  # why it failed is worth waiting for
                bodies[outcome.intent.key] = execution.as_body()
    return bodies


def still_told(work: Sequence[Outcome], known: Snapshot | None, now: datetime) -> dict[str, Mapping[str, Any]]:
    """The bodies that the feed read a moment ago: a thousand fleets ask together, and not each for itself."""
    if known is None or now - known.read_at > FRESH:
        return {}
    told = ((outcome, known.body.get(outcome.intent.key) or {}) for outcome in work)
    return {
        outcome.intent.key: body
        for outcome, body in told
        if outcome.ticket is not None and body.get("found") and body.get("id") == outcome.ticket
    }


class _Enough(Exception):
    """The budget of this poll is used up."""


class _Singles:
    """Questions about one execution each, so many and no more."""

    def __init__(self, gate: Gate, left: int | None) -> None:
        self._gate = gate
        self._left = left

    def found(self, outcome: Outcome) -> Mapping[str, Any]:
        """The body of what a bulk read does not show. Raises `GateRefused`, `GateTrouble` and `_Enough`.

        A bulk read passes over what a lagging replica lacks; asked by id, Gate says 404 only when it means it.
        """
        self._count()
        if outcome.ticket is None:
            execution = next(iter(call_for(self._gate, outcome.intent).found()), None)
        else:
            execution = self._gate.execution(outcome.ticket)
        return NOT_FOUND if execution is None else self.completed(execution)

    def completed(self, execution: Execution) -> Mapping[str, Any]:
        """The body with what a bulk read leaves out: why it failed, and what a canary's analyses gave so far."""
        if (execution.status in _HALTED or execution.broken) and not execution.error and not execution.child:
            self._count()
            execution = self._gate.execution(execution.id) or execution
        elif execution.canary:
            execution = self._scored(execution)
        return self._explained(execution).as_body()

    def _scored(self, execution: Execution) -> Execution:
        """A score is news once for each analysis."""
        known = self._gate.scores.get(execution.id)
        if known is None or known[0] != execution.canary:
            self._count()
            fresh = self._gate.execution(execution.id) or execution
            known = (execution.canary, fresh.waits)
            self._gate.scores.put(execution.id, known)
        return replace(execution, waits=known[1])

    def _explained(self, execution: Execution) -> Execution:
        """A stage that ran another pipeline says only that this one failed: the reason is there."""
        child, error = execution.child, execution.error
        for _ in range(NESTED):
            if error or not child:
                break
            self._count()
            below = self._gate.execution(child)
            if below is None:
                break
            child, error = below.child, below.error or below.cancellation_reason
        return replace(execution, error=error, child="")

    def _count(self) -> None:
        if self._left is not None:
            if self._left <= 0:
                raise _Enough
            self._left -= 1
