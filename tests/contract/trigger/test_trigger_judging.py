"""How work on a host ends: by its report, by AWS's word against it, by silence, by its going away."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.agent_protocol.reports import Blame
from adapters.agent_protocol.signing import new_key
from reconciler.reasons import Reason
from reconciler.work import Failure, Phase

EAST, WEST = "us-east-1", "eu-west-1"


def test_a_host_is_done_when_it_reports_the_release_installed_running_and_healthy(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))

    host.begins("staging")
    outcome = rig.check(outcome)
    assert (outcome.phase, outcome.message) == (Phase.RUNNING, f"{host.id} is at it: staging")
    host.begins("checking")
    host.does()
    ended = rig.check(outcome)

    assert (ended.phase, ended.message) == (Phase.SUCCEEDED, f"{host.id} runs 2.3.1 and is healthy")


@pytest.mark.parametrize(
    ("facts", "lacking"),
    [
        ({"healthy": False}, "http://localhost:8080/health answered 503"),
        ({"running": False}, "nothing runs on it"),
        ({"components": {"package/mm": "2.3.0"}}, "package/mm is 2.3.0"),
        ({"components": {}}, "package/mm is not there"),
    ],
    ids=["unhealthy", "not running", "another version", "changed since"],
)
def test_a_host_that_only_says_it_is_done_is_not(rig: Any, facts: dict[str, Any], lacking: str) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    host.does()
    for name, value in facts.items():
        setattr(host, name, value)
    host.says()

    still = rig.check(outcome)

    assert (still.phase, still.message) == (Phase.RUNNING, f"{host.id} says that it is done, but {lacking}")


@pytest.mark.parametrize(
    ("blame", "failure", "reason"),
    [
        (Blame.UNHEALTHY, Failure.UNHEALTHY, Reason.HEALTH_CHECK_FAILED),
        (Blame.REFUSED, Failure.REFUSED, Reason.DEPLOY_REFUSED),
        (Blame.TRANSIENT, Failure.TRANSIENT, None),
        (Blame.NONE, Failure.UNHEALTHY, Reason.HEALTH_CHECK_FAILED),
    ],
)
def test_a_failure_is_told_in_the_hosts_words_and_by_whose_fault_it_is(
    rig: Any, blame: Blame, failure: Failure, reason: Reason | None
) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    host.fails(blame, "8080 answered 503 for 60 s")

    ended = rig.check(outcome)

    assert (ended.phase, ended.failure, ended.reason) == (Phase.FAILED, failure, reason)
    assert ended.message == f"{host.id}: 8080 answered 503 for 60 s; went back to 2.3.0"


def test_what_was_said_of_another_attempt_does_not_count(rig: Any) -> None:
    (host,) = rig.launch()
    rig.start(rig.intent(host))
    host.fails()

    (second,) = rig.start(rig.intent(host, attempt=2))

    assert rig.check(second).phase is Phase.RUNNING
    host.does()
    assert rig.check(second).phase is Phase.SUCCEEDED


# ── target groups ──


def test_a_target_group_that_calls_it_unhealthy_is_believed_over_the_host(rig: Any) -> None:
    (host,) = rig.launch()
    rig.balance(host)
    (outcome,) = rig.start(rig.intent(host))
    host.does()
    rig.aws.make_target_sick(host.id)

    vetoed = rig.check(outcome)
    assert (vetoed.phase, rig.unit(host).healthy) == (Phase.RUNNING, False)
    assert vetoed.message == (
        f"{host.id} says that it is done, but unhealthy in its target group: Health checks failed"
    )

    rig.aws.make_target_well(host.id)
    assert (rig.check(outcome).phase, rig.unit(host).healthy) == (Phase.SUCCEEDED, True)


def test_nothing_is_done_before_its_target_groups_were_looked_at(rig: Any) -> None:
    (host,) = rig.launch()
    rig.balance(host)
    (outcome,) = rig.start(rig.intent(host))
    host.does()
    fresh = rig.controller(rig.key)

    unlooked = {name: each for name, each in rig.look(by=fresh).items() if not name.startswith("targets/")}
    first = fresh.check(outcome, unlooked, rig.clock.now())
    second = fresh.check(outcome, rig.look(by=fresh), rig.clock.now())

    assert first.message.endswith("but its target groups are yet to be looked at")
    assert (first.phase, second.phase) == (Phase.RUNNING, Phase.SUCCEEDED)


def test_groups_that_the_settings_name_veto_whatever_the_host_says(rig: Any) -> None:
    (host,) = rig.launch()
    arn = rig.balance(host)
    host.groups = ()
    fleet = rig.fleet(deploy={"drain": {"target_groups": [arn]}})
    (outcome,) = rig.start(rig.intent(host, fleet))
    host.does()
    rig.aws.make_target_sick(host.id)

    assert rig.check(outcome).phase is Phase.RUNNING
    rig.aws.make_target_well(host.id)
    assert rig.check(outcome).phase is Phase.SUCCEEDED


def test_a_group_that_is_gone_or_of_another_account_vetoes_nothing(rig: Any) -> None:
    (host,) = rig.launch()
    group = "arn:aws:elasticloadbalancing:us-east-1:{}:targetgroup/mm/0123456789abcdef"
    host.groups = (group.format("123456789012"), group.format("999999999999"), "nonsense")
    (outcome,) = rig.start(rig.intent(host))
    host.does()

    assert rig.check(outcome).phase is Phase.SUCCEEDED


# ── silence ──


def test_silence_is_a_failure(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    host.begins("activating")
    host.silent = True
    heard = rig.clock.now()

    rig.pass_time(minutes=3)
    assert rig.check(outcome).phase is Phase.RUNNING
    rig.pass_time(seconds=1)
    ended = rig.check(outcome)

    assert (ended.phase, ended.failure, ended.reason) == (Phase.FAILED, Failure.UNHEALTHY, Reason.HOST_SILENT)
    assert ended.message == f"{host.id} is silent since {heard:%H:%M:%S} UTC"
    assert rig.unit(host).message == f"silent since {heard:%Y-%m-%d %H:%M:%S} UTC"


def test_a_host_that_was_silent_before_has_its_time_from_the_start(rig: Any) -> None:
    silent, _ = rig.launch(2)
    silent.silent = True
    rig.pass_time(hours=1)
    (outcome,) = rig.start(rig.intent(silent))

    rig.pass_time(minutes=2)
    assert rig.check(outcome).phase is Phase.RUNNING
    rig.pass_time(minutes=2)
    assert rig.check(outcome).reason is Reason.HOST_SILENT


def test_our_own_deafness_makes_nobody_silent(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    rig.deaf_since = rig.clock.now()

    rig.pass_time(minutes=30)
    still = rig.check(outcome)

    assert (still.phase, still.message) == (
        Phase.RUNNING,
        f"no reports were read since {rig.deaf_since:%H:%M:%S} UTC",
    )
    assert rig.observed().missing == (f"reports/123456789012/us-east-1/prod since {rig.deaf_since:%H:%M:%S} UTC",)


def test_a_fresh_instance_may_boot_before_its_silence_counts(rig: Any) -> None:
    rig.launch()
    (fresh,) = rig.launch(1, silent=True)
    (outcome,) = rig.start(rig.intent(fresh))

    rig.pass_time(minutes=12)
    assert rig.check(outcome).phase is Phase.RUNNING
    rig.pass_time(minutes=2)
    ended = rig.check(outcome)

    assert (ended.reason, ended.message) == (Reason.HOST_SILENT, f"{fresh.id} has never reported")


def test_where_the_queue_of_a_region_was_never_read_nothing_is_concluded(rig: Any) -> None:
    rig.launch()
    (mute,) = rig.launch(1, WEST, silent=True)
    (outcome,) = rig.start(rig.intent(mute))

    rig.pass_time(hours=5)

    found = rig.check(outcome)
    assert (found.phase, found.message) == (Phase.RUNNING, f"no reports of {mute.id}'s region were read yet")
    assert rig.observed().missing == ("reports/123456789012/eu-west-1/prod",)


def test_where_nobody_of_a_region_ever_reported_silence_counts_at_the_deadline(rig: Any) -> None:
    rig.launch()
    (mute,) = rig.launch(1, WEST, silent=True)
    (outcome,) = rig.start(rig.intent(mute))
    rig.reports[WEST] = {}  # its queue was read, and nothing was in it

    rig.pass_time(minutes=12)
    assert rig.check(outcome).phase is Phase.RUNNING
    rig.pass_time(minutes=2)

    assert rig.check(outcome).reason is Reason.HOST_SILENT


# ── other ends ──


def test_a_host_that_takes_for_ever_is_failed(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    host.begins("restarting")

    rig.pass_time(minutes=12, seconds=59)
    assert rig.check(outcome).phase is Phase.RUNNING
    rig.pass_time(seconds=1)
    ended = rig.check(outcome)

    assert (ended.phase, ended.failure, ended.reason) == (Phase.FAILED, Failure.UNHEALTHY, Reason.DEADLINE_EXCEEDED)
    assert ended.message == f"{host.id} took longer than 13 min: {host.id} is at it: restarting"


def test_a_download_that_takes_for_ever_is_the_roads_fault(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    host.begins("staging")

    rig.pass_time(minutes=13)
    ended = rig.check(outcome)

    assert (ended.phase, ended.failure, ended.reason) == (Phase.FAILED, Failure.TRANSIENT, Reason.DEADLINE_EXCEEDED)


def test_a_host_that_is_gone_has_neither_succeeded_nor_failed(rig: Any) -> None:
    host, _ = rig.launch(2)
    (outcome,) = rig.start(rig.intent(host))
    rig.terminate(host)

    ended = rig.check(outcome)

    assert (ended.phase, ended.failure) == (Phase.ABORTED, Failure.NONE)
    assert ended.message == f"{host.id} is gone: EC2 shows no such instance with the fleet's tags"


def test_a_region_that_was_not_read_takes_no_host_away(rig: Any) -> None:
    (host,) = rig.launch(1, WEST)
    (outcome,) = rig.start(rig.intent(host))
    seen = {feed: each for feed, each in rig.look().items() if feed != f"inventory/123456789012/{WEST}"}

    assert rig.deployer.check(outcome, seen, rig.clock.now()) == outcome
    assert rig.deployer.observe(rig.fleet(), seen).missing == (f"inventory/123456789012/{WEST}",)


def test_a_host_that_does_not_know_our_key_is_set_up_wrong(rig: Any) -> None:
    (host,) = rig.launch()
    ours, rig.key = rig.key, new_key("2027-01")[0]
    (outcome,) = rig.start(rig.intent(host), by=rig.controller(ours))
    host.reads()
    host.says()
    rig.deployer = rig.controller(ours)

    ended = rig.check(outcome)

    assert (ended.phase, ended.failure, ended.reason) == (Phase.FAILED, Failure.UNHEALTHY, Reason.HEALTH_CHECK_FAILED)
    assert ended.message == (
        f"{host.id} refuses the order (OrderKeyUnknown): the order is signed with key '2026-11', "
        "which this host does not trust"
    )


def test_a_host_whose_clock_is_wrong_says_so(rig: Any) -> None:
    (host,) = rig.launch()
    rig.clock.advance(timedelta(hours=1))
    (outcome,) = rig.start(rig.intent(host))
    rig.clock.advance(timedelta(hours=-1))
    host.reads()
    rig.clock.advance(timedelta(hours=1))
    host.says()

    ended = rig.check(outcome)

    assert (ended.failure, "OrderFromTheFuture" in ended.message) == (Failure.UNHEALTHY, True)


def test_what_ended_is_not_judged_again(rig: Any) -> None:
    (host,) = rig.launch()
    (outcome,) = rig.start(rig.intent(host))
    host.fails()
    ended = rig.check(outcome)
    host.work = replace(host.work, state="done")
    host.says()

    assert rig.check(ended) == ended
