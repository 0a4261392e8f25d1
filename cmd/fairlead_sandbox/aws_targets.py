"""What moto's target groups lack or get wrong, mended.

Found by trying moto 5.2.5: a target is `healthy` and `unused` at once, nothing makes it unhealthy, a describe of all
targets passes over those that drain, and a deregistration of what is not registered is an error (the API reference of
DeregisterTargets: *the action returns successfully*).
"""

import time
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup

from fairlead_sandbox.aws_state import replace, state_now


def mend() -> None:
    """Mend moto; once a process."""
    _mend_membership()
    _mend_health()


def _mend_membership() -> None:
    def register(self: Any, targets: list[dict[str, Any]]) -> None:
        fresh = [each["Id"] for each in targets if each["Id"] not in self.targets]
        registered(self, targets)
        _since(self).update(dict.fromkeys(fresh, time.monotonic()))

    def deregister(self: Any, targets: list[dict[str, Any]]) -> None:
        known = [each for each in targets if each["Id"] in self.targets]
        deregistered(self, known)
        _since(self).update(dict.fromkeys((each["Id"] for each in known), time.monotonic()))

    registered = replace(FakeTargetGroup, "register", register)
    deregistered = replace(FakeTargetGroup, "deregister", deregister)


def _since(group: Any) -> dict[str, float]:
    """When each target was registered or deregistered last."""
    if not hasattr(group, "since"):
        group.since = {}
    found: dict[str, float] = group.since
    return found


def _mend_health() -> None:
    def health_for(self: Any, target: dict[str, Any], ec2_backend: Any) -> Any:
        told = health(self, target, ec2_backend)
        for_seconds = time.monotonic() - _since(self).get(target["Id"], float("-inf"))
        found = _true_health(
            told.status, told.reason, target["Id"], for_seconds, target["Id"] in self.deregistered_targets
        )
        return FakeHealthStatus(told.instance_id, told.port, told.health_check_port, *found) if found else told

    def describe_target_health(self: Any, target_group_arn: str, targets: list[dict[str, Any]]) -> list[Any]:
        found: list[Any] = described(self, target_group_arn, targets)
        if targets:
            return found
        group = self.target_groups[target_group_arn]
        leaving = [group.health_for(each, self.ec2_backend) for each in group.deregistered_targets.values()]
        return found + [each for each in leaving if each.status == "draining"]

    health = replace(FakeTargetGroup, "health_for", health_for)
    described = replace(ELBv2Backend, "describe_target_health", describe_target_health)


def _true_health(
    status: str, reason: str | None, target: str, for_seconds: float, deregistered: bool
) -> tuple[str, str, str] | None:
    """State, reason and description in the words of the API reference (`TargetHealth`); None: moto's are right."""
    state = state_now()
    if deregistered and reason == "Target.NotRegistered" and for_seconds < state.draining_seconds:
        return "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"
    if status != "healthy":
        return None
    if for_seconds < state.registering_seconds:
        return "initial", "Elb.InitialHealthChecking", "Initial health checks in progress"
    if target in state.sick_targets:
        return "unhealthy", "Target.FailedHealthChecks", "Health checks failed"
    return None
