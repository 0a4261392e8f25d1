"""A lifecycle action of an Auto Scaling group: this instance waits in one until its hook is answered.

The rules: `RecordLifecycleActionHeartbeat` and `CompleteLifecycleAction` in the API reference, and "Amazon EC2 Auto
Scaling lifecycle hooks" in the user guide. Nothing is described: that an instance waits for nothing is what the group
answers to these calls with a ValidationError, "No active Lifecycle Action found".

`ABANDON` is never sent. Where an instance cannot be brought to where it should be, heartbeats end, and the hook's own
time-out and default decide: as slowly as its owner wants instances to be replaced.
"""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from fairlead_agent.clock import Clock, jittered
from fairlead_agent.cloud import code_of
from fairlead_agent.log import Log

BEAT = 240.0  # seconds between two heartbeats, give or take a fifth: below the time-out of any sensible hook
AGAIN = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)  # seconds: a group may be late with putting the instance into its wait
_NOTHING = "No active Lifecycle Action"


def waits_for_nothing(error: Exception) -> bool:
    """The group's answer where no hook keeps the instance."""
    return code_of(error) == "ValidationError" and _NOTHING in str(error)


class Action:
    """One action, tended by `tend` again and again until it is `over`. `lasting`: one surely comes."""

    def __init__(
        self, client: Callable[[], Any], named: dict[str, str], clock: Clock, log: Log, *, lasting: bool = False
    ) -> None:
        self.over = False
        self.waits = False  # the group said that the instance does
        self.trouble = ""  # why it cannot be answered
        self._client, self._named = client, named  # LifecycleHookName, AutoScalingGroupName, InstanceId
        self._clock, self._log = clock, log
        self._lasting = lasting
        self._not_before = self._beat_due = clock.monotonic()
        self._failures = 0  # in a row

    def tend(self, *, ready: bool, hopeful: bool) -> None:
        """Say that the instance may go on, or, where there is hope, that it still works. Raises nothing of AWS's."""
        now = self._clock.monotonic()
        if self.over or now < self._not_before or not (ready or (hopeful and now >= self._beat_due)):
            return
        try:
            if ready:
                self._complete()
            else:
                self._client().record_lifecycle_action_heartbeat(**self._named)
                self._beat_due, self.waits = now + jittered(BEAT), True
        except (ClientError, BotoCoreError) as error:
            self._failed(error)
            return
        self._failures, self.trouble = 0, ""

    def _complete(self) -> None:
        self._client().complete_lifecycle_action(**self._named, LifecycleActionResult="CONTINUE")
        self.over, self.waits = True, False
        self._log("hook-completed", hook=self._named["LifecycleHookName"])

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        is_nothing = waits_for_nothing(error)
        self.waits = self.waits and not is_nothing
        if is_nothing and self._failures > len(AGAIN) and not self._lasting:
            self.over = True
            self._log("no-hook-waits", hook=self._named["LifecycleHookName"])
            return
        said = "" if is_nothing else f"cannot answer the hook: {' '.join(str(error).split())[:300]}"
        if said and said != self.trouble:
            self._log("hook-not-answered", hook=self._named["LifecycleHookName"], why=said)
        self.trouble = said
        self._not_before = self._clock.monotonic() + jittered(AGAIN[min(self._failures, len(AGAIN)) - 1])
