"""Pipelines that Fairlead wrote from the service files: bumps deploy through them, each strategy ends as it should."""

from typing import Any

import pytest
import requests

GENERATE = (
    "generate: {{bake: {{base_os: jammy}}, strategy: {strategy}, zones: {{us-east-1: [us-east-1a], {west}}}, "
    "capacity: {{min: 1, max: 4, desired: 1}}, groups_at_most: 5, cluster: {{instanceType: m6i.large}}{more}}}"
)
JUDGED = ", judgment: {roles: [sre], within: 50m}"
WEST = "eu-west-1: [eu-west-1a]"


def generate(strategy: str, west: str = "", more: str = "") -> str:
    return GENERATE.format(strategy=strategy, west=west, more=more)


SERVICES = {
    "red": generate("redblack"),
    "rolling": generate("rollingredblack"),
    "high": generate("highlander"),
    "beside": f"health: {{within: 2s}}\n  {generate('none')}",
    "back": (
        'rollback: {pipeline: "rollback-{environment}", '
        "parameters: {restore: RESTORE, disable: DISABLE, region: REGION, fairleadKey: FAIRLEAD_KEY}}\n  "
        f"{generate('redblack')}\nin: {{staging: {{retries: 1}}}}"
    ),
    "asked": generate("redblack", more=JUDGED),
    "refused": generate("redblack", more=JUDGED),
    "regions": f"waves: [{{regions: [us-east-1]}}, {{regions: rest}}]\n  {generate('redblack', WEST)}",
}
RETIRED = [("v000", False, 0), ("v001", True, 2)]


@pytest.fixture(scope="module")
def story(begin_story: Any, make_repository: Any) -> Any:
    """All fleets at rest, with the pipelines that `apply` wrote: one taken over, the others made."""
    fleets = {f"{'prod' if service == 'regions' else 'staging'}/{service}": "1.4.0" for service in SERVICES}
    story = begin_story(make_repository(fleets, SERVICES))
    for config in story.world.gate.pipelines.of("*"):
        if config["application"] != "red":
            story.world.gate.pipelines.delete(config["id"])
    folder = str(story.world.checkout.folder)
    assert 0 == story.program("spinnaker", "pipelines", "apply", folder, "--yes", "--adopt")
    assert 0 == story.program("spinnaker", "pipelines", "plan", folder)
    story.start()
    for environment in ("staging", "prod"):
        story.wait_said(story.world.checkout.head, environment, "success", "fleets done")
    return story


def groups(story: Any, fleet: str, region: str = "us-east-1") -> list[tuple[str, bool, int]]:
    found = story.world.groups(story.world.fleets[fleet].cluster, region)
    return [(each.name[-4:], each.enabled, each.desired) for each in found]


def executions(story: Any, fleet: str) -> list[dict[str, Any]]:
    return [story.world.gate.executions.get(entry["execution"]).view() for entry in story.starts(fleet)]


def asked(story: Any, fleet: str) -> dict[str, Any]:
    """The judgment that waits."""

    def waits() -> dict[str, Any] | None:
        for seen in executions(story, fleet):
            for stage in seen["stages"]:
                if (stage["type"], stage["status"]) == ("manualJudgment", "RUNNING"):
                    return {"execution": seen["id"], "stage": stage["id"], "text": stage["context"]["instructions"]}
        return None

    found: dict[str, Any] = story.wait(waits, f"{fleet} asks")
    return found


def answer(story: Any, question: dict[str, Any], said: str) -> None:
    url = f"{story.world.gate.url}/pipelines/{question['execution']}/stages/{question['stage']}"
    assert requests.patch(url, json={"judgmentStatus": said}, timeout=10).ok


@pytest.mark.parametrize(
    ("service", "left"), [("red", RETIRED), ("rolling", RETIRED), ("high", [("v001", True, 2)])], ids=str
)
def test_a_bump_deploys_by_the_strategy_that_the_file_names(service: str, left: list[Any], story: Any) -> None:
    fleet = f"staging/{service}"

    commit = story.world.bump(fleet, "1.5.0")

    story.wait_said(commit, fleet, "success", "1.5.0 on 1/1 units")
    assert ({"1.5.0"}, left) == (story.versions(fleet), groups(story, fleet))
    assert 1 == len(story.starts(fleet))


def test_a_strategy_that_leaves_the_old_group_in_service_is_no_success(story: Any) -> None:
    commit = story.world.bump("staging/beside", "1.5.0")

    story.wait_said(commit, "staging/beside", "failure", "SUCCEEDED but us-east-1")
    assert [("v000", True, 2), ("v001", True, 2)] == groups(story, "staging/beside")[:2]


def test_each_wave_deploys_its_own_region_and_skips_the_other(story: Any) -> None:
    commit = story.world.bump("prod/regions", "1.5.0")

    story.wait_said(commit, "prod/regions", "success", "1.5.0 on 2/2 units")
    deployed = [
        {stage["name"]: stage["status"] for stage in seen["stages"] if stage["type"] == "deploy"}
        for seen in executions(story, "prod/regions")
    ]
    assert [
        {"Deploy us-east-1": "SUCCEEDED", "Deploy eu-west-1": "SKIPPED"},
        {"Deploy us-east-1": "SKIPPED", "Deploy eu-west-1": "SUCCEEDED"},
    ] == deployed
    assert RETIRED == groups(story, "prod/regions") == groups(story, "prod/regions", "eu-west-1")


def test_a_judgment_holds_the_deploy_until_a_person_lets_it_go_on(story: Any) -> None:
    commit = story.world.bump("staging/asked", "1.5.0")

    question = asked(story, "staging/asked")
    assert "Deploy asked 1.5.0 to staging?" == question["text"]
    assert [("v000", True, 2)] == groups(story, "staging/asked")
    story.wait_said(commit, "staging/asked", "pending")

    answer(story, question, "continue")

    story.wait_said(commit, "staging/asked", "success", "1.5.0 on 1/1 units")


def test_a_judgment_that_says_stop_deploys_nothing(story: Any) -> None:
    commit = story.world.bump("staging/refused", "1.5.0")

    answer(story, asked(story, "staging/refused"), "stop")

    story.wait_said(commit, "staging/refused", "failure")
    assert {"1.4.0"} == story.versions("staging/refused")
    assert [("v000", True, 2)] == groups(story, "staging/refused")


def test_a_revert_enables_the_old_group_by_the_rollback_pipeline_that_was_written(story: Any) -> None:
    commit = story.world.bump("staging/back", "1.5.0")
    story.wait_said(commit, "staging/back", "success", "1.5.0 on 1/1 units")

    revert = story.world.revert(commit)

    story.wait_said(revert, "staging/back", "success", "1.4.0")
    assert [("v000", True, 2), ("v001", False, 2)] == groups(story, "staging/back")
    asked = story.world.gate.access_log.entries(method="POST", path_prefix="/pipelines/back/rollback-staging")
    assert [("v000", "v001")] == [
        tuple(each["body"]["parameters"][word][-4:] for word in ("RESTORE", "DISABLE")) for each in asked
    ]
