"""A whole estate, a real controller process, and pushes: how soon the first request for a deploy is out.

The ledger begins at rest: repository, inventories and reports are read as a controller reads them, and passes decide
from what these said, without the narrow looks of first contact, which would take minutes here (see `starting.py`).
"""

import math
import os
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from statistics import median
from unittest import mock

from adapters.clock import SystemClock
from adapters.ledger.store import Store, open_ledger
from fairlead.controller import Controller
from fairlead.settings import load
from fairlead_sandbox.aws import ACCOUNT
from fairlead_sandbox.bulk.fleets import BulkFleets
from fairlead_sandbox.bulk.process import BulkProcess
from fairlead_sandbox.bulk.world import BulkSettings
from tests.benchmarks.counting import Counts
from tests.benchmarks.measurement import Limit, Measurement, percentile
from tests.benchmarks.running import AS_RUN, SECRETS, Running, Watch, calm, running, wait_until
from tests.benchmarks.scale import Scale
from tests.benchmarks.settled import passes_until_rest
from tests.benchmarks.sweeping import sweep_of

HOSTS, INSTANCES = 2, 18  # of a trigger fleet, and of a Spinnaker fleet: ten on average
ENVIRONMENTS = ("dev", "staging", "prod-a", "prod-b")
PATIENCE = 600.0
DESCRIBES = {  # what an inventory asks, and how many of what fit into an answer
    "autoscaling:DescribeAutoScalingGroups": 100,
    "ec2:DescribeInstances": 1000,
    "ec2:DescribeLaunchTemplateVersions": 200,
    "ec2:DescribeImages": 200,
}


