"""groups, and leftovers in status and why: over a real SQLite ledger."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.feeds.repositories import Repositories, Source
from fairlead import wiring
from fairlead.cli import app
from fairlead.settings import load
from reconciler.record import Pass

NOW = datetime(2026, 11, 23, 20, 15, 3, tzinfo=UTC)
FLEET, EAST, WEST = "prod/checkout", "us-east-1", "eu-west-1"
LEFT = "checkout-prod-v042 in us-east-1 is left of a deploy that failed: disabled, with 1 instance of 1.5.0"


@pytest.fixture
def config(tmp_path: Path, desired: Any) -> Path:
    path = tmp_path / "fairlead.toml"
    path.write_text(f'state = "{tmp_path / "state"}"\n[[repositories]]\nname = "main"\nurl = "{desired.url}"\n')
    return path


@pytest.fixture
def store(config: Path) -> Iterator[Any]:
    """The ledger that the settings name, with the example read into it."""
    settings = load(config)
    ledger = wiring.ledger(settings)
    with wiring.mirror(settings, settings.repositories[0]) as mirror:
        source = Source(mirror=mirror, parser=wiring.parser())
        feed = Repositories(ledger, {"main": source}, wiring.clock(), timedelta(minutes=1))
        feed.run("main", lease(ledger, "repository:main"))
    yield ledger
    ledger.close()


@pytest.fixture
def run(config: Path) -> Any:
    def invoke(*args: str) -> Result:
        return CliRunner().invoke(app, [*args, "--config", str(config)])

    return invoke


def lease(store: Any, key: str) -> Any:
    store.add([key])
    return next(due for due in store.claim(key.partition(":")[0], 100, timedelta(minutes=5)) if due.key == key).lease


def group(push: int, version: str, *, region: str = EAST, enabled: bool = True, instances: int = 1) -> dict[str, Any]:
    return {
        "name": f"checkout-prod-v{push:03d}",
        "region": region,
        "created": f"2026-11-{push - 20:02d}T09:30:00+00:00",
        "enabled": enabled,
        "capacity": {"min": instances, "max": instances, "desired": instances},
        "tags": {},
        "launch_image": f"ami-{version}",
        "instances": [
            {"id": f"i-{push}-{number}", "image": f"ami-{version}", "lifecycle": "InService", "health": "Healthy"}
            for number in range(instances)
        ],
    }


def see(store: Any, region: str, *groups: dict[str, Any]) -> None:
    """What the inventory feed read of the region."""
    ids = {one["launch_image"] for one in groups}
    images = {
        image: {"name": f"checkout-{image}", "tags": {"appversion": f"checkout-{image.removeprefix('ami-')}"}}
        for image in ids
    }
    feed = f"inventory/123456789012/{region}"
    part = {FLEET: {"server_groups": list(groups), "images": images}}
    store.record_snapshots(lease(store, f"inventory:123456789012/{region}"), feed, part, NOW)


def test_groups_shows_every_region_youngest_first(run: Any, store: Any) -> None:
    see(
        store,
        EAST,
        group(40, "1.4.0", enabled=False, instances=0),
        group(41, "1.4.1"),
        group(42, "1.5.0", enabled=False),
    )
    see(store, WEST, group(41, "1.4.1", region=WEST, instances=2))

    done = run("groups", FLEET)

    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert 1 == done.exit_code, "something is left over"
    assert [
        "REGION SERVER GROUP VERSION AMI CREATED ENABLED IN SERVICE HEALTHY PART",
        "us-east-1 checkout-prod-v042 1.5.0 ami-1.5.0 2026-11-22 09:30:00 no 1/1 1/1 left over",
        "us-east-1 checkout-prod-v041 1.4.1 ami-1.4.1 2026-11-21 09:30:00 yes 1/1 1/1 current",
        "us-east-1 checkout-prod-v040 1.4.0 ami-1.4.0 2026-11-20 09:30:00 no 0/0 0/0 old",
        "eu-west-1 checkout-prod-v041 1.4.1 ami-1.4.1 2026-11-21 09:30:00 yes 2/2 2/2 current",
        f"leftover: {LEFT}",
        "",
        "4 server groups, 1 left over",
    ] == lines


def test_groups_as_json_has_the_next_names_and_what_was_not_read(run: Any, store: Any) -> None:
    see(store, EAST, group(41, "1.4.1"))

    done = run("groups", FLEET, "-o", "json")

    said = json.loads(done.stdout)
    assert 1 == done.exit_code
    assert ({EAST: "checkout-prod-v042"}, [WEST], {}) == (said["next"], said["unread"], said["trouble"])
    assert ["current"] == [row["part"] for row in said["groups"]]


def test_groups_that_are_as_they_should_be_exit_0(run: Any, store: Any) -> None:
    for region in (EAST, WEST):
        see(store, region, group(41, "1.4.1", region=region))

    assert 0 == run("groups", FLEET).exit_code


def test_groups_of_a_fleet_on_hosts_are_refused_in_a_sentence(
    run: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = store.load(FLEET)
    on_hosts = replace(record, desired=replace(record.desired, deploy_type="trigger"))
    monkeypatch.setattr("fairlead.commands.groups.record_of", lambda *_: on_hosts)

    done = run("groups", FLEET)

    assert "prod/checkout is of type trigger, which has no server groups; see `fairlead hosts`" in done.output
    assert 0 != done.exit_code


@pytest.mark.parametrize("command", ["status", "why"])
def test_what_is_left_over_is_said_and_changes_nothing_else(run: Any, store: Any, command: str) -> None:
    record = store.load(FLEET)
    memory = replace(record.memory, status=replace(record.memory.status, leftovers=(LEFT,)))
    before = json.loads(run(command, FLEET, "-o", "json").stdout)
    held = lease(store, f"fleet:{FLEET}")
    store.save(held, record, Pass(record=record, memory=memory, work=(), statuses=(), events=()))

    done, after = run(command, FLEET), json.loads(run(command, FLEET, "-o", "json").stdout)

    assert f"leftover: {LEFT}\n" in done.stdout
    assert {**before, "leftovers": [LEFT]} == after
