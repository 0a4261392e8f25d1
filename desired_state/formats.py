"""One model a file format. The published JSON Schemas come from these, so every field says what it is for.

The layers (`defaults`, a service, `override`, `in.<env>`) may leave anything out and remove with null; what must be
there is asked of the merged result by `EffectiveService`.
"""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from desired_state.model import Adopt, Heal, OnFailure, ZeroUnits
from desired_state.words import (
    Account,
    Bucket,
    Line,
    Moment,
    Name,
    PackageName,
    Path,
    Project,
    Region,
    RoleArn,
    Sha256,
    TagName,
    Url,
    VersionText,
)

POLICY_KEYS = ("on_failure", "heal", "adopt", "zero_units", "retries")


class FileModel(BaseModel):
    """Frozen; a key that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = [value for value, times in Counter(values).items() if times > 1]
    if twice:
        raise ValueError(f"must name {twice[0]} once")
    return values


def _some(values: tuple[str, ...]) -> tuple[str, ...]:
    if not values:
        raise ValueError("must name at least one")
    return _distinct(values)


Some = AfterValidator(_some)


class PolicyKeys(FileModel):
    """How a fleet behaves. Null removes what a lower layer said."""

    on_failure: OnFailure | None = Field(None, description="What becomes of a fleet whose version failed")
    heal: Heal | None = Field(None, description="Whether drift that nobody committed is repaired")
    adopt: Adopt | None = Field(None, description="Whether a fleet first seen drifting waits for a person")
    zero_units: ZeroUnits | None = Field(None, description="Whether an empty fleet is meant")
    retries: Annotated[StrictInt, Field(ge=0, le=10)] | None = Field(
        None, description="Further attempts before a failed target is quarantined"
    )


class Layer(PolicyKeys):
    """What may be said for many fleets at once: `defaults` and `override`."""

    owner: Line | None = Field(None, description="The team that answers for it")
    deploy: dict[str, Any] | None = Field(None, description="How it is deployed; the keys depend on type")


class FairleadFile(FileModel):
    """`fairlead.yaml`."""

    apiVersion: Literal["fairlead/v1"] = Field(description="fairlead/v1")  # noqa: N815 the key in the file
    environments: Annotated[tuple[Name, ...], Some] = Field(description="The environments in order of promotion")
    defaults: Layer | None = Field(None, description="What holds where nothing else is said")


class SpinnakerKeys(FileModel):
    """Which Spinnaker an environment uses."""

    url: Url = Field(description="Gate's address")
    account: Line = Field(description="The name that Spinnaker gives to the AWS account")


class TriggerKeys(FileModel):
    """What trigger deploys need in an environment."""

    bucket: Bucket = Field(description="The S3 bucket for orders")
    queues: Literal["setup", "controller"] = Field(
        "setup", description="Who keeps topics and queues: `fairlead trigger setup` or Terraform, or the controller"
    )


class ChangesKeys(FileModel):
    """How commands change what an environment declares."""

    how: Literal["commit", "pull-request"] = Field(
        "commit", description="By a commit on the branch, or by a pull request"
    )


class EnvironmentFile(FileModel):
    """`environments/<env>/environment.yaml`."""

    account: Account = Field(description='the AWS account in quotes, like "123456789012"')
    regions: Annotated[tuple[Region, ...], Some] = Field(description="the AWS regions, like [us-east-1]")
    role: RoleArn | None = Field(None, description="The role to assume; left out: the controller's own")
    spinnaker: SpinnakerKeys | None = Field(None, description="Which Spinnaker deploys here")
    trigger: TriggerKeys | None = Field(None, description="What trigger deploys need")
    override: Layer | None = Field(None, description="What holds for every fleet of this environment")
    changes: ChangesKeys | None = Field(None, description="How bump, rollback, promote, suspend and resume change it")


class PackageKeys(FileModel):
    """One artifact, as a layer says it."""

    format: Literal["deb", "archive", "file"] | None = Field(None, description="What the artifact is; deb if left out")
    from_: Path | None = Field(None, alias="from", description="Where it comes from; may hold {version}")
    to: Path | None = Field(None, description="Where it goes, below the deploy root or absolute")
    sha256: Sha256 | None = Field(None, description="Its SHA-256; the fleet file's own wins")


class ConfigKeys(FileModel):
    """Where configuration values go, as a layer says it."""

    to: Path | None = Field(None, description="the file to write, below the deploy root or absolute")
    format: Literal["yaml", "json"] | None = Field(None, description="yaml or json")


class SourceKeys(FileModel):
    """Where the service's own code is, so that people can follow a version to its commits."""

    repository: Project | None = Field(None, description="The repository of the service's code, like acme/checkout")
    tag: TagName | None = Field(None, description="The tag of a version, like v{version}")

    @field_validator("tag")
    @classmethod
    def _names_a_version(cls, tag: str | None) -> str | None:
        if tag is not None and "{" not in tag:
            raise ValueError("must hold {version}, like v{version}: each version has a tag of its own")
        return tag


