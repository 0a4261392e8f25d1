"""What is read out of the stages of an execution."""

from typing import Any

import pytest

from adapters.gate.errors import redacted
from adapters.gate.executions import Execution, of_answer, of_body

CANARY = {"type": "kayentaCanary", "name": "Canary", "status": "RUNNING"}


def stage(kind: str, name: str, status: str = "RUNNING", **context: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "status": status, "context": context}


def execution(*stages: Any, status: str = "RUNNING") -> Execution:
    return of_answer({"id": "01A", "status": status, "stages": list(stages)})


def analysis(number: int, status: str, score: float | None = None) -> dict[str, Any]:
    return stage("runCanary", f"Run Canary #{number}", status, **({} if score is None else {"canaryScore": score}))


@pytest.mark.parametrize(
    ("stages", "waits"),
    [
        ([stage("deploy", "Deploy")], ""),
        ([stage("manualJudgment", "Approve")], 'waits for a manual judgment "Approve" in Spinnaker'),
        ([stage("manualJudgment", "Approve", "SUCCEEDED")], ""),
        ([stage("manualJudgment", "")], 'waits for a manual judgment "Manual Judgment" in Spinnaker'),
        ([CANARY], "canary analysis: interval 1"),
        ([CANARY, analysis(1, "RUNNING")], "canary analysis: interval 1"),
        ([CANARY, analysis(1, "SUCCEEDED", 87.0)], "canary analysis: score 87, interval 2"),
        ([CANARY, analysis(2, "RUNNING"), analysis(1, "SUCCEEDED", 87.5)], "canary analysis: score 87.5, interval 2"),
        ([CANARY, analysis(1, "SUCCEEDED"), analysis(2, "NOT_STARTED")], "canary analysis: interval 2"),
        ([CANARY, *(analysis(n, "SUCCEEDED", n) for n in range(10, 0, -1))], "canary analysis: score 10, interval 11"),
        ([3, {"status": "RUNNING"}], ""),
    ],
)
def test_what_is_waited_for_has_a_name(stages: list[Any], waits: str) -> None:
    assert waits == execution(*stages).waits


def test_only_a_running_canary_counts_its_analyses() -> None:
    done = [analysis(1, "SUCCEEDED", 87), analysis(2, "RUNNING")]

    assert (1, 0) == (execution(CANARY, *done).canary, execution({**CANARY, "status": "SUCCEEDED"}, done[0]).canary)


GENERIC = {"exception": {"details": {"errors": ["At least one monitored pipeline failed, look for errors in ..."]}}}
COPIED = {"exception": {"details": {"errors": ["Exception in child pipeline stage (bake: Bake): No AMI"]}}}
WATCHED = {"executionStatuses": {"01C": {"status": "TERMINAL", **COPIED}}}


@pytest.mark.parametrize(
    ("failed", "error", "child"),
    [
        (stage("pipeline", "Bake", "TERMINAL", executionId="01C", **GENERIC), "", "01C"),
        (stage("pipeline", "Bake", "TERMINAL", executionId="01C"), "", "01C"),
        (stage("pipeline", "Bake", "TERMINAL", executionId="01C", **COPIED), COPIED["exception"], ""),
        (stage("monitorPipeline", "Watch", "TERMINAL", executionIds=["01C"], **GENERIC), "", "01C"),
        (
            {**stage("monitorPipeline", "Watch", "TERMINAL", **GENERIC), "outputs": WATCHED},
            COPIED["exception"],
            "",
        ),
        (stage("pipeline", "Bake", "TERMINAL"), "", ""),
        (stage("deploy", "Deploy", "TERMINAL", executionId="01C"), "", ""),
    ],
)
def test_a_nested_pipelines_failure_is_told_or_leads_to_it(failed: dict[str, Any], error: Any, child: str) -> None:
    seen = execution(failed, status="TERMINAL")

    assert (error["details"]["errors"][0] if error else "", child) == (seen.error, seen.child)


@pytest.mark.parametrize(
    ("failed", "error"),
    [
        (
            stage("manualJudgment", "Approve", "TERMINAL", judgmentStatus="Stop", lastModifiedBy="ada@example.com"),
            'ada@example.com stopped it at the manual judgment "Approve"',
        ),
        (
            stage("webhook", "Tell", "TERMINAL", webhook={"error": "Error to https://x.example.com/y, 404."}),
            "Error to [url]",
        ),
        (stage("checkPreconditions", "Guard", "TERMINAL", context={"failureMessage": "too many"}), "too many"),
        (
            stage("kayentaCanary", "Canary", "TERMINAL", canaryScoreMessage="Final canary score 40.0 is below ..."),
            "Final canary score 40.0 is below ...",
        ),
    ],
)
def test_stages_without_an_exception_say_why_they_failed(failed: dict[str, Any], error: str) -> None:
    assert execution(failed, status="TERMINAL").error.startswith(error)


def test_where_nothing_is_said_the_stage_has_a_name() -> None:
    child = {**stage("checkPreconditions", "Check", "TERMINAL"), "parentStageId": "01"}

    assert 'stage "Guard" ended TERMINAL' == execution(stage("x", "Guard", "TERMINAL"), child, status="TERMINAL").failed


def test_a_body_of_another_version_is_read_as_far_as_it_is_understood() -> None:
    body = execution(stage("manualJudgment", "Approve")).as_body()

    assert execution(stage("manualJudgment", "Approve")) == of_body({**body, "novelty": 3})
    assert of_body({"found": True, "id": "01A", "status": "RUNNING"}) == Execution(id="01A", status="RUNNING")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "Connect to spin-orca.spinnaker:8083 [spin-orca.spinnaker/10.3.4.5] failed",
            "Connect to [host] [[host]/[host]]",
        ),
        ("clouddriver:7002 refused", "[host] refused"),
        ("172.20.1.2 and 127.0.0.1:7002 and 192.168.1.1", "[host] and [host] and [host]"),
        ("ip-10-0-3-4.ec2.internal is sick", "[host] is sick"),
        ("i-0a1b2c at 3 of 4, version 1.10.2 in 10.5 s", "i-0a1b2c at 3 of 4, version 1.10.2 in 10.5 s"),
        ("com.netflix.spinnaker.orca.Oops: at 12:34", "com.netflix.spinnaker.orca.Oops: at 12:34"),
    ],
)
def test_internal_hosts_are_taken_out(said: str, shown: str) -> None:
    assert redacted(said).startswith(shown)
