"""What an import reads, what it concludes of it, and what it could not tell. Plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.aws.inventory import Inventory
from desired_state.model import FleetName

Pipeline = Mapping[str, Any]  # as Gate answers it
Path = tuple[str, ...]  # of a value in a file


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One AWS account, and how it is read."""

    id: str
    regions: tuple[str, ...]
    role: str | None = None
    environment: str = ""  # of what names none itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the person said about how to read names and tags."""

    environments: Mapping[str, str] = field(default_factory=dict)  # a word in a stack or a tag: the environment
    service_tag: str = ""  # empty: the usual ones are tried
    environment_tag: str = ""
    bucket: str = ""  # of orders; may hold {environment}
    artifacts: str = ""  # where artifacts lie; holds {service} and {version}
    gate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an agent reported of a fleet on its host."""

    fleet: FleetName
    host: str
    components: Mapping[str, str]
    target_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One account as it was read."""

    account: Account
    inventories: Mapping[str, Inventory]  # by region
    pipelines: Mapping[str, Sequence[Pipeline]] = field(default_factory=dict)  # by application
    reports: Sequence[Told] = ()  # the newest of each host and fleet
    notes: tuple[str, ...] = ()  # what could not be read, as sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person must answer. It becomes a comment over the value at `path`; lines after the first are hints."""

    text: str
    path: Path = ()
    in_fleet: bool = False  # in the fleet's own file, else in the service's


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One fleet as far as it could be told."""

    environment: str
    service: str
    account: Account
    regions: tuple[str, ...]
    packages: Mapping[str, Mapping[str, str]]  # as the service's file says them
    deploy: Mapping[str, Any]
    versions: Mapping[str, str]  # by package
    found: str  # where, for the fleet's file and the screen
    units: int
    sha256: Mapping[str, str] = field(default_factory=dict)
    questions: tuple[Question, ...] = ()
    spinnaker_account: str = ""
    zero_units: bool = False

    @property
    def fleet(self) -> FleetName:
        """Its name."""
        return f"{self.environment}/{self.service}"

    @property
    def kind(self) -> str:
        """The deploy type."""
        return str(self.deploy["type"])


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What is there and was not imported, and what to do about it."""

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was concluded of one account."""

    drafts: tuple[Draft, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
