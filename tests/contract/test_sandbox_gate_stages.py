"""The stages and strategies that the sandbox's Gate plays, seen over HTTP and through boto3."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from adapters.clock import ManualClock
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings
from fairlead_sandbox.world import seed_cluster

SETTINGS = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)
REGION = "us-east-1"
CLUSTER = "checkout-prod"
SOUND = {"type": "wait", "name": "Wait", "refId": "wait", "waitTime": 0}


@pytest.fixture(scope="module")
def shared() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def aws(shared: Aws) -> Aws:
    """One cluster of four instances, and whatever other tests left in other clusters."""
    for group in server_groups.groups_of(shared, REGION, CLUSTER):
        server_groups.delete(shared, group)
    seed_cluster(shared, CLUSTER, REGION, "checkout", "1.0.0", capacity=4)
    return shared


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 11, 26, tzinfo=UTC))


@pytest.fixture
def gate(aws: Aws, clock: ManualClock) -> Iterator[Gate]:
    with Gate(aws, SETTINGS, clock=clock) as running:
        yield running


def stage(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "name": kind, "refId": kind, "requisiteStageRefIds": [], **fields}


def start(gate: Gate, *stages: dict[str, Any], **parameters: str) -> str:
    gate.pipelines.save({"id": "1", "application": "checkout", "name": "p", "stages": list(stages)})
    answer = requests.post(f"{gate.url}/pipelines/checkout/p", json={"parameters": parameters}, timeout=10)
    return str(answer.json()["ref"])


def read(gate: Gate, ref: str) -> dict[str, Any]:
    seen: dict[str, Any] = requests.get(gate.url + ref, timeout=10).json()
    return seen


def run(gate: Gate, *stages: dict[str, Any], **parameters: str) -> dict[str, Any]:
    ref = start(gate, *stages, **parameters)
    for _ in range(100):
        gate.tick()
        if read(gate, ref).get("endTime") is not None:
            return read(gate, ref)
    raise AssertionError(f"{ref} did not end in 100 steps")


def bake(version: str) -> dict[str, Any]:
    return stage("bake", package=f"checkout_{version}_all", regions=[REGION])


def deploy(strategy: str, **fields: Any) -> dict[str, Any]:
    cluster = {
        "application": "checkout",
        "stack": "prod",
        "availabilityZones": {REGION: []},
        "capacity": {"min": 2, "max": 2, "desired": 2},
        "strategy": strategy,
        **fields,
    }
    return stage("deploy", requisiteStageRefIds=["bake"], clusters=[cluster])


def shown(aws: Aws) -> list[tuple[str, bool, int]]:
    return [(each.name[-4:], each.enabled, each.desired) for each in server_groups.groups_of(aws, REGION, CLUSTER)]


@pytest.mark.parametrize(
    ("strategy", "fields", "left"),
    [
        ("none", {}, [("v000", True, 4), ("v001", True, 2)]),
        ("", {}, [("v000", True, 4), ("v001", True, 2)]),
        ("redblack", {}, [("v000", False, 4), ("v001", True, 2)]),
        ("RedBlack", {"scaleDown": True, "maxRemainingAsgs": 1}, [("v000", False, 0), ("v001", True, 2)]),
        ("rollingredblack", {"targetPercentages": [50]}, [("v000", False, 4), ("v001", True, 4)]),
        (
            "rollingredblack",
            {"targetPercentages": [50, 100], "scaleDown": True},
            [("v000", False, 0), ("v001", True, 4)],
        ),
        ("highlander", {"useSourceCapacity": True}, [("v001", True, 4)]),
    ],
)
def test_a_strategy_leaves_what_it_leaves(
    strategy: str, fields: dict[str, Any], left: list[Any], gate: Gate, aws: Aws
) -> None:
    assert "SUCCEEDED" == run(gate, bake("1.1.0"), deploy(strategy, **fields))["status"]

    assert left == shown(aws)


def test_the_first_group_of_a_cluster_has_nobodys_size_to_take_over(gate: Gate, aws: Aws) -> None:
    for group in server_groups.groups_of(aws, REGION, CLUSTER):
        server_groups.delete(aws, group)

    refused = run(gate, bake("1.1.0"), deploy("redblack", useSourceCapacity=True))
    assert ("TERMINAL", []) == (refused["status"], shown(aws))
    assert "no server group was found for the cluster 'checkout-prod'" in str(refused)

    kept = run(gate, bake("1.1.0"), deploy("redblack", useSourceCapacity=True, preferSourceCapacity=True))
    assert ("SUCCEEDED", [("v000", True, 2)]) == (kept["status"], shown(aws))


def test_red_black_deletes_the_oldest_of_the_disabled_and_none_in_service(gate: Gate, aws: Aws) -> None:
    for version in ("1.1.0", "1.2.0", "1.3.0"):
        run(gate, bake(version), deploy("redblack", maxRemainingAsgs=2))

    assert [("v002", False, 2), ("v003", True, 2)] == shown(aws)


@pytest.mark.parametrize("strategy", ["custom", "monitored"])
def test_a_strategy_that_is_not_played_says_so(strategy: str, gate: Gate, aws: Aws) -> None:
    seen = run(gate, bake("1.1.0"), deploy(strategy))

    assert "TERMINAL" == seen["status"]
    assert f"the strategy {strategy} is not played" in str(seen["stages"])
    assert 1 == len(shown(aws))


def test_a_rolling_deploy_that_never_gets_healthy_leaves_the_old_group_in_service(gate: Gate, aws: Aws) -> None:
    gate.faults.on("unhealthy_version", version="1.1.0")

    assert "TERMINAL" == run(gate, bake("1.1.0"), deploy("rollingredblack", targetPercentages=[50]))["status"]

    assert [("v000", True, 4), ("v001", True, 2)] == shown(aws)


@pytest.mark.parametrize("field", ["amiName", "imageId"])
def test_an_image_named_on_the_cluster_wins_over_the_baked_one(field: str, gate: Gate, aws: Aws) -> None:
    other = images.register(aws, REGION, "checkout", "0.9.0", datetime(2026, 11, 1, tzinfo=UTC))
    named = other.id if field == "imageId" else other.name

    run(gate, bake("1.1.0"), deploy("highlander", **{field: named}))

    group = server_groups.groups_of(aws, REGION, CLUSTER)[-1]
    assert other.id == server_groups.launch_image(aws, group)


@pytest.mark.parametrize(
    ("context", "status"),
    [
        ({"type": "expression", "context": {"expression": "parameters.V matches '[0-9].*'"}}, "SUCCEEDED"),
        ({"type": "expression", "context": {"expression": "parameters.V matches '[a-z].*'"}}, "TERMINAL"),
        ({"type": "expression", "context": {"expression": "what.is == this"}}, "TERMINAL"),
        ({"type": "expression", "failPipeline": False, "context": {"expression": "false"}}, "SUCCEEDED"),
        (
            {
                "type": "clusterSize",
                "context": {"cluster": CLUSTER, "regions": [REGION], "comparison": "<", "expected": 1},
            },
            "TERMINAL",
        ),
        ({"type": "clusterSize", "context": {"cluster": CLUSTER, "regions": [REGION]}}, "SUCCEEDED"),
        ({"type": "stageStatus", "context": {"stageName": "Wait", "stageStatus": "SUCCEEDED"}}, "SUCCEEDED"),
        ({"type": "stageStatus", "context": {"stageName": "Wait", "stageStatus": "TERMINAL"}}, "TERMINAL"),
    ],
)
def test_a_precondition_lets_go_on_or_not(context: dict[str, Any], status: str, gate: Gate) -> None:
    assert status == run(gate, SOUND, stage("checkPreconditions", preconditions=[context]), V="1.4.1")["status"]


def test_the_image_of_a_cluster_is_found_and_deployed(gate: Gate, aws: Aws) -> None:
    find = stage("findImage", refId="bake", cluster=CLUSTER, regions=[REGION], selectionStrategy="NEWEST")

    run(gate, find, deploy("redblack"))

    old, new = server_groups.groups_of(aws, REGION, CLUSTER)
    assert server_groups.launch_image(aws, old) == server_groups.launch_image(aws, new)


def test_an_image_is_tagged_and_found_by_its_tags(gate: Gate, aws: Aws) -> None:
    tag = stage("upsertImageTags", requisiteStageRefIds=["bake"], tags={"team": "${parameters.T}", "appversion": "no"})
    assert "SUCCEEDED" == run(gate, bake("1.1.0"), tag, T="blue")["status"]

    seen = run(gate, stage("findImageFromTags", regions=[REGION], packageName="checkout", tags={"team": "blue"}))

    assert [REGION] == [each["region"] for each in seen["stages"][0]["outputs"]["deploymentDetails"]]
    missing = run(gate, stage("findImageFromTags", regions=[REGION], packageName="checkout", tags={"team": "red"}))
    assert "TERMINAL" == missing["status"]


@pytest.mark.parametrize(("said", "status"), [("continue", "SUCCEEDED"), ("stop", "TERMINAL")])
def test_a_judgment_holds_until_it_is_given(said: str, status: str, gate: Gate) -> None:
    ref = start(gate, stage("manualJudgment"))
    for _ in range(5):
        gate.tick()
    waiting = read(gate, ref)
    assert ("RUNNING", "RUNNING") == (waiting["status"], waiting["stages"][0]["status"])

    patch = f"{gate.url}{ref}/stages/{waiting['stages'][0]['id']}"
    assert 200 == requests.patch(patch, json={"judgmentStatus": said}, timeout=10).status_code
    for _ in range(5):
        gate.tick()

    seen = read(gate, ref)
    assert status == seen["status"]
    assert "anonymous" == seen["stages"][0]["lastModified"]["user"]
    assert "exception" not in seen["stages"][0]["context"]


def test_a_judgment_that_nobody_gives_times_out(gate: Gate, clock: ManualClock) -> None:
    ref = start(gate, stage("manualJudgment", stageTimeoutMs=60_000))
    for _ in range(3):
        gate.tick()
    clock.advance(timedelta(seconds=61))
    for _ in range(3):
        gate.tick()

    assert "TERMINAL" == read(gate, ref)["status"]


@pytest.mark.parametrize(("score", "status"), [(80, "SUCCEEDED"), (60, "TERMINAL")])
def test_a_canary_ends_by_its_score(score: int, status: str, gate: Gate) -> None:
    gate.faults.on("canary_score", score=score)
    config = {"scopes": [{"scopeName": "default"}], "lifetimeDuration": "PT1H", "scoreThresholds": {"pass": 75}}

    seen = run(gate, stage("kayentaCanary", canaryConfig=config))

    assert status == seen["status"]
    assert [score] == seen["stages"][0]["context"]["canaryScores"]


def test_a_webhook_asks_another_server_once(gate: Gate) -> None:
    asked = stage("webhook", url=f"{gate.url}/health", method="GET")
    missing = stage("webhook", url=f"{gate.url}/nowhere", method="GET")

    assert "SUCCEEDED" == run(gate, asked)["status"]
    assert "TERMINAL" == run(gate, missing)["status"]
