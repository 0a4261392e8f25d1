"""A pipeline execution as values, and as the snapshot body that `check` reads.

The feed of one Gate is named `executions/<gate url>`. A fleet's part of it is `{intent key: body}` for its intents that
are under way, and a body is what `Execution.as_body` gives, or `{"found": false}` where Gate knows no such execution.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.gate.errors import redacted

COMPLETE = frozenset({"SUCCEEDED", "FAILED_CONTINUE", "TERMINAL", "CANCELED", "STOPPED", "SKIPPED"})
INCOMPLETE = frozenset({"NOT_STARTED", "RUNNING", "PAUSED", "SUSPENDED", "REDIRECT", "BUFFERED"})
_FAILED_STAGES = frozenset({"TERMINAL", "STOPPED", "FAILED_CONTINUE"})
NOT_FOUND: Mapping[str, Any] = {"found": False}


def feed_of(url: str) -> str:
    """The name of a Gate's feed."""
    return f"executions/{url.rstrip('/')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What matters of an execution. Times are milliseconds since the epoch by Gate's clock; None: not yet."""

    id: str
    status: str  # as Gate says it; an unknown word counts as running
    canceled: bool = False
    canceled_by: str = ""
    cancellation_reason: str = ""
    build_time: int | None = None
    start_time: int | None = None
    end_time: int | None = None
    error: str = ""  # text of the failed stages, where it was read
    lane: Mapping[str, str] = field(default_factory=dict)  # what we said of it in its trigger: see `gate.lanes`

    @property
    def complete(self) -> bool:
        """Whether nothing of it can still act on the world."""
        return self.status in COMPLETE

    def as_body(self) -> dict[str, Any]:
        """JSON for a snapshot."""
        return {"found": True, **asdict(self)}


def of_answer(answer: Mapping[str, Any]) -> Execution:
    """An execution out of Gate's JSON; fields that are missing or odd are taken as unknown."""
    return Execution(
        id=str(answer["id"]),
        status=str(answer.get("status") or "NOT_STARTED"),
        canceled=bool(answer.get("canceled")),
        canceled_by=redacted(str(answer.get("canceledBy") or "")),
        cancellation_reason=redacted(str(answer.get("cancellationReason") or "")),
        build_time=_milliseconds(answer.get("buildTime")),
        start_time=_milliseconds(answer.get("startTime")),
        end_time=_milliseconds(answer.get("endTime")),
        error=redacted("; ".join(dict.fromkeys(_errors(answer.get("stages"))))),
        lane=_lane(answer.get("trigger")),
    )


def of_body(body: Mapping[str, Any]) -> Execution | None:
    """An execution out of a snapshot's body; None where it says that there is none."""
    if not body.get("found"):
        return None
    return Execution(**{name: value for name, value in body.items() if name != "found"})


def moment(milliseconds: int | None) -> datetime | None:
    """Gate's milliseconds as an aware time in UTC."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _lane(trigger: Any) -> dict[str, str]:
    said = _map(_map(_map(trigger).get("fairlead")).get("lane"))
    return {str(name): value for name, value in said.items() if isinstance(value, str)}


def _milliseconds(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _errors(stages: Any) -> Iterator[str]:
    """Why stages failed: their own errors, else what the cloud operation said; either may be the only one."""
    for stage in stages if isinstance(stages, Sequence) else ():
        context = _map(_map(stage).get("context"))
        if _map(stage).get("status") in _FAILED_STAGES:
            yield from _stage_errors(context) or _operation_errors(context)


def _stage_errors(context: Mapping[str, Any]) -> list[str]:
    details = _map(_map(context.get("exception")).get("details"))
    errors = details.get("errors")
    listed = (
        [str(error) for error in errors if error]
        if isinstance(errors, Sequence) and not isinstance(errors, str)
        else []
    )
    return listed or ([str(details["error"])] if details.get("error") else [])


def _operation_errors(context: Mapping[str, Any]) -> list[str]:
    operations = context.get("kato.tasks")
    found = (
        [_map(_map(one).get("exception")).get("message") for one in operations] if isinstance(operations, list) else []
    )
    return [str(message) for message in found if message]


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
