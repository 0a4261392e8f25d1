"""A pipeline of the sandbox's Gate really bakes and deploys: seen through boto3, as red/black leaves it."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.gate import Gate, GateSettings, deploy_pipeline
from fairlead_sandbox.server_groups import ServerGroup
from fairlead_sandbox.world import seed_cluster

SETTINGS = GateSettings(bake_seconds=0, deploy_seconds=0, health_seconds=0, background=False)
REGIONS = ("us-east-1", "eu-west-1")
CLUSTER = "checkout-prod"


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as running:
        for region in REGIONS:
            seed_cluster(running, CLUSTER, region, "checkout", "1.0.0", capacity=3)
        yield running


@pytest.fixture
def gate(aws: Aws) -> Iterator[Gate]:
    with Gate(aws, SETTINGS) as running:
        running.pipelines.save(deploy_pipeline("checkout", "deploy", CLUSTER, "checkout", regions=REGIONS))
        yield running


def start(gate: Gate, version: str, **parameters: str) -> str:
    parameters = {"PKG_VERSION": version, "REGION": "us-east-1", **parameters}
    answer = requests.post(f"{gate.url}/pipelines/checkout/deploy", json={"parameters": parameters}, timeout=10)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["ref"])


def read(gate: Gate, ref: str) -> dict[str, Any]:
    seen: dict[str, Any] = requests.get(gate.url + ref, timeout=10).json()
    return seen


def finish(gate: Gate, ref: str) -> dict[str, Any]:
    for _ in range(100):
        gate.tick()
        seen = read(gate, ref)
        if seen.get("endTime") is not None:
            return seen
    raise AssertionError(f"{ref} did not end in 100 steps")


def deploy(gate: Gate, version: str, **parameters: str) -> dict[str, Any]:
    return finish(gate, start(gate, version, **parameters))


def groups(aws: Aws, region: str = "us-east-1") -> list[ServerGroup]:
    return server_groups.groups_of(aws, region, CLUSTER)


def shown(aws: Aws, region: str = "us-east-1") -> list[tuple[str, bool, int, int]]:
    return [(each.name[-4:], each.enabled, each.desired, each.healthy) for each in groups(aws, region)]


def test_a_deploy_brings_up_a_healthy_group_and_retires_the_old(gate: Gate, aws: Aws) -> None:
    seen = deploy(gate, "1.1.0")

    assert seen["status"] == "SUCCEEDED"
    assert [("v000", False, 0, 0), ("v001", True, 3, 3)] == shown(aws)


def test_the_new_group_runs_the_baked_version(gate: Gate, aws: Aws) -> None:
    deploy(gate, "1.1.0")

    ids = [each["InstanceId"] for each in groups(aws)[-1].instances]
    reservations = aws.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
    found = {each["ImageId"] for reservation in reservations for each in reservation["Instances"]}
    assert ["1.1.0"] == [images.by_id(aws, "us-east-1", each).version for each in found]


def test_the_execution_tells_what_it_did(gate: Gate) -> None:
    seen = deploy(gate, "1.1.0")

    assert [("Bake", "SUCCEEDED"), ("Deploy us-east-1", "SUCCEEDED"), ("Deploy eu-west-1", "SKIPPED")] == [
        (each["name"], each["status"]) for each in seen["stages"] if each.get("parentStageId") is None
    ]
    synthetic = next(each for each in seen["stages"] if each.get("parentStageId"))
    assert ("createServerGroup", "STAGE_BEFORE") == (synthetic["type"], synthetic["syntheticStageOwner"])
    assert {"us-east-1": ["checkout-prod-v001"]} == synthetic["context"]["deploy.server.groups"]
    assert {"us-east-1", "eu-west-1"} == {each["region"] for each in seen["stages"][0]["outputs"]["deploymentDetails"]}


def test_a_region_parameter_limits_the_deploy_to_it(gate: Gate, aws: Aws) -> None:
    deploy(gate, "1.1.0", REGION="eu-west-1")

    assert ([("v000", True, 3, 3)], "v001") == (shown(aws), shown(aws, "eu-west-1")[-1][0])


def test_a_pipeline_without_a_region_deploys_to_all(gate: Gate, aws: Aws) -> None:
    deploy(gate, "1.1.0", REGION="")

    assert ["v001", "v001"] == [shown(aws, region)[-1][0] for region in REGIONS]


def test_the_pipeline_tags_the_group_with_what_it_was_told(gate: Gate, aws: Aws) -> None:
    deploy(gate, "1.1.0", FAIRLEAD_KEY="a-key", CONFIG="s3://bucket/config")

    assert {"fairlead:key": "a-key", "fairlead:config": "s3://bucket/config"} == dict(groups(aws)[-1].tags)


def test_an_image_is_baked_once_a_version_unless_a_rebake_is_asked_for(gate: Gate, aws: Aws) -> None:
    def baked() -> int:
        tag = [{"Name": "tag:fairlead:package/checkout", "Values": ["1.1.0"]}]
        return len(aws.client("ec2").describe_images(Filters=tag)["Images"])

    deploy(gate, "1.1.0")
    deploy(gate, "1.1.0")
    assert baked() == 1

    body = {"rebake": True, "parameters": {"PKG_VERSION": "1.1.0", "REGION": "us-east-1"}}
    finish(gate, requests.post(f"{gate.url}/pipelines/checkout/deploy", json=body, timeout=10).json()["ref"])
    assert baked() == 2


def test_an_ami_parameter_is_deployed_without_a_bake(gate: Gate, aws: Aws) -> None:
    image = images.find(aws, "us-east-1", "checkout", "1.0.0")
    assert image is not None

    seen = deploy(gate, "1.0.0", AMI=image.id)

    assert ("SKIPPED", "SUCCEEDED") == (seen["stages"][0]["status"], seen["status"])
    assert shown(aws)[-1] == ("v001", True, 3, 3)


def test_only_two_groups_are_kept(gate: Gate, aws: Aws) -> None:
    for version in ("1.1.0", "1.2.0", "1.3.0"):
        deploy(gate, version)

    assert [("v002", False, 0, 0), ("v003", True, 3, 3)] == shown(aws)
    templates = aws.client("ec2").describe_launch_templates()["LaunchTemplates"]
    assert {"checkout-prod-v002", "checkout-prod-v003"} == {each["LaunchTemplateName"] for each in templates}


def test_a_failed_deploy_leaves_the_new_group_enabled_and_unhealthy_beside_the_old(gate: Gate, aws: Aws) -> None:
    gate.faults.on("unhealthy_version", version="1.1.0")

    seen = deploy(gate, "1.1.0")

    assert seen["status"] == "TERMINAL"
    assert [("v000", True, 3, 3), ("v001", True, 3, 0)] == shown(aws)
    told = [
        each["context"]["exception"]["details"]["errors"] for each in seen["stages"] if "exception" in each["context"]
    ]
    assert [True] == ["0 of 3 instances of checkout-prod-v001 are up in us-east-1" in errors[0] for errors in told]


def test_the_next_good_deploy_retires_the_failed_group_too(gate: Gate, aws: Aws) -> None:
    gate.faults.on("unhealthy_version", version="1.1.0")
    deploy(gate, "1.1.0")

    deploy(gate, "1.0.0")

    assert [("v000", False, 0, 0), ("v001", False, 0, 0), ("v002", True, 3, 3)] == shown(aws)


def test_a_rollback_on_failure_disables_the_new_group_and_nothing_else(aws: Aws) -> None:
    config = deploy_pipeline("checkout", "deploy", CLUSTER, "checkout", regions=["us-east-1"])
    config["stages"][1]["clusters"][0]["rollback"] = {"onFailure": True}
    with Gate(aws, SETTINGS) as gate:
        gate.pipelines.save(config)
        gate.faults.on("unhealthy_version", version="1.1.0")
        deploy(gate, "1.1.0")

    assert [("v000", True, 3, 3), ("v001", False, 3, 0)] == shown(aws)


def test_a_version_that_is_unhealthy_no_more_deploys(gate: Gate, aws: Aws) -> None:
    gate.faults.on("unhealthy_version", version="1.1.0")
    deploy(gate, "1.1.0")
    gate.faults.off("unhealthy_version")

    assert deploy(gate, "1.1.0")["status"] == "SUCCEEDED"
    assert shown(aws)[-1] == ("v002", True, 3, 3)


def test_a_failed_bake_changes_no_group(gate: Gate, aws: Aws) -> None:
    gate.faults.on("fail_bake", version="1.1.0")

    seen = deploy(gate, "1.1.0")

    assert ("TERMINAL", "NOT_STARTED") == (seen["status"], seen["stages"][1]["status"])
    assert "checkout" in seen["stages"][0]["context"]["exception"]["details"]["errors"][0]
    assert [("v000", True, 3, 3)] == shown(aws)


def test_succeeded_can_mean_that_nothing_was_deployed(gate: Gate, aws: Aws) -> None:
    gate.faults.on("deploys_nothing", times=1)

    assert deploy(gate, "1.1.0")["status"] == "SUCCEEDED"
    assert [("v000", True, 3, 3)] == shown(aws)


def test_a_mangled_version_is_not_deployed(gate: Gate, aws: Aws) -> None:
    deploy(gate, "1.${1+1}")

    image = groups(aws)[-1].instances[0]["InstanceId"]
    found = aws.client("ec2").describe_instances(InstanceIds=[image])["Reservations"][0]["Instances"][0]["ImageId"]
    assert images.by_id(aws, "us-east-1", found).version == "1.2"


@pytest.mark.parametrize("steps", range(1, 8))
def test_a_canceled_execution_changes_nothing_any_more(gate: Gate, aws: Aws, steps: int) -> None:
    ref = start(gate, "1.1.0")
    for _ in range(steps):
        gate.tick()
    requests.put(f"{gate.url}{ref}/cancel", params={"reason": "newer"}, timeout=10)
    at_the_cancel = shown(aws)

    for _ in range(20):
        gate.tick()

    assert read(gate, ref)["status"] == "CANCELED"
    assert at_the_cancel == shown(aws)


def test_an_unknown_ami_fails_the_deploy_with_awss_words(gate: Gate, aws: Aws) -> None:
    seen = deploy(gate, "1.1.0", AMI="ami-0123456789abcdef0")

    assert seen["status"] == "TERMINAL"
    failed = next(each for each in seen["stages"] if each.get("parentStageId"))
    assert "ami-0123456789abcdef0" in failed["context"]["kato.tasks"][0]["exception"]["message"]
    assert not any("exception" in each["context"] for each in seen["stages"])


def test_in_the_background_a_pipeline_runs_by_itself(aws: Aws) -> None:
    settings = GateSettings(bake_seconds=0.01, deploy_seconds=0.01, health_seconds=5, tick_seconds=0.005)
    with Gate(aws, settings) as gate:
        gate.pipelines.save(deploy_pipeline("checkout", "deploy", CLUSTER, "checkout", regions=REGIONS))
        ref = start(gate, "1.1.0")
        assert gate.wait_for_end(ref, timeout=30) == "SUCCEEDED"

    assert [("v000", False, 0, 0), ("v001", True, 3, 3)] == shown(aws)
