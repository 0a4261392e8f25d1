"""What becomes of the instance: notices heard at once, hooks answered when the fleets say so."""

from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from fairlead_agent import life as module
from fairlead_agent.deciding import Readiness
from fairlead_agent.life import MARGIN, RARELY, Life, Means
from fairlead_agent.metadata import Silent
from fairlead_agent.settings import Settings
from tests.unit.agent.test_waiting import NOTHING, Clock

HOST = "i-0123456789abcdef0"
THERE, EMPTY, WORKING, FAILED = Readiness.THERE, Readiness.EMPTY, Readiness.WORKING, Readiness.FAILED
SPOT = '{"action": "terminate", "time": "2026-11-26T08:22:00Z"}'
TARGET = "autoscaling/target-lifecycle-state"


class Fleet:
    def __init__(self) -> None:
        self.readiness, self.is_away = WORKING, False
        self.is_held, self.drains = False, 300.0
        self.told: list[bool] = []
        self.waits: list[bool] = []

    def leave(self, *, leaving: bool) -> None:
        self.told.append(leaving)

    def launch(self, *, waits: bool) -> None:
        self.waits.append(waits)


class Sender:
    def __init__(self) -> None:
        self.said = ("", "")

    def say_of_all(self, leaving: str, aside: str) -> None:
        self.said = (leaving, aside)