class ServiceLayer(Layer):
    """What a service says, also for one environment in `in.<env>`."""

    package: PackageName | None = Field(None, description="Short for packages: {<name>: {}}")
    packages: dict[PackageName, PackageKeys | None] | None = Field(None, description="The artifacts, by package name")
    config: ConfigKeys | None = Field(None, description="Where the configuration values go")
    source: SourceKeys | None = Field(None, description="Where the service's own code is")

    @model_validator(mode="after")
    def _one_way_to_name_packages(self) -> "ServiceLayer":
        if self.package is not None and self.packages is not None:
            raise ValueError('"package" and "packages" are both there; keep packages')
        return self


class ServiceFile(ServiceLayer):
    """`services/<service>.yaml`."""

    in_: dict[Name, ServiceLayer] | None = Field(None, alias="in", description="What differs in one environment")


class FleetFile(FileModel):
    """`environments/<env>/<fleet>.yaml`: which version runs. Nothing here may be null."""

    version: VersionText = Field("", description='The version, in quotes where YAML reads a number: "1.10"')
    versions: dict[PackageName, VersionText] = Field({}, description="The version of each package")
    sha256: dict[PackageName, Sha256] = Field({}, description="The SHA-256 of each artifact; bump writes it")
    redeploy: Line = Field("", description="A reason; a new one runs the same version again")
    service: Name = Field("", description="The service file, where its name is not the fleet's")

    @model_validator(mode="after")
    def _one_way_to_name_versions(self) -> "FleetFile":
        if not self.version and not self.versions:
            raise ValueError('"version" is missing; add version: "1.2.3"')
        if self.version and self.versions:
            raise ValueError('"version" and "versions" are both there; keep one of them')
        return self


class SuspendFile(FileModel):
    """`environments/<env>/<fleet>.suspend.yaml` and `environments/<env>/suspend.yaml`."""

    reason: Line = Field(description="why it is left alone, for people to read")
    until: Moment | None = Field(None, description="When it ends; left out: when the file is removed")
    regions: Annotated[tuple[Region, ...], Some] = Field((), description="Which regions; left out: all")


class FreezeFile(FileModel):
    """`freezes/<name>.yaml`."""

    reason: Line = Field(description="why nothing moves, for people to read")
    from_: Moment = Field(alias="from", description="when it begins: a date (midnight UTC) or a time with its offset")
    until: Moment = Field(description="when it ends: a date (midnight UTC) or a time with its offset")
    environments: Annotated[tuple[Name, ...], Some] = Field((), description="Which environments; left out: all")
    services: Annotated[tuple[Name, ...], Some] = Field((), description="Which services; left out: all")

    @field_validator("until")
    @classmethod
    def _ends_after_it_begins(cls, until: datetime, info: ValidationInfo) -> datetime:
        begins = info.data.get("from_")
        if begins is not None and until <= begins:
            raise ValueError('must be later than "from"')
        return until


class EffectivePackage(PackageKeys):
    """One artifact after all layers: a file or archive says where from and where to."""

    @model_validator(mode="after")
    def _complete(self) -> "EffectivePackage":
        if self.format in {"file", "archive"} and not (self.from_ and self.to):
            raise ValueError(f"must say from and to, because its format is {self.format}")
        return self


class EffectiveConfig(FileModel):
    """Where configuration values go, after all layers."""

    to: Path = Field(description="the file to write, below the deploy root or absolute")
    format: Literal["yaml", "json"] = Field(description="yaml or json")


class EffectiveSource(FileModel):
    """Where the service's own code is, after all layers: both, or nothing."""

    repository: Project = Field(description="the repository of the service's code, like acme/checkout")
    tag: TagName = Field(description='the tag of a version, like "v{version}"')


class EffectiveDeploy(BaseModel):
    """Only the type is known here; the type's own model reads the rest."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: Line = Field(description="how it is deployed, like spinnaker")


class EffectiveService(Layer):
    """A service in one environment, after all layers."""

    packages: dict[PackageName, EffectivePackage] = Field(description="the artifacts, or package: <name> for one")
    config: EffectiveConfig | None = None
    source: EffectiveSource | None = None
    deploy: EffectiveDeploy = Field(description="how it is deployed")  # type: ignore[assignment]

    @field_validator("packages")
    @classmethod
    def _something_runs(cls, packages: dict[str, EffectivePackage]) -> dict[str, EffectivePackage]:
        if not packages:
            raise ValueError("must name at least one package")
        return packages
