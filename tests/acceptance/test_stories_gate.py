"""Gate on its bad days: one key is at most one execution, and the commit gets the right last word."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

LONG = "deadline: 4s"
SHORT_HEALTH = "health: {within: 2s}"
AFTER_ACCEPTING = ("error_after_accepting", "drop_after_accepting")
BEFORE_ACCEPTING = ("drop_before_accepting", "html", "too_many_requests")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault of executions: how the bump ends, how often a pipeline is started for it, what runs then."""

    fleet: str
    fault: str
    state: str
    text: str
    starts: int
    runs: str
    deploy: str = ""
    version: str = "1.5.0"

    @property
    def where(self) -> dict[str, str]:
        """What limits the fault to this fleet: Gate knows its application only outside the stages."""
        return {"application": self.fleet} if self.version == "1.5.0" else {"version": self.version}


CASES = (
    Case(fleet="late", fault="late_reads", state="success", text="1.5.0 on 1/1 units", starts=1, runs="1.5.0"),
    Case(fleet="queued", fault="terminal_at_once", state="success", text="1.5.0 on 1/1 units", starts=2, runs="1.5.0"),
    Case(
        fleet="idle",
        fault="deploys_nothing",
        state="failure",
        text="SUCCEEDED but us-east-1 is not at it",
        starts=1,
        runs="1.4.0",
        deploy=SHORT_HEALTH,
        version="1.5.1",
    ),
    Case(
        fleet="zombie",
        fault="zombie",
        state="error",
        text="ExecutionStuck: execution ",
        starts=1,
        runs="1.4.0",
        deploy=LONG,
    ),
    Case(
        fleet="unbaked",
        fault="fail_bake",
        state="failure",
        text="; rolled back to 1.4.0 on 1/1 units",
        starts=1,
        runs="1.4.0",
        version="1.5.2",
    ),
)
ONE_BY_ONE = ("fivehundred", "dropped")
TOGETHER = ("refused", "paged", "throttled")
DOWN = "down"
DISABLED = "disabled"


@pytest.fixture(scope="module")
def story(begin_story: Any, make_repository: Any) -> Any:
    """All fleets deployed and at rest."""
    services = [*(case.fleet for case in CASES), *ONE_BY_ONE, *TOGETHER, DOWN, DISABLED]
    deploy = {case.fleet: case.deploy for case in CASES}
    files = make_repository({f"staging/{service}": "1.4.0" for service in services}, deploy)
    story = begin_story(files, lease="6s", request_timeout="3s")
    story.start()
    count = len(services)
    story.wait_said(story.world.checkout.head, "staging", "success", f"{count}/{count} fleets done")
    return story


@pytest.fixture(scope="module")
def bumps(story: Any) -> dict[str, str]:
    """Bumps that meet faults, by fleet: three that Gate does not accept at first, then one for each case."""
    checkout, gate = story.world.checkout, story.world.gate
    for fault in BEFORE_ACCEPTING:
        gate.faults.on(fault, times=1, operation="trigger")
    refused = {f"environments/staging/{service}.yaml": 'version: "1.5.0"\n' for service in TOGETHER}
    commits = dict.fromkeys(TOGETHER, story.world.merge("bump three", refused))
    story.wait(lambda: not gate.faults.as_json()["faults"], "each fault strikes")
    for case in CASES:
        gate.faults.on(case.fault, times=1, **case.where)
        file = {f"environments/staging/{case.fleet}.yaml": f'version: "{case.version}"\n'}
        commits[case.fleet] = checkout.commit(f"bump {case.fleet}", file)
    checkout.push()
    return commits


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_an_execution_with_a_fault_ends_in_the_right_word(case: Case, story: Any, bumps: dict[str, str]) -> None:
    fleet = f"staging/{case.fleet}"

    story.wait_said(bumps[case.fleet], fleet, case.state, case.text)

    assert case.starts == len(story.starts(fleet))
    assert {case.runs} == story.versions(fleet)


def test_what_was_accepted_and_not_answered_is_found_and_not_started_again(story: Any) -> None:
    for service, fault in zip(ONE_BY_ONE, AFTER_ACCEPTING, strict=True):
        fleet = f"staging/{service}"
        story.world.gate.faults.on(fault, times=1)

        commit = story.world.bump(fleet, "1.5.0")

        story.wait_said(commit, fleet, "success", "1.5.0 on 1/1 units")
        assert 1 == len(story.starts(fleet))


def test_what_was_never_accepted_is_started_once_when_its_time_to_settle_is_over(
    story: Any, bumps: dict[str, str]
) -> None:
    for service in TOGETHER:
        story.wait_said(bumps[service], f"staging/{service}", "success", "1.5.0 on 1/1 units")
        assert 1 == len(story.starts(f"staging/{service}"))
    assert {"dropped", 200, 429} <= {entry["status"] for entry in story.world.gate.access_log.triggers()}


def test_a_gate_that_is_down_delays_and_loses_nothing(story: Any) -> None:
    fleet = f"staging/{DOWN}"
    story.world.gate.faults.on("unavailable")
    commit = story.world.bump(fleet, "1.5.0")
    story.wait(
        lambda: [each for each in story.world.gate.access_log.entries() if each["status"] == 503], "Gate is asked"
    )
    story.wait_said(commit, fleet, "pending")
    assert [] == story.starts(fleet)

    story.world.gate.faults.off("unavailable")

    story.wait_said(commit, fleet, "success", "1.5.0 on 1/1 units")
    assert 1 == len(story.starts(fleet))


def test_a_pipeline_that_cannot_be_started_is_an_error_until_a_retry(story: Any) -> None:
    fleet = f"staging/{DISABLED}"
    pipeline = story.world.gate.pipelines.find(DISABLED, "deploy-staging")["id"]
    story.world.gate.pipelines.change(pipeline, disabled=True)
    commit = story.world.bump(fleet, "1.5.0")

    told = story.wait_said(commit, fleet, "error", "DeployRefused: ")
    assert "disabled" in told.description
    assert {"1.4.0"} == story.versions(fleet)

    story.world.gate.pipelines.change(pipeline, disabled=False)
    assert 0 == story.fairlead("retry", fleet)[0]
    story.wait_said(commit, fleet, "success", "1.5.0 on 1/1 units")


def test_no_key_was_ever_started_twice(story: Any, bumps: dict[str, str]) -> None:
    keys = Counter(entry["body"]["parameters"]["FAIRLEAD_KEY"] for entry in story.world.gate.access_log.starts())

    assert len(keys) >= len(CASES)
    assert {1} == set(keys.values())