def pushing(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """The inventory, the memory and the pushes of one world, and the pushes of a small one."""
    yield from _measured(scale, folder / "many", scale.fleets)
    *_, pushes = _measured(scale, folder / "few", scale.few)
    yield pushes


def _measured(scale: Scale, folder: Path, count: int) -> Iterator[Measurement]:
    half = count // 2
    fleets = BulkFleets(spinnaker=half, trigger=half, environments=ENVIRONMENTS)
    settings = BulkSettings(fleets=fleets, hosts_each=HOSTS, instances_each=INSTANCES, **AS_RUN)
    with BulkProcess(folder / "world", settings) as world:
        yield bring_to_rest(world)
        watch = Watch(f"sqlite:///{world.state / 'ledger.db'}")
        with running(world, folder / "controller") as controller:
            wait_until(lambda: bool(controller.passes("inventory")), "a first inventory", PATIENCE)
            wait_until(lambda: bool(controller.passes("sweep")), "a first sweep", PATIENCE)
            calm(watch, PATIENCE)
            yield _inventory(world, controller, watch, fleets)
            yield _memory(controller, count)
            yield _pushes(world, controller, fleets, scale.trials)
        watch.close()


def bring_to_rest(world: BulkProcess) -> Measurement:
    """Read everything once in this process, decide until nothing is due, and measure sweeps of that."""
    counts = Counts()
    with mock.patch.dict(os.environ, {**world.environment, **SECRETS}):
        controller = Controller(load(world.config))
        controller._reads_on = False  # as `fairlead once` reads reports
        controller._wake_everything()
        controller.loop.drain(("repository",))
        controller.loop.drain(("inventory",))
        ledger = open_ledger(load(world.config).ledger_url, SystemClock())
        _hear_all(controller, ledger, len(world.names) // 2 * HOSTS)
        passes_until_rest(ledger, SystemClock())
        ready = sum(record.memory.status.ready for record in ledger.fleets())
        if ready != len(world.names):
            raise RuntimeError(f"{ready} of {len(world.names)} fleets are at rest")
        measured = sweep_of(controller, ledger, len(world.names), counts)
        ledger.close()
        controller._parts.close()
    return measured


def _hear_all(controller: Controller, ledger: Store, hosts: int) -> None:
    """Look into the queues, some messages a look, until every host was heard."""
    watch = Watch(str(load().ledger_url))
    queues = [name for name in controller._known_feeds if name.startswith("reports:")]

    def is_heard() -> bool:
        ledger.add(queues)
        controller.loop.drain(("reports",))
        return watch.number("SELECT count(*) FROM reports") >= hosts

    wait_until(is_heard, f"{hosts} hosts heard", PATIENCE, every=0.0)
    watch.close()


def _inventory(world: BulkProcess, controller: Running, watch: Watch, fleets: BulkFleets) -> Measurement:
    """Nothing else describes while no fleet is due: one read between two looks at what AWS was asked."""
    wait_until(lambda: watch.held("inventory") == 0, "the end of a read", PATIENCE)
    before = len(controller.passes("inventory"))
    world.ask("reset_calls")
    ledger = open_ledger(f"sqlite:///{world.state / 'ledger.db'}", SystemClock())
    ledger.add([f"inventory:{ACCOUNT}/{region}" for region in fleets.regions])
    ledger.close()
    wait_until(lambda: len(controller.passes("inventory")) > before, "another inventory", PATIENCE)
    calls = {name: count for name, count in world.ask("calls").items() if name in DESCRIBES}
    instances = fleets.spinnaker * INSTANCES + fleets.trigger * HOSTS
    services = -(-fleets.spinnaker // len(ENVIRONMENTS))
    found = dict(zip(DESCRIBES, (fleets.spinnaker, instances, fleets.spinnaker, services), strict=True))
    pages = sum(math.ceil(found[name] / size) for name, size in DESCRIBES.items())
    return Measurement(
        name="read of an inventory",
        conditions=f"one account and region: {fleets.spinnaker:,} groups, {instances:,} instances; nothing changed",
        values={
            "calls": sum(calls.values()),
            "pages": pages,
            "calls per page": sum(calls.values()) / pages,
            "calls per fleet": sum(calls.values()) / (fleets.spinnaker + fleets.trigger),
            "s": controller.passes("inventory")[-1]["took_ms"] / 1000,
        },
        limits=(Limit(value="calls per page", most=1, ratio=True),),
        notes=("s: with the controller's other work beside it, and an AWS that is Python on the same two cores",),
    )


def _memory(controller: Running, fleets: int) -> Measurement:
    now, most = controller.memory()
    sweep = controller.passes("sweep")[-1]["took_ms"] / 1000
    return Measurement(
        name="memory of a controller",
        conditions=f"{fleets:,} fleets, {fleets * 10:,} instances, {fleets:,} agents; SQLite",
        values={"MiB": now, "MiB at most": most, "its sweep: s": sweep},
        limits=(Limit(value="MiB at most", most=600),),
        notes=("its own process, after the first read of everything and a sweep",),
    )


def _pushes(world: BulkProcess, controller: Running, fleets: BulkFleets, trials: int) -> Measurement:
    baked = [name for name in fleets.spinnaker_names() if name.startswith(f"{ENVIRONMENTS[0]}/")]  # others wait for its
    names = {"spinnaker": baked, "trigger": fleets.trigger_names()}
    trials = min(trials, len(baked) - 1)  # each fleet once
    first = max(_push(world, controller, each[-1], "1.0.1") for each in names.values())
    before = {family: len(controller.passes(family)) for family in ("repository", "fleet")}
    by_type: dict[str, list[float]] = {"spinnaker": [], "trigger": []}
    for number in range(trials):
        for kind, taken in by_type.items():
            name = names[kind][(number * 97 + 11) % len(names[kind])]
            taken.append(_push(world, controller, name, f"1.1.{number}") * 1000)
    both = sorted(by_type["spinnaker"] + by_type["trigger"])
    passes = {
        f"p50 ms, pass of a {family}": median(each["took_ms"] for each in controller.passes(family)[count:])
        for family, count in before.items()
    }
    return Measurement(
        name="push → first deploy request",
        conditions=f"{len(world.names):,} fleets, {2 * trials} pushes of one fleet each, half of either type; SQLite",
        values={
            "p50 ms": median(both),
            "p99 ms": percentile(both, 0.99),
            "p50 ms, Gate POST": median(by_type["spinnaker"]),
            "p50 ms, order in S3": median(by_type["trigger"]),
            "least ms": both[0],
            "ms, the very first": first * 1000,
            **passes,
        },
        limits=(Limit(value="p50 ms", most=250), Limit(value="p99 ms", most=1000)),
        notes=(
            "from before the signed webhook is sent to the request's arrival in the other side's log",
            "the very first of each type is not counted: it loads what AWS's library knows of each service",
            "the controller reads the inventory every minute and reports all the time, as it is shipped",
        ),
    )


def _push(world: BulkProcess, controller: Running, name: str, version: str) -> float:
    """Seconds from the webhook to the request's arrival."""
    seen = {"gate_triggers": len(world.ask("gate_triggers")), "writes": len(world.ask("writes"))}
    head = world.bump([name], version)
    began = SystemClock().now()
    controller.hint(head)
    arrived: list[datetime] = []

    def is_asked() -> bool:
        arrived.extend(_requests(world, name, seen))
        return bool(arrived)

    wait_until(is_asked, f"a deploy request for {name}", PATIENCE, every=0.1)
    return (min(arrived) - began).total_seconds()


def _requests(world: BulkProcess, name: str, seen: dict[str, int]) -> Iterator[datetime]:
    """When deploys of this fleet were asked for, of Gate and in S3."""
    for entry in world.ask("gate_triggers", after=seen["gate_triggers"]):
        if name in str(entry["body"]):
            yield datetime.fromisoformat(entry["at"])
    for entry in world.ask("writes", after=seen["writes"]):
        if f"/{name}" in entry["address"]:
            yield datetime.fromisoformat(entry["at"])
