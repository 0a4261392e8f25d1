"""Builders for what the deployer of type trigger reads: fleets, hosts, reports, orders, intents."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.agent_protocol.fields import moment_text
from desired_state.model import Environment, Fleet, Package
from reconciler.observed import Snapshot, Snapshots
from reconciler.work import Intent, Kind, Outcome, Phase

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
EAST, WEST = "us-east-1", "eu-west-1"
ACCOUNT = "123456789012"
COMMIT = "c" * 40
DEPLOY = {
    "root": "/srv/mm",
    "select": {"tags": {"service": "mm"}},
    "run": {"unit": "mm.service", "stop_within": "30s"},
    "health": {"http": "http://localhost:8080/health", "within": "1m"},
}
JAR = Package(name="mm", version="2.3.1", format="file", source="s3://builds/mm/{version}/mm.jar", destination="mm.jar")


def make_fleet(version: str = "2.3.1", deploy: Mapping[str, Any] | None = None, **changes: Any) -> Fleet:
    fleet = Fleet(
        name="prod/mm",
        environment=Environment(
            name="prod", account=ACCOUNT, regions=(EAST, WEST), trigger={"bucket": "example-fairlead-prod"}
        ),
        service="mm",
        components={"package/mm": version},
        packages=(replace(JAR, version=version),),
        deploy_type="trigger",
        deploy={**DEPLOY, **(deploy or {})},
        target_digest=hashlib.sha256(version.encode()).hexdigest(),
        spec_digest="b" * 64,
        identity_digest="d" * 64,
    )
    return replace(fleet, **changes)


def make_intent(fleet: Fleet | None = None, unit: str = "i-1", attempt: int = 1, **changes: Any) -> Intent:
    fleet = fleet or make_fleet()
    intent = Intent(
        key=f"fairlead:main:prod/mm:{COMMIT[:12]}:{fleet.target_digest[:12]}:{unit}:w1:a{attempt}",
        fleet=fleet,
        repository="main",
        setting_commit=COMMIT,
        unit=unit,
        wave=1,
        attempt=attempt,
        kind=Kind.DEPLOY,
        created_at=NOW,
        settle_at=NOW + timedelta(seconds=35),
        deadline=NOW + timedelta(hours=2),
        starts=1,
    )
    return replace(intent, **changes)


def make_outcome(phase: Phase = Phase.RUNNING, ticket: str | None = "7", **changes: Any) -> Outcome:
    return Outcome(intent=make_intent(**changes), phase=phase, ticket=ticket, since=NOW)


def work_key(version: str = "2.3.1", attempt: int = 1) -> str:
    return f"{COMMIT[:12]}:{hashlib.sha256(version.encode()).hexdigest()[:12]}:a{attempt}"


def make_work(state: str, *, version: str = "2.3.1", attempt: int = 1, **changes: Any) -> dict[str, Any]:
    work = {"key": work_key(version, attempt), "version": version, "attempt": attempt, "state": state}
    return {**work, "stage": "", "message": "", "blame": "", "rolled_back_to": "", "log": "", **changes}


def make_report(version: str = "2.3.1", *, age: float = 10, read_at: datetime = NOW, **changes: Any) -> dict[str, Any]:
    """A report that SQS took `age` seconds before its queue was read."""
    report = {
        "agent": "0.2.0",
        "number": 5,
        "at": moment_text(read_at),
        "sequence": 7,
        "expires": moment_text(read_at + timedelta(days=29)),
        "components": {"package/mm": version},
        "running": True,
        "healthy": True,
        "message": "",
        "report_only": False,
        "last_good": "",
        "target_groups": [],
        "work": None,
        "refused": None,
        "sent": moment_text(read_at - timedelta(seconds=age)),
    }
    return {**report, **changes}


def host(zone: str = f"{EAST}a", launched: datetime = NOW - timedelta(days=3)) -> dict[str, str]:
    return {"zone": zone, "state": "running", "launched": launched.isoformat()}


def make_snapshots(
    reports: Mapping[str, Mapping[str, Any] | None],
    *,
    hosts: Mapping[str, Mapping[str, str]] | None = None,
    read_at: datetime = NOW,
    reports_read_at: datetime | None = None,
    order: Mapping[str, Any] | None = None,
    sick: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Snapshot]:
    """The hosts named in `reports` live in us-east-1 (None: it never reported); nothing lives in eu-west-1."""
    there = {name: (hosts or {}).get(name) or host() for name in reports}
    said = {name: report for name, report in reports.items() if report is not None}
    bodies: dict[str, tuple[Mapping[str, Any], datetime]] = {
        f"inventory/{ACCOUNT}/{EAST}": ({"hosts": there}, read_at),
        f"inventory/{ACCOUNT}/{WEST}": ({"hosts": {}}, read_at),
    }
    if said:
        bodies[f"reports/{ACCOUNT}/{EAST}/prod"] = ({"hosts": said}, reports_read_at or read_at)
    if order is not None:
        bodies["order/prod/mm"] = (order, read_at)
    bodies["targets/prod/mm"] = ({"groups": sick or {}}, read_at)
    return {feed: Snapshot(feed=feed, body=body, read_at=at) for feed, (body, at) in bodies.items()}


def make_order(sequence: int = 7, version: str = "2.3.1", **changes: Any) -> dict[str, Any]:
    """An order's snapshot that admits `attempts` (by host) to the version."""
    return {
        "address": "s3://example-fairlead-prod/orders/prod/mm.json",
        "etag": '"e"',
        "sequence": sequence,
        "trouble": "",
        "commit": COMMIT,
        "digest": hashlib.sha256(version.encode()).hexdigest(),
        "all": False,
        "attempts": {},
        "base": None,
        "document": {},
        **changes,
    }


def without(snapshots: Snapshots, feed: str) -> dict[str, Snapshot]:
    return {name: snapshot for name, snapshot in snapshots.items() if name != feed}


@pytest.fixture
def made() -> SimpleNamespace:
    """The builders of this folder."""
    return SimpleNamespace(
        NOW=NOW,
        JAR=JAR,
        fleet=make_fleet,
        intent=make_intent,
        outcome=make_outcome,
        work=make_work,
        report=make_report,
        host=host,
        snapshots=make_snapshots,
        order=make_order,
        without=without,
    )
