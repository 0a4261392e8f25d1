"""Orders that are doubled, late, lost, forged, old or for somebody else: the host stays what it is, and says why.

Real agents against moto: the cases of a protocol over queues that lose, double and reorder.
"""

import json
import resource
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from adapters.agent_protocol.addresses import agent_queue_name
from adapters.agent_protocol.orders import LIFETIME
from adapters.agent_protocol.signing import new_key
from fairlead_sandbox import plumbing
from fairlead_sandbox.hosts import Host

Ago = Callable[[timedelta], Any]


def assert_untouched(bench: Any, pid: int | None, version: str = "2.3.1") -> None:
    """The very process that ran before runs still, and the newest report says what is so."""
    report = bench.report()
    assert (pid, version) == (bench.host.service_pid(), bench.host.version())
    assert (True, True, version) == (report["running"], report["healthy"], report["components"]["package/matchmaker"])


# ── doubled, late, lost ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_order_that_comes_three_times_is_carried_out_once(bench: Any) -> None:
    new = bench.release("2.4.0")
    order = bench.say(new)
    bench.hint(order.sequence)
    bench.hint(order.sequence)
    bench.wait_done(new)
    pid = bench.host.service_pid()

    again = bench.say(new)  # signed anew, as at half its life: another sequence, the same meaning
    bench.wait_reported("the second order to be followed", sequence=again.sequence)

    assert_untouched(bench, pid, "2.4.0")
    assert 1 == sum("version=2.4.0" in line for line in bench.events("activating"))


def test_an_older_order_that_comes_after_a_newer_one_is_refused(bench: Any) -> None:
    old, new = bench.release("2.4.0"), bench.release("2.5.0")
    older = bench.signed(bench.order(old))
    bench.say(new)
    bench.wait_done(new)
    pid = bench.host.service_pid()

    bench.put(older)
    bench.hint(2)

    bench.wait_reported("the refusal", refused="OrderReplayed", sequence=3)
    assert_untouched(bench, pid, "2.5.0")


def test_an_older_order_is_refused_also_by_an_agent_that_was_restarted(bench: Any) -> None:
    older = bench.signed(bench.order(bench.first))
    new = bench.release("2.4.0")
    bench.say(new)
    bench.wait_done(new)
    pid = bench.host.service_pid()
    assert 0 == bench.host.stop_agent()

    bench.put(older)
    bench.host.start_agent()

    bench.wait_reported("the refusal", refused="OrderReplayed", sequence=3)
    assert_untouched(bench, pid, "2.4.0")


def test_a_hint_of_an_older_order_that_comes_late_changes_nothing(bench: Any) -> None:
    new = bench.release("2.4.0")
    order = bench.say(new)
    bench.wait_done(new)
    pid = bench.host.service_pid()

    bench.hint(order.sequence - 1)
    said = len(bench.reports())
    bench.wait(lambda: len(bench.reports()) > said + 1, "two more reports")

    assert_untouched(bench, pid, "2.4.0")
    assert order.sequence == bench.report()["sequence"]


def test_an_order_whose_hint_is_lost_is_found_by_polling(bench: Any) -> None:
    new = bench.release("2.4.0")

    bench.say(new, hint=False)

    bench.wait_done(new)


def test_messages_that_are_no_hints_are_passed_over(bench: Any) -> None:
    for text in ("", "{", '{"format": "fairlead/hint/v9"}', "\U0001f6a2" * 5000, json.dumps({"fleet": ["x"]})):
        bench.hint(0, text or " ")
    new = bench.release("2.4.0")

    bench.say(new)

    bench.wait_done(new)
    assert [] == bench.events("surprised")


# ── not to be believed ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_tampered_order_changes_nothing_and_is_reported(bench: Any) -> None:
    pid = bench.host.service_pid()
    document = bench.signed(bench.order(bench.release("2.4.0")))

    bench.put({**document, "rejected": ["0" * 64]})
    bench.hint(2)

    bench.wait_reported("the refusal", refused="OrderTampered", sequence=1)
    assert_untouched(bench, pid)
    bench.say(new := bench.release("2.5.0"))
    bench.wait_done(new)
    assert None is bench.report()["refused"]  # a sound order settles it


