"""Executions of the fleet's pipelines that somebody else started."""

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from time import sleep
from typing import Any

import pytest
import requests

from adapters.aws.sessions import Sessions
from adapters.deployers.spinnaker import Spinnaker
from adapters.gate.client import Gates
from reconciler.work import Outcome, Phase

EAST, WEST = "us-east-1", "eu-west-1"


def begin(rig: Any, pipeline: str = f"deploy-{EAST}", **trigger: Any) -> str:
    """What a person, a schedule or a push does at Gate; gives the execution's id."""
    body = {"type": "manual", "user": "a.person@example.com", "parameters": {"PKG_VERSION": "1.4.9"}, **trigger}
    answer = requests.post(f"{rig.gate.url}/pipelines/checkout/{pipeline}", json=body, timeout=5)
    return str(answer.json()["ref"]).rpartition("/")[2]


def foreign(rig: Any, fleet: Any = None, work: tuple[Outcome, ...] = ()) -> str:
    fleet = fleet or rig.fleet()
    return str(rig.deployer.observe(fleet, rig.deployer.refresh(fleet, work, {})).foreign)


def repeated(outcome: Outcome) -> Outcome:
    return replace(outcome, intent=replace(outcome.intent, starts=2))


def test_nothing_is_foreign_where_nothing_runs(rig: Any) -> None:
    assert "" == foreign(rig)
    (asked,) = [each for each in rig.gate.access_log.entries() if "statuses" in each["query"]]
    assert "/executions" == asked["path"]  # not a search by trigger, which Orca on Redis may never end
    assert "RUNNING" in asked["query"]["statuses"].split(",")


def test_the_sentence_names_who_started_what_and_when_until_it_is_over(rig: Any) -> None:
    execution = begin(rig)

    said = foreign(rig)

    at = f"{rig.clock.now():%Y-%m-%d}"
    assert said.startswith(f"a.person@example.com started deploy-{EAST} at {at} ")
    assert said.endswith(f" UTC: execution {execution} is not over")
    while not rig.gate.executions.get(execution).complete:
        rig.gate.tick()
    assert "" == foreign(rig)


TRIGGERS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"type": "cron", "user": "[anonymous]"}, "a cron trigger started"),
    ({"type": "git", "user": "a.person"}, "a git trigger (a.person) started"),
    ({"user": "anonymous"}, "someone started"),
    ({"user": "a\x1b[31m\nperson http://deck.internal/x"}, "a [31m person [url] started"),
    ({"user": "p" * 500}, f"{'p' * 57}... started"),
    ({"correlationId": "ci:1234"}, "a.person@example.com started"),
)


def test_triggers_of_every_kind_are_told_in_plain_words(rig: Any) -> None:
    for trigger, who in TRIGGERS:
        execution = rig.gate.executions.get(begin(rig, **trigger))

        assert foreign(rig).startswith(who)
        execution.finish("CANCELED", 0)


def test_two_pipelines_of_a_fleet_are_both_looked_at_and_others_are_not(rig: Any) -> None:
    begin(rig, f"deploy-{WEST}")
    begin(rig)
    assert foreign(rig).endswith("(+1 more)")

    only_west = rig.fleet(deploy={"pipeline": f"deploy-{WEST}"})
    assert f"started deploy-{WEST}" in foreign(rig, only_west)
    assert "more" not in foreign(rig, only_west)
    assert "" == foreign(rig, rig.fleet(deploy={"pipeline": "deploy-canary"}))


def test_a_pipeline_that_is_named_by_its_id_is_found_as_well(rig: Any) -> None:
    config = rig.gate.pipelines.find("checkout", f"deploy-{EAST}")
    execution = begin(rig, config["id"])

    assert execution in foreign(rig, rig.fleet(deploy={"pipeline": config["id"]}))


def test_what_fairlead_started_is_not_foreign_to_it_nor_to_another_fleet_of_the_same_pipeline(rig: Any) -> None:
    outcome = rig.start(rig.intent())

    assert "" == foreign(rig, work=(outcome,))
    assert "" == foreign(rig, rig.fleet(name="prod/checkout-batch"))


def test_work_on_this_very_fleet_that_nobody_here_follows_is_told(rig: Any) -> None:
    """Another installation, or what was never seen to start and started all the same."""
    intent = rig.intent()
    rig.start(replace(intent, key=intent.key.replace("fairlead:main:", "fairlead:elsewhere:")))

    assert foreign(rig).startswith("another Fairlead or a restart started deploy-us-east-1")


