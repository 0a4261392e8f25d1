"""Four hosts whose agents are upgraded by commits, in two waves, by a real controller."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead_agent.itself import UNIT
from tests.acceptance.agent.launched import SELF, Packages, Unit

OWN, HOSTS = "prod/fairlead-agent", 4
PATIENCE = 300.0
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\ndefaults: {retries: 0, adopt: auto}\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1]\ntrigger: {bucket: example-fairlead-prod}\n'
    ),
    "environments/prod/fairlead-agent.yaml": "version: 1.0.0\n",
    "services/fairlead-agent.yaml": f"""\
owner: platform
packages:
  fairlead-agent: {{format: file, from: "s3://example-builds/fairlead-agent-{{version}}.pyz", to: fairlead-agent.pyz}}
deploy:
  type: trigger
  root: {SELF}
  select: {{tags: {{role: host, environment: "{{environment}}"}}}}
  run: {{unit: {UNIT}}}
  health: {{command: "true", within: 2m}}
  silent_after: 1m
  max_unavailable: 50%
  waves: [{{hosts: 1}}, {{hosts: 100%}}]
""",
}


class Scene:
    """The controller's world, and four hosts as a package left them."""

    def __init__(self, story: Any, packages: Packages, cache: Path) -> None:
        self.story, self.world, self.packages = story, story.world, packages
        self.units = [self._unit(host, cache) for host in self.world.hosts(OWN)]

    def _unit(self, host: Any, cache: Path) -> Unit:
        settings = yaml.safe_load(host.config.read_text())
        settings["fleets"][OWN] = {"observe": {"command": "echo 1.0.0"}}
        host.config.write_text(yaml.safe_dump(settings))
        environment = {**host.environment, "CACHE_DIRECTORY": str(cache)}
        return Unit(host.folder, self.packages.agent("1.0.0"), host.config, environment, host.folder / "agent.log")

    def upload(self, version: str, pyz: bytes) -> None:
        key = f"fairlead-agent-{version}.pyz"
        self.world.aws.client("s3").put_object(Bucket="example-builds", Key=key, Body=pyz, ChecksumAlgorithm="SHA256")

    def bump(self, version: str, pyz: bytes) -> str:
        self.upload(version, pyz)
        return str(self.world.bump(OWN, version))

    def agents(self) -> list[str]:
        """The version that each host's newest agent said when it began, once it runs from the release."""
        begun = [
            [line for line in host.log().splitlines() if " begins version=" in line][-1]
            for host in self.world.hosts(OWN)
        ]
        return [line.split("version=")[1].split()[0] for line in begun]


@pytest.fixture
def scene(begin_story: Any, tmp_path: Path) -> Iterator[Scene]:
    packages = Packages()
    made = Scene(begin_story(FILES, hosts={OWN: HOSTS}, deployed=False), packages, tmp_path / "cache")
    made.upload("1.0.0", packages.agent("1.0.0"))
    for unit in made.units:
        unit.begin()
    try:
        yield made
    finally:
        for unit in made.units:
            unit.end()
        for host in made.world.hosts():
            print(f"── {host.id}\n{host.log()[-4000:]}")


@pytest.mark.long
def test_a_commit_upgrades_all_agents_in_waves_and_a_broken_one_stops_at_the_first(scene: Scene) -> None:
    story = scene.story
    story.start()
    story.wait_said(scene.world.checkout.head, OWN, "success", timeout=PATIENCE)

    good = scene.bump("1.1.0", scene.packages.agent("1.1.0"))
    line = story.wait_said(good, OWN, "success", timeout=PATIENCE)

    assert line.description.startswith(f"1.1.0 on {HOSTS}/{HOSTS} units")
    assert ["1.1.0"] * HOSTS == scene.agents()

    bad = scene.bump("1.1.1", Packages.program("raise SystemExit(1)"))
    line = story.wait_said(bad, OWN, "failure", "1.1.1", timeout=PATIENCE)

    began = [host for host in scene.world.hosts(OWN) if f" staging fleet={OWN} version=1.1.1 " in host.log()]
    assert 1 == len(began)
    assert "ended 3 times before it was heard" in began[0].log()
    story.wait(lambda: ["1.1.0"] * HOSTS == scene.agents(), "that all are at the version before", PATIENCE)
