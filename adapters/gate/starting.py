"""At most one execution for a key: look first, start, look again where the answer leaves a doubt.

Gate's `correlationId` holds back a second execution only while the first is in flight, so an intent is found again by
its event id, whatever became of the execution (reference: Orca's `ExecutionLauncher.start`, `TaskController`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from adapters.gate.client import LOOKS_LIKE_ID, Gate
from adapters.gate.errors import Accepted, GateRefused, GateTrouble, Refused
from adapters.gate.executions import Execution
from adapters.gate.judging import OUR_CANCEL, adopted, failed, moved
from adapters.gate.lanes import Lane, region_of
from adapters.gate.settings import before_of, filled, settings_of
from adapters.gate.sights import GOES_BACK
from adapters.gate.trigger import event_id
from reconciler.ports import Clock, Lease
from reconciler.reasons import Reason
from reconciler.work import Failure, Intent, Outcome, Phase

LOOK_BACK = timedelta(days=14)  # an earlier life's executions are looked for this long
UNSENT = timedelta(seconds=30)  # before what never reached Gate is sent again
CLOCKS_APART = timedelta(hours=1)  # Gate's and ours, at the very most


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A pipeline to be called for an intent."""

    gate: Gate
    application: str
    pipeline: str
    intent: Intent
    other_pipelines: tuple[str, ...] = ()  # in which an attempt may have been started too

    def found(self) -> list[Execution]:
        """Executions of the intent's key since it was written, whichever of the pipelines they are of, earliest first.

        Raises `GateTrouble`.
        """
        since, event = self.intent.created_at - CLOCKS_APART, event_id(self.intent.key)
        names = {None if LOOKS_LIKE_ID.fullmatch(one) else one for one in (self.pipeline, *self.other_pipelines)}
        asked = [None] if None in names else sorted(name for name in names if name is not None)
        searches = (self.gate.search(self.application, name, event, since, urgent=self.is_urgent) for name in asked)
        return _earliest_first(searches)

    def found_of_an_earlier_life(self) -> list[Execution]:
        """Those of the key that a ledger which was lost may have known, earliest first. Raises `GateTrouble`."""
        since = self.intent.created_at - LOOK_BACK
        event = event_id(self.intent.key)
        names, once = (self.pipeline, *self.other_pipelines), self.intent.is_before
        return _earliest_first(self.gate.newest(self.application, name, event, since, once=once) for name in names)

    @property
    def is_urgent(self) -> bool:
        """What goes back does not wait behind the rest where Gate limits our pace."""
        return self.intent.kind in GOES_BACK


def _earliest_first(searches: Iterable[list[Execution]]) -> list[Execution]:
    found = {one.id: one for search in searches for one in search}
    return sorted(found.values(), key=lambda one: (one.build_time or 0, one.id))


def call_for(gate: Gate, intent: Intent) -> Call:
    """The pipeline of the spec that the intent's rollout began with."""
    settings = settings_of(intent.fleet)
    pipeline = before_of(settings).pipeline if intent.is_before else settings.pipeline
    return Call(
        gate=gate,
        application=filled(settings.application, intent.fleet, intent.unit),
        pipeline=filled(pipeline, intent.fleet, intent.unit),
        intent=intent,
        other_pipelines=_rollback_pipeline(intent),
    )


def in_lane(call: Call, lane: Lane) -> Call:
    """The call of the pipeline that the lane needs."""
    if not lane.restore:
        return call
    return replace(call, pipeline=call.other_pipelines[0], other_pipelines=(call.pipeline,))


def _rollback_pipeline(intent: Intent) -> tuple[str, ...]:
    rollback, region = settings_of(intent.fleet).rollback, region_of(intent)
    if rollback is None or region is None:
        return ()
    return (filled(rollback.pipeline, intent.fleet, region),)


def look(call: Call, lease: Lease, clock: Clock) -> Outcome | None:
    """What was started for this key already; None: nothing was, by Gate's word. Never raises but `LeaseLost`."""
    outcome = Outcome(intent=call.intent, phase=Phase.INTENDED)
    try:
        found = call.found()
        if not found and (call.intent.starts <= 1 or call.intent.is_before):  # an earlier look may have failed
            found = call.found_of_an_earlier_life()
    except GateRefused as refused:
        if call.intent.starts > 1:  # an earlier start may run: nothing is concluded from a refusal to look
            return _unsent(outcome, str(refused), clock)
        return failed(outcome, Failure.REFUSED, Reason.DEPLOY_REFUSED, str(refused), clock.now())
    except GateTrouble as trouble:
        return _unsent(outcome, str(trouble), clock)
    return _keep_earliest(call, outcome, found, lease, clock) if found else None


def send(call: Call, body: dict[str, Any], lease: Lease, clock: Clock) -> Outcome:
    """Start the pipeline. Never raises but `LeaseLost`."""
    outcome = Outcome(intent=call.intent, phase=Phase.INTENDED)
    result = call.gate.trigger(call.application, call.pipeline, body, lease, urgent=call.is_urgent)
    if isinstance(result, Accepted):
        message = f"Gate took it as execution {result.ref}"
        return moved(outcome, Phase.RUNNING, clock.now(), message=message, ticket=result.ref)
    try:
        found = call.found()
    except GateTrouble:
        found = []
    if isinstance(result, Refused):
        return _refused(outcome, result, found, clock)
    if found:
        return _keep_earliest(call, outcome, found, lease, clock)
    undecided = _undecided if result.sent else _unsent
    return undecided(outcome, result.sentence, clock)


def _refused(outcome: Outcome, result: Refused, found: Sequence[Execution], clock: Clock) -> Outcome:
    """A refusal stands, though Orca may have recorded an execution that is over; one that runs is ours."""
    running = next((execution for execution in found if not execution.complete), None)
    if running is not None:
        return adopted(outcome, running, clock.now())
    ticket = found[0].id if found else None
    return failed(replace(outcome, ticket=ticket), Failure.REFUSED, Reason.DEPLOY_REFUSED, result.sentence, clock.now())


def _keep_earliest(call: Call, outcome: Outcome, found: Sequence[Execution], lease: Lease, clock: Clock) -> Outcome:
    """Two requests at once can both start: keep the earlier, cancel the later."""
    end_twins(call.gate, ((one.id, found[0].id) for one in found[1:] if not one.complete), lease)
    return adopted(outcome, found[0], clock.now())


def end_twins(gate: Gate, twins: Iterable[tuple[str, str]], lease: Lease) -> str:
    """Cancel executions that were started twice, each with the one that goes on. A sentence on what kept us from it."""
    results = [gate.cancel(one, f"{OUR_CANCEL}started twice for one key; {kept} goes on", lease) for one, kept in twins]
    return next((result.sentence for result in results if not isinstance(result, Accepted)), "")


def _undecided(outcome: Outcome, sentence: str, clock: Clock) -> Outcome:
    """Still only intended: it is looked up again, and started again after its settling time."""
    return replace(outcome, message=sentence, reason=Reason.GATE_UNREACHABLE, since=clock.now())


def _unsent(outcome: Outcome, sentence: str, clock: Clock) -> Outcome:
    """Undecided, and Gate has nothing of this start; every one before it has settled. So it may be repeated soon."""
    intent = outcome.intent
    soon = min(intent.settle_at, clock.now() + UNSENT)
    return _undecided(replace(outcome, intent=replace(intent, settle_at=soon)), sentence, clock)