def test_what_is_foreign_does_not_hide_where_ours_stands(rig: Any) -> None:
    outcome = repeated(rig.start(rig.intent()))
    begin(rig)

    snapshots = rig.deployer.refresh(outcome.intent.fleet, [outcome], {})

    assert "a.person@example.com" in rig.deployer.observe(outcome.intent.fleet, snapshots).foreign
    assert Phase.RUNNING is rig.deployer.check(outcome, snapshots, rig.clock.now()).phase


@pytest.mark.parametrize(("was_repeated", "looks"), [(False, 0), (True, 1)])
def test_while_ours_runs_others_are_looked_for_only_where_a_start_was_repeated(
    rig: Any, was_repeated: bool, looks: int
) -> None:
    fleet, outcome = rig.fleet(), rig.start(rig.intent())
    outcome = repeated(outcome) if was_repeated else outcome
    for _ in range(3):
        foreign(rig, fleet, (outcome,))
    paths = [each["path"] for each in rig.gate.access_log.entries() if "statuses" in each["query"]]
    assert looks == len(paths)

    rig.until_ended(outcome)
    begin(rig)
    assert "a.person@example.com" in foreign(rig, fleet)


def test_a_gate_that_is_away_keeps_nobody_from_looking_only_from_starting(rig: Any) -> None:
    rig.gate.faults.on("unavailable")
    fleet = rig.fleet("1.4.2")

    observed = rig.deployer.observe(fleet, rig.deployer.refresh(fleet, (), {}))

    assert [EAST, WEST] == sorted((unit.id for unit in observed.units), reverse=True)
    assert observed.out_of_reach
    assert "" == observed.foreign


def test_where_nobody_knows_what_others_run_nothing_can_be_started_even_if_the_fleet_lacks_nothing(rig: Any) -> None:
    """It runs the version that Git says, which is bad: what it is about to do is to go back."""
    fleet = rig.fleet("1.4.1")
    rig.gate.faults.on("error_after_accepting", operation="bulk")

    observed = rig.deployer.observe(fleet, rig.deployer.refresh(fleet, (), {}))

    assert "Gate failed when asked to show the executions that are not over (500); it is tried again later" == (
        observed.out_of_reach
    )
    rig.gate.faults.clear()
    assert "" == rig.deployer.observe(fleet, rig.deployer.refresh(fleet, (), {})).out_of_reach


def test_what_goes_back_is_looked_at_and_what_is_bad_ended_with_the_last_of_gates_rate(rig: Any) -> None:
    outcome = rig.start(rig.intent())
    ends = format_datetime(rig.clock.now() + timedelta(minutes=1), usegmt=True)
    told = {"X-RateLimit-Capacity": "100", "X-RateLimit-Remaining": "10", "X-RateLimit-Reset": ends}
    rig.deployer._gate(rig.fleet())._transport._limiter.hear(200, told)

    assert foreign(rig, rig.fleet("1.4.1")).startswith("another Fairlead")
    assert Phase.ABORTING is rig.abort(outcome).phase
    fleet = rig.fleet("1.4.2")
    assert "limits our pace" in rig.deployer.observe(fleet, rig.deployer.refresh(fleet, (), {})).out_of_reach


def test_what_gate_stores_late_for_a_key_that_was_sent_again_is_told_and_ended(
    rig: Any,
) -> None:
    intent = rig.intent()
    rig.gate.faults.on("hold_while_accepting", times=1)
    hasty = Spinnaker(sessions=Sessions(max_attempts=1), gates=Gates({}, timeout=2), clock=rig.clock)
    given_up = next(iter(hasty.start([intent], None, {}, rig.lease)))
    followed = rig.start(replace(intent, starts=2))
    rig.gate.faults.release()
    while len(rig.executions) < 2:
        sleep(0.01)
    (twin,) = {*rig.executions} - {followed.ticket}

    snapshots = rig.deployer.refresh(intent.fleet, [followed], {})
    told = rig.deployer.observe(intent.fleet, snapshots).foreign
    said = rig.deployer.uphold(intent.fleet, None, snapshots, rig.lease)

    assert (Phase.INTENDED, Phase.RUNNING, "") == (given_up.phase, followed.phase, said)
    assert told.startswith("a repeated request of ours started ")
    assert twin in told
    rig.gate.tick()
    ended = rig.gate.executions.get(twin).body
    assert ("CANCELED", f"fairlead: started twice for one key; {followed.ticket} goes on") == (
        ended["status"],
        ended["cancellationReason"],
    )
    assert Phase.SUCCEEDED is rig.until_ended(followed).phase
