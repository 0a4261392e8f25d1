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
    few, many = scale.sizes[0], scale.fleets
    with prepared(folder, few, at_rest=False) as small, prepared(folder, many, at_rest=False) as large:
        for each in (small, large):
            _commit(each, 1)
        costs = [_commit(small, 1).cpu for _ in range(scale.trials)]
        counts.clear()
        one = [_commit(large, 1) for _ in range(scale.trials)]
        read, written = counts["blobs"], counts["fleet rows"]
        costs += [_commit(small, 1).cpu for _ in range(scale.trials)]
        grown = exponent({few: min(costs), many: min(each.cpu for each in one)})
        hundred = _commit(large, MANY).cpu
    yield Measurement(
        name=f"commit touching 1 fleet of {many:,}",
        conditions="head moved → settings, statuses and due names in the ledger; fetch over HTTP; warm",
        values={
            "p50 ms": median(each.wall for each in one) * 1000,
            "processor ms": median(each.cpu for each in one) * 1000,
            f"{few:,} fleets: processor ms": median(costs) * 1000,
            "blobs read": read / scale.trials,
            "fleet rows written": written / scale.trials,
            f"{MANY} fleets: processor ms": hundred * 1000,
            "exponent": grown,
        },
        limits=(
            Limit(value="exponent", most=0.3, ratio=True),
            Limit(value="blobs read", most=1, ratio=True),
            Limit(value="fleet rows written", most=1, ratio=True),
        ),
        notes=(
            f"exponent: of the cheapest commit's processor time over the repository's size, from {few:,} fleets on",
            "the smaller estate is measured before and after the larger",
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
