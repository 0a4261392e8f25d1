"""The composition root: this folder alone names concrete adapters."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel

from adapters.agent_protocol.signing import BadKey, SigningKey, new_key, signing_key
from adapters.aws.host_queues import Step
from adapters.aws.plumbing import Served, ensure
from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.deployers.means import Means
from adapters.feeds.executions import DEPLOY_TYPE as SPINNAKER
from adapters.feeds.executions import Executions
from adapters.feeds.inventories import Inventories
from adapters.feeds.plumbing import Plumbing, is_kept
from adapters.feeds.reports import DEPLOY_TYPE as AGENTS
from adapters.feeds.reports import Reports, names_of
from adapters.feeds.repositories import Repositories, Source
from adapters.forges.git_notes import GitNotes
from adapters.gate.auth import GateAuth
from adapters.gate.client import Gates, url_problem
from adapters.importing.facts import Account, Rules
from adapters.importing.reading import Reader
from adapters.importing.repository import Imported, conclude
from adapters.ledger.store import Store, open_ledger
from adapters.trigger.settings import settings_of as agent_settings
from desired_state.git_command import GitAuth
from desired_state.git_errors import GitRefused
from desired_state.mirror import Mirror
from desired_state.model import Fleet, FleetName
from desired_state.parser import Parser
from fairlead.http.pushes import Receiver
from fairlead.settings import GateSignIn, RepositorySettings, SecretReference, Settings, SettingsError
from fairlead.wiring.clients import client_maker
from fairlead.wiring.forges import hooks, hosted
from reconciler.hosts import HostFacts, Room
from reconciler.observed import Snapshots
from reconciler.plan import Pace
from reconciler.ports import Clock, Deployer, Forge
from reconciler.world import World


@cache
def deployer_classes() -> Mapping[str, Any]:
    """The deployers that are installed, by deploy type."""
    return {point.name: point.load() for point in entry_points(group="fairlead.deployers")}


def deploy_settings() -> Mapping[str, type[BaseModel]]:
    """The settings model of every deploy type that can be written in a service file."""
    return {name: kind.settings_model for name, kind in deployer_classes().items()}


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
            auth=GitAuth(kind=auth.mode, user=auth.user, secret_value=secret(auth.mode, auth.secret)),
        )
    except GitRefused as refusal:
        raise SettingsError(f"repository {repository.name}: {refusal}") from None


def secret(mode: str, reference: str | None) -> str:
    if mode == "bearer":
        return SecretReference(reference or "env:").reveal_token()
    return SecretReference(reference).reveal() if reference else ""


def ledger(settings: Settings, clock: Clock | None = None) -> Store:
    """The ledger, at the schema of this version."""
    settings.state.mkdir(parents=True, exist_ok=True)
    return open_ledger(settings.ledger_url, clock or SystemClock(), settings.ledger_connections)


def reports_of(fleet: Fleet) -> Iterable[str]:
    """The names of the queues that the fleet's hosts report into, as the feed of reports reads them."""
    return names_of(fleet)


def plumbing_of(fleet: Fleet) -> Iterable[str]:
    """Where the controller keeps the fleet's topic and queues; nothing where others do."""
    return names_of(fleet) if is_kept(fleet.environment) else ()


def reporting(fleets: Iterable[Fleet]) -> Iterator[Fleet]:
    """Those of them whose hosts run agents."""
    return (fleet for fleet in fleets if fleet.deploy_type == AGENTS)


def has_hosts(fleet: Fleet) -> bool:
    """Its units are hosts, of which more is known than of units."""
    return hasattr(deployer_classes().get(fleet.deploy_type), "hosts")


def hosts_of(fleet: Fleet, snapshots: Snapshots, now: datetime) -> Sequence[HostFacts] | None:
    """What is known of each host of the fleet; None where its type has none. Pure."""
    look = getattr(deployer_classes().get(fleet.deploy_type), "hosts", None)
    return look(fleet, snapshots, now) if look is not None else None


def room_of(fleet: Fleet, hosts: int) -> Room | None:
    """How many of so many hosts may be out of service at once; None where its type has no hosts. Pure."""
    count = getattr(deployer_classes().get(fleet.deploy_type), "room", None)
    return count(fleet, hosts) if count is not None else None


def groups_of(fleet: Fleet, snapshots: Snapshots) -> Mapping[str, Any] | None:
    """Every server group of the fleet that was seen, and the next one's name; None where its type has none. Pure."""
    look = getattr(deployer_classes().get(fleet.deploy_type), "groups", None)
    return look(fleet, snapshots) if look is not None else None


def images_of(fleet: Fleet) -> Iterator[Mapping[str, str]]:
    """The AMIs that a deploy of the fleet would find, by region; nothing where its type looks for none. Asks AWS."""
    look = getattr(deployer_classes().get(fleet.deploy_type), "images", None)
    return look(fleet, Sessions(clock=SystemClock(), max_attempts=2)) if look is not None else iter(())


