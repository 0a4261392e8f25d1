"""The composition root: the only file that names concrete adapters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from pydantic import BaseModel

from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.deployers.trigger_settings import TriggerSettings
from adapters.deployers.unsupported import Unsupported
from adapters.feeds.executions import Executions
from adapters.feeds.inventories import Inventories
from adapters.feeds.repositories import Repositories, Source
from adapters.forges.git_notes import GitNotes
from adapters.gate.auth import GateAuth
from adapters.gate.client import Gates
from adapters.ledger.store import Store, open_ledger
from desired_state.git_command import GitAuth
from desired_state.git_errors import GitRefused
from desired_state.mirror import Mirror
from desired_state.parser import Parser
from fairlead.settings import GateSignIn, RepositorySettings, SecretReference, Settings, SettingsError
from reconciler.plan import Pace
from reconciler.ports import Clock, Deployer
from reconciler.world import World

READ_ONLY_TYPES: Mapping[str, type[BaseModel]] = {"trigger": TriggerSettings}  # validated now, carried out later


@cache
def deployer_classes() -> Mapping[str, Any]:
    """The deployers that are installed, by deploy type."""
    return {point.name: point.load() for point in entry_points(group="fairlead.deployers")}


def deploy_settings() -> Mapping[str, type[BaseModel]]:
    """The settings model of every deploy type that can be written in a service file."""
    known = {name: kind.settings_model for name, kind in deployer_classes().items()}
    return {**READ_ONLY_TYPES, **known}


def clock() -> Clock:
    """The one real clock."""
    return SystemClock()


def parser() -> Parser:
    """A parser that knows every deploy type, with the deployers' own checks."""
    checks = {name: kind.check_fleet for name, kind in deployer_classes().items()}
    return Parser(deploy_settings(), checks)


def mirror(settings: Settings, repository: RepositorySettings) -> Mirror:
    """The bare mirror of one repository, in the state folder. Raises `SettingsError`."""
    auth = repository.auth
    try:
        return Mirror(
            settings.state / "repositories" / f"{repository.name}.git",
            repository.url,
            branch=repository.branch,
            auth=GitAuth(kind=auth.mode, user=auth.user, secret_value=_secret(auth.mode, auth.secret)),
        )
    except GitRefused as refusal:
        raise SettingsError(f"repository {repository.name}: {refusal}") from None


def _secret(mode: str, reference: str | None) -> str:
    if mode == "bearer":
        return SecretReference(reference or "env:").reveal_token()
    return SecretReference(reference).reveal() if reference else ""


def ledger(settings: Settings, clock: Clock | None = None) -> Store:
    """The ledger, at the schema of this version."""
    settings.state.mkdir(parents=True, exist_ok=True)
    return open_ledger(settings.ledger_url, clock or SystemClock())


def gates(settings: Settings) -> Gates:
    """The clients of every Gate, each with the credentials of its own URL."""
    seconds = settings.request_timeout.total_seconds()
    return Gates({gate.url: _sign_in(gate.auth) for gate in settings.gates}, timeout=seconds)


def _sign_in(auth: GateSignIn) -> GateAuth:
    return GateAuth(
        mode=auth.mode,
        header=auth.header,
        user=auth.user,
        secret=_secret(auth.mode, auth.secret),
        certificate=auth.certificate,
        key=auth.key,
        authority=auth.authority,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a controller drives."""

    ledger: Store
    world: World
    repositories: Repositories
    inventories: Inventories
    executions: Executions
    forges: Mapping[str, GitNotes]
    close: Callable[[], None]


def assemble(settings: Settings, *, observe_only: bool = False) -> Parts:
    """Join the adapters to the ports."""
    clock = SystemClock()
    store = ledger(settings, clock)
    sessions, spinnakers = Sessions(clock=clock), gates(settings)
    mirrors = {repository.name: mirror(settings, repository) for repository in settings.repositories}
    deployers: dict[str, Deployer] = {name: Unsupported() for name in READ_ONLY_TYPES}
    for name, kind in deployer_classes().items():
        deployers[name] = kind(sessions=sessions, gates=spinnakers, clock=clock)
    world = World(
        ledger=store,
        deployers=deployers,
        clock=clock,
        pace=Pace(active=settings.active_interval, settle=settings.settle),
        observe_only=observe_only or settings.observe_only,
        public_url=settings.public_url.rstrip("/"),
    )
    sources = {
        repository.name: Source(mirror=mirrors[repository.name], parser=parser(), folder=repository.path)
        for repository in settings.repositories
    }
    return Parts(
        ledger=store,
        world=world,
        repositories=Repositories(store, sources, clock, settings.sweep_interval),
        inventories=Inventories(store, sessions, deployers, clock, settings.inventory_interval),
        executions=Executions(store, spinnakers, clock, settings.executions_interval),
        forges={name: GitNotes(found) for name, found in mirrors.items()},
        close=store.close,
    )
