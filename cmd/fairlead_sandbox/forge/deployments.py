"""Deployments and their statuses, as GitHub alone has them (REST API, "Deployments")."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from threading import RLock
from typing import Any

from fairlead_sandbox.forge.wire import Wrong
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """One word on a deployment."""

    id: int
    state: str
    description: str
    environment: str
    environment_url: str
    log_url: str
    login: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One deployment. Its statuses are oldest first."""

    id: int
    sha: str
    ref: str
    login: str
    at: datetime
    task: str = "deploy"
    environment: str = "production"
    description: str = ""
    payload: Any = field(default_factory=dict)
    transient: bool = False
    production: bool = False
    statuses: tuple[DeploymentStatus, ...] = ()

    @property
    def state(self) -> str:
        """Of the newest status; nothing where there is none."""
        return self.statuses[-1].state if self.statuses else ""


class Deployments:
    """Those of one repository."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = RLock()
        self._made: dict[int, Deployment] = {}
        self._statuses = 0

    def make(self, sha: str, ref: str, login: str, **facts: Any) -> Deployment:
        """A new one."""
        with self._lock:
            id_ = len(self._made) + 1
            made = Deployment(id=id_, sha=sha, ref=ref, login=login, at=self._clock.now(), **facts)
            self._made[id_] = made
        return made

    def one(self, id_: int) -> Deployment:
        """Raises `Wrong` where there is none."""
        with self._found(id_) as deployment:
            return deployment

    def all(self) -> list[Deployment]:
        """Newest first."""
        with self._lock:
            return list(self._made.values())[::-1]

    def say(self, id_: int, login: str, *, auto_inactive: bool = True, **words: str) -> DeploymentStatus:
        """A status; a success lets earlier ones of the environment be inactive. Raises `Wrong`.

        Only those that are neither transient nor of production, and that had succeeded (REST API,
        "Inactive deployments").
        """
        with self._found(id_) as deployment:
            words = {**words, "environment": words.get("environment") or deployment.environment}
            status = self._add(deployment, login, words)
            if auto_inactive and status.state == "success":
                for other in list(self._made.values()):
                    if other.id < id_ and _gives_way(other, status.environment):
                        self._add(other, login, {"state": "inactive", "environment": other.environment})
        return status

    def _add(self, deployment: Deployment, login: str, words: dict[str, str]) -> DeploymentStatus:
        self._statuses += 1
        blank = {"description": "", "environment_url": "", "log_url": ""}
        facts: dict[str, Any] = {**blank, **words}
        status = DeploymentStatus(id=self._statuses, login=login, at=self._clock.now(), **facts)
        self._made[deployment.id] = replace(deployment, statuses=(*deployment.statuses, status))
        return status

    @contextmanager
    def _found(self, id_: int) -> Iterator[Deployment]:
        with self._lock:
            if id_ not in self._made:
                raise Wrong("not-found")
            yield self._made[id_]


def _gives_way(other: Deployment, environment: str) -> bool:
    return other.environment == environment and not (other.transient or other.production) and other.state == "success"
