"""Where an intent stands: by its execution, and then by the world, which has the last word. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from adapters.gate.executions import Execution, moment
from desired_state.model import Component, Version
from reconciler.observed import Unit
from reconciler.reasons import Reason
from reconciler.work import Failure, Outcome, Phase

SKEW = timedelta(seconds=60)  # between Gate's clock and ours
GRACE = timedelta(minutes=2)  # a lagging replica may not know a fresh execution yet, or any for a moment
OUR_CANCEL = "fairlead: "
_SUPERSEDED = "superceded"  # Orca's spelling
_NOT_STARTED = "Failed on startup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The unit of an intent as the inventory shows it, and when that was read."""

    unit: Unit | None  # None: a read is missing
    read_at: datetime | None
    executions_read_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One outcome to be judged, and what it is judged by."""

    outcome: Outcome
    execution: Execution | None  # None: Gate does not know it
    seen: Seen
    deadline: datetime  # of an execution: what the fleet's own settings say
    within: timedelta  # how long after its end the unit may take to be healthy
    now: datetime
    note: str = ""  # how the execution comes to the version: see `Outcome.note`
    still_beside: str = ""  # what another execution of the same lane has to do, as a sentence


def judge(case: Case) -> Outcome:
    """The outcome as it stands now."""
    if case.execution is None:
        return _not_found(case)
    if case.outcome.ticket is None:
        found = adopted(case.outcome, case.execution, case.now)
        if found.phase.ended:
            return found
        return _by_execution(replace(case, outcome=found), case.execution)
    return _by_execution(case, case.execution)


def adopted(outcome: Outcome, execution: Execution, now: datetime) -> Outcome:
    """The outcome with the execution that was found for its key.

    One that ended before the intent was written is of an earlier life: it only uses up this attempt's number. A step
    before the version that was done is done.
    """
    built = moment(execution.build_time)
    is_done = outcome.intent.is_before and execution.status == "SUCCEEDED" and not execution.broken
    if execution.complete and not is_done and built is not None and built < outcome.intent.created_at - SKEW:
        message = (
            f"attempt {outcome.intent.attempt} was spent before: execution {execution.id} ended {execution.status}"
        )
        return moved(outcome, Phase.USED_UP, now, message=message, ticket=execution.id)
    phase = Phase.ABORTING if outcome.phase is Phase.ABORTING else Phase.RUNNING
    message = f"adopted execution {execution.id}, which was started for this key already"
    return moved(outcome, phase, now, message=message, ticket=execution.id)


def moved(outcome: Outcome, phase: Phase, now: datetime, *, message: str, ticket: str | None = None) -> Outcome:
    """The outcome in a phase that is no failure. `since` stays while the phase does."""
    return replace(
        outcome,
        phase=phase,
        message=message,
        ticket=ticket or outcome.ticket,
        failure=Failure.NONE,
        reason=None,
        waits="",
        since=outcome.since if outcome.phase is phase and outcome.since else now,
    )


def failed(outcome: Outcome, failure: Failure, reason: Reason, message: str, now: datetime) -> Outcome:
    """The outcome as failed."""
    return replace(outcome, phase=Phase.FAILED, failure=failure, reason=reason, message=message, since=now, waits="")


def overdue(outcome: Outcome, now: datetime, *, running: bool, what: str) -> Outcome:
    """The outcome past its deadline. A stuck execution may still act, so it stays under way until it is seen ended."""
    if running:
        return replace(outcome, reason=Reason.EXECUTION_STUCK, message=what)
    return failed(outcome, Failure.TRANSIENT, Reason.DEADLINE_EXCEEDED, what, now)


def _not_found(case: Case) -> Outcome:
    outcome = case.outcome
    if outcome.ticket is None:
        return _without_ticket(case)
    hidden = f"Gate does not show execution {outcome.ticket}"
    if outcome.message != hidden:  # the first time: nothing is concluded from one look
        return replace(outcome, message=hidden, since=case.now)
    if case.now - (outcome.since or outcome.intent.created_at) < GRACE:
        return outcome
    if outcome.phase is Phase.ABORTING:
        return moved(outcome, Phase.ABORTED, case.now, message=f"Gate no longer knows execution {outcome.ticket}")
    message = f"Gate does not know execution {outcome.ticket}, which it named itself; it is tried again"
    return failed(outcome, Failure.TRANSIENT, Reason.PIPELINE_FAILED, message, case.now)


def _without_ticket(case: Case) -> Outcome:
    """Nobody knows whether it was started: only time can tell, and until then nothing is concluded."""
    outcome, now = case.outcome, case.now
    if outcome.phase is Phase.ABORTING and now >= outcome.intent.settle_at:
        return moved(outcome, Phase.ABORTED, now, message="it was never seen to start")
    if now >= outcome.intent.deadline:
        return overdue(outcome, now, running=False, what="no execution was seen to start before the deadline")
    return outcome


def _by_execution(case: Case, execution: Execution) -> Outcome:
    if not execution.complete:
        return _running(case, execution)
    if case.outcome.phase is Phase.ABORTING:
        message = f"execution {execution.id} ended {execution.status}"
        return moved(case.outcome, Phase.ABORTED, case.now, message=message)
    if execution.status == "CANCELED":
        return _canceled(case, execution)
    if execution.status == "SUCCEEDED":
        return _by_the_world(case, execution)
    return _terminal(case, execution)


def _running(case: Case, execution: Execution) -> Outcome:
    outcome, now = case.outcome, case.now
    if now >= case.deadline:
        asked = "it was cancelled and" if outcome.phase is Phase.ABORTING else "it"
        waits = f" and {execution.waits}" if execution.waits else ""
        what = f"execution {execution.id} is past its deadline: {asked} is still {execution.status}{waits}"
        what += "; end it in Spinnaker"
        return overdue(outcome, now, running=True, what=what)
    if outcome.phase is Phase.ABORTING:
        return outcome
    said = f"execution {execution.id} is {execution.status}"
    said = f"{said}: {execution.waits}" if execution.waits else said
    return replace(moved(outcome, Phase.RUNNING, now, message=said), waits=execution.waits)


def _canceled(case: Case, execution: Execution) -> Outcome:
    reason = execution.cancellation_reason
    if reason.startswith(OUR_CANCEL.strip()):
        return moved(case.outcome, Phase.ABORTED, case.now, message=f"execution {execution.id} was cancelled: {reason}")
    if _SUPERSEDED in reason:
        message = f"execution {execution.id} waited in Spinnaker's queue and a newer one took its place"
        return failed(case.outcome, Failure.TRANSIENT, Reason.EXECUTION_SUPERSEDED, message, case.now)
    who = execution.canceled_by or "someone"
    message = f"{who} cancelled execution {execution.id}{f': {reason}' if reason else ''}"
    return failed(case.outcome, Failure.TRANSIENT, Reason.PIPELINE_FAILED, message, case.now)


def _terminal(case: Case, execution: Execution) -> Outcome:
    reason = execution.cancellation_reason
    if reason.startswith(_NOT_STARTED):  # Orca could not queue it: the road failed, not the target
        message = f"execution {execution.id} never started: {reason}"
        return failed(case.outcome, Failure.TRANSIENT, Reason.PIPELINE_FAILED, message, case.now)
    why = execution.error or reason or execution.failed or "Spinnaker names no error"
    message = f"{why} (execution {execution.id} ended {execution.status})"  # the cause first: a status may be cut
    return failed(case.outcome, Failure.UNHEALTHY, Reason.PIPELINE_FAILED, message, case.now)


def _by_the_world(case: Case, execution: Execution) -> Outcome:
    """SUCCEEDED is Spinnaker's word. It is done when the server groups run the version and are healthy."""
    outcome, now = case.outcome, case.now
    end = min(moment(execution.end_time) or outcome.since or now, now)
    unit = case.seen.unit
    if unit is None or not _fresh(case.seen, end):
        waiting = f"execution {execution.id} SUCCEEDED; waiting for a fresh read of its server groups"
        return moved(outcome, Phase.RUNNING, now, message=waiting)
    lacking = missing(unit, outcome.intent.fleet.components)
    if not lacking and unit.healthy:
        what = " ".join(filter(None, (outcome.intent.fleet.version, case.note)))
        done = moved(outcome, Phase.SUCCEEDED, now, message=f"{unit.id} runs {what} and is healthy")
        return replace(done, note=case.note)
    if case.still_beside:
        return failed(outcome, Failure.TRANSIENT, Reason.ROLLING_BACK, case.still_beside, now)
    sentence = f"execution {execution.id} SUCCEEDED but {_ailment(unit, lacking)}"
    if now >= end + case.within:
        return failed(outcome, Failure.UNHEALTHY, Reason.UNHEALTHY, sentence, now)
    return moved(outcome, Phase.RUNNING, now, message=sentence)


def _fresh(seen: Seen, end: datetime) -> bool:
    """Whether the server groups were read after the execution's end, by Gate's clock or by the order of our reads."""
    return seen.read_at is not None and (seen.read_at >= end or seen.read_at >= seen.executions_read_at)


def missing(unit: Unit, wanted: Mapping[Component, Version]) -> list[Component]:
    """The components that the unit does not run as wanted."""
    return [name for name, version in wanted.items() if unit.components.get(name) != version]


def _ailment(unit: Unit, lacking: list[Component]) -> str:
    if unit.conflict:
        return unit.conflict
    if not lacking:
        return f"{unit.id} is not healthy: {unit.message or 'no reason known'}"
    name = lacking[0]
    have = unit.components.get(name, "nothing known")
    said = f"{unit.id} is not at it: {name} is {have}"
    if not name.startswith("package/") and name not in unit.components:
        said += "; let the pipeline tag the server group with fairlead:key"
    return f"{said}; {unit.message}" if unit.message else said
