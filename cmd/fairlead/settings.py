"""The controller's settings: one frozen object, read once, from `fairlead.toml` and `FAIRLEAD_*`.

Secrets are named, never written: `env:NAME`, `file:/path` or `aws-sm:name`. They are looked up where they are
used and never printed.
"""

import os
import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic_settings
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from desired_state.durations import Duration

DEFAULT_FILE = Path("fairlead.toml")


class SettingsError(Exception):
    """The settings cannot be used; the message names the file, the key and what would be right."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretReference(str):
    """`env:NAME`, `file:/path` or `aws-sm:name`: where a secret is, not what it is."""

    __slots__ = ()

    def reveal(self) -> str:
        """The secret's value. Raises `SettingsError` where it is not to be had."""
        kind, _, name = self.partition(":")
        if kind == "aws-sm":
            from fairlead.wiring.storing import stored

            return stored(name).strip()
        if kind == "env" and name in os.environ:
            return os.environ[name].strip()
        try:
            if kind == "file" and Path(name).is_file():
                return Path(name).read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"the secret {self} cannot be read: it must be text that this user may read") from None
        raise SettingsError(f"the secret {self} is not there: set that variable, or write that file")

    def reveal_token(self) -> str:
        """The value of a secret that goes into a header as it is. Raises `SettingsError` where it cannot."""
        token = self.reveal()
        if not token or not token.isascii() or not token.isprintable():
            raise SettingsError(
                f"the secret {self} is no token: it must be one line of ASCII letters, digits and signs"
            )
        return token


def _reference(value: object) -> object:
    if not isinstance(value, str) or value.partition(":")[0] not in {"env", "file", "aws-sm"}:
        raise ValueError("a secret is a reference, `env:NAME`, `file:/path` or `aws-sm:name`, never the value itself")
    return SecretReference(value)


