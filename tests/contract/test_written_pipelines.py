"""The pipelines that Fairlead writes, run by the sandbox's Gate: guards refuse, images are made, found or told."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from adapters.gate.stages import errors_of
from adapters.pipelines.building import wanted_of
from desired_state.trees import MemoryTree
from fairlead import wiring
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings
from fairlead_sandbox.server_groups import ServerGroup
from fairlead_sandbox.world import seed_cluster

SETTINGS = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)
REGION = "us-east-1"
BAKE = "bake: {base_os: jammy}"
CANARY = "canary: {config: c1, metrics: prom, storage: s3, control: a, experiment: b}"
SERVICE = """\
owner: payments
package: checkout
config: {{to: /etc/checkout.json, format: json}}
deploy:
  type: spinnaker
  application: checkout
  pipeline: deploy
  parameters: {{version: V, region: REGION, ami: AMI, config: CONFIG, fairleadKey: KEY}}
  select: {{cluster: "checkout-prod"}}
  rollback: {{pipeline: rollback, parameters: {{restore: RESTORE, disable: DISABLE, region: REGION}}}}
  generate:
    {more}
    zones: {{us-east-1: [us-east-1a]}}
    capacity: {{min: 1, max: 1, desired: 1}}
    cluster: {{tags: {{team: payments}}}}
"""
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n",
    "environments/prod/environment.yaml": """\
account: "123456789012"
regions: [us-east-1]
spinnaker: {url: "https://gate.example.com", account: prod}
trigger: {bucket: example-prod}
""",
    "environments/prod/checkout.yaml": "version: 1.4.1\n",
    "services/checkout.config.yaml": "currency: EUR\n",
}
TOLD = {"V": "1.1.0", "REGION": REGION, "KEY": "key-1", "CONFIG": "s3://example-prod/config"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Aws]:
    with Aws() as running:
        yield running


@pytest.fixture
def aws(shared: Aws) -> Aws:
    """A cluster of one group, and no image of 1.1.0."""
    for group in groups(shared):
        server_groups.delete(shared, group)
    while (image := images.find(shared, REGION, "checkout", "1.1.0")) is not None:
        shared.client("ec2", REGION).deregister_image(ImageId=image.id)
    seed_cluster(shared, "checkout-prod", REGION, "checkout", "1.0.0", capacity=1)
    return shared


@pytest.fixture
def gate(aws: Aws) -> Iterator[Gate]:
    with Gate(aws, SETTINGS) as running:
        yield running


def run(gate: Gate, more: str, pipeline: str = "deploy", told: Mapping[str, str] = TOLD) -> dict[str, Any]:
    """Write the fleet's pipelines, start one, and give how it ended."""
    files = {**FILES, "services/checkout.yaml": SERVICE.format(more=more)}
    state = wiring.parser().parse(MemoryTree({path: text.encode() for path, text in files.items()}))
    assert [] == [str(each) for each in state.problems]
    for wanted in wanted_of(state.fleets["prod/checkout"]):
        assert requests.post(f"{gate.url}/pipelines", json=wanted.config(wanted.id), timeout=10).ok
    answer = requests.post(f"{gate.url}/pipelines/checkout/{pipeline}", json={"parameters": dict(told)}, timeout=10)
    assert answer.status_code == 202, answer.text
    for _ in range(100):
        gate.tick()
        seen: dict[str, Any] = requests.get(gate.url + answer.json()["ref"], timeout=10).json()
        if seen.get("endTime") is not None:
            return seen
    raise AssertionError("it did not end in 100 steps")


def statuses(seen: Mapping[str, Any]) -> dict[str, str]:
    return {each["refId"]: each["status"] for each in seen["stages"] if each.get("parentStageId") is None}


def groups(aws: Aws) -> list[ServerGroup]:
    return server_groups.groups_of(aws, REGION, "checkout-prod")


