"""What it costs to look at a whole estate that is in sync, out of what feeds have said."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median

from tests.benchmarks.counting import Counts, cost, resident
from tests.benchmarks.measurement import Limit, Measurement
from tests.benchmarks.prepared import Prepared, prepared
from tests.benchmarks.scale import Scale
from tests.benchmarks.settled import INSTANCES

SWEEPS = 3


def sweeping(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """Re-decide everything in one claim."""
    counts = Counts()
    with prepared(folder, scale.fleets) as world:
        cold = swept(world)
        counts.clear()
        warm = median(swept(world) for _ in range(SWEEPS))
        yield Measurement(
            name="full re-check of fleets in sync",
            conditions=f"{scale.fleets:,} fleets, {scale.fleets * INSTANCES:,} instances, half of either type, SQLite",
            values={
                "fleets/s per core": scale.fleets / warm,
                "first sweep: fleets/s": scale.fleets / cold,
                "calls to AWS": counts.connections,
                "MiB of the process": resident(),
            },
            limits=(
                Limit(value="fleets/s per core", least=2000),
                Limit(value="calls to AWS", most=0, ratio=True),
            ),
            notes=("decided from stored snapshots by the controller's own sweep, prune included; processor time",),
        )


def swept(world: Prepared) -> float:
    """Processor seconds of one sweep. Raises RuntimeError where it found anything to do."""
    with cost() as found:
        world.sweep()
    if due := world.due():
        raise RuntimeError(f"{due} fleets are restless, and all should be in sync")
    return found.cpu
