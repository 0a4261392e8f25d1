"""Builders for what the adapters read: fleets of type spinnaker, inventory parts, intents."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from desired_state.model import Environment, Fleet, Package
from reconciler.observed import Snapshot
from reconciler.work import Intent, Kind

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DEPLOY = {
    "application": "checkout",
    "pipeline": "deploy-prod",
    "parameters": {"version": "PKG_VERSION", "region": "REGION", "fairleadKey": "FAIRLEAD_KEY"},
    "select": {"cluster": "checkout-prod"},
}


def make_fleet(version: str = "1.4.2", deploy: Mapping[str, Any] | None = None, **changes: Any) -> Fleet:
    fleet = Fleet(
        name="prod/checkout",
        environment=Environment(
            name="prod",
            account="123456789012",
            regions=("us-east-1", "eu-west-1"),
            spinnaker={"url": "https://gate.example.com"},
        ),
        service="checkout",
        components={"package/checkout": version},
        packages=(Package(name="checkout", version=version),),
        deploy_type="spinnaker",
        deploy={**DEPLOY, **(deploy or {})},
        target_digest=hashlib.sha256(version.encode()).hexdigest(),
        spec_digest="b" * 64,
        identity_digest="c" * 64,
    )
    return replace(fleet, **changes)


def make_intent(fleet: Fleet | None = None, unit: str = "us-east-1", **changes: Any) -> Intent:
    fleet = fleet or make_fleet()
    intent = Intent(
        key=f"fairlead:main:prod/checkout:{'a' * 12}:{fleet.target_digest[:12]}:{unit}:w1:a1",
        fleet=fleet,
        repository="main",
        setting_commit="a" * 40,
        unit=unit,
        wave=1,
        attempt=1,
        kind=Kind.DEPLOY,
        created_at=NOW,
        settle_at=NOW + timedelta(seconds=35),
        deadline=NOW + timedelta(hours=1),
        starts=1,
    )
    return replace(intent, **changes)


def instance(number: int, image: str, lifecycle: str = "InService", health: str = "Healthy") -> dict[str, str]:
    return {"id": f"i-{number:03d}", "image": image, "lifecycle": lifecycle, "health": health}


def group(push: int, *instances: Mapping[str, str], desired: int = 2, **changes: Any) -> dict[str, Any]:
    return {
        "name": f"checkout-prod-v{push:03d}",
        "region": "us-east-1",
        "created": f"2026-11-{push:02d}T00:00:00+00:00",
        "enabled": True,
        "capacity": {"min": desired, "max": desired, "desired": desired},
        "tags": {},
        "launch_image": instances[0]["image"] if instances else "ami-1.4.2",
        "instances": list(instances),
        **changes,
    }


def body(*groups: Mapping[str, Any], **images: Mapping[str, str]) -> dict[str, Any]:
    """An inventory part. Images are named `ami-<version>` and tagged so, unless `images` gives other tags."""
    ids = {each["image"] for one in groups for each in one["instances"]} | {one["launch_image"] for one in groups}
    tags = {
        image: images.get(image, {"appversion": f"checkout-{image.removeprefix('ami-')}"}) for image in ids if image
    }
    return {"server_groups": list(groups), "images": {image: {"name": image, "tags": tags[image]} for image in tags}}


def running(version: str, push: int = 3, **changes: Any) -> dict[str, Any]:
    """A part in which one group of two healthy instances runs a version."""
    image = f"ami-{version}"
    return body(group(push, instance(1, image), instance(2, image), **changes))


def snapshot(feed: str, content: Mapping[str, Any], read_at: datetime = NOW) -> Snapshot:
    return Snapshot(feed=feed, body=content, read_at=read_at)


@pytest.fixture
def made() -> SimpleNamespace:
    """The builders of this folder."""
    return SimpleNamespace(
        NOW=NOW,
        DEPLOY=DEPLOY,
        fleet=make_fleet,
        intent=make_intent,
        instance=instance,
        group=group,
        body=body,
        running=running,
        snapshot=snapshot,
    )
