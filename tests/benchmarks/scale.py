"""How large the estates are, and how often things are tried."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """`small` is for every change, within minutes; `full` is for the table in docs/performance.md."""

    sizes: tuple[int, ...]  # fleets: for exponents
    fleets: int  # what most budgets speak of
    few: int  # fleets, beside them
    cold: int  # fleets of a cold start
    bumped: int  # fleets that one commit bumps, for several controllers
    processes: tuple[int, ...]  # of them
    agents: int  # real processes
    reporters: int  # agents in one thread
    trials: int
    patience: float  # seconds for one step of a row


SCALES = {
    "tiny": Scale(  # to try the rows themselves
        sizes=(100, 300),
        fleets=300,
        few=20,
        cold=40,
        bumped=20,
        processes=(1, 2),
        agents=6,
        reporters=60,
        trials=3,
        patience=120,
    ),
    "small": Scale(
        sizes=(1_000, 2_000, 4_000),
        fleets=10_000,
        few=100,
        cold=300,
        bumped=100,
        processes=(1, 2, 4),
        agents=40,
        reporters=1_000,
        trials=20,
        patience=300,
    ),
    "full": Scale(
        sizes=(1_000, 10_000, 100_000),
        fleets=10_000,
        few=100,
        cold=10_000,
        bumped=500,
        processes=(1, 2, 4),
        agents=200,
        reporters=10_000,
        trials=100,
        patience=1800,
    ),
}
