"""Which way an attempt goes, against a Gate that does what it is told to a real AWS API (moto)."""

import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.aws.sessions import Sessions
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from desired_state.model import Environment, Fleet, Policy, Suspension
from fairlead_sandbox import images, server_groups
from fairlead_sandbox.aws import ACCOUNT
from fairlead_sandbox.gate import deploy_pipeline, rollback_pipeline
from fairlead_sandbox.server_groups import ServerGroup
from reconciler.reasons import Reason
from reconciler.work import Failure, Intent, Kind, Outcome, Phase, Release, Standing

EAST, WEST = "us-east-1", "eu-west-1"
CLUSTER = "checkout-prod"
PARAMETERS = {"version": "PKG_VERSION", "region": "REGION", "ami": "AMI", "fairleadKey": "FAIRLEAD_KEY"}
ROLLBACK = {
    "pipeline": "rollback-prod",
    "parameters": {"restore": "RESTORE", "disable": "DISABLE", "region": "REGION", "fairleadKey": "FAIRLEAD_KEY"},
}
DEPLOY = {"pipeline": "promote-{region}", "parameters": PARAMETERS, "rollback": ROLLBACK}
STAGING = Environment(name="staging", account=ACCOUNT, regions=(EAST,), spinnaker={})


@dataclass
class Lanes:
    """The rig of this folder, with pipelines that take an AMI and one that goes back."""

    rig: Any

    def fleet(self, version: str = "1.4.1", **changes: Any) -> Fleet:
        fleet: Fleet = self.rig.fleet(version, deploy=changes.pop("deploy", DEPLOY), bakes=STAGING)
        return replace(fleet, **changes)

    def intent(self, fleet: Fleet | None = None, kind: Kind = Kind.REVERT, attempt: int = 1, **changes: Any) -> Intent:
        intent: Intent = self.rig.intent(fleet or self.fleet(), attempt=attempt, kind=kind, **changes)
        return intent

    def forget(self) -> None:
        """What was not there is not asked for at every turn: a deployer that has not just asked."""
        self.rig.deployer = Spinnaker(
            sessions=Sessions(max_attempts=1), gates=Gates({}, timeout=5), clock=self.rig.clock
        )

    def start(self, intent: Intent) -> Outcome:
        """With a fresh look at the world, as a pass starts."""
        deployer, fleet = self.rig.deployer, intent.fleet
        standing = Standing(target=Release(fleet=fleet, setting_commit=intent.setting_commit))
        snapshots = deployer.refresh(fleet, (), {})
        outcome: Outcome = next(iter(deployer.start([intent], standing, snapshots, self.rig.lease)))
        return outcome

    def deploy(self, version: str) -> Outcome:
        """Bring a version to the region by the plain pipeline, whatever comes of it."""
        fleet = self.rig.fleet(version)
        outcome: Outcome = self.rig.until_ended(self.rig.start(self.rig.intent(fleet)))
        return outcome

    def bake(self, version: str, region: str = EAST, later: timedelta = timedelta(0)) -> str:
        """`later` gives it a name that no other image has."""
        return images.register(self.rig.aws, region, "checkout", version, self.rig.clock.now() + later).id

    def stand(self, push: str, version: str, desired: int) -> ServerGroup:
        name, capacity = f"{CLUSTER}-{push}", (desired, desired, desired)
        return server_groups.create(self.rig.aws, EAST, name, self.bake(version), capacity, {})

    def clear(self) -> None:
        for each in server_groups.groups_of(self.rig.aws, EAST, CLUSTER):
            server_groups.delete(self.rig.aws, each)

    def groups(self) -> dict[str, tuple[bool, int]]:
        """Push to whether it is enabled, and its desired capacity."""
        found = server_groups.groups_of(self.rig.aws, EAST, CLUSTER)
        return {each.name.removeprefix(f"{CLUSTER}-"): (each.enabled, each.desired) for each in found}

    @property
    def sent(self) -> list[tuple[str, dict[str, str]]]:
        """Pipelines that were called, and with which parameters but the key."""
        calls = self.rig.gate.access_log.triggers()
        return [
            (
                call["path"].rpartition("/")[2],
                {name: value for name, value in call["body"]["parameters"].items() if name != "FAIRLEAD_KEY"},
            )
            for call in calls
        ]

    @property
    def bakes(self) -> int:
        """How many bake stages of ours ran."""
        stages = [stage for each in self.rig.gate.executions.all() for stage in each.body["stages"]]
        return sum(stage["type"] == "bake" and stage["status"] == "SUCCEEDED" for stage in stages)


