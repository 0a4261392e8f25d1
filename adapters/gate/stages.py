"""What the stages of an execution tell a person: why they failed, and what they wait for. Pure.

A read that is not expanded leaves a stage its type, name and status (Orca's `TaskController`), which is enough to say
that somebody's judgment is waited for. Why one failed, and a canary's score, are in the contexts of an expanded one.
Sources: Orca's `MonitorPipelineTask`, `ManualJudgmentStage`, and of orca-kayenta `RunCanaryIntervalsStage` and
`MonitorKayentaCanaryTask`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

FAILED = frozenset({"TERMINAL", "STOPPED", "FAILED_CONTINUE"})
_NESTED = frozenset({"pipeline", "monitorPipeline"})
_SAYS_NOTHING = "At least one monitored pipeline"  # Orca's words for: look at the other execution
Stage = Mapping[str, Any]


def errors_of(stages: Any) -> Iterator[str]:
    """Why stages failed: their own errors, else what the cloud operation said; either may be the only one."""
    for stage in _failed(stages):
        context = _map(stage.get("context"))
        found = _telling(_exception(context)) or _operation_errors(context) or _errors_of_children(stage)
        yield from (*found, *_words_of(stage, context))


def broken_in(stages: Any) -> str:
    """The first stage that did not end well, `Migrate is STOPPED`; empty: there is none."""
    ended = (stage for stage in _stages(stages) if stage.get("status") in {*FAILED, "CANCELED"})
    return next((f"{stage.get('name') or 'a stage'} is {stage['status']}" for stage in ended), "")


def _words_of(stage: Stage, context: Mapping[str, Any]) -> Iterator[str]:
    """What stages say where no exception is written: a judgment, a web request, a precondition."""
    if stage.get("type") == "manualJudgment" and str(context.get("judgmentStatus", "")).lower() == "stop":
        who = context.get("lastModifiedBy") or "somebody"
        yield f'{who} stopped it at the manual judgment "{stage.get("name") or "Manual Judgment"}"'
    if error := _map(context.get("webhook")).get("error"):
        yield str(error)
    if said := _map(context.get("context")).get("failureMessage") or context.get("canaryScoreMessage"):
        yield str(said)


def failed_names(stages: Any) -> str:
    """`stage "Guard" ended TERMINAL`, for where nothing else is said; empty where no stage failed."""
    last = next(reversed([stage for stage in _failed(stages) if not stage.get("parentStageId")]), None)
    return f'stage "{last.get("name") or last.get("type")}" ended {last.get("status")}' if last else ""


def failed_child(stages: Any) -> str:
    """The nested execution to look at where a failed stage has no other word on why; empty where there is none."""
    for stage in _failed(stages):
        context = _map(stage.get("context"))
        named = context.get("executionId") or next(iter(_list(context.get("executionIds"))), "")
        if stage.get("type") in _NESTED and isinstance(named, str) and named and not list(errors_of([stage])):
            return named
    return ""


def waits_for(stages: Any) -> str:
    """`waits for a manual judgment "Approve" in Spinnaker`, `canary analysis: score 87, interval 2`, or nothing."""
    running = [stage for stage in _stages(stages) if stage.get("status") == "RUNNING"]
    for stage in running:
        if stage.get("type") == "manualJudgment":
            return f'waits for a manual judgment "{stage.get("name") or "Manual Judgment"}" in Spinnaker'
    if any(stage.get("type") in {"kayentaCanary", "runCanary"} for stage in running):
        return _canary(list(_analyses(stages)))
    return ""


def intervals_done(stages: Any) -> int:
    """How many analyses of a canary that still runs are done."""
    if not waits_for(stages).startswith("canary"):
        return 0
    return sum(stage.get("status") != "RUNNING" for stage in _analyses(stages))


def _canary(analyses: Sequence[Stage]) -> str:
    """Its last score is of the interval before the one that runs now."""
    scores = [_map(stage.get("context")).get("canaryScore") for stage in analyses]
    score = next((one for one in reversed(scores) if isinstance(one, int | float)), None)
    last = analyses[-1] if analyses else {}
    waits = bool(last) and last.get("status") != "RUNNING"
    interval = len(analyses) + (1 if waits or not analyses else 0)
    said = f"score {score:g}, " if score is not None else ""
    return f"canary analysis: {said}interval {interval}"


def _analyses(stages: Any) -> Iterator[Stage]:
    """The analyses that have begun, in their order: a stage `Run Canary #n` each."""
    begun = [one for one in _stages(stages) if one.get("type") == "runCanary" and one.get("status") != "NOT_STARTED"]
    yield from sorted(begun, key=_number)


def _number(stage: Stage) -> int:
    number = str(stage.get("name", "")).rpartition("#")[2]
    return int(number) if number.isdecimal() else 0


def _failed(stages: Any) -> Iterator[Stage]:
    return (stage for stage in _stages(stages) if stage.get("status") in FAILED)


def _stages(stages: Any) -> Iterator[Stage]:
    return (stage for stage in _list(stages) if isinstance(stage, Mapping))


def _exception(context: Mapping[str, Any]) -> list[str]:
    details = _map(_map(context.get("exception")).get("details"))
    listed = [str(error) for error in _list(details.get("errors")) if error]
    return listed or ([str(details["error"])] if details.get("error") else [])


def _telling(errors: Sequence[str]) -> list[str]:
    return [error for error in errors if not error.startswith(_SAYS_NOTHING)]


def _operation_errors(context: Mapping[str, Any]) -> list[str]:
    found = (_map(_map(one).get("exception")).get("message") for one in _list(context.get("kato.tasks")))
    return [str(message) for message in found if message]


def _errors_of_children(stage: Stage) -> list[str]:
    """Of pipelines that a stage watched: Orca puts their errors beside their status."""
    statuses = _map(_map(stage.get("outputs")).get("executionStatuses"))
    return [error for child in statuses.values() for error in _telling(_exception(_map(child)))]


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