def lay(
    fleets: Sequence[Fleet],
    environments: Collection[str],
    as_controller: bool,
    dry_run: bool,
    declared: Collection[FleetName] | None = None,
) -> Iterator[Step]:
    """Make what trigger fleets need in AWS; see `adapters.aws.plumbing.ensure`. Raises `Unreadable`."""
    served = [
        Served(name=fleet.name, environment=fleet.environment, tags=agent_settings(fleet).select.tags)
        for fleet in fleets
    ]
    return ensure(
        Sessions(),
        served,
        environments,
        SystemClock(),
        as_controller=as_controller,
        dry_run=dry_run,
        declared=declared,
    )


def read_world(settings: Settings, accounts: Sequence[Account], rules: Rules) -> Imported:
    """What these accounts run, as a repository; see `adapters.importing`. Raises `Unreadable`."""
    reader = Reader(Sessions(), gates(settings).at(rules.gate) if rules.gate else None)
    return conclude([reader.read(account, rules) for account in accounts], rules, parser())


def new_keys(key_id: str) -> tuple[str, str]:
    """A fresh pair to sign orders with: the public and the private half, base64."""
    key, private = new_key(key_id)
    return key.public, private


def gates(settings: Settings) -> Gates:
    """The clients of every Gate, each with the credentials of its own URL."""
    seconds = settings.request_timeout.total_seconds()
    return Gates({gate.url: sign_in(gate.auth) for gate in settings.gates}, timeout=seconds, clock=SystemClock())


def sign_in(auth: GateSignIn) -> GateAuth:
    """Raises `SettingsError`."""
    if auth.token_url and (wrong := url_problem(auth.token_url)):
        raise SettingsError(f"gates: the token_url {wrong}")
    return GateAuth(
        mode=auth.mode,
        header=auth.header,
        user=auth.user,
        secret=secret(auth.mode, auth.secret),
        secret_file=file_of(auth.secret),
        certificate=auth.certificate,
        key=auth.key,
        authority=auth.authority,
        token_url=auth.token_url,
        scope=auth.scope,
    )


def file_of(reference: str | None) -> Path | None:
    """The file that holds the secret, where it is one: what rotates is written there."""
    kind, _, name = (reference or "").partition(":")
    return Path(name) if kind == "file" else None


def signing(settings: Settings) -> SigningKey | None:
    """The key that orders are signed with; None where the settings have none. Raises `SettingsError`."""
    if settings.signing is None:
        return None
    try:
        return signing_key(settings.signing.key_id, SecretReference(settings.signing.key).reveal())
    except BadKey as bad:
        raise SettingsError(f"signing.key: {bad}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a controller drives."""

    ledger: Store
    world: World
    repositories: Repositories
    inventories: Inventories
    plumbing: Plumbing
    executions: Executions
    reports: Reports
    forges: Mapping[str, Forge]
    hooks: Receiver | None
    make_clients: Callable[[], int]
    close: Callable[[], None]


def assemble(settings: Settings, *, observe_only: bool = False) -> Parts:
    """Join the adapters to the ports."""
    clock = SystemClock()
    sessions, spinnakers = Sessions(clock=clock), gates(settings)
    means = Means(
        sessions=Sessions.within_a_pass(clock, settings.request_timeout),
        gates=spinnakers,
        clock=clock,
        read_within=settings.read_within,
        signing=signing(settings),
    )
    mirrors = {repository.name: mirror(settings, repository) for repository in settings.repositories}
    made, store = _hosted(settings, clock), ledger(settings, clock)
    deployers: dict[str, Deployer] = {name: kind.of(means) for name, kind in deployer_classes().items()}
    world = World(
        ledger=store,
        deployers=deployers,
        clock=clock,
        pace=Pace(
            active=settings.active_interval,
            settle=settings.settle,
            settle_of={SPINNAKER: settings.settle_at_gate},
        ),
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
        plumbing=Plumbing(
            store,
            means.sessions,
            clock,
            structlog.get_logger("fairlead"),
            within=settings.lease / 2,
            acts=not world.observe_only,
        ),
        executions=Executions(store, spinnakers, clock, settings.executions_interval),
        reports=Reports(store, sessions, clock, settings.reports_wait, structlog.get_logger("fairlead")),
        forges={name: made[name](store) if name in made else GitNotes(found) for name, found in mirrors.items()},
        hooks=hooks(settings, clock),
        make_clients=client_maker(store, means.sessions, deployers),
        close=partial(_close, store, *mirrors.values()),
    )


def _hosted(settings: Settings, clock: SystemClock) -> dict[str, Callable[[Store], Forge]]:
    """By repository, what makes its forge of a ledger; those that are told by git notes are not in it."""
    chosen = (repository for repository in settings.repositories if repository.forge.is_hosted)
    return {repository.name: hosted(settings, repository, clock) for repository in chosen}


def _close(*opened: Store | Mirror) -> None:
    for each in opened:
        each.close()
