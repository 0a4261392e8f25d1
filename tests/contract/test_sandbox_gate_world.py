"""A whole world comes up in sync with the example repository, and people can do things to it by hand."""

import ctypes
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from desired_state.trees import FolderTree
from fairlead import wiring
from fairlead_sandbox import processes
from fairlead_sandbox.example import EXAMPLE
from fairlead_sandbox.gate import GateSettings
from fairlead_sandbox.world import World, WorldSettings

QUICK = GateSettings(bake_seconds=0.01, deploy_seconds=0.01, health_seconds=0.1, tick_seconds=0.005)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), WorldSettings(gate=QUICK)) as running:
        yield running


def do(world: World, deed: str, **body: Any) -> requests.Response:
    return requests.post(f"{world.gate.url}/sandbox/{deed}", json=body, timeout=10)


def test_spinnakers_half_of_the_example_has_two_environments_and_four_services(world: World) -> None:
    names = {f"{environment}/{service}" for environment in ("staging", "prod") for service in _SERVICES}

    assert names == set(world.fleets)
    assert {"prod/checkout": 2, "staging/checkout": 1} == {
        name: len(world.fleets[name].regions) for name in ("prod/checkout", "staging/checkout")
    }


_SERVICES = ("checkout", "catalog", "sessions", "payments")


def test_every_fleet_runs_what_the_repository_says(world: World) -> None:
    for fleet in world.fleets.values():
        for region in fleet.regions:
            assert {fleet.version} == world.versions(fleet.cluster, region), fleet.name


def test_the_example_repository_has_no_problem() -> None:
    desired = wiring.parser().parse(FolderTree(EXAMPLE))

    assert ((), 12) == (desired.problems, len(desired.fleets))


def test_the_repository_names_this_gate(world: World, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", world.git.url("main"), str(tmp_path / "clone")], check=True)

    assert world.gate.url in (tmp_path / "clone/environments/prod/environment.yaml").read_text()


def test_the_controllers_settings_lead_into_this_world(world: World) -> None:
    settings = tomllib.loads(world.config.read_text())

    assert [world.git.url("main")] == [each["url"] for each in settings["repositories"]]
    assert [{"url": world.gate.url, "auth": {"mode": "none"}}] == settings["gates"]
    assert settings["ledger"].startswith("sqlite:////")
    assert world.environment["AWS_ENDPOINT_URL"] == world.aws.endpoint_url


@pytest.mark.parametrize("name", ["staging/checkout", "prod/payments", "prod/sessions"])
def test_the_pipelines_take_the_parameters_that_the_services_name(world: World, name: str) -> None:
    fleet = world.fleets[name]
    ours = {"version": "7.0.0", "region": fleet.regions[0], "fairleadKey": f"key-{name}"}
    told = {own: ours.get(word, "") for word, own in fleet.parameters.items()}
    answer = requests.post(
        f"{world.gate.url}/pipelines/{fleet.application}/{fleet.pipeline}", json={"parameters": told}, timeout=10
    )

    assert world.gate.wait_for_end(answer.json()["ref"], timeout=30) == "SUCCEEDED"
    assert world.versions(fleet.cluster, fleet.regions[0]) == {"7.0.0"}
    assert world.serving(fleet.cluster, fleet.regions[0]).tags["fairlead:key"] == f"key-{name}"
    others = {"7.0.0"} if "region" not in fleet.parameters else {fleet.version}
    assert all(world.versions(fleet.cluster, region) == others for region in fleet.regions[1:])


def test_a_change_by_hand_is_seen_on_aws_and_starts_no_pipeline(world: World) -> None:
    starts = len(world.gate.access_log.starts())

    answer = do(world, "change-by-hand", cluster="catalog-prod", region="eu-west-1", version="1.9.9")

    assert (200, {"done": "catalog-prod-v000"}) == (answer.status_code, answer.json())
    assert {"1.9.9"} == world.versions("catalog-prod", "eu-west-1")
    assert {"2.0.3"} == world.versions("catalog-prod", "us-east-1")
    assert starts == len(world.gate.access_log.starts())


def test_health_is_broken_and_mended_by_hand(world: World) -> None:
    do(world, "break-health", cluster="catalog-staging", region="us-east-1")
    assert world.serving("catalog-staging", "us-east-1").healthy == 0

    do(world, "mend-health", cluster="catalog-staging", region="us-east-1")
    assert world.serving("catalog-staging", "us-east-1").healthy == 2


def test_a_deed_on_a_cluster_that_is_not_there_says_so(world: World) -> None:
    answer = do(world, "break-health", cluster="nobody", region="us-east-1")

    assert (400, "nobody has no enabled server group in us-east-1") == (answer.status_code, answer.json()["message"])


def test_a_person_bumps_and_reverts(world: World) -> None:
    path = "environments/staging/checkout.yaml"
    before = (world.checkout.folder / path).read_text()

    bump = world.bump("staging/checkout", "1.10")
    assert world.checkout.git("show", f"{bump}:{path}") == before.replace("version: 1.4.1", 'version: "1.10"').rstrip()

    revert = world.revert(bump)
    assert world.checkout.git("show", f"{revert}:{path}") == before.rstrip()
    assert world.checkout.git("ls-remote", "origin", "refs/heads/main").split()[0] == revert


def test_two_worlds_do_not_disturb_one_another(world: World, tmp_path: Path) -> None:
    with World(tmp_path, WorldSettings(gate=QUICK)) as other:
        other.change_by_hand("checkout-prod", "us-east-1", "0.0.1")

        assert {"0.0.1"} == other.versions("checkout-prod", "us-east-1")
        assert {"1.4.1"} == world.versions("checkout-prod", "us-east-1")


def test_a_folder_without_an_example_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    with pytest.raises(FileNotFoundError, match=f"{empty} holds no example repository"):
        World(tmp_path / "world", WorldSettings(example=empty)).__enter__()


def interrupt(pid: int) -> None:
    """SIGINT, which Linux may hand to a thread that is not the main one."""
    other = next(int(path.name) for path in Path(f"/proc/{pid}/task").iterdir() if int(path.name) != pid)
    assert ctypes.CDLL(None).tgkill(pid, other, signal.SIGINT) == 0


def test_up_runs_until_it_is_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from fairlead_sandbox.cli import main; main()", "up", "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}) as process:
        assert process.stdout is not None
        try:
            said = next(line for line in process.stdout if line.startswith("  gate"))
            url = said.split()[1]
            assert requests.get(f"{url}/health", timeout=10).json() == {"status": "UP"}
            ran = [path for path in tmp_path.glob("hosts/*/run/*.pid") if processes.running(path) is not None]
        finally:
            interrupt(process.pid)
        process.communicate(timeout=20)

    assert process.returncode == 0
    assert (9 + 12, []) == (len(ran), [path for path in ran if processes.running(path) is not None])
    assert (tmp_path / "world.env").exists()
