"""What one pass is given: the ports, the pace, and whether it may act."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.audience import Audience
from reconciler.plan import Pace
from reconciler.ports import Clock, Deployer, Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The ports of the reconciler, wired once by the program."""

    ledger: Ledger
    deployers: Mapping[str, Deployer]  # by deploy type
    clock: Clock
    pace: Pace = field(default_factory=Pace)
    observe_only: bool = False
    audience: Audience = field(default_factory=Audience)  # who hears of fleets beside the setting commits
    public_url: str = ""  # of the controller's pages; empty: statuses carry no link
