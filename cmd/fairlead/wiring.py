"""The composition root: the only file that names concrete adapters."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel

from adapters.agent_protocol.signing import BadKey, SigningKey, new_key, signing_key
from adapters.aws.plumbing import Served, Step, ensure
from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.deployers.means import Means
from adapters.doctor.checkup import Checkup, Repository
from adapters.doctor.findings import About, Finding
from adapters.doctor.forge import GitHubLook, GitHubSignIn
from adapters.doctor.ledger import LedgerLook
from adapters.doctor.needs import accounts, of_gates, of_hosts, of_ledger, roads
from adapters.doctor.permissions import assuming
from adapters.feeds.executions import Executions
from adapters.feeds.inventories import Inventories
from adapters.feeds.reports import DEPLOY_TYPE as AGENTS
from adapters.feeds.reports import Reports, names_of
from adapters.feeds.repositories import Repositories, Source
from adapters.forges.git_notes import GitNotes
from adapters.forges.github import (
    AppAuth,
    Auth,
    BadAddress,
    GitHub,
    Hint,
    Place,
    Refused,
    TokenAuth,
    Transport,
    Webhook,
)
from adapters.forges.github import checked_repository as checked_github_repository
from adapters.forges.github.limits import Allowance, windows
from adapters.gate.auth import GateAuth
from adapters.gate.client import Gates
from adapters.ledger.store import Store, open_ledger
from adapters.trigger.settings import settings_of as agent_settings
from desired_state.git_command import GitAuth
from desired_state.git_errors import GitRefused
from desired_state.mirror import Mirror
from desired_state.model import Fleet
from desired_state.parser import Parser
from fairlead.http.pushes import Heard, Receiver, Refusal
from fairlead.settings import ForgeSignIn, GateSignIn, RepositorySettings, SecretReference, Settings, SettingsError
from reconciler.plan import Pace
from reconciler.ports import Budget, Clock, Deployer, Forge, Unreadable
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
    return open_ledger(settings.ledger_url, clock or SystemClock(), settings.ledger_connections)


def reports_of(fleet: Fleet) -> Iterable[str]:
    """The names of the queues that the fleet's hosts report into, as the feed of reports reads them."""
    return names_of(fleet)


def reporting(fleets: Iterable[Fleet]) -> Iterator[Fleet]:
    """Those of them whose hosts run agents."""
    return (fleet for fleet in fleets if fleet.deploy_type == AGENTS)


def lay(fleets: Sequence[Fleet], environments: Collection[str], as_controller: bool, dry_run: bool) -> Iterator[Step]:
    """Make what trigger fleets need in AWS; see `adapters.aws.plumbing.ensure`. Raises `Unreadable`."""
    served = [
        Served(name=fleet.name, environment=fleet.environment, tags=agent_settings(fleet).select.tags)
        for fleet in fleets
    ]
    return ensure(Sessions(), served, environments, as_controller=as_controller, dry_run=dry_run)


def new_keys(key_id: str) -> tuple[str, str]:
    """A fresh pair to sign orders with: the public and the private half, base64."""
    key, private = new_key(key_id)
    return key.public, private


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


def github(settings: Settings, repository: RepositorySettings, clock: Clock) -> Callable[[Budget], Forge]:
    """GitHub as the repository's forge, once there is a budget. Raises `SettingsError` for what could never work."""
    wanted, seconds = repository.forge, settings.request_timeout.total_seconds()
    try:
        name = checked_github_repository(wanted.repository)
        transport = Transport(wanted.api, timeout=seconds, monotonic=clock.monotonic)
        auth = _github_auth(wanted.auth, name, transport, clock)
    except BadAddress as bad:
        raise SettingsError(f"repository {repository.name}: forge.{bad}") from None
    except (SettingsError, Unreadable) as bad:
        raise SettingsError(f"repository {repository.name}: forge.auth: {bad}") from None
    spent = windows(wanted.writes_per_minute, wanted.writes_per_hour)
    log = structlog.get_logger("fairlead")
    return lambda budget: GitHub(
        name, transport=transport, auth=auth, allowance=Allowance(budget=budget, windows=spent), log=log
    )


def _github_auth(auth: ForgeSignIn, repository: str, transport: Transport, clock: Clock) -> Auth:
    needed = ("token",) if auth.mode == "token" else ("app_id", "installation_id", "private_key")
    if missing := next((name for name in needed if not getattr(auth, name)), None):
        what = "the number that GitHub shows" if missing.endswith("_id") else "a reference, env:NAME or file:/path"
        raise SettingsError(f"{missing} is needed with mode {auth.mode}: write {what}")
    if auth.mode == "token":
        return TokenAuth(_revealed(SecretReference(auth.token).reveal_token))
    if not (auth.installation_id.isascii() and auth.installation_id.isdigit()):
        raise SettingsError("installation_id is a number: it ends the address of the installation's page")
    key = _revealed(SecretReference(auth.private_key).reveal)
    return AppAuth(auth.app_id, auth.installation_id, key, repository=repository, transport=transport, clock=clock)


def _revealed(reveal: Callable[[], str]) -> Callable[[], str]:
    """The secret, read anew each time, for adapters, which know nothing of settings."""

    def now() -> str:
        try:
            return reveal()
        except SettingsError as missing:
            raise Unreadable(str(missing)) from None

    return now


def webhook(settings: Settings, clock: Clock) -> Webhook | None:
    """What answers at `/hooks/github`; None where no repository has webhook secrets. Raises `SettingsError`."""
    places = [
        Place(
            name=repository.name,
            url=repository.url,
            branch=repository.branch,
            repository=repository.forge.repository,
            secrets=tuple(SecretReference(secret).reveal() for secret in repository.forge.webhook_secrets),
        )
        for repository in settings.repositories
        if repository.forge.webhook_secrets
    ]
    try:
        return Webhook(places, clock) if places else None
    except ValueError as empty:
        raise SettingsError(str(empty)) from None


def hooks(settings: Settings, clock: Clock) -> Receiver | None:
    """The same as the server's route asks it. Raises `SettingsError`."""
    found = webhook(settings, clock)
    return None if found is None else _Hooks(found)


class _Hooks:
    """GitHub's webhook in the words of the server."""

    def __init__(self, hook: Webhook) -> None:
        self._hook = hook

    def receive(self, body: bytes, headers: Mapping[str, str]) -> Heard:
        """See `Receiver`."""
        try:
            said = self._hook.receive(body, headers)
        except Refused as refused:
            raise Refusal(refused.status, str(refused)) from None
        return Heard(names=said.names) if isinstance(said, Hint) else Heard(why=said.why)

    def forget(self, headers: Mapping[str, str]) -> None:
        """See `Receiver`."""
        self._hook.forget(headers)


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
    executions: Executions
    reports: Reports
    forges: Mapping[str, Forge]
    hooks: Receiver | None
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
    hosted = {
        repository.name: github(settings, repository, clock)
        for repository in settings.repositories
        if repository.forge.type == "github"
    }
    store = ledger(settings, clock)
    deployers: dict[str, Deployer] = {name: kind.of(means) for name, kind in deployer_classes().items()}
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
        reports=Reports(store, sessions, clock, settings.reports_wait, structlog.get_logger("fairlead")),
        forges={name: hosted[name](store) if name in hosted else GitNotes(found) for name, found in mirrors.items()},
        hooks=hooks(settings, clock),
        close=partial(_close, store, *mirrors.values()),
    )


def checkup(settings: Settings, scratch: Path) -> Checkup:
    """What `fairlead doctor` looks at. Mirrors are made in `scratch`: nothing of the controller's is touched."""
    clock, unusable = SystemClock(), list[Finding]()
    away = settings.model_copy(update={"state": scratch})
    repositories, signed_in, forges = list[Repository](), dict[str, GateAuth](), list[GitHubLook]()
    for each in settings.repositories:
        about = About(check="git", name=each.name)
        with _usable(about, unusable):
            found = Repository(
                name=each.name,
                mirror=mirror(away, each),
                folder=each.path,
                pushes_notes=each.forge.type == "git_notes",
            )
            repositories.append(found)
        if each.forge.type == "github":
            with _usable(About(check="forge", name=each.name), unusable):
                forges.append(_github_look(settings, each, clock))
    for gate in settings.gates:
        with _usable(About(check="gate", name=gate.url), unusable):
            signed_in[gate.url.rstrip("/")] = _sign_in(gate.auth)
    hooked = [each for each in settings.repositories if each.forge.type == "github"]
    return Checkup(
        clock=clock,
        parser=parser(),
        sessions=Sessions.within_a_pass(clock, settings.request_timeout),
        gates=Gates(signed_in, timeout=settings.request_timeout.total_seconds()),
        signing_in=frozenset(url for url, auth in signed_in.items() if auth.mode != "none"),
        ledger=LedgerLook(settings.ledger_url, clock, connections=settings.ledger_connections),
        repositories=tuple(repositories),
        forges=tuple(forges),
        servers={f"forge {each.forge.api}": each.forge.api for each in hooked},
        hooked=tuple((each.name, len(each.forge.webhook_secrets)) for each in hooked),
        listen=settings.listen,
        public_url=settings.public_url,
        key_id=settings.signing.key_id if settings.signing else None,
        observe_only=settings.observe_only,
        unusable=tuple(unusable),
    )


def needs(settings: Settings, fleets: Sequence[Fleet], controller: str) -> dict[str, Any]:
    """What the fleets need of AWS, Gate, the ledger and the network. `controller`: the ARN that roles are to trust."""
    roles = sorted({fleet.environment.role for fleet in fleets if fleet.environment.role})
    signs_in = {gate.url.rstrip("/"): gate.auth.mode for gate in settings.gates}
    servers = {f"repository {each.name}": each.url for each in settings.repositories}
    servers |= {
        f"forge of {each.name}": each.forge.api for each in settings.repositories if each.forge.type == "github"
    }
    if settings.ledger.startswith("postgresql"):
        servers["ledger"] = settings.ledger
    return {
        "controller": assuming(roles) if roles else None,
        "accounts": list(accounts(fleets, controller)),
        "hosts": list(of_hosts(fleets)),
        "gates": [{**gate, "signs_in": signs_in.get(gate["url"], "none")} for gate in of_gates(fleets)],
        "ledger": of_ledger(settings.ledger_url, settings.ledger_connections),
        "network": list(roads(fleets, servers, settings.listen)),
    }


@contextmanager
def _usable(about: About, unusable: list[Finding]) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        unusable.append(about.skipped(f"not looked at: {error}"))


def _github_look(settings: Settings, repository: RepositorySettings, clock: Clock) -> GitHubLook:
    forge, auth = repository.forge, repository.forge.auth
    sign_in = GitHubSignIn(
        token=SecretReference(auth.token).reveal_token() if auth.token else "",
        app_id=auth.app_id if auth.mode == "app" else "",
        installation_id=auth.installation_id,
        private_key=SecretReference(auth.private_key).reveal() if auth.private_key else "",
    )
    public = settings.public_url.rstrip("/")
    hook = f"{public}/hooks/github" if public and settings.listen else ""
    return GitHubLook(repository.name, forge.api, forge.repository, sign_in, hook, clock)


def _close(*opened: Store | Mirror) -> None:
    for each in opened:
        each.close()
