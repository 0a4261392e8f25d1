"""Saving, deleting and remembering pipeline configurations.

Sources of the rules: Gate's and Front50's `PipelineController`, Orca's `SavePipelineTask`: a save is an upsert by id, a
name is unique in its application without regard to case, keys that are null are dropped at every level (Orca's mapper
writes `NON_NULL`), and Gate gives a save half a minute before it answers 400, though Orca may still save it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from fairlead_sandbox.gate.answers import Refused, Request, not_found
from fairlead_sandbox.gate.faults import FaultKind, Faults
from fairlead_sandbox.gate.pipelines import Pipelines
from reconciler.ports import Clock

NEVER = -1
REMEMBERED = 20  # versions in a history


@dataclass(slots=True, kw_only=True)
class Late:
    """A configuration that lists show only after so many reads; -1: never."""

    config: Mapping[str, Any]
    reads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Saver:
    """Front50 behind Gate's API. May be used from any thread: one save at a time, as Front50 does it."""

    pipelines: Pipelines
    faults: Faults
    clock: Clock
    late: list[Late] = field(default_factory=list)
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def save(self, request: Request, *, stale_check: bool = False) -> dict[str, Any]:
        """Add or replace a configuration. Raises the 400 of what Front50 refuses, and of a save that takes too long."""
        config = request.body
        if not isinstance(config, dict):
            raise Refused(400, "JSON parse error: a pipeline is an object", "HttpMessageNotReadableException")
        with self.lock:
            self._check(config, stale_check=stale_check)
            kept = _without_nulls(config)
            kept |= {"name": config["name"].strip(), "lastModifiedBy": request.user, "updateTs": self._now()}
            for kind in (FaultKind.SAVE_TIMES_OUT, FaultKind.SAVE_SEEN_LATE):
                late = self.faults.take(kind, pipeline=kept["name"], application=kept["application"])
                if late is not None:
                    self.late.append(Late(config=kept, reads=int(late.get("reads", 2))))
                    return self._answered_late(kind)
            return self._keep(kept)

    def update(self, request: Request, config_id: str) -> dict[str, Any]:
        """Replace the configuration of an id, and give it back."""
        if self.pipelines.get(config_id) is None:
            raise not_found(f"Object not found (key: {config_id})")
        return self.save(request)

    def delete(self, application: str, name: str) -> None:
        """Forget the configuration of that name, in silence where there is none."""
        with self.lock:
            for each in self.pipelines.of(application):
                if str(each["name"]).strip().lower() == name.lower():
                    self.pipelines.delete(each["id"])

    def history(self, config_id: str) -> list[dict[str, Any]]:
        """What was saved under an id, newest first."""
        with self.lock:
            return self.versions.get(config_id, [])[::-1][:REMEMBERED]

    def pass_a_read(self) -> None:
        """A list of configurations is read: what is late comes nearer."""
        with self.lock:
            for each in self.late:
                each.reads = max(each.reads - 1, NEVER)
            for each in [one for one in self.late if one.reads == 0]:
                self.late.remove(each)
                self._keep(each.config)

    def _keep(self, config: Mapping[str, Any]) -> dict[str, Any]:
        kept = self.pipelines.get(self.pipelines.save(config)) or {}
        self.versions.setdefault(kept["id"], []).append(dict(kept))
        return kept

    def _answered_late(self, kind: FaultKind) -> dict[str, Any]:
        if kind is FaultKind.SAVE_TIMES_OUT:
            raise Refused(
                400, "Pipeline save operation did not succeed: 01JD0000000000000000000000 (status: RUNNING)", "Failed"
            )
        return {}

    def _check(self, config: Mapping[str, Any], *, stale_check: bool) -> None:
        application, name = config.get("application"), config.get("name")
        if not (isinstance(application, str) and application.strip() and isinstance(name, str) and name.strip()):
            raise Refused(400, "A pipeline requires name and application fields", "InvalidEntityException")
        for each in self.pipelines.of(application):
            if str(each["name"]).strip().lower() == name.strip().lower() and each["id"] != config.get("id"):
                said = f"A pipeline with name {name.strip()} already exists in application {application}"
                raise Refused(400, said, "DuplicateEntityException")
        known, submitted = self.pipelines.get(str(config.get("id"))), config.get("updateTs")
        if stale_check and known is not None and submitted and submitted != known.get("updateTs"):
            raise Refused(
                400,
                f"The submitted pipeline is stale.  submitted updateTs {submitted} does not match stored updateTs "
                f"{known.get('updateTs')}",
                "ValidationException",
            )

    def _now(self) -> str:
        return str(int(self.clock.now().timestamp() * 1000))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