def test_an_image_is_baked_tagged_and_deployed_with_its_key_and_configuration(gate: Gate, aws: Aws) -> None:
    assert "SUCCEEDED" == run(gate, BAKE)["status"]

    group = groups(aws)[-1]
    assert {"fairlead:key": "key-1", "fairlead:config": "s3://example-prod/config", "team": "payments"} == group.tags
    image = images.by_id(aws, REGION, server_groups.launch_image(aws, group))
    assert ("checkout", "1.1.0") == (image.package, image.version)


@pytest.mark.parametrize("strategy", ["redblack", "rollingredblack", "highlander"])
def test_the_first_group_of_a_cluster_has_the_size_that_the_service_file_says(
    strategy: str, gate: Gate, aws: Aws
) -> None:
    for group in groups(aws):
        server_groups.delete(aws, group)

    assert "SUCCEEDED" == run(gate, f"{BAKE}\n    strategy: {strategy}")["status"]

    assert [("checkout-prod-v000", 1)] == [(each.name, each.desired) for each in groups(aws)]


def test_an_image_that_is_told_is_deployed_and_none_is_baked(gate: Gate, aws: Aws) -> None:
    other = images.register(aws, REGION, "checkout", "0.9.0", datetime(2026, 11, 1, tzinfo=UTC))

    seen = run(gate, BAKE, told={**TOLD, "AMI": other.id})

    assert ("SUCCEEDED", "SKIPPED", "SKIPPED") == (seen["status"], statuses(seen)["bake"], statuses(seen)["tag"])
    assert other.id == server_groups.launch_image(aws, groups(aws)[-1])


def test_an_image_that_was_baked_elsewhere_is_found_by_its_version(gate: Gate, aws: Aws) -> None:
    baked = images.register(aws, REGION, "checkout", "1.1.0", datetime(2026, 11, 1, tzinfo=UTC))

    assert "SUCCEEDED" == run(gate, "strategy: highlander")["status"]

    assert [baked.id] == [server_groups.launch_image(aws, each) for each in groups(aws)]


def test_an_image_that_nobody_baked_fails_before_anything_is_deployed(gate: Gate, aws: Aws) -> None:
    assert "TERMINAL" == run(gate, "strategy: highlander")["status"]

    assert 1 == len(groups(aws))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"V": "1.1.0; reboot"}, "the version is none that a Debian package can have"),
        ({"REGION": "eu-west-1"}, "the region is none of this pipeline's"),
    ],
)
def test_a_guard_refuses_before_anything_is_baked(told: dict[str, str], said: str, gate: Gate, aws: Aws) -> None:
    seen = run(gate, BAKE, told={**TOLD, **told})

    assert ("TERMINAL", "TERMINAL", "NOT_STARTED") == (seen["status"], *list(statuses(seen).values())[:2])
    assert [said] == list(errors_of(seen["stages"]))
    assert 1 == len(groups(aws))


def test_a_cluster_with_too_many_groups_takes_no_more(gate: Gate, aws: Aws) -> None:
    seed_cluster(aws, "checkout-prod", REGION, "checkout", "1.0.0", capacity=1)

    assert "TERMINAL" == run(gate, f"{BAKE}\n    groups_at_most: 1")["status"]

    assert 2 == len(groups(aws))


def test_a_canary_below_its_score_deploys_nothing(gate: Gate, aws: Aws) -> None:
    gate.faults.on("canary_score", score=60)

    seen = run(gate, f"{BAKE}\n    {CANARY}")

    assert ("TERMINAL", "TERMINAL") == (seen["status"], statuses(seen)["canary"])
    assert 1 == len(groups(aws))


@pytest.mark.parametrize(
    "told",
    [
        {"RESTORE": "basket-prod-v001", "DISABLE": "checkout-prod-v000"},
        {"RESTORE": "checkout-prod-v001", "DISABLE": "checkout-prod"},
        {"RESTORE": "checkout-prod-v001", "DISABLE": "checkout-prod-blue-v000"},
    ],
)
def test_a_rollback_to_or_from_a_group_of_somebody_else_is_refused(told: dict[str, str], gate: Gate) -> None:
    seen = run(gate, BAKE, "rollback", {"REGION": REGION, **told})

    assert {"guard": "TERMINAL", "rollback": "NOT_STARTED"} == statuses(seen)
