"""Reading many executions: GET /executions and the search, with the traps of the real ones.

Source: Orca's `TaskController` (`searchForPipelinesByTrigger`, `getSubsetOfExecutions`).
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from fairlead_sandbox.gate.answers import Refused, passed_on
from fairlead_sandbox.gate.executions import STATUSES, Execution, Executions
from fairlead_sandbox.gate.pipelines import Pipelines

LONGEST = 8000  # characters of a path between Gate and Orca, in which each comma takes three


def subset(executions: Executions, query: Mapping[str, str]) -> list[Execution]:
    """By `executionIds` or `pipelineConfigIds`: both are refused, neither gives nothing, unknown ids are dropped."""
    ids, configs = _words(query, "executionIds"), _words(query, "pipelineConfigIds")
    path = f"/pipelines?{'&'.join(f'{name}={value}' for name, value in query.items())}"
    if ids and configs:
        raise passed_on(400, path, "Only pipelineConfigIds OR executionIds can be specified")
    if len(path.replace(",", "%2C")) > LONGEST:
        raise passed_on(400, path, "")
    if ids:
        return [found for each in ids if (found := executions.get(each)) is not None]
    statuses = _statuses(query)
    limit = int(query.get("limit", 1))
    chosen = []
    for config in configs:
        fits = [each for each in executions.of_configs([config]) if not statuses or each.status in statuses]
        chosen += fits[:limit]
    return sorted(chosen, key=lambda each: (each.body["startTime"] or 0, each.id))


def search(executions: Executions, pipelines: Pipelines, application: str, query: Mapping[str, str]) -> list[Execution]:
    """Newest first; executions whose configuration is gone are not found.

    It reads pages of twice the size and stops once it has `size` matches; only then it cuts from `startIndex`: a later
    page may be empty though there are more. So it is with a SQL store; a Redis store sorts nothing and pages nothing.
    """
    start, size = int(query.get("startIndex", 0)), int(query.get("size", 10))
    if start < 0:
        raise _refused(f"startIndex must be >= 0: startIndex={start}")
    if size < 1:
        raise _refused(f"size must be > 0: size={size}")
    configs = [each["id"] for each in pipelines.of(application) if query.get("pipelineName") in {None, each["name"]}]
    found = executions.of_configs(configs)
    if query.get("reverse") == "true":
        found.reverse()
    stored, matching = _stored(found, query), []
    for page in range(0, len(stored), 2 * size):
        matching += _matching(stored[page : page + 2 * size], query)
        if len(matching) >= size:
            break
    return matching[start : start + size]


def _stored(executions: Iterable[Execution], query: Mapping[str, str]) -> list[Execution]:
    """What the store leaves out itself: by time and status."""
    since, until = _bounds(query)
    statuses = _statuses(query)
    return [
        each
        for each in executions
        if since <= each.body["buildTime"] <= until and (not statuses or each.status in statuses)
    ]


def _matching(executions: Iterable[Execution], query: Mapping[str, str]) -> list[Execution]:
    types = set(_words(query, "triggerTypes")) - {"*"}
    wanted = _trigger(query.get("trigger", ""))
    event = query.get("eventId")
    return [
        each
        for each in executions
        if (not types or each.body["trigger"]["type"] in types)
        and (event is None or each.body["trigger"].get("eventId") == event)
        and _fits(wanted, each.body["trigger"])
    ]


def _bounds(query: Mapping[str, str]) -> tuple[int, int]:
    since = int(query.get("triggerTimeStartBoundary", 0))
    until = int(query.get("triggerTimeEndBoundary", 2**63))
    if since < 0:
        raise _refused(f"triggerTimeStartBoundary must be >= 0: triggerTimeStartBoundary={since}")
    if until < since:
        raise _refused(
            f"triggerTimeStartBoundary must be <= triggerTimeEndBoundary: triggerTimeStartBoundary={since}, "
            f"triggerTimeEndBoundary={until}"
        )
    return since, until


def _statuses(query: Mapping[str, str]) -> set[str]:
    found = set(_words(query, "statuses"))
    for each in sorted(found - STATUSES):
        raise _refused(f"No enum constant com.netflix.spinnaker.orca.api.pipeline.models.ExecutionStatus.{each}")
    return found


def _refused(message: str) -> Refused:
    return passed_on(400, "/applications/search", message)


def _trigger(encoded: str) -> Any:
    try:
        return json.loads(base64.b64decode(encoded, validate=True)) if encoded else {}
    except (binascii.Error, ValueError) as error:
        raise passed_on(500, "/applications/search", "Failed to parse encoded trigger") from error


def _fits(wanted: Any, stored: Any) -> bool:
    """A subset; text fits ignoring case, or when the stored text matches the wanted one taken as a pattern."""
    if isinstance(wanted, dict):
        return isinstance(stored, dict) and all(
            key in stored and _fits(each, stored[key]) for key, each in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(stored, list) and all(any(_fits(each, other) for other in stored) for each in wanted)
    if isinstance(wanted, str) and isinstance(stored, str):
        return wanted.lower() == stored.lower() or _matches(wanted, stored)
    return bool(wanted == stored)


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error:
        return False


def _words(query: Mapping[str, str], name: str) -> list[str]:
    return [each for each in query.get(name, "").split(",") if each]
