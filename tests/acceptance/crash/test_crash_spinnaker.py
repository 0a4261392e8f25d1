"""A deploy survives the end, or the long sleep, of its controller between any two of its side effects.

Judged from Gate's access log and the notes on the commit: no pipeline is started twice, none is lost, and the last word
on the commit is right.
"""

import ctypes
import re
import signal
from pathlib import Path
from typing import Any

import pytest

LEASE = "3s"  # long enough for one pass on a busy machine
FLEET, OLD, NEW = "prod/checkout", "1.4.0", "1.4.1"
CLUSTER, REGIONS = "checkout-prod", ("us-east-1", "eu-west-1")
ONCE_EACH = [("us-east-1", 1, 1), ("eu-west-1", 2, 1)]  # unit, wave, attempt


class GateScene:
    """What Gate's access log tells, beside the scene."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scene, name)

    def starts(self) -> list[tuple[str, int, int]]:
        """What brought an execution into being: unit, wave, attempt; oldest first."""
        ours = [entry["body"]["fairlead"] for entry in self.world.gate.access_log.starts()]
        return [(each["unit"], each["wave"], each["attempt"]) for each in ours]

    def changes_at_gate(self) -> list[tuple[str, str]]:
        entries = self.world.gate.access_log.entries()
        return [(entry["method"], entry["path"]) for entry in entries if entry["method"] != "GET"]


@pytest.fixture
def scene(make_world: Any, make_scene: Any) -> GateScene:
    return GateScene(make_scene(make_world(lease=LEASE), FLEET, NEW))


@pytest.fixture
def prepared_files(make_files: Any) -> dict[str, str]:
    """The one fleet, with a pipeline before its versions."""
    return dict(make_files(STEP))


def assert_deployed_once(scene: GateScene, commit: str) -> None:
    """One execution a unit, the version everywhere, the right last word, and an untouched history."""
    assert ONCE_EACH == scene.starts()
    assert [{NEW}, {NEW}] == [scene.world.versions(CLUSTER, region) for region in REGIONS]
    told = scene.told(commit)
    assert re.fullmatch(rf"success {NEW} on 2/2 units in \d+ s", told[f"fairlead/{FLEET}"])
    assert "success 1/1 fleets done" == told["fairlead/prod"]
    assert "success 1 fleet is sound" == told["fairlead/validate"]
    scene.assert_nothing_is_open()


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────────────────

SIDE_EFFECTS = ("intent", "POST", "save", "push")  # of the first wave, in their order
IN_A_ROW = (  # each can only come after the one before it
    *("after revision", "after POST", "before intent of wave 2", "after POST of wave 2"),
    *("before save of the end of wave 2", "before last push", "after last push", "after last settling"),
)


@pytest.mark.parametrize("effect", SIDE_EFFECTS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_controller_killed_beside_a_side_effect_deploys_once_after_its_restart(
    scene: GateScene, moment: str, effect: str
) -> None:
    boundary = f"{moment} {effect}"
    mortal = scene.mortal(boundary, "KILL")
    scene.at_rest()
    commit = scene.world.bump(FLEET, NEW)
    scene.dies(mortal, boundary)

    restarted = scene.controller()

    scene.finishes(restarted, commit)
    assert_deployed_once(scene, commit)


def test_controllers_killed_one_after_the_other_deploy_once(scene: GateScene) -> None:
    """Every process of one deploy dies at a later boundary than the one before it."""
    mortal = scene.mortal(IN_A_ROW[0], "KILL")
    scene.at_rest()
    commit = scene.world.bump(FLEET, NEW)
    scene.dies(mortal, IN_A_ROW[0])
    for boundary in IN_A_ROW[1:]:
        scene.dies(scene.mortal(boundary, "KILL"), boundary)

    last = scene.controller()

    scene.finishes(last, commit)
    assert_deployed_once(scene, commit)


def test_a_controller_killed_before_it_reads_that_gate_accepted_finds_the_execution_again(scene: GateScene) -> None:
    first = scene.controller()
    scene.at_rest()
    scene.world.gate.faults.on("hold_after_accepting", times=1)
    commit = scene.world.bump(FLEET, NEW)
    scene.wait(lambda: scene.world.gate.faults.wait_until_held(0), "the POST to be held at Gate")
    assert ONCE_EACH[:1] == scene.starts()
    first.kill()
    scene.world.gate.faults.release()

    restarted = scene.controller()

    scene.finishes(restarted, commit)
    assert_deployed_once(scene, commit)
    assert 2 == len(scene.world.gate.access_log.triggers())


@pytest.mark.parametrize("arrives", [True, False])
def test_a_request_that_is_on_its_way_when_the_controller_dies_is_waited_for(scene: GateScene, arrives: bool) -> None:
    """Gate takes it only after the next controller has looked and found nothing, or never."""
    first = scene.controller()
    scene.at_rest()
    scene.world.gate.faults.on("hold_before_accepting", times=1)
    commit = scene.world.bump(FLEET, NEW)
    scene.wait(lambda: scene.world.gate.faults.wait_until_held(0), "the POST to be held before Gate")
    first.kill()
    seen = len(scene.world.gate.access_log)
    restarted = scene.controller()
    scene.wait(lambda: searched(scene, seen), "the next controller to look for the execution")
    assert [] == scene.starts()

    scene.world.gate.faults.release(accept=arrives)

    scene.finishes(restarted, commit)
    assert_deployed_once(scene, commit)
    assert (2 if arrives else 3) == len(scene.world.gate.access_log.triggers())


def searched(scene: GateScene, seen: int) -> bool:
    """Gate was asked, after its first `seen` requests, which executions there are for a key, and has answered."""
    news = scene.world.gate.access_log.entries()[seen:]
    return any(entry["query"].get("eventId") and entry["status"] == 200 for entry in news)


# ── killed beside the step before a version ──────────────────────────────────────────────────────────────────────

STEP = "before: {pipeline: migrate, parameters: {version: TO, fairleadKey: ONCE}, irreversible: true}"
MIGRATE = {
    "application": "checkout",
    "name": "migrate",
    "stages": [{"refId": "1", "requisiteStageRefIds": [], "type": "wait", "name": "Migrate", "waitTime": 0.5}],
}


@pytest.mark.parametrize(
    "boundary",
    [
        "after POST of wave 0",
        *(pytest.param(each, marks=pytest.mark.heavy) for each in ("before POST of wave 0", "before save of wave 0")),
    ],
)
def test_a_controller_killed_beside_the_step_before_a_version_has_it_run_once(
    make_world: Any, make_scene: Any, prepared_files: dict[str, str], boundary: str
) -> None:
    scene = GateScene(make_scene(make_world(prepared_files, lease=LEASE), FLEET, NEW))
    scene.world.gate.pipelines.save(MIGRATE)
    mortal = scene.mortal(boundary, "KILL")
    scene.at_rest()
    commit = scene.world.bump(FLEET, NEW)
    scene.dies(mortal, boundary)

    restarted = scene.controller()

    scene.finishes(restarted, commit)
    assert [("before", 0, 1), *ONCE_EACH] == scene.starts()
    assert 1 == len([each for each in scene.world.gate.executions.all() if each.body["name"] == "migrate"])
    assert [{NEW}, {NEW}] == [scene.world.versions(CLUSTER, region) for region in REGIONS]
    scene.assert_nothing_is_open()


# ── killed while it takes a version back ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("boundary", ["before cancel", "after cancel"])
def test_a_controller_killed_while_it_aborts_for_a_revert_still_takes_the_version_back(
    scene: GateScene, boundary: str
) -> None:
    mortal = scene.mortal(boundary, "KILL")
    scene.at_rest()
    scene.world.gate.faults.on("not_started", times=1, seconds=600)  # it waits in Orca until it is cancelled
    bad = scene.world.bump(FLEET, NEW)
    scene.wait(scene.starts, "the first start")
    scene.wait(lambda: scene.ledger.work_in_flight()[0].ticket, "the first start to be known")
    revert = scene.world.revert(bad)
    scene.dies(mortal, boundary)

    restarted = scene.controller()

    scene.finishes(restarted, revert)
    assert ONCE_EACH[:1] == scene.starts()
    assert ["CANCELED"] == [each.status for each in scene.world.gate.executions.all()]
    assert [{OLD}, {OLD}] == [scene.world.versions(CLUSTER, region) for region in REGIONS]
    told = [scene.told(commit)[f"fairlead/{FLEET}"] for commit in (revert, bad)]
    assert [True, True] == [
        told[0].startswith(f"success rolled back to {OLD} (reverts {bad[:7]})"),
        told[1].startswith(f"failure rolled back to {OLD} (reverted by {revert[:7]})"),
    ]
    scene.assert_nothing_is_open()


BACK = """\
  rollback:
    pipeline: "back-{environment}"
    parameters: {restore: RESTORE, disable: DISABLE, region: REGION, fairleadKey: FAIRLEAD_KEY}
