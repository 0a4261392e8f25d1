"""The frozen values that Git declares: what every later stage is told, and nothing about how it was read.

Nothing in here may touch a file, a socket, a process or a clock.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

FleetName = str  # "prod/checkout"
Component = str  # "package/checkout", "config/checkout", "ami", "redeploy"
Version = str
Digest = str  # 64 lower-case hexadecimal characters (SHA-256)
Sha = str  # a commit's full id

_REF = re.compile(r"[A-Za-z0-9._/+@-]{1,250}")


class Severity(StrEnum):
    """Whether a problem stops a fleet or only deserves a look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """What is wrong in one place of a file, and what would be right. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str
    severity: Severity = Severity.ERROR
    fleets: tuple[FleetName, ...] = ()  # the fleets that it harms; empty for a warning or a file of no fleet

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class OnFailure(StrEnum):
    """What becomes of a fleet whose desired version failed."""

    ROLLBACK = "rollback"
    HOLD = "hold"


class Heal(StrEnum):
    """Whether drift that nobody committed is repaired or only reported."""

    REPAIR = "repair"
    OFF = "off"


class Adopt(StrEnum):
    """Whether a fleet that is first seen drifting waits for a person."""

    ASK = "ask"
    AUTO = "auto"


class ZeroUnits(StrEnum):
    """Whether an empty fleet is meant."""

    REFUSED = "refused"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How a fleet behaves, after defaults, service and environment were merged."""

    on_failure: OnFailure = OnFailure.ROLLBACK
    heal: Heal = Heal.REPAIR
    adopt: Adopt = Adopt.ASK
    zero_units: ZeroUnits = ZeroUnits.REFUSED
    retries: int = 1  # further attempts after the first failed one, before the target is quarantined


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Where a fleet lives: one `environments/<name>/environment.yaml`."""

    name: str
    account: str  # twelve digits
    regions: tuple[str, ...]
    role: str | None = None  # ARN to assume; None: the controller's own identity
    spinnaker: Mapping[str, str] = field(default_factory=dict)  # url, account
    trigger: Mapping[str, str] = field(default_factory=dict)  # bucket, queues


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One artifact of a fleet. `source` may hold `{version}`; a baked package has neither source nor destination."""

    name: str
    version: Version
    format: str = "deb"  # deb, archive, file
    source: str | None = None
    destination: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The merged configuration values of a fleet, digested as canonical JSON."""

    destination: str
    format: str  # yaml, json
    values: Mapping[str, Any]
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspension:
    """A person's wish, in Git, that a fleet is left alone, or what of it is in some regions."""

    reason: str
    until: datetime | None = None
    file: str = ""
    regions: tuple[str, ...] = ()  # empty: all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """A span of calendar time in which matching fleets are left alone: one file in `freezes/`."""

    name: str
    reason: str
    begins: datetime
    ends: datetime
    environments: tuple[str, ...] = ()  # empty: all
    services: tuple[str, ...] = ()  # empty: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a service's own code is: people see there too where a version of it runs. In no digest."""

    repository: str  # as its forge names it: acme/checkout
    tag: str  # of a version: v{version}

    def ref(self, version: Version) -> str:
        """`refs/tags/v1.4.2`; empty where git has no tag of such a name (git-check-ref-format)."""
        name = self.tag.replace("{version}", version)
        parts = name.split("/")
        sound = _REF.fullmatch(name) and ".." not in name and "@{" not in name and not name.endswith(".")
        return f"refs/tags/{name}" if sound and all(map(_is_part, parts)) else ""


def _is_part(part: str) -> bool:
    return bool(part) and not part.startswith(".") and not part.endswith(".lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """One service in one environment as Git declares it at a revision: the thing that is reconciled.

    `deploy` is opaque here: its deployer's settings model validated it, and only that deployer reads it.
    """

    name: FleetName
    environment: Environment
    service: str  # the service file that says how; differs from the fleet's short name where `service:` says so
    components: Mapping[Component, Version]
    packages: tuple[Package, ...]
    deploy_type: str
    deploy: Mapping[str, Any]
    target_digest: Digest  # over what runs
    spec_digest: Digest  # over target, deploy and health; not waves, guards or owner
    identity_digest: Digest  # over account, regions, selector and deploy type: which machines these are
    owner: str = ""
    config: Config | None = None
    redeploy: str | None = None
    policy: Policy = field(default_factory=Policy)
    suspension: Suspension | None = None
    freezes: tuple[Freeze, ...] = ()
    regional: tuple[Suspension, ...] = ()  # those of some regions; `suspension` is of all
    bakes: Environment | None = None  # of this service, the first that a version comes to; None: the fleet's own
    source: Source | None = None  # policy, like the owner: in no digest

    @property
    def asleep(self) -> Mapping[str, Suspension]:
        """The regions that are named by a suspension, and the one that lasts longest."""
        lasting = sorted(self.regional, key=lambda one: one.until.timestamp() if one.until else math.inf)
        return {region: one for one in lasting for region in one.regions}

    @property
    def short_name(self) -> str:
        """The fleet's name inside its environment: `checkout` of `prod/checkout`."""
        return self.name.partition("/")[2]

    @property
    def tag(self) -> str:
        """The tag of its version in the service's own repository; empty where that is none, or not one."""
        versions = {package.version for package in self.packages}
        return self.source.ref(versions.pop()) if self.source is not None and len(versions) == 1 else ""

    @property
    def version(self) -> str:
        """What a person calls the version: the one that all packages have, else `a 1.2, b 3.4`."""
        if len({package.version for package in self.packages}) == 1:
            return self.packages[0].version
        return ", ".join(f"{package.name} {package.version}" for package in self.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredState:
    """Everything that one revision of one repository declares."""

    environments: tuple[str, ...]
    fleets: Mapping[FleetName, Fleet]  # the sound ones
    declared: frozenset[FleetName]  # all that have a file, sound or broken
    problems: tuple[Problem, ...] = ()

    @property
    def broken(self) -> frozenset[FleetName]:
        """Fleets whose file is there and that cannot be read: they keep their last good spec."""
        return self.declared - frozenset(self.fleets)

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop at least one fleet or file."""
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit of the desired-state repository. Times are aware and in UTC."""

    sha: Sha
    parents: tuple[Sha, ...]
    author: str
    committed_at: datetime
    subject: str
    body: str = ""

    @property
    def short(self) -> str:
        """The first seven characters, as people quote a commit."""
        return self.sha[:7]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a fleet's present target came into force on the first-parent history.

    `reverts` holds the setting commits that this one undid: those that its message names first, then the newest. It is
    not empty when the present target stood in force before them, or the message says `This reverts commit`.
    """

    commit: Sha
    target_digest: Digest
    reverts: tuple[Sha, ...] = ()


DEFAULT_SOAK = timedelta(0)
