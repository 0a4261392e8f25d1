"""A trigger deploy survives the end, or the long sleep, of its controller between any two of its side effects.

Judged from every version of the order that S3 ever held, from the agents' logs, and from the notes on the commit: no
host does a thing twice, none is forgotten, and the last word on the commit is right.
"""

import json
import re
import signal
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from adapters.agent_protocol.addresses import order_key

LEASE = "3s"  # long enough for one pass on a busy machine
FLEET, OLD, NEW = "prod/matchmaker", "2.3.1", "2.4.0"
BUCKET = "example-fairlead-prod"
HOSTS = 3
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n",
    "environments/prod/environment.yaml": (
        f'account: "123456789012"\nregions: [us-east-1]\ntrigger: {{bucket: {BUCKET}}}\n'
    ),
    "environments/prod/matchmaker.yaml": f"version: {OLD}\n",
    "services/matchmaker.config.yaml": "greeting: hello\n",
    "services/matchmaker.yaml": """\
owner: multiplayer
packages:
  matchmaker: {format: file, from: "s3://example-builds/matchmaker/{version}/matchmaker.jar", to: matchmaker.jar}
config: {to: matchmaker.yaml, format: yaml}
deploy:
  type: trigger
  root: /srv/matchmaker
  select: {tags: {service: matchmaker, environment: "{environment}"}}
  run: {unit: matchmaker.service, stop_within: 5s}
  health: {http: "http://localhost:8080/health", within: 20s}
  max_unavailable: 100%
  waves: [{hosts: 1}, {hosts: 100%}]
""",
}


class HostsScene:
    """What S3 and the agents tell, beside the scene."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scene, name)

    def orders(self) -> list[Mapping[str, Any]]:
        """Every order that S3 ever held, oldest first."""
        s3, key = self.world.aws.client("s3"), order_key(FLEET)
        versions = s3.list_object_versions(Bucket=BUCKET, Prefix=key)["Versions"]
        bodies = [
            s3.get_object(Bucket=BUCKET, Key=key, VersionId=each["VersionId"])["Body"].read() for each in versions
        ]
        return [json.loads(body) for body in reversed(bodies)]

    def of(self, version: str) -> list[Mapping[str, Any]]:
        return [order for order in self.orders() if order["target"]["version"] == version]

    def begun(self, version: str) -> list[int]:
        """How often each host began to bring the version."""
        return [host.log().count(f" staging fleet={FLEET} version={version} ") for host in self.world.hosts()]

    def versions(self) -> list[str | None]:
        return [host.version() for host in self.world.hosts()]


@pytest.fixture
def scene(make_world: Any, make_scene: Any) -> HostsScene:
    world = make_world(FILES, hosts={FLEET: HOSTS}, lease=LEASE)
    versioning = {"Status": "Enabled"}
    world.aws.client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=versioning)
    world.build("matchmaker", NEW)
    return HostsScene(make_scene(world, FLEET, NEW))


def assert_deployed_once(scene: HostsScene, commit: str) -> None:
    """One canary, then the rest; each host once; the version everywhere; the right last word."""
    assert [NEW] * HOSTS == scene.versions()
    assert [1] * HOSTS == scene.begun(NEW)
    assert_orders_grow(scene)
    orders = scene.of(NEW)
    assert 1 == len(orders[0]["admitted"])
    assert {} == {host: number for order in orders for host, number in order["attempts"].items() if number != 1}
    told = scene.told(commit)
    assert re.fullmatch(rf"success {NEW} on {HOSTS}/{HOSTS} units in \d+ s", told[f"fairlead/{FLEET}"])
    assert "success 1/1 fleets done" == told["fairlead/prod"]
    scene.assert_nothing_is_open()


def assert_orders_grow(scene: HostsScene) -> None:
    """Sequences only grow, and no order says what the one before it said."""
    orders = scene.orders()
    numbers = [order["sequence"] for order in orders]
    assert numbers == sorted(set(numbers))
    said = [json.dumps({**order, "sequence": 0, "issued": "", "expires": "", "signature": ""}) for order in orders]
    assert [] == [one for one, other in pairwise(said) if one == other]


# ── killed ───────────────────────────────────────────────────────────────────────────────────────────────────────

SIDE_EFFECTS = ("intent", "order", "hint", "save", "push")  # of the first wave, in their order
IN_A_ROW = (  # each can only come after the one before it
    *("after revision", "after order", "before intent of wave 2", "after order of wave 2"),
    *("before save of the end of wave 2", "before last push", "after last push", "after last settling"),
)


@pytest.mark.parametrize("effect", SIDE_EFFECTS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_controller_killed_beside_a_side_effect_deploys_once_after_its_restart(
    scene: HostsScene, moment: str, effect: str
) -> None:
    boundary = f"{moment} {effect}"
    mortal = scene.mortal(boundary, "KILL")
    scene.at_rest()
    commit = scene.world.bump(FLEET, NEW)
    scene.dies(mortal, boundary)

    restarted = scene.controller()

    scene.finishes(restarted, commit)
    assert_deployed_once(scene, commit)


def test_controllers_killed_one_after_the_other_deploy_once(scene: HostsScene) -> None:
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


def test_a_deploy_goes_on_when_the_ledger_is_lost_with_its_controller(scene: HostsScene) -> None:
    """What is under way is found again by what the order in S3 says."""
    mortal = scene.mortal("after order", "KILL")
    scene.at_rest()
    commit = scene.world.bump(FLEET, NEW)
    scene.dies(mortal, "after order")
    for path in Path(scene.world.state).glob("ledger.db*"):
        path.unlink()

    restarted = scene.controller()

    scene.wait(lambda: scene.versions() == [NEW] * HOSTS, "the version on every host")
    scene.wait(lambda: scene.told(commit).get(f"fairlead/{FLEET}", "").startswith("success"), "the last word")
    assert 0 == restarted.terminate()
    assert [1] * HOSTS == scene.begun(NEW)
    assert_orders_grow(scene)


# ── killed while it takes a version back ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("boundary", ["before order back", "after order back"])
def test_a_controller_killed_while_it_aborts_for_a_revert_still_takes_the_version_back(
    scene: HostsScene, boundary: str
) -> None:
    scene.world.build("matchmaker", NEW, "slow", after=600.0)  # the canary waits for its health until it is told off
    mortal = scene.mortal(boundary, "KILL")
    scene.at_rest()
    bad = scene.world.bump(FLEET, NEW)
    scene.wait(lambda: sum(scene.begun(NEW)) == 1, "the canary to begin")
    scene.wait(lambda: scene.ledger.work_in_flight()[0].ticket, "the first start to be known")
    revert = scene.world.revert(bad)
    scene.dies(mortal, boundary)

    restarted = scene.controller()

    scene.finishes(restarted, revert)
    assert [OLD] * HOSTS == scene.versions()
    assert 1 == sum(scene.begun(NEW))
    assert_orders_grow(scene)
    told = [scene.told(commit)[f"fairlead/{FLEET}"] for commit in (revert, bad)]
    assert told[0].startswith(f"success rolled back to {OLD} (reverts {bad[:7]})"), told
    assert told[1].startswith(f"failure rolled back to {OLD} (reverted by {revert[:7]})"), told
    scene.assert_nothing_is_open()


# ── stopped past its lease ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("boundary", "family"),
    [
        ("before intent", "fleet"),
        ("before order", "fleet"),
        ("after order", "fleet"),
        ("before push", "statuses"),
        ("after push", "statuses"),
    ],
)
def test_a_controller_that_wakes_after_its_lease_writes_nothing_and_orders_nothing(
    scene: HostsScene, boundary: str, family: str, tmp_path: Path
) -> None:
    """Woken between the check of its lease and the PUT, it loses by the condition of the PUT."""
    first = scene.mortal(boundary, "STOP")
    scene.at_rest()
    commit = scene.world.bump(FLEET, NEW)
    scene.wait(lambda: first.stopped, f"the stop {boundary}")
    second = scene.controller(FAIRLEAD_STATE=str(tmp_path / "second"))  # a replica has its own mirror
    scene.finishes(second, commit)
    before = (scene.rows(), scene.orders(), scene.notes())
    earlier = scene.lost(first, family)

    first.send(signal.SIGCONT)

    scene.wait(lambda: scene.lost(first, family) != earlier, "the first controller to notice that it lost its lease")
    assert 0 == first.terminate()
    assert before == (scene.rows(), scene.orders(), scene.notes())
    assert_deployed_once(scene, commit)
