"""Thousands of agents in one thread at one controller process: reports taken in, hosts decided, a rollout over all."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median

from adapters.clock import SystemClock
from fairlead_sandbox.bulk.fleets import BulkFleets
from fairlead_sandbox.bulk.process import BulkProcess
from fairlead_sandbox.bulk.world import BulkSettings
from tests.benchmarks.measurement import Limit, Measurement
from tests.benchmarks.running import AS_RUN, Running, Watch, running, wait_until
from tests.benchmarks.scale import Scale

FLEETS = 10
WAVES = "[{hosts: 1}, {hosts: 25%}, {hosts: 50%}, {hosts: 100%}]"
PATIENCE = 1800.0  # seconds
STORMS = 3


def crowd(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """First everybody reports at once, then one commit bumps everybody."""
    each = scale.reporters // FLEETS
    fleets = BulkFleets(spinnaker=0, trigger=FLEETS, role="", trigger_waves=WAVES, more="max_unavailable: 100%")
    settings = BulkSettings(fleets=fleets, hosts_each=each, **AS_RUN)
    url = f"sqlite:///{folder / 'crowd' / 'state' / 'ledger.db'}"
    with BulkProcess(folder / "crowd", settings) as world, running(world, folder / "crowd-controller") as controller:
        wait_until(lambda: '"controller started"' in controller.log(), "a controller", PATIENCE)
        watch = Watch(url)
        wait_until(lambda: watch.ready() == FLEETS, "fleets at rest", PATIENCE)
        storms = [_storm(world, controller, watch, scale.reporters) for _ in range(STORMS)]
        values = _rollout(world, controller, watch, scale.reporters)
        watch.close()
        yield Measurement(
            name=f"{scale.reporters:,} in-process agents at one controller",
            conditions=f"{FLEETS} fleets of {each:,} hosts, waves of 1, 25 %, 50 % and all, no soak, no limit; SQLite",
            values={
                "reports/s taken in": scale.reporters / median(storms),
                "s for a report of everybody": median(storms),
                **values,
                "MiB at most": controller.memory()[1],
            },
            limits=(Limit(value="MiB at most", most=600),),
            notes=(
                "agents are played in AWS's process, orders and reports are real; a version takes 0.4 s on a host",
                "hosts decided/s: a fleet's hosts over the seconds of one pass while the rollout goes on",
            ),
        )


def _storm(world: BulkProcess, controller: Running, watch: Watch, count: int) -> float:
    """Seconds until what everybody said at once is in the ledger."""
    wait_until(controller.is_idle, "an idle controller", PATIENCE)
    since = int(SystemClock().now().timestamp() * 1_000_000)
    world.ask("beat")
    asked = "SELECT count(*) FROM reports WHERE sent >= :since"
    return wait_until(lambda: watch.number(asked, since=since - since % 1000) >= count, "all reports", PATIENCE, 0.02)


def _rollout(world: BulkProcess, controller: Running, watch: Watch, count: int) -> dict[str, float]:
    wait_until(controller.is_idle, "an idle controller", PATIENCE)
    passes, calls, cpu = len(controller.passes("fleet")), dict(world.ask("calls")), controller.cpu()
    controller.hint(world.bump(world.names, "2.0.0"))
    took = wait_until(lambda: watch.ready("2.0.0") == FLEETS, "everybody at the new version", PATIENCE, 0.05)
    used = controller.cpu() - cpu
    since = controller.passes("fleet")[passes:]
    now = world.ask("calls")
    return {
        "s for a rollout over all": took,
        "its hosts/s": count / took,
        "its processor: s": used,
        "its passes a fleet": len(since) / FLEETS,
        "hosts decided/s": count / FLEETS / (median(each["took_ms"] for each in since) / 1000),
        "its calls to AWS": sum(now.values()) - sum(calls.values()),
    }
