"""How large the estates are, and how often things are tried."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """`small` is for every change, within minutes; `full` is for the table in docs/performance.md."""

    sizes: tuple[int, ...]  # fleets: for exponents
    fleets: int  # for everything else: what the budgets speak of
    trials: int


SCALES = {
    "small": Scale(sizes=(1_000, 3_000, 10_000), fleets=10_000, trials=20),
    "full": Scale(sizes=(1_000, 10_000, 100_000), fleets=10_000, trials=100),
    "tiny": Scale(sizes=(100, 300), fleets=300, trials=3),  # to try the rows themselves
}
