"""What a commit is told: many fleets at once, none at all, a lost history, a file that goes, four branches merged."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

CREW = [f"crew-{number:02}" for number in range(1, 11)]
STILL = [f"still-{number:02}" for number in range(1, 7)]  # only there to be many
LAB = ["gone", "rewritten", "untouched", "steady", "merged"]
UNLUCKY = "staging/unlucky"
FLEETS = {
    **{f"staging/{name}": "1.4.0" for name in (*CREW, *STILL)},
    **{f"lab/{name}": "1.4.0" for name in LAB},
    UNLUCKY: "1.4.66",
}
BUCKET = "example-fairlead-lab"


@pytest.fixture(scope="module")
def story(begin_story: Any, make_repository: Any) -> Any:
    """22 fleets set by one commit, all there already but for one, which fails."""
    files = make_repository(FLEETS)
    files["services/unlucky.yaml"] += "adopt: auto\n"
    files["services/merged.yaml"] = files["services/merged.yaml"].replace("ami: AMI", "config: CONFIG")
    files["services/merged.yaml"] += "config: {to: merged.json, format: json}\n"
    files["environments/lab/environment.yaml"] += f"trigger: {{bucket: {BUCKET}}}\n"
    story = begin_story(files)
    story.world.aws.client("s3").create_bucket(Bucket=BUCKET)
    story.world.change_by_hand("unlucky-staging", "us-east-1", "1.3.0")
    story.world.gate.faults.on("fail_bake", version="1.4.66")
    story.first = story.world.checkout.head
    story.start()
    story.wait_said(story.first, "staging", "failure", "16/17 fleets done, 1 failed: unlucky")
    story.wait_said(story.first, "lab", "success", "5/5 fleets done")
    return story


def fleets_said(story: Any, commit: str) -> dict[str, str]:
    """The states of the fleets that a commit has a status of."""
    return {name: line.state for name, line in story.said(commit).items() if name.count("/") == 2}


def test_of_more_than_twenty_fleets_only_failures_are_told_one_by_one(story: Any) -> None:
    told = story.wait_said(story.first, UNLUCKY, "failure", "; rolled back to 1.3.0 on 1/1 units")

    assert told.description.startswith("1.4.66 failed: ")
    assert {f"fairlead/{UNLUCKY}": "failure"} == fleets_said(story, story.first)


def test_ten_fleets_bumped_by_one_commit_get_ten_statuses_and_a_roll_up(story: Any) -> None:
    files = {f"environments/staging/{name}.yaml": 'version: "1.5.0"\n' for name in CREW}

    commit = story.world.merge("bump ten", files)

    story.wait_said(commit, "staging", "success", "10/10 fleets done")
    ten = {f"fairlead/staging/{name}": "success" for name in CREW}
    story.wait(lambda: ten == fleets_said(story, commit), "ten statuses")


def test_a_commit_that_touches_nothing_says_so(story: Any) -> None:
    commit = story.world.merge("say hello", {"README.md": "hello\n"})

    story.wait_said(commit, "lab", "success", "sets no version; ")
    assert "success" == story.wait_said(commit, "validate", "success").state
    assert {} == fleets_said(story, commit)


def test_a_commit_that_changes_only_how_a_fleet_is_run_says_so(story: Any) -> None:
    before = story.record("lab/steady").setting.commit
    file = story.world.checkout.folder / "services/steady.yaml"
    text = file.read_text() + "heal: off\n"

    commit = story.world.merge("steady is only watched", {"services/steady.yaml": text})

    story.wait_said(commit, "lab", "success", "changes how 1 fleet is run, no version; ")
    assert {} == fleets_said(story, commit)
    assert before == story.record("lab/steady").setting.commit
    assert "off" == story.record("lab/steady").desired.policy.heal
    assert [] == story.starts("lab/steady")


def test_a_force_push_leaves_nothing_pending_and_holds_what_it_would_change(story: Any) -> None:
    fleet, checkout = "lab/rewritten", story.world.checkout
    kept = checkout.pull()
    story.world.gate.faults.on("not_started", seconds=300, application="rewritten", times=1)
    lost = story.world.bump(fleet, "1.5.0")
    story.wait(lambda: story.starts(fleet), "1.5.0 is started")
    story.wait_said(lost, fleet, "pending")
    story.wait_said(lost, "lab", "pending")

    checkout.git("reset", "--quiet", "--hard", kept)
    checkout.commit("another history", {f"environments/{fleet}.yaml": 'version: "1.6.0"\n'})
    head = checkout.push("--force")

    told = story.wait_said(lost, fleet, "error", "history rewritten")
    assert head[:7] in told.description
    story.wait(lambda: "pending" not in {line.state for line in story.said(lost).values()}, "nothing is pending")
    held = story.wait_said(head, fleet, "pending", "HistoryRewritten: ")
    assert "1.6.0" in held.description
    assert "HistoryRewritten" != story.reason("lab/untouched")
    assert 1 == len(story.starts(fleet))

    story.world.gate.executions.get(story.starts(fleet)[0]["execution"]).not_before = 0.0
    assert 0 == story.fairlead("approve", fleet)[0]

    story.wait_said(head, fleet, "success", "1.6.0 on 1/1 units")
    assert {"1.6.0"} == story.versions(fleet)
    assert "pending" not in {line.state for line in story.said(lost).values()}


def test_a_fleet_whose_file_goes_is_let_go_and_nothing_is_destroyed(story: Any) -> None:
    fleet = "lab/gone"
    groups = [group.name for group in story.world.groups("gone-lab", "us-east-1")]
    story.world.gate.faults.on("not_started", seconds=300, application="gone", times=1)
    commit = story.world.bump(fleet, "1.5.0")
    execution = story.wait(lambda: story.starts(fleet), "1.5.0 is started")[0]["execution"]
    story.wait_said(commit, fleet, "pending")

    story.world.merge("gone is somebody else's now", {f"environments/{fleet}.yaml": None})

    assert "no longer managed: its file is gone" == story.wait_said(commit, fleet, "error").description
    story.wait(lambda: story.world.gate.executions.get(execution).status == "CANCELED", "the execution is cancelled")
    story.wait(lambda: not story.record(fleet).work, "nothing of it is in flight")
    assert 1 == len(story.starts(fleet))
    assert {"1.4.0"} == story.versions(fleet)
    assert groups == [group.name for group in story.world.groups("gone-lab", "us-east-1")]
    story.wait(lambda: "pending" not in {line.state for line in story.said(commit).values()}, "nothing is pending")


def on_a_branch(story: Any, name: str, files: Mapping[str, str]) -> None:
    checkout = story.world.checkout
    checkout.git("checkout", "--quiet", "-b", name, "main")
    checkout.commit(name, files)
    checkout.git("checkout", "--quiet", "main")


def test_four_branches_of_one_fleet_merge_and_the_result_holds_and_then_does_what_they_say(story: Any) -> None:
    fleet, checkout = "lab/merged", story.world.checkout
    checkout.pull()
    freeze = (
        "reason: the cup final\nfrom: 2020-01-01T00:00:00Z\nuntil: 2999-01-01T00:00:00Z\n"
        "environments: [lab]\nservices: [merged]\n"
    )
    on_a_branch(story, "bump", {f"environments/{fleet}.yaml": 'version: "1.5.0"\n'})
    on_a_branch(story, "suspend", {f"environments/{fleet}.suspend.yaml": "reason: the database is being moved\n"})
    on_a_branch(story, "config", {"services/merged.config.yaml": "page_size: 99\n"})
    on_a_branch(story, "freeze", {"freezes/cup.yaml": freeze})
    for branch in ("bump", "suspend", "config", "freeze"):
        checkout.git("merge", "--quiet", "--no-ff", "--no-edit", branch)
    head = checkout.push()

    story.wait_said(head, "validate", "success")
    story.wait_reason(fleet, "Suspended")
    setting = story.record(fleet).setting.commit
    story.wait_said(setting, fleet, "pending", "Suspended: the database is being moved")
    story.world.merge("the database is moved", {f"environments/{fleet}.suspend.yaml": None})
    story.wait_said(setting, fleet, "pending", "cup until 2999-01-01 00:00 UTC: the cup final")
    assert [] == story.starts(fleet)
    story.world.merge("the cup is over", {"freezes/cup.yaml": None})

    story.wait_said(setting, fleet, "success", "1.5.0 on 1/1 units")

    assert {"1.5.0"} == story.versions(fleet)
    serving = story.world.serving("merged-lab", "us-east-1")
    place = story.starts(fleet)[-1]["body"]["parameters"]["CONFIG"]
    assert place == serving.tags["fairlead:config"]
    body = story.world.aws.client("s3").get_object(Bucket=BUCKET, Key=place.removeprefix(f"s3://{BUCKET}/"))["Body"]
    assert {"page_size": 99} == json.loads(body.read())
