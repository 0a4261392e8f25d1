"""A service of two packages, a file and a Debian package, in one release: both are there, or neither is."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead_sandbox.builds import debian_package

pytestmark = [
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="there is no dpkg here"),
    pytest.mark.skipif(os.geteuid() != 0, reason="dpkg gives the files that it installs to root, which only root can"),
]
FLEET, LONG = "prod/matchmaker", 120.0
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\ndefaults: {retries: 0}\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1]\ntrigger: {bucket: example-fairlead-prod}\n'
    ),
    "environments/prod/matchmaker.yaml": "version: 1.0.0\n",
    "services/matchmaker.yaml": """\
owner: multiplayer
packages:
  matchmaker: {format: file, from: "s3://example-builds/matchmaker/{version}/matchmaker.jar", to: matchmaker.jar}
  matchmaker-maps: {format: deb, from: "s3://example-builds/matchmaker-maps/{version}/matchmaker-maps.deb"}
deploy:
  type: trigger
  root: /srv/matchmaker
  select: {tags: {service: matchmaker, environment: "{environment}"}}
  run: {unit: matchmaker.service, stop_within: 5s}
  health: {http: "http://localhost:8080/health", within: 5s}
""",
}


@pytest.fixture(scope="module")
def story(begin_story: Any) -> Iterator[Any]:
    found = begin_story(FILES, hosts={FLEET: 2})
    found.start()
    found.wait_said(found.world.checkout.head, FLEET, "success", timeout=LONG)
    yield found
    for host in found.world.hosts():
        print(f"── {host.id}\n{host.log()[-4000:]}")


def maps(host: Any) -> str:
    """The version of the Debian package, as dpkg's database on that host says."""
    admin: Path = host.folder / "var/lib/dpkg"
    asked = ["dpkg-query", f"--admindir={admin}", "--show", "--showformat=${Version}", "matchmaker-maps"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout


def runs(story: Any) -> set[tuple[str | None, str]]:
    return {(host.version(), maps(host)) for host in story.world.hosts()}


def test_a_bump_brings_both_packages_to_every_host(story: Any) -> None:
    story.world.build("matchmaker", "1.1.0")

    commit = story.world.bump(FLEET, "1.1.0")

    story.wait_said(commit, FLEET, "success", "1.1.0 on 2/2 units", LONG)
    assert {("1.1.0", "1.1.0")} == runs(story)
    seen = [unit.components for unit in story.record(FLEET).memory.status.units]
    assert [{"package/matchmaker": "1.1.0", "package/matchmaker-maps": "1.1.0"}] * 2 == [
        {name: version for name, version in each.items() if name.startswith("package/")} for each in seen
    ]


@pytest.mark.heavy
def test_a_debian_package_that_cannot_be_installed_takes_the_file_back_too(story: Any) -> None:
    (before,) = runs(story)
    built = story.world.build("matchmaker", "1.2.0")
    bucket, _, key = built.addresses["matchmaker-maps"].removeprefix("s3://").partition("/")
    broken = debian_package("matchmaker-maps", "1.2.0", postinst="echo the maps are flat >&2; exit 1")
    story.world.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=broken, ChecksumAlgorithm="SHA256")

    bad = story.world.bump(FLEET, "1.2.0")

    story.wait_said(bad, FLEET, "failure", "1.2.0 failed", LONG)
    story.wait(lambda: runs(story) == {before}, "that both are back", LONG)
    told = [event["message"] for event in story.fairlead("history", FLEET)[1]["events"] if event["kind"] == "failed"]
    assert "post-installation script" in told[0]


@pytest.mark.heavy
def test_a_program_that_does_not_get_healthy_takes_the_debian_package_back_too(story: Any) -> None:
    (before,) = runs(story)
    story.world.build("matchmaker", "1.3.0", "unhealthy")

    bad = story.world.bump(FLEET, "1.3.0")

    story.wait_said(bad, FLEET, "failure", "1.3.0 failed", LONG)
    story.wait(lambda: runs(story) == {before}, "that both are back", LONG)


@pytest.mark.heavy
def test_a_package_that_somebody_changed_by_hand_is_healed_without_a_new_file(story: Any) -> None:
    (before,) = runs(story)
    host = story.world.hosts()[0]
    file = host.folder / "by-hand.deb"
    file.write_bytes(debian_package("matchmaker-maps", "0.1.0"))
    options = [f"--root={host.folder}", "--force-not-root", "--force-script-chrootless", "--force-bad-path"]
    subprocess.run(["dpkg", *options, "--force-downgrade", "--install", file], check=True, capture_output=True)
    assert "0.1.0" == maps(host)

    story.wait(lambda: runs(story) == {before}, "that it is healed", LONG)
