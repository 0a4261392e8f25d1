"""Where the step before a version stands: a pipeline that runs once for it, over all regions. Pure.

The world cannot tell whether such a step was done, so its execution has the last word, and each of its stages: a
SUCCEEDED can hide one that failed and let the others go on. What may have begun and did not end well counts as a failed
attempt, never as trouble on the road: a step that cannot be undone may have been done.
"""

from dataclasses import replace

from adapters.gate.executions import Execution
from adapters.gate.judging import Case, adopted, failed, judge, moved
from reconciler.reasons import Reason
from reconciler.work import Failure, Outcome, Phase


def judge_step(case: Case) -> Outcome:
    """The step as it stands now. What was done is done, also where its end was asked for."""
    execution = case.execution
    if execution is None:
        return _blamed(case, judge(case), begun=case.outcome.ticket is not None)
    if case.outcome.ticket is None:
        case = replace(case, outcome=adopted(case.outcome, execution, case.now))
        if case.outcome.phase.ended:
            return case.outcome
    if execution.status == "SUCCEEDED":
        return _by_its_stages(case, execution)
    outcome = _blamed(case, judge(case), begun=execution.start_time is not None)
    if outcome.phase is Phase.RUNNING:
        return replace(outcome, message=f"before step: {outcome.message}")
    return outcome


def _by_its_stages(case: Case, execution: Execution) -> Outcome:
    if not execution.broken:
        return moved(case.outcome, Phase.SUCCEEDED, case.now, message=f"before step done by execution {execution.id}")
    why = f": {execution.error}" if execution.error else ""
    message = f"before step: {execution.broken}{why} (execution {execution.id} ended SUCCEEDED all the same)"
    return failed(case.outcome, Failure.UNHEALTHY, Reason.BEFORE_FAILED, message, case.now)


def _blamed(case: Case, outcome: Outcome, *, begun: bool) -> Outcome:
    """A failure as the step's own, where the step may have begun."""
    if outcome.phase is not Phase.FAILED:
        return outcome
    message = f"before step: {outcome.message}"
    if outcome.failure is Failure.TRANSIENT and begun and outcome.reason is Reason.PIPELINE_FAILED:
        return failed(outcome, Failure.UNHEALTHY, Reason.BEFORE_FAILED, message, case.now)
    return replace(outcome, message=message)
