"""The paper for a fleet whose AMIs another account bakes, owns and tags: here they are only shared (moto)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.aws.sessions import Sessions
from fairlead.cli import app
from fairlead_sandbox import server_groups
from fairlead_sandbox.aws import ACCOUNT, Aws

EAST, CLUSTER, FLEET, BAKER = "us-east-1", "checkout-prod", "prod/checkout", "222222222222"
ROLE = f"arn:aws:iam::{BAKER}:role/fairlead"
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [staging, prod]\n",
    "environments/staging/environment.yaml": (
        f'account: "{BAKER}"\nregions: [us-east-1]\nrole: {ROLE}\n'
        'spinnaker: {url: "https://gate.example.com", account: staging}\n'
    ),
    "environments/staging/checkout.yaml": 'version: "1.4.2"\n',
    "environments/prod/environment.yaml": (
        f'account: "{ACCOUNT}"\nregions: [us-east-1]\nspinnaker: {{url: "https://gate.example.com", account: prod}}\n'
    ),
    "environments/prod/checkout.yaml": 'version: "1.4.2"\n',
    "services/checkout.yaml": """\
owner: payments
package: checkout
deploy:
  type: spinnaker
  application: checkout
  pipeline: "deploy-{environment}"
  parameters: {version: V, region: R, ami: A, fairleadKey: K}
  select: {cluster: "checkout-{environment}"}
""",
}


class Promoted:
    """1.4.1 stands disabled beside 1.4.2, both of AMIs that staging's account baked and shares."""

    def __init__(self, aws: Aws, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        for path, text in FILES.items():
            self.write(path, text)
        self.images = {version: self.baked(version) for version in ("1.4.1", "1.4.2")}
        old = server_groups.create(aws, EAST, f"{CLUSTER}-v000", self.images["1.4.1"], (0, 0, 0), {})
        server_groups.disable(aws, old)
        server_groups.create(aws, EAST, f"{CLUSTER}-v001", self.images["1.4.2"], (1, 1, 1), {})

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def baked(self, version: str) -> str:
        ec2: Any = Sessions(max_attempts=1).client("ec2", EAST, role=ROLE, account=BAKER)
        tags = [{"Key": "fairlead:package/checkout", "Value": version}]
        image = ec2.register_image(
            Name=f"checkout-{version}", TagSpecifications=[{"ResourceType": "image", "Tags": tags}]
        )
        ec2.modify_image_attribute(ImageId=image["ImageId"], LaunchPermission={"Add": [{"UserId": ACCOUNT}]})
        return str(image["ImageId"])

    def staging_is_away(self) -> None:
        path = "environments/staging/environment.yaml"
        self.write(path, FILES[path].replace(ROLE, "arn:aws:iam::333333333333:role/fairlead"))

    def prints(self, *args: str) -> str:
        done = CliRunner().invoke(app, ["rollback", FLEET, "--manual", "--path", str(self.folder), *args])
        assert 0 == done.exit_code, done.output
        return done.stdout


@pytest.fixture
def promoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Promoted]:
    with Aws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        yield Promoted(aws, tmp_path)


def test_a_group_is_known_by_what_the_owner_of_its_image_says(promoted: Promoted) -> None:
    printed = promoted.prints()

    assert "back to 1.4.1 by hand, the newest version that stands beside what runs" in printed
    assert "us-east-1: checkout-prod-v000 is 1.4.1, and stands, and is disabled" in printed


def test_one_is_made_from_the_shared_image(promoted: Promoted) -> None:
    gone = server_groups.read(promoted.aws, EAST, f"{CLUSTER}-v000")
    assert gone is not None
    server_groups.delete(promoted.aws, gone)

    printed = promoted.prints("--to", "1.4.1")

    assert f"with the image {promoted.images['1.4.1']}" in printed


def test_an_owner_that_cannot_be_asked_leaves_versions_unknown_and_the_paper_is_printed(promoted: Promoted) -> None:
    promoted.staging_is_away()

    printed = promoted.prints("--to", "1.4.1")

    unknown = "stands, and its version is unknown: "
    assert f"no server group is known to be 1.4.1; checkout-prod-v000 {unknown}" in printed
    assert f"checkout-prod-v001 {unknown}" in printed
    assert "reaches account 333333333333" in printed
    assert "Keep the suspend file: us-east-1 cannot be brought back by these lines" in printed
    assert "starts nothing" not in printed
