"""A controller that starts makes the clients of AWS that its fleets will need: without asking AWS, and without harm."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from fairlead.controller import Controller
from fairlead.settings import load
from fairlead_sandbox.bulk.fleets import ROLE, BulkFleets
from fairlead_sandbox.bulk.world import BulkSettings, BulkWorld

REGIONS = ("eu-west-1", "us-east-1")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BulkWorld]:
    """A world whose fleets a controller has seen before."""
    fleets = BulkFleets(spinnaker=1, trigger=1, regions=REGIONS)
    with BulkWorld(tmp_path_factory.mktemp("world"), BulkSettings(fleets=fleets)) as world:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in world.environment.items():
                patch.setenv(name, value)
            Controller(load(world.config)).once()
        yield world


@pytest.fixture
def world(started: BulkWorld, monkeypatch: pytest.MonkeyPatch) -> BulkWorld:
    for name, value in started.environment.items():
        monkeypatch.setenv(name, value)
    started.aws.calls.clear()
    return started


@pytest.fixture
def controller(world: BulkWorld) -> Iterator[Any]:
    made = Controller(load(world.config))
    yield made
    made._parts.close()


def test_every_service_of_every_fleet_has_a_client_and_aws_heard_nothing(world: BulkWorld, controller: Any) -> None:
    made = controller._parts.make_clients()

    assert dict(world.aws.calls) == {}
    kept = controller._parts.world.deployers["trigger"]._sessions._clients
    services = ("autoscaling", "ec2", "elbv2", "s3", "sns", "sts")
    wanted: set[tuple[str | None, str, str]] = {(ROLE, region, service) for region in REGIONS for service in services}
    wanted |= {(None, region, "sts") for region in REGIONS}
    assert {key[:3] for key in kept} == wanted
    assert made == len(wanted)


def test_a_pass_takes_the_client_that_was_made(controller: Any) -> None:
    sessions = controller._parts.world.deployers["spinnaker"]._sessions
    controller._parts.make_clients()
    made = dict(sessions._clients)

    found = sessions.client("ec2", "us-east-1", role=ROLE)

    assert any(found is each for each in made.values())
    assert made == sessions._clients


def test_a_controller_starts_where_no_client_can_be_made(
    world: BulkWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    controller, stop, said = Controller(load(world.config)), Event(), [""]
    running = Thread(target=controller.run, args=(stop,))
    running.start()
    try:
        for _ in range(600):
            said[0] += capsys.readouterr().err
            if "are made when they are needed" in said[0]:
                break
            stop.wait(0.05)
        assert running.is_alive()
    finally:
        stop.set()
        running.join(60)

    (line,) = [line for line in said[0].splitlines() if "are made when they are needed" in line]
    assert "there are no AWS credentials; give the controller an instance profile" in line
    assert "controller started" in said[0]


def test_a_ledger_that_knows_no_fleet_needs_no_client(world: BulkWorld, tmp_path: Path) -> None:
    text = world.config.read_text().replace(str(world.state), str(tmp_path))
    (tmp_path / "fairlead.toml").write_text(text)
    controller: Any = Controller(load(tmp_path / "fairlead.toml"))

    assert controller._parts.make_clients() == 0
    controller._parts.close()
