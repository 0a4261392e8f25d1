"""Commit statuses as GitLab has them: each is a job in an external pipeline, with a state machine of its own.

The rules are of `app/services/ci/create_commit_status_service.rb`, `add_job_service.rb` and the state machine in
`app/models/commit_status.rb`: a status that is pending or running is the one of its name, ref and author; what has
finished stays as it is, and another one takes its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock
from typing import Any

from fairlead_sandbox.forge.bare import Bare
from fairlead_sandbox.forge.gitlab.errors import invalid, not_found, refused
from reconciler.ports import Clock

LONGEST = 255  # characters of a ref, a target_url and a description
STATES = ("pending", "running", "success", "failed", "canceled", "skipped")
EVENTS = {"pending": "enqueue", "running": "run", "success": "success", "failed": "drop"} | {
    "canceled": "cancel",
    "skipped": "skip",
}
FROM = {  # of the states that an external status can have
    "enqueue": {"created", "skipped"},
    "run": {"created", "pending"},  # `created` is enqueued on the way
    "success": {"created", "pending", "running"},
    "drop": {"created", "pending", "running"},
    "cancel": {"created", "pending", "running"},
    "skip": {"created", "pending"},
}
ACTIVE = ("pending", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """An external pipeline: of a commit and a ref."""

    id: int
    sha: str
    ref: str
    login: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    """One status. `retried` means that another of its name has taken its place."""

    id: int
    pipeline: int
    sha: str
    ref: str
    name: str
    login: str
    created_at: datetime
    status: str = "created"
    target_url: str | None = None
    description: str | None = None
    coverage: float | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retried: bool = False


class Pipelines:
    """Those of one project."""

    def __init__(self, bare: Bare, clock: Clock) -> None:
        self._bare = bare
        self._clock = clock
        self._lock = Lock()
        self._pipelines: list[Pipeline] = []
        self._statuses: dict[int, CommitStatus] = {}

    def say(self, commit: str, given: Mapping[str, Any], login: str) -> CommitStatus:
        """Take a status, as it was posted. `commit` may be a branch or a tag. Raises `Refused`."""
        sha = self._bare.commit_of(commit)
        if sha is None:
            raise not_found("Commit")
        name = given.get("name") or given.get("context") or "default"
        with self._lock:
            pipeline = self._pipeline(sha, given, login)
            _check(pipeline.ref, given)
            status = self._current(pipeline, name, login)
            return self._kept(_moved(self._described(status, given), given["state"], self._clock.now()))

    def of_commit(self, sha: str, *, every: bool = False) -> list[CommitStatus]:
        """Oldest first; those that others took the place of only where all are asked for."""
        with self._lock:
            return [each for each in self._statuses.values() if each.sha == sha and (every or not each.retried)]

    def of_pipeline(self, id_: int) -> list[CommitStatus]:
        """What counts in a pipeline."""
        with self._lock:
            return [each for each in self._statuses.values() if each.pipeline == id_ and not each.retried]

    def all(self) -> list[Pipeline]:
        """Newest first."""
        with self._lock:
            return self._pipelines[::-1]

    def _pipeline(self, sha: str, given: Mapping[str, Any], login: str) -> Pipeline:
        """The newest of the commit, and of the ref that was named; a new one where there is none."""
        ref, wanted = given.get("ref"), given.get("pipeline_id")
        for pipeline in self._pipelines[::-1]:
            if pipeline.sha == sha and ref in (None, pipeline.ref) and wanted in (None, pipeline.id):
                return pipeline
        ref = ref or next(iter(self._bare.branches_with(sha)), None)
        if ref is None:
            raise not_found("References for commit")
        if wanted is not None:
            raise not_found("Pipeline for pipeline_id, sha and ref")
        number = len(self._pipelines) + 1
        pipeline = Pipeline(id=number, sha=sha, ref=ref, login=login, at=self._clock.now())
        self._pipelines.append(pipeline)
        return pipeline

    def _current(self, pipeline: Pipeline, name: str, login: str) -> CommitStatus:
        """The one that is pending or running, of the same author; else a new one."""
        for each in self._statuses.values():
            if (each.pipeline, each.name, each.login) == (pipeline.id, name, login) and each.status in ACTIVE:
                return each
        return CommitStatus(
            id=len(self._statuses) + 1,
            pipeline=pipeline.id,
            sha=pipeline.sha,
            ref=pipeline.ref,
            name=name,
            login=login,
            created_at=self._clock.now(),
        )

    def _described(self, status: CommitStatus, given: Mapping[str, Any]) -> CommitStatus:
        told = {name: given[name] for name in ("target_url", "description", "coverage") if name in given}
        return replace(status, **told)

    def _kept(self, status: CommitStatus) -> CommitStatus:
        for other in list(self._statuses.values()):
            if (other.pipeline, other.name) == (status.pipeline, status.name) and other.id != status.id:
                self._statuses[other.id] = replace(other, retried=True)
        self._statuses[status.id] = status
        return status


def _check(ref: str, given: Mapping[str, Any]) -> None:
    """What the model says of its fields. Raises `Refused`."""
    for name, value in (("ref", ref), *((name, given.get(name) or "") for name in ("target_url", "description"))):
        if len(value) > LONGEST:
            raise invalid(**{name: f"is too long (maximum is {LONGEST} characters)"})
    if not (given.get("target_url") or "http://").startswith(("http://", "https://")):
        raise invalid(target_url="is blocked: Only allowed schemes are http, https")


def _moved(status: CommitStatus, state: str, now: datetime) -> CommitStatus:
    """The status in its new state. Raises `Refused` in the words of GitLab's state machine."""
    event = EVENTS[state]
    if status.status not in FROM[event]:
        why = f'(Reason(s): Status cannot transition via "{event}")'
        raise refused(400, f"Cannot transition status via :{event} from :{status.status} {why}")
    started = now if state == "running" else status.started_at
    finished = now if state in ("success", "failed", "canceled") else None
    return replace(status, status=state, started_at=started, finished_at=finished)


def whole(statuses: list[CommitStatus]) -> str:
    """A pipeline's own status (`lib/gitlab/ci/status/composite.rb`, of the states that are here)."""
    states = {each.status for each in statuses}
    for one in ("success", "skipped", "pending"):
        if states == {one}:
            return one
    if states & {"pending", "running"}:
        return "running"
    if "failed" in states:
        return "failed"
    return "canceled" if "canceled" in states else "success"
