"""How cost grows with the number of fleets: a straight line on logarithmic axes, whose slope is held to its budget."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median

from tests.benchmarks.measurement import Limit, Measurement, exponent
from tests.benchmarks.prepared import costs, prepared
from tests.benchmarks.scale import Scale
from tests.benchmarks.sweeping import SWEEPS, swept

LINEAR = 1.05


def growing(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """The first read, the first passes and the sweep, at every size."""
    found: dict[str, dict[int, float]] = {"first read": {}, "first passes": {}, "sweep": {}}
    for size in scale.sizes:
        made = costs(folder, size)
        found["first read"][size] = made["first read"]
        found["first passes"][size] = made["first passes"]
        with prepared(folder, size, at_rest=True) as world:
            swept(world)
            found["sweep"][size] = median(swept(world) for _ in range(SWEEPS))
    sizes = " → ".join(f"{size:,}" for size in scale.sizes)
    for name, by_size in found.items():
        seconds = {f"{size:,} fleets: s": taken for size, taken in by_size.items()}
        yield Measurement(
            name=f"growth of cost: {name}",
            conditions=f"{sizes} fleets, ten instances each; processor seconds; SQLite",
            values={"exponent": exponent(by_size), **seconds},
            limits=(Limit(value="exponent", most=LINEAR, ratio=True),),
        )
