"""One order with everything in it, a key that signs it, and the host's way of reading it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from adapters.agent_protocol.orders import (
    Artifact,
    ConfigFile,
    Drain,
    Health,
    Lifecycle,
    Order,
    Release,
    Run,
)
from adapters.agent_protocol.reading import Trust, read_order
from adapters.agent_protocol.signing import SigningKey, new_key

NOW = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
FLEET = "prod/matchmaker"


def make_release(version: str = "2.3.1", digest: str = "a") -> Release:
    return Release(
        digest=digest * 64,
        commit="b" * 40,
        version=version,
        components={"package/matchmaker": version, "package/tables": "41", "config/matchmaker": "c" * 64},
        artifacts=(
            Artifact(
                name="matchmaker",
                version=version,
                format="file",
                source=f"s3://builds/matchmaker/{version}/matchmaker.jar",
                to="matchmaker.jar",
                sha256="e" * 64,
            ),
            Artifact(name="tables", version="41", format="deb", source=None, to=None, sha256="f" * 64),
        ),
        lifecycle=Lifecycle(
            root="/srv/matchmaker",
            run=Run(unit="matchmaker.service", stop_within=90),
            health=Health(http="http://localhost:8080/health", within=120),
            drain=Drain(groups=("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/mm/1",), within=300),
        ),
        config=ConfigFile(
            component="config/matchmaker",
            to="matchmaker.yaml",
            format="yaml",
            values={"queue": {"size": 500, "regions": ["us", "eu"]}, "ratio": 0.5, "on": True, "none": None},
            digest="c" * 64,
        ),
    )


def make_order(**changes: Any) -> Order:
    sound: dict[str, Any] = {
        "fleet": FLEET,
        "sequence": 42,
        "target": make_release(),
        "base": make_release("2.3.0", "d"),
        "issued": NOW - timedelta(hours=1),
        "expires": NOW + timedelta(days=29),
        "admitted": frozenset({"i-1", "i-2"}),
        "attempts": {"i-2": 2},
        "rejected": ("0" * 64,),
    }
    return Order(**sound | changes)


@pytest.fixture(scope="session")
def key() -> SigningKey:
    return new_key("2026-11")[0]


@pytest.fixture(scope="session")
def order() -> Callable[..., Order]:
    return make_order


@pytest.fixture(scope="session")
def release() -> Callable[..., Release]:
    return make_release


@pytest.fixture(scope="session")
def read(key: SigningKey) -> Callable[..., Order]:
    """The host's way in: a document, or bytes, as `prod/matchmaker` reads it at seven o'clock."""

    def read(body: Any, fleet: str = FLEET, now: datetime = NOW, **known: Any) -> Order:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return read_order(data, Trust(fleet=fleet, keys={key.key_id: key.public}), now, **known)

    return read