"""


@pytest.mark.parametrize(
    "boundary",
    ["after POST", *(pytest.param(each, marks=pytest.mark.long) for each in ("before POST", "before save of the end"))],
)
def test_a_controller_killed_while_it_enables_the_old_groups_does_it_once(
    make_world: Any, make_scene: Any, one_fleet: Any, boundary: str
) -> None:
    """The way back is another pipeline than the way there: an attempt is looked for in both."""
    world = make_world({**one_fleet, "services/checkout.yaml": one_fleet["services/checkout.yaml"] + BACK}, lease=LEASE)
    scene = GateScene(make_scene(world, FLEET, OLD))
    first = scene.controller()
    scene.at_rest()
    bad = world.bump(FLEET, NEW)
    scene.finishes(first, bad)
    mortal = scene.mortal(boundary, "KILL")
    revert = world.revert(bad)
    scene.dies(mortal, boundary)

    restarted = scene.controller()

    scene.finishes(restarted, revert)
    assert [("eu-west-1", 1, 1), ("us-east-1", 1, 1)] == sorted(scene.starts()[2:])
    assert ["deploy-prod"] * 2 + ["back-prod"] * 2 == [each.body["name"] for each in world.gate.executions.all()]
    assert [{OLD}, {OLD}] == [world.versions(CLUSTER, region) for region in REGIONS]
    told = scene.told(revert)[f"fairlead/{FLEET}"]
    assert re.fullmatch(
        rf"success rolled back to {OLD} by enabling v000 \(reverts {bad[:7]}\) on 2/2 units in \d+ s", told
    )
    scene.assert_nothing_is_open()


# ── stopped past its lease ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("boundary", "family"),
    [
        ("before intent", "fleet"),
        ("before POST", "fleet"),
        ("after POST", "fleet"),
        ("before push", "statuses"),
        ("after push", "statuses"),
    ],
)
def test_a_controller_that_wakes_after_its_lease_writes_nothing_and_posts_nothing(
    scene: GateScene, boundary: str, family: str, tmp_path: Path
) -> None:
    first = scene.mortal(boundary, "STOP")
    scene.at_rest()
    commit = scene.world.bump(FLEET, NEW)
    scene.wait(lambda: first.stopped, f"the stop {boundary}")
    second = scene.controller(FAIRLEAD_STATE=str(tmp_path / "second"))  # a replica has its own mirror
    scene.finishes(second, commit)
    before = (scene.rows(), scene.changes_at_gate(), scene.notes())
    earlier = scene.lost(first, family)

    first.send(signal.SIGCONT)

    scene.wait(lambda: scene.lost(first, family) != earlier, "the first controller to notice that it lost its lease")
    assert 0 == first.terminate()
    assert before == (scene.rows(), scene.changes_at_gate(), scene.notes())
    assert_deployed_once(scene, commit)


# ── asked to end ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_controller_ends_whichever_of_its_threads_receives_the_signal(scene: GateScene) -> None:
    """After a SIGCONT, Linux may hand SIGTERM to a thread that is not the main one."""
    controller = scene.controller()
    scene.at_rest()
    threads = [int(path.name) for path in Path(f"/proc/{controller.pid}/task").iterdir()]
    other = next(thread for thread in sorted(threads) if thread != controller.pid)

    assert 0 == ctypes.CDLL(None).tgkill(controller.pid, other, signal.SIGTERM)

    scene.wait(lambda: controller.exit_code is not None, "the end of the controller")
    assert 0 == controller.exit_code
