"""Days in the life of a fleet: a failure, a revert in mid-flight, two bumps in a row, a hand in the console."""

from typing import Any

import pytest

from fairlead_sandbox.gate import GateSettings

FLEETS = {
    "staging/reverted": "1.4.0",
    "staging/failing": "1.4.0",
    "staging/overtaken": "1.4.0",
    "staging/touched": "1.4.0",
    "staging/watched": "1.4.0",
    "staging/told": "1.4.0",
    "prod/failing": "1.4.0",
}


@pytest.fixture(scope="module")
def story(begin_story: Any, make_repository: Any) -> Any:
    """All fleets deployed and at rest."""
    files = make_repository(FLEETS)
    files["services/watched.yaml"] += "heal: off\n"
    story = begin_story(files, gate=GateSettings(bake_seconds=0.1, deploy_seconds=0.3, health_seconds=0.5))
    story.start()
    for environment, fleets in (("staging", 6), ("prod", 1)):
        story.wait_said(story.world.checkout.head, environment, "success", f"{fleets}/{fleets} fleets done")
    return story


def test_a_revert_merged_in_mid_flight_aborts_the_bad_version_and_both_commits_say_so(story: Any) -> None:
    story.world.gate.faults.on("not_started", seconds=60, application="reverted", times=1)
    bad = story.world.bump("staging/reverted", "1.5.0")
    story.wait_said(bad, "staging/reverted", "pending", "1.5.0 on 0/1 units")
    execution = story.wait(lambda: story.starts("staging/reverted"), "1.5.0 is started")[0]["execution"]

    revert = story.world.revert(bad)

    done = story.wait_said(revert, "staging/reverted", "success")
    assert f"rolled back to 1.4.0 (reverts {bad[:7]}) on 1/1 units" in done.description
    undone = story.wait_said(bad, "staging/reverted", "failure")
    assert f"rolled back to 1.4.0 (reverted by {revert[:7]}) on 1/1 units" in undone.description
    assert len(story.cancels(execution)) == 1
    assert story.world.gate.executions.get(execution).status == "CANCELED"
    assert len(story.starts("staging/reverted")) == 1, "what never left 1.4.0 needs no other pipeline"
    assert story.versions("staging/reverted") == {"1.4.0"}


def test_a_version_that_fails_is_rolled_back_and_a_revert_then_closes_both_commits(story: Any) -> None:
    story.world.gate.faults.on("unhealthy_version", version="1.6.0")
    bad = story.world.bump("staging/failing", "1.6.0")

    told = story.wait_said(bad, "staging/failing", "failure", "; rolled back to 1.4.0 on 1/1 units in ")

    assert told.description.startswith("1.6.0 failed: ")
    assert story.versions("staging/failing") == {"1.4.0"}
    assert story.reason("staging/failing") == "RolledBack"
    assert [key.rpartition(":")[2] for key in story.keys("staging/failing")] == ["a1", "a1"]
    assert len(set(story.keys("staging/failing"))) == 2

    revert = story.world.revert(bad)
    story.wait_said(revert, "staging/failing", "success", f"rolled back to 1.4.0 (reverts {bad[:7]}) on 1/1 units")
    story.wait_said(bad, "staging/failing", "failure", f"(reverted by {revert[:7]})")
    assert len(story.starts("staging/failing")) == 2, "nothing is deployed again"


def test_policy_hold_stays_where_it_is_until_a_retry(story: Any) -> None:
    story.world.gate.faults.on("unhealthy_version", version="1.7.0")
    bad = story.world.bump("prod/failing", "1.7.0")

    told = story.wait_said(bad, "prod/failing", "failure", "; stays where it stands (on_failure: hold)")
    assert told.description.startswith("1.7.0 failed: ")
    story.wait_reason("prod/failing", "Quarantined")
    started = len(story.starts("prod/failing"))
    code, why = story.fairlead("why", "prod/failing")
    assert code == 1
    assert "Quarantined" in [link["reason"] for link in why["chain"]]
    assert "fairlead retry prod/failing" in why["clears"]

    story.world.gate.faults.off("unhealthy_version", version="1.7.0")
    assert story.fairlead("retry", "prod/failing")[0] == 0

    story.wait_said(bad, "prod/failing", "success", "1.7.0 on 2/2 units")
    assert len(story.starts("prod/failing")) > started
    assert len(set(story.keys("prod/failing"))) == len(story.keys("prod/failing"))


