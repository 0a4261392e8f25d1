"""The executions of many intents at once: tickets in batches, intents without one by their event id."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.gate.client import Gate
from adapters.gate.errors import GateRefused
from adapters.gate.executions import NOT_FOUND, Execution
from adapters.gate.starting import call_for
from reconciler.work import Outcome

_TOLD_BY_STAGES = frozenset({"TERMINAL", "STOPPED"})


def read_work(gate: Gate, work: Sequence[Outcome]) -> dict[str, Mapping[str, Any]]:
    """The body of each outcome's execution by intent key (see `executions`), as Gate shows it now.

    A key is left out where Gate refuses to look for it. Raises `GateTrouble` where Gate cannot be asked.
    """
    tickets = sorted({outcome.ticket for outcome in work if outcome.ticket is not None})
    known = gate.executions(tickets)
    bodies: dict[str, Mapping[str, Any]] = {}
    for outcome in work:
        try:
            found = _found(gate, outcome, known)
            bodies[outcome.intent.key] = NOT_FOUND if found is None else _with_error(gate, found).as_body()
        except GateRefused:
            continue
    return bodies


def _found(gate: Gate, outcome: Outcome, known: Mapping[str, Execution]) -> Execution | None:
    if outcome.ticket is None:
        return next(iter(call_for(gate, outcome.intent).found()), None)
    # A bulk read passes over what a lagging replica lacks; asked by id, Gate says 404 only when it means it.
    return known.get(outcome.ticket) or gate.execution(outcome.ticket)


def _with_error(gate: Gate, execution: Execution) -> Execution:
    """Bulk reads leave the stages out; why one failed is worth a read of its own."""
    if execution.error or not (execution.status in _TOLD_BY_STAGES or execution.broken):
        return execution
    return gate.execution(execution.id) or execution