@pytest.fixture
def lanes(rig: Any) -> Lanes:
    for region in (EAST, WEST):
        rig.gate.pipelines.save(
            deploy_pipeline(
                "checkout", f"promote-{region}", CLUSTER, "checkout", regions=[region], parameters=PARAMETERS
            )
        )
    rig.gate.pipelines.save(rollback_pipeline("checkout", "rollback-prod", [EAST, WEST]))
    return Lanes(rig)


# ── the AMI that was baked first ─────────────────────────────────────────────────────────────────────────────────


def test_what_another_environment_baked_is_deployed_and_nothing_is_baked_again(lanes: Lanes) -> None:
    image = lanes.bake("1.4.2")

    ended = lanes.rig.until_ended(lanes.start(lanes.intent(lanes.fleet("1.4.2"), Kind.DEPLOY)))

    assert (Phase.SUCCEEDED, f"as {image} baked in staging") == (ended.phase, ended.note)
    assert f"{EAST} runs 1.4.2 as {image} baked in staging and is healthy" == ended.message
    assert [(f"promote-{EAST}", {"PKG_VERSION": "1.4.2", "REGION": EAST, "AMI": image})] == lanes.sent
    assert 0 == lanes.bakes


def test_what_is_not_baked_yet_is_waited_for_and_goes_on_when_it_is(lanes: Lanes) -> None:
    intent = lanes.intent(lanes.fleet("1.4.2"), Kind.DEPLOY)

    waits = lanes.start(intent)
    lanes.bake("1.4.2")
    lanes.forget()
    goes_on = lanes.start(lanes.intent(lanes.fleet("1.4.2"), Kind.DEPLOY, attempt=2))

    assert (Phase.FAILED, Failure.TRANSIENT, Reason.IMAGE_MISSING) == (waits.phase, waits.failure, waits.reason)
    assert waits.message == (
        f"staging has not baked checkout 1.4.2 in {EAST} (account {ACCOUNT}) yet; deploy it there first"
    )
    assert Phase.RUNNING is goes_on.phase
    assert 1 == len(lanes.sent)


STEP = {"pipeline": "migrate-prod", "parameters": {"version": "TO"}, "irreversible": True}


def step_of(lanes: Lanes, **changes: Any) -> Intent:
    """The step before 1.4.2, of a fleet that is sent the AMI."""
    wait = {"refId": "1", "requisiteStageRefIds": [], "type": "wait", "name": "Migrate", "waitTime": 0}
    names = [{"name": "TO", "required": True, "default": None}]
    config = {"application": "checkout", "name": "migrate-prod", "stages": [wait], "parameterConfig": names}
    lanes.rig.gate.pipelines.save(config)
    fleet = lanes.fleet("1.4.2", deploy={**DEPLOY, "before": STEP, **changes.pop("deploy", {})}, **changes)
    return replace(lanes.intent(fleet, Kind.DEPLOY), unit="before", wave=0)


def test_the_step_before_a_version_waits_until_every_region_that_is_awake_has_its_ami(lanes: Lanes) -> None:
    intent = step_of(lanes)
    lanes.bake("1.4.2", EAST, later=timedelta(hours=1))

    waits = lanes.start(intent)
    lanes.bake("1.4.2", WEST)
    lanes.forget()
    goes_on = lanes.start(replace(intent, key=f"{intent.key}2"))

    assert (Phase.FAILED, Failure.TRANSIENT, Reason.IMAGE_MISSING) == (waits.phase, waits.failure, waits.reason)
    assert f"in {WEST}" in waits.message
    assert (Phase.RUNNING, [("migrate-prod", {"TO": "1.4.2"})]) == (goes_on.phase, lanes.sent)


