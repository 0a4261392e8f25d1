"""What deployers are built with: each takes what it needs, by `Kind.of(means)`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, runtime_checkable

from adapters.agent_protocol.signing import SigningKey
from adapters.aws.sessions import Sessions
from adapters.gate.client import Gates
from reconciler.ports import Clock

READ_WITHIN = timedelta(seconds=12)  # a pass's look at AWS, where the settings say nothing: well below a lease


@runtime_checkable
class OnAws(Protocol):
    """A deployer whose passes ask AWS."""

    aws_services: tuple[str, ...]  # by boto3's names


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The controller's roads into the world."""

    sessions: Sessions
    gates: Gates
    clock: Clock
    read_within: timedelta = READ_WITHIN
    signing: SigningKey | None = None  # None: no orders can be written
