"""What `fairlead doctor` and `fairlead setup` look at: the same parts, and nothing that changes anything."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.aws.sessions import Sessions
from adapters.clock import SystemClock
from adapters.doctor.channels import ChannelLook
from adapters.doctor.checkup import Checkup, Repository
from adapters.doctor.findings import About, Finding
from adapters.doctor.forge import GitHubLook
from adapters.doctor.hosted_forge import HostedLook
from adapters.doctor.ledger import LedgerLook
from adapters.doctor.needs import accounts, of_gates, of_hosts, of_ledger, roads
from adapters.doctor.permissions import assuming
from adapters.forges.hosted import Need
from adapters.gate.auth import GateAuth
from adapters.gate.client import Gates
from desired_state.model import Fleet
from fairlead.settings import RepositorySettings, Settings, SettingsError
from fairlead.wiring import mirror, parser, sign_in
from fairlead.wiring.forges import github_road, hosted_road
from fairlead.wiring.telling import reach
from reconciler.ports import Clock


def checkup(settings: Settings, scratch: Path) -> Checkup:
    """What `fairlead doctor` looks at. Mirrors are made in `scratch`: nothing of the controller's is touched."""
    clock, unusable = SystemClock(), list[Finding]()
    away = settings.model_copy(update={"state": scratch})
    repositories, signed_in, forges = list[Repository](), dict[str, GateAuth](), list[GitHubLook | HostedLook]()
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
        if each.forge.is_hosted:
            with _usable(About(check="forge", name=each.name), unusable):
                forges.append(_forge_look(settings, each, clock))
    for gate in settings.gates:
        with _usable(About(check="gate", name=gate.url), unusable):
            signed_in[gate.url.rstrip("/")] = sign_in(gate.auth)
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
        servers={f"forge {address}": address for address in _apis(settings).values()},
        hooked=tuple((each.name, len(each.forge.webhook_secrets)) for each in hooked),
        listen=settings.listen,
        public_url=settings.public_url,
        key_id=settings.signing.key_id if settings.signing else None,
        observe_only=settings.observe_only,
        unusable=tuple(unusable),
        channels=tuple(ChannelLook(name=each.name, reach=reach(settings, each, clock)) for each in settings.notify),
    )


def needs(settings: Settings, fleets: Sequence[Fleet], controller: str) -> dict[str, Any]:
    """What the fleets need of AWS, Gate, the ledger and the network. `controller`: the ARN that roles are to trust."""
    roles = sorted({fleet.environment.role for fleet in fleets if fleet.environment.role})
    signs_in = {gate.url.rstrip("/"): gate.auth.mode for gate in settings.gates}
    servers = {f"repository {each.name}": each.url for each in settings.repositories}
    servers |= {f"forge of {name}": address for name, address in _apis(settings).items()}
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


def _apis(settings: Settings) -> dict[str, str]:
    """By repository, the address of its forge's API, where it has one."""
    hosted = (each for each in settings.repositories if each.forge.is_hosted and each.forge.address)
    return {each.name: each.forge.address for each in hosted}


@contextmanager
def _usable(about: About, unusable: list[Finding]) -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        unusable.append(about.refused(str(error)))


def _forge_look(settings: Settings, repository: RepositorySettings, clock: Clock) -> GitHubLook | HostedLook:
    if repository.forge.type == "github":
        return _github_look(settings, repository, clock)
    road, name = hosted_road(settings, repository, clock)
    return HostedLook(repository.name, name, repository.branch, road)


def _github_look(settings: Settings, repository: RepositorySettings, clock: Clock) -> GitHubLook:
    name, transport, auth = github_road(settings, repository, clock)
    public = settings.public_url.rstrip("/")
    hook = f"{public}/hooks/github" if public and settings.listen else ""
    further = [Need.DEPLOYMENTS] if repository.forge.deployments else []
    further += [Need.PULLS, Need.COMMENTS] if repository.forge.plans else []
    return GitHubLook(repository.name, name, transport, auth, hook, further)
