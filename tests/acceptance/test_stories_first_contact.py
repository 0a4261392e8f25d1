"""A ledger that knows nothing: at first sight nothing happens by surprise, and after its loss nothing happens twice."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from fairlead_sandbox.gate import GateSettings

FLEETS = {"staging/newcomer": "1.5.0", "staging/running": "1.4.0", "staging/failing": "1.4.0", "staging/calm": "1.4.0"}


@pytest.fixture(scope="module")
def story(begin_story: Any, make_repository: Any) -> Any:
    """Three fleets run what Git says; newcomer runs 1.3.0, which nobody wrote down."""
    story = begin_story(make_repository(FLEETS))
    story.world.change_by_hand("newcomer-staging", "us-east-1", "1.3.0")
    story.start()
    for fleet in ("running", "failing", "calm"):
        story.wait_said(story.world.checkout.head, f"staging/{fleet}", "success", "already there")
    return story


def test_a_fleet_first_seen_at_another_version_is_left_alone_until_it_is_adopted(story: Any) -> None:
    fleet = "staging/newcomer"
    commit = story.record(fleet).setting.commit
    told = story.wait_said(commit, fleet, "pending", "FirstSight: first seen running 1.3.0")
    assert "`fairlead adopt staging/newcomer` deploys 1.5.0" in told.description
    assert [] == story.starts(fleet)

    assert 0 == story.fairlead("adopt", fleet)[0]

    story.wait_said(commit, fleet, "success", "1.5.0 on 1/1 units")
    assert {"1.5.0"} == story.versions(fleet)
    assert "adopted" in [event["kind"] for event in story.fairlead("history", fleet)[1]["events"]]


def test_losing_the_ledger_starts_nothing_twice_and_nothing_by_surprise(story: Any) -> None:
    gate = story.world.gate
    gate.faults.on("fail_bake", version="1.6.0")
    gate.faults.on("not_started", seconds=300, application="running", times=1)
    bad = story.world.bump("staging/failing", "1.6.0")
    story.wait_said(bad, "staging/failing", "failure", "; rolled back to 1.4.0")
    gate.faults.off("fail_bake", version="1.6.0")
    bump = story.world.bump("staging/running", "1.5.0")
    execution = story.wait(lambda: story.starts("staging/running"), "1.5.0 is started")[0]["execution"]
    before = len(gate.access_log.starts())

    story.lose_ledger()
    story.start()

    told = story.wait_said(bad, "staging/failing", "pending", "FirstSight: first seen running 1.4.0")
    assert "deploys 1.6.0" in told.description
    story.wait(
        lambda: [work.ticket for work in story.record("staging/running").work] == [execution],
        "the execution that runs is found again",
    )
    gate.executions.get(execution).not_before = 0.0
    story.wait_said(bump, "staging/running", "success", "1.5.0 on 1/1 units")
    story.wait(lambda: story.record("staging/calm").memory.status.ready, "the calm fleet is known again")
    story.wait_reason("staging/failing", "FirstSight")
    assert before == len(gate.access_log.starts())
    assert {"1.4.0"} == story.versions("staging/failing")
    assert {"1.5.0"} == story.versions("staging/running")


def test_once_ends_with_0_where_nothing_is_to_be_done(begin_story: Any, make_repository: Any) -> None:
    still = GateSettings(bake_seconds=0.05, deploy_seconds=0.1, health_seconds=2.0, background=False)
    quiet = begin_story(make_repository({"staging/quiet": "1.4.0"}), gate=still)

    assert 0 == quiet.program("once")
    assert 0 == quiet.program("once")

    line = quiet.said(quiet.world.checkout.head, "staging/quiet")
    assert ("success", "1.4.0 on 1/1 units, already there") == (line.state, line.description)
    assert [] == quiet.starts("staging/quiet")
    commit = quiet.world.bump("staging/quiet", "1.5.0")
    assert 1 == quiet.program("once"), "a rollout has begun"

    def one_more() -> bool:
        for _ in range(20):
            quiet.world.gate.tick()
        return quiet.program("once") == 0

    quiet.wait(one_more, "passes made one by one bring the fleet there")
    assert "success" == quiet.said(commit, "staging/quiet").state
    assert {"1.5.0"} == quiet.versions("staging/quiet")
    assert 1 == len(quiet.starts("staging/quiet"))


def test_a_restored_ledger_takes_nothing_newer_for_drift(begin_story: Any, make_repository: Any) -> None:
    story = begin_story(make_repository({"staging/restored": "1.4.0"}))
    story.start()
    story.wait_said(story.world.checkout.head, "staging/restored", "success", "already there")
    story.stop()
    ledger = story.world.state / "ledger.db"
    with closing(sqlite3.connect(ledger)) as connection:
        connection.execute("VACUUM INTO ?", [str(story.world.state / "copy")])
    story.start()
    bump = story.world.bump("staging/restored", "1.5.0")
    story.wait_said(bump, "staging/restored", "success", "1.5.0 on 1/1 units")
    begun = len(story.starts("staging/restored"))

    story.lose_ledger()
    (story.world.state / "copy").rename(ledger)
    story.world.git.faults.stall = True
    restored = story.start()
    story.wait(lambda: story.world.git.waiting, "the controller asks for the head")
    with pytest.raises(TimeoutError):
        story.wait(lambda: '"family": "fleet"' in restored.said(), "a pass before the head is known", 4.0)
    story.world.git.faults.stall = False

    story.wait_said(bump, "staging/restored", "success", "1.5.0 on 1/1 units")
    story.wait(lambda: story.record("staging/restored").memory.status.ready, "it is in sync")
    assert {"1.5.0"} == story.versions("staging/restored")
    assert begun == len(story.starts("staging/restored"))