def test_superseded_commits_end_with_a_word_that_names_the_newest(story: Any) -> None:
    fleet = "staging/overtaken"
    story.world.gate.faults.on("not_started", seconds=300, application="overtaken", times=1)
    first = story.world.bump(fleet, "1.8.0")
    execution = story.wait(lambda: story.starts(fleet), "1.8.0 is started")[0]["execution"]
    second = story.world.bump(fleet, "1.8.1")
    story.wait_said(second, fleet, "pending", "letting the wave of 1.8.0 in flight finish before 1.8.1")
    third = story.world.bump(fleet, "1.8.2")
    story.wait_said(second, fleet, "error", f"superseded by {third[:7]} (1.8.2)")

    story.world.gate.executions.get(execution).not_before = 0.0

    story.wait_said(third, fleet, "success", "1.8.2 on 1/1 units")
    story.wait_said(first, fleet, "success", f"; then {third[:7]}")
    for commit in (first, second, third):
        story.wait(
            lambda commit=commit: "pending" not in {line.state for line in story.said(commit).values()}, "the end"
        )
    assert ["1.8.0", "1.8.2"] == [start["body"]["parameters"]["PKG_VERSION"] for start in story.starts(fleet)]
    assert {"1.8.2"} == story.versions(fleet)


def test_a_change_by_hand_is_healed(story: Any) -> None:
    story.world.change_by_hand("touched-staging", "us-east-1", "0.9.9")
    assert story.versions("staging/touched") == {"0.9.9"}

    story.wait(lambda: story.versions("staging/touched") == {"1.4.0"}, "the fleet is healed")

    story.wait_said(story.record("staging/touched").setting.commit, "staging/touched", "success", "; drift healed in ")
    assert len(story.starts("staging/touched")) == 1


def test_with_heal_off_a_change_by_hand_is_only_reported(story: Any) -> None:
    story.world.change_by_hand("watched-staging", "us-east-1", "0.9.9")

    story.wait_reason("staging/watched", "HealOff")

    commit = story.record("staging/watched").setting.commit
    told = story.wait_said(commit, "staging/watched", "pending", "HealOff: drift is only reported (heal: off)")
    assert "us-east-1 runs package/watched 0.9.9, not 1.4.0" in told.description
    story.world.change_by_hand("watched-staging", "us-east-1", "1.4.0")
    story.wait_said(commit, "staging/watched", "success", "1.4.0 on 1/1 units")
    assert story.starts("staging/watched") == []


def test_status_why_and_history_tell_the_truth_during_and_after(story: Any) -> None:
    story.world.gate.faults.on("not_started", seconds=60, application="told", times=1)
    commit = story.world.bump("staging/told", "1.5.0")
    story.wait_said(commit, "staging/told", "pending", "1.5.0 on 0/1 units")
    execution = story.wait(lambda: story.starts("staging/told"), "1.5.0 is started")[0]["execution"]
    story.wait(lambda: [o for o in story.record("staging/told").work if o.ticket == execution], "its ticket is kept")

    code, status = story.fairlead("status", "staging/told")
    assert code == 1
    assert (status["ready"], status["version"], status["reason"]) == (False, "1.5.0", "Progressing")
    assert status["setting_commit"] == commit
    assert [(work["ticket"], work["phase"]) for work in status["work"]] == [(execution, "running")]
    code, why = story.fairlead("why", "staging/told")
    assert code == 1
    assert any(execution in link["message"] for link in why["chain"])

    story.world.gate.executions.get(execution).not_before = 0.0
    story.wait_said(commit, "staging/told", "success", "1.5.0 on 1/1 units")
    story.wait(lambda: story.record("staging/told").memory.status.ready, "it is ready")

    code, status = story.fairlead("status", "staging/told")
    assert (code, status["ready"], status["units_at_target"], status["units"]) == (0, True, 1, 1)
    assert status["last_good"] == "1.5.0"
    assert status["work"] == []
    code, why = story.fairlead("why", "staging/told")
    assert (code, why["ready"]) == (0, True)
    code, history = story.fairlead("history", "staging/told")
    kinds = [event["kind"] for event in reversed(history["events"])]
    assert code == 0
    begun = kinds.index("rollout-started")
    assert kinds[begun:] == ["rollout-started", "running", "succeeded", "rollout-finished"]
