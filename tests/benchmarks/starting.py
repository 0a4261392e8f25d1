"""A controller that has never seen the estate: how long until it has decided everything, first looks included."""

from collections.abc import Iterable
from pathlib import Path

from fairlead_sandbox.bulk.fleets import BulkFleets
from fairlead_sandbox.bulk.process import BulkProcess
from fairlead_sandbox.bulk.world import BulkSettings
from tests.benchmarks.measurement import Measurement
from tests.benchmarks.pushing import ENVIRONMENTS, HOSTS, INSTANCES
from tests.benchmarks.running import AS_RUN, Watch, running, wait_until
from tests.benchmarks.scale import Scale


def starting(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """An empty ledger, an empty state folder, everything in sync."""
    half = scale.cold // 2
    fleets = BulkFleets(spinnaker=half, trigger=half, environments=ENVIRONMENTS)
    settings = BulkSettings(fleets=fleets, hosts_each=HOSTS, instances_each=INSTANCES, **AS_RUN)
    with BulkProcess(folder / "cold", settings) as world, running(world, folder / "cold-controller") as controller:
        url = f"sqlite:///{world.state / 'ledger.db'}"
        read = wait_until(lambda: _known(url) == scale.cold, "a first read of the repository", scale.patience)
        watch = Watch(url)
        took = read + wait_until(lambda: watch.ready() == scale.cold, "all fleets ready", scale.patience)
        watch.close()
        calls = sum(world.ask("calls").values())
        yield Measurement(
            name="cold start",
            conditions=f"{scale.cold:,} fleets, {scale.cold * 10:,} instances; empty ledger, no mirror; SQLite",
            values={
                "s until the repository is read": read,
                "s until every fleet is ready": took,
                "fleets/s": scale.cold / took,
                "controller's processor: s": controller.cpu(),
                "calls to AWS per fleet": calls / scale.cold,
            },
            notes=("first contact looks at each fleet by itself, once: what an empty ledger forgot may be under way",),
        )


def _known(url: str) -> int:
    """Fleets that the ledger knows; none before it is there."""
    if not Path(url.removeprefix("sqlite:///")).exists():
        return 0
    watch = Watch(url)
    try:
        return watch.number("SELECT count(*) FROM fleets") if _has_tables(watch) else 0
    finally:
        watch.close()


def _has_tables(watch: Watch) -> bool:
    return bool(watch.number("SELECT count(*) FROM sqlite_master WHERE name = 'fleets'"))
