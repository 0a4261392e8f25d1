"""Target groups: out of them before the host is changed, and into them again when it is healthy.

The rules: `DeregisterTargets`, `RegisterTargets` and `DescribeTargetHealth` in the ELB API reference.
A target that left is `draining` until its connections are gone or the group's delay is over, then it is not there.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Event
from time import monotonic
from typing import Any

from adapters.agent_protocol.orders import Drain
from adapters.agent_protocol.reports import Blame
from fairlead_agent.cloud import code_of, reaching
from fairlead_agent.trouble import Interrupted, Trouble

PAUSE = 0.1  # seconds until the second look; each further one takes half as long again
RARELY = 3.0  # seconds between two looks, the most
_OUT = frozenset({"unused", ""})
_IN = frozenset({"healthy", "unused", "unavailable"})  # unused: no listener leads there, so nobody ever checks
Ports = tuple[int, ...]  # that the host is registered with in a group
Groups = Mapping[str, Ports]  # by ARN


class Balancer:
    """The target groups of one host. `client` gives the elbv2 client."""

    def __init__(self, client: Callable[[], Any], host: str, region: str, pause: float = PAUSE) -> None:
        self._client = client
        self._host = host
        self._region = region
        self._pause = pause

    def attached(self, drain: Drain | None) -> Groups:
        """The groups that the host is in, of those that the drain speaks of. Raises `Trouble`."""
        if drain is None:
            return {}
        with reaching(
            "look for the host's target groups (elasticloadbalancing:DescribeTargetGroups, DescribeTargetHealth)"
        ):
            found = {arn: self._ports(arn) for arn in self._candidates(drain)}
        return {arn: ports for arn, ports in found.items() if ports}

    def leave(self, groups: Groups) -> None:
        """Leave the groups. Left before or never in is fine. Raises `Trouble`."""
        for arn, ports in groups.items():
            with reaching(f"leave the target group {_name(arn)} (elasticloadbalancing:DeregisterTargets)"):
                self._unless_gone(partial(self._deregister, arn, ports))

    def wait_drained(self, groups: Groups, within: float, stop: Event) -> bool:
        """Wait until no connection is left, at most that long; whether it came to that.

        Raises `Trouble`, `Interrupted`.
        """
        return self._wait(groups, _OUT, within, stop)

    def enter(self, groups: Groups) -> None:
        """Enter the groups. Being in already is fine. Raises `Trouble`."""
        for arn, ports in groups.items():
            with reaching(f"enter the target group {_name(arn)} (elasticloadbalancing:RegisterTargets)"):
                self._unless_gone(partial(self._register, arn, ports))

    def wait_healthy(self, groups: Groups, within: float, stop: Event) -> bool:
        """Wait until all call the host healthy, at most that long; whether it came to that.

        Raises `Trouble`, `Interrupted`.
        """
        return self._wait(groups, _IN, within, stop)

    def patience(self, groups: Groups) -> float:
        """Seconds in which groups find a healthy target healthy: checks in a row, and two more. Raises `Trouble`."""
        with reaching("ask how target groups check (elasticloadbalancing:DescribeTargetGroups)"):
            return max((self._patience(arn) for arn in groups), default=0.0)

    def _patience(self, arn: str) -> float:
        try:
            found = self._client().describe_target_groups(TargetGroupArns=[arn])["TargetGroups"]
        except self._client().exceptions.TargetGroupNotFoundException:
            return 0.0
        return max((_checking(group) for group in found), default=0.0)

    def _wait(self, groups: Groups, wanted: frozenset[str], within: float, stop: Event) -> bool:
        """What the road does meanwhile is no answer: it is asked again until the time is over."""
        until, pause = monotonic() + within, self._pause
        while True:
            if stop.is_set():
                raise Interrupted
            try:
                if all(self._states(arn, ports) <= wanted for arn, ports in groups.items()):
                    return True
            except Trouble as trouble:
                if trouble.blame is not Blame.TRANSIENT or monotonic() >= until:
                    raise
            if monotonic() >= until:
                return False
            if stop.wait(pause):
                raise Interrupted
            pause = min(pause * 1.5, RARELY)

    def _candidates(self, drain: Drain) -> Sequence[str]:
        if drain.groups is not None:
            return [arn for arn in drain.groups if self._is_here(arn)]
        pages = self._client().get_paginator("describe_target_groups").paginate()
        return [group["TargetGroupArn"] for page in pages for group in page["TargetGroups"] if _by_instance(group)]

    def named(self, drain: Drain | None) -> Groups:
        """The groups of this region that the settings name, with the ports that the host is in with; `()`: the group's.

        Raises `Trouble`.
        """
        named = drain.groups if drain is not None and drain.groups is not None else ()
        with reaching("look into the target groups of the settings (elasticloadbalancing:DescribeTargetHealth)"):
            return {arn: self._ports(arn) for arn in named if self._is_here(arn)}

    def _is_here(self, arn: str) -> bool:
        parts = arn.split(":")
        return len(parts) > 5 and parts[3] == self._region

    def _ports(self, arn: str) -> Ports:
        """Asked for all targets: one asked for by id alone is found at the group's own port only."""
        try:
            found = self._client().describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        except self._client().exceptions.TargetGroupNotFoundException:
            return ()
        mine = [each for each in found if each["Target"]["Id"] == self._host]
        return tuple(sorted({int(each["Target"]["Port"]) for each in mine if _state(each) != "draining"}))

    def _states(self, arn: str, ports: Ports) -> set[str]:
        with reaching(f"ask the target group {_name(arn)} (elasticloadbalancing:DescribeTargetHealth)"):
            try:
                found = self._client().describe_target_health(TargetGroupArn=arn, Targets=self._targets(ports))
            except self._client().exceptions.TargetGroupNotFoundException:
                return set()
            except self._client().exceptions.InvalidTargetException:
                return {""}
        return {_state(each) for each in found["TargetHealthDescriptions"]}

    def _register(self, arn: str, ports: Ports) -> None:
        self._client().register_targets(TargetGroupArn=arn, Targets=self._targets(ports))

    def _deregister(self, arn: str, ports: Ports) -> None:
        self._client().deregister_targets(TargetGroupArn=arn, Targets=self._targets(ports))

    def _targets(self, ports: Ports) -> list[dict[str, Any]]:
        return [{"Id": self._host, "Port": port} for port in ports] or [{"Id": self._host}]

    def _unless_gone(self, call: Callable[[], None]) -> None:
        try:
            call()
        except self._client().exceptions.ClientError as error:
            if code_of(error) not in {"TargetGroupNotFound", "TargetGroupNotFoundException"}:
                raise


def _by_instance(group: Mapping[str, Any]) -> bool:
    return group.get("TargetType") == "instance"


def _checking(group: Mapping[str, Any]) -> float:
    in_a_row = float(group.get("HealthyThresholdCount", 5)) + 2
    return in_a_row * float(group.get("HealthCheckIntervalSeconds", 30))


def _state(described: Mapping[str, Any]) -> str:
    return str(described.get("TargetHealth", {}).get("State", ""))


def _name(arn: str) -> str:
    return arn.split("/")[1] if arn.count("/") >= 2 else arn