@pytest.mark.parametrize(
    "changes",
    [
        {"regional": (Suspension(reason="the region moves", regions=(WEST,)),)},
        {"deploy": {"image": {"missing": "bake"}}},
    ],
)
def test_the_step_waits_for_no_ami_that_nobody_needs(lanes: Lanes, changes: dict[str, Any]) -> None:
    intent = step_of(lanes, **changes)
    lanes.bake("1.4.2", EAST)

    assert Phase.RUNNING is lanes.start(intent).phase


def test_what_is_not_baked_yet_is_baked_here_where_the_service_says_so(lanes: Lanes) -> None:
    fleet = lanes.fleet("1.4.2", deploy={**DEPLOY, "image": {"missing": "bake"}})

    ended = lanes.rig.until_ended(lanes.start(lanes.intent(fleet, Kind.DEPLOY)))

    assert (Phase.SUCCEEDED, "", 1) == (ended.phase, ended.note, lanes.bakes)


def test_where_both_may_bake_in_one_account_nobody_says_who_did(lanes: Lanes) -> None:
    image = lanes.bake("1.4.2")
    fleet = lanes.fleet("1.4.2", deploy={**DEPLOY, "image": {"missing": "bake"}})

    ended = lanes.rig.until_ended(lanes.start(lanes.intent(fleet, Kind.DEPLOY)))

    assert (Phase.SUCCEEDED, "", 0) == (ended.phase, ended.note, lanes.bakes)
    assert image == lanes.sent[-1][1]["AMI"]


def test_the_environment_that_bakes_is_told_no_image(lanes: Lanes) -> None:
    lanes.bake("1.4.2")

    lanes.start(lanes.intent(lanes.fleet("1.4.2", bakes=None), Kind.DEPLOY))

    assert [(f"promote-{EAST}", {"PKG_VERSION": "1.4.2", "REGION": EAST})] == lanes.sent


def test_what_aws_does_not_tell_is_waited_for_too(lanes: Lanes) -> None:
    unreached = replace(STAGING, account="222222222222", role="arn:aws:iam::333333333333:role/fairlead")
    fleet = lanes.fleet("1.4.2", bakes=unreached)

    outcome = lanes.start(lanes.intent(fleet, Kind.DEPLOY))

    assert (Failure.TRANSIENT, Reason.IMAGE_MISSING, []) == (outcome.failure, outcome.reason, lanes.sent)
    assert "reaches account 333333333333" in outcome.message


# ── back to what still stands ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [Kind.REVERT, Kind.ROLLBACK, Kind.HEAL])
def test_a_group_that_still_stands_is_enabled_instead_of_deploying(lanes: Lanes, kind: Kind) -> None:
    lanes.deploy("1.4.2")
    assert {"v000": (False, 0), "v001": (True, 2)} == lanes.groups()

    ended = lanes.rig.until_ended(lanes.start(lanes.intent(kind=kind)))

    assert (Phase.SUCCEEDED, "by enabling v000") == (ended.phase, ended.note)
    assert f"{EAST} runs 1.4.1 by enabling v000 and is healthy" == ended.message
    assert {"v000": (True, 2), "v001": (False, 2)} == lanes.groups()
    told = {"RESTORE": f"{CLUSTER}-v000", "DISABLE": f"{CLUSTER}-v001", "REGION": EAST}
    assert ("rollback-prod", told) == lanes.sent[-1]


def test_the_pipeline_on_the_page_goes_back(lanes: Lanes) -> None:
    page = (Path(__file__).parents[3] / "docs" / "pipelines.md").read_text()
    shown = json.loads(re.findall(r"^```json\n(.*?)^```$", page, re.M | re.S)[1])
    lanes.rig.gate.pipelines.save({**shown, "application": "checkout", "name": "as-shown"})
    lanes.deploy("1.4.2")
    fleet = lanes.fleet(deploy={**DEPLOY, "rollback": {**ROLLBACK, "pipeline": "as-shown"}})

    ended = lanes.rig.until_ended(lanes.start(lanes.intent(fleet)))

    assert (Phase.SUCCEEDED, "by enabling v000") == (ended.phase, ended.note)


