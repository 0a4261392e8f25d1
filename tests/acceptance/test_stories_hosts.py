"""Hosts that fall silent, go, come or never get healthy while a controller deploys to them: everything is real.

Together with the agents' own tests these are the cases that have broken other systems of host agents.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from reconciler.reasons import Reason

pytestmark = pytest.mark.long
FLEET, HOSTS, LONG = "prod/matchmaker", 4, 300.0
SERVICE = """\
owner: multiplayer
packages:
  {name}: {{format: file, from: "s3://example-builds/{name}/{{version}}/{name}.jar", to: {name}.jar}}
deploy:
  type: trigger
  root: /srv/{name}
  select: {{tags: {{service: {name}, environment: "{{environment}}"}}}}
  run: {run}
  health: {{http: "http://localhost:{port}/health", within: {within}}}
  silent_after: 15s
  max_unavailable: 50%
  waves: [{{hosts: 1}}, {{hosts: 100%}}]
"""
DRAINED = "  drain: {target_groups: attached, within: 20s}\n"
MATCHMAKER = SERVICE.format(
    name="matchmaker", run="{unit: matchmaker.service, stop_within: 5s}", port=8080, within="20s"
)
RESTART = "systemctl restart lobby.service"
LOBBY = SERVICE.format(name="lobby", run="{command: COMMAND, stop_within: 2s}", port=8081, within="5s")
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\ndefaults: {retries: 0}\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1]\ntrigger: {bucket: example-fairlead-prod}\n'
    ),
    "environments/prod/matchmaker.yaml": "version: 1.0.0\n",
    "environments/prod/lobby.yaml": "version: 1.0.0\n",
    "services/matchmaker.yaml": MATCHMAKER + DRAINED,
    "services/lobby.yaml": LOBBY.replace("COMMAND", f'"{RESTART}"'),
}


class Scene:
    """The fleet, and what people look at."""

    def __init__(self, story: Any) -> None:
        self.story, self.world = story, story.world

    @property
    def hosts(self) -> tuple[Any, ...]:
        return self.world.hosts(FLEET)

    def versions(self) -> set[str | None]:
        return {host.version() for host in self.hosts}

    def bump(self, version: str, behaviour: str = "healthy", after: float = 2.0) -> str:
        self.world.build("matchmaker", version, behaviour, after)
        return str(self.world.bump(FLEET, version))

    def bumped(self, version: str, behaviour: str = "healthy", after: float = 2.0) -> str:
        """A good version that is everywhere, and told."""
        commit = self.bump(version, behaviour, after)
        self.story.wait_said(commit, FLEET, "success", version, LONG)
        return commit

    def began(self, version: str) -> list[Any]:
        """The hosts that ever began to bring a version."""
        return [host for host in self.hosts if f" staging fleet={FLEET} version={version} " in host.log()]

    def at(self, stage: str, version: str) -> list[Any]:
        """The hosts that came to a stage with it."""
        return [host for host in self.hosts if f" {stage} fleet={FLEET} version={version} " in host.log()]

    def states(self) -> dict[str, int]:
        """What `fairlead hosts` counts."""
        said: dict[str, int] = self.story.fairlead("hosts", FLEET)[1]["counts"]
        return said

    def held(self) -> Any:
        """What `fairlead why` says that a rollout waits for."""
        return self.story.fairlead("why", FLEET)[1]["holding"]

    def wait_silent(self, count: int) -> None:
        self.story.wait(lambda: self.states()["silent"] == count, f"{count} silent hosts", LONG)


@pytest.fixture(scope="module")
def story(begin_story: Any) -> Iterator[Any]:
    found = begin_story(FILES, hosts={FLEET: HOSTS, "prod/lobby": 1})
    found.start()
    for fleet in (FLEET, "prod/lobby"):
        found.wait_said(found.world.checkout.head, fleet, "success", timeout=LONG)
    yield found
    for host in found.world.hosts():
        print(f"── {host.id}\n{host.log()[-4000:]}")


@pytest.fixture
def scene(story: Any) -> Scene:
    """A fleet at rest, wherever the test before left it."""
    story.wait(lambda: not (story.record(FLEET).work or story.record(FLEET).memory.rollout), "a fleet at rest", LONG)
    return Scene(story)


# ── silence ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_while_half_of_the_hosts_are_silent_nobody_else_is_taken_out(scene: Scene) -> None:
    scene.bumped("1.1.0")
    silent = scene.hosts[:2]
    for host in silent:
        host.kill_agent()
    scene.wait_silent(2)

    commit = scene.bump("1.1.1")
    scene.story.wait_said(commit, FLEET, "pending", "MaxUnavailable: 2 of 4 units are out of service", LONG)

    held = scene.held()
    assert sorted(host.id for host in silent) == sorted(held["silent"]["hosts"])
    assert (2, "max_unavailable") == (held["room"]["at_once"], held["room"]["stricter"])
    assert ([], {"1.1.0"}) == (scene.began("1.1.1"), scene.versions())
    for host in silent:
        host.start_agent()
    scene.story.wait_said(commit, FLEET, "success", f"1.1.1 on {HOSTS}/{HOSTS} units", LONG)


def test_while_all_hosts_are_silent_nothing_is_a_success(scene: Scene) -> None:
    scene.bumped("1.2.0")
    for host in scene.hosts:
        host.kill_agent()
    scene.wait_silent(4)

    commit = scene.bump("1.2.1")
    scene.story.wait_said(commit, FLEET, "pending", "MaxUnavailable: 4 of 4 units are out of service", LONG)

    assert {"1.2.0"} == scene.versions()
    for host in scene.hosts:
        host.start_agent()
    scene.story.wait_said(commit, FLEET, "success", f"1.2.1 on {HOSTS}/{HOSTS} units", LONG)


def test_hosts_that_fall_silent_under_a_rollout_fail_it(scene: Scene) -> None:
    """It was admitted, and never says what came of it."""
    scene.bumped("1.3.0")
    commit = scene.bump("1.3.1", "slow", 6.0)
    scene.story.wait(lambda: scene.at("checking", "1.3.1"), "the canary", LONG)
    (canary,) = scene.began("1.3.1")
    for host in scene.hosts:
        host.kill_agent()

    scene.story.wait_said(commit, FLEET, "failure", f"{canary.id} is silent", LONG)

    for host in scene.hosts:
        host.start_agent()
    scene.story.wait(lambda: scene.versions() == {"1.3.0"} and scene.states()["at target"] == HOSTS, "it is back", LONG)


# ── who comes and who goes ───────────────────────────────────────────────────────────────────────────────────────


def test_an_instance_that_is_replaced_in_the_middle_of_its_wave_holds_up_nobody(scene: Scene) -> None:
    scene.bumped("2.0.0")
    commit = scene.bump("2.0.1", "slow", 5.0)
    scene.story.wait(lambda: scene.at("checking", "2.0.1"), "the canary", LONG)
    (canary,) = scene.began("2.0.1")

    scene.world.terminate(canary)
    fresh = scene.world.add_host(FLEET)

    scene.story.wait_said(commit, FLEET, "success", f"2.0.1 on {HOSTS}/{HOSTS} units", LONG)
    assert ({"2.0.1"}, "2.0.1") == (scene.versions(), fresh.version())
    assert () == scene.story.record(FLEET).memory.quarantines


def test_an_instance_that_joins_in_the_middle_of_a_wave_runs_the_last_good_version_first(scene: Scene) -> None:
    scene.bumped("2.1.0")
    commit = scene.bump("2.1.1", "slow", 8.0)
    scene.story.wait(lambda: scene.at("checking", "2.1.1"), "the canary", LONG)

    joiner = scene.world.add_host(FLEET)

    scene.story.wait_said(commit, FLEET, "success", f"2.1.1 on {HOSTS + 1}/{HOSTS + 1} units", LONG)
    brought = re.findall(rf" done fleet={FLEET} version=(\S+) ", joiner.log())
    assert (["2.1.0", "2.1.1"], {"2.1.1"}) == (brought, scene.versions())
    scene.world.terminate(joiner)


# ── what never gets well ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_load_balancer_that_never_finds_a_host_healthy_fails_the_version(scene: Scene) -> None:
    scene.bumped("3.0.0")
    arn = scene.world.trigger.target_group(FLEET, "us-east-1")
    scene.world.aws.client("elbv2").modify_target_group(
        TargetGroupArn=arn, HealthCheckIntervalSeconds=5, HealthyThresholdCount=2
    )
    for host in scene.hosts:
        scene.world.aws.make_target_sick(host.id)

    commit = scene.bump("3.0.1")

    scene.story.wait_said(commit, FLEET, "failure", "target groups did not find it healthy", LONG)
    assert (1, {"3.0.0"}) == (len(scene.began("3.0.1")), scene.versions())
    for host in scene.hosts:
        scene.world.aws.make_target_well(host.id)
    scene.story.wait_said(commit, FLEET, "failure", f"rolled back to 3.0.0 on {HOSTS}/{HOSTS} units", LONG)


def test_a_command_that_is_deaf_to_sigterm_is_killed_in_its_time_and_the_host_goes_back(story: Any) -> None:
    deaf = "trap '' TERM; systemctl restart lobby.service; while :; do sleep 0.9731; done"
    story.world.build("lobby", "1.0.1")

    commit = story.world.merge(
        "Restart it badly",
        {
            "services/lobby.yaml": LOBBY.replace("COMMAND", f'"{deaf}"'),
            "environments/prod/lobby.yaml": "version: 1.0.1\n",
        },
    )

    story.wait_said(commit, "prod/lobby", "failure", "the command that restarts it did not end in time", LONG)
    (host,) = story.world.hosts("prod/lobby")
    story.wait(lambda: host.version() == "1.0.0", "the version before", LONG)
    assert [] == _running("sleep 0.9731")


def _running(command: str) -> list[str]:
    """Processes of this machine with that command line."""
    from pathlib import Path

    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            said = path.read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        found += [path.parent.name] if said == command else []
    return found


def test_a_version_that_failed_is_left_alone_while_git_names_it_also_by_the_next_controller(scene: Scene) -> None:
    scene.bumped("3.5.0")
    bad = scene.bump("3.5.1", "never_starts")
    scene.story.wait_said(bad, FLEET, "failure", "3.5.1 failed", LONG)
    scene.story.wait(lambda: scene.versions() == {"3.5.0"}, "that it is back", LONG)
    (canary,) = scene.began("3.5.1")

    scene.story.stop()
    scene.story.start()
    seen = scene.world.merge("Say nothing new", {"README.md": "# What runs where\n"})
    scene.story.wait(lambda: scene.story.said(seen, "validate"), "that the new controller has read it", LONG)
    good = scene.bump("3.5.2")

    scene.story.wait_said(good, FLEET, "success", f"3.5.2 on {HOSTS}/{HOSTS} units", LONG)
    assert [canary] == scene.began("3.5.1")
    assert 1 == canary.log().count(f" staging fleet={FLEET} version=3.5.1 ")


TOLERANT = (MATCHMAKER + DRAINED).replace(
    "  max_unavailable: 50%\n  waves: [{hosts: 1}, {hosts: 100%}]\n",
    "  max_unavailable: 100%\n  waves: [{hosts: 100%}]\n  failure_threshold: 1\n",
)


@pytest.fixture
def tolerant(scene: Scene) -> Iterator[Scene]:
    """All hosts in one wave, of which one may fail."""
    scene.bumped("3.7.0")
    scene.world.merge("Tolerate one", {"services/matchmaker.yaml": TOLERANT})
    yield scene
    for host in scene.hosts:
        host.make_well()
    scene.world.merge("Tolerate none", {"services/matchmaker.yaml": MATCHMAKER + DRAINED})


def checked_with_sick(scene: Scene, version: str, sick: int) -> tuple[str, list[Any]]:
    """All hosts came as far as their checks with it, and so many of them will not get healthy."""
    commit = scene.bump(version, "slow", 8.0)
    scene.story.wait(lambda: len(scene.at("checking", version)) == len(scene.hosts), "that all check", LONG)
    chosen = list(scene.hosts[:sick])
    for host in chosen:
        host.make_sick()
    return commit, chosen


def test_as_many_failures_as_the_threshold_allows_leave_the_rollout_a_success(tolerant: Scene) -> None:
    commit, (bad,) = checked_with_sick(tolerant, "3.7.1", 1)

    tolerant.story.wait_said(commit, FLEET, "success", "3.7.1", LONG)

    assert {"3.7.1"} == {host.version() for host in tolerant.hosts if host is not bad}
    assert () == tolerant.story.record(FLEET).memory.quarantines


def test_one_failure_more_than_the_threshold_fails_it_and_all_go_back(tolerant: Scene) -> None:
    commit, bad = checked_with_sick(tolerant, "3.7.2", 2)

    tolerant.story.wait_said(commit, FLEET, "failure", "3.7.2 failed", LONG)

    for host in bad:
        host.make_well()
    tolerant.story.wait(lambda: tolerant.versions() == {"3.7.0"}, "that all are back", LONG)


# ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fix_that_is_pushed_while_the_fleet_goes_back_is_what_runs_in_the_end(scene: Scene) -> None:
    """The second host fails, so the canary is on its way back when the fix comes."""
    scene.bumped("4.0.0", "slow", 4.0)
    bad = scene.bump("4.0.1")
    scene.story.wait(lambda: len(scene.at("staging", "4.0.1")) > 1, "the second wave", LONG)
    second = next(host for host in scene.began("4.0.1") if host.version() == "4.0.0")
    second.make_sick()
    scene.story.wait_said(bad, FLEET, "failure", "rolling back to 4.0.0", LONG)

    fix = scene.bump("4.0.2")
    second.make_well()

    scene.story.wait_said(fix, FLEET, "success", f"4.0.2 on {HOSTS}/{HOSTS} units", LONG)
    assert {"4.0.2"} == scene.versions()
    assert "pending" != scene.story.said(bad, FLEET).state


# ── nobody there ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fleet_without_hosts_is_no_success_until_that_is_said_to_be_meant(scene: Scene) -> None:
    scene.bumped("5.0.0")
    for host in scene.hosts:
        scene.world.terminate(host)

    commit = scene.bump("5.0.1")

    scene.story.wait(lambda: scene.story.reason(FLEET) == Reason.NO_UNITS, "that nobody is there", LONG)
    scene.story.wait_said(commit, FLEET, "failure", "no units", LONG)
    meant = scene.world.merge(
        "It is meant", {"services/matchmaker.yaml": f"zero_units: allowed\n{MATCHMAKER}{DRAINED}"}
    )
    scene.story.wait_said(commit, FLEET, "success", "5.0.1", LONG)
    assert meant
    joiner = scene.world.add_host(FLEET)
    scene.story.wait(lambda: joiner.version() == "5.0.1", "the first to come", LONG)