def test_an_order_signed_by_another_key_of_the_same_name_is_tampered(bench: Any) -> None:
    pid = bench.host.service_pid()
    foreign, _ = new_key(bench.world.trigger.key.key_id)

    bench.put(bench.signed(bench.order(bench.release("2.4.0")), foreign))
    bench.hint(2)

    bench.wait_reported("the refusal", refused="OrderTampered")
    assert_untouched(bench, pid)


def test_an_order_signed_by_a_key_that_the_host_does_not_know_is_refused(bench: Any) -> None:
    pid = bench.host.service_pid()
    foreign, _ = new_key("2031-01")

    bench.put(bench.signed(bench.order(bench.release("2.4.0")), foreign))
    bench.hint(2)

    bench.wait_reported("the refusal", refused="OrderKeyUnknown")
    assert_untouched(bench, pid)


def test_the_order_of_another_fleet_is_refused(bench: Any) -> None:
    pid = bench.host.service_pid()

    bench.say(bench.release("2.4.0"), fleet="prod/lobby")

    bench.wait_reported("the refusal", refused="OrderMisaddressed")
    assert_untouched(bench, pid)


def test_an_order_from_the_future_is_refused(bench: Any, ago: Ago) -> None:
    pid = bench.host.service_pid()

    bench.say(bench.release("2.4.0"), issued=ago(timedelta(hours=-1)))

    bench.wait_reported("the refusal", refused="OrderFromTheFuture")
    assert_untouched(bench, pid)


@pytest.mark.parametrize("body", [b"", b"null", b"\x00\xff" * 100, b'{"format": "fairlead/order/v3"}', b"[" * 100_000])
def test_an_object_that_is_no_order_changes_nothing(bench: Any, body: bytes) -> None:
    pid = bench.host.service_pid()

    bench.put(body)
    bench.hint(2)

    bench.wait_reported("the refusal", refused="OrderMalformed")
    assert_untouched(bench, pid)


def test_an_installed_host_stays_as_it_is_when_its_order_expires(bench: Any, ago: Ago) -> None:
    """Expired while it lay there, as when no controller ran for 30 days."""
    pid = bench.host.service_pid()
    issued = ago(LIFETIME + timedelta(days=1))

    bench.say(bench.release("2.4.0"), issued=issued, expires=issued + LIFETIME)

    bench.wait_reported("the refusal", refused="OrderExpired", sequence=1)
    assert_untouched(bench, pid)


def test_a_fresh_host_waits_for_an_order_that_has_not_expired_and_says_so(bench: Any, ago: Ago) -> None:
    issued = ago(LIFETIME + timedelta(days=1))
    bench.say(bench.first, issued=issued, expires=issued + LIFETIME)
    fresh = bench.world.add_host(bench.fleet)

    waiting = bench.wait_reported("the refusal", fresh, refused="OrderExpired", running=False)

    assert ({}, {}, 0, ()) == (waiting["work"], waiting["components"], waiting["sequence"], fresh.releases())
    assert "expired" in waiting["refused"]["message"]
    bench.say(bench.first)
    bench.wait_done(bench.first, fresh)


def test_a_fresh_host_without_any_order_says_that_it_waits(bench: Any) -> None:
    bench.world.aws.client("s3").delete_object(Bucket=bench.bucket, Key=f"orders/{bench.fleet}.json")
    fresh = bench.world.add_host(bench.fleet)

    said = bench.wait_reported("the waiting", fresh, running=False, sequence=0)

    assert "there is no order yet: s3://" in said["message"]


def test_of_two_orders_of_one_sequence_the_one_that_was_there_first_counts(bench: Any) -> None:
    """The loser of a race between two controllers that wrote without the condition, which ours never does.

    That ours loses without writing is a test of the deployer (tests/contract/trigger).
    """
    winner, loser = bench.release("2.4.0"), bench.release("2.5.0")
    won = bench.say(winner)
    bench.wait_done(winner)
    pid = bench.host.service_pid()

    bench.say(loser, sequence=won.sequence)

    refused = bench.wait_reported("the refusal", refused="OrderReplayed", sequence=won.sequence)
    assert "meaning" in refused["refused"]["message"] or "another" in refused["refused"]["message"]
    assert_untouched(bench, pid, "2.4.0")