def test_forward_nothing_is_enabled(lanes: Lanes) -> None:
    lanes.deploy("1.4.2")

    lanes.start(lanes.intent(kind=Kind.DEPLOY))

    assert f"promote-{EAST}" == lanes.sent[-1][0]


def test_without_a_rollback_pipeline_its_image_is_deployed(lanes: Lanes) -> None:
    lanes.deploy("1.4.2")
    fleet = lanes.fleet(deploy={**DEPLOY, "rollback": None})

    ended = lanes.rig.until_ended(lanes.start(lanes.intent(fleet)))

    assert Phase.SUCCEEDED is ended.phase
    assert "AMI" in lanes.sent[-1][1]
    assert "v002" in lanes.groups()


def test_where_neither_group_nor_image_is_left_it_is_baked(lanes: Lanes) -> None:
    lanes.deploy("1.4.2")
    gone = lanes.fleet("1.3.9")

    ended = lanes.rig.until_ended(lanes.start(lanes.intent(gone)))

    assert (Phase.SUCCEEDED, 2) == (ended.phase, lanes.bakes)


def test_the_newest_that_stands_is_the_youngest_whatever_its_number(lanes: Lanes) -> None:
    """v999 is followed by v000."""
    lanes.clear()
    for push in ("v999", "v000"):
        server_groups.disable(lanes.rig.aws, lanes.stand(push, "1.3.0", desired=0))
    lanes.stand("v001", "1.4.2", desired=2)

    lanes.start(lanes.intent(lanes.fleet("1.3.0")))

    assert f"{CLUSTER}-v000" == lanes.sent[-1][1]["RESTORE"]


def test_a_group_counts_by_its_image_and_all_else_by_the_key_in_its_tag(lanes: Lanes) -> None:
    """The version alone is not the target where it was deployed again for a reason."""
    lanes.deploy("1.4.2")
    fleet = lanes.fleet(components={"package/checkout": "1.4.1", "redeploy": "abcdefabcdef"}, redeploy="again")

    lanes.start(lanes.intent(fleet))

    assert f"promote-{EAST}" == lanes.sent[-1][0]


def test_several_bad_groups_are_disabled_one_after_the_other(lanes: Lanes) -> None:
    """Two attempts of a sick version leave two groups beside the good one."""
    lanes.rig.gate.faults.on("unhealthy_version", version="1.5.0")
    for attempt in (1, 2):
        intent = lanes.rig.intent(lanes.rig.fleet("1.5.0"), attempt=attempt)
        assert Phase.FAILED is lanes.rig.until_ended(lanes.rig.start(intent)).phase
    assert {"v000": (True, 2), "v001": (True, 2), "v002": (True, 2)} == lanes.groups()

    first = lanes.rig.until_ended(lanes.start(lanes.intent(kind=Kind.ROLLBACK)))
    second = lanes.rig.until_ended(lanes.start(lanes.intent(kind=Kind.ROLLBACK, attempt=2)))

    assert (Failure.TRANSIENT, "v000 is back; v001 still in service beside it: disabled next") == (
        first.failure,
        first.message,
    )
    assert (Phase.SUCCEEDED, "by enabling v000") == (second.phase, second.note)
    assert ["v002", "v001"] == [told["DISABLE"].rpartition("-")[2] for _, told in lanes.sent[-2:]]
    assert {"v000": (True, 2), "v001": (False, 2), "v002": (False, 2)} == lanes.groups()


# ── a way that fails is not taken twice ──────────────────────────────────────────────────────────────────────────


def test_a_restored_group_that_never_gets_healthy_fails_and_the_next_attempt_deploys(lanes: Lanes) -> None:
    lanes.deploy("1.4.2")
    lanes.rig.gate.faults.on("unhealthy_version", version="1.4.1", times=1)

    failed = lanes.rig.until_ended(lanes.start(lanes.intent()))
    again = lanes.rig.until_ended(lanes.start(lanes.intent(attempt=2, failed=1)))

    assert (Phase.FAILED, Failure.UNHEALTHY) == (failed.phase, failed.failure)
    assert f"0 of 2 instances of {CLUSTER}-v000 are up" in failed.message
    assert (Phase.SUCCEEDED, f"promote-{EAST}") == (again.phase, lanes.sent[-1][0])
    assert 1 == lanes.bakes  # that of 1.4.2


