"""Thousands of instances in an account that throttles: every queue and subscription once, by as few calls as can be."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from adapters.aws.host_queues import Listener
from adapters.aws.sessions import Sessions
from adapters.aws.upkeep import Upkeep, Wanted
from adapters.clock import SystemClock
from adapters.feeds.plumbing import Plumbing
from fairlead_sandbox.bulk.aws import BulkAws

LEASE = timedelta(seconds=30)


class Land:
    """A ledger with one fleet, and a quick AWS."""

    def __init__(self, aws: BulkAws, yard: Any) -> None:
        self.aws, self.yard = aws, yard
        self.passes: list[float] = []

    def converge(self, hosts: list[str], name: str) -> float:
        """Passes under leases as the loop gives them, until one has nothing left; gives the seconds."""
        clock = SystemClock()
        log, ledger = self.yard.log, self.yard.ledger
        plumbing = Plumbing(ledger, Sessions.within_a_pass(clock, LEASE), clock, log, within=LEASE / 2)
        self.yard.shows(mm=hosts)
        began, again_at = clock.monotonic(), clock.now()
        while again_at <= clock.now() + timedelta(minutes=10):  # a pass that is cut is due at once, a refused one soon
            ledger.add([f"plumbing:{name}"])
            (due,) = ledger.claim("plumbing", 1, LEASE)
            pass_began = clock.monotonic()
            found = plumbing.run(name, due.lease)
            self.passes.append(clock.monotonic() - pass_began)
            ledger.finish(due)
            assert isinstance(found, datetime)
            again_at = found
        return clock.monotonic() - began

    def check(self, hosts: list[str], region: str, account: str) -> None:
        """All of it is there, once."""
        wanted = {f"fairlead-agent-{host}" for host in hosts}
        topic = f"arn:aws:sns:{region}:{account}:fairlead-prod_mm"
        subscribed = [end.rpartition(":")[2] for _, end in self.aws.topics.subscriptions(topic)]
        queues = {queue.url.rpartition("/")[2] for queue in self.aws.queues.named(account, region, "fairlead-agent-")}
        assert (wanted, sorted(wanted)) == (queues, sorted(subscribed))


@pytest.fixture
def land(yard: Any, build: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Land]:
    del tmp_path
    yard.declare(build.fleet())
    with BulkAws() as aws:
        for name, value in aws.environment().items():
            monkeypatch.setenv(name, value)
        yield Land(aws, yard)


def instances(count: int) -> list[str]:
    return [f"i-{place:017x}" for place in range(count)]


def test_an_account_that_takes_few_requests_gets_them_all_once(land: Land, build: Any) -> None:
    land.aws.limits.most = {"sns:Subscribe": 30, "sqs:CreateQueue": 40}
    hosts = instances(120)

    land.converge(hosts, build.name)

    land.check(hosts, build.region, build.account)
    assert land.aws.limits.refused >= 1
    calls = land.aws.calls
    assert 2 * len(hosts) + 2 + land.aws.limits.refused == calls["sqs:CreateQueue"] + calls["sns:Subscribe"]


def test_two_controllers_at_once_make_nothing_twice(land: Land, build: Any) -> None:
    """One of them lost its lease and does not know yet."""
    hosts = instances(60)
    clock = SystemClock()
    names = [f"prod/{service}" for service in ("mm", "lobby")]
    listeners = {host: Listener(host=host, mine=names) for host in hosts}
    wanted = Wanted(fleets=names, listeners=listeners, alive=frozenset(hosts), is_whole=True)
    place = (build.account, build.region, "prod")
    both = [Upkeep(Sessions.within_a_pass(clock, LEASE), clock, place, None, time.sleep) for _ in range(2)]

    with ThreadPoolExecutor(max_workers=2) as pool:
        done = list(pool.map(lambda each: each.tend(wanted, Held(), timedelta(minutes=1)), both))

    assert [set(), set()] == [each.troubles for each in done]
    land.check(hosts, build.region, build.account)


class Held:
    """A lease that always holds."""

    key = ""

    def check(self) -> None: ...


@pytest.mark.long
def test_ten_thousand_instances(land: Land, build: Any) -> None:
    """SNS takes 100 of `Subscribe` a second: 100 s are the floor."""
    land.aws.limits.most = {"sns:Subscribe": 100, "sqs:CreateQueue": 100}
    hosts = instances(10_000)

    took = land.converge(hosts, build.name)

    land.check(hosts, build.region, build.account)
    calls = {name: count for name, count in sorted(land.aws.calls.items()) if name.startswith(("sns", "sqs"))}
    print(
        f"\n10,000 instances: {took:.0f} s in {len(land.passes)} passes, the longest {max(land.passes):.1f} s; "
        f"{land.aws.limits.refused} refused; {calls}"
    )
    assert max(land.passes) < LEASE.total_seconds()
    made = calls["sns:Subscribe"] + calls["sqs:CreateQueue"]
    assert 2 * len(hosts) + 2 + land.aws.limits.refused == made
