"""Trigger deploys as people live them: a controller, a repository, instances with real agents on them."""

from collections.abc import Iterator
from typing import Any

import pytest

FLEET, HOSTS = "prod/matchmaker", 4
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\ndefaults: {retries: 0}\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1, eu-west-1]\ntrigger: {bucket: example-fairlead-prod}\n'
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
  health: {http: "http://localhost:8080/health", within: 2s}
  silent_after: 8s
  max_unavailable: 50%
  waves: [{hosts: 1}, {hosts: 100%}]
""",
}


class Scene:
    """The fleet, and what people look at."""

    def __init__(self, story: Any) -> None:
        self.story, self.world = story, story.world

    @property
    def hosts(self) -> tuple[Any, ...]:
        return self.world.hosts(FLEET)

    def versions(self) -> list[str | None]:
        return [host.version() for host in self.hosts]

    def bump(self, version: str, behaviour: str = "healthy", after: float = 2.0) -> str:
        self.world.build("matchmaker", version, behaviour, after)
        return str(self.world.bump(FLEET, version))

    def bumped(self, version: str) -> str:
        """A good version that is everywhere, and told."""
        commit = self.bump(version)
        self.story.wait_said(commit, FLEET, "success", version)
        assert [version] * len(self.hosts) == self.versions()
        return commit

    def began(self, version: str) -> list[Any]:
        """The hosts that ever began to bring a version."""
        return [host for host in self.hosts if f" staging fleet={FLEET} version={version} " in host.log()]


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


def test_a_merged_bump_runs_on_every_host_and_the_commit_says_so(scene: Scene) -> None:
    commit = scene.bump("3.0.0")

    line = scene.story.wait_said(commit, FLEET, "success")

    assert ["3.0.0"] * HOSTS == scene.versions()
    assert line.description.startswith(f"3.0.0 on {HOSTS}/{HOSTS} units in ")


def test_a_canary_that_fails_stops_the_rollout_at_one_host_which_goes_back_by_itself(scene: Scene) -> None:
    scene.bumped("3.1.0")

    bad = scene.bump("3.1.1", "unhealthy")

    line = scene.story.wait_said(bad, FLEET, "failure", "3.1.1")
    assert "answers 503" in line.description
    (canary,) = scene.began("3.1.1")
    assert f"rolled-back fleet={FLEET} version=3.1.0" in canary.log()
    assert ["3.1.0"] * HOSTS == scene.versions()


def test_a_revert_takes_every_host_back_and_both_commits_say_so(scene: Scene) -> None:
    scene.bumped("3.2.0")
    good = scene.bumped("3.2.1")

    revert = scene.world.revert(good)

    line = scene.story.wait_said(revert, FLEET, "success", "rolled back to 3.2.0")
    assert f"reverts {good[:7]}" in line.description
    assert ["3.2.0"] * HOSTS == scene.versions()
    scene.story.wait_said(good, FLEET, "success", f"reverted by {revert[:7]}")


def test_a_changed_value_of_the_configuration_rolls_out_like_a_version(scene: Scene) -> None:
    commit = scene.world.checkout.commit("Greet", {"environments/prod/matchmaker.config.yaml": "greeting: good day\n"})
    scene.world.checkout.push()

    scene.story.wait_said(commit, FLEET, "success")

    assert {"good day"} == {host.service()["greeting"] for host in scene.hosts}


def test_what_was_changed_by_hand_on_a_host_is_healed(scene: Scene) -> None:
    scene.bumped("3.3.0")
    host = scene.hosts[0]

    host.file("matchmaker.yaml").write_text("greeting: by hand\n")

    scene.story.wait(lambda: "by hand" not in host.file("matchmaker.yaml").read_text(), "the healing")
    scene.story.wait(lambda: host.healthy() and host.version() == "3.3.0", "that it serves again")
    assert [1] * (HOSTS - 1) == [each.log().count("version=3.3.0 ") // 6 for each in scene.hosts if each is not host]


def test_a_host_whose_agent_is_dead_counts_as_failed_and_is_brought_along_when_it_speaks_again(scene: Scene) -> None:
    scene.bumped("3.4.0")
    dead = scene.hosts[-1]
    dead.kill_agent()

    commit = scene.bump("3.4.1")

    line = scene.story.wait_said(commit, FLEET, "failure", timeout=90.0)
    assert dead.id in line.description and "silent" in line.description  # noqa: PT018 one sentence
    assert "3.4.0" == dead.version()
    dead.start_agent()
    scene.story.wait(lambda: {"3.4.0"} == set(scene.versions()), "that all are at the last good version", 90.0)


def test_an_instance_that_joins_runs_the_version_and_one_that_goes_leaves_the_count(scene: Scene) -> None:
    scene.bumped("3.5.0")

    joiner = scene.world.add_host(FLEET)

    scene.story.wait(lambda: joiner.healthy() and joiner.version() == "3.5.0", "that it runs the version")
    scene.world.terminate(joiner)
    commit = scene.bump("3.5.1")
    line = scene.story.wait_said(commit, FLEET, "success", "3.5.1")
    assert f"on {HOSTS}/{HOSTS} units" in line.description
