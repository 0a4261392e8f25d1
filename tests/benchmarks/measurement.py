"""What a row gives: numbers, the conditions under which they hold, and the limits that they are held against. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """How a measurement stands to its budget."""

    NONE = "-"  # it has none
    WITHIN = "within"
    OVER = "OVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A bound on one of the values. `ratio`: a count, a ratio or an exponent, which no slow machine excuses."""

    value: str
    most: float | None = None
    least: float | None = None
    ratio: bool = False

    def is_met(self, values: Mapping[str, float]) -> bool:
        """Whether the value is there, is a number, and keeps the bound."""
        found = values.get(self.value, math.nan)
        if math.isnan(found):
            return False
        return (self.most is None or found <= self.most) and (self.least is None or found >= self.least)

    def __str__(self) -> str:
        bounds = {"≥": self.least, "≤": self.most}
        return " ".join([self.value, *(f"{sign} {bound:g}" for sign, bound in bounds.items() if bound is not None)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One line of the table. A value's name says its unit: `p50 ms`, `fleets/s`."""

    name: str
    conditions: str
    values: Mapping[str, float]
    limits: tuple[Limit, ...] = ()
    beside: str = ""  # what others published or was measured before, to compare with
    notes: tuple[str, ...] = field(default=())  # what a reader must know to read the numbers right

    @property
    def verdict(self) -> Verdict:
        """Over as soon as one limit is not met."""
        if not self.limits:
            return Verdict.NONE
        return Verdict.WITHIN if all(limit.is_met(self.values) for limit in self.limits) else Verdict.OVER

    @property
    def fails(self) -> bool:
        """True when a count, a ratio or an exponent is over its limit: then the run fails (DESIGN 8)."""
        return any(limit.ratio and not limit.is_met(self.values) for limit in self.limits)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of them do not exceed. Raises ValueError for none."""
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def exponent(costs: Mapping[int, float]) -> float:
    """The slope of cost over size on logarithmic axes, by least squares: 1 is linear, 0 does not grow.

    Raises ValueError for fewer than two sizes, or for a cost that is not above zero.
    """
    if len(costs) < 2 or min(costs.values()) <= 0:
        raise ValueError("an exponent needs two sizes, each with a cost")
    points = [(math.log(size), math.log(cost)) for size, cost in costs.items()]
    middle = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
    spread = sum((x - middle[0]) ** 2 for x, _ in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread
