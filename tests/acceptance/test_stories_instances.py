"""Instances come and go while a version rolls out: a controller, real agents, a group with lifecycle hooks.

The canary's agent is stopped in its tracks, so that a rollout stays in its first wave for as long as a test wants.
"""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.agent_protocol.addresses import order_key
from adapters.agent_protocol.reading import parse_order

FLEET, GROUP, REGION, HOSTS = "prod/matchmaker", "matchmaker-prod", "us-east-1", 3
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\ndefaults: {retries: 0}\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1]\ntrigger: {bucket: example-fairlead-prod}\n'
    ),
    "environments/prod/matchmaker.yaml": "version: 2.3.1\n",
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
  drain: {target_groups: attached, within: 20s}
  health: {http: "http://localhost:8080/health", within: 30s}
  silent_after: 10m
  max_unavailable: 1
  waves: [{hosts: 1}, {hosts: 100%}]
""",
}


class Scene:
    """A fleet in whose rollouts instances come and go."""

    def __init__(self, story: Any) -> None:
        self.story, self.world = story, story.world

    @property
    def hosts(self) -> tuple[Any, ...]:
        return self.world.hosts(FLEET)

    def admitted(self) -> frozenset[str]:
        """Whom the order names; empty, where it speaks to all."""
        bucket = self.world.trigger.fleets[FLEET].bucket
        body = self.world.aws.client("s3").get_object(Bucket=bucket, Key=order_key(FLEET))["Body"].read()
        return parse_order(body).admitted or frozenset()

    def bump_to_the_canary(self, version: str) -> tuple[str, Any]:
        """A rollout that stays in its first wave: the commit, and the host of that wave."""
        for host in self.hosts:
            os.kill(host.agent_pid, signal.SIGSTOP)
        self.world.build("matchmaker", version)
        commit = self.world.bump(FLEET, version)
        (name,) = self.story.wait(self.admitted, "the first wave")
        for host in self.hosts:
            if host.id != name:
                os.kill(host.agent_pid, signal.SIGCONT)
        return commit, self.world.host(name)

    def units(self) -> set[str]:
        """The instances that count."""
        return {unit.id for unit in self.story.record(FLEET).memory.status.units}

    def scale_out(self) -> Any:
        return self.world.scale_out(GROUP, FLEET, REGION)

    def serves(self, host: Any) -> bool:
        return bool(self.world.trigger.lifecycle(host) == "InService")

    def began(self, host: Any, version: str) -> bool:
        return f" staging fleet={FLEET} version={version} " in host.log()


@pytest.fixture(scope="module")
def story(begin_story: Any) -> Iterator[Any]:
    found = begin_story(FILES, hosts={FLEET: HOSTS})
    found.start()
    found.wait_said(found.world.checkout.head, FLEET, "success")
    yield found
    for host in found.world.hosts():
        print(f"── {host.id}\n{host.log()[-4000:]}")


@pytest.fixture
def scene(story: Any) -> Scene:
    """A fleet at rest, wherever the test before left it."""
    story.wait(lambda: not (story.record(FLEET).work or story.record(FLEET).memory.rollout), "a fleet at rest")
    return Scene(story)


def test_who_joins_in_mid_rollout_runs_the_last_good_version_until_the_last_wave(scene: Scene) -> None:
    good = scene.story.record(FLEET).memory.last_good.fleet.version
    commit, canary = scene.bump_to_the_canary("4.0.0")

    joiner = scene.scale_out()
    assert "Pending:Wait" == scene.world.trigger.lifecycle(joiner)
    scene.story.wait(lambda: scene.serves(joiner), "the launch hook to be completed")

    assert (good, True) == (joiner.version(), joiner.healthy())
    scene.story.wait(lambda: joiner.id in scene.units(), "the joiner to count")
    assert {canary.id} == scene.admitted()
    os.kill(canary.agent_pid, signal.SIGCONT)
    line = scene.story.wait_said(commit, FLEET, "success")
    assert line.description.startswith(f"4.0.0 on {HOSTS + 1}/{HOSTS + 1} units in ")
    assert "4.0.0" == joiner.version()
    assert joiner.log().index(f"version={good} ") < joiner.log().index("version=4.0.0 ")


def test_an_instance_that_is_replaced_in_mid_wave_takes_its_part_of_the_wave_with_it(scene: Scene) -> None:
    commit, canary = scene.bump_to_the_canary("4.1.0")

    scene.world.terminate(canary)
    joiner = scene.scale_out()

    scene.story.wait_said(commit, FLEET, "success", "4.1.0 on ")
    scene.story.wait(lambda: scene.serves(joiner) and joiner.id in scene.units(), "that its successor serves")
    scene.story.wait(lambda: {"4.1.0"} == {host.version() for host in scene.hosts}, "the version on every host")
    assert canary.id not in scene.units()


def test_a_spot_notice_in_mid_wave_takes_the_host_out_of_both_sides(scene: Scene) -> None:
    commit, canary = scene.bump_to_the_canary("4.2.0")
    leaver = next(host for host in scene.hosts if host.id != canary.id)

    scene.world.spot_notice(leaver)
    scene.story.wait(lambda: leaver.id not in scene.units(), "that it counts no more")

    os.kill(canary.agent_pid, signal.SIGCONT)
    line = scene.story.wait_said(commit, FLEET, "success")
    staying = len(scene.hosts) - 1
    assert line.description.startswith(f"4.2.0 on {staying}/{staying} units in ")
    assert not scene.began(leaver, "4.2.0")
    scene.world.terminate(leaver)
