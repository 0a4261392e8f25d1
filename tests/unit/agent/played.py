"""What a test plays of a host: systemctl with one process, and target groups."""

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from adapters.agent_protocol.orders import Drain
from fairlead_agent.commands import Finished

GROUP = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/mm/0123456789abcdef"
DRAIN = Drain(groups=(GROUP,), within=0.0)
NO_PID = 1 << 23  # numbers from here on are no process's: the kernel gives none above 2^22


class PlayedHost:
    """systemctl and a health command: a process that has the release it was started with."""

    def __init__(self, current: Callable[[], str | None]) -> None:
        self._current = current
        self.runs: str | None = None  # the release of the process
        self.asked: list[str] = []
        self.process: tuple[int, int] | None = None  # its number and start, in microseconds; None: nobody can tell
        self.show_real = 0  # the number of a process that is there, to be looked at
        self.never_start: set[str] = set()
        self.sick: set[str] = set()  # releases

    def __call__(self, argv: Sequence[str], *, within: float, stop: Event | None = None, **_: Any) -> Finished:
        verb = argv[1] if argv[0] == "systemctl" else "start" if "restart it" in argv else "health"
        if verb not in {"is-active", "health", "show"}:
            self.asked.append(verb)
        well, said = getattr(self, f"_{verb.strip('-').replace('-', '_')}")()
        return Finished(code=0 if well else 1, output_tail=said)

    def _stop(self) -> tuple[bool, str]:
        self.runs = None
        return True, ""

    def _start(self) -> tuple[bool, str]:
        fails = self._current() in self.never_start
        self.runs = None if fails else self._current()
        if self.process is not None:
            self.process = (self.process[0] + 1, self.process[1] + 1)
        return not fails, "exited at once" if fails else ""

    _no_block = _start

    def tell(self, began: float) -> None:
        """From here on systemctl says who runs: the first began that many seconds after boot, the next ones later."""
        self.process = (NO_PID, int(began * 1_000_000))

    def _show(self) -> tuple[bool, str]:
        pid, began = self.process or (0, 0)
        pid = self.show_real or pid
        return True, f"MainPID={pid if self.runs else 0}\nExecMainStartTimestampMonotonic={began}\n"

    def _reset_failed(self) -> tuple[bool, str]:
        return True, ""

    def _is_active(self) -> tuple[bool, str]:
        return self.runs is not None, "active" if self.runs else "inactive"

    def _health(self) -> tuple[bool, str]:
        return self.runs is not None and self.runs not in self.sick, "no route to the database"


class PlayedGroups:
    """As much of elbv2 as the agent uses: groups with the host in them, by ARN."""

    class exceptions:  # noqa: N801 botocore's name
        ClientError = ClientError

        class TargetGroupNotFoundException(ClientError):
            pass

        class InvalidTargetException(ClientError):
            pass

    def __init__(self, *inside: str) -> None:
        self.inside = set(inside)
        self.sick = False
        self.away: set[str] = set()  # operations that do not answer
        self.asked: list[str] = []

    def _answer(self, operation: str) -> None:
        if operation in self.away:
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    def describe_target_health(self, **asked: Any) -> Any:
        self._answer("DescribeTargetHealth")
        is_in = asked["TargetGroupArn"] in self.inside
        state = ("unhealthy" if self.sick else "healthy") if is_in else "unused"
        shown = [{"Target": {"Id": "i-1", "Port": 80}, "TargetHealth": {"State": state}}]
        return {"TargetHealthDescriptions": shown if is_in or "Targets" in asked else []}

    def describe_target_groups(self, **_: Any) -> Any:
        self._answer("DescribeTargetGroups")
        return {"TargetGroups": [{"HealthyThresholdCount": 0, "HealthCheckIntervalSeconds": 0}]}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self) -> Any:
        self._answer("DescribeTargetGroups")
        return [{"TargetGroups": [{"TargetGroupArn": GROUP, "TargetType": "instance"}]}]

    def register_targets(self, **asked: Any) -> None:
        self._answer("RegisterTargets")
        self.asked.append("enter")
        self.inside.add(asked["TargetGroupArn"])

    def deregister_targets(self, **asked: Any) -> None:
        self._answer("DeregisterTargets")
        self.asked.append("leave")
        self.inside.discard(asked["TargetGroupArn"])
