"""docs/adopting.md: its files are what an import writes, its agents are agents, its commands tell versions."""

import hashlib
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fairlead_agent.settings import read_settings

PAGE = (Path(__file__).parents[4] / "docs" / "adopting.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


@pytest.fixture
def house(made: Any) -> Any:
    """What the page's files are imported from."""
    for region in ("us-east-1", "eu-west-1"):
        made.group("checkout-prod-v041", made.baked("checkout", "1.4.1"), region=region)
    made.group("checkout-prod-v042", made.baked("checkout", "1.4.2"), count=1)
    target = {"application": "checkout", "stack": "prod"}
    made.pipeline("deploy-prod", target, "PKG_VERSION", "RELEASE_VERSION", "REGION", "FAIRLEAD_KEY")
    for host in ("i-0a1", "i-0b2"):
        made.host(host, service="matchmaker", environment="prod")
        made.told(host, "prod/matchmaker", matchmaker="2.3.1")
    return made


def test_the_files_on_the_page_are_what_an_import_writes(house: Any) -> None:
    found = house.conclude(bucket="example-fairlead-{environment}").files
    shown = dict(re.findall(r"\A# (\S+)\n(.*)", block, re.S)[0] for block in blocks("yaml"))
    shown.pop("environments/prod/suspend.yaml")
    found.pop("README.md")

    assert found == shown


def test_the_agent_on_the_page_only_reports(tmp_path: Path) -> None:
    (block,) = [each for each in blocks("text") if each.startswith("# agent.yaml")]
    (tmp_path / "agent.yaml").write_text(block)

    settings = read_settings(tmp_path / "agent.yaml")

    assert settings.report_only
    assert "cat /opt/matchmaker/VERSION" == settings.fleets["prod/matchmaker"].command


def recipes() -> list[str]:
    (block,) = [each for each in blocks("bash") if each.startswith("dpkg-query")]
    return [re.split(r"  +# ", line)[0] for line in block.splitlines()]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host's /opt, where 2.3.1 runs."""
    place = tmp_path / "matchmaker"
    (place / "2.3.1").mkdir(parents=True)
    (place / "current").symlink_to("2.3.1")
    (place / "VERSION").write_text("2.3.1\n")
    with zipfile.ZipFile(place / "matchmaker.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nImplementation-Version: 2.3.1\r\n")
    digest = hashlib.sha256((place / "matchmaker.jar").read_bytes()).hexdigest()
    (place / "releases.txt").write_text(f"{'0' * 64} 2.3.0\n{digest} 2.3.1\n")
    return tmp_path


def test_there_is_a_recipe_for_each_way_of_deploying() -> None:
    assert ["dpkg-query", "basename", "cat", "unzip", "grep"] == [line.split()[0] for line in recipes()]


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipe_prints_the_version_and_nothing_else(recipe: str, host: Path) -> None:
    if shutil.which(recipe.split(maxsplit=1)[0]) is None:
        pytest.skip(f"this machine has no {recipe.split(maxsplit=1)[0]}")
    here = recipe.replace("/opt", str(host)).replace("}' matchmaker", "}' base-files")

    done = subprocess.run(["/bin/sh", "-c", here], capture_output=True, text=True, check=True)

    lines = done.stdout.strip().splitlines()
    expected = ["2.3.1"] if "dpkg" not in recipe else [_installed("base-files")]
    assert expected == lines


def _installed(package: str) -> str:
    said = subprocess.run(["dpkg", "-s", package], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^Version: (.*)$", said, re.M)[0]
