"""A pipeline execution as values, and as the snapshot body that `check` reads.

The feed of one Gate is named `executions/<gate url>`. A fleet's part of it is `{intent key: body}` for its intents that
are under way, and a body is what `Execution.as_body` gives, or `{"found": false}` where Gate knows no such execution.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from adapters.gate.errors import GateTrouble, redacted
from adapters.gate.stages import broken_in, errors_of, failed_child, failed_names, intervals_done, waits_for

COMPLETE = frozenset({"SUCCEEDED", "FAILED_CONTINUE", "TERMINAL", "CANCELED", "STOPPED", "SKIPPED"})
INCOMPLETE = frozenset({"NOT_STARTED", "RUNNING", "PAUSED", "SUSPENDED", "REDIRECT", "BUFFERED"})
NOT_FOUND: Mapping[str, Any] = {"found": False}
ABSENCE = "absence"  # in place of an intent's key, in a narrow read of a Gate that is away or does not say all


def absence_of(trouble: GateTrouble) -> Mapping[str, Any]:
    """What stands in a snapshot of a Gate in such trouble."""
    known = {} if trouble.retry_in is None else {"retry_in": trouble.retry_in.total_seconds()}
    return {ABSENCE: {"sentence": str(trouble), **known}}


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
    broken: str = ""  # the first stage that did not end well, which a SUCCEEDED can hide: `Migrate is STOPPED`
    failed: str = ""  # the stage that failed, where nothing says why
    child: str = ""  # the execution of a nested pipeline whose failure is all that is known
    waits: str = ""  # what it waits for, where its stages say so
    canary: int = 0  # how many analyses of a running canary are done: their scores are news worth a read
    lane: Mapping[str, str] = field(default_factory=dict)  # what we said of it in its trigger: see `gate.lanes`

    @property
    def complete(self) -> bool:
        """Whether nothing of it can still act on the world."""
        return self.status in COMPLETE

    def as_body(self) -> dict[str, Any]:
        """JSON for a snapshot."""
        return {"found": True, **asdict(self)}


_NAMES = frozenset(field.name for field in fields(Execution))  # another version may have written more of them


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
        error=redacted("; ".join(dict.fromkeys(errors_of(answer.get("stages"))))),
        broken=redacted(broken_in(answer.get("stages"))),
        failed=redacted(failed_names(answer.get("stages"))),
        child=failed_child(answer.get("stages")),
        waits=redacted(waits_for(answer.get("stages"))),
        canary=intervals_done(answer.get("stages")),
        lane=_lane(answer.get("trigger")),
    )


def of_body(body: Mapping[str, Any]) -> Execution | None:
    """An execution out of a snapshot's body; None where it says that there is none."""
    if not body.get("found"):
        return None
    return Execution(**{name: value for name, value in body.items() if name in _NAMES})


def moment(milliseconds: int | None) -> datetime | None:
    """Gate's milliseconds as an aware time in UTC."""
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)


def _lane(trigger: Any) -> dict[str, str]:
    said = _map(_map(_map(trigger).get("fairlead")).get("lane"))
    return {str(name): value for name, value in said.items() if isinstance(value, str)}


def _milliseconds(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
