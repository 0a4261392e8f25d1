"""Queues that the controller keeps: made, mended and removed, once, whatever happens between two calls."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from adapters.aws import throttle, upkeep
from adapters.aws.errors import is_throttled
from adapters.aws.host_queues import queue_policy
from adapters.doctor.permissions import acting
from reconciler.ports import LeaseLost
from tests.unit.test_terraform import IAM, listed, rendered


def test_who_is_launched_gets_a_queue_that_hears_its_fleets(yard: Any, build: Any) -> None:
    yard.declare(build.fleet("prod/mm"), build.fleet("prod/lobby"))
    one, both = yard.launch(2)
    yard.shows(mm=[one, both], lobby=[both])

    again_at = yard.run()

    assert {one, both} == yard.queues()
    assert {one: ["prod/mm"], both: ["prod/lobby", "prod/mm"]} == yard.heard()
    assert ["fairlead-prod_lobby", "fairlead-prod_mm"] == yard.sources(both)
    assert timedelta(hours=1) == again_at - yard.clock.now()


def test_what_is_published_arrives(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    (host,) = yard.launch()
    yard.shows(mm=[host])
    yard.run()

    topic = f"arn:aws:sns:{build.region}:{build.account}:fairlead-prod_mm"
    yard.aws.client("sns").publish(TopicArn=topic, Message="look")

    (message,) = yard.aws.client("sqs").receive_message(QueueUrl=yard.address(host))["Messages"]
    assert "look" == message["Body"]


def test_a_pass_with_nothing_to_do_asks_nothing_but_pages_once_an_hour(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    yard.shows(mm=yard.launch(3))
    yard.run()

    assert {} == yard.calls()

    yard.clock.advance(timedelta(hours=1))
    asked = yard.calls()
    pages = {"sns:ListSubscriptionsByTopic": 1, "sqs:ListQueues": 1, "sns:GetTopicAttributes": 1}
    assert pages == {call: asked[call] for call in pages}
    assert not [call for call in asked if "Create" in call or "Set" in call or "ubscribe" in call]
    assert {} == yard.calls()


def test_who_joins_costs_two_calls(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    first = yard.launch(2)
    yard.shows(mm=first)
    yard.run()
    (joined,) = yard.launch()
    yard.shows(mm=[*first, joined])

    assert {"sqs:CreateQueue": 1, "sns:Subscribe": 1} == yard.calls()


def test_another_process_finds_everything_there(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    yard.shows(mm=yard.launch(3))
    yard.run()
    before = yard.heard()

    asked = yard.calls(yard.another())

    assert 0 == asked["sqs:CreateQueue"] + asked["sns:Subscribe"] + asked["sqs:SetQueueAttributes"]
    assert before == yard.heard()


@pytest.mark.parametrize("after", [1, 3, 5, 6, 8])
def test_a_process_that_dies_after_any_call_leaves_what_the_next_one_ends(yard: Any, build: Any, after: int) -> None:
    yard.declare(build.fleet("prod/mm"), build.fleet("prod/lobby"))
    one, both = yard.launch(2)
    yard.shows(mm=[one, both], lobby=[both])
    changed = [0]

    def dies(model: Any, **_: Any) -> None:
        if model.name in {"CreateTopic", "CreateQueue", "Subscribe"}:
            changed[0] += 1
            if changed[0] == after:
                raise SystemExit

    dying = yard.another()
    for service in ("sns", "sqs"):
        yard.client(service, dying).meta.events.register("after-call.*.*", dies)
    with pytest.raises(SystemExit):
        yard.run(dying)
    yard.clock.advance(timedelta(days=31))

    yard.run(yard.another())

    assert {one, both} == yard.queues()
    assert {one: ["prod/mm"], both: ["prod/lobby", "prod/mm"]} == yard.heard()


def test_a_queue_that_somebody_deleted_comes_again(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    (host,) = yard.launch()
    yard.shows(mm=[host])
    yard.run()
    yard.aws.client("sqs").delete_queue(QueueUrl=yard.address(host))
    yard.clock.advance(timedelta(hours=1))

    yard.run()

    assert {host} == yard.queues()
    assert {host: ["prod/mm"]} == yard.heard()


def test_a_fleet_that_joins_a_host_is_let_into_its_queue(yard: Any, build: Any) -> None:
    yard.declare(build.fleet("prod/mm"))
    (host,) = yard.launch()
    yard.shows(mm=[host])
    yard.run()
    yard.declare(build.fleet("prod/mm"), build.fleet("prod/lobby"))
    yard.shows(mm=[host], lobby=[host])

    yard.run()

    assert ["fairlead-prod_lobby", "fairlead-prod_mm"] == yard.sources(host)
    assert {host: ["prod/lobby", "prod/mm"]} == yard.heard()


def test_an_instance_of_two_environments_hears_both(yard: Any, build: Any) -> None:
    yard.declare(build.fleet("prod/mm"), build.fleet("test/probe"))
    (host,) = yard.launch()
    yard.shows(**{"mm": [host], "test/probe": [host]})

    yard.run()
    yard.run(name=build.name.replace("prod", "test"))

    assert {host: ["prod/mm", "test/probe"]} == yard.heard()
    assert ["fairlead-prod_mm", "fairlead-test_probe"] == yard.sources(host)


def test_where_others_make_the_queues_nothing_is_touched(yard: Any, build: Any) -> None:
    yard.declare(build.fleet(queues="setup"))
    yard.shows(mm=yard.launch())

    assert {} == yard.calls()
    assert yard.run() is None


def test_who_only_observes_makes_nothing(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    yard.shows(mm=yard.launch())

    watcher = yard.another(acts=False)

    assert {} == yard.calls(watcher)
    assert timedelta(minutes=1) == yard.run(watcher) - yard.clock.now()


def test_what_does_not_fit_into_a_pass_is_done_in_the_next_ones(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    hosts = yard.launch(5)
    yard.shows(mm=hosts)
    short = yard.another(timedelta(seconds=0.001))
    passes = 0
    real = yard.clock.monotonic
    ticks = iter(range(1, 1_000_000))
    yard.clock.monotonic = lambda: real() + next(ticks) / 5000

    while yard.run(short) <= yard.clock.now():
        passes += 1
        assert passes < 100, "it does not end"

    assert passes >= 2
    assert set(hosts) == yard.queues()
    assert {host: ["prod/mm"] for host in hosts} == yard.heard()


def test_without_the_lease_nothing_is_sent(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    yard.shows(mm=yard.launch())
    yard.ledger.add([f"plumbing:{build.name}"])
    (due,) = yard.ledger.claim("plumbing", 1, timedelta(seconds=30))
    yard.clock.advance(timedelta(seconds=31))
    before = dict(yard.aws.calls)

    with pytest.raises(LeaseLost):
        yard.plumbing.run(build.name, due.lease)

    assert {"sts:GetCallerIdentity"} >= {call for call in yard.aws.calls if yard.aws.calls[call] != before.get(call, 0)}


# ── gone ──


@pytest.fixture
def two(yard: Any, build: Any) -> list[str]:
    """Two instances that hear their fleet, an hour old."""
    yard.declare(build.fleet())
    hosts: list[str] = yard.launch(2)
    yard.shows(mm=hosts)
    yard.run()
    return hosts


def test_who_ended_loses_its_subscription_and_its_queue(yard: Any, two: list[str]) -> None:
    left, stays = two
    yard.end(left)
    yard.shows(mm=[stays])

    yard.run()

    assert {stays} == yard.queues()
    assert {stays: ["prod/mm"]} == yard.heard()


@pytest.mark.parametrize("shown", ["nothing", "stopped"])
def test_an_inventory_without_an_instance_that_ec2_knows_removes_nothing(yard: Any, two: list[str], shown: str) -> None:
    if shown == "stopped":
        yard.aws.client("ec2").stop_instances(InstanceIds=two)
    yard.shows(mm=[])

    yard.run()
    yard.clock.advance(timedelta(hours=2))
    yard.run()

    assert set(two) == yard.queues()
    assert {host: ["prod/mm"] for host in two} == yard.heard()


def test_an_ec2_that_cannot_be_asked_removes_nothing(yard: Any, build: Any, two: list[str]) -> None:
    yard.end(two[0])
    yard.shows(mm=[two[1]])
    yard.fail("ec2:DescribeInstances", "InternalError", times=9)

    yard.run()

    assert set(two) == yard.queues()
    assert "DescribeInstances" in yard.troubles()[f"plumbing/{build.name}"]


class OldEc2:
    """One that answers as long ago, or cut: it shows nothing, and refuses nothing."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def describe_instances(self, **_: Any) -> dict[str, Any]:
        return {"Reservations": []}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[Any]:
        return [{"Reservations": []}]


