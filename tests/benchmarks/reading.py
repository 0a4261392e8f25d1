"""What a look at a repository costs: one that finds nothing new, and one that finds a commit."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median

from tests.benchmarks.counting import Cost, Counts, cost
from tests.benchmarks.measurement import Limit, Measurement, exponent, percentile
from tests.benchmarks.prepared import REPOSITORY, Prepared, prepared
from tests.benchmarks.scale import Scale

POLLS = 100
MANY = 100  # fleets of one commit, beside one


def polling(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """A poll that finds nothing new."""
    counts = Counts()
    with prepared(folder, scale.sizes[0], at_rest=False) as world:
        world.controller._poll(REPOSITORY)  # opens the connection, and asks once what the server can do
        world.git.accesses.clear()
        counts.clear()
        taken = []
        for _ in range(POLLS):
            with cost() as each:
                world.controller._poll(REPOSITORY)
            taken.append(each.wall * 1000)
        yield Measurement(
            name="poll that finds nothing new",
            conditions=f"{POLLS} polls over HTTP on this host, {world.estate.fleets:,} fleets",
            values={
                "round trips": len(world.git.accesses) / POLLS,
                "connections": counts.connections,
                "ledger writes": counts["writes"],
                "ledger reads": counts["statements"] - counts["writes"],
                "p50 ms": median(taken),
                "p99 ms": percentile(taken, 0.99),
            },
            limits=(
                Limit(value="round trips", most=1, ratio=True),
                Limit(value="connections", most=0, ratio=True),
                Limit(value="ledger writes", most=0, ratio=True),
            ),
            beside="a hand-written ls-refs was measured at 14 ms before the first line was written",
            notes=("connections: opened during the polls, to git or AWS: the one to git is kept",),
        )


def committing(scale: Scale, folder: Path) -> Iterable[Measurement]:
    """A commit that touches one fleet, of few and of many; and one that touches a hundred."""
    counts = Counts()
    sizes = [scale.sizes[0], scale.fleets]
    costs: dict[int, float] = {}
    for size in sizes:
        with prepared(folder, size, at_rest=False) as world:
            _commit(world, 1)
            counts.clear()
            one = [_commit(world, 1) for _ in range(scale.trials)]
            costs[size] = median(each.cpu for each in one)
            values = {
                "p50 ms": median(each.wall for each in one) * 1000,
                "processor ms": costs[size] * 1000,
                "blobs read": counts["blobs"] / scale.trials,
                "fleet rows written": counts["fleet rows"] / scale.trials,
            }
            values[f"{MANY} fleets: processor ms"] = _commit(world, MANY).cpu * 1000
        if size == scale.fleets:
            values["exponent"] = exponent({sizes[0]: costs[sizes[0]], size: costs[size]})
            yield Measurement(
                name=f"commit touching 1 fleet of {size:,}",
                conditions="head moved → settings, statuses and due names in the ledger; fetch over HTTP; warm",
                values=values,
                limits=(
                    Limit(value="exponent", most=0.3, ratio=True),
                    Limit(value="blobs read", most=1, ratio=True),
                    Limit(value="fleet rows written", most=1, ratio=True),
                ),
                notes=(
                    f"exponent: of processor time over the repository's size, from {sizes[0]:,} fleets on",
                    "0.3: ten times the fleets may cost twice as much",
                ),
            )


def _commit(world: Prepared, fleets: int) -> Cost:
    """Bump so many fleets, and read the new head."""
    version = f"1.1.{int(world.pusher.head[:6], 16)}"
    world.pusher.bump(world.estate.names[:fleets], version)
    with cost() as found:
        world.read()
    if (due := world.due()) != fleets:
        raise RuntimeError(f"{fleets} fleets were bumped and {due} are due")
    return found
