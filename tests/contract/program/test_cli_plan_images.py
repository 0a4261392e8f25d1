"""plan --images: a missing AMI is found before the merge, by a real AWS API (moto)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.clock import SystemClock
from fairlead.cli import app
from fairlead_sandbox import images
from fairlead_sandbox.aws import Aws

EAST, WEST, ACCOUNT = "us-east-1", "eu-west-1", "123456789012"
BOTH = {f"environments/{name}/checkout.yaml": "version: 1.4.2\n" for name in ("staging", "prod")}
PROD = {"environments/prod/checkout.yaml": "version: 1.4.2\n"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    with Aws() as running:
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def promoting(desired: Any, files: dict[str, str]) -> Any:
    """The example, whose services take the AMI of staging."""
    services = {path: text for path, text in files.items() if path.startswith("services/")}
    desired.change({path: text.replace("{version: PKG", "{ami: AMI, version: PKG") for path, text in services.items()})
    return desired


def plan(desired: Any, *args: str) -> Result:
    return CliRunner().invoke(app, ["plan", "--repository", str(desired.clone.folder), *args])


def found(desired: Any, *args: str) -> list[tuple[str, str]]:
    """Region and state of what is said of images."""
    said = json.loads(plan(desired, "--images", "-o", "json", *args).stdout)
    assert all(
        {"fleet", "environment", "region", "account", "state", "ami", "message"} == set(each) for each in said["images"]
    )
    return [(each["region"], each["state"]) for each in said["images"]]


def bake(aws: Aws, region: str, version: str = "1.4.2") -> str:
    return images.register(aws, region, "checkout", version, SystemClock().now()).id


def test_without_the_option_nobody_is_asked(promoting: Any) -> None:
    promoting.change(PROD)

    done = plan(promoting, "-o", "json")

    assert (0, []) == (done.exit_code, json.loads(done.stdout)["images"])


def test_a_missing_image_is_named_with_region_and_account_and_exits_1(promoting: Any, aws: Aws) -> None:
    image = bake(aws, EAST)
    promoting.change(PROD)

    done = plan(promoting, "--images")

    assert 1 == done.exit_code
    assert f"    image in {EAST} (account {ACCOUNT}): {image} baked in staging\n" in done.stdout
    assert (
        f"    image in {WEST} (account {ACCOUNT}): staging baked checkout 1.4.2 in {EAST}, not in {WEST} "
        f"(account {ACCOUNT}); let it bake there, or copy the AMI"
    ) in done.stdout
    assert [(EAST, "found"), (WEST, "missing")] == found(promoting)
    assert f"image in {WEST} (account {ACCOUNT}): staging baked" in plan(promoting, "--images", "-o", "markdown").stdout


def test_what_is_baked_everywhere_exits_0(promoting: Any, aws: Aws) -> None:
    for region in (EAST, WEST):
        bake(aws, region)
    promoting.change(PROD)

    assert 0 == plan(promoting, "--images").exit_code


def test_what_the_same_change_bakes_first_is_coming(promoting: Any, aws: Aws) -> None:
    promoting.change(BOTH)

    assert [(EAST, "coming"), (WEST, "coming")] == found(promoting)
    assert [(EAST, "coming"), (WEST, "coming")] == found(promoting, "--fleet", "prod/checkout")
    assert 0 == plan(promoting, "--images").exit_code


def test_what_may_be_baked_here_is_no_fault(promoting: Any, aws: Aws) -> None:
    path = "services/checkout.yaml"
    text = (promoting.clone.folder / path).read_text()
    promoting.change({path: text.replace("  select:", "  image: {missing: bake}\n  select:"), **PROD})

    assert [(EAST, "baked here"), (WEST, "baked here")] == found(promoting)
    assert 0 == plan(promoting, "--images").exit_code


def test_an_aws_that_does_not_answer_is_said_and_is_no_yes(promoting: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:1", "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    promoting.change(PROD)

    done = plan(promoting, "--images", "--fleet", "prod/checkout")

    assert 1 == done.exit_code
    assert "the AWS endpoint cannot be reached" in done.stdout
