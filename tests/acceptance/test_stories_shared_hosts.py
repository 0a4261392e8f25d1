"""Two fleets on one instance: each goes its own way, and neither touches the other."""

from collections.abc import Iterator
from typing import Any

import pytest

pytestmark = pytest.mark.long
MATCHMAKER, LOBBY, LONG = "prod/matchmaker", "prod/lobby", 240.0
SERVICE = """\
owner: multiplayer
packages:
  {name}: {{format: file, from: "s3://example-builds/{name}/{{version}}/{name}.jar", to: {name}.jar}}
deploy:
  type: trigger
  root: /srv/{name}
  select: {{tags: {{{name}: "yes", environment: "{{environment}}"}}}}
  run: {{unit: {name}.service, stop_within: 5s}}
  health: {{http: "http://localhost:{port}/health", within: 5s}}
  max_unavailable: 50%
"""
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\ndefaults: {retries: 0}\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1]\ntrigger: {bucket: example-fairlead-prod}\n'
    ),
    "environments/prod/matchmaker.yaml": "version: 1.0.0\n",
    "environments/prod/lobby.yaml": "version: 7.0.0\n",
    "services/matchmaker.yaml": SERVICE.format(name="matchmaker", port=8080),
    "services/lobby.yaml": SERVICE.format(name="lobby", port=8081),
}


@pytest.fixture(scope="module")
def story(begin_story: Any) -> Iterator[Any]:
    found = begin_story(FILES, hosts={f"{MATCHMAKER}+{LOBBY}": 2})
    found.start()
    for fleet in (MATCHMAKER, LOBBY):
        found.wait_said(found.world.checkout.head, fleet, "success", timeout=LONG)
    yield found
    for host in found.world.hosts():
        print(f"── {host.id}\n{host.log()[-4000:]}")


def both(story: Any) -> list[tuple[str | None, str | None]]:
    return [(host.version(MATCHMAKER), host.version(LOBBY)) for host in story.world.hosts()]


def test_two_fleets_on_the_same_hosts_are_deployed_at_the_same_time(story: Any) -> None:
    story.world.build("matchmaker", "1.1.0")
    story.world.build("lobby", "7.1.0")

    commit = story.world.merge(
        "Bump both",
        {"environments/prod/matchmaker.yaml": "version: 1.1.0\n", "environments/prod/lobby.yaml": "version: 7.1.0\n"},
    )

    for fleet in (MATCHMAKER, LOBBY):
        story.wait_said(commit, fleet, "success", "on 2/2 units", LONG)
    assert [("1.1.0", "7.1.0")] * 2 == both(story)


def test_one_that_fails_goes_back_and_the_other_is_not_touched(story: Any) -> None:
    (before,) = set(both(story))
    pids = [host.service_pid(LOBBY) for host in story.world.hosts()]
    story.world.build("matchmaker", "1.9.0", "unhealthy")

    bad = story.world.bump(MATCHMAKER, "1.9.0")

    story.wait_said(bad, MATCHMAKER, "failure", "1.9.0 failed", LONG)
    story.wait(lambda: set(both(story)) == {before}, "that it is back", LONG)
    assert pids == [host.service_pid(LOBBY) for host in story.world.hosts()]
    assert story.record(LOBBY).memory.status.ready
    rows = {row["fleet"]: row["state"] for row in story.fairlead("hosts", "prod")[1]["hosts"]}
    assert {MATCHMAKER: "at target", LOBBY: "at target"} == rows


def test_a_host_that_goes_leaves_both_fleets_and_one_that_comes_joins_both(story: Any) -> None:
    (before,) = set(both(story))
    story.world.terminate(story.world.hosts()[0])
    joiner = story.world.add_host(MATCHMAKER, LOBBY)

    story.wait(lambda: (joiner.version(MATCHMAKER), joiner.version(LOBBY)) == before, "that both run there", LONG)
    for fleet in (MATCHMAKER, LOBBY):
        story.wait(lambda fleet=fleet: story.fairlead("hosts", fleet)[0] == 0, f"{fleet} at its version", LONG)
