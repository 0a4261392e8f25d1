"""A bulk world is in sync with its repository, deploys what is merged, and its hosts behave as agents do."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import requests

from adapters.agent_protocol.addresses import order_key, reports_queue_name, topic_name
from adapters.agent_protocol.canonical import canonical
from adapters.agent_protocol.hints import Hint
from adapters.agent_protocol.orders import Order
from adapters.agent_protocol.reading import parse_order
from adapters.agent_protocol.reports import Report, read_report
from adapters.agent_protocol.signing import new_key
from adapters.aws.topics import publish, topic_arn
from adapters.clock import SystemClock
from adapters.ledger.store import open_ledger
from fairlead.controller import Controller
from fairlead.settings import load
from fairlead_sandbox.aws import ACCOUNT
from fairlead_sandbox.bulk import process
from fairlead_sandbox.bulk.fleets import BulkFleets, application_of
from fairlead_sandbox.bulk.identities import Caller
from fairlead_sandbox.bulk.played_hosts import HostPace
from fairlead_sandbox.bulk.world import QUICK_GATE, BulkSettings, BulkWorld

EAST = "us-east-1"
QUICK = HostPace(hint=0.0, deploy=0.02, check=0.02)
MM = "prod/mm-0001"
PATIENCE = 60.0
SOMEBODY = Caller(ACCOUNT)


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.02)
    return found


@pytest.fixture
def hosts_only(tmp_path: Path) -> Iterator[BulkWorld]:
    settings = BulkSettings(fleets=BulkFleets(spinnaker=0, trigger=2), hosts_each=3, pace=QUICK)
    with BulkWorld(tmp_path, settings) as world:
        yield world
        assert [] == world.hosts.timeline.stumbles


def order_of(world: BulkWorld, fleet: str = MM) -> Order:
    found = world.aws.objects.get(world.fleets.bucket("prod"), order_key(fleet))
    assert found is not None
    return parse_order(found.body)


def lay(world: BulkWorld, order: Order, key: Any = None) -> None:
    body = canonical((key or world.key).sign(order.document()))
    world.aws.objects.put(world.fleets.bucket("prod"), order_key(order.fleet), body, SOMEBODY)
    for host in world.hosts.hosts.values():
        world.hosts.silence([host.id], silent=False)  # they look at once


def next_order(world: BulkWorld, version: str, **changes: Any) -> Order:
    """The order of another version: all that the hosts tell versions apart by is changed."""
    order = order_of(world)
    digest = version.replace(".", "").ljust(64, "0")
    components = dict.fromkeys(order.target.components, version)
    target = replace(order.target, version=version, digest=digest, components=components)
    return replace(order, sequence=order.sequence + 1, target=target, base=order.target, **changes)


def reports(world: BulkWorld) -> list[tuple[str, Report]]:
    """Everything that was reported: sender and report."""
    queue = world.aws.queues.find(ACCOUNT, EAST, reports_queue_name("prod"))
    assert queue is not None
    taken = [message for _ in range(200) for _, message in queue.take(10)]
    return [(message.sender, read_report(message.body)) for message in taken]


def newest(world: BulkWorld, known: dict[str, Report]) -> dict[str, Report]:
    """The newest report of each host of the first fleet."""
    known.update((one.host, one) for _, one in reports(world) if one.fleet == MM)
    return known


def once(world: BulkWorld) -> int:
    return Controller(load(world.config)).once()


def ready(world: BulkWorld) -> list[bool]:
    ledger = open_ledger(f"sqlite:///{world.state / 'ledger.db'}", SystemClock())
    try:
        return [record.memory.status.ready for record in ledger.fleets()]
    finally:
        ledger.close()


def test_hosts_begin_at_the_first_version_and_say_so_as_themselves(hosts_only: BulkWorld) -> None:
    known: dict[str, Report] = {}
    until(lambda: len(newest(hosts_only, known)) == 3, "three hosts reported")

    assert {("1.0.0", True, True)} == {
        (one.components["package/mm-0001"], one.healthy, one.running) for one in known.values()
    }
    assert [] == hosts_only.starts()


def test_a_report_is_sent_by_the_session_of_its_instance(hosts_only: BulkWorld) -> None:
    said = until(lambda: reports(hosts_only), "a report")

    assert all(sender.startswith("AROA") and sender.partition(":")[2] == one.host for sender, one in said)


def test_hosts_run_what_an_order_says_and_start_it_once(hosts_only: BulkWorld) -> None:
    lay(hosts_only, next_order(hosts_only, "1.1.0"))

    until(lambda: set(hosts_only.versions(MM).values()) == {"1.1.0"}, "all run 1.1.0")

    known: dict[str, Report] = {}
    until(lambda: all(one.healthy for one in newest(hosts_only, known).values()) and len(known) == 3, "they say so")
    lay(hosts_only, replace(order_of(hosts_only), sequence=order_of(hosts_only).sequence + 1))
    until(lambda: {one.sequence for one in newest(hosts_only, known).values()} == {3}, "the same order again")
    assert 3 == len(hosts_only.starts())
    assert {"prod/mm-0001"} == {fleet for fleet, _, _ in hosts_only.starts()}


def test_who_is_not_admitted_stays(hosts_only: BulkWorld) -> None:
    chosen = sorted(hosts_only.versions(MM))[0]
    known: dict[str, Report] = {}

    lay(hosts_only, next_order(hosts_only, "1.1.0", admitted=frozenset({chosen})))

    until(lambda: hosts_only.versions(MM)[chosen] == "1.1.0", "the chosen one runs it")
    until(lambda: {one.sequence for one in newest(hosts_only, known).values()} == {2}, "all have read it")
    assert ["1.0.0", "1.0.0", "1.1.0"] == sorted(hosts_only.versions(MM).values())


def test_an_order_of_another_key_changes_nothing_and_is_reported(hosts_only: BulkWorld) -> None:
    stranger, _ = new_key("sandbox")
    known: dict[str, Report] = {}

    lay(hosts_only, next_order(hosts_only, "6.6.6"), stranger)

    until(lambda: any(one.refused for one in newest(hosts_only, known).values()), "a refusal")
    assert {"OrderTampered"} == {one.refused.reason for one in known.values() if one.refused}
    assert {"1.0.0"} == set(hosts_only.versions(MM).values())


def test_an_older_order_is_refused(hosts_only: BulkWorld) -> None:
    first, known = order_of(hosts_only), dict[str, Report]()
    lay(hosts_only, next_order(hosts_only, "1.1.0"))
    until(lambda: set(hosts_only.versions(MM).values()) == {"1.1.0"}, "all run 1.1.0")

    lay(hosts_only, first)

    until(lambda: any(one.refused for one in newest(hosts_only, known).values()), "a refusal")
    assert {"OrderReplayed"} == {one.refused.reason for one in known.values() if one.refused}


def test_an_expired_order_is_refused(hosts_only: BulkWorld) -> None:
    now, known = SystemClock().now(), dict[str, Report]()
    late = replace(next_order(hosts_only, "1.1.0"), issued=now - timedelta(days=2), expires=now - timedelta(days=1))

    lay(hosts_only, late)

    until(lambda: any(one.refused for one in newest(hosts_only, known).values()), "a refusal")
    assert {"OrderExpired"} == {one.refused.reason for one in known.values() if one.refused}


def test_hosts_go_back_from_a_sick_version_by_themselves(hosts_only: BulkWorld) -> None:
    known: dict[str, Report] = {}
    hosts_only.spoil(MM, "1.1.0")

    lay(hosts_only, next_order(hosts_only, "1.1.0"))

    until(lambda: sum(one.back for one in hosts_only.hosts.started) == 3, "all went back")
    until(lambda: all(one.work and one.work.blame for one in newest(hosts_only, known).values()), "they blame it")
    assert {"1.0.0"} == set(hosts_only.versions(MM).values())
    assert {"1.0.0"} == {one.work.rolled_back_to for one in known.values() if one.work}


def test_a_silent_host_says_and_does_nothing_until_it_is_back(hosts_only: BulkWorld) -> None:
    silent = sorted(hosts_only.versions(MM))[0]
    others = sorted(set(hosts_only.versions(MM)) - {silent})
    hosts_only.hosts.silence([silent])
    order = next_order(hosts_only, "1.1.0")
    body = canonical(hosts_only.key.sign(order.document()))

    hosts_only.aws.objects.put(hosts_only.fleets.bucket("prod"), order_key(MM), body, SOMEBODY)
    hosts_only.hosts.silence(others, silent=False)

    until(lambda: [hosts_only.versions(MM)[one] for one in others] == ["1.1.0"] * 2, "the others run it")
    assert "1.0.0" == hosts_only.versions(MM)[silent]
    hosts_only.hosts.silence([silent], silent=False)
    until(lambda: hosts_only.versions(MM)[silent] == "1.1.0", "it is back")


def test_a_host_that_sickens_says_so_until_it_is_well(hosts_only: BulkWorld) -> None:
    chosen, known = sorted(hosts_only.versions(MM))[0], dict[str, Report]()
    until(lambda: len(newest(hosts_only, known)) == 3, "three hosts reported")

    hosts_only.hosts.sicken([chosen])
    until(lambda: not newest(hosts_only, known)[chosen].healthy, "it is sick")
    hosts_only.hosts.sicken([chosen], healthy=True)

    until(lambda: newest(hosts_only, known)[chosen].healthy, "it is well")
    assert [] == hosts_only.starts()


def test_a_terminated_host_is_gone_from_ec2_and_says_nothing(hosts_only: BulkWorld) -> None:
    chosen = sorted(hosts_only.versions(MM))[0]
    until(lambda: reports(hosts_only), "a report")

    hosts_only.hosts.terminate(chosen)
    lay(hosts_only, next_order(hosts_only, "1.1.0"))

    until(lambda: set(hosts_only.versions(MM).values()) == {"1.1.0"}, "the others run it")
    assert chosen not in hosts_only.aws.estate(EAST).instances
    assert chosen not in {one.host for one in hosts_only.hosts.started}


def test_a_hint_is_heard(tmp_path: Path) -> None:
    pace = replace(QUICK, poll=3600.0)
    settings = BulkSettings(fleets=BulkFleets(spinnaker=0, trigger=1), hosts_each=50, pace=pace)
    with BulkWorld(tmp_path, settings) as world:
        known: dict[str, Report] = {}
        until(lambda: len(newest(world, known)) == 50, "all reported")
        body = canonical(world.key.sign(next_order(world, "1.1.0").document()))
        world.aws.objects.put(world.fleets.bucket("prod"), order_key(MM), body, SOMEBODY)
        hint = Hint(fleet=MM, sequence=2, key=order_key(MM), sha256=sha256(body).hexdigest())

        assert "" == publish(world.aws.client("sns"), topic_arn(ACCOUNT, EAST, topic_name(MM)), hint.text())

        until(lambda: set(world.versions(MM).values()) == {"1.1.0"}, "all fifty run it")
        assert 50 == len(world.starts())


def test_twelve_fleets_are_ready_at_first_and_five_that_are_bumped_converge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = BulkSettings(fleets=BulkFleets(spinnaker=6, trigger=6), pace=QUICK)
    with BulkWorld(tmp_path, settings) as world:
        for name, value in world.environment.items():
            monkeypatch.setenv(name, value)
        assert 0 == once(world)
        assert [True] * 12 == ready(world)
        assert [] == world.starts()

        chosen = [*world.fleets.spinnaker_names()[:3], *world.fleets.trigger_names()[:2]]
        world.bump(chosen, "1.1.0")
        until(lambda: once(world) == 0 and _all_at(world, chosen, "1.1.0"), "the five are ready at 1.1.0")

        wanted = [(name, "1.1.0", EAST) for name in chosen[:3]]
        wanted += [(name, "1.1.0", host) for name in chosen[3:] for host in world.versions(name)]
        assert sorted(wanted) == sorted(world.starts())
        assert [] == world.hosts.timeline.stumbles


def _all_at(world: BulkWorld, names: list[str], version: str) -> bool:
    return all(set(world.versions(name).values()) == {version} for name in names)


def test_the_gate_bears_250_executions_of_500_pipelines(tmp_path: Path) -> None:
    with BulkWorld(tmp_path, BulkSettings(fleets=BulkFleets(spinnaker=500, trigger=0))) as world:
        chosen = world.fleets.spinnaker_names()[:250]
        with requests.Session() as http:
            for name in chosen:
                address = f"{world.gate.url}/pipelines/{application_of(name.partition('/')[2])}/deploy-prod"
                said = {"type": "manual", "parameters": {"PKG_VERSION": "1.1.0", "REGION": EAST}}
                assert 202 == http.post(address, json=said).status_code

        assert {"SUCCEEDED"} == {world.gate.wait_for_end(one.id, PATIENCE) for one in world.gate.executions.all()}
        assert _all_at(world, chosen, "1.1.0")
        assert _all_at(world, world.fleets.spinnaker_names()[250:], "1.0.0")
        assert [(name, "1.1.0", EAST) for name in chosen] == world.starts()


def test_a_fleet_that_is_changed_by_hand_runs_that(tmp_path: Path) -> None:
    with BulkWorld(tmp_path, BulkSettings(fleets=BulkFleets(spinnaker=1, trigger=0))) as world:
        world.change_by_hand("prod/svc-0001", "9.9.9")

        assert {EAST: "9.9.9"} == world.versions("prod/svc-0001")


def test_a_spoiled_version_fails_its_pipeline(tmp_path: Path) -> None:
    gate = replace(QUICK_GATE, health_seconds=0.2)
    with BulkWorld(tmp_path, BulkSettings(fleets=BulkFleets(spinnaker=2, trigger=0), gate=gate)) as world:
        world.spoil("prod/svc-0001", "1.1.0")
        for application in ("svc0001", "svc0002"):
            said = {"type": "manual", "parameters": {"PKG_VERSION": "1.1.0", "REGION": EAST}}
            requests.post(f"{world.gate.url}/pipelines/{application}/deploy-prod", json=said, timeout=PATIENCE)

        ended = [world.gate.wait_for_end(one.id, PATIENCE) for one in world.gate.executions.all()]
        assert ["TERMINAL", "SUCCEEDED"] == ended


def test_a_world_in_its_own_process_is_the_same(tmp_path: Path) -> None:
    fleets = BulkFleets(spinnaker=2, trigger=2, environments=("staging", "prod"), regions=(EAST, "eu-west-1"))
    with process.BulkProcess(tmp_path, BulkSettings(fleets=fleets, pace=QUICK)) as world:
        commit = world.bump(["staging/svc-0001"], "1.1.0")

        assert ["staging/svc-0001", "prod/svc-0001", "staging/mm-0001", "prod/mm-0001"] == world.names
        assert {EAST: "1.0.0", "eu-west-1": "1.0.0"} == world.versions("prod/svc-0001")
        assert 4 == len(world.versions("prod/mm-0001"))
        assert 40 == len(commit)
        assert [] == world.ask("trouble")
        with pytest.raises(RuntimeError, match="there is no deed dance; there is: beat, bump"):
            world.ask("dance")


def test_hosts_that_nobody_plays_are_there_for_real_agents(tmp_path: Path) -> None:
    settings = BulkSettings(fleets=BulkFleets(spinnaker=0, trigger=1), hosts_each=2, played=False)
    with process.BulkProcess(tmp_path, settings) as world:
        launched = world.ask("launched", fleet="prod/mm-0001")

        assert (2, {}) == (len(launched), world.versions("prod/mm-0001"))


def test_everybody_reports_at_once(tmp_path: Path) -> None:
    pace = HostPace(poll=3600.0, heartbeat=3600.0)
    with BulkWorld(tmp_path, BulkSettings(fleets=BulkFleets(spinnaker=0, trigger=1), hosts_each=3, pace=pace)) as world:
        queue = world.aws.make_queue(EAST, "fairlead-reports-prod")
        world.hosts.beat()
        until = time.monotonic() + 30
        while len(queue) < 3 and time.monotonic() < until:
            time.sleep(0.01)

        said = [read_report(message.body) for _, message in queue.take(10)]
        assert set(world.launched["prod/mm-0001"]) == {report.host for report in said}


def test_settings_go_to_another_process_and_are_the_same() -> None:
    settings = BulkSettings(fleets=BulkFleets(spinnaker=1, trigger=2), controller={"workers": "4"}, pace=QUICK)

    assert settings == process.read(process.written(settings))