def test_an_execution_that_did_nothing_is_not_believed(lanes: Lanes) -> None:
    lanes.deploy("1.4.2")
    lanes.rig.gate.faults.on("deploys_nothing", times=1)

    failed = lanes.rig.until_ended(lanes.start(lanes.intent()))

    assert (Failure.UNHEALTHY, Reason.UNHEALTHY) == (failed.failure, failed.reason)
    assert "SUCCEEDED but us-east-1 is not at it" in failed.message


def test_a_group_that_went_in_between_fails_by_the_stages_word(lanes: Lanes) -> None:
    lanes.deploy("1.4.2")
    started = lanes.start(lanes.intent())
    server_groups.delete(lanes.rig.aws, server_groups.read(lanes.rig.aws, EAST, f"{CLUSTER}-v000"))

    failed = lanes.rig.until_ended(started)

    assert (Phase.FAILED, Failure.UNHEALTHY) == (failed.phase, failed.failure)
    assert f"failed to look up {CLUSTER}-v000" in failed.message


def test_a_rollback_pipeline_that_is_not_there_costs_one_attempt_and_no_person(lanes: Lanes) -> None:
    lanes.deploy("1.4.2")
    fleet = lanes.fleet(deploy={**DEPLOY, "rollback": {**ROLLBACK, "pipeline": "nowhere"}})

    refused = lanes.start(lanes.intent(fleet))
    deployed = lanes.start(lanes.intent(fleet, attempt=2, failed=1))

    assert (Phase.FAILED, Failure.UNHEALTHY) == (refused.phase, refused.failure)
    assert refused.message.endswith("; it is deployed instead")
    assert Phase.RUNNING is deployed.phase


def test_without_another_attempt_the_short_way_is_not_taken(lanes: Lanes) -> None:
    lanes.deploy("1.4.2")

    lanes.start(lanes.intent(lanes.fleet(policy=Policy(retries=0))))

    assert f"promote-{EAST}" == lanes.sent[-1][0]


# ── at most once, in whichever lane ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fault", ["error_after_accepting", "drop_after_accepting"])
def test_a_rollback_whose_answer_is_lost_is_found_and_not_repeated(lanes: Lanes, fault: str) -> None:
    lanes.deploy("1.4.2")
    before = len(lanes.rig.executions)
    lanes.rig.gate.faults.on(fault, times=1)

    outcome = lanes.start(lanes.intent())

    assert (Phase.RUNNING, [outcome.ticket]) == (outcome.phase, lanes.rig.executions[before:])


def test_a_start_is_found_in_the_other_pipeline_though_the_world_has_moved_since(lanes: Lanes) -> None:
    """It was started by enabling; by now the group stands no more, and the choice would be another."""
    lanes.deploy("1.4.2")
    intent = lanes.intent()
    first = lanes.start(intent)
    server_groups.delete(lanes.rig.aws, server_groups.read(lanes.rig.aws, EAST, f"{CLUSTER}-v000"))
    calls = len(lanes.sent)

    again = lanes.start(replace(intent, starts=2))
    looked = lanes.rig.look(Outcome(intent=intent, phase=Phase.INTENDED))

    assert (first.ticket, Phase.RUNNING) == (again.ticket, again.phase)
    assert first.ticket == looked.ticket
    assert calls == len(lanes.sent)


def test_an_adopted_execution_still_says_how_it_came_about(lanes: Lanes) -> None:
    """The lane is in the execution: nothing of it is lost with a ledger."""
    lanes.deploy("1.4.2")
    intent = lanes.intent()
    lanes.start(intent)

    ended = lanes.rig.until_ended(Outcome(intent=intent, phase=Phase.INTENDED))

    assert (Phase.SUCCEEDED, "by enabling v000") == (ended.phase, ended.note)
