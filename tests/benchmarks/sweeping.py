"""What it costs to look at a whole estate that is in sync, out of what feeds have said."""

from collections.abc import Callable
from statistics import median

from adapters.ledger.store import Store
from fairlead.controller import Controller
from tests.benchmarks.counting import Counts, cost, resident
from tests.benchmarks.measurement import Limit, Measurement
from tests.benchmarks.prepared import Prepared, finish_due

SWEEPS = 3


def sweep_of(controller: Controller, ledger: Store, fleets: int, counts: Counts) -> Measurement:
    """Re-decide everything in one claim, several times."""

    def sweep() -> None:
        ledger.add(["sweep:all"])
        controller.loop.drain(("sweep",))

    cold = _timed(sweep, ledger)
    counts.clear()
    warm = median(_timed(sweep, ledger) for _ in range(SWEEPS))
    return Measurement(
        name="full re-check of fleets in sync",
        conditions=f"{fleets:,} fleets, {fleets * 10:,} instances, half of either type, SQLite; processor time",
        values={
            "fleets/s per core": fleets / warm,
            "first sweep: fleets/s": fleets / cold,
            "calls to AWS": counts.connections,
            "MiB of the process": resident(),
        },
        limits=(
            Limit(value="fleets/s per core", least=2000),
            Limit(value="calls to AWS", most=0, ratio=True),
        ),
        notes=("decided from stored snapshots by the controller's own sweep, prune included",),
    )


def swept(world: Prepared) -> float:
    """Processor seconds of one sweep."""
    return _timed(world.sweep, world.ledger)


def _timed(sweep: Callable[[], None], ledger: Store) -> float:
    """Raises RuntimeError where the sweep found anything to do."""
    with cost() as found:
        sweep()
    if due := finish_due(ledger):
        raise RuntimeError(f"{due} fleets are restless, and all should be in sync")
    return found.cpu
