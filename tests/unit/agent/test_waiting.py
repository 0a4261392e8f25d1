"""A lifecycle action is answered once, with few calls, and never abandoned."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from fairlead_agent import waiting
from fairlead_agent.waiting import AGAIN, BEAT, Action

NAMED = {"LifecycleHookName": "launch", "AutoScalingGroupName": "mm", "InstanceId": "i-1"}


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> Any:
        raise AssertionError("nothing here goes by the calendar")

    def monotonic(self) -> float:
        return self.seconds


class PlayedScaling:
    """As much of the autoscaling client as an action uses."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    def record_lifecycle_action_heartbeat(self, **asked: str) -> None:
        self._answer("beat", asked)

    def complete_lifecycle_action(self, **asked: str) -> None:
        self._answer(asked.pop("LifecycleActionResult"), asked)

    def _answer(self, call: str, asked: dict[str, str]) -> None:
        assert asked == NAMED
        self.asked.append(call)
        if self.error is not None:
            raise self.error


def refusal(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "CompleteLifecycleAction")


NOTHING = refusal("ValidationError", "No active Lifecycle Action found with instance ID i-1")
FORBIDDEN = refusal("AccessDenied", "not authorized to perform autoscaling:CompleteLifecycleAction")
AWAY = EndpointConnectionError(endpoint_url="https://autoscaling")


class Scene:
    def __init__(self, said: Any, **more: Any) -> None:
        self.clock, self.scaling, self.said = Clock(), PlayedScaling(), said
        self.action = Action(lambda: self.scaling, NAMED, self.clock, said, **more)

    def tend(self, seconds: float, *, ready: bool = False, hopeful: bool = True) -> list[str]:
        """Tended every five seconds for so long: the calls that were made."""
        self.scaling.asked.clear()
        until = self.clock.seconds + seconds
        while self.clock.seconds < until:
            self.action.tend(ready=ready, hopeful=hopeful)
            self.clock.seconds += 5.0
        return list(self.scaling.asked)


@pytest.fixture
def scene(said: Any, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(waiting, "jittered", lambda seconds: seconds)
    return Scene(said)


def test_heartbeats_are_few_and_the_end_is_said_once(scene: Scene) -> None:
    assert ["beat"] * 3 == scene.tend(2 * BEAT + 5)
    assert ["CONTINUE"] == scene.tend(3600, ready=True)
    assert scene.action.over


def test_without_hope_nothing_is_said_and_nothing_is_ever_abandoned(scene: Scene) -> None:
    assert [] == scene.tend(7200, hopeful=False)
    assert ["CONTINUE"] == scene.tend(60, ready=True, hopeful=False)


def test_an_instance_that_waits_for_nothing_asks_a_few_times_and_then_no_more(scene: Scene) -> None:
    scene.scaling.error = NOTHING

    assert len(AGAIN) + 1 == len(scene.tend(7200, ready=True))
    assert scene.action.over
    assert "" == scene.action.trouble


def test_a_group_that_is_late_with_its_wait_is_answered_all_the_same(scene: Scene) -> None:
    scene.scaling.error = NOTHING
    scene.tend(sum(AGAIN[:4]), ready=True)
    scene.scaling.error = None

    assert ["CONTINUE"] == scene.tend(AGAIN[4] + 5, ready=True)


def test_an_ending_instance_waits_for_its_hook_as_long_as_that_takes(said: Any, scene: Scene) -> None:
    lasting = Scene(said, lasting=True)
    lasting.scaling.error = NOTHING

    lasting.tend(7200, ready=True)

    assert not lasting.action.over


@pytest.mark.parametrize("error", [FORBIDDEN, AWAY])
def test_what_keeps_it_from_answering_is_said_once_and_tried_again_for_ever(scene: Scene, error: Exception) -> None:
    scene.scaling.error = error

    assert 7200 / AGAIN[-1] <= len(scene.tend(7200, ready=True)) < 7200 / AGAIN[-1] + len(AGAIN)

    assert not scene.action.over
    assert ["hook-not-answered"] == [event for event, _ in scene.said]
    assert scene.action.trouble.startswith("cannot answer the hook: ")
    scene.scaling.error = None
    assert ["CONTINUE"] == scene.tend(AGAIN[-1] + 5, ready=True)
    assert "" == scene.action.trouble
