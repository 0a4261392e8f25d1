"""What is printed for the night without Spinnaker, run line by line against a real AWS API; then Fairlead looks."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from desired_state.trees import FolderTree
from fairlead import wiring
from fairlead.cli import app
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import Aws
from fairlead_sandbox.aws_lines import run_line
from fairlead_sandbox.world import seed_cluster

EAST, WEST = "us-east-1", "eu-west-1"
CLUSTER, FLEET = "checkout-prod", "prod/checkout"
FILES = {
    "fairlead.yaml": "apiVersion: fairlead/v1\nenvironments: [prod]\n",
    "environments/prod/environment.yaml": (
        'account: "123456789012"\nregions: [us-east-1, eu-west-1]\n'
        'spinnaker: {url: "https://gate.example.com", account: prod}\n'
    ),
    "environments/prod/checkout.yaml": 'version: "1.4.1"\n',
    "services/checkout.yaml": """\
owner: payments
package: checkout
deploy:
  type: spinnaker
  application: checkout
  pipeline: deploy-prod
  parameters: {version: V, region: R, fairleadKey: K}
  select: {cluster: checkout-prod}
""",
}


class Night:
    """One fleet in two regions whose 1.4.2 went out and is bad, a checkout of the repository, and no Gate."""

    def __init__(self, aws: Aws, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        for path, text in FILES.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        self.balanced = {region: self._deployed(region) for region in (EAST, WEST)}

    def _deployed(self, region: str) -> str:
        """1.4.1 stands disabled and empty beside 1.4.2, which serves in a target group; gives the target group."""
        elb, ec2 = self.aws.client("elbv2", region), self.aws.client("ec2", region)
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        target = elb.create_target_group(Name="checkout", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
        arn = str(target["TargetGroupArn"])
        old = seed_cluster(self.aws, CLUSTER, region, "checkout", "1.4.1")
        group = server_groups.read(self.aws, region, old)
        assert group is not None
        new = images.register(self.aws, region, "checkout", "1.4.2", SystemClock().now())
        made = server_groups.create(self.aws, region, f"{CLUSTER}-v001", new.id, (2, 4, 3), {"team": "payments"})
        self.autoscaling(region).attach_load_balancer_target_groups(
            AutoScalingGroupName=made.name, TargetGroupARNs=[arn]
        )
        server_groups.disable(self.aws, group)
        server_groups.scale_down(self.aws, group)
        return arn

    def autoscaling(self, region: str = EAST) -> Any:
        return self.aws.client("autoscaling", region)

    def prints(self, *args: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["rollback", FLEET, "--manual", "--path", str(self.folder), *args])
        assert code == done.exit_code, done.output
        return done.stdout + done.stderr

    def runs(self, printed: str) -> list[Any]:
        lines = [line.strip() for line in printed.splitlines() if line.strip().startswith("aws ")]
        return [run_line(self.aws.client, line) for line in lines]

    def looks(self, printed: str) -> list[Any]:
        lines = [line.strip().removeprefix("look: ") for line in printed.splitlines() if "look: aws " in line]
        return [run_line(self.aws.client, line) for line in lines]

    def units(self) -> dict[str, tuple[Any, bool]]:
        """What Fairlead itself sees in each region: the version, and whether it is healthy."""
        fleet = wiring.parser().parse(FolderTree(self.folder)).fleets[FLEET]
        deployer = Spinnaker(
            sessions=Sessions(max_attempts=1), gates=Gates({}), clock=SystemClock(), read_within=timedelta(seconds=60)
        )
        observed = deployer.observe(fleet, deployer.refresh(fleet, (), {}))
        return {unit.id: (unit.components.get("package/checkout"), unit.healthy) for unit in observed.units}

    def served(self, region: str = EAST) -> set[str]:
        """The instances that the target group sends to."""
        health = self.aws.client("elbv2", region).describe_target_health(TargetGroupArn=self.balanced[region])
        found = health["TargetHealthDescriptions"]
        return {each["Target"]["Id"] for each in found if each["TargetHealth"]["State"] not in {"draining", "unused"}}

    def instances(self, name: str, region: str = EAST) -> set[str]:
        group = server_groups.read(self.aws, region, name)
        return {each["InstanceId"] for each in group.instances} if group is not None else set()


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as aws:
        yield aws


@pytest.fixture
def night(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    night = Night(aws, tmp_path)
    yield night
    for region, target_group in night.balanced.items():
        for group in server_groups.groups_of(aws, region, CLUSTER):
            aws.client("autoscaling", region).delete_auto_scaling_group(
                AutoScalingGroupName=group.name, ForceDelete=True
            )
        ec2 = aws.client("ec2", region)
        for template in ec2.describe_launch_templates()["LaunchTemplates"]:
            ec2.delete_launch_template(LaunchTemplateId=template["LaunchTemplateId"])
        for image in ec2.describe_images(Owners=["self"])["Images"]:
            ec2.deregister_image(ImageId=image["ImageId"])
        aws.client("elbv2", region).delete_target_group(TargetGroupArn=target_group)


def test_what_stands_is_enabled_and_the_bad_one_taken_out_of_service(night: Night) -> None:
    printed = night.prints()
    assert f"{FLEET}: back to 1.4.1 by hand, the newest version that stands beside what runs." in printed
    assert "us-east-1: checkout-prod-v000 is 1.4.1, and stands, and is disabled" in printed

    night.runs(printed)

    assert {EAST: ("1.4.1", True), WEST: ("1.4.1", True)} == night.units()
    for region in (EAST, WEST):
        groups = {group.name: group for group in server_groups.groups_of(night.aws, region, CLUSTER)}
        old, bad = groups["checkout-prod-v000"], groups["checkout-prod-v001"]
        assert (True, (2, 4, 3)) == (old.enabled, (old.minimum, old.maximum, old.desired))
        assert (False, 3) == (bad.enabled, bad.desired)
        assert night.instances(old.name, region) == night.served(region)
        assert night.looks(printed)
    again = night.prints("--to", "1.4.1")
    assert [] == night.runs(again)
    assert 2 == again.count("checkout-prod-v000 serves 1.4.1 already; there is nothing to do")


def test_a_group_that_kept_its_instances_and_sleeps_deeply_is_entered_by_hand(night: Night) -> None:
    old = "checkout-prod-v000"
    night.autoscaling().update_auto_scaling_group(AutoScalingGroupName=old, MinSize=1, MaxSize=9, DesiredCapacity=2)
    night.autoscaling().suspend_processes(AutoScalingGroupName=old, ScalingProcesses=["Launch", "Terminate"])
    printed = night.prints("--to", "1.4.1")
    assert "resume-processes --region us-east-1 --auto-scaling-group-name checkout-prod-v000 --scaling-processes " in (
        printed
    )
    assert "--scaling-processes AddToLoadBalancer Launch Terminate" in printed
    assert "elbv2 register-targets --region us-east-1" in printed

    night.runs(printed)

    assert {EAST: ("1.4.1", True), WEST: ("1.4.1", True)} == night.units()
    assert night.instances(old) == night.served()
    group = server_groups.read(night.aws, EAST, old)
    assert group is not None
    assert (2, 9, 3) == (group.minimum, group.maximum, group.desired)


def test_where_none_stands_one_is_made_from_the_image_and_the_others_like(night: Night) -> None:
    night.autoscaling().delete_auto_scaling_group(AutoScalingGroupName="checkout-prod-v000", ForceDelete=True)
    printed = night.prints("--to", "1.4.1")
    assert "us-east-1: no server group of 1.4.1 stands; one is made" in printed
    assert "it answers 2; if it answers another number" in printed

    answers = night.runs(printed)

    assert {EAST: ("1.4.1", True), WEST: ("1.4.1", True)} == night.units()
    assert [2] == [
        each["LaunchTemplateVersion"]["VersionNumber"] for each in answers if "LaunchTemplateVersion" in each
    ]
    made = server_groups.read(night.aws, EAST, "checkout-prod-v002")
    assert made is not None
    assert ({"team": "payments"}, (2, 4, 3)) == (dict(made.tags), (made.minimum, made.maximum, made.desired))
    assert night.instances(made.name) == night.served()


def test_what_launches_the_newest_version_of_the_template_keeps_its_image(night: Night) -> None:
    night.autoscaling().delete_auto_scaling_group(AutoScalingGroupName="checkout-prod-v000", ForceDelete=True)
    serves = night.autoscaling().describe_auto_scaling_groups(AutoScalingGroupNames=["checkout-prod-v001"])
    template = serves["AutoScalingGroups"][0]["LaunchTemplate"]["LaunchTemplateId"]
    night.autoscaling().update_auto_scaling_group(
        AutoScalingGroupName="checkout-prod-v001",
        LaunchTemplate={"LaunchTemplateId": template, "Version": "$Latest"},
    )

    printed = night.prints("--to", "1.4.1")
    night.runs(printed)

    assert f"Keep checkout-prod-v001 at version 1 of launch template {template}: launching $Latest" in printed
    after = night.autoscaling().describe_auto_scaling_groups(AutoScalingGroupNames=["checkout-prod-v001"])
    assert "1" == after["AutoScalingGroups"][0]["LaunchTemplate"]["Version"]
    assert {EAST: ("1.4.1", True), WEST: ("1.4.1", True)} == night.units()


def test_what_is_not_copied_is_said_and_shown(night: Night) -> None:
    night.autoscaling().delete_auto_scaling_group(AutoScalingGroupName="checkout-prod-v000", ForceDelete=True)

    printed = night.prints("--to", "1.4.1")

    assert "scaling policies, scheduled actions, lifecycle hooks" in printed
    assert "look: aws autoscaling describe-lifecycle-hooks --region us-east-1 --auto-scaling-group-name " in printed
    assert night.looks(printed)


def test_the_account_that_the_lines_are_for_is_to_be_looked_at_first(night: Night) -> None:
    lines = [line.strip() for line in night.prints().splitlines()]

    first = next(number for number, line in enumerate(lines) if "aws " in line)
    assert ("2. Be in account 123456789012 (prod).", "expect: 123456789012") == (lines[first - 1], lines[first + 1])
    assert {"123456789012"} == {run_line(night.aws.client, lines[first].removeprefix("look: "))["Account"]}


def test_where_there_is_nothing_it_says_so_and_goes_on_with_the_other_region(night: Night) -> None:
    night.autoscaling().delete_auto_scaling_group(AutoScalingGroupName="checkout-prod-v000", ForceDelete=True)
    for image in night.aws.client("ec2").describe_images(Owners=["self"])["Images"]:
        if any("1.4.1" in tag["Value"] for tag in image.get("Tags", [])):
            night.aws.client("ec2").deregister_image(ImageId=image["ImageId"])

    printed = night.prints("--to", "1.4.1")

    assert (
        "us-east-1: no server group of 1.4.1 stands; no image of it can be launched: prod baked checkout 1.4.1 in "
        "eu-west-1, not in us-east-1 (account 123456789012)" in printed
    )
    assert "Keep the suspend file: us-east-1 cannot be brought back by these lines" in printed
    assert "starts nothing" not in printed
    assert "eu-west-1: checkout-prod-v000 is 1.4.1, and stands, and is disabled" in printed


def test_it_says_how_to_suspend_and_what_to_do_in_git_afterwards(night: Night) -> None:
    printed = night.prints()
    path = printed.partition("# environments/")[2].partition("\n")[0]
    text = printed.partition(f"# environments/{path}\n")[2].partition("\n")[0].strip()
    (night.folder / "environments" / path).write_text(f"{text}\n")

    fleet = wiring.parser().parse(FolderTree(night.folder)).fleets[FLEET]

    assert "rolled back by hand to 1.4.1" == fleet.suspension.reason  # type: ignore[union-attr]
    assert "fairlead rollback prod/checkout" in printed
    said = json.loads(night.prints("-o", "json"))
    assert {"fleet", "version", "why", "suspend", "account", "regions", "revert"} == set(said)
    assert ["us-east-1", "eu-west-1"] == [region["region"] for region in said["regions"]]


def test_nothing_to_go_back_to_is_said_in_a_sentence(night: Night) -> None:
    for region in (EAST, WEST):
        night.autoscaling(region).delete_auto_scaling_group(AutoScalingGroupName="checkout-prod-v000", ForceDelete=True)

    assert "no server group of another version stands; say which one with --to VERSION" in night.prints(code=2)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--manual"], "--manual goes with a fleet"),
        ([FLEET, "--path", "."], "--path goes with --manual"),
        ([FLEET, "--manual", "--path", "/nowhere"], "/nowhere: there is no such folder"),
        ([FLEET, "--manual", "--path", "."], "declares no sound prod/checkout"),
    ],
)
def test_a_wrong_command_line_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["rollback", *args])

    assert 2 == done.exit_code
    assert said in done.stderr


def test_a_ledger_that_does_not_know_the_fleet_names_the_other_road(tmp_path: Path) -> None:
    config = tmp_path / "fairlead.toml"
    config.write_text(f'state = "{tmp_path / "state"}"\n')

    done = CliRunner().invoke(app, ["rollback", FLEET, "--manual", "--config", str(config)])

    assert 2 == done.exit_code
    assert "--path FOLDER reads a checkout of the repository instead" in done.stderr


def test_a_fleet_of_hosts_has_no_need_of_it(tmp_path: Path) -> None:
    example = Path(__file__).parents[3] / "deploy" / "example"

    done = CliRunner().invoke(app, ["rollback", "prod/matchmaker", "--manual", "--path", str(example)])

    assert 2 == done.exit_code
    assert "only fleets that Spinnaker deploys need this" in done.stderr
