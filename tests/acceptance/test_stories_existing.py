"""Pipelines that people have already: others start them too, one runs before a version, a region is left out, and one
night Gate is away.
"""

from typing import Any

import pytest
import requests

from fairlead_sandbox.aws_lines import run_line

HELD, MIGRATED, APART, NIGHT = "prod/held", "prod/migrated", "prod/apart", "prod/night"
STEP = "before: {pipeline: migrate, parameters: {version: TO, fairleadKey: ONCE}}"
MIGRATE = {"refId": "1", "requisiteStageRefIds": [], "type": "wait", "name": "Migrate", "waitTime": 0.2}
BROKEN = {**MIGRATE, "type": "rollbackServerGroup", "rollbackType": "NONE", "continuePipeline": True}  # yet SUCCEEDED
SUSPEND = "environments/prod/apart.suspend.yaml"


@pytest.fixture(scope="module")
def story(begin_story: Any, make_repository: Any) -> Any:
    files = make_repository(dict.fromkeys((HELD, MIGRATED, APART, NIGHT), "1.4.0"), {"migrated": STEP})
    story = begin_story(files)
    story.world.gate.pipelines.save({"application": "migrated", "name": "migrate", "id": "step", "stages": [MIGRATE]})
    story.start()
    story.wait_said(story.world.checkout.head, "prod", "success", "4/4 fleets done")
    return story


def migrations(story: Any) -> list[str]:
    starts = story.world.gate.access_log.starts()
    return [each["body"]["parameters"]["TO"] for each in starts if each["path"] == "/pipelines/migrated/migrate"]


def test_a_fleet_waits_for_what_a_person_started_and_goes_on_when_that_is_over(story: Any) -> None:
    gate = story.world.gate
    gate.faults.on("not_started", times=1, seconds=600)  # it waits in Orca until it is cancelled
    theirs = {"type": "manual", "user": "a.person@example.com", "parameters": {"PKG_VERSION": "1.4.0"}}
    answer = requests.post(f"{gate.url}/pipelines/held/deploy-prod", json=theirs, timeout=5)
    execution = answer.json()["ref"].rpartition("/")[2]

    commit = story.world.bump(HELD, "1.5.0")
    told = story.wait_said(commit, HELD, "pending", "ForeignExecution: a.person@example.com started deploy-prod at ")
    assert execution in told.description
    assert 1 == len(story.starts(HELD))

    requests.put(f"{gate.url}/pipelines/{execution}/cancel", timeout=5)
    story.wait_said(commit, HELD, "success", "1.5.0 on 2/2 units")
    assert 3 == len(story.starts(HELD))


def test_a_pipeline_runs_once_before_the_regions_of_a_version(story: Any) -> None:
    commit = story.world.bump(MIGRATED, "1.5.0")
    story.wait_said(commit, MIGRATED, "success", "1.5.0 on 2/2 units")

    starts = [each for each in story.world.gate.access_log.starts() if each["path"].startswith("/pipelines/migrated/")]
    units = [each["body"]["fairlead"]["unit"] for each in starts]
    assert ("before", ["eu-west-1", "us-east-1"]) == (units[0], sorted(units[1:]))
    assert ["1.5.0"] == migrations(story)


def test_where_a_stage_of_it_failed_no_region_is_touched(story: Any) -> None:
    story.world.gate.pipelines.change("step", stages=[BROKEN])
    before = story.versions(MIGRATED)

    commit = story.world.bump(MIGRATED, "1.6.0")

    story.wait_said(commit, MIGRATED, "failure", "1.6.0 failed: before step: Migrate is FAILED_CONTINUE")
    assert before == story.versions(MIGRATED)
    assert "1.6.0" == migrations(story)[-1]


def test_a_region_is_left_out_while_it_is_suspended_and_follows_afterwards(story: Any) -> None:
    story.world.merge("Leave Ireland alone", {SUSPEND: "reason: it is in trouble\nregions: [eu-west-1]\n"})
    commit = story.world.bump(APART, "1.5.0")
    story.wait_said(commit, APART, "success", "1.5.0 on 1 of 2 regions (eu-west-1 is suspended)")
    assert ({"1.5.0"}, {"1.4.0"}) == (story.versions(APART), story.versions(APART, "eu-west-1"))

    story.world.merge("Ireland is well", {SUSPEND: None})
    story.wait_said(commit, APART, "success", "1.5.0 on 2/2 units")
    assert {"1.5.0"} == story.versions(APART, "eu-west-1")
    assert ["us-east-1", "eu-west-1"] == [each["body"]["parameters"]["REGION"] for each in story.starts(APART)]


def test_a_version_goes_back_by_hand_while_gate_is_away_and_fairlead_finds_it_there(story: Any) -> None:
    bad = story.world.bump(NIGHT, "1.5.0")
    story.wait_said(bad, NIGHT, "success", "1.5.0 on 2/2 units")
    story.world.gate.faults.on("unavailable")

    code, paper = story.fairlead("rollback", NIGHT, "--manual")
    assert (0, "1.4.0", bad) == (code, paper["version"], paper["revert"])
    for region in paper["regions"]:
        for line in (line for step in region["steps"] for line in (*step["commands"], *step["check"])):
            run_line(story.world.aws.client, line)
    revert = story.world.revert(bad)

    story.wait_said(revert, NIGHT, "success", f"rolled back to 1.4.0 (reverts {bad[:7]})")
    assert ({"1.4.0"}, {"1.4.0"}) == (story.versions(NIGHT), story.versions(NIGHT, "eu-west-1"))
    assert ["1.5.0", "1.5.0"] == [each["body"]["parameters"]["PKG_VERSION"] for each in story.starts(NIGHT)]
    story.world.gate.faults.off("unavailable")
