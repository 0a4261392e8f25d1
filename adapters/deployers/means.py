"""What deployers are built with: each takes what it needs, by `Kind.of(means)`."""

from dataclasses import dataclass

from adapters.agent_protocol.signing import SigningKey
from adapters.aws.sessions import Sessions
from adapters.gate.client import Gates
from reconciler.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The controller's roads into the world."""

    sessions: Sessions
    gates: Gates
    clock: Clock
    signing: SigningKey | None = None  # None: no orders can be written
