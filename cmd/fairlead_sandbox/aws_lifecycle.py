"""The lifecycle of instances in Auto Scaling groups, which moto lacks, mended.

Found by trying moto 5.2.5: lifecycle hooks are kept and nothing waits for them; `complete_lifecycle_action` and
`record_lifecycle_action_heartbeat` are not there; an instance that is ended is gone at once. Here an instance waits in
`Pending:Wait` or `Terminating:Wait` for the first hook of its transition, until that is answered or its time is over
("Amazon EC2 Auto Scaling lifecycle hooks", user guide). A group has one hook a transition here; AWS allows more.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import (
    AutoScalingBackend,
    FakeAutoScalingGroup,
    TerminateInstanceActivity,
    autoscaling_backends,
)
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult

from fairlead_sandbox.aws_state import replace

LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
_WAITS = {"Pending:Wait": LAUNCHING, "Terminating:Wait": TERMINATING}


def mend() -> None:
    """Mend moto; once a process, after its launching was mended."""
    _mend_launching()
    _mend_terminating()
    _mend_describing()
    _add_actions()


def target_state(region: str, account: str, instance: str) -> str | None:
    """What the metadata service says of an instance: the state that its group wants it in; None: it is in none."""
    for each in _states(autoscaling_backends[account][region]):
        if each.instance.id == instance:
            return "Terminated" if each.lifecycle_state.startswith("Terminating") else "InService"
    return None


def _states(backend: Any) -> Iterator[Any]:
    return (each for group in backend.autoscaling_groups.values() for each in group.instance_states)


def _hook(backend: Any, group: str, transition: str) -> Any:
    hooks = (each for each in backend.lifecycle_hooks.values() if each.auto_scaling_group_name == group)
    return next((each for each in hooks if each.lifecycle_transition == transition), None)


def _wait(backend: Any, instance: Any, state: str) -> bool:
    """Let it wait, where there is a hook; whether there is."""
    hook = _hook(backend, instance.auto_scaling_group_name, _WAITS[state])
    if hook is not None:
        instance.lifecycle_state = state
        instance.waits_until = time.monotonic() + int(hook.heartbeat_timeout)
    return hook is not None


def _mend_launching() -> None:
    def launch(self: Any, count: int, tags: dict[str, str]) -> None:
        before = set(map(id, self.instance_states))
        launched(self, count, tags)
        for each in self.instance_states:
            if id(each) not in before:
                _wait(self.autoscaling_backend, each, "Pending:Wait")

    def active_instances(self: Any) -> list[Any]:
        return [*active(self), *(each for each in self.instance_states if each.lifecycle_state == "Pending:Wait")]

    launched = replace(FakeAutoScalingGroup, "replace_autoscaling_group_instances", launch)
    active = replace(FakeAutoScalingGroup, "active_instances", active_instances)


def _mend_terminating() -> None:
    """One that waits for its end is no capacity: another is launched in its place at once where that is asked for."""

    def terminate(self: Any, instance_id: str, should_decrement: bool) -> Any:
        found = next((each for each in _states(self) if each.instance.id == instance_id), None)
        if found is None or not _wait(self, found, "Terminating:Wait"):
            return terminated(self, instance_id, should_decrement)
        group, size = found.auto_scaling_group, found.auto_scaling_group.desired_capacity
        group.set_desired_capacity(size - 1 if should_decrement else size)
        return TerminateInstanceActivity(found.instance, size)

    terminated = replace(AutoScalingBackend, "terminate_instance", terminate)


def _mend_describing() -> None:
    """Whose time is over is answered by the hook's default."""

    def timely(method: Callable[..., Any]) -> Callable[..., Any]:
        def describe(self: Any, *arguments: Any, **named: Any) -> Any:
            for each in list(_states(self)):
                if each.lifecycle_state in _WAITS and time.monotonic() >= each.waits_until:
                    hook = _hook(self, each.auto_scaling_group_name, _WAITS[each.lifecycle_state])
                    _answer(self, each, hook.default_result if hook is not None else "ABANDON")
            return method(self, *arguments, **named)

        return describe

    for name in ("describe_auto_scaling_groups", "describe_auto_scaling_instances"):
        replace(AutoScalingBackend, name, timely(getattr(AutoScalingBackend, name)))


def _answer(backend: Any, instance: Any, result: str) -> None:
    """CONTINUE lets a launching instance serve; everything else ends it."""
    if instance.lifecycle_state == "Pending:Wait" and result == "CONTINUE":
        instance.lifecycle_state = "InService"
        return
    group, replaces = instance.auto_scaling_group, instance.lifecycle_state == "Pending:Wait"
    group.instance_states = [each for each in group.instance_states if each is not instance]
    backend.ec2_backend.terminate_instances([instance.instance.id])
    if replaces:
        group.set_desired_capacity(group.desired_capacity)


def _add_actions() -> None:
    def complete_lifecycle_action(self: Any) -> ActionResult:
        instance, _ = _asked(self)
        _answer(self.autoscaling_backend, instance, self._get_param("LifecycleActionResult"))
        return ActionResult({})

    def record_lifecycle_action_heartbeat(self: Any) -> ActionResult:
        instance, hook = _asked(self)
        instance.waits_until = time.monotonic() + int(hook.heartbeat_timeout)
        return ActionResult({})

    replace(AutoScalingResponse, "complete_lifecycle_action", complete_lifecycle_action)
    replace(AutoScalingResponse, "record_lifecycle_action_heartbeat", record_lifecycle_action_heartbeat)


def _asked(response: Any) -> tuple[Any, Any]:
    """The instance that waits, and the hook that it waits for."""
    backend, name = response.autoscaling_backend, response._get_param("InstanceId")
    group, hook_name = response._get_param("AutoScalingGroupName"), response._get_param("LifecycleHookName")
    for each in _states(backend):
        if each.instance.id == name and each.auto_scaling_group_name == group and each.lifecycle_state in _WAITS:
            hook = _hook(backend, group, _WAITS[each.lifecycle_state])
            if hook is not None and hook.name == hook_name:
                return each, hook
    raise ValidationError(f"No active Lifecycle Action found with instance ID {name}")
