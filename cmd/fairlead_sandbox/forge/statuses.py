"""Commit statuses with their rules (GitHub's REST API, "Commit statuses"): every one is kept, the newest counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from fairlead_sandbox.forge.dialect import Refused, invalid
from reconciler.ports import Clock

STATES = ("error", "failure", "pending", "success")
LONGEST = 140  # characters of a description
MOST = 1000  # of a commit and context


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One that was said. Its context keeps the writer's case."""

    id: int
    sha: str
    state: str
    context: str
    description: str
    target_url: str
    at: datetime
    login: str


class Statuses:
    """All statuses of one repository."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._said: dict[str, list[Status]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._number = 0

    def say(self, sha: str, body: Mapping[str, Any], login: str) -> Status:
        """Take one, as it was posted. Raises `Refused`."""
        _check(body)
        context = str(body.get("context") or "default")
        key = (sha, context.lower())
        with self._lock:
            if self._counts[key] >= MOST:
                message = "This SHA and context has reached the maximum number of statuses."
                raise invalid("Status", "custom", message=message)
            self._counts[key] += 1
            self._number += 1
            status = Status(
                id=self._number,
                sha=sha,
                state=body["state"],
                context=context,
                description=body.get("description") or "",
                target_url=body.get("target_url") or "",
                at=self._clock.now(),
                login=login,
            )
            self._said.setdefault(sha, []).append(status)
        return status

    def all(self, sha: str) -> list[Status]:
        """Everything that was said on a commit, newest first."""
        with self._lock:
            return self._said.get(sha, [])[::-1]

    def newest(self, sha: str) -> list[Status]:
        """The newest of each context, whatever its case, newest first."""
        found: dict[str, Status] = {}
        for status in self.all(sha):
            found.setdefault(status.context.lower(), status)
        return list(found.values())

    def commits(self) -> list[str]:
        """Those on which something was said."""
        with self._lock:
            return list(self._said)


def combined(newest: list[Status]) -> str:
    """One state of all: any failure fails it, anything pending, or nothing at all, leaves it pending."""
    states = {status.state for status in newest}
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states == {"success"} else "pending"


def _check(body: Mapping[str, Any]) -> None:
    description, url = body.get("description") or "", body.get("target_url") or ""
    if body.get("state") not in STATES:
        raise invalid("Status", "custom", field="state", message="state is not included in the list")
    if not all(isinstance(each, str) for each in (description, url, body.get("context") or "")):
        raise Refused(422, "Invalid request.\n\nFor 'properties', a field is not a string.")
    if len(description) > LONGEST:
        message = f"description is too long (maximum is {LONGEST} characters)"
        raise invalid("Status", "custom", field="description", message=message)
    if url and not url.startswith(("http://", "https://")):
        raise invalid("Status", "custom", field="target_url", message="target_url must use http(s) scheme")