class Scaling:
    """What was asked of the group."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.error: Exception | None = None

    def record_lifecycle_action_heartbeat(self, **asked: str) -> None:
        self.asked.append(("beat", asked["LifecycleHookName"]))
        if self.error is not None:
            raise self.error

    def complete_lifecycle_action(self, **asked: str) -> None:
        assert (HOST, "CONTINUE") == (asked["InstanceId"], asked["LifecycleActionResult"])
        self.asked.append((asked["AutoScalingGroupName"], asked["LifecycleHookName"]))
        if self.error is not None:
            raise self.error


class Scene:
    """A life with two fleets, and what its metadata service says, without one."""

    def __init__(self, folder: Path, said: Any, **settings: Any) -> None:
        self.paths: dict[str, str | None] = {}
        self.clock, self.sender, self.scaling, self.said = Clock(), Sender(), Scaling(), said
        self.fleets = [Fleet(), Fleet()]
        hooks = {"launch_hook": "launch", "terminating_hook": "end", "group": "mm", **settings}
        given = Settings(bucket="b", keys={}, fleets={}, state=folder, **hooks)
        self.means = Means(
            settings=given,
            host=HOST,
            client=lambda: self.scaling,
            sender=self.sender,  # type: ignore[arg-type]
            clock=self.clock,
            log=said,
        )
        self.silent = False
        self.begin()

    def begin(self, **changes: Any) -> None:
        """As a freshly started agent."""
        self.life = Life(replace(self.means, **changes), self.fleets)
        self.life._metadata = self  # type: ignore[assignment]

    def get(self, path: str) -> str | None:
        if self.silent:
            raise Silent(f"{path}: nobody answers")
        return self.paths.get(path.removeprefix("latest/meta-data/"))

    def step(self, seconds: float = 5.0, **readiness: Readiness) -> list[tuple[str, str]]:
        """Looks every five seconds for so long; what was asked of the group."""
        self.scaling.asked.clear()
        for _ in range(int(seconds / 5)):
            self.life.step(Event())
            self.clock.seconds += 5.0
        return list(self.scaling.asked)

    def ready(self, *found: Readiness) -> None:
        for fleet, one in zip(self.fleets, found, strict=True):
            fleet.readiness = one


@pytest.fixture(autouse=True)
def evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "jittered", lambda seconds: seconds)


@pytest.fixture
def scene(tmp_path: Path, said: Any) -> Scene:
    return Scene(tmp_path, said)


@pytest.mark.parametrize("found", [(THERE, THERE), (THERE, EMPTY), (EMPTY, EMPTY)])
def test_the_launch_hook_is_completed_when_every_fleet_is_there_or_has_nothing_to_run(
    scene: Scene, found: tuple[Readiness, Readiness]
) -> None:
    scene.ready(THERE, WORKING)
    assert [("beat", "launch")] == scene.step(60)

    scene.ready(*found)
    assert [("mm", "launch")] == scene.step(7200)


def test_fleets_are_told_while_the_group_keeps_traffic_away(scene: Scene) -> None:
    scene.step(60)
    scene.ready(THERE, THERE)
    scene.step(60)

    assert [[True, False]] * 2 == [fleet.waits for fleet in scene.fleets]


def test_an_instance_that_serves_is_not_taken_for_one_that_waits(scene: Scene) -> None:
    scene.scaling.error = NOTHING
    scene.step(3600)

    assert [[], []] == [fleet.waits for fleet in scene.fleets]


def test_a_fleet_that_failed_for_good_ends_the_heartbeats_and_abandons_nothing(scene: Scene) -> None:
    scene.ready(THERE, FAILED)

    assert [] == scene.step(7200)
    scene.ready(THERE, THERE)  # a newer order mended it
    assert [("mm", "launch")] == scene.step(60)


def test_hope_ends_after_an_hour(scene: Scene) -> None:
    beats = scene.step(4 * 3600)

    assert 10 < len(beats) < 25
    assert [] == scene.step(3600)


@pytest.mark.parametrize("silent", [False, True])
def test_hope_is_not_begun_anew_by_a_restart_of_the_agent(scene: Scene, silent: bool) -> None:
    scene.paths[TARGET] = "InService"
    scene.step(2 * 3600)
    scene.silent = silent
    scene.begin()
    scene.step()
    scene.silent = False
    scene.step(60)

    assert [] == scene.step(3600)


def test_hope_begins_anew_with_a_boot(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.paths[TARGET] = "InService"
    scene.step(2 * 3600)
    monkeypatch.setattr(module, "boot_id", lambda: "another")
    scene.clock.seconds = 7.0
    scene.begin()

    assert 10 < len(scene.step(3600))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '["i-0123456789abcdef0", 1]', '[[1], 2, 3, "x"]', "[" * 5000], ids=lambda text: text[:9]
)
def test_a_torn_note_of_it_begins_anew(scene: Scene, text: str) -> None:
    (scene.means.settings.state / "wanted").write_text(text)
    scene.paths[TARGET] = "InService"

    assert 10 < len(scene.step(3600))


def test_what_was_completed_is_not_asked_again_by_the_next_agent(scene: Scene) -> None:
    scene.ready(THERE, THERE)
    scene.step()
    scene.begin()

    assert [] == scene.step(600)


@pytest.mark.parametrize("change", ["boot", "target"])
def test_after_a_reboot_or_out_of_a_warm_pool_it_may_wait_again(
    scene: Scene, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.paths[TARGET] = "Warmed:Running"
    scene.ready(THERE, THERE)
    assert [("mm", "launch")] == scene.step(600)

    if change == "boot":
        monkeypatch.setattr(module, "boot_id", lambda: "another")
        scene.begin()
    else:
        scene.paths[TARGET] = "InService"

    assert [("mm", "launch")] == scene.step(600)


def test_an_instance_that_served_before_asks_its_group_a_few_times_and_never_again(scene: Scene) -> None:
    scene.scaling.error = NOTHING
    scene.ready(THERE, THERE)

    assert 7 == len(scene.step(3600))
    assert [] == scene.step(7200)
    scene.begin()
    assert [] == scene.step(3600)


def test_the_group_is_told_by_the_tags_of_the_instance_where_the_settings_do_not(tmp_path: Path, said: Any) -> None:
    scene = Scene(tmp_path, said, group=None)
    scene.ready(THERE, THERE)

    assert [] == scene.step(600)
    assert "no hook can be answered: the metadata service shows no tag" in scene.sender.said[1]
    assert ["no-group"] == [event for event, _ in said]
    scene.paths["tags/instance/aws:autoscaling:groupName"] = "mm-by-tag"
    assert [("mm-by-tag", "launch")] == scene.step(600)
    assert ("", "") == scene.sender.said


def test_without_hooks_nothing_is_asked(tmp_path: Path, said: Any) -> None:
    scene = Scene(tmp_path, said, launch_hook=None, terminating_hook=None)
    scene.paths[TARGET] = "Terminated"
    scene.ready(THERE, THERE)

    assert [] == scene.step(600)


def test_an_agent_that_only_reports_answers_no_hook_and_says_what_it_hears(scene: Scene) -> None:
    scene.begin(acts=False)
    scene.paths[TARGET] = "Terminated"
    scene.ready(THERE, THERE)

    assert [] == scene.step(600)
    assert "its Auto Scaling group ends it" == scene.sender.said[0]


def test_a_notice_is_told_once_and_so_is_its_end(scene: Scene) -> None:
    scene.paths["spot/instance-action"] = SPOT
    scene.step(60)
    assert "a spot notice: AWS is to terminate it at 2026-11-26T08:22:00Z" == scene.sender.said[0]

    del scene.paths["spot/instance-action"]
    scene.step(60)

    assert [[True, False]] * 2 == [fleet.told for fleet in scene.fleets]
    assert ["leaving", "stays"] == [event for event, _ in scene.said if event in {"leaving", "stays"}]
    assert ("", "") == scene.sender.said


def test_the_terminating_hook_waits_for_the_last_fleet_to_be_away(scene: Scene) -> None:
    scene.paths[TARGET] = "Terminated"
    scene.fleets[0].is_away = True
    assert [("beat", "end")] == scene.step(60)

    scene.fleets[1].is_away = True
    assert [("mm", "end")] == scene.step(600)


def test_where_traffic_cannot_be_taken_away_heartbeats_end_with_the_time_that_this_may_take(scene: Scene) -> None:
    scene.paths[TARGET] = "Terminated"
    scene.fleets[0].drains = 900.0

    assert 4 <= len(scene.step(900 + MARGIN)) <= 6
    assert [] == scene.step(4 * 3600)

    for fleet in scene.fleets:
        fleet.is_away = True
    assert [("mm", "end")] == scene.step(60)


def test_work_that_leaving_does_not_cut_off_is_waited_for_and_then_the_traffic(scene: Scene) -> None:
    scene.paths[TARGET] = "Terminated"
    scene.fleets[1].is_held = True
    assert 14 <= len(scene.step(3600))

    scene.fleets[1].is_held = False
    assert [("beat", "end")] * 2 == scene.step(480)
    scene.step(3600)
    assert [] == scene.step(3600)


def test_a_restart_of_the_agent_gives_an_ending_instance_no_more_time(scene: Scene) -> None:
    scene.paths[TARGET] = "Terminated"
    scene.step(3600)
    scene.begin()

    assert [] == scene.step(3600)


def test_a_spot_notice_alone_completes_no_hook(scene: Scene) -> None:
    scene.step()
    scene.paths["spot/instance-action"] = SPOT
    for fleet in scene.fleets:
        fleet.is_away = True

    assert [] == scene.step(120)


def test_advice_is_only_said(scene: Scene) -> None:
    scene.paths["events/recommendations/rebalance"] = '{"noticeTime": "2026-11-26T08:22:00Z"}'
    scene.step(60)

    leaving, aside = scene.sender.said
    assert ("", True) == (leaving, aside.startswith("AWS recommends since 2026-11-26T08:22:00Z"))
    assert [] == scene.fleets[0].told


@pytest.mark.parametrize("known", ["it answered", "it said who the host is"])
def test_where_one_is_its_silence_hides_no_notice_for_long(tmp_path: Path, said: Any, known: str) -> None:
    settings = {"host": HOST, "region": "eu-west-1"} if known == "it answered" else {}
    scene = Scene(tmp_path, said, **settings)
    if known == "it answered":
        scene.step()
    scene.silent = True
    scene.step(4 * 3600)

    scene.silent = False
    scene.paths["spot/instance-action"] = SPOT
    scene.step(30)

    assert scene.sender.said[0]


def test_where_no_metadata_service_is_it_is_asked_more_and_more_rarely(tmp_path: Path, said: Any) -> None:
    scene = Scene(tmp_path, said, host=HOST, region="eu-west-1")
    asked = list[float]()
    scene.silent = True
    get = scene.get
    scene.get = lambda path: (asked.append(scene.clock.seconds), get(path))[1]  # type: ignore[method-assign, func-returns-value]

    scene.step(4 * 3600)

    assert 4 * 3600 / RARELY <= len(asked) < 4 * 3600 / RARELY + 10
    assert 1 == [event for event, _ in scene.said].count("no-metadata")


def test_what_was_known_stays_while_the_service_is_silent(scene: Scene) -> None:
    scene.paths["spot/instance-action"] = SPOT
    scene.step()
    scene.silent = True
    scene.step(600)

    assert scene.sender.said[0]
    assert [True] == scene.fleets[0].told