def _long_poll(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= timedelta(seconds=20):
        raise ValueError("must be from 1s to 20s, which is as long as SQS lets one wait for a message")
    return value


Secret = Annotated[str, Field(description="`env:NAME`, `file:/path` or `aws-sm:name`")]


class RepositoryAuth(_Part):
    """How the repository is reached. `user` goes with basic; the secret of `ssh_key` is the private key's text."""

    mode: Literal["none", "basic", "bearer", "ssh_key"] = "none"
    user: str = ""
    secret: Secret | None = None

    _secret = field_validator("secret")(lambda value: None if value is None else _reference(value))


class ForgeSignIn(_Part):
    """How a forge is signed in to: a token, or as a GitHub App, whose private key is a PEM text."""

    mode: Literal["token", "app"] = "token"
    token: Secret | None = None
    app_id: str = ""
    installation_id: str = ""
    private_key: Secret | None = None

    _token = field_validator("token")(lambda value: None if value is None else _reference(value))
    _key = field_validator("private_key")(lambda value: None if value is None else _reference(value))


class ForgeSettings(_Part):
    """Where statuses go. `git_notes` needs no forge at all; `gitea` is Forgejo too."""

    type: Literal["git_notes", "github", "gitlab", "gitea"] = "git_notes"
    api: str = ""  # left out: github.com's or gitlab.com's
    repository: str = ""  # owner/name; at GitLab group/project, or group/subgroup/project
    auth: ForgeSignIn = ForgeSignIn()
    sources: tuple[str, ...] = ()  # patterns of services' own repositories there that words may go to: acme/*
    deployments: bool = False  # keep the forge's own record of deployments too
    webhook_secrets: tuple[Secret, ...] = ()  # any of them signs: two while one replaces the other
    writes_per_minute: int = Field(default=60, ge=1)  # GitHub takes about 80
    writes_per_hour: int = Field(default=400, ge=1)  # and about 500

    _secrets = field_validator("webhook_secrets")(lambda values: tuple(_reference(value) for value in values))

    @property
    def address(self) -> str:
        """The API's address, with the default of the type filled in; Gitea has none."""
        return self.api or {"github": "https://api.github.com", "gitlab": "https://gitlab.com/api/v4"}.get(
            self.type, ""
        )

    @property
    def is_hosted(self) -> bool:
        """It has an API of its own, beside git."""
        return self.type != "git_notes"


class RepositorySettings(_Part):
    """One desired-state repository."""

    name: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    url: str
    branch: str = "main"
    path: str = ""  # the folder of the repository in which the desired state lies; empty: its root
    auth: RepositoryAuth = RepositoryAuth()
    forge: ForgeSettings = ForgeSettings()


class GateSignIn(_Part):
    """How one Gate is signed in to. `header` is `X-Spinnaker-Token` for a bearer, `X-SPINNAKER-USER` for a header."""

    mode: Literal["none", "bearer", "basic", "certificate", "oauth2", "form", "header"] = "none"
    header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    user: str = ""
    secret: Secret | None = None
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    token_url: str = ""
    scope: str = ""

    _secret = field_validator("secret")(lambda value: None if value is None else _reference(value))

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needed = {
            "bearer": ("secret",),
            "basic": ("user", "secret"),
            "form": ("user", "secret"),
            "oauth2": ("token_url", "user", "secret"),
            "certificate": ("certificate",),
            "header": ("user",),
        }
        missing = [name for name in needed.get(self.mode, ()) if not getattr(self, name)]
        if missing:
            raise ValueError(f"mode {self.mode} needs {' and '.join(missing)}")
        return self


class GateSettings(_Part):
    """Credentials for the Gate at a URL. They go to that URL only, whatever a repository says."""

    url: str
    auth: GateSignIn = GateSignIn()


class SigningSettings(_Part):
    """The key that orders for agents are signed with: 32 bytes of an Ed25519 private key, in base64."""

    key_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")  # the name under which hosts know its public half
    key: Secret

    _key = field_validator("key")(_reference)


class CommitSettings(_Part):
    """Our own commits: who commits them, and the private key (SSH, or OpenPGP in ASCII armor) that signs them."""

    name: str = Field(default="Fairlead", pattern=r"^[^<>\x00-\x1f]{1,100}$")
    email: str = Field(default="fairlead@localhost", pattern=r"^[^<>\s\x00-\x1f]{1,200}$")
    signing_key: Secret | None = None

    _key = field_validator("signing_key")(lambda value: None if value is None else _reference(value))


class Settings(BaseSettings):
    """All settings of a controller. Durations are written `30s`, `5m`, `1h`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="FAIRLEAD_", env_nested_delimiter="__")

    state: Path = Path("/var/lib/fairlead")
    ledger: str = ""  # a SQLAlchemy URL; left out: SQLite in the state folder
    ledger_connections: int = Field(default=20, ge=4, le=500)  # to PostgreSQL, at most, of one process
    listen: str = ""  # HOST:PORT of the HTTP server; left out: none
    repositories: tuple[RepositorySettings, ...] = ()
    gates: tuple[GateSettings, ...] = ()
    signing: SigningSettings | None = None
    commits: CommitSettings = CommitSettings()
    observe_only: bool = False
    public_url: str = ""
    workers: int = Field(default=8, ge=1, le=256)
    poll_interval: Duration = timedelta(seconds=30)
    inventory_interval: Duration = timedelta(minutes=1)
    executions_interval: Duration = timedelta(seconds=5)
    reports_wait: Annotated[Duration, AfterValidator(_long_poll)] = timedelta(seconds=2)
    sweep_interval: Duration = timedelta(minutes=5)
    active_interval: Duration = timedelta(seconds=10)
    lease: Duration = timedelta(seconds=30)
    request_timeout: Duration = timedelta(seconds=10)
    gate_timeout: Duration = timedelta(minutes=2)

    @property
    def ledger_url(self) -> str:
        """The ledger's URL, with the embedded default filled in."""
        return self.ledger or f"sqlite:///{self.state / 'ledger.db'}"

    @property
    def settle(self) -> timedelta:
        """How long a start of unknown fate rests: the lease it was made under, and a request that was on its way."""
        return self.lease + self.request_timeout + timedelta(seconds=5)

    @property
    def settle_at_gate(self) -> timedelta:
        """The same for a start at Gate, which goes on with a request for as long as Orca may take, whoever gave up."""
        return self.settle + self.gate_timeout

    @property
    def read_within(self) -> timedelta:
        """How long a pass may look at AWS. It looks twice where a ledger is new, and then has to write what it saw."""
        return self.lease * 2 / 5

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings names the parameters
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(path: Path | None = None, **overrides: Any) -> Settings:
    """The settings from `path` (else `FAIRLEAD_CONFIG`, else ./fairlead.toml) and the environment.

    Raises `SettingsError` with one sentence.
    """
    named = path or Path(os.environ.get("FAIRLEAD_CONFIG", ""))
    file = named if named.name else DEFAULT_FILE
    if named.name and not file.is_file():
        how = "--config" if path is not None else "FAIRLEAD_CONFIG"
        raise SettingsError(f"{file}: no such file; name the settings file with {how}")
    config = SettingsConfigDict(toml_file=file)
    from_file: type[Settings] = type("Settings", (Settings,), {"model_config": config, "__module__": __name__})
    try:
        return from_file(**overrides)
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: the file is not UTF-8; save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{file}: {error}") from None
    except pydantic_settings.SettingsError as error:  # text of the environment that should be JSON
        name = re.sub(r'.*field "(\w+)".*', r"\1", str(error), flags=re.DOTALL)
        raise SettingsError(f"FAIRLEAD_{name.upper()}: must be JSON, such as a list in [ ]") from None
    except ValidationError as error:
        raise SettingsError(_sentence(file, error)) from None


def _sentence(file: Path, error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "settings"
    unknown = first["type"] == "extra_forbidden"
    said = "is no setting; docs/settings.md lists them all" if unknown else first["msg"].removeprefix("Value error, ")
    setting = f"FAIRLEAD_{first['loc'][0]}".upper() if first["loc"] else ""
    source = setting if any(name.upper().split("__")[0] == setting for name in os.environ) else file
    return f"{source}: {where}: {said}"