def test_an_empty_answer_of_ec2_removes_nothing(yard: Any, two: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = yard.plumbing._sessions
    real = sessions.client
    monkeypatch.setattr(
        sessions, "client", lambda service, *a, **k: OldEc2(None) if service == "ec2" else real(service, *a, **k)
    )
    yard.shows(mm=[])

    yard.run()
    yard.clock.advance(timedelta(hours=2))
    yard.run()

    assert set(two) == yard.queues()


UNKNOWN = "i-0123456789abcdef0"


def test_an_instance_that_ec2_does_not_know_any_more_loses_its_queue_when_that_is_old(
    yard: Any, two: list[str]
) -> None:
    yard.shows(mm=[*two, UNKNOWN])
    yard.run()
    yard.shows(mm=two)

    yard.run()
    assert {*two, UNKNOWN} == yard.queues(), "it may have been launched a second ago"

    yard.clock.advance(timedelta(hours=1, minutes=1))
    yard.run()
    assert set(two) == yard.queues()
    assert set(two) == set(yard.heard())


def test_a_subscription_without_a_queue_goes_with_its_instance(yard: Any, two: list[str]) -> None:
    left, stays = two
    yard.aws.client("sqs").delete_queue(QueueUrl=yard.address(left))
    yard.end(left)
    yard.shows(mm=[stays])

    yard.run(yard.another())

    assert {stays: ["prod/mm"]} == yard.heard()


def test_a_queue_that_others_made_stays(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    (host,) = yard.launch()
    tags = {"fairlead:managed": "terraform", "fairlead:host": host, "fairlead:environment": "prod"}
    yard.aws.client("sqs").create_queue(QueueName=f"fairlead-agent-{host}", tags=tags)
    yard.end(host)
    yard.shows(mm=[])

    yard.run()

    assert {host} == yard.queues()


def test_only_so_many_are_removed_in_an_hour(yard: Any, build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "REMOVED_AT_MOST", 3)
    yard.declare(build.fleet())
    hosts = yard.launch(5)
    yard.shows(mm=hosts)
    yard.run()
    yard.end(*hosts)
    yard.shows(mm=[])

    again_at = yard.run()

    assert 2 == len(yard.queues())
    assert timedelta(hours=1) == again_at - yard.clock.now()
    yard.run()
    assert 2 == len(yard.queues())
    yard.clock.advance(timedelta(hours=1))
    yard.run()
    assert (set(), {}) == (yard.queues(), yard.heard())


# ── refusals ──


def test_a_throttled_account_is_asked_again_and_gets_everything_once(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    hosts = yard.launch(20)
    yard.shows(mm=hosts)
    yard.fail("sns:Subscribe", "Throttled", times=5)
    yard.fail("sqs:CreateQueue", "RequestThrottled", times=5)

    yard.run()

    assert set(hosts) == yard.queues()
    assert {host: ["prod/mm"] for host in hosts} == yard.heard()


def test_an_account_that_goes_on_slowly_is_due_at_once_and_in_no_trouble(
    yard: Any, build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "TRIES", 1)
    yard.declare(build.fleet())
    hosts = yard.launch(3)
    yard.shows(mm=hosts)
    yard.fail("sns:Subscribe", "Throttled", times=100)

    again_at = yard.run()

    assert ({}, set(hosts)) == (yard.troubles(), yard.queues())
    assert again_at == yard.clock.now()


def test_a_refusal_is_told_and_the_others_get_their_queues(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    hosts = yard.launch(3)
    yard.shows(mm=hosts)
    yard.fail("sqs:CreateQueue", "AccessDenied", times=1, skip=2)  # the queues of reports are made before

    again_at = yard.run()

    assert 2 == len(yard.queues())
    assert "sqs:CreateQueue is denied" in yard.troubles()[f"plumbing/{build.name}"]
    assert timedelta(0) < again_at - yard.clock.now() <= timedelta(minutes=5)

    yard.run()
    assert set(hosts) == yard.queues()
    assert {} == yard.troubles()


def test_a_queue_whose_name_sqs_still_keeps_is_made_later(yard: Any, build: Any) -> None:
    yard.declare(build.fleet())
    (host,) = yard.launch()
    yard.shows(mm=[host])
    yard.fail("sqs:CreateQueue", "AWS.SimpleQueueService.QueueDeletedRecently", skip=2)

    yard.run()
    assert "SQS makes no new one for a minute" in yard.troubles()[f"plumbing/{build.name}"]

    yard.run()
    assert {host: ["prod/mm"]} == yard.heard()


def test_a_policy_stays_small_however_many_fleets_a_host_has() -> None:
    topics = [f"arn:aws:sns:us-east-1:123456789012:fairlead-{'e' * 40}_{place:040}" for place in range(200)]

    policy = queue_policy("arn:aws:sqs:us-east-1:123456789012:q", "123456789012", topics)

    (statement,) = policy["Statement"]
    assert [f"{topics[0].rpartition('_')[0]}_*"] == statement["Condition"]["ArnEquals"]["aws:SourceArn"]
    twenty = queue_policy("arn:aws:sqs:us-east-1:123456789012:q", "123456789012", topics[:20])
    assert len(str(twenty)) < 8192


def test_what_the_controller_needs_for_it_is_printed_as_terraform_has_it(build: Any) -> None:
    said = {
        queues: [(one["Sid"], sorted(one["Action"])) for one in acting([build.fleet(queues=queues)])["Statement"]]
        for queues in ("setup", "controller")
    }
    template = rendered(IAM / "policies" / "controller-queues.json.tftpl")["Statement"]

    more = [one for one in said["controller"] if one not in said["setup"]]
    assert more == [(one["Sid"], sorted(listed(one["Action"]))) for one in template]


def test_a_client_error_that_is_none_of_ours_is_no_throttle() -> None:
    assert is_throttled(ClientError({"Error": {"Code": "Throttled"}}, "Subscribe"))
    assert not is_throttled(ClientError({"Error": {"Code": "AccessDenied"}}, "Subscribe"))
