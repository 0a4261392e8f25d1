"""Commit statuses, of every dialect: each one that was said is kept, the newest of a context counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from fairlead_sandbox.forge.wire import Wrong
from reconciler.ports import Clock

STATES = ("error", "failure", "pending", "success")  # that GitHub and Gitea share


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """One that was said, in the words of its dialect. Its context keeps the writer's case."""

    id: int
    sha: str
    state: str
    context: str
    description: str
    target_url: str
    at: datetime
    login: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a vendor keeps them."""

    folds: bool = False  # contexts that differ in case are one
    most: int = 0  # of a commit and context; 0: no end


class Statuses:
    """All statuses of one repository."""

    def __init__(self, clock: Clock, rules: Rules) -> None:
        self._clock = clock
        self._rules = rules
        self._lock = Lock()
        self._said: dict[str, list[Status]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._number = 0

    def say(self, sha: str, body: Mapping[str, Any], login: str) -> Status:
        """Take one, as it was posted and found good. Raises `Wrong`."""
        context = str(body.get("context") or "default")
        key = (sha, self._key(context))
        with self._lock:
            if 0 < self._rules.most <= self._counts[key]:
                raise Wrong("too-many-statuses")
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
        """The newest of each context, newest first."""
        found: dict[str, Status] = {}
        for status in self.all(sha):
            found.setdefault(self._key(status.context), status)
        return list(found.values())

    def commits(self) -> list[str]:
        """Those on which something was said."""
        with self._lock:
            return list(self._said)

    def _key(self, context: str) -> str:
        return context.lower() if self._rules.folds else context


def combined(newest: list[Status]) -> str:
    """One state of all: any failure fails it, anything pending, or nothing at all, leaves it pending."""
    states = {status.state for status in newest}
    if states & {"error", "failure"}:
        return "failure"
    return "success" if states and states <= {"success", "warning", "skipped"} else "pending"
