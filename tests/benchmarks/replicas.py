"""One, two and four controller processes on one PostgreSQL: how fast a commit that bumps every fleet is carried out."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from fairlead_sandbox.bulk.fleets import BulkFleets
from fairlead_sandbox.bulk.process import BulkProcess
from fairlead_sandbox.bulk.world import BulkSettings
from fairlead_sandbox.postgres import Postgres
from tests.benchmarks.measurement import Measurement
from tests.benchmarks.running import WITH_WEBHOOK, Running, Watch, calm, running, wait_until
from tests.benchmarks.scale import Scale


def replicas(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """All fleets bumped by one commit, for each number of processes; the world and the ledger stay."""
    half = scale.bumped // 2
    fleets = BulkFleets(spinnaker=half, trigger=half)
    with Postgres() as server, ExitStack() as controllers:
        world = controllers.enter_context(
            BulkProcess(folder / "world", BulkSettings(fleets=fleets, ledger=server.url, repository=WITH_WEBHOOK))
        )
        watch, started = Watch(server.url), []
        controllers.callback(watch.close)
        for count in scale.processes:
            while len(started) < count:
                started.append(_another(world, folder / f"controller{len(started)}", controllers))
            wait_until(lambda: _ready(watch) == scale.bumped, "all fleets ready", scale.patience)
            for each in started:
                wait_until(each.is_idle, "an idle controller", scale.patience)
            calm(watch, scale.patience)
            yield _bumped(world, watch, started, f"1.{count}.0", scale)


def _another(world: BulkProcess, folder: Path, controllers: ExitStack) -> Running:
    """Each replica keeps a mirror of its own."""
    return controllers.enter_context(running(world, folder, {"FAIRLEAD_STATE": str(folder / "state")}))


def _ready(watch: Watch) -> int:
    """None before the first replica made the tables."""
    there = watch.number("SELECT count(*) FROM information_schema.tables WHERE table_name = 'fleets'")
    return watch.ready() if there else 0


def _bumped(world: BulkProcess, watch: Watch, started: list[Running], version: str, scale: Scale) -> Measurement:
    before = [each.cpu() for each in started]
    started[0].hint(world.bump(world.names, version))
    took = wait_until(lambda: watch.ready(version) == scale.bumped, f"all fleets at {version}", scale.patience)
    used = sum(each.cpu() for each in started) - sum(before)
    return Measurement(
        name=f"{scale.bumped:,} fleets bumped by one commit, {len(started)} controller{'s' * (len(started) > 1)}",
        conditions="one PostgreSQL, both types, two instances each; commit → all fleets ready at the new version",
        values={"fleets/s": scale.bumped / took, "s": took, "controllers' processor: s": used},
        beside="Argo CD 4 to 40 applications/s, Flux about 4 objects/s: real clusters are in their figures",
        notes=("two cores for controllers, PostgreSQL, Gate, AWS, agents and git together",),
    )
