"""How large the estates are, and how often things are tried."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """`small` is for every change, within minutes; `full` is for the table in docs/performance.md."""

    sizes: tuple[int, ...]  # fleets: for exponents
    fleets: int  # what most budgets speak of
    cold: int  # fleets of a cold start
    bumped: int  # fleets that one commit bumps, for several controllers
    trials: int
    patience: float  # seconds for one step of a row


SCALES = {
    "tiny": Scale(
        sizes=(100, 300), fleets=300, cold=40, bumped=40, trials=3, patience=120
    ),  # to try the rows themselves
    "small": Scale(sizes=(1_000, 3_000, 10_000), fleets=10_000, cold=500, bumped=200, trials=20, patience=240),
    "full": Scale(sizes=(1_000, 10_000, 100_000), fleets=10_000, cold=10_000, bumped=500, trials=100, patience=1800),
}