def test_an_artifact_of_another_checksum_is_not_installed(bench: Any) -> None:
    pid = bench.host.service_pid()
    new = bench.release("2.4.0")
    pinned = tuple(replace(each, sha256="0" * 64) for each in new.artifacts)

    bench.say(replace(new, artifacts=pinned))

    failed = bench.wait_reported("the failure", work_state="failed", work_blame="refused", work_stage="staging")
    assert "sha256" in failed["work"]["message"].lower() or "checksum" in failed["work"]["message"].lower()
    assert_untouched(bench, pid)
    assert [] == bench.events("draining")[1:]


# ── its own memory and roads ─────────────────────────────────────────────────────────────────────────────────────


def journals(host: Host) -> list[Any]:
    return sorted((host.folder / "state" / "fleets").glob("*"))


def test_a_truncated_memory_is_read_from_the_step_before(bench: Any) -> None:
    new = bench.release("2.4.0")
    bench.say(new)
    bench.wait_done(new)
    pid = bench.host.service_pid()
    older = bench.signed(bench.order(bench.first, sequence=1))
    bench.host.kill_agent()
    journal = bench.host.folder / "state" / "fleets" / "prod_matchmaker.json"
    journal.write_bytes(journal.read_bytes()[: journal.stat().st_size // 2])

    bench.host.start_agent()

    bench.wait(lambda: bench.events("memory-lost"), "the loss to be told")
    bench.wait_done(new)
    assert_untouched(bench, pid, "2.4.0")
    bench.put(older)
    bench.wait_reported("that the sequence is still known", refused="OrderReplayed", sequence=2)


def test_a_host_that_lost_its_whole_memory_leaves_a_healthy_release_alone(bench: Any) -> None:
    new = bench.release("2.4.0")
    bench.say(new)
    bench.wait_done(new)
    pid = bench.host.service_pid()
    bench.host.kill_agent()
    for path in journals(bench.host):
        path.write_bytes(path.read_bytes()[:7])

    bench.host.start_agent()

    bench.wait(lambda: bench.events("memory-lost"), "the loss to be told")
    bench.wait_done(new)
    assert_untouched(bench, pid, "2.4.0")
    bench.say(newer := bench.release("2.5.0"))
    bench.wait_done(newer)


def test_a_queue_that_is_deleted_under_the_agent_delays_and_stops_nothing(bench: Any) -> None:
    host, sqs = bench.host, bench.world.aws.client("sqs", bench.host.region)
    url = sqs.get_queue_url(QueueName=agent_queue_name(host.id))["QueueUrl"]

    sqs.delete_queue(QueueUrl=url)

    bench.wait(lambda: bench.events("deaf"), "that it notices")
    bench.say(new := bench.release("2.4.0"))
    bench.wait_done(new)
    plumbing.connect(bench.world.aws, host.region, host.id, host.fleets.values())
    bench.wait(lambda: len(bench.events("listening")) == 2, "that it listens again")
    bench.say(newer := bench.release("2.5.0"))
    bench.wait_done(newer)


def test_a_full_disk_stops_a_deploy_before_anything_is_touched(bench: Any) -> None:
    """The kernel refuses every write of the running agent: a limit on the size of files, as a quota of 0 bytes."""
    pid, host = bench.host.service_pid(), bench.host
    assert host.agent_pid is not None
    _, hard = resource.prlimit(host.agent_pid, resource.RLIMIT_FSIZE)
    resource.prlimit(host.agent_pid, resource.RLIMIT_FSIZE, (0, hard))

    bench.say(new := bench.release("2.4.0"))

    failed = bench.wait_reported("the failure", work_state="failed", work_blame="transient", work_stage="staging")
    assert "cannot write down the next step" in failed["work"]["message"]
    assert_untouched(bench, pid)
    resource.prlimit(host.agent_pid, resource.RLIMIT_FSIZE, (hard, hard))
    bench.say(new, attempts={host.id: 2})
    bench.wait_done(new)
